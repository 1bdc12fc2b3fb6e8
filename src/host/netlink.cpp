// A netlink answer is bytes: messages, each a header and a body, and in most bodies a fixed part
// and attributes. Everything is copied out of them into the kernel's structures, which costs
// nothing and needs neither the casts of NLMSG_DATA and RTA_DATA nor their trust in alignment.

#include "netlink.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "podlease/base/error.h"

namespace podlease::host {

namespace {

using Bytes = std::span<const std::byte>;

// The kernel fills at most 32 KiB at a time, however much there is to say.
constexpr std::size_t kLongestAnswer = 32768;

// Routes may change while they are read, on a busy node several times a second.
constexpr int kDumpAttempts = 10;

constexpr std::size_t kAddressBytes = 16;

// What a question consists of; the kernel wants these parts without gaps.
struct LookUp {
  nlmsghdr header;
  rtmsg route;
  rtattr attribute;
  std::array<std::byte, kAddressBytes> destination;
};
struct RouteDump {
  nlmsghdr header;
  rtmsg route;
};
struct AddressDump {
  nlmsghdr header;
  ifaddrmsg address;
};
struct LinkDump {
  nlmsghdr header;
  ifinfomsg link;
};
static_assert(sizeof(LookUp) == sizeof(nlmsghdr) + sizeof(rtmsg) + sizeof(rtattr) + kAddressBytes);
static_assert(sizeof(RouteDump) == sizeof(nlmsghdr) + sizeof(rtmsg));
static_assert(sizeof(AddressDump) == sizeof(nlmsghdr) + sizeof(ifaddrmsg));
static_assert(sizeof(LinkDump) == sizeof(nlmsghdr) + sizeof(ifinfomsg));

unsigned char kernel_family(net::Family family) {
  return family == net::Family::kIpv4 ? AF_INET : AF_INET6;
}

Error malformed() {
  return Error(ErrorKind::kIo, "netlink: the kernel's answer is malformed");
}

// Removes and returns the first `size` bytes.
Bytes take(Bytes& bytes, std::size_t size) {
  if (size > bytes.size()) {
    throw malformed();
  }
  const Bytes taken = bytes.first(size);
  bytes = bytes.subspan(size);
  return taken;
}

template <typename T>
T take(Bytes& bytes) {
  T value{};
  std::memcpy(&value, take(bytes, sizeof(T)).data(), sizeof(T));
  return value;
}

// What `length`, which counts its own header of `header_size`, says belongs to that header; with it
// goes the padding up to the next multiple of four.
Bytes take_rest(Bytes& bytes, std::size_t length, std::size_t header_size) {
  if (length < header_size) {
    throw malformed();
  }
  const Bytes rest = take(bytes, length - header_size);
  const std::size_t padding = (4 - length % 4) % 4;
  take(bytes, std::min(padding, bytes.size()));
  return rest;
}

template <typename Visit>
void for_each_attribute(Bytes bytes, Visit visit) {
  while (!bytes.empty()) {
    const auto header = take<rtattr>(bytes);
    visit(header.rta_type, take_rest(bytes, header.rta_len, sizeof header));
  }
}

net::Address address_in(Bytes bytes, net::Family family) {
  net::Uint128 bits = 0;
  for (const std::byte byte : take(bytes, static_cast<std::size_t>(net::bit_width(family)) / 8)) {
    bits = bits << 8 | std::to_integer<unsigned>(byte);
  }
  return net::Address::from_bits(family, bits);
}

// Nothing where the family is neither IPv4 nor IPv6.
std::optional<net::Address> address_in(rtvia via, Bytes bytes) {
  switch (via.rtvia_family) {
    case AF_INET:
      return address_in(bytes, net::Family::kIpv4);
    case AF_INET6:
      return address_in(bytes, net::Family::kIpv6);
    default:
      return std::nullopt;
  }
}

// Up to the NUL that ends it.
std::string text_in(Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    if (byte == std::byte{0}) {
      break;
    }
    text += static_cast<char>(byte);
  }
  return text;
}

std::optional<Route> read_route(unsigned message_type, Bytes body, net::Family family) {
  if (message_type != RTM_NEWROUTE) {
    return std::nullopt;
  }
  const auto fixed = take<rtmsg>(body);
  // A kernel without IPv6 answers a dump of it with whatever it has.
  if (fixed.rtm_family != kernel_family(family)) {
    return std::nullopt;
  }
  net::Address destination = net::Address::from_bits(family, 0);
  std::optional<net::Address> gateway;
  std::optional<net::Address> source;
  unsigned interface = 0;
  unsigned table = fixed.rtm_table;
  unsigned metric = 0;
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    switch (type) {
      case RTA_DST:
        destination = address_in(value, family);
        break;
      case RTA_GATEWAY:
        gateway = address_in(value, family);
        break;
      case RTA_VIA: {
        const auto via = take<rtvia>(value);
        gateway = address_in(via, value);
        break;
      }
      case RTA_PREFSRC:
        source = address_in(value, family);
        break;
      case RTA_OIF:
        interface = take<unsigned>(value);
        break;
      case RTA_TABLE:  // those that do not fit into a byte
        table = take<unsigned>(value);
        break;
      case RTA_PRIORITY:
        metric = take<unsigned>(value);
        break;
      case RTA_MULTIPATH:  // instead of RTA_OIF; the first of several next hops will do
        interface = static_cast<unsigned>(take<rtnexthop>(value).rtnh_ifindex);
        break;
      default:
        break;
    }
  });
  const auto prefix = net::Prefix::make(destination, fixed.rtm_dst_len);
  if (!prefix) {
    throw malformed();
  }
  return Route{.type = fixed.rtm_type,
               .cloned = (fixed.rtm_flags & RTM_F_CLONED) != 0,
               .destination = *prefix,
               .gateway = gateway,
               .source = source,
               .interface = interface,
               .table = table,
               .protocol = fixed.rtm_protocol,
               .metric = metric};
}

std::optional<Assigned> read_assigned(unsigned message_type, Bytes body, net::Family family) {
  if (message_type != RTM_NEWADDR) {
    return std::nullopt;
  }
  const auto fixed = take<ifaddrmsg>(body);
  if (fixed.ifa_family != kernel_family(family)) {
    return std::nullopt;
  }
  std::optional<net::Address> local;
  std::optional<net::Address> address;
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    if (type == IFA_LOCAL) {
      local = address_in(value, family);
    } else if (type == IFA_ADDRESS) {  // the peer's on a point-to-point link, else ours
      address = address_in(value, family);
    }
  });
  if (!local && !address) {
    return std::nullopt;
  }
  const auto prefix = net::Prefix::make(local ? *local : *address, fixed.ifa_prefixlen);
  if (!prefix) {
    throw malformed();
  }
  return Assigned{.address = *prefix, .interface = fixed.ifa_index};
}

AddressDump address_dump(net::Family family, unsigned interface) {
  AddressDump request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETADDR;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.address.ifa_family = kernel_family(family);
  request.address.ifa_index = interface;
  return request;
}

RouteDump route_dump(net::Family family) {
  RouteDump request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.route.rtm_family = kernel_family(family);
  return request;
}

void put(std::vector<std::byte>& message, const void* data, std::size_t size) {
  const std::span bytes(static_cast<const std::byte*>(data), size);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

// With the padding up to the next multiple of four.
void put_attribute(std::vector<std::byte>& message, unsigned short type, Bytes value) {
  const rtattr header{.rta_len = static_cast<unsigned short>(sizeof(rtattr) + value.size()),
                      .rta_type = type};
  put(message, &header, sizeof header);
  message.insert(message.end(), value.begin(), value.end());
  message.resize((message.size() + 3) / 4 * 4);
}

void put_attribute(std::vector<std::byte>& message, unsigned short type, unsigned value) {
  put_attribute(message, type, std::as_bytes(std::span(&value, 1)));
}

std::vector<std::byte> bytes_of(net::Address address) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(net::bit_width(address.family())) / 8);
  net::Uint128 bits = address.bits();
  for (std::size_t i = bytes.size(); i-- > 0; bits >>= 8) {
    bytes[i] = static_cast<std::byte>(bits & 0xff);
  }
  return bytes;
}

// A change as the kernel takes it; the header's sequence number and length are put in last.
std::vector<std::byte> route_message(const RouteChange& change, unsigned char protocol) {
  const GatewayRoute& route = change.route;
  const net::Family family = route.destination.family();
  const bool removes = change.kind == RouteChange::Kind::kRemove;
  nlmsghdr header{};
  header.nlmsg_type = removes ? RTM_DELROUTE : RTM_NEWROUTE;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  if (!removes) {
    header.nlmsg_flags |= NLM_F_CREATE;
    header.nlmsg_flags |= change.kind == RouteChange::Kind::kReplace ? NLM_F_REPLACE : NLM_F_EXCL;
  }
  rtmsg fixed{};
  fixed.rtm_family = kernel_family(family);
  fixed.rtm_dst_len = static_cast<unsigned char>(route.destination.length());
  fixed.rtm_table = RT_TABLE_MAIN;
  fixed.rtm_protocol = protocol;
  // Of a route that is removed neither is compared.
  fixed.rtm_scope = removes ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE;
  fixed.rtm_type = removes ? RTN_UNSPEC : RTN_UNICAST;
  std::vector<std::byte> message;
  put(message, &header, sizeof header);
  put(message, &fixed, sizeof fixed);
  put_attribute(message, RTA_DST, bytes_of(route.destination.first()));
  if (route.gateway && route.gateway->family() == family) {
    put_attribute(message, RTA_GATEWAY, bytes_of(*route.gateway));
  } else if (route.gateway) {
    const decltype(rtvia::rtvia_family) other = kernel_family(route.gateway->family());
    std::vector<std::byte> value;
    put(value, &other, sizeof other);
    const std::vector<std::byte> bytes = bytes_of(*route.gateway);
    value.insert(value.end(), bytes.begin(), bytes.end());
    put_attribute(message, RTA_VIA, value);
  }
  if (route.link.index != 0) {
    put_attribute(message, RTA_OIF, route.link.index);
  }
  if (route.metric != 0) {
    put_attribute(message, RTA_PRIORITY, route.metric);
  }
  return message;
}

LookUp look_up(net::Address address, unsigned flags) {
  LookUp request{};
  const int width = net::bit_width(address.family());
  const auto size = static_cast<std::size_t>(width) / 8;
  request.header.nlmsg_type = RTM_GETROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.header.nlmsg_len =
      static_cast<std::uint32_t>(sizeof request - request.destination.size() + size);
  request.route.rtm_family = kernel_family(address.family());
  request.route.rtm_dst_len = static_cast<unsigned char>(width);
  request.route.rtm_flags = flags;
  request.attribute.rta_type = RTA_DST;
  request.attribute.rta_len = static_cast<unsigned short>(sizeof request.attribute + size);
  net::Uint128 bits = address.bits();
  for (std::size_t i = size; i-- > 0; bits >>= 8) {
    request.destination.at(i) = static_cast<std::byte>(bits & 0xff);
  }
  return request;
}

void send_request(int socket, const void* request, std::size_t size) {
  while (send(socket, request, size, 0) < 0) {
    if (errno != EINTR) {
      throw io_error("netlink: ask the kernel", errno);
    }
  }
}

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

// Reports whether the entry gives its address to somebody.
bool is_in_use(const Route& entry) {
  switch (entry.type) {
    case RTN_UNICAST:
    case RTN_LOCAL:
    case RTN_BROADCAST:
    case RTN_ANYCAST:
      return true;
    default:
      return false;
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
    case EAFNOSUPPORT:  // no IPv6
    case EOPNOTSUPP:    // no IPv6
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

// Asks once. Reports whether the answer is whole: it is not if something changed during a dump.
template <typename Request, typename Visit>
bool RouteSocket::exchange(Request& request, Visit& visit) {
  request.header.nlmsg_seq = ++sequence_;
  send_request(socket_.get(), &request, request.header.nlmsg_len);
  std::array<std::byte, kLongestAnswer> buffer;
  bool whole = true;
  while (true) {
    Bytes messages = receive(socket_.get(), buffer);
    while (!messages.empty()) {
      const auto header = take<nlmsghdr>(messages);
      Bytes body = take_rest(messages, header.nlmsg_len, sizeof header);
      if (header.nlmsg_seq != sequence_) {
        continue;  // left over from a question that was given up
      }
      whole = whole && (header.nlmsg_flags & NLM_F_DUMP_INTR) == 0;
      if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
        const int error = body.empty() ? 0 : -take<int>(body);
        if (!is_an_answer(error)) {
          throw io_error("netlink: the kernel refuses to answer", error);
        }
        return whole;
      }
      visit(header.nlmsg_type, body);
      if ((header.nlmsg_flags & NLM_F_MULTI) == 0) {
        return whole;
      }
    }
  }
}

// Hands each message of the answer to `visit`, or none if the answer is that nothing is there. A
// dump that is not whole is asked for again: what it showed was there, so no message is taken back.
template <typename Request, typename Visit>
void RouteSocket::ask(Request request, Visit visit) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    if (exchange(request, visit)) {
      return;
    }
  }
  throw Error(ErrorKind::kIo, "netlink: routes or addresses changed during each of " +
                                  std::to_string(kDumpAttempts) + " attempts to read them");
}

std::optional<Route> RouteSocket::host_entry(net::Address address) {
  const net::Prefix wanted = net::Prefix::host(address);
  std::optional<Route> found;
  const auto visit = [&](unsigned type, Bytes body) {
    const auto route = read_route(type, body, address.family());
    if (!route || route->destination != wanted || route->cloned || !is_in_use(*route)) {
      return;
    }
    // One address may have several entries: prefer, as a look-up does, that of the local table.
    if (!found || found->type == RTN_UNICAST) {
      found = route;
    }
  };
  // Kernels before 4.13 ignore RTM_F_FIB_MATCH and answer with a route made for this address alone,
  // which IPv6 does not even mark as cloned. Those with strict checking (4.20) know the flag.
  if (strict_) {
    ask(look_up(address, RTM_F_FIB_MATCH), visit);
  } else {
    ask(route_dump(address.family()), visit);
  }
  return found;
}

std::vector<Route> RouteSocket::routes(net::Family family) {
  std::vector<Route> found;
  ask(route_dump(family), [&](unsigned type, Bytes body) {
    const auto route = read_route(type, body, family);
    if (route && !route->cloned) {
      found.push_back(*route);
    }
  });
  return found;
}

std::optional<Route> RouteSocket::path_to(net::Address address) {
  std::optional<Route> path;
  ask(look_up(address, 0),
      [&](unsigned type, Bytes body) { path = read_route(type, body, address.family()); });
  return path;
}

std::optional<net::Prefix> RouteSocket::assigned(net::Address address, unsigned interface) {
  std::optional<net::Prefix> found;
  // Old kernels do not look at the index and tell of every interface the first time.
  for (const unsigned index : {interface, 0U}) {
    ask(address_dump(address.family(), index), [&](unsigned type, Bytes body) {
      const auto candidate = read_assigned(type, body, address.family());
      if (!found && candidate && candidate->address.address() == address) {
        found = candidate->address;
      }
    });
    if (found) {
      break;
    }
  }
  return found;
}

std::vector<Assigned> RouteSocket::addresses(net::Family family) {
  std::vector<Assigned> found;
  ask(address_dump(family, 0), [&](unsigned type, Bytes body) {
    if (const auto assigned = read_assigned(type, body, family)) {
      found.push_back(*assigned);
    }
  });
  return found;
}

int RouteSocket::change(const RouteChange& change, unsigned char protocol) {
  std::vector<std::byte> message = route_message(change, protocol);
  nlmsghdr header{};
  std::memcpy(&header, message.data(), sizeof header);
  header.nlmsg_len = static_cast<std::uint32_t>(message.size());
  header.nlmsg_seq = ++sequence_;
  std::memcpy(message.data(), &header, sizeof header);
  send_request(socket_.get(), message.data(), message.size());
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

std::map<unsigned, std::string> RouteSocket::interface_names() {
  LinkDump request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  std::map<unsigned, std::string> names;
  ask(request, [&](unsigned message_type, Bytes body) {
    if (message_type != RTM_NEWLINK) {
      return;
    }
    const auto index = static_cast<unsigned>(take<ifinfomsg>(body).ifi_index);
    for_each_attribute(body, [&](unsigned type, Bytes value) {
      if (type == IFLA_IFNAME) {
        names[index] = text_in(value);
      }
    });
  });
  return names;
}

}  // namespace podlease::host
