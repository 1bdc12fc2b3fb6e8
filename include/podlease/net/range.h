#ifndef PODLEASE_NET_RANGE_H_
#define PODLEASE_NET_RANGE_H_

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "podlease/net/address.h"

namespace podlease::net {

// Addresses from `first` to `last`, both inclusive, of one family; never empty. A value.
class Range {
 public:
  // Nothing if the families differ or `first` is above `last`.
  [[nodiscard]] static constexpr std::optional<Range> make(Address first, Address last) {
    if (first.family() != last.family() || last < first) {
      return std::nullopt;
    }
    return Range(first, last);
  }
  [[nodiscard]] static constexpr Range single(Address address) { return Range(address, address); }
  // An address, a prefix (host bits refused) or FIRST-LAST.
  [[nodiscard]] static std::optional<Range> parse(std::string_view text);

  [[nodiscard]] constexpr const Address& first() const { return first_; }
  [[nodiscard]] constexpr const Address& last() const { return last_; }
  [[nodiscard]] constexpr Family family() const { return first_.family(); }
  [[nodiscard]] constexpr bool contains(Address address) const {
    return first_ <= address && address <= last_;
  }
  [[nodiscard]] constexpr bool contains(const Range& other) const {
    return first_ <= other.first_ && other.last_ <= last_;
  }
  [[nodiscard]] constexpr bool overlaps(const Range& other) const {
    return first_ <= other.last_ && other.first_ <= last_;
  }
  // What both hold; nothing if they are apart.
  [[nodiscard]] constexpr std::optional<Range> intersection(const Range& other) const {
    return make(first_ < other.first_ ? other.first_ : first_,
                last_ < other.last_ ? last_ : other.last_);
  }
  // How many addresses; the whole of IPv6 counts one less than it has, as 2^128 does not fit.
  [[nodiscard]] constexpr Uint128 size() const {
    const Uint128 gap = last_.bits() - first_.bits();
    return gap == ~Uint128{0} ? gap : gap + 1;
  }

  // ADDRESS if it holds one, else FIRST-LAST.
  [[nodiscard]] std::string to_string() const;

  friend constexpr auto operator<=>(const Range&, const Range&) = default;

 private:
  constexpr Range(Address first, Address last) : first_(first), last_(last) {}

  Address first_;
  Address last_;
};

}  // namespace podlease::net

#endif  // PODLEASE_NET_RANGE_H_
