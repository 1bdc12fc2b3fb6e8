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

// What the commands conclude from a cluster's objects. Nothing here does I/O or reads a clock.
namespace podlease::cmd {

using Pools = std::map<std::string, pools::Pool>;  // by name

// Throws kConfig, as pools::read_pool does.
[[nodiscard]] Pools read_pools(const std::vector<kube::PodPool>& objects);

// Addresses that an object of the cluster mentions.
struct Space {
  std::string object;  // Node worker-1
  std::string field;   // spec.podCIDRs
  net::Range range;
  std::string text;  // the range, as written
  std::string pool;  // the PodPool that has the range; empty: none
  bool draining = false;
};

// Malformed addresses are left out: whoever uses the object reports them.
void add_spaces(std::vector<Space>& spaces, const kube::Node& node);
void add_spaces(std::vector<Space>& spaces, const kube::CiliumNode& node);
void add_spaces(std::vector<Space>& spaces, const kube::ServiceCidr& service);
void add_spaces(std::vector<Space>& spaces, const kube::PodPool& pool);

// "PodPool blue spec.cidrs 172.20.0.0/16 overlaps Node worker-1 spec.podCIDRs 172.20.1.0/24"
[[nodiscard]] std::string describe_overlap(const std::string& pool, const net::Prefix& cidr,
                                           const Space& space);

// A block and its state.
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

// `nodes` is null where the nodes are not known. `now` is in seconds since 1970. Nothing if the
// block's CIDR is malformed.
[[nodiscard]] std::optional<BlockView> view_of(const kube::PodBlock& block, const Pools& pools,
                                               const pools::Nodes* nodes, std::int64_t now);

// A CIDR of a pool, and how much of it is claimed and used.
struct CidrUse {
  const pools::PoolCidr* entry = nullptr;
  net::Uint128 capacity = 0;  // blocks that the CIDR has room for
  std::uint64_t blocks = 0;   // claimed ones
  std::uint64_t used = 0;     // addresses, as of each block's last verification
  std::set<std::string> nodes;
};
[[nodiscard]] std::vector<CidrUse> count_use(const pools::Pool& pool,
                                             const std::vector<kube::PodBlock>& blocks);

// KIND/NAME of what an administrator restarts to replace a pod: its Deployment, where the name of
// its ReplicaSet ends in the hash that only Deployments append.
[[nodiscard]] std::string workload_of(const kube::Pod& pod);
// The command that gives a workload's pods new addresses, or a sentence where there is no command.
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
// The count, limited to the largest integer that readers of JSON can hold.
[[nodiscard]] std::int64_t clipped(net::Uint128 count);

// "██▌       ", ten characters wide. It is empty if `whole` is 0.
[[nodiscard]] std::string bar(net::Uint128 part, net::Uint128 whole);
// In whole percent, rounded up: only an empty part is 0 %.
[[nodiscard]] unsigned percent(net::Uint128 part, net::Uint128 whole);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_CLUSTER_VIEW_H_
