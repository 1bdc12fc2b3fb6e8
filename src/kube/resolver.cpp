#include "resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <optional>

#include "podlease/base/text.h"
#include "socket_address.h"
#include "time_left.h"

namespace podlease::kube {
namespace {

ApiError failed(const std::string& host, const std::string& why) {
  return {ApiError::Cause::kUnreachable,
          "cannot find the address of " + in_quotes(host) + ": " + why,
          "it must be in /etc/hosts, or the name servers in /etc/resolv.conf must know it"};
}

// What came of a look-up, filled in by c-ares.
struct Finding {
  std::optional<int> status;  // nothing: it is not over yet
  std::vector<net::Address> addresses;
};

void receive(void* finding_pointer, int status, int /*timeouts*/, ares_addrinfo* found) noexcept {
  Finding& finding = *static_cast<Finding*>(finding_pointer);
  finding.status = status;
  if (found == nullptr) {
    return;
  }
  for (const ares_addrinfo_node* node = found->nodes; node != nullptr; node = node->ai_next) {
    if (const auto address = address_in(*node->ai_addr)) {
      finding.addresses.push_back(*address);
    }
  }
  ares_freeaddrinfo(found);
}

// One look-up at a time.
class Channel {
 public:
  explicit Channel(Milliseconds patience) {
    ares_library_init(ARES_LIB_INIT_ALL);
    std::array<char, 3> lookups{'f', 'b', '\0'};  // files, then DNS
    ares_options options{};
    options.lookups = lookups.data();
    options.timeout = static_cast<int>(patience.count());
    options.tries = 3;
    status_ = ares_init_options(&channel_, &options,
                                ARES_OPT_LOOKUPS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() {
    if (status_ == ARES_SUCCESS) {
      ares_destroy(channel_);
    }
  }

  // ARES_SUCCESS, or why nothing can be looked up.
  [[nodiscard]] int status() const { return status_; }

  int use(const std::string& name_servers) {
    return ares_set_servers_ports_csv(channel_, name_servers.c_str());
  }

  void look_up(const std::string& host, Finding& finding) {
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, receive, &finding);
  }

  // Waits for name servers, at most for `longest`, and goes on with what they said.
  void go_on(Milliseconds longest) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    const int wanted = ares_getsock(channel_, sockets.data(), ARES_GETSOCK_MAXNUM);
    std::array<pollfd, ARES_GETSOCK_MAXNUM> polled{};
    for (std::size_t i = 0; i < polled.size(); ++i) {
      const unsigned bits = static_cast<unsigned>(wanted) >> i;
      const bool reads = (bits & 1U) != 0;
      const bool writes = (bits >> static_cast<unsigned>(ARES_GETSOCK_MAXNUM) & 1U) != 0;
      polled.at(i) = {.fd = reads || writes ? sockets.at(i) : -1,
                      .events = static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)),
                      .revents = 0};
    }
    static_cast<void>(poll(polled.data(), polled.size(), poll_time(patience(longest))));
    ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what took too long
    for (const pollfd& item : polled) {
      if (item.revents != 0) {
        ares_process_fd(channel_, (item.revents & ~POLLOUT) != 0 ? item.fd : ARES_SOCKET_BAD,
                        (item.revents & POLLOUT) != 0 ? item.fd : ARES_SOCKET_BAD);
      }
    }
  }

 private:
  // Until c-ares would turn to another server.
  [[nodiscard]] Milliseconds patience(Milliseconds longest) const {
    timeval most{.tv_sec = longest.count() / 1000, .tv_usec = longest.count() % 1000 * 1000};
    timeval time{};
    ares_timeout(channel_, &most, &time);
    return std::chrono::seconds(time.tv_sec) + Milliseconds((time.tv_usec + 999) / 1000);
  }

  ares_channel channel_ = nullptr;
  int status_;
};

// A name server that is down must leave time for the next one.
Milliseconds patience_with_one(Deadline deadline) {
  return std::clamp(time_left(deadline) / 4, Milliseconds(50), Milliseconds(1000));
}

}  // namespace

std::vector<net::Address> resolve(const std::string& host, Deadline deadline,
                                  const std::string& name_servers) {
  if (const auto address = net::Address::parse(host)) {
    return {*address};
  }
  Finding finding;  // outlives the channel, which tells it that it ends
  Channel channel(patience_with_one(deadline));
  if (channel.status() != ARES_SUCCESS) {
    throw failed(host, ares_strerror(channel.status()));
  }
  if (!name_servers.empty() && channel.use(name_servers) != ARES_SUCCESS) {
    throw failed(host, "no name servers: " + name_servers);
  }
  channel.look_up(host, finding);
  while (!finding.status) {
    if (is_over(deadline)) {
      throw ApiError(ApiError::Cause::kTimeout,
                     "the name servers did not tell the address of " + in_quotes(host) + " in time",
                     "see that those in /etc/resolv.conf answer");
    }
    channel.go_on(time_left(deadline));
  }
  if (finding.addresses.empty()) {
    throw failed(host, ares_strerror(finding.status.value()));
  }
  return finding.addresses;
}

}  // namespace podlease::kube
