#ifndef PODLEASE_KUBE_CLIENT_H_
#define PODLEASE_KUBE_CLIENT_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/kube/objects.h"

// One client of one API server, for a process that asks it a few questions and ends.
namespace podlease::kube {

// When all API work of this call must be over; one for all requests of a call.
using Deadline = std::chrono::steady_clock::time_point;

// Why the API server gave no answer that can be used. Of kind kBusy, except kIdentity and
// kRejected, which no waiting will mend: kConfig.
class ApiError : public Error {
 public:
  enum class Cause {
    kUnreachable,   // no address, no connection, cut in the middle
    kTimeout,       // the deadline came first
    kServerTls,     // its certificate is wrong, or it speaks no TLS we do
    kIdentity,      // our certificate, token or exec plugin cannot be used
    kUnauthorized,  // 401
    kForbidden,     // 403
    kConflict,      // 409
    kThrottled,     // 429, also after waiting as it asked
    kServer,        // 5xx
    kRejected,      // any other 4xx, and redirects
    kBadAnswer,     // too large, not HTTP, not JSON, not the object
  };

  ApiError(Cause cause, const std::string& message, std::string details = {});

  [[nodiscard]] Cause cause() const { return cause_; }

 private:
  Cause cause_;
};

// Answers larger than this are not read to their end.
inline constexpr std::size_t kLargestAnswer = 8U << 20U;

class Client {
 public:
  struct Options {
    Deadline deadline;
    // Where what an exec plugin printed is kept until it ends, mode 0600; empty: nowhere.
    std::filesystem::path credentials;
  };

  // Connects with its first request, and keeps the connection.
  Client(Kubeconfig kubeconfig, Options options);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Nothing: the API says that there is no such object (404), or of a CiliumNode that it does not
  // know the kind. Throw ApiError; each message names the object, the server and the cause.
  [[nodiscard]] std::optional<Node> node(const std::string& name);
  [[nodiscard]] std::optional<CiliumNode> cilium_node(const std::string& name);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podlease::kube

#endif  // PODLEASE_KUBE_CLIENT_H_
