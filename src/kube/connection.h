#ifndef PODLEASE_SRC_KUBE_CONNECTION_H_
#define PODLEASE_SRC_KUBE_CONNECTION_H_

#include <string>

#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"
#include "tls.h"

namespace podlease::kube {

struct Answer {
  unsigned status = 0;
  std::string retry_after;  // these two as in the header; empty: it is not there
  std::string location;
  std::string body;
};

// HTTP/1.1 over TLS over TCP, for one request after the other.
class Connection {
 public:
  // Looks the server up and connects. The certificate may be empty. Throws ApiError.
  Connection(const Server& server, const std::string& certificate, const std::string& key,
             Deadline deadline);

  // Sends a GET and reads the answer. `target` is the whole path; `token` may be empty. Throws
  // ApiError; then the connection is of no more use.
  [[nodiscard]] Answer get(const std::string& target, const std::string& token);

  // Reports whether the server would take another request.
  [[nodiscard]] bool is_open() const { return is_open_; }

 private:
  Answer read_answer();

  std::string authority_;  // HOST or HOST:PORT
  TlsStream stream_;
  bool is_open_ = true;
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_CONNECTION_H_
