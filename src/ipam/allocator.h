#ifndef PODLEASE_SRC_IPAM_ALLOCATOR_H_
#define PODLEASE_SRC_IPAM_ALLOCATOR_H_

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "guard.h"
#include "podlease/base/clock.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/address_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

struct Choice {
  net::Address address;
  const pools::PoolRange* range;
  Reason reason;
};

// Nothing now, but an address freed less than a second ago becomes free after `time`.
struct NotYet {
  Milliseconds time;
};

struct NoneLeft {};

using Proposal = std::variant<Choice, NotYet, NoneLeft>;

// Proposes the address for a range set; leasing it is the caller's. The order, for each range in
// turn: an address never leased before, from the hint on; else the one freed longest ago, if it has
// cooled down. Where thousands are free and cool, they come before those never leased, so that the
// store of a large range stays bounded. If no range has one, the oldest freed address although it
// is still cooling, but never one freed within the last second: packets for its last holder are
// still under way. A cool-down of 0 switches both waits off.
//
// Passed over is what the host itself has. What other networks that the network counts have leased
// is not free in this one: the store sees to that.
class Allocator {
 public:
  // All must outlive it.
  Allocator(store::Transaction& transaction, store::Network& network, const Guard& guard,
            Milliseconds cooldown, const store::Moment& now);

  // `may_press`: also an address that is still cooling.
  [[nodiscard]] Proposal propose(const pools::PoolRangeSet& set, bool may_press);

  // Addresses that are never leased in this call. Before anything is proposed.
  void avoid(net::IntervalSet addresses) { held_ = std::move(addresses); }
  // Reports whether the host has the address, which is remembered for this call.
  [[nodiscard]] bool is_held(net::Address address);

  // Time since it was freed; a clock set back over a reboot counts as long ago.
  [[nodiscard]] static Milliseconds age(const store::Freed& freed, const store::Moment& now);

 private:
  [[nodiscard]] std::optional<net::Address> untouched(const pools::PoolRange& range,
                                                      net::Address from);
  [[nodiscard]] std::optional<store::Freed> oldest_freed(const pools::PoolRange& range);
  [[nodiscard]] std::optional<Choice> from_hint(const pools::PoolRangeSet& set);
  [[nodiscard]] std::optional<Choice> cooled(const pools::PoolRange& range,
                                             const std::optional<store::Freed>& freed) const;
  store::Transaction* transaction_;
  store::Network* network_;
  const Guard* guard_;
  Milliseconds cooldown_;
  const store::Moment* now_;
  net::IntervalSet held_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_ALLOCATOR_H_
