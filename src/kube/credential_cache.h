#ifndef PODLEASE_SRC_KUBE_CREDENTIAL_CACHE_H_
#define PODLEASE_SRC_KUBE_CREDENTIAL_CACHE_H_

#include <filesystem>
#include <optional>
#include <string>

#include "exec_plugin.h"
#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// One credential of an exec plugin, kept in a file from one process to the next. It is worth
// something only to the same kubeconfig with the same plugin, and until ten seconds before it ends;
// one without an end is not kept. Whatever is wrong with the file, there is nothing in it: the
// plugin is there to ask.
class CredentialCache {
 public:
  // An empty path: keeps nothing.
  CredentialCache(std::filesystem::path path, const Kubeconfig& kubeconfig);

  [[nodiscard]] std::optional<Credential> load() const;
  void save(const Credential& credential) const;
  void drop() const;

 private:
  std::filesystem::path path_;
  std::string key_;  // of the kubeconfig and the plugin: a hash
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_CREDENTIAL_CACHE_H_
