#ifndef PODLEASE_NET_ADDRESS_H_
#define PODLEASE_NET_ADDRESS_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace podlease::net {

__extension__ using Uint128 = unsigned __int128;

enum class Family : std::uint8_t { kIpv4 = 4, kIpv6 = 6 };

// Number of bits in an address of the family: 32 or 128.
[[nodiscard]] constexpr int bit_width(Family family) {
  return family == Family::kIpv4 ? 32 : 128;
}

// "ipv4" or "ipv6", as configurations spell it.
[[nodiscard]] std::string_view name(Family family);

// An IPv4 or IPv6 address, without a zone. A value: immutable, ordered, hashable.
//
// Both families live in the low bits of one 128-bit word, so arithmetic is the same for both. The
// family is part of the identity: 10.0.0.1 and ::ffff:10.0.0.1 are different addresses until
// `unmapped` is asked for. There is no "no address" value; where there may be none, use
// std::optional.
class Address {
 public:
  [[nodiscard]] static constexpr Address v4(std::uint32_t bits) {
    return Address(Family::kIpv4, bits);
  }
  [[nodiscard]] static constexpr Address v6(Uint128 bits) { return Address(Family::kIpv6, bits); }
  // `bits` must fit the family; what is above bit 31 of an IPv4 address is dropped.
  [[nodiscard]] static constexpr Address from_bits(Family family, Uint128 bits) {
    return family == Family::kIpv4 ? v4(static_cast<std::uint32_t>(bits)) : v6(bits);
  }

  // Dotted quads with no leading zeros (RFC 6943, section 3.1.1: some readers take those for
  // octal), or IPv6 text of RFC 4291, section 2.2, in either case, without a zone. Nothing around
  // it, not even white space.
  [[nodiscard]] static std::optional<Address> parse(std::string_view text);

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::kIpv4; }
  [[nodiscard]] constexpr bool is_v6() const { return family_ == Family::kIpv6; }
  [[nodiscard]] constexpr Uint128 bits() const { return bits_; }

  // The neighbours within the family; nothing beyond either end, it never wraps.
  [[nodiscard]] constexpr std::optional<Address> next() const {
    if (bits_ == max_bits(family_)) {
      return std::nullopt;
    }
    return Address(family_, bits_ + 1);
  }
  [[nodiscard]] constexpr std::optional<Address> previous() const {
    if (bits_ == 0) {
      return std::nullopt;
    }
    return Address(family_, bits_ - 1);
  }

  // ::ffff:0:0/96 (RFC 4291, section 2.5.5.2).
  [[nodiscard]] constexpr bool is_v4_mapped() const { return is_v6() && (bits_ >> 32) == 0xffff; }
  // The IPv4 address inside a v4-mapped one; any other address is returned as it is.
  [[nodiscard]] constexpr Address unmapped() const {
    return is_v4_mapped() ? v4(static_cast<std::uint32_t>(bits_)) : *this;
  }
  // fe80::/10 (RFC 4291, section 2.5.6).
  [[nodiscard]] constexpr bool is_link_local_v6() const {
    return is_v6() && (bits_ >> 118) == 0x3fa;
  }

  // Dotted quad, or the canonical text of RFC 5952.
  [[nodiscard]] std::string to_string() const;

  // IPv4 before IPv6, then by number.
  friend constexpr auto operator<=>(const Address&, const Address&) = default;

  // The highest address of the family, as a number.
  [[nodiscard]] static constexpr Uint128 max_bits(Family family) {
    return family == Family::kIpv4 ? Uint128{0xffffffff} : ~Uint128{0};
  }

 private:
  constexpr Address(Family family, Uint128 bits) : family_(family), bits_(bits) {}

  Family family_;
  Uint128 bits_;
};

}  // namespace podlease::net

template <>
struct std::hash<podlease::net::Address> {
  std::size_t operator()(const podlease::net::Address& address) const noexcept {
    const auto bits = address.bits();
    const std::hash<std::uint64_t> mix;
    return mix(static_cast<std::uint64_t>(bits >> 64) * 0x9e3779b97f4a7c15U +
               static_cast<std::uint64_t>(bits)) ^
           static_cast<std::size_t>(address.family());
  }
};

#endif  // PODLEASE_NET_ADDRESS_H_
