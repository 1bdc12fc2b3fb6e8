#include <algorithm>

#include "cluster.h"
#include "commands.h"
#include "podlease/base/duration.h"
#include "table.h"

namespace podlease::cmd {
namespace {

struct BlocksOptions {
  ClusterOptions cluster;
  std::string pool;  // empty: all
  std::string node;  // empty: all
};

const char* text_of(BlockView::State state) {
  switch (state) {
    case BlockView::State::kInUse:
      return "in use";
    case BlockView::State::kDraining:
      return "draining";
    case BlockView::State::kUnverified:
      return "unverified";
    case BlockView::State::kNodeGone:
      return "node gone";
  }
  return "";
}

net::Uint128 used_of(const BlockView& view) {
  return static_cast<net::Uint128>(std::max<std::int64_t>(view.block->used, 0));
}

Json to_json(const BlockView& view) {
  const kube::PodBlock& block = *view.block;
  return {{"name", block.name},
          {"cidr", block.cidr},
          {"pool", block.pool},
          {"node", block.node_name},
          {"nodeUID", block.node_uid},
          {"machineID", block.machine_id},
          {"nodeIPs", block.node_ips},
          {"used", block.used},
          {"size", clipped(view.size())},
          {"created", block.created},
          {"verifiedAt", block.verified_at.empty() ? Json() : Json(block.verified_at)},
          {"deletedAt", block.deleted.empty() ? Json() : Json(block.deleted)},
          {"state", text_of(view.state)},
          {"why", view.why}};
}

int blocks(const Context& context, const BlocksOptions& wanted) {
  Cluster cluster(wanted.cluster);
  const Pools pools = read_pools(cluster.pools());
  if (!wanted.pool.empty() && !pools.contains(wanted.pool)) {
    cluster.warn("there is no PodPool " + wanted.pool);
  }
  const auto listed = cluster.nodes("whether a block's node is gone is not known");
  const auto nodes = listed ? std::optional(pools::by_name(*listed)) : std::nullopt;
  const std::vector<kube::PodBlock> all = cluster.blocks();
  std::vector<BlockView> views;
  for (const kube::PodBlock& block : all) {
    const auto view = view_of(block, pools, nodes ? &*nodes : nullptr, cluster.now());
    if (view && (wanted.pool.empty() || block.pool == wanted.pool) &&
        (wanted.node.empty() || block.node_name == wanted.node)) {
      views.push_back(*view);
    }
  }
  std::sort(views.begin(), views.end(),
            [](const BlockView& a, const BlockView& b) { return a.cidr < b.cidr; });

  cluster.print_warnings();
  if (context.json) {
    Json document = Json::array();
    for (const BlockView& view : views) {
      document.push_back(to_json(view));
    }
    print(document);
    return kDone;
  }
  Table table({"BLOCK", "POOL", "NODE", "USED", "SHARE", "VERIFIED", "STATE"});
  for (const BlockView& view : views) {
    const kube::PodBlock& block = *view.block;
    table.add({block.cidr, block.pool, block.node_name,
               std::to_string(block.used) + "/" + count_text(view.size()),
               share_text(used_of(view), view.size()),
               view.verified ? format_duration(std::chrono::seconds(*view.verified)) : "never",
               text_of(view.state) + (view.why.empty() ? "" : ": " + view.why)});
  }
  table.print();
  return kDone;
}

}  // namespace

void declare_blocks(Command& root) {
  Command command = root.add("blocks", "Show which node has which block of a pool");
  command.details(R"(
USED is how many of the block's addresses are leased, and SHARE is their share, both as of the
moment when the node last verified that the block is its own. VERIFIED says how long ago that was.
STATE is
  in use
  draining    no new address is leased from it: it was deleted, its CIDR is Draining, or its pool or
              CIDR was removed
  unverified  no new address is leased from it until its node verifies it: the last verification is
              older than half of the pool's reapGrace
  node gone   its Node no longer exists or is another machine now: the reaper frees it once the
              pool's reapGrace is over)");
  const auto options = std::make_shared<BlocksOptions>();
  command.option("--pool", options->pool, "Show only the blocks of this pool").value_name("NAME");
  command.option("--node", options->node, "Show only the blocks of this node").value_name("NAME");
  declare_cluster_options(command, options->cluster);
  command.runs([options](const Context& context) { return blocks(context, *options); });
}

}  // namespace podlease::cmd
