#ifndef PODLEASE_SRC_KUBE_LOGIN_H_
#define PODLEASE_SRC_KUBE_LOGIN_H_

#include <filesystem>
#include <optional>

#include "credential_cache.h"
#include "exec_plugin.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// By what the user of a kubeconfig is known to the server at this moment. As in client-go, an exec
// plugin is asked only where there is no token.
class Login {
 public:
  // `kubeconfig` must outlive it.
  Login(const Kubeconfig& kubeconfig, std::filesystem::path cache);

  // Throws ApiError: kIdentity, kTimeout.
  [[nodiscard]] Credential credential(Deadline deadline);

  // After the server did not accept it. Returns false if the next one would be the same.
  [[nodiscard]] bool give_up();

 private:
  [[nodiscard]] const Credential& of_plugin(Deadline deadline);

  const Kubeconfig* kubeconfig_;
  CredentialCache cache_;
  std::optional<Credential> plugin_;  // what the plugin last said
  bool is_fresh_ = false;             // it said so just now
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_LOGIN_H_
