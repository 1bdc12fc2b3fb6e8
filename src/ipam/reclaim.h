#ifndef PODLEASE_SRC_IPAM_RECLAIM_H_
#define PODLEASE_SRC_IPAM_RECLAIM_H_

#include <cstddef>
#include <optional>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/transaction.h"
#include "presence.h"

namespace podlease::ipam {

// For how long the namespace of a lease must have been gone before the lease ends. It may be that
// its DEL is only late, or that a runtime moves a namespace.
inline constexpr Milliseconds kGrace{60'000};

// Ends the lease with all that its holder has: an attachment has an address of each set, or none.
// Half of one would be given again as if it were whole. Returns what ended.
// NOLINTNEXTLINE(modernize-use-nodiscard): that it is ended is what some callers want
std::vector<store::Lease> end_attachment(store::Transaction& transaction,
                                         const store::Network& network, const store::Lease& lease,
                                         const store::Moment& now, store::Ending why);

// Takes back what lost DELs left behind (DESIGN, section 5.6). In doubt a lease is kept: a leak can
// be mended, a duplicate cannot.
class Reclaimer {
 public:
  // All must outlive it.
  Reclaimer(store::Transaction& transaction, const store::Network& network, Sight sight,
            const store::Moment& now, const Log& log)
      : transaction_(&transaction),
        network_(&network),
        sight_(std::move(sight)),
        now_(&now),
        log_(&log) {}

  // After a lease was made: looks at a few others, in turn.
  void examine_a_few();

  // Looks at all leases and ends those that were suspects for the grace; if that gives no address
  // of `set`, the oldest one of an earlier boot in it. Returns whether it gave one.
  [[nodiscard]] bool make_room_in(const pools::PoolRangeSet& set);

  // Looks at all leases, and ends all that can be: what `podlease gc` does. Returns every lease
  // that is not alive.
  [[nodiscard]] std::vector<Examined> sweep();

  // Counts the leases in `set` that are, or will soon be, an ADD's to have. Changes nothing.
  void count(const pools::PoolRangeSet& set, Standing& standing);

  // Leases whose namespace was found gone, for less than the grace so far.
  [[nodiscard]] const std::vector<store::Lease>& suspects() const { return suspects_; }
  // Former suspects that were seen alive.
  [[nodiscard]] const std::vector<net::Address>& cleared() const { return cleared_; }
  // When the first of the suspects will have been one for the grace; nothing without suspects.
  [[nodiscard]] std::optional<Milliseconds> first_due() const { return first_due_; }

 private:
  // Nothing if it has ended meanwhile, with another one of its holder's.
  [[nodiscard]] std::optional<store::Lease> lease_of(const store::Holder& holder);
  // Ends the lease if it was suspected for the grace already; suspects it otherwise.
  [[nodiscard]] bool judge_gone(const store::Lease& lease);
  // For how long the lease has been suspected; nothing if it is not yet.
  [[nodiscard]] std::optional<Milliseconds> missed_for(const store::Lease& lease) const;
  // With all that its holder has.
  void end(const store::Lease& lease, store::Ending why);
  // Its holder is seen alive.
  void clear(const store::Holder& holder);
  void sweep_out(const store::Lease& lease, Fate fate, std::vector<Examined>& examined);

  store::Transaction* transaction_;
  const store::Network* network_;
  Sight sight_;
  const store::Moment* now_;
  const Log* log_;
  std::vector<store::Lease> suspects_;
  std::vector<net::Address> cleared_;
  std::optional<Milliseconds> first_due_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_RECLAIM_H_
