// How questions are asked. What they say is in netlink_routes.cpp and netlink_links.cpp.

#include "netlink.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string>

#include "podlease/base/error.h"

namespace podlease::host {

namespace {

// The kernel fills at most 32 KiB at a time, however much there is to say.
constexpr std::size_t kLongestAnswer = 32768;

// Routes may change while they are read, on a busy node several times a second.
constexpr int kDumpAttempts = 10;

// The next part of an answer, in `buffer`.
Bytes receive(int socket, std::span<std::byte> buffer) {
  while (true) {
    // With MSG_TRUNC, what is returned is the length before it was cut.
    const ssize_t length = recv(socket, buffer.data(), buffer.size(), MSG_TRUNC);
    if (length < 0 && errno == EINTR) {
      continue;
    }
    if (length < 0) {
      throw io_error("netlink: wait for the kernel", errno == EAGAIN ? ETIMEDOUT : errno);
    }
    const auto size = static_cast<std::size_t>(length);
    if (size > buffer.size()) {
      throw Error(ErrorKind::kIo, "netlink: " + std::to_string(size) + " bytes in one answer");
    }
    return buffer.first(size);
  }
}

// Reports whether the kernel says with this error that what was asked for is not there.
bool is_an_answer(int error) {
  switch (error) {
    case 0:
    case ENETUNREACH:   // no route
    case EHOSTUNREACH:  // an unreachable route
    case EINVAL:        // a blackhole
    case EACCES:        // a prohibit route
    case EAGAIN:        // a throw route, and no rule after it
    case ENODEV:        // no such interface any more
    case ENOENT:        // no such neighbour
    case EAFNOSUPPORT:  // no IPv6
    case EOPNOTSUPP:    // no IPv6, or a question that this kernel does not know
      return true;
    default:
      return false;
  }
}

}  // namespace

RouteSocket::RouteSocket(Kernel kernel)
    : socket_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  const timeval timeout{.tv_sec = 2, .tv_usec = 0};
  if (!socket_ ||
      setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) {
    throw io_error("open a netlink socket", errno);
  }
  const int on = 1;
  strict_ = kernel != Kernel::kOld &&
            setsockopt(socket_.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on) == 0;
}

// Puts the length and a new sequence number into the header.
void RouteSocket::send(std::vector<std::byte>& message) {
  nlmsghdr header{};
  std::memcpy(&header, message.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(message.size());
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  while (::send(socket_.get(), message.data(), message.size(), 0) < 0) {
    if (errno != EINTR) {
      throw io_error("netlink: ask the kernel", errno);
    }
  }
}

// Asks once.
RouteSocket::Answer RouteSocket::exchange(std::vector<std::byte>& message, const Visit& visit) {
  send(message);
  std::array<std::byte, kLongestAnswer> buffer;
  Answer answer;
  while (true) {
    Bytes messages = receive(socket_.get(), buffer);
    while (!messages.empty()) {
      const auto header = take<nlmsghdr>(messages);
      Bytes body = take_rest(messages, header.nlmsg_len, sizeof header);
      if (header.nlmsg_seq != sequence_) {
        continue;  // left over from a question that was given up
      }
      answer.whole = answer.whole && (header.nlmsg_flags & NLM_F_DUMP_INTR) == 0;
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
        answer.error = body.empty() ? 0 : -take<int>(body);
        if (!is_an_answer(answer.error)) {
          throw io_error("netlink: the kernel refuses to answer", answer.error);
        }
        return answer;
      }
      visit(header.nlmsg_type, body);
      if ((header.nlmsg_flags & NLM_F_MULTI) == 0) {
        return answer;
      }
    }
  }
}

// Hands each message of the answer to `visit`, or none if the answer is that nothing is there, and
// returns the errno that says so. A dump that is not whole is asked for again, after `start_again`
// where what it showed must not be shown twice.
int RouteSocket::ask(std::vector<std::byte> message, const Visit& visit,
                     const std::function<void()>& start_again) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    if (attempt > 0) {
      start_again();
    }
    if (const Answer answer = exchange(message, visit); answer.whole) {
      return answer.error;
    }
  }
  throw Error(ErrorKind::kIo, "netlink: routes or addresses changed during each of " +
                                  std::to_string(kDumpAttempts) + " attempts to read them");
}

int RouteSocket::change(const RouteChange& change, unsigned char protocol) {
  std::vector<std::byte> message = route_message(change, protocol);
  send(message);
  std::array<std::byte, kLongestAnswer> buffer;
  while (true) {
    Bytes messages = receive(socket_.get(), buffer);
    while (!messages.empty()) {
      const auto answer = take<nlmsghdr>(messages);
      Bytes body = take_rest(messages, answer.nlmsg_len, sizeof answer);
      if (answer.nlmsg_seq == sequence_ && answer.nlmsg_type == NLMSG_ERROR) {
        return -take<int>(body);
      }
    }
  }
}

}  // namespace podlease::host
