#include "socket_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <array>
#include <cstddef>
#include <cstring>

namespace podlease::kube {
namespace {

using Octets = std::array<unsigned char, 16>;

Octets to_octets(net::Uint128 bits) {
  Octets octets{};
  for (auto octet = octets.rbegin(); octet != octets.rend(); ++octet, bits >>= 8U) {
    *octet = static_cast<unsigned char>(bits & 0xffU);
  }
  return octets;
}

net::Uint128 to_bits(const Octets& octets) {
  net::Uint128 bits = 0;
  for (const unsigned char octet : octets) {
    bits = bits << 8U | octet;
  }
  return bits;
}

}  // namespace

SocketAddress to_socket_address(net::Address address, std::uint16_t port) {
  SocketAddress result{};
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    v4.sin_addr.s_addr = htonl(static_cast<std::uint32_t>(address.bits()));
    std::memcpy(&result.storage, &v4, sizeof v4);
    result.size = sizeof v4;
  } else {
    sockaddr_in6 v6{};
    const Octets octets = to_octets(address.bits());
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, octets.data(), octets.size());
    std::memcpy(&result.storage, &v6, sizeof v6);
    result.size = sizeof v6;
  }
  return result;
}

std::optional<net::Address> address_in(const sockaddr& socket_address) {
  if (socket_address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &socket_address, sizeof v4);
    return net::Address::v4(ntohl(v4.sin_addr.s_addr));
  }
  if (socket_address.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &socket_address, sizeof v6);
    Octets octets{};
    std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
    return net::Address::v6(to_bits(octets));
  }
  return std::nullopt;
}

}  // namespace podlease::kube
