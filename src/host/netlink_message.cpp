#include "netlink_message.h"

#include <sys/socket.h>

namespace podlease::host {

unsigned char kernel_family(net::Family family) {
  return family == net::Family::kIpv4 ? AF_INET : AF_INET6;
}

Error malformed() {
  return Error(ErrorKind::kIo, "netlink: the kernel's answer is malformed");
}

net::Address address_in(Bytes bytes, net::Family family) {
  net::Uint128 bits = 0;
  for (const std::byte byte : take(bytes, static_cast<std::size_t>(net::bit_width(family)) / 8)) {
    bits = bits << 8 | std::to_integer<unsigned>(byte);
  }
  return net::Address::from_bits(family, bits);
}

std::optional<net::Address> address_in(Bytes bytes, unsigned kernel_number) {
  switch (kernel_number) {
    case AF_INET:
      return address_in(bytes, net::Family::kIpv4);
    case AF_INET6:
      return address_in(bytes, net::Family::kIpv6);
    default:
      return std::nullopt;
  }
}

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

void put(std::vector<std::byte>& message, const void* data, std::size_t size) {
  const std::span bytes(static_cast<const std::byte*>(data), size);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

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

}  // namespace podlease::host
