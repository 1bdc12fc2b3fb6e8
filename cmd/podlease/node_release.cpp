#include <algorithm>
#include <iostream>
#include <set>
#include <string>

#include "command.h"
#include "commands.h"
#include "network_configs.h"
#include "node_blocks.h"
#include "table.h"

namespace podlease::cmd {
namespace {

struct NodeReleaseOptions {
  std::filesystem::path conf_dir;
  bool force = false;  // also blocks with leases
  bool dry_run = false;
};

// What a store's blocks were before they were given back.
struct Released {
  std::vector<store::Block> before;
  std::set<std::string> paused;  // pools
};

std::set<std::string> paused_pools(const plugin::ConfiguredSource& source,
                                   const std::vector<store::Block>& blocks) {
  std::set<std::string> pools;
  for (const store::Block& block : blocks) {
    pools.insert(block.pool);
  }
  std::erase_if(pools, [&](const std::string& pool) { return !source.blocks()->is_paused(pool); });
  return pools;
}

// Gives back the blocks of one store. With --dry-run it only asks which pools are paused.
Released release_blocks(const Context& context, const NodeReleaseOptions& options,
                        const std::filesystem::path& data_dir) {
  Released released{.before = blocks_in(context, data_dir), .paused = {}};
  if (released.before.empty()) {
    return released;
  }
  Configurations configurations = read_configurations(context, data_dir, options.conf_dir);
  const Configured any = for_the_api(configurations);
  const plugin::ConfiguredSource source =
      context.source(any.document, any.conf, data_dir, {}, !options.dry_run);
  released.paused = paused_pools(source, released.before);
  if (!options.dry_run) {
    const pools::Owner owner = owner_in(source, context.store_options(data_dir));
    static_cast<void>(source.blocks()->leave(owner, options.force, released.paused));
  }
  return released;
}

// Why a node that gives back all its blocks keeps this one. Empty: it does not.
std::string why_kept(const store::Block& block, bool is_paused, bool has_leases, bool force) {
  if (is_paused) {
    return "PodPool " + block.pool + " is paused";
  }
  if (has_leases && !force) {
    return "it has leases";
  }
  if (block.unexplored && !force) {
    return "its store was lost, and no ADD has found out yet which pods have its addresses";
  }
  return "";
}

int node_release(const Context& context, const NodeReleaseOptions& options) {
  Json document = Json::array();
  Table table({"NETWORK", "BLOCK", "POOL", "WHAT"});
  std::set<std::string> paused;
  int status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    const Released released = release_blocks(context, options, data_dir);
    paused.insert(released.paused.begin(), released.paused.end());
    const std::vector<store::Block> after = blocks_in(context, data_dir);
    const std::vector<StoredLease> leases = read_leases(context);
    for (const store::Block& block : released.before) {
      const bool has_leases =
          std::any_of(leases.begin(), leases.end(), [&](const StoredLease& stored) {
            return stored.data_dir == data_dir && stored.lease.key.network == block.network &&
                   block.cidr.contains(stored.lease.address.address());
          });
      const std::string obstacle =
          why_kept(block, paused.contains(block.pool), has_leases, options.force);
      const bool stays = options.dry_run ? !obstacle.empty() : is_among(block, after);
      const std::string what =
          stays ? "kept: " + (obstacle.empty() ? "it was in use" : obstacle) : "given back";
      document.push_back(to_json(block, stays ? "kept" : "given-back", what, options.dry_run));
      table.add({block.network, block.cidr.to_string(), block.pool, what});
      status = stays ? kTrouble : status;
    }
  }
  if (context.json) {
    print(document);
  } else if (document.empty()) {
    std::cout << "this node has no blocks\n";
  } else {
    table.print();
    std::cout << (options.dry_run ? "nothing was changed\n" : "");
    for (const std::string& pool : paused) {
      std::cout << "when PodPool " << pool << " is repaired: podlease pool resume " << pool
                << ", then run this again\n";
    }
    if (status == kTrouble && paused.empty() && !options.dry_run) {
      std::cout << "drain the node first (kubectl drain), or give --force if its pods are gone for "
                   "good\n";
    }
  }
  return status;
}

}  // namespace

void declare_node(Command& root) {
  Command group = root.add("node", "Commands for this node as a whole");
  group.is_group();
  Command command = group.add("release", "Give back all blocks of this node before it is removed");
  command.details(R"(
Use it on a node that was drained (kubectl drain) and stays cordoned: a pod that starts here claims
a block again. Blocks with leases are kept, except with --force. Blocks of a paused pool are kept,
with --force too. Exit status 2 if a block is kept. It asks the API server with the kubelet's
credentials, with --dry-run too.
Where it is not run, podlease gc --cluster frees the blocks after the Node has been gone for the
pool's reapGrace.)");
  const auto options = std::make_shared<NodeReleaseOptions>();
  command.flag("--force", options->force,
               "Give back blocks with leases too, because their pods are gone for good");
  command.flag("--dry-run", options->dry_run, "Only say what would be given back");
  declare_conf_dir(command, options->conf_dir);
  command.runs([options](const Context& context) { return node_release(context, *options); });
}

}  // namespace podlease::cmd
