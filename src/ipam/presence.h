#ifndef PODLEASE_SRC_IPAM_PRESENCE_H_
#define PODLEASE_SRC_IPAM_PRESENCE_H_

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/store/lease.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// What is recorded of an attachment in namespace `netns`, in this boot, now.
[[nodiscard]] store::Presence presence_of(const host::Host& host, const std::string& netns);

// Reports whether the very namespace that the lease was last seen in, in this boot, is there now.
[[nodiscard]] bool is_alive(const store::Lease& lease, const host::Host& host);

// What can be said of the holder of a lease.
enum class Fate {
  kAlive,        // its very namespace is there
  kDoubt,        // nothing is certain
  kGone,         // its namespace is gone, from where this process would see it
  kEarlierBoot,  // it cannot have outlived its boot
};

// What this process sees of the machine's namespaces. A folder in which it has seen one alive is
// one that it sees as the runtime does; what is missing elsewhere may only be out of sight.
class Sight {
 public:
  // `host` must outlive it.
  Sight(const host::Host& host, std::string boot_id) : host_(&host), boot_id_(std::move(boot_id)) {}

  // `presence` is known to be of a namespace that is alive.
  void trust_folder_of(const store::Presence& presence);

  // Of the holder of one lease, by what was seen so far.
  [[nodiscard]] Fate fate_of(const store::Presence& presence);
  // Of each, after all of them were looked at; for namespaces that have no other name than a
  // process, whether any process is in them too.
  [[nodiscard]] std::vector<Fate> fates_of(const std::vector<store::Holder>& holders);

 private:
  enum class Look { kThere, kElsewhere, kUnclear };

  [[nodiscard]] Look look_for(const store::Presence& presence);
  [[nodiscard]] bool trusts(std::string_view folder) const;
  [[nodiscard]] Fate conclude(const store::Presence& presence, Look look) const;

  const host::Host* host_;
  std::string boot_id_;
  std::set<std::string, std::less<>> trusted_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_PRESENCE_H_
