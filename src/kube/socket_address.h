#ifndef PODLEASE_SRC_KUBE_SOCKET_ADDRESS_H_
#define PODLEASE_SRC_KUBE_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <cstdint>
#include <optional>

#include "podlease/net/address.h"

// Between our addresses and the kernel's.
namespace podlease::kube {

struct SocketAddress {
  sockaddr_storage storage;
  socklen_t size;

  [[nodiscard]] const sockaddr* get() const {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the API's own habit
    return reinterpret_cast<const sockaddr*>(&storage);
  }
};

[[nodiscard]] SocketAddress to_socket_address(net::Address address, std::uint16_t port);

// Nothing: it is of another family.
[[nodiscard]] std::optional<net::Address> address_in(const sockaddr& socket_address);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_SOCKET_ADDRESS_H_
