#ifndef PODLEASE_SRC_IPAM_LIVENESS_H_
#define PODLEASE_SRC_IPAM_LIVENESS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/host/host.h"
#include "podlease/store/lease.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/transaction.h"

// Who lives: the one judge for everything that ends a lease without its DEL (FACTS, section 1).
//
// A lease records the network namespace of its holder by a name (a path), a key (device and inode)
// and an identity (the cookie). The holder is alive while the name still names that namespace, or
// while a process is in it. It is gone only if neither holds, which takes a name that is missing
// where this process would see it, and a walk over all processes. Whatever cannot be settled is
// doubt, and doubt keeps a lease.
namespace podlease::ipam {

enum class Liveness {
  kAlive,
  kMissing,      // its name is gone, or names another namespace; a walk has to tell the rest
  kGone,         // missing, and a walk has proven that no process is in its namespace
  kDoubt,        // nothing may be concluded
  kEarlierBoot,  // its namespace cannot have outlived its boot
};

// Why a holder is in doubt.
enum class Doubt {
  kNone,
  kNothingRecorded,   // no boot or no namespace was ever recorded
  kOtherView,         // it was recorded by a process that saw another machine, or another folder
  kFolderUnseen,      // the folder of its name is not there, or may not be read
  kNotANamespace,     // something else has its name
  kProcessesUnread,   // a walk could not read every process
  kProcessesUnproven  // a walk read them all, and saw no process of any pod: perhaps it sees none
};

// What settles the doubt, for people: one sentence.
[[nodiscard]] std::string_view what_settles(Doubt doubt);

struct Judgement {
  Liveness liveness = Liveness::kDoubt;
  Doubt doubt = Doubt::kNone;
  int process = 0;  // alive by this process alone; 0: by its name, or not alive
};

// From where a caller looks whose namespace has that name, whether or not it sees it.
[[nodiscard]] store::View view_at(const host::Host& host, const std::string& netns);

// What is recorded of an attachment in namespace `netns`, in this boot, now.
[[nodiscard]] store::Presence presence_of(const host::Host& host, const std::string& netns);

[[nodiscard]] store::Holder holder_of(const store::Lease& lease);
[[nodiscard]] std::vector<store::Holder> holders_of(const std::vector<store::Lease>& leases);

// The quick key of the recorded namespace.
[[nodiscard]] host::NetnsId id_of(const store::Presence& presence);
// Reports whether a name ends with its process, the namespace perhaps later.
[[nodiscard]] bool is_below_proc(std::string_view netns);

// Whether two records are of one namespace.
enum class Same { kYes, kNo, kUnknown };
[[nodiscard]] Same same_namespace(const store::Presence& a, const store::Presence& b);

// One walk over the machine's processes. What it finds gone stays gone, so that it is made before
// the store's lock is taken.
class Walk {
 public:
  // `host` must outlive it.
  explicit Walk(const host::Host& host) : host_(&host), occupied_(host.occupied()) {}

  // Once more, a little later: a process that was just being made may escape one walk.
  void again(const Clock& clock);
  [[nodiscard]] static Walk twice(const host::Host& host, const Clock& clock);
  // How many walks it was. To end a lease on no other ground than its absence takes two.
  [[nodiscard]] int count() const { return count_; }

  // Every process was read.
  [[nodiscard]] bool complete() const { return occupied_.complete; }
  // A process in the recorded namespace: by cookie where both are known, else by device and inode;
  // 0 if there is none.
  [[nodiscard]] int process_in(const store::Presence& presence) const;

 private:
  const host::Host* host_;
  host::Occupied occupied_;
  int count_ = 1;
};

// What the names of namespaces, and the folders that they are in, were found to be: each is looked
// at once in a call, however often it is judged by. Copies share what they know.
class Names {
 public:
  // Names the recorded namespace (alive), is missing, or is in doubt.
  [[nodiscard]] Judgement at(const host::Host& host, const store::Presence& presence, bool by_key);
  [[nodiscard]] std::optional<host::NetnsId> folder_of(const host::Host& host,
                                                       const std::string& netns);

 private:
  struct Known {
    std::map<std::tuple<std::string, std::uint64_t, std::uint64_t, std::uint64_t, bool>, Judgement>
        names;
    std::map<std::string, std::optional<host::NetnsId>, std::less<>> folders;
  };
  std::shared_ptr<Known> known_ = std::make_shared<Known>();
};

class Judge {
 public:
  // `host` must outlive it. `names`: of an earlier judge of the same call.
  Judge(const host::Host& host, std::string boot_id, Names names = {});

  // The holder is known to be alive: where its folder is seen, so are others of it, and a process
  // in its namespace proves that a walk sees pods' processes.
  void trust(const store::Presence& presence);

  // Without a walk: kAlive, kMissing, kDoubt or kEarlierBoot. With `by_key` a name whose namespace
  // has the recorded device and inode counts as alive without a look at the cookie, which costs
  // several system calls: for a look that ends nothing.
  enum class Depth { kKey, kCookie };
  [[nodiscard]] Judgement by_name(const store::Holder& holder, Depth depth = Depth::kCookie);

  // With a walk that was made after `by_name` found it missing or in doubt. Without one as
  // `by_name`.
  [[nodiscard]] Judgement with(const Walk* walk, const store::Holder& holder) {
    return conclude(walk, holder, false);
  }

  // All of them, in order. Every one that lives is trusted before any is found gone.
  [[nodiscard]] std::vector<Judgement> all(const std::vector<store::Holder>& holders,
                                           const Walk* walk);

 private:
  [[nodiscard]] Doubt why_unseen(const store::Presence& presence);
  [[nodiscard]] bool is_of_our_processes(const store::View& view) const;
  [[nodiscard]] bool trusts_folder_of(std::string_view netns) const;
  // `is_renumbered`: a later lease is known to have the number of this one's namespace.
  [[nodiscard]] Judgement conclude(const Walk* walk, const store::Holder& holder,
                                   bool is_renumbered);
  [[nodiscard]] Judgement of_another_boot(const store::Holder& holder) const;

  const host::Host* host_;
  std::string boot_id_;
  std::chrono::sys_time<Milliseconds> booted_;
  host::View view_;
  Names names_;
  std::vector<store::Presence> witnesses_;  // alive, and of this view
  std::set<std::string, std::less<>> trusted_folders_;
};

// For whoever mostly needs no walk: it is made once, when a name is missing.
class WalkOnDemand {
 public:
  // `host` must outlive it.
  explicit WalkOnDemand(const host::Host& host) : host_(&host) {}

  // By the name, and where that is missing by the walk.
  [[nodiscard]] Judgement judge(Judge& judge, const store::Holder& holder);
  [[nodiscard]] const Walk& walk();

 private:
  const host::Host* host_;
  std::optional<Walk> walk_;
};

// Shows the judge all leases of the store. O(n).
void see_all(Judge& judge, store::Transaction& transaction, const Walk& walk);

// A judge that has seen all leases of the store: a process in the namespace of any of them proves
// that a walk sees pods' processes. O(n).
[[nodiscard]] Judge judge_of_store(store::Transaction& transaction, const host::Host& host,
                                   const std::string& boot_id, const Walk& walk);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_LIVENESS_H_
