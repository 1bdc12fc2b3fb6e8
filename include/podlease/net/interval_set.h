#ifndef PODLEASE_NET_INTERVAL_SET_H_
#define PODLEASE_NET_INTERVAL_SET_H_

#include <optional>
#include <span>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/range.h"

namespace podlease::net {

// A set of addresses of either family, kept as sorted ranges that neither overlap nor touch, so
// that a /8 costs as much as one address. Look-ups take O(log n) in the number of ranges, `insert`
// and `erase` O(n).
class IntervalSet {
 public:
  IntervalSet() = default;
  // In any order, overlapping or not: O(n log n).
  explicit IntervalSet(std::vector<Range> ranges);

  void insert(const Range& range);
  void erase(const Range& range);
  // Removes all that `other` holds, in one pass over both.
  void erase(const IntervalSet& other);

  [[nodiscard]] bool contains(Address address) const;
  [[nodiscard]] bool overlaps(const Range& range) const;
  // The lowest address held that is not below `from` and of its family.
  [[nodiscard]] std::optional<Address> first_at_or_after(Address from) const;
  // What this set holds within `range`.
  [[nodiscard]] IntervalSet within(const Range& range) const;

  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  // Number of addresses of both families together; stops at the largest Uint128.
  [[nodiscard]] Uint128 size() const;
  // Ascending, IPv4 first; valid until the set changes.
  [[nodiscard]] std::span<const Range> ranges() const { return ranges_; }

  friend bool operator==(const IntervalSet&, const IntervalSet&) = default;

 private:
  std::vector<Range> ranges_;
};

}  // namespace podlease::net

#endif  // PODLEASE_NET_INTERVAL_SET_H_
