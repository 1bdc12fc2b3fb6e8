#include "allocator.h"

#include <algorithm>

namespace podlease::ipam {
namespace {

constexpr Milliseconds kNeverWithin{1000};

}  // namespace

Allocator::Allocator(store::Transaction& transaction, store::Network& network, const Guard& guard,
                     Milliseconds cooldown, const store::Moment& now)
    : transaction_(&transaction),
      network_(&network),
      guard_(&guard),
      cooldown_(cooldown),
      now_(&now) {}

Milliseconds Allocator::age(const store::Freed& freed, const store::Moment& now) {
  return store::elapsed(
      {.at = {.wall = freed.at, .since_boot = freed.since_boot}, .boot_id = freed.boot_id}, now);
}

bool Allocator::is_held(net::Address address) {
  if (held_.contains(address)) {
    return true;
  }
  if (!guard_->holder_of(address)) {
    return false;
  }
  held_.insert(net::Range::single(address));
  return true;
}

std::optional<net::Address> Allocator::untouched(const pools::PoolRange& range, net::Address from) {
  const store::AddressTable addresses(*transaction_);
  std::optional<net::Address> found = addresses.first_untouched(*network_, range.usable, from);
  while (found && is_held(*found)) {
    const std::optional<net::Address> next = found->next();
    found = next ? addresses.first_untouched(*network_, range.usable, *next) : std::nullopt;
  }
  return found;
}

std::optional<store::Freed> Allocator::oldest_freed(const pools::PoolRange& range) {
  std::optional<store::Freed> found;
  do {
    found = store::AddressTable(*transaction_, now_->boot_id)
                .oldest_freed(*network_, range.range.family(), range.usable, held_);
  } while (found && is_held(found->address));
  return found;
}

// After host-local was adopted: what lies beyond its cursor was used longest ago, so it comes
// first, in the hint's range and then in those behind it. Once all of that was leased the hint has
// served and is dropped.
std::optional<Choice> Allocator::from_hint(const pools::PoolRangeSet& set) {
  const auto hint =
      std::find_if(network_->hints.begin(), network_->hints.end(),
                   [&](net::Address address) { return set.range_of(address) != nullptr; });
  if (hint == network_->hints.end()) {
    return std::nullopt;
  }
  const pools::PoolRange* const last = &set.ranges.back();
  for (const pools::PoolRange* range = set.range_of(*hint);; ++range) {
    const net::Address from = range->range.contains(*hint) ? *hint : range->range.first();
    if (const std::optional<net::Address> address = untouched(*range, from)) {
      return Choice{.address = *address, .range = range, .reason = Reason::kUntouched};
    }
    if (range == last) {
      break;
    }
  }
  std::vector<net::Address> others = network_->hints;
  std::erase(others, *hint);
  store::NetworkTable(*transaction_).set_hints(*network_, std::move(others));
  return std::nullopt;
}

// Beyond what was ever touched, addresses are as good as those that were freed long ago. Where many
// of those wait, they come first, so that the store of a large range stays small.
std::optional<Choice> Allocator::cooled(const pools::PoolRange& range,
                                        const std::optional<store::Freed>& freed) const {
  if (!freed || age(*freed, *now_) < cooldown_) {
    return std::nullopt;
  }
  return Choice{.address = freed->address, .range = &range, .reason = Reason::kCooled};
}

Proposal Allocator::propose(const pools::PoolRangeSet& set, bool may_press) {
  if (!network_->hints.empty()) {
    if (const std::optional<Choice> choice = from_hint(set)) {
      return *choice;
    }
  }
  std::optional<store::Freed> oldest;
  const pools::PoolRange* oldest_range = nullptr;
  for (const pools::PoolRange& range : set.ranges) {
    if (network_->prefers_freed()) {
      if (const std::optional<Choice> choice = cooled(range, oldest_freed(range))) {
        return *choice;
      }
    }
    if (const std::optional<net::Address> address = untouched(range, range.range.first())) {
      return Choice{.address = *address, .range = &range, .reason = Reason::kUntouched};
    }
    const std::optional<store::Freed> freed = oldest_freed(range);
    if (const std::optional<Choice> choice = cooled(range, freed)) {
      return *choice;
    }
    if (freed && (!oldest || age(*freed, *now_) > age(*oldest, *now_))) {
      oldest = freed;
      oldest_range = &range;
    }
  }
  if (!oldest || !may_press) {
    return NoneLeft{};
  }
  const Milliseconds passed = age(*oldest, *now_);
  if (passed < kNeverWithin) {
    return NotYet{.time = kNeverWithin - std::max(passed, Milliseconds(0))};
  }
  return Choice{.address = oldest->address, .range = oldest_range, .reason = Reason::kPressed};
}

}  // namespace podlease::ipam
