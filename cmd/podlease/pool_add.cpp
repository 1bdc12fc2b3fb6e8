#include <algorithm>

#include "podlease/base/duration.h"
#include "podlease/base/text.h"
#include "pool_change.h"

namespace podlease::cmd {
namespace {

using Entry = kube::PodPool::Cidr;

// Throws if somebody else has addresses of these CIDRs.
void refuse_overlaps(Cluster& cluster, const PoolRequest& request,
                     const std::vector<net::Prefix>& cidrs,
                     const std::vector<kube::PodPool>& pools) {
  const std::vector<Space> spaces = cluster.spaces(pools);
  std::vector<std::string> found;
  bool among_pools = false;
  for (const net::Prefix& cidr : cidrs) {
    for (const Space& space : spaces) {
      if (!space.range.overlaps(cidr.range())) {
        continue;
      }
      among_pools = among_pools || !space.pool.empty();
      found.push_back(describe_overlap(request.name(), cidr, space));
    }
  }
  if (found.empty()) {
    return;
  }
  constexpr std::size_t kMost = 5;
  const std::size_t more = found.size() - std::min(found.size(), kMost);
  found.resize(found.size() - more);
  const std::string text =
      join(found, "; ") + (more == 0 ? "" : "; and " + std::to_string(more) + " more");
  if (!among_pools && request.options->force) {
    cluster.warn(text);
    return;
  }
  throw wrong(text, among_pools
                        ? "two pools would give out the same blocks: give a CIDR that no pool has"
                        : "pods would share addresses with it: give another CIDR, or --force if "
                          "none of it is in use");
}

// Throws if an option that is for new pools differs from what the pool has.
void refuse_other_options(const PoolRequest& request, const kube::PodPool& pool) {
  const std::string& grace = request.options->reap_grace;
  if (!grace.empty() && parse_duration(grace) != parse_duration(pool.reap_grace)) {
    throw wrong("PodPool " + pool.name + " has reapGrace " + pool.reap_grace + ", not " + grace,
                "change it: kubectl patch podpool " + pool.name +
                    R"( --type=merge -p '{"spec":{"reapGrace":")" + grace + R"("}}')");
  }
  if (!request.node_selector.match_labels.empty() && request.node_selector != pool.node_selector) {
    throw wrong("PodPool " + pool.name + " has another nodeSelector",
                "change it: kubectl edit podpool " + pool.name);
  }
}

PoolOutcome create(Cluster& cluster, const PoolRequest& request) {
  kube::PodPool pool{.name = request.name(),
                     .node_selector = request.node_selector,
                     .reap_grace = request.options->reap_grace};
  for (const net::Prefix& cidr : request.cidrs) {
    const auto reserved = request.reserved.find(cidr);
    pool.cidrs.push_back({.cidr = cidr.to_string()});
    if (reserved != request.reserved.end()) {
      pool.cidrs.back().reserved = reserved->second;
    }
  }
  const auto made = cluster.ask("create", "podpools.podlease.io",
                                [&](kube::Client& client) { return client.create(pool); });
  if (!made) {
    throw kube::ApiError(kube::ApiError::Cause::kConflict,
                         "somebody else made PodPool " + pool.name + " meanwhile");
  }
  return {
      .message = request.did("PodPool " + pool.name, "made with " + net::to_string(request.cidrs)),
      .changed = true};
}

}  // namespace

PoolOutcome add_to_pool(Cluster& cluster, const PoolRequest& request) {
  std::vector<kube::PodPool> pools = cluster.pools();
  const auto found = std::find_if(pools.begin(), pools.end(), [&](const kube::PodPool& pool) {
    return pool.name == request.name();
  });
  std::vector<net::Prefix> fresh;
  std::vector<std::string> draining;
  bool reserves = false;
  for (const net::Prefix& cidr : request.cidrs) {
    const Entry* const entry = found == pools.end() ? nullptr : entry_of(*found, cidr);
    if (entry == nullptr) {
      fresh.push_back(cidr);
    } else if (entry->draining) {
      draining.push_back(entry->cidr);
    }
  }
  if (!fresh.empty()) {
    refuse_overlaps(cluster, request, fresh, pools);
  }
  if (found == pools.end()) {
    return create(cluster, request);
  }
  refuse_other_options(request, *found);
  kube::PodPool changed = *found;
  for (const net::Prefix& cidr : fresh) {
    changed.cidrs.push_back({.cidr = cidr.to_string()});
  }
  for (const auto& [cidr, reserved] : request.reserved) {
    Entry& entry = *entry_of(changed, cidr);
    for (const std::string& text : reserved) {
      if (std::find(entry.reserved.begin(), entry.reserved.end(), text) == entry.reserved.end()) {
        entry.reserved.push_back(text);
        reserves = true;
      }
    }
  }
  const std::string hint = draining.empty() ? ""
                                            : "; " + join(draining, ", ") +
                                                  (draining.size() == 1 ? " is" : " are") +
                                                  " Draining: podlease pool activate " +
                                                  request.name() + " --cidr " + draining.front();
  if (changed == *found) {
    return {.message = "PodPool " + request.name() + " has " + net::to_string(request.cidrs) +
                       " already: nothing to do" + hint};
  }
  write(cluster, *found, {.cidrs = changed.cidrs});
  return {
      .message =
          (fresh.empty() ? request.did("PodPool " + request.name(), "given")
                         : request.did(net::to_string(fresh), "added to PodPool " + request.name(),
                                       fresh.size())) +
          (reserves ? (fresh.empty() ? " the reserved addresses" : ", with the reserved addresses")
                    : "") +
          hint,
      .changed = true};
}

}  // namespace podlease::cmd
