#ifndef PODLEASE_SRC_IPAM_INVENTORY_H_
#define PODLEASE_SRC_IPAM_INVENTORY_H_

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/ipam/wiring.h"
#include "podlease/net/address.h"
#include "podlease/pools/source.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"

namespace podlease::ipam {

// What the machine itself tells of the addresses in use, whatever a store says or has lost:
// libcni's caches, and the addresses inside the network namespaces (FACTS, section 2). Gathered
// once, with the store closed.
//
// A namespace counts if a path shows it: in /run/netns, the caches, and the folder of CNI_NETNS.
// One that only a process shows counts if the other end of the interface lies on this network's
// link in the host's own namespace; in a nested cluster it does not, and nested clusters often have
// the same podCIDR.
class Inventory {
 public:
  struct Options {
    const host::Host* host;
    std::vector<std::filesystem::path> caches;  // libcni's
    std::string network;
    bool all_networks = false;            // of the caches; otherwise only what can be of `network`
    std::optional<AttachmentKey> caller;  // the attachment that is being added right now, if any
    std::string netns;                    // in this namespace
    const Wiring* wiring;
  };
  explicit Inventory(const Options& options);

  // What is known of the holder of an address that somebody else's record gives to a container.
  struct Opinion {
    bool ended = false;        // certainly
    store::Pod pod;            // as far as known
    store::Presence presence;  // as far as known
    std::string ifname;        // empty: not known
    std::string evidence;
  };
  // `written`: when the record was made.
  [[nodiscard]] Opinion opinion_of(
      net::Address address, const std::string& container_id, const std::string& ifname,
      std::optional<std::chrono::sys_time<Milliseconds>> written) const;

  // All that holds an address of `offer` now, whether or not there is a record of it elsewhere;
  // and, to be told, what did so before. One for each address.
  [[nodiscard]] std::vector<Found> found(const pools::Offer& offer, const store::Moment& now) const;

  [[nodiscard]] const host::Host& host() const { return *host_; }

 private:
  struct Inside {
    store::Presence presence;
    std::string interface;
  };
  using Time = std::chrono::sys_time<Milliseconds>;

  void look_into(const std::vector<host::NamedNetns>& named);
  void look_into_occupied(const std::vector<host::NamedNetns>& named, const Wiring& wiring);
  void note(const host::NamedNetns& netns, const host::PodAddress& address,
            std::map<net::Address, Inside>& into);

  [[nodiscard]] const host::CachedAttachment* cached(const std::string& container_id,
                                                     const std::string& ifname) const;
  // Who libcni says has the address in a namespace. Paths do not tell: /run and /var/run are one.
  [[nodiscard]] const host::CachedAttachment* cached_in(const store::Presence& presence,
                                                        net::Address address) const;
  void judge_by_path(const host::CachedAttachment& attachment, std::optional<Time> written,
                     Opinion& opinion) const;
  [[nodiscard]] bool would_be_seen(const std::string& netns) const;
  // The same of a record of libcni's, which may be none.
  [[nodiscard]] Opinion opinion_of(net::Address address, const host::CachedAttachment* attachment,
                                   const std::string& ifname, std::optional<Time> written) const;
  void add_found_inside(const pools::Offer& offer, const store::Moment& now,
                        std::map<net::Address, Found>& found) const;
  void add_found_in_caches(const pools::Offer& offer, const store::Moment& now,
                           std::map<net::Address, Found>& found) const;

  const host::Host* host_;
  std::string network_;
  std::optional<AttachmentKey> caller_;
  store::Presence caller_presence_;
  std::string boot_id_;
  Time booted_;
  host::NetnsId own_;  // the host's own namespace
  host::CniCache cache_;
  std::vector<host::NetnsId> cached_netns_;  // for each attachment there; 0 if it is not alive
  std::map<net::Address, Inside> inside_;
  // Also in namespaces that only a process shows, whatever their interfaces are linked to: enough
  // to tell that the holder of a recorded address lives.
  std::map<net::Address, Inside> shown_;
};

// A lease as `offer` would have made it.
[[nodiscard]] store::Lease lease_of(const AttachmentKey& key, net::Address address,
                                    const pools::Offer& offer, const store::Moment& now);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_INVENTORY_H_
