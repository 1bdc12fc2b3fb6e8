#include "node_blocks.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "network_configs.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "table.h"

namespace podlease::cmd {
namespace {

// A network of a store, as it is configured today.
struct Configured {
  config::Document document;
  config::NetConf conf;
};

// Those of one store.
struct Configurations {
  std::vector<Configured> networks;
  bool complete = true;  // none of the files was unreadable or wrong
};

Configurations read_configurations(const Context& context, const std::filesystem::path& data_dir,
                                   const std::filesystem::path& conf_dir) {
  Configurations result;
  for (NetworkConfig& file : read_network_configs(conf_dir)) {
    result.complete = result.complete && !file.error;
    if (!file.document) {
      continue;
    }
    try {
      config::NetConf conf = file.document->net_conf("");
      if (context.data_dir_of(conf) == data_dir) {
        result.networks.push_back({.document = *std::move(file.document), .conf = std::move(conf)});
      }
    } catch (const Error&) {
      result.complete = false;
    }
  }
  return result;
}

// A network that says how the API is reached; of none that does, what a node has by default.
Configured for_the_api(Configurations& configurations) {
  for (Configured& network : configurations.networks) {
    if (!network.conf.is_fixed()) {
      return std::move(network);
    }
  }
  config::Document document =
      config::Document::parse(R"({"name": "podlease", "ipam": {"type": "podlease"}})");
  config::NetConf conf = document.net_conf("");
  return {.document = std::move(document), .conf = std::move(conf)};
}

// This node, by what the API says, or said last.
pools::Owner owner_in(const plugin::ConfiguredSource& source,
                      const store::Store::Options& options) {
  source->refresh(true);
  store::Store store = store::Store::open(options);
  store::Transaction transaction = store.begin();
  const pools::NodeObjects::View view =
      source.objects()->view(transaction, source.objects()->moment());
  if (!view.node.object) {
    const std::optional<store::RemoteObject>& record = view.node.record;
    throw Error(ErrorKind::kBusy,
                record && !record->failure.empty() ? record->failure : "this Node is not known",
                record ? record->advice : "");
  }
  return pools::owner_of(*view.node.object);
}

// What keeps a block with a node that gives back all of them; empty: nothing.
std::string why_kept(const store::Block& block, bool is_paused, bool has_leases, bool force) {
  if (is_paused) {
    return "PodPool " + block.pool + " is paused";
  }
  if (has_leases && !force) {
    return "it has leases";
  }
  if (block.unexplored && !force) {
    return "its store was lost, and no ADD has looked yet which pods have addresses of it";
  }
  return "";
}

}  // namespace

std::vector<store::Block> blocks_in(const Context& context, const std::filesystem::path& data_dir) {
  std::optional<store::Store> store = store::Store::open_existing(context.store_options(data_dir));
  return store ? store->begin().blocks() : std::vector<store::Block>{};
}

bool is_among(const store::Block& block, const std::vector<store::Block>& blocks) {
  return std::any_of(blocks.begin(), blocks.end(), [&](const store::Block& other) {
    return other.network == block.network && other.cidr == block.cidr;
  });
}

Json to_json(const store::Block& block, const std::string& verdict, const std::string& what,
             bool dry_run) {
  return {{"network", block.network},
          {"block", block.cidr.to_string()},
          {"pool", block.pool},
          {"verdict", verdict},
          {"what", what},
          {"dryRun", dry_run}};
}

std::vector<store::Block> keep_blocks(const Context& context, const std::filesystem::path& data_dir,
                                      const std::filesystem::path& conf_dir) {
  const std::vector<store::Block> before = blocks_in(context, data_dir);
  Configurations configurations = read_configurations(context, data_dir, conf_dir);
  pools::Blocks::Networks retired;
  for (const store::Block& block : before) {
    retired.emplace(block.network, pools::Blocks::Network{});
  }
  std::optional<Error> failure;
  for (const auto& [document, conf] : configurations.networks) {
    if (conf.mode != config::Mode::kClusterPool) {
      continue;
    }
    retired.erase(conf.essentials.name);
    try {
      const plugin::ConfiguredSource source = context.source(document, conf, data_dir, {}, true);
      source->refresh(true);
      const pools::Knowledge knowledge = context.leases(data_dir).consult(*source);
      if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
        failure = *error;
      }
      source->keep();
    } catch (const Error& error) {
      failure = error;
    }
  }
  // Networks that are gone, or draw from something else now. Where a file could not be read nobody
  // knows which those are.
  if (!retired.empty() && configurations.complete) {
    const Configured any = for_the_api(configurations);
    const plugin::ConfiguredSource source =
        context.source(any.document, any.conf, data_dir, {}, true);
    source.blocks()->verify(owner_in(source, context.store_options(data_dir)),
                            source.objects()->moment());
    source.blocks()->give_back(retired);
  }
  if (failure) {
    throw Error(*failure);
  }
  std::vector<store::Block> given = before;
  const std::vector<store::Block> after = blocks_in(context, data_dir);
  std::erase_if(given, [&](const store::Block& block) { return is_among(block, after); });
  return given;
}

int node_release(const Context& context, const NodeReleaseOptions& options) {
  Json document = Json::array();
  Table table({"NETWORK", "BLOCK", "POOL", "WHAT"});
  std::set<std::string> paused;
  int status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    const std::vector<store::Block> before = blocks_in(context, data_dir);
    if (before.empty()) {
      continue;
    }
    Configurations configurations = read_configurations(context, data_dir, options.conf_dir);
    const Configured any = for_the_api(configurations);
    const plugin::ConfiguredSource source =
        context.source(any.document, any.conf, data_dir, {}, !options.dry_run);
    std::set<std::string> pools;
    for (const store::Block& block : before) {
      pools.insert(block.pool);
    }
    for (const std::string& pool : pools) {
      if (source.blocks()->is_paused(pool)) {
        paused.insert(pool);
      }
    }
    if (!options.dry_run) {
      const pools::Owner owner = owner_in(source, context.store_options(data_dir));
      static_cast<void>(source.blocks()->leave(owner, options.force, paused));
    }
    const std::vector<store::Block> after = blocks_in(context, data_dir);
    const std::vector<StoredLease> leases = read_leases(context);
    for (const store::Block& block : before) {
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
      std::cout << "podlease pool resume " << pool << ", once it is repaired, then again\n";
    }
    if (status == kTrouble && paused.empty() && !options.dry_run) {
      std::cout << "drain the node first (kubectl drain), or give --force if its pods are gone for "
                   "good\n";
    }
  }
  return status;
}

}  // namespace podlease::cmd
