#ifndef PODLEASE_SRC_KUBE_CONNECTION_H_
#define PODLEASE_SRC_KUBE_CONNECTION_H_

#include <string>

#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"
#include "tls.h"

namespace podlease::kube {

struct Question {
  std::string method = "GET";
  std::string target;  // the whole path
  std::string accept = "application/json";
  std::string body{};  // these two go together
  std::string content_type{};
};

struct Answer {
  unsigned status = 0;
  std::string retry_after;  // these three as in the header; empty: it is not there
  std::string location;
  std::string date;
  std::string body;
};

// HTTP/1.1 over TLS over TCP, for one request after the other.
class Connection {
 public:
  // Looks the server up and connects. The certificate may be empty. Throws ApiError.
  Connection(const Server& server, const std::string& certificate, const std::string& key,
             Deadline deadline);

  // Sends the question and reads the answer. `token` may be empty. Throws ApiError; then the
  // connection is of no more use, and nobody knows whether the server did what it was asked.
  [[nodiscard]] Answer ask(const Question& question, const std::string& token);

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
