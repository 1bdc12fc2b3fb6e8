#include "node_blocks.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "network_configs.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/block_table.h"
#include "podlease/store/object_table.h"
#include "podlease/store/transaction.h"

namespace podlease::cmd {

Configurations read_configurations(const Context& context, const std::filesystem::path& data_dir,
                                   const std::filesystem::path& conf_dir) {
  Configurations result;
  for (NetworkConfig& file : read_network_configs(conf_dir)) {
    result.complete = result.complete && !file.error;
    if (!file.document || file.same_as) {
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

std::vector<store::Block> blocks_in(const Context& context, const std::filesystem::path& data_dir) {
  std::optional<store::Store> store = store::Store::open_existing(context.store_options(data_dir));
  return store ? store::BlockTable(store->begin()).all() : std::vector<store::Block>{};
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
  // Networks that are gone, or that use something else now. If a file could not be read, it is not
  // known which networks those are.
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

}  // namespace podlease::cmd
