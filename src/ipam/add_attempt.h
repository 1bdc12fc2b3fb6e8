#ifndef PODLEASE_SRC_IPAM_ADD_ATTEMPT_H_
#define PODLEASE_SRC_IPAM_ADD_ATTEMPT_H_

#include <cstddef>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "allocator.h"
#include "guard.h"
#include "liveness.h"
#include "podlease/ipam/leases.h"
#include "reclaim.h"
#include "session.h"

namespace podlease::ipam {

// Families of which an offer that may grow has no address left.
struct Shortage {
  std::vector<net::Family> families;
};

// Whether some holder lives has to be told by a walk over all processes, with the store closed.
struct NeedsWalk {};

// What came of choosing: addresses, or what has to happen first.
using Outcome = std::variant<std::vector<Granted>, NotYet, Shortage, NeedsWalk>;

// One attempt at an ADD, inside a session's transaction. What it leaves there is to be committed if
// it was granted addresses, and to be rolled back otherwise.
class AddAttempt {
 public:
  // What it works with; all must outlive it.
  struct World {
    const AddRequest* request;
    const host::Host* host;
    const store::Presence* presence;  // of the caller's namespace
    const store::Moment* now;
    const Log* log;
    const Walk* walk = nullptr;  // one that was made before the session was opened
    Names names = {};            // what an earlier attempt knew of them
  };
  AddAttempt(const World& world, Session& session);

  // What the attachment holds already, as far as it still fits: an attachment in the namespace that
  // is on record keeps what it has, and gets an address of a family that it lacks if there is one.
  // Empty: it holds nothing, or nothing any more.
  [[nodiscard]] Outcome keep();

  // An address of each set. `may_press`: also one that is still cooling, and of an offer that may
  // grow.
  [[nodiscard]] Outcome choose(bool may_press);

  // Writes down, in another transaction, what it noticed before it was rolled back: or nothing
  // would ever come of it.
  void note_in(store::Transaction& transaction, const std::string& network) const;

  // With what it noticed on the way.
  [[nodiscard]] const Reclaimer& reclaimer() const { return reclaimer_; }

 private:
  using Requests = std::vector<RequestedAddress>;

  [[nodiscard]] std::vector<store::Lease> leases_held();
  // What it goes on with of what it holds in other namespaces. Nothing: a walk is needed.
  [[nodiscard]] std::optional<std::vector<store::Lease>> left_elsewhere(
      const std::vector<store::Lease>& held);
  [[nodiscard]] std::vector<Granted> keep_all(const std::vector<store::Lease>& held);
  void refuse_other_addresses(const std::vector<Granted>& granted) const;
  void add_lacking_families(std::vector<Granted>& granted);
  [[nodiscard]] Error lives_elsewhere(const store::Lease& lease, const Judgement& judgement) const;

  // Of one set; the requests that it serves are taken out.
  [[nodiscard]] Proposal propose(const pools::PoolRangeSet& set, Requests& open_requests);
  [[nodiscard]] Proposal allocate(const pools::PoolRangeSet& set);
  [[nodiscard]] bool is_of_this_pod(const store::Lease& lease) const;
  [[nodiscard]] bool was_anothers_since(net::Address address) const;
  [[nodiscard]] std::optional<Choice> former_address(const pools::PoolRangeSet& set);
  [[nodiscard]] std::optional<Choice> take_requested(const RequestedAddress& requested,
                                                     const pools::PoolRange& range);
  // Takes the address from a holder that is gone; with kFull only if it has been missing for
  // the grace. Returns whether that was done. Where a walk has to tell, it was not, and
  // `needs_walk_` says so.
  enum class Grace { kNone, kFull };
  [[nodiscard]] bool take_over(const store::Lease& lease, Grace grace);
  // An address of this pod's, from whoever of its own sandboxes has it.
  [[nodiscard]] bool take_back(net::Address address);
  [[nodiscard]] Judgement judge(const store::Lease& lease);

  // Before anything is proposed.
  void admit();
  [[nodiscard]] Granted grant(const Choice& choice, std::size_t set);
  [[nodiscard]] const std::vector<net::Address>& former_addresses();
  void remember_pod(const std::vector<Granted>& granted);

  [[nodiscard]] Error exhausted(std::size_t index);
  [[nodiscard]] Error tell_exhaustion(std::size_t index) const;
  [[nodiscard]] std::string next_step() const;
  [[nodiscard]] Error not_served(const Requests& left) const;

  World world_;
  Session* session_;
  const pools::Offer* offer_;
  Guard guard_;
  Allocator allocator_;
  Reclaimer reclaimer_;
  bool needs_walk_ = false;
  std::optional<Error> noted_;                       // why another ADD found no address just now
  std::optional<std::string> exhausted_set_;         // of which this one found none
  std::optional<Error> exhaustion_;                  // and what it told
  bool may_press_ = true;                            // addresses that are still cooling
  std::string former_uid_;                           // of the pod that held what is held
  std::optional<std::vector<net::Address>> former_;  // once they were asked for
  std::vector<net::Address> renewed_;                // had by this attachment in its last namespace
};

// How much of a set is in use.
[[nodiscard]] Standing standing_of(store::Transaction& transaction, const store::Network& network,
                                   const pools::PoolRangeSet& set, Milliseconds cooldown,
                                   const store::Moment& now);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_ADD_ATTEMPT_H_
