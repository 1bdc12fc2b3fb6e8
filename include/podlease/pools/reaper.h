#ifndef PODLEASE_POOLS_REAPER_H_
#define PODLEASE_POOLS_REAPER_H_

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"
#include "podlease/pools/pool.h"

// What becomes of the blocks of nodes that are gone (DESIGN, section 7; the second pass of
// CILIUM-IPAM 7.4). Nothing here asks anybody.
//
// Nobody can prove that a machine is dead. So a block is deleted first, which leaves its name
// taken; then it is noted since when its node has been missed, and until when; and only when it was
// missed for `reapGrace`, by looks that were not too far apart, is its finalizer taken away. A node
// that lives takes the note away whenever it verifies the block, and leases nothing from a block
// that it could not verify for half as long.
namespace podlease::pools {

using Nodes = std::map<std::string, kube::Node>;  // by name
[[nodiscard]] Nodes by_name(const std::vector<kube::Node>& nodes);

// Reports whether the node that a block was made out to is gone: no Node has its name, or the one
// that does is known to be another machine.
[[nodiscard]] bool is_node_gone(const kube::PodBlock& block, const Nodes& nodes);

enum class Reaping {
  kNone,    // its node is there, or its pool is paused
  kDelete,  // first pass
  kMark,    // deleted, and its node is missed as of now
  kRenew,   // missed, for not long enough yet: missed still
  kUnmark,  // its node is back
  kLetGo,   // missed for the grace: the block is free for others
};

// What the reaper goes by.
struct Cluster {
  Nodes nodes;
  std::map<std::string, Pool> pools;  // by name
  std::chrono::sys_seconds now;       // the API server's clock
};

[[nodiscard]] Reaping judge(const kube::PodBlock& block, const Cluster& cluster);

// The mark that says so: since when its node is missed, and until when that was seen.
[[nodiscard]] std::string mark_of(const kube::PodBlock& block, Reaping reaping,
                                  std::chrono::sys_seconds now);

// The counts for a pool's status.
[[nodiscard]] kube::PodPool::Status count(const Pool& pool,
                                          const std::vector<kube::PodBlock>& blocks,
                                          std::chrono::sys_seconds now);

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_REAPER_H_
