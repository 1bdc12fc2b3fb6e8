#ifndef PODLEASE_SRC_KUBE_SOCKET_H_
#define PODLEASE_SRC_KUBE_SOCKET_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "podlease/base/file.h"
#include "podlease/kube/client.h"
#include "podlease/net/address.h"

namespace podlease::kube {

// A TCP connection whose every wait ends at the deadline, and of whose peer's death no signal
// tells. Its calls do not throw, for they are made from within OpenSSL.
class Socket {
 public:
  Socket(UniqueFd connected, Deadline deadline) : fd_(std::move(connected)), deadline_(deadline) {}

  // At least one byte; 0: the peer has closed; -1: see below.
  [[nodiscard]] ssize_t receive(char* data, std::size_t size) noexcept;
  [[nodiscard]] ssize_t send(const char* data, std::size_t size) noexcept;

  // Why a call failed: the deadline came, or an errno.
  [[nodiscard]] bool timed_out() const { return timed_out_; }
  [[nodiscard]] int error() const { return error_; }

 private:
  [[nodiscard]] bool wait_for(short events) noexcept;
  // What `attempt` returns once it needs not wait.
  template <typename Attempt>
  [[nodiscard]] ssize_t when_ready(short events, Attempt attempt) noexcept;

  UniqueFd fd_;
  Deadline deadline_;
  bool timed_out_ = false;
  int error_ = 0;
};

// Connects to the first of the addresses that answers. One that is silent delays the next by at
// most 300 ms, and leaves it time within the deadline. Throws ApiError: kUnreachable, kTimeout.
[[nodiscard]] Socket connect_to(const std::vector<net::Address>& addresses, std::uint16_t port,
                                Deadline deadline);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_SOCKET_H_
