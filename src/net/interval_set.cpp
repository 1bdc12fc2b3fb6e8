// Ranges are ordered by address, IPv4 before IPv6, and each is of one family. So two ranges that
// overlap in that order are of the same family, and no test for overlap below looks at the family.
// Touching must not cross from 255.255.255.255 to ::, and `Address::next` and `previous` see to
// that by ending with their family.

#include "podlease/net/interval_set.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace podlease::net {

namespace {

// What `range` holds below the first address of `hole`, which must overlap it.
std::optional<Range> part_below(const Range& range, const Range& hole) {
  if (hole.first() <= range.first()) {
    return std::nullopt;
  }
  return Range::make(range.first(), *hole.first().previous());
}

// What `range` holds above the last address of `hole`, which must overlap it.
std::optional<Range> part_above(const Range& range, const Range& hole) {
  if (range.last() <= hole.last()) {
    return std::nullopt;
  }
  return Range::make(*hole.last().next(), range.last());
}

// The smallest range that holds both, which must be of one family.
Range hull(const Range& a, const Range& b) {
  return *Range::make(std::min(a.first(), b.first()), std::max(a.last(), b.last()));
}

}  // namespace

IntervalSet::IntervalSet(std::vector<Range> ranges) : ranges_(std::move(ranges)) {
  std::sort(ranges_.begin(), ranges_.end());
  auto merged =
      ranges_.begin();  // end of the finished part, which is never longer than what was read
  for (const Range& range : ranges_) {
    if (merged != ranges_.begin()) {
      Range& top = *std::prev(merged);
      if (top.overlaps(range) || top.last().next() == range.first()) {
        top = hull(top, range);
        continue;
      }
    }
    *merged++ = range;
  }
  ranges_.erase(merged, ranges_.end());
}

void IntervalSet::insert(const Range& range) {
  // Widened by one address on either side, so that what touches is found along with what overlaps.
  const Address low = range.first().previous().value_or(range.first());
  const Address high = range.last().next().value_or(range.last());
  const auto begin = std::ranges::lower_bound(ranges_, low, {}, &Range::last);
  const auto end = std::ranges::upper_bound(begin, ranges_.end(), high, {}, &Range::first);
  if (begin == end) {
    ranges_.insert(begin, range);
    return;
  }
  *begin = hull(hull(*begin, *std::prev(end)), range);
  ranges_.erase(std::next(begin), end);
}

void IntervalSet::erase(const Range& range) {
  const auto begin = std::ranges::lower_bound(ranges_, range.first(), {}, &Range::last);
  const auto end = std::ranges::upper_bound(begin, ranges_.end(), range.last(), {}, &Range::first);
  if (begin == end) {
    return;
  }
  const auto below = part_below(*begin, range);
  const auto above = part_above(*std::prev(end), range);
  auto at = ranges_.erase(begin, end);
  if (above) {
    at = ranges_.insert(at, *above);
  }
  if (below) {
    ranges_.insert(at, *below);
  }
}

void IntervalSet::erase(const IntervalSet& other) {
  std::vector<Range> kept;
  auto hole = other.ranges_.begin();
  for (const Range& range : ranges_) {
    while (hole != other.ranges_.end() && hole->last() < range.first()) {
      ++hole;
    }
    std::optional<Range> rest = range;
    while (rest && hole != other.ranges_.end() && hole->overlaps(*rest)) {
      if (const auto below = part_below(*rest, *hole)) {
        kept.push_back(*below);
      }
      rest = part_above(*rest, *hole);
      if (rest) {
        ++hole;  // otherwise it may reach into the next range as well
      }
    }
    if (rest) {
      kept.push_back(*rest);
    }
  }
  ranges_ = std::move(kept);
}

bool IntervalSet::contains(Address address) const {
  return overlaps(Range::single(address));
}

bool IntervalSet::overlaps(const Range& range) const {
  const auto found = std::ranges::lower_bound(ranges_, range.first(), {}, &Range::last);
  return found != ranges_.end() && found->overlaps(range);
}

std::optional<Address> IntervalSet::first_at_or_after(Address from) const {
  const auto found = std::ranges::lower_bound(ranges_, from, {}, &Range::last);
  if (found == ranges_.end() || found->family() != from.family()) {
    return std::nullopt;
  }
  return std::max(from, found->first());
}

IntervalSet IntervalSet::within(const Range& range) const {
  IntervalSet part;
  for (auto i = std::ranges::lower_bound(ranges_, range.first(), {}, &Range::last);
       i != ranges_.end() && i->overlaps(range); ++i) {
    part.ranges_.push_back(*i->intersection(range));
  }
  return part;
}

Uint128 IntervalSet::size() const {
  Uint128 sum = 0;
  for (const Range& range : ranges_) {
    const Uint128 room = ~Uint128{0} - sum;
    sum += std::min(room, range.size());
  }
  return sum;
}

}  // namespace podlease::net
