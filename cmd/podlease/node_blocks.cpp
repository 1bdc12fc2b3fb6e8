#include "node_blocks.h"

#include <algorithm>
#include <iostream>
#include <optional>
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

}  // namespace

std::vector<store::Block> blocks_in(const Context& context, const std::filesystem::path& data_dir) {
  std::optional<store::Store> store = store::Store::open_existing(context.store_options(data_dir));
  return store ? store->begin().blocks() : std::vector<store::Block>{};
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
  std::erase_if(given, [&](const store::Block& block) {
    return std::any_of(after.begin(), after.end(), [&](const store::Block& other) {
      return other.network == block.network && other.cidr == block.cidr;
    });
  });
  return given;
}

std::vector<store::Block> leave_blocks(const Context& context,
                                       const std::filesystem::path& data_dir,
                                       const std::filesystem::path& conf_dir, bool even_in_use) {
  Configurations configurations = read_configurations(context, data_dir, conf_dir);
  const Configured any = for_the_api(configurations);
  const plugin::ConfiguredSource source =
      context.source(any.document, any.conf, data_dir, {}, true);
  return source.blocks()->leave(owner_in(source, context.store_options(data_dir)), even_in_use);
}

int node_release(const Context& context, const NodeReleaseOptions& options) {
  Json document = Json::array();
  Table table({"NETWORK", "BLOCK", "POOL", "WHAT"});
  int status = kDone;
  const auto add = [&](const store::Block& block, const char* what) {
    document.push_back({{"network", block.network},
                        {"cidr", block.cidr.to_string()},
                        {"pool", block.pool},
                        {"what", what},
                        {"dryRun", options.dry_run}});
    table.add({block.network, block.cidr.to_string(), block.pool, what});
  };
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    const std::vector<store::Block> before = blocks_in(context, data_dir);
    if (before.empty()) {
      continue;
    }
    if (!options.dry_run) {
      static_cast<void>(leave_blocks(context, data_dir, options.conf_dir, options.force));
    }
    const std::vector<store::Block> after = blocks_in(context, data_dir);
    std::vector<StoredLease> leases = read_leases(context);
    for (const store::Block& block : before) {
      const bool in_use = std::any_of(leases.begin(), leases.end(), [&](const StoredLease& stored) {
        return stored.data_dir == data_dir && stored.lease.key.network == block.network &&
               block.cidr.contains(stored.lease.address.address());
      });
      const bool stays =
          options.dry_run ? in_use && !options.force
                          : std::any_of(after.begin(), after.end(), [&](const store::Block& other) {
                              return other.network == block.network && other.cidr == block.cidr;
                            });
      add(block, stays ? "kept: it has leases" : "given back");
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
    if (status == kTrouble && !options.dry_run) {
      std::cout << "drain the node first (kubectl drain), or give --force if its pods are gone for "
                   "good\n";
    }
  }
  return status;
}

}  // namespace podlease::cmd
