#include "podlease/pools/reaper.h"

#include <algorithm>
#include <limits>
#include <set>

#include "podlease/base/rfc3339.h"
#include "podlease/base/text.h"

namespace podlease::pools {
namespace {

using net::Prefix;

struct Mark {
  std::chrono::sys_seconds since;
  std::chrono::sys_seconds until;
};

std::optional<Mark> read_mark(const std::string& text) {
  const std::vector<std::string_view> times = words(text);
  if (times.size() != 2) {
    return std::nullopt;
  }
  const std::optional<std::int64_t> since = parse_rfc3339(times[0]);
  const std::optional<std::int64_t> until = parse_rfc3339(times[1]);
  if (!since || !until) {
    return std::nullopt;
  }
  return Mark{.since = std::chrono::sys_seconds(std::chrono::seconds(*since)),
              .until = std::chrono::sys_seconds(std::chrono::seconds(*until))};
}

}  // namespace

Nodes by_name(const std::vector<kube::Node>& nodes) {
  Nodes named;
  for (const kube::Node& node : nodes) {
    named.emplace(node.name, node);
  }
  return named;
}

bool is_node_gone(const kube::PodBlock& block, const Nodes& nodes) {
  const auto node = nodes.find(block.node_name);
  if (node == nodes.end()) {
    return true;
  }
  // Neither a new uid alone, as of a Node that was deleted and came back, nor a machine of which
  // nothing is known says that it is another one.
  return !block.machine_id.empty() && !node->second.machine_id.empty() &&
         node->second.machine_id != block.machine_id;
}

Reaping judge(const kube::PodBlock& block, const Cluster& cluster) {
  const auto pool = cluster.pools.find(block.pool);
  if (pool != cluster.pools.end() && pool->second.paused) {
    return Reaping::kNone;
  }
  if (!is_node_gone(block, cluster.nodes)) {
    return block.node_gone_since.empty() ? Reaping::kNone : Reaping::kUnmark;
  }
  if (!block.is_ending()) {
    return Reaping::kDelete;
  }
  const Milliseconds grace = pool == cluster.pools.end() ? kReapGrace : pool->second.reap_grace;
  const std::optional<Mark> mark = read_mark(block.node_gone_since);
  // Between looks that are far apart it may have been back.
  if (!mark || cluster.now - mark->until > grace / 4) {
    return Reaping::kMark;
  }
  return cluster.now - mark->since >= grace ? Reaping::kLetGo : Reaping::kRenew;
}

std::string mark_of(const kube::PodBlock& block, Reaping reaping, std::chrono::sys_seconds now) {
  const std::optional<Mark> mark = read_mark(block.node_gone_since);
  const auto since = reaping == Reaping::kRenew && mark ? mark->since : now;
  return to_rfc3339(since) + " " + to_rfc3339(now);
}

kube::PodPool::Status count(const Pool& pool, const std::vector<kube::PodBlock>& blocks,
                            std::chrono::sys_seconds now) {
  kube::PodPool::Status status{.updated_at = to_rfc3339(now)};
  std::set<std::string> nodes;
  for (const kube::PodBlock& block : blocks) {
    if (block.pool == pool.name) {
      ++status.blocks;
      status.used += block.used;
      nodes.insert(block.node_name);
    }
  }
  status.nodes = static_cast<std::int64_t>(nodes.size());
  net::Uint128 capacity = 0;
  constexpr net::Uint128 kMost = std::numeric_limits<std::int64_t>::max();
  for (const PoolCidr& entry : pool.cidrs) {
    capacity += capacity_of(pool, entry);
  }
  status.capacity = static_cast<std::int64_t>(std::min(capacity, kMost));
  return status;
}

}  // namespace podlease::pools
