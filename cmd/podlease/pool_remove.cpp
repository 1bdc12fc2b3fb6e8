#include <algorithm>

#include "podlease/base/text.h"
#include "pool_change.h"

namespace podlease::cmd {
namespace {

using Entry = kube::PodPool::Cidr;

// How many blocks of a pool lie in these CIDRs, by node. Without CIDRs all blocks count.
std::map<std::string, std::uint64_t> blocks_left(Cluster& cluster, const std::string& pool,
                                                 const std::vector<net::Prefix>& cidrs) {
  std::map<std::string, std::uint64_t> left;
  for (const kube::PodBlock& block : cluster.blocks()) {
    const std::optional<net::Prefix> own = net::Prefix::parse(block.cidr);
    const bool inside =
        cidrs.empty() || std::any_of(cidrs.begin(), cidrs.end(), [&](const net::Prefix& cidr) {
          return own && cidr.overlaps(*own);
        });
    if (block.pool == pool && inside) {
      ++left[block.node_name];
    }
  }
  return left;
}

std::string text_of(const std::map<std::string, std::uint64_t>& left) {
  std::vector<std::string> parts;
  parts.reserve(left.size());
  for (const auto& [node, count] : left) {
    parts.push_back(std::to_string(count) + (count == 1 ? " block" : " blocks") + " of node " +
                    node);
  }
  return join(parts, ", ");
}

}  // namespace

PoolOutcome remove_from_pool(Cluster& cluster, const PoolRequest& request) {
  std::vector<kube::PodPool> pools = cluster.pools();
  const auto found = std::find_if(pools.begin(), pools.end(), [&](const kube::PodPool& pool) {
    return pool.name == request.name();
  });
  if (found == pools.end()) {
    return {.message = "there is no PodPool " + request.name() + ": nothing to do"};
  }
  std::vector<net::Prefix> there;
  kube::PodPool changed = *found;
  for (const net::Prefix& cidr : request.cidrs) {
    const Entry* const entry = entry_of(changed, cidr);
    if (entry == nullptr) {
      continue;
    }
    if (!entry->draining) {
      throw wrong(entry->cidr + " of PodPool " + found->name + " is Active",
                  "stop new leases from it first: podlease pool drain " + found->name + " --cidr " +
                      entry->cidr);
    }
    there.push_back(cidr);
    changed.cidrs.erase(changed.cidrs.begin() + (entry - changed.cidrs.data()));
  }
  const bool whole = request.cidrs.empty();
  if (!whole && there.empty()) {
    return {.message = "PodPool " + found->name + " has no CIDR " + net::to_string(request.cidrs) +
                       ": nothing to do"};
  }
  const std::string subject =
      (whole ? "" : net::to_string(there) + " of ") + std::string("PodPool ") + found->name;
  PoolOutcome outcome{.left = blocks_left(cluster, found->name, there)};
  if (!outcome.left.empty()) {
    outcome.message = subject + (whole || there.size() == 1 ? " stays" : " stay") + ": still " +
                      text_of(outcome.left) + "; to see what uses them: podlease migrate status";
    return outcome;
  }
  if (whole) {
    cluster.ask("delete", "podpools.podlease.io",
                [&](kube::Client& client) { client.remove(*found); });
  } else if (changed.cidrs.empty()) {
    throw wrong(subject + (there.size() == 1 ? " is its only CIDR" : " are all its CIDRs") +
                    ", and a pool needs one",
                "to remove the pool: podlease pool remove " + found->name);
  } else {
    write(cluster, *found, {.cidrs = changed.cidrs});
  }
  outcome.message = request.did(subject, "removed", whole ? 1 : there.size());
  outcome.changed = true;
  return outcome;
}

}  // namespace podlease::cmd
