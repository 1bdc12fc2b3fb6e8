#ifndef PODLEASE_SRC_KUBE_SESSION_H_
#define PODLEASE_SRC_KUBE_SESSION_H_

#include <memory>
#include <string>

#include "connection.h"
#include "login.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// One logged-in conversation with an API server: connects when it has to, logs in, and asks again
// where that may help.
class Session {
 public:
  Session(Kubeconfig kubeconfig, Client::Options options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() = default;

  [[nodiscard]] const Kubeconfig& kubeconfig() const { return kubeconfig_; }

  // Asks until there is an answer to go by, or until asking again makes no sense. `target` of the
  // question is the path below the server's. What changes something may thus arrive more than once.
  // Throws ApiError.
  [[nodiscard]] Answer ask(Question question);
  // Reports whether a try of the last question, before the one that was answered, may have been
  // carried out.
  [[nodiscard]] bool was_in_doubt() const { return was_in_doubt_; }

 private:
  Answer ask_once(const Question& question);
  void connect(const Credential& credential);

  Kubeconfig kubeconfig_;
  Client::Options options_;
  Login login_;
  std::unique_ptr<Connection> connection_;
  std::string shown_certificate_;  // in that connection
  bool was_in_doubt_ = false;
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_SESSION_H_
