#include "login.h"

#include <utility>

#include "token.h"

namespace podlease::kube {

Login::Login(const Kubeconfig& kubeconfig, std::filesystem::path cache)
    : kubeconfig_(&kubeconfig), cache_(std::move(cache), kubeconfig) {}

Credential Login::credential(Deadline deadline) {
  const User& user = kubeconfig_->user;
  Credential credential{
      .token = read_token(user), .certificate = user.certificate, .key = user.key};
  if (user.exec && credential.token.empty()) {
    const Credential& printed = of_plugin(deadline);
    credential.token = printed.token;
    if (!printed.certificate.empty()) {
      credential.certificate = printed.certificate;
      credential.key = printed.key;
    }
  }
  return credential;
}

const Credential& Login::of_plugin(Deadline deadline) {
  if (!plugin_) {
    plugin_ = cache_.load();
  }
  if (!plugin_) {
    plugin_ = run_plugin(*kubeconfig_->user.exec, kubeconfig_->server, deadline);
    is_fresh_ = true;
    cache_.save(*plugin_);
  }
  return *plugin_;
}

bool Login::give_up() {
  if (!plugin_) {
    return false;
  }
  plugin_.reset();
  cache_.drop();
  return !std::exchange(is_fresh_, false);
}

}  // namespace podlease::kube
