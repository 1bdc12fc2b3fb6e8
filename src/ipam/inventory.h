#ifndef PODLEASE_SRC_IPAM_INVENTORY_H_
#define PODLEASE_SRC_IPAM_INVENTORY_H_

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/net/address.h"
#include "podlease/pools/source.h"
#include "podlease/store/lease.h"

namespace podlease::ipam {

// What the machine itself tells of the addresses in use, whatever a store says or has lost:
// libcni's cache, and the addresses inside the network namespaces that can be seen. Gathered once.
class Inventory {
 public:
  // `caller`, if any, is the attachment in namespace `netns` that is being added right now.
  Inventory(const host::Host& host, const std::filesystem::path& cni_cache, std::string network,
            const std::optional<AttachmentKey>& caller, const std::string& netns);

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

 private:
  struct Inside {
    host::NamedNetns netns;
    std::string interface;
  };

  [[nodiscard]] const host::CachedAttachment* cached(const std::string& container_id,
                                                     const std::string& ifname) const;
  // Who libcni says has the address in a namespace. Paths do not tell: /run and /var/run are one.
  [[nodiscard]] const host::CachedAttachment* cached_in(const host::NetnsId& netns,
                                                        net::Address address) const;
  [[nodiscard]] bool is_gone(const std::string& netns) const;
  [[nodiscard]] store::Presence presence_at(const host::NamedNetns& netns) const;

  const host::Host* host_;
  std::string network_;
  std::optional<AttachmentKey> caller_;
  host::NetnsId caller_netns_;
  std::string boot_id_;
  std::chrono::sys_time<Milliseconds> booted_;
  host::CniCache cache_;
  std::vector<host::NetnsId> cached_netns_;  // for each attachment there; 0 if it is not alive
  std::map<net::Address, Inside> inside_;
  std::set<std::filesystem::path> folders_;  // in which namespaces are seen, canonical
};

// What a lease's `source` says of one that was adopted, and from where.
inline constexpr std::string_view kFromHostLocal = "host-local";
inline constexpr std::string_view kFromCache = "libcni cache";
inline constexpr std::string_view kFromNamespace = "namespace";

// The container id of a lease whose holder is only known by the namespace it lives in: by its name,
// for its folder has several.
[[nodiscard]] std::string id_by_netns(const std::string& netns);

// A lease as `offer` would have made it.
[[nodiscard]] store::Lease lease_of(const AttachmentKey& key, net::Address address,
                                    const pools::Offer& offer, const store::Moment& now);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_INVENTORY_H_
