#ifndef PODLEASE_IPAM_LEASES_H_
#define PODLEASE_IPAM_LEASES_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/host/host.h"
#include "podlease/host/host_local.h"
#include "podlease/ipam/wiring.h"
#include "podlease/net/address.h"
#include "podlease/pools/source.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"
#include "podlease/store/store.h"

// The rules by which addresses are leased and come back (DESIGN, section 5).
namespace podlease::ipam {

// Fixed places on the node; tests use their own.
struct Places {
  std::filesystem::path registry = "/var/lib/podlease/stores";
  std::filesystem::path host_local = "/var/lib/cni/networks";  // holds a folder for each network
  // libcni's, and that of Multus' own libcni.
  std::vector<std::filesystem::path> cni_caches = {"/var/lib/cni/results",
                                                   "/var/lib/cni/multus/results"};
};

struct RequestedAddress {
  net::Address address;
  std::string path;  // where it was asked for
};

struct AddRequest {
  AttachmentKey key;
  std::string netns;  // path
  store::Pod pod;
  std::vector<RequestedAddress> requested;
  Milliseconds cooldown{};
  Wiring wiring;
};

struct DelRequest {
  AttachmentKey key;    // without a network name it goes by container id and interface
  std::string netns;    // path; may be empty; finds what was adopted from inside a namespace
  std::string pod_uid;  // may be empty; finds what the pod holds under a former network name
};

// How an address came to be chosen.
enum class Reason {
  kHeld,       // the attachment has it already
  kReturned,   // the same pod's former sandbox had it
  kRequested,  // asked for by address
  kUntouched,  // never leased before
  kCooled,     // freed, and cool
  kPressed,    // freed and still cooling, but there was nothing else
};

struct Granted {
  store::Lease lease;
  Reason reason;
};

// What a network's addresses are worth to a new attachment.
struct Standing {
  std::uint64_t leased = 0;
  std::uint64_t cooling = 0;
  std::uint64_t freed = 0;  // cooling ones included
  net::Uint128 untouched = 0;
  net::Uint128 excluded = 0;      // in the ranges, never leased: gateways and exclusions
  std::uint64_t reclaimable = 0;  // leased, but to holders that have ended: an ADD can have them
  std::uint64_t suspect = 0;      // leased, and soon reclaimable unless their holders show up
  std::uint64_t doubtful = 0;     // leased, and kept: nothing proves that their holders have ended

  [[nodiscard]] net::Uint128 free() const { return untouched + freed - cooling; }
};

// What adoption makes of an address that something outside the store knows of.
struct Found {
  store::Lease lease;    // as it is made, or would have been
  bool adopted = false;  // false: its holder has ended
  std::string evidence;  // one line: what tells
  // When libcni's record of the attachment was written; nothing if there is none.
  std::optional<std::chrono::sys_time<Milliseconds>> written = std::nullopt;
};

// Something about the leases and the machine that does not fit together.
struct Finding {
  enum class Level {
    kWrong,  // an address is lost, or used without a lease, or twice
    kNote,   // worth knowing
  };
  Level level;
  std::string kind;     // a word for programs: gone, no-lease, duplicate, …
  std::string network;  // these two may be empty
  std::string address;
  std::string subject;   // who or what it is about
  std::string evidence;  // one line
  std::string remedy;    // one line: what mends it
};

// A lease whose holder is not certainly alive, and what `podlease gc` makes of it.
struct Examined {
  enum class State {
    kDoubtful,       // kept: nothing is certain
    kOfOtherView,    // kept: recorded where another machine, or other folders, were seen
    kSuspect,        // kept for the grace: its namespace is gone
    kReclaimed,      // ended: its namespace was gone for the grace
    kOfEarlierBoot,  // ended
    kViewEnded,      // ended: the operator said that its view has ended
  };
  store::Lease lease;
  State state;
  std::string settles;  // of what is kept in doubt: one sentence on what would settle it
};

struct SweepOptions {
  std::string network;            // empty: all
  bool ends_other_views = false;  // leases of other views end too
  bool dry_run = false;
};

// What is known of a lease's holder, for people.
struct Presumed {
  enum class Life { kAlive, kDoubt, kGone, kEarlierBoot };
  Life life = Life::kDoubt;
  std::string settles;  // with kDoubt: one sentence on what would settle it
};

class HostLocal;
struct Opening;

class Leases {
 public:
  // All must outlive it.
  Leases(const host::Host& host, const Clock& clock, const Log& log, Places places,
         std::filesystem::path data_dir, Milliseconds lock_timeout);

  // Leases an address from each set of the offer, or none at all; an attachment that holds
  // addresses gets those again. Just before it commits it asks `still_wanted`, and rolls back with
  // kOther if nobody waits any more. Throws kExhausted, kAddressTaken, kConfig, kBusy or kIo.
  [[nodiscard]] std::vector<Granted> add(const AddRequest& request, pools::Source& source,
                                         const std::function<bool()>& still_wanted) const;

  // What `add` would answer now. Changes nothing, and creates no store.
  [[nodiscard]] std::vector<Granted> rehearse(const AddRequest& request,
                                              pools::Source& source) const;

  // What the source knows by what is remembered in the store, however old. Asks nobody.
  [[nodiscard]] pools::Knowledge consult(const pools::Source& source) const;

  // Ends what the attachment holds, in whichever store of this node it is. Nothing to end is
  // success. Returns what was ended. Throws kBusy or kIo.
  // NOLINTNEXTLINE(modernize-use-nodiscard): that it is ended is what most callers want
  std::vector<store::Lease> del(const DelRequest& request) const;

  // The leases of an attachment; `netns` as for `del`.
  [[nodiscard]] std::vector<store::Lease> held_by(const AttachmentKey& key,
                                                  const std::string& netns = {}) const;

  // The same after an `adopt` that is not done: nothing is changed.
  [[nodiscard]] std::vector<store::Lease> would_be_held_by(const AttachmentKey& key,
                                                           const std::string& netns,
                                                           const Wiring& wiring,
                                                           pools::Source& source) const;

  // If the network was never used here, adopts what already holds addresses of it, and returns all
  // that was found: in host-local's folders, in libcni's cache, inside the network namespaces.
  // Otherwise brings the store in step with host-local's folders. `add` does both by itself. With
  // `dry_run` nothing is changed.
  // NOLINTNEXTLINE(modernize-use-nodiscard): that it is adopted is what most callers want
  std::vector<Found> adopt(const std::string& network, const Wiring& wiring, pools::Source& source,
                           bool dry_run = false) const;

  // Ends all leases of `network` that are not among `valid`, except those whose holder lives or is
  // in doubt. The grace does not hold: the runtime knows.
  void gc(const std::string& network, const std::vector<AttachmentKey>& valid) const;

  // Compares store, network namespaces, libcni's cache and host-local's folders in both directions.
  // Changes nothing. Throws kIo for a store that cannot be read, kOther for one that contradicts
  // itself.
  [[nodiscard]] std::vector<Finding> audit() const;

  // What `podlease gc` does: looks at the holders of all leases, and ends those that are gone and
  // were missing for the grace. Returns the leases that are not certainly alive. What host-local
  // did meanwhile is not looked at.
  [[nodiscard]] std::vector<Examined> sweep(const SweepOptions& wanted) const;

  // Of each lease, in order. All leases of this store that are known to the caller should be among
  // them: what is seen of one may tell of another.
  [[nodiscard]] std::vector<Presumed> presume(const std::vector<store::Lease>& leases) const;

  // Throws kOther unless the holder of the lease has certainly ended: another pod would get an
  // address that is in use.
  void refuse_if_alive(const store::Lease& lease) const;

  // What `podlease release` does: ends the attachment that this lease is of, whole. Returns what
  // was ended: nothing if its address is somebody else's by now, or free. Throws as
  // `refuse_if_alive`, unless `even_if_alive`.
  [[nodiscard]] std::vector<store::Lease> release(const store::Lease& lease,
                                                  bool even_if_alive) const;

  // The way back: writes all leases of `network` to host-local's folder for it below `root`, with
  // its cursors, and from then on shares the network, so that it does not matter when the
  // configuration is changed. Returns what the folder says afterwards; with `dry_run`, what it
  // would say. Throws kConfig for a network that is not in the store.
  [[nodiscard]] host::HostLocalState export_to_host_local(const std::string& network,
                                                          const std::filesystem::path& root,
                                                          bool dry_run) const;

  // What the host itself holds of an offer, and is never leased: a line each. Throws kConfig if the
  // offer cannot work on this host.
  [[nodiscard]] std::vector<std::string> held_by_host(const Wiring& wiring,
                                                      const pools::Offer& offer) const;

  // The id of the machine that this store was taken over from, a copy or this one with former ids;
  // nothing if it never was.
  [[nodiscard]] std::optional<std::string> former_machine() const;

  // What works, and may end in one address for two pods; a line each. Another network of this store
  // gives out one subnet with one gateway as `network` does, on another wire: whoever reaches both
  // cannot tell their pods apart. Another store of this node gives out the same addresses on the
  // same wire. Other machines may share the store.
  [[nodiscard]] std::vector<std::string> warnings(const std::string& network) const;

  // Ends the sharing that `export_to_host_local` began: podlease leases alone again. Returns
  // whether the network was shared.
  [[nodiscard]] bool end_sharing(const std::string& network, bool dry_run) const;

  // How much of the offer is in use, by this network and by those on its wire; nothing if there is
  // no store.
  [[nodiscard]] std::optional<Standing> standing(const std::string& network, const Wiring& wiring,
                                                 const pools::PoolRangeSet& set,
                                                 Milliseconds cooldown) const;

 private:
  class Adding;
  class Deleting;

  [[nodiscard]] store::Store::Options options(const std::filesystem::path& folder) const;
  [[nodiscard]] store::Moment moment() const;
  // For `caller`, if any. What it is given must outlive the session.
  [[nodiscard]] Opening opening(const std::string& network, const Wiring& wiring,
                                pools::Source& source, HostLocal& host_local,
                                const store::Moment& now, const Log& log,
                                const AddRequest* caller) const;
  // After an ADD: ends what was missing for the grace and is gone.
  void reclaim_due(const std::string& network) const;

  const host::Host* host_;
  const Clock* clock_;
  const Log* log_;
  Places places_;
  std::filesystem::path data_dir_;
  Milliseconds lock_timeout_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_IPAM_LEASES_H_
