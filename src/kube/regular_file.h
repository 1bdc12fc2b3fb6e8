#ifndef PODLEASE_SRC_KUBE_REGULAR_FILE_H_
#define PODLEASE_SRC_KUBE_REGULAR_FILE_H_

#include <filesystem>
#include <string>

namespace podlease::kube {

// The whole file, at most 1 MiB: kubeconfigs, certificates and tokens have some kilobytes. Only
// regular files, for a pipe could keep us waiting for ever. Throws kIo or kDecode.
[[nodiscard]] std::string read_regular_file(const std::filesystem::path& path);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_REGULAR_FILE_H_
