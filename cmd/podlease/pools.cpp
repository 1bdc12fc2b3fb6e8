#include <algorithm>
#include <iostream>

#include "cluster.h"
#include "commands.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "table.h"

namespace podlease::cmd {
namespace {

const char* state_of(const pools::PoolCidr& entry) {
  return entry.draining ? "Draining" : "Active";
}

net::Uint128 addresses_of(const pools::Pool& pool, const CidrUse& use) {
  const net::Family family = use.entry->cidr.family();
  return net::Uint128{use.blocks} << (net::bit_width(family) - pool.block_length(family));
}

Json to_json(const pools::Pool& pool, const std::vector<CidrUse>& uses) {
  Json cidrs = Json::array();
  for (const CidrUse& use : uses) {
    cidrs.push_back({{"cidr", use.entry->cidr.to_string()},
                     {"state", state_of(*use.entry)},
                     {"blockLength", pool.block_length(use.entry->cidr.family())},
                     {"blocks", use.blocks},
                     {"capacity", clipped(use.capacity)},
                     {"nodes", use.nodes},
                     {"used", use.used},
                     {"addresses", clipped(addresses_of(pool, use))},
                     {"percent", percent(use.blocks, use.capacity)}});
  }
  return {{"name", pool.name},
          {"paused", pool.paused},
          {"reapGrace", format_duration(pool.reap_grace)},
          {"cidrs", std::move(cidrs)}};
}

void add_rows(Table& table, const pools::Pool& pool, const std::vector<CidrUse>& uses) {
  for (const CidrUse& use : uses) {
    table.add({pool.name, use.entry->cidr.to_string(), state_of(*use.entry),
               std::to_string(use.blocks) + "/" + count_text(use.capacity),
               share_text(use.blocks, use.capacity), std::to_string(use.nodes.size()),
               std::to_string(use.used) + "/" + count_text(addresses_of(pool, use)),
               pool.paused ? "yes" : "no", format_duration(pool.reap_grace)});
  }
}

// `name`: only this one; empty: all.
int pools(const Context& context, const ClusterOptions& options, const std::string& name) {
  Cluster cluster(options);
  const Pools all = read_pools(name.empty() ? cluster.pools() : std::vector{cluster.pool(name)});
  const std::vector<kube::PodBlock> blocks = cluster.blocks();

  Json report{{"pools", Json::array()}, {"orphans", Json::array()}};
  Table table(
      {"POOL", "CIDR", "STATE", "BLOCKS", "CLAIMED", "NODES", "USED", "PAUSED", "REAP-GRACE"});
  for (const auto& [pool_name, pool] : all) {
    const std::vector<CidrUse> uses = count_use(pool, blocks);
    report["pools"].push_back(to_json(pool, uses));
    add_rows(table, pool, uses);
  }
  for (const kube::PodBlock& block : blocks) {
    const std::optional<BlockView> view = view_of(block, all, nullptr, 0);
    if (view && view->orphaned && (name.empty() || block.pool == name)) {
      report["orphans"].push_back({{"block", block.name},
                                   {"pool", block.pool},
                                   {"node", block.node_name},
                                   {"used", block.used},
                                   {"why", view->why}});
    }
  }
  if (context.json) {
    print(report);
    return kDone;
  }
  if (all.empty()) {
    std::cout << "there is no PodPool yet; to create one: podlease pool add default --cidr CIDR\n";
  } else {
    table.print();
  }
  for (const Json& orphan : report["orphans"]) {
    std::cout << "orphan: block " << orphan["block"].get<std::string>() << " of node "
              << orphan["node"].get<std::string>() << ", " << orphan["used"]
              << " used: " << orphan["why"].get<std::string>() << "; it drains\n";
  }
  return kDone;
}

}  // namespace

void declare_pools(Command& root) {
  Command command = root.add("pools", "Show the cluster's pools, and how much of each is claimed");
  command.details(R"(
There is one line for each CIDR of a pool, counted from the blocks themselves. BLOCKS says how many
are claimed and how many the CIDR has room for, and CLAIMED is their share: at 100% no node gets
another block. NODES is how many nodes have at least one of them. USED counts addresses in claimed
blocks, as of each block's last verification. In a PAUSED pool no block is claimed, given back or
freed. REAP-GRACE is how long the blocks of a node that no longer exists stay taken. Orphans are
blocks whose pool or CIDR was removed: they drain.)");
  const auto name = std::make_shared<std::string>();
  const auto options = std::make_shared<ClusterOptions>();
  command.option("NAME", *name, "Show only this pool");
  declare_cluster_options(command, *options);
  command.runs([name, options](const Context& context) { return pools(context, *options, *name); });
}

}  // namespace podlease::cmd
