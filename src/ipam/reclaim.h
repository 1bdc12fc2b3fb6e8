#ifndef PODLEASE_SRC_IPAM_RECLAIM_H_
#define PODLEASE_SRC_IPAM_RECLAIM_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "liveness.h"
#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/suspicion_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// For how long the namespace of a lease must have been missing before the lease is reclaimed. Its
// DEL may only be late, or a runtime may be moving a namespace.
inline constexpr Milliseconds kGrace{60'000};
// What is said of a suspect that is due, and kept for another reason: an ADD may try again then.
inline constexpr Milliseconds kSoon{1'000};

// The lease with all that its holder has: an attachment has an address of each set, or none. What
// the same container is known to have in another namespace is another attachment's: a store that
// was put back from a copy may know both.
[[nodiscard]] std::vector<store::Lease> attachment_of(store::Transaction& transaction,
                                                      const store::Network& network,
                                                      const store::Lease& lease);

// Ends the whole attachment: half of one would be given again as if it were whole. Returns what
// ended.
// NOLINTNEXTLINE(modernize-use-nodiscard): that it is ended is what some callers want
std::vector<store::Lease> end_attachment(store::Transaction& transaction,
                                         const store::Network& network, const store::Lease& lease,
                                         const store::Moment& now, store::Ending why);

// What making room in a range set came to.
enum class Room {
  kMade,
  kNone,
  kNeedsWalk,  // holders are missing for the grace: a walk has to tell whether they are gone
};

// Takes back what lost DELs left behind (DESIGN, section 5.6). In doubt a lease is kept: a leak can
// be mended, a duplicate cannot.
class Reclaimer {
 public:
  // What it works with; all must outlive it.
  struct World {
    const host::Host* host;
    const Walk* walk;  // null: none has been made
    const store::Moment* now;
    const Log* log;
  };
  Reclaimer(store::Transaction& transaction, const store::Network& network, Judge judge,
            World world)
      : transaction_(&transaction), network_(&network), judge_(std::move(judge)), world_(world) {}

  [[nodiscard]] Judge& judge() { return judge_; }

  // After a lease was made: looks at the names of a few others, in turn, and notes who is missing.
  void examine_a_few();
  // Reports whether one of those it looked at has been missing for the grace.
  [[nodiscard]] bool found_due() const { return found_due_; }

  // Looks at all leases and ends those that are gone, and were missing for the grace; if that gives
  // no address of `set`, the oldest one of an earlier boot in it.
  [[nodiscard]] Room make_room_in(const pools::PoolRangeSet& set);

  // Looks at all leases, and ends all that can be: what `podlease gc` does. Returns every lease
  // that is not alive.
  struct Sweep {
    const host::CniCache* cached;  // libcni's
    bool ends_other_views = false;
  };
  [[nodiscard]] std::vector<Examined> sweep(const Sweep& wanted);

  // Ends what has been missing for the grace and is gone; whoever is in doubt starts anew.
  void reclaim_due();

  // The holder of a lease is missing. Reports whether it has been for the grace; else it is, or
  // becomes, a suspect. A process that was found in its namespace, and is in it still, clears it.
  [[nodiscard]] bool is_due(const store::Lease& lease);
  // Reports whether the host exchanges frames with the address: a namespace can live on in a
  // descriptor that nobody sees, and then its neighbours may know. The lease stays a suspect.
  [[nodiscard]] bool is_heard_of(const store::Lease& lease);

  // Counts the leases in `set` that are, or will soon be, an ADD's to have. Changes nothing.
  void count(const pools::PoolRangeSet& set, Standing& standing);

  // Leases whose holders are missing, for less than the grace so far.
  [[nodiscard]] const std::vector<store::Lease>& suspects() const { return suspects_; }
  // Former suspects that were seen alive, and by which process if by no name.
  struct Cleared {
    store::Lease lease;
    int process = 0;
  };
  [[nodiscard]] const std::vector<Cleared>& cleared() const { return cleared_; }
  // Leases that are kept because nothing is certain, in the last look at all of them.
  [[nodiscard]] std::size_t doubtful() const { return doubtful_; }
  // When the first of the suspects will have been one for the grace; nothing without suspects.
  [[nodiscard]] std::optional<Milliseconds> first_due() const { return first_due_; }

  // Writes down, in another transaction, what was noticed in one that was rolled back.
  void note_in(store::Transaction& transaction) const;

 private:
  // The network itself, or one that it counts.
  template <typename Wanted>
  [[nodiscard]] const store::Network& find_network(Wanted wanted);
  [[nodiscard]] const store::Network& network_of(const store::Holder& holder);
  [[nodiscard]] std::vector<store::Holder> own_holders() const;
  [[nodiscard]] const store::Network& network_of(const store::Lease& lease);
  // Nothing if it has ended meanwhile, with another one of its holder's.
  [[nodiscard]] std::optional<store::Lease> lease_of(const store::Holder& holder);
  // For how long it has been missing; nothing if a process is known to be in its namespace.
  [[nodiscard]] std::optional<Milliseconds> missed_for(const store::Lease& lease);
  void suspect(const store::Lease& lease, Milliseconds missed);
  // Ends the lease if it was missing for the grace; suspects it otherwise.
  [[nodiscard]] bool end_if_due(const store::Lease& lease);
  // What is noted of the lease in this boot.
  [[nodiscard]] std::optional<store::Suspicion> suspicion_of(const store::Lease& lease);
  [[nodiscard]] bool has_known_process(const store::Holder& holder);
  // A process that was found in its namespace is in it still.
  [[nodiscard]] bool is_still_in(int process, const store::Presence& presence) const;
  // The path leads to the recorded namespace now.
  [[nodiscard]] bool names(const std::string& path, const store::Presence& presence) const;
  // With all that its holder has.
  void end(const store::Lease& lease, store::Ending why);
  // Its holder is seen alive.
  void clear(const store::Holder& holder, const Judgement& judgement);
  void note_cleared(store::Transaction& transaction, const Cleared& cleared) const;
  [[nodiscard]] Room make_room(const pools::PoolRangeSet& set, const store::Holder& holder,
                               const Judgement& judgement);
  // A lease in doubt, in a sweep.
  void sweep_doubtful(const store::Lease& lease, Doubt doubt, const Sweep& wanted,
                      std::vector<Examined>& examined);
  // libcni's cache has other attachments of the network, and none of this lease.
  [[nodiscard]] bool is_unknown_to_libcni(const store::Lease& lease, const Sweep& wanted) const;
  void sweep_out(const store::Lease& lease, Liveness liveness, std::vector<Examined>& examined);

  store::Transaction* transaction_;
  const store::Network* network_;
  Judge judge_;
  World world_;
  std::vector<store::Network> networks_;  // once they were asked for
  std::vector<store::Lease> suspects_;
  std::vector<Cleared> cleared_;
  std::optional<Milliseconds> first_due_;
  std::size_t doubtful_ = 0;
  bool found_due_ = false;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_RECLAIM_H_
