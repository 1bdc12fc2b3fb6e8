#include <algorithm>

#include "cluster.h"
#include "podlease/base/duration.h"
#include "table.h"

namespace podlease::cmd {
namespace {

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

}  // namespace

int blocks(const Context& context, const ClusterOptions& options, const BlocksOptions& wanted) {
  Cluster cluster(options);
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

}  // namespace podlease::cmd
