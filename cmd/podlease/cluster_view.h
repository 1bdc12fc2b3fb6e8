#ifndef PODLEASE_CMD_CLUSTER_VIEW_H_
#define PODLEASE_CMD_CLUSTER_VIEW_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/pools/pool.h"
#include "podlease/pools/reaper.h"

// What a cluster's objects come to. Nothing here asks anybody, reads a clock or prints.
namespace podlease::cmd {

using Pools = std::map<std::string, pools::Pool>;  // by name

// Throws kConfig, as pools::read_pool does.
[[nodiscard]] Pools read_pools(const std::vector<kube::PodPool>& objects);

// Addresses that an object of the cluster speaks of.
struct Space {
  std::string object;  // Node worker-1
  std::string field;   // spec.podCIDRs
  net::Range range;
  std::string text;  // the range, as written
  std::string pool;  // whose it is; empty: no PodPool's
  bool draining = false;
};

// What is no address is left out: whoever uses it complains of it.
void add_spaces(std::vector<Space>& spaces, const kube::Node& node);
void add_spaces(std::vector<Space>& spaces, const kube::CiliumNode& node);
void add_spaces(std::vector<Space>& spaces, const kube::ServiceCidr& service);
void add_spaces(std::vector<Space>& spaces, const kube::PodPool& pool);

// "PodPool blue spec.cidrs 172.20.0.0/16 overlaps Node worker-1 spec.podCIDRs 172.20.1.0/24"
[[nodiscard]] std::string describe_overlap(const std::string& pool, const net::Prefix& cidr,
                                           const Space& space);

// A block, and what is to be thought of it.
struct BlockView {
  enum class State { kInUse, kDraining, kUnverified, kNodeGone };
  const kube::PodBlock* block = nullptr;
  net::Prefix cidr;
  State state = State::kInUse;
  std::string why;                          // empty where it is in use
  std::optional<std::int64_t> verified;     // seconds ago; nothing: never
  bool orphaned = false;                    // its pool, or the pool's CIDR, is gone
  [[nodiscard]] net::Uint128 size() const;  // in addresses
};

// `nodes` is null where nobody knows which there are. `now` is in seconds since 1970. Nothing: what
// calls itself a block is none.
[[nodiscard]] std::optional<BlockView> view_of(const kube::PodBlock& block, const Pools& pools,
                                               const pools::Nodes* nodes, std::int64_t now);

// A CIDR of a pool, and what of it is taken.
struct CidrUse {
  const pools::PoolCidr* entry = nullptr;
  net::Uint128 capacity = 0;  // blocks that there are
  std::uint64_t blocks = 0;   // that are claimed
  std::uint64_t used = 0;     // addresses, by the blocks' own last words
  std::set<std::string> nodes;
};
[[nodiscard]] std::vector<CidrUse> count_use(const pools::Pool& pool,
                                             const std::vector<kube::PodBlock>& blocks);

// KIND/NAME of what an administrator restarts to replace a pod: its Deployment, where the name of
// its ReplicaSet ends in the hash that only Deployments append.
[[nodiscard]] std::string workload_of(const kube::Pod& pod);
// The command that gives a workload's pods new addresses; or, where no command does, what happens.
[[nodiscard]] std::string restart_command(const std::string& name_space,
                                          const std::string& workload);

// How many blocks of that size these pods need, by node, if none of them shares.
[[nodiscard]] std::map<std::string, std::uint64_t> blocks_needed(const std::vector<kube::Pod>& pods,
                                                                 net::Family family,
                                                                 int block_length);
// Reports whether a pod has an address of its own that it still uses.
[[nodiscard]] bool has_address(const kube::Pod& pod);

// In decimal as long as that is short, else as a power of two: 1024, 2^74.
[[nodiscard]] std::string count_text(net::Uint128 count);
// What JSON's readers can hold.
[[nodiscard]] std::int64_t clipped(net::Uint128 count);

// "██▌       ", ten characters wide; `part` of nothing is nothing.
[[nodiscard]] std::string bar(net::Uint128 part, net::Uint128 whole);
// In whole percent, rounded up: only what is empty is at 0.
[[nodiscard]] unsigned percent(net::Uint128 part, net::Uint128 whole);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_CLUSTER_VIEW_H_
