#include "reap.h"

#include <chrono>
#include <iostream>

#include "cluster_view.h"
#include "podlease/base/error.h"
#include "podlease/pools/reaper.h"
#include "table.h"

namespace podlease::cmd {
namespace {

using pools::Reaping;

constexpr const char* kBlocks = "podblocks.podlease.io";

const char* text_of(Reaping reaping) {
  switch (reaping) {
    case Reaping::kNone:
      return "";
    case Reaping::kDelete:
      return "deleted: its node is gone; its addresses stay taken for the pool's reapGrace";
    case Reaping::kMark:
      return "its node is gone: the pool's reapGrace begins";
    case Reaping::kRenew:
      return "its node is still gone: the pool's reapGrace is not over";
    case Reaping::kUnmark:
      return "its node is back: kept until its pods have ended";
    case Reaping::kLetGo:
      return "freed: its node was gone for the pool's reapGrace";
  }
  return "";
}

const char* word_for(Reaping reaping) {
  switch (reaping) {
    case Reaping::kNone:
      return "none";
    case Reaping::kDelete:
      return "deleted";
    case Reaping::kMark:
      return "missed";
    case Reaping::kRenew:
      return "still-missed";
    case Reaping::kUnmark:
      return "back";
    case Reaping::kLetGo:
      return "freed";
  }
  return "";
}

void carry_out(Cluster& cluster, const kube::PodBlock& block, Reaping reaping,
               std::chrono::sys_seconds now) {
  switch (reaping) {
    case Reaping::kNone:
      return;
    case Reaping::kDelete:
      cluster.ask("delete", kBlocks, [&](kube::Client& client) {
        client.remove(block);
        return true;
      });
      return;
    case Reaping::kMark:
    case Reaping::kRenew:
    case Reaping::kUnmark:
      cluster.ask("patch", kBlocks, [&](kube::Client& client) {
        client.mark(block, reaping == Reaping::kUnmark ? "" : pools::mark_of(block, reaping, now));
        return true;
      });
      return;
    case Reaping::kLetGo:
      cluster.ask("patch", kBlocks, [&](kube::Client& client) {
        client.let_go(block);
        return true;
      });
      return;
  }
}

// For a node that an operator knows to be dead: without the grace.
void end_at_once(Cluster& cluster, kube::PodBlock block) {
  block.resource_version.clear();  // deleting changes it
  cluster.ask("delete", kBlocks, [&](kube::Client& client) {
    client.remove(block);
    client.let_go(block);
    return true;
  });
}

void refuse_living(const std::vector<kube::Node>& nodes, const std::string& name) {
  for (const kube::Node& node : nodes) {
    if (node.name == name && node.ready) {
      throw Error(
          ErrorKind::kConfig, "Node " + name + " is Ready: it is not dead",
          "run podlease node release on it to give back its blocks; the Node of a dead node is "
          "NotReady or deleted");
    }
  }
}

void write_counts(Cluster& cluster, const std::vector<kube::PodPool>& objects,
                  const std::vector<kube::PodBlock>& blocks, std::chrono::sys_seconds now) {
  for (const kube::PodPool& object : objects) {
    kube::PodPool counted = object;
    counted.status = pools::count(pools::read_pool(object), blocks, now);
    cluster.ask("patch", "podpools.podlease.io/status", [&](kube::Client& client) {
      client.write_status(counted);
      return true;
    });
  }
}

}  // namespace

int reap(const Context& context, const ReapOptions& options) {
  Cluster api(options.cluster, options.dry_run);
  const std::vector<kube::PodPool> pool_objects = api.pools();
  const std::vector<kube::PodBlock> blocks = api.blocks();
  // Asked now, not remembered: a Node that is missing in an older list may have just been added.
  const std::vector<kube::Node> nodes =
      api.ask("list", "nodes", [](kube::Client& client) { return client.nodes(); });
  const std::chrono::sys_seconds now{std::chrono::seconds(api.now())};
  const pools::Cluster seen{
      .nodes = pools::by_name(nodes), .pools = read_pools(pool_objects), .now = now};
  if (!options.dead_node.empty()) {
    refuse_living(nodes, options.dead_node);
  }

  Json document = Json::array();
  Table table({"BLOCK", "POOL", "NODE", "WHAT"});
  int status = kDone;
  for (const kube::PodBlock& block : blocks) {
    const bool is_dead = !options.dead_node.empty() && block.node_name == options.dead_node;
    if (!options.dead_node.empty() && !is_dead) {
      continue;
    }
    const Reaping reaping = is_dead ? Reaping::kLetGo : pools::judge(block, seen);
    if (reaping == Reaping::kNone) {
      continue;
    }
    std::string what = is_dead ? "freed: its node is dead" : text_of(reaping);
    try {
      if (is_dead) {
        end_at_once(api, block);
      } else {
        carry_out(api, block, reaping, now);
      }
    } catch (const kube::ApiError& error) {
      // Somebody else changed it meanwhile: the next run sees the result.
      what = std::string("left alone: ") + error.what();
      status = error.cause() == kube::ApiError::Cause::kConflict ? status : kTrouble;
    }
    document.push_back({{"block", block.name},
                        {"pool", block.pool},
                        {"node", block.node_name},
                        {"verdict", word_for(reaping)},
                        {"what", what},
                        {"dryRun", options.dry_run}});
    table.add({block.name, block.pool, block.node_name, what});
  }
  if (options.dead_node.empty()) {
    write_counts(api, pool_objects, blocks, now);
  }
  if (context.json) {
    print(document);
  } else if (document.empty()) {
    std::cout << (options.dead_node.empty() ? "the node of every block exists\n"
                                            : "that node has no blocks\n");
  } else {
    table.print();
    std::cout << (options.dry_run ? "nothing was changed\n" : "");
  }
  return status;
}

}  // namespace podlease::cmd
