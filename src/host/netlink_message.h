#ifndef PODLEASE_HOST_NETLINK_MESSAGE_H_
#define PODLEASE_HOST_NETLINK_MESSAGE_H_

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/net/address.h"

// A netlink answer is bytes: messages, each a header and a body, and in most bodies a fixed part
// and attributes. Everything is copied out of them into the kernel's structures, which costs
// nothing and needs neither the casts of NLMSG_DATA and RTA_DATA nor their trust in alignment.
namespace podlease::host {

using Bytes = std::span<const std::byte>;

[[nodiscard]] unsigned char kernel_family(net::Family family);

[[nodiscard]] Error malformed();

// Removes and returns the first `size` bytes.
inline Bytes take(Bytes& bytes, std::size_t size) {
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
inline Bytes take_rest(Bytes& bytes, std::size_t length, std::size_t header_size) {
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
    // Two bits of the type are flags, such as "holds attributes".
    const Bytes value = take_rest(bytes, header.rta_len, sizeof header);
    visit(static_cast<unsigned>(header.rta_type & NLA_TYPE_MASK), value);
  }
}

[[nodiscard]] net::Address address_in(Bytes bytes, net::Family family);

// Nothing where the kernel's family is neither IPv4 nor IPv6.
[[nodiscard]] std::optional<net::Address> address_in(Bytes bytes, unsigned kernel_number);

// Up to the NUL that ends it.
[[nodiscard]] std::string text_in(Bytes bytes);

void put(std::vector<std::byte>& message, const void* data, std::size_t size);

// With the padding up to the next multiple of four.
void put_attribute(std::vector<std::byte>& message, unsigned short type, Bytes value);
void put_attribute(std::vector<std::byte>& message, unsigned short type, unsigned value);

[[nodiscard]] std::vector<std::byte> bytes_of(net::Address address);

// A question: a header, a fixed part of type `Fixed`, and whatever attributes are put behind it.
template <typename Fixed>
std::vector<std::byte> message_of(unsigned short type, unsigned flags, const Fixed& fixed) {
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<unsigned short>(NLM_F_REQUEST | flags);
  std::vector<std::byte> message;
  put(message, &header, sizeof header);
  put(message, &fixed, sizeof fixed);
  // Like an attribute, the fixed part ends at a multiple of four.
  message.resize((message.size() + 3) / 4 * 4);
  return message;
}

}  // namespace podlease::host

#endif  // PODLEASE_HOST_NETLINK_MESSAGE_H_
