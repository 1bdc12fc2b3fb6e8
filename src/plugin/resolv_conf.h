#ifndef PODLEASE_SRC_PLUGIN_RESOLV_CONF_H_
#define PODLEASE_SRC_PLUGIN_RESOLV_CONF_H_

#include <filesystem>
#include <string_view>

#include "podlease/cni/answer.h"

namespace podlease::plugin {

// resolv.conf(5) as host-local reads it: nameserver, search and options add up, the last domain
// counts, other lines and those that begin with # or ; are passed over.
[[nodiscard]] cni::Dns parse_resolv_conf(std::string_view text);

// Throws kIo if the file cannot be read.
[[nodiscard]] cni::Dns read_resolv_conf(const std::filesystem::path& path);

}  // namespace podlease::plugin

#endif  // PODLEASE_SRC_PLUGIN_RESOLV_CONF_H_
