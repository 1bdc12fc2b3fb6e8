#ifndef PODLEASE_POOLS_POOL_H_
#define PODLEASE_POOLS_POOL_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/kube/pool_objects.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"

// A PodPool as it is meant, and the blocks that it falls into. Nothing here asks anybody.
namespace podlease::pools {

struct PoolCidr {
  net::Prefix cidr;
  bool draining = false;      // nothing new is leased or claimed there
  net::IntervalSet reserved;  // never leased
};

struct Pool {
  std::string name;
  std::vector<PoolCidr> cidrs;
  int ipv4_block = 0;  // prefix lengths of all blocks; 0: none are given
  int ipv6_block = 0;
  Milliseconds reap_grace{};
  bool paused = false;
  kube::LabelSelector node_selector;

  [[nodiscard]] int block_length(net::Family family) const {
    return family == net::Family::kIpv4 ? ipv4_block : ipv6_block;
  }
  // IPv4 before IPv6; those of draining CIDRs too.
  [[nodiscard]] std::vector<net::Family> families() const;
  // The entry that a block lies in.
  [[nodiscard]] const PoolCidr* cidr_of(const net::Prefix& block) const;
  // Reports whether new addresses may come from a block: its CIDR is Active.
  [[nodiscard]] bool is_active(const net::Prefix& block) const;
  // All addresses of blocks that may be claimed: those in Active CIDRs that are not reserved or
  // among `never` whole.
  [[nodiscard]] net::IntervalSet claimable(net::Family family, const net::IntervalSet& never) const;
};

inline constexpr Milliseconds kReapGrace = std::chrono::hours(6);  // where a pool says nothing

// Nothing: what is written is no duration.
[[nodiscard]] std::optional<Milliseconds> reap_grace_of(const kube::PodPool& object);

// Throws kConfig for what the definitions in conf/kubernetes/crds.yaml do not let pass.
[[nodiscard]] Pool read_pool(const kube::PodPool& object);

// How many blocks of that length a set of whole blocks is.
[[nodiscard]] net::Uint128 count_blocks(const net::IntervalSet& set, net::Family family,
                                        int block_length);

// How many blocks a CIDR of a pool has, claimed or not: all that are not reserved whole.
[[nodiscard]] net::Uint128 capacity_of(const Pool& pool, const PoolCidr& entry);

// The name of a block's object: its CIDR with '-' for ':' and '/', as in 172.20.3.64-26 and
// fd00-10-3---122.
[[nodiscard]] std::string block_name(const net::Prefix& cidr);
// Nothing: no name of a block.
[[nodiscard]] std::optional<net::Prefix> cidr_of_block(std::string_view name);

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_POOL_H_
