#include "socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "podlease/base/clock.h"
#include "socket_address.h"
#include "time_left.h"

namespace podlease::kube {
namespace {

using std::chrono::steady_clock;

// RFC 8305 takes 250 ms for the time between two attempts.
constexpr Milliseconds kHeadStart{300};

std::string endpoint(net::Address address, std::uint16_t port) {
  const std::string text = address.to_string();
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

// Attempts to connect to one address after the other, each getting a head start before the next.
class Race {
 public:
  Race(const std::vector<net::Address>& addresses, std::uint16_t port, Deadline deadline)
      : addresses_(&addresses),
        port_(port),
        deadline_(deadline),
        head_start_(
            std::min(kHeadStart, time_left(deadline) / static_cast<int>(addresses.size() + 1))) {}

  UniqueFd run() {
    while (!is_over(deadline_)) {
      if (next_ < addresses_->size() && (attempts_.empty() || is_over(next_start_))) {
        start_next();
      } else if (attempts_.empty()) {
        throw ApiError(ApiError::Cause::kUnreachable, "cannot connect to " + failures_,
                       "see that the API server runs, and that this host reaches it");
      } else if (UniqueFd winner = wait()) {
        return winner;
      }
    }
    throw ApiError(ApiError::Cause::kTimeout, "no connection to " + all_endpoints() + " in time",
                   "see that the API server runs, and that no firewall drops packets to it");
  }

 private:
  struct Attempt {
    net::Address address;
    UniqueFd fd;
  };

  void start_next() {
    const net::Address address = addresses_->at(next_++);
    next_start_ = steady_clock::now() + head_start_;
    UniqueFd fd(socket(address.is_v4() ? AF_INET : AF_INET6,
                       SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const SocketAddress peer = to_socket_address(address, port_);
    if (!fd || (connect(fd.get(), peer.get(), peer.size) != 0 && errno != EINPROGRESS)) {
      note_failure(address, errno);
      return;
    }
    attempts_.push_back({.address = address, .fd = std::move(fd)});
  }

  // The attempt that has succeeded, if one has until the next one is to start.
  UniqueFd wait() {
    std::vector<pollfd> polled;
    for (const Attempt& attempt : attempts_) {
      polled.push_back({.fd = attempt.fd.get(), .events = POLLOUT, .revents = 0});
    }
    const Deadline until =
        next_ < addresses_->size() ? std::min(next_start_, deadline_) : deadline_;
    static_cast<void>(poll(polled.data(), polled.size(), poll_time(time_left(until))));
    for (std::size_t i = polled.size(); i-- > 0;) {
      if (polled[i].revents == 0) {
        continue;
      }
      Attempt attempt = std::move(attempts_[i]);
      attempts_.erase(attempts_.begin() + static_cast<std::ptrdiff_t>(i));
      const int error = error_of(attempt.fd.get());
      if (error == 0) {
        return std::move(attempt.fd);
      }
      note_failure(attempt.address, error);
    }
    return {};
  }

  static int error_of(int fd) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
  }

  void note_failure(net::Address address, int error) {
    next_start_ = steady_clock::now();
    failures_ += failures_.empty() ? "" : ", ";
    failures_ += endpoint(address, port_) + ": " + std::strerror(error);
  }

  [[nodiscard]] std::string all_endpoints() const {
    std::string text;
    for (const net::Address address : *addresses_) {
      text += (text.empty() ? "" : ", ") + endpoint(address, port_);
    }
    return text;
  }

  const std::vector<net::Address>* addresses_;
  std::uint16_t port_;
  Deadline deadline_;
  Milliseconds head_start_;
  std::size_t next_ = 0;
  Deadline next_start_;
  std::vector<Attempt> attempts_;
  std::string failures_;
};

}  // namespace

bool Socket::wait_for(short events) noexcept {
  pollfd polled{.fd = fd_.get(), .events = events, .revents = 0};
  const int ready = poll(&polled, 1, poll_time(time_left(deadline_)));
  if (ready < 0 && errno != EINTR) {
    error_ = errno;
    return false;
  }
  // Also while data keeps coming: a peer that feeds us a byte at a time must not keep us.
  timed_out_ = is_over(deadline_);
  return !timed_out_;
}

template <typename Attempt>
ssize_t Socket::when_ready(short events, Attempt attempt) noexcept {
  while (wait_for(events)) {
    const ssize_t count = attempt();
    if (count >= 0) {
      return count;
    }
    if (errno != EAGAIN && errno != EINTR) {
      error_ = errno;
      break;
    }
  }
  return -1;
}

ssize_t Socket::receive(char* data, std::size_t size) noexcept {
  return when_ready(POLLIN, [&] { return recv(fd_.get(), data, size, MSG_DONTWAIT); });
}

ssize_t Socket::send(const char* data, std::size_t size) noexcept {
  return when_ready(POLLOUT,
                    [&] { return ::send(fd_.get(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL); });
}

Socket connect_to(const std::vector<net::Address>& addresses, std::uint16_t port,
                  Deadline deadline) {
  UniqueFd fd = Race(addresses, port, deadline).run();
  const int on = 1;
  static_cast<void>(setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
  return {std::move(fd), deadline};
}

}  // namespace podlease::kube
