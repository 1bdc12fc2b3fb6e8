#ifndef PODLEASE_NET_PREFIX_H_
#define PODLEASE_NET_PREFIX_H_

#include <compare>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/range.h"

namespace podlease::net {

// An address with a prefix length, as in 10.0.0.5/24. Host bits are kept; `masked` clears them. A
// value.
class Prefix {
 public:
  // Nothing if `length` is not within 0 and the family's bit width.
  [[nodiscard]] static constexpr std::optional<Prefix> make(Address address, int length) {
    if (length < 0 || length > bit_width(address.family())) {
      return std::nullopt;
    }
    return Prefix(address, length);
  }
  // `length` is the family's full width: a host route.
  [[nodiscard]] static constexpr Prefix host(Address address) {
    return Prefix(address, bit_width(address.family()));
  }
  // ADDRESS/LENGTH; the length is decimal without sign or leading zeros.
  [[nodiscard]] static std::optional<Prefix> parse(std::string_view text);

  [[nodiscard]] constexpr const Address& address() const { return address_; }
  [[nodiscard]] constexpr int length() const { return length_; }
  [[nodiscard]] constexpr Family family() const { return address_.family(); }

  // Lowest and highest address covered: for IPv4, the network and the broadcast address.
  [[nodiscard]] constexpr Address first() const {
    return Address::from_bits(family(), address_.bits() & ~host_mask());
  }
  [[nodiscard]] constexpr Address last() const {
    return Address::from_bits(family(), address_.bits() | host_mask());
  }
  [[nodiscard]] constexpr Range range() const { return *Range::make(first(), last()); }
  [[nodiscard]] constexpr Prefix masked() const { return Prefix(first(), length_); }
  // Reports whether bits below the mask are set.
  [[nodiscard]] constexpr bool has_host_bits() const {
    return (address_.bits() & host_mask()) != 0;
  }
  // An address of the other family is never contained.
  [[nodiscard]] constexpr bool contains(Address address) const { return range().contains(address); }
  [[nodiscard]] constexpr bool contains(const Range& other) const {
    return range().contains(other);
  }
  [[nodiscard]] constexpr bool overlaps(const Prefix& other) const {
    return range().overlaps(other.range());
  }

  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const Prefix&, const Prefix&) = default;

 private:
  constexpr Prefix(Address address, int length) : address_(address), length_(length) {}

  [[nodiscard]] constexpr Uint128 host_mask() const {
    const int host_bits = bit_width(family()) - length_;
    return host_bits == 128 ? ~Uint128{0} : (Uint128{1} << host_bits) - 1;
  }

  Address address_;
  int length_;
};

// As people list them: 10.0.0.0/8, fd00::/8.
[[nodiscard]] std::string to_string(const std::vector<Prefix>& prefixes);

}  // namespace podlease::net

#endif  // PODLEASE_NET_PREFIX_H_
