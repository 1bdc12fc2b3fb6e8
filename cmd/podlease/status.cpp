#include <iostream>

#include "command.h"
#include "knowledge.h"
#include "network_configs.h"
#include "podlease/base/error.h"
#include "table.h"

namespace podlease::cmd {
namespace {

// A network in a store, as far as it can be told without a configuration.
struct Summary {
  std::string network;
  std::size_t leased = 0;
  std::size_t freed = 0;
  std::size_t alive = 0;
  std::size_t adopted = 0;
  bool shared = false;
  std::vector<std::string> folders;  // of host-local
};

// What is read while the store is locked, and what is asked of the machine afterwards.
std::vector<Summary> summarise(const Context& context, const std::filesystem::path& data_dir) {
  std::vector<Summary> summaries;
  std::vector<std::vector<store::Lease>> leases;
  {
    std::optional<store::Store> store =
        store::Store::open_existing(context.store_options(data_dir));
    if (!store) {
      return {};
    }
    store::Transaction transaction = store->begin();
    for (const store::Network& network : transaction.networks()) {
      Summary summary{.network = network.name,
                      .freed = transaction.freed_count(network),
                      .shared = network.handover == store::Handover::kShared};
      for (const store::Source& source : transaction.sources(network)) {
        summary.folders.push_back(source.folder);
      }
      leases.push_back(transaction.leases(network));
      summaries.push_back(std::move(summary));
    }
  }
  const ipam::Leases rules = context.leases(data_dir);
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    summaries[i].leased = leases[i].size();
    for (const store::Lease& lease : leases[i]) {
      summaries[i].alive += rules.lives(lease) ? 1U : 0U;
      summaries[i].adopted += lease.source == "host-local" ? 1U : 0U;
    }
  }
  return summaries;
}

// What a network configuration of this node leads to, by what is remembered.
Json describe_network(const Context& context, const NetworkConfig& network) {
  Json entry{{"file", network.file.string()}};
  try {
    if (network.error) {
      throw Error(*network.error);
    }
    const config::NetConf conf = network.document->net_conf("");
    const std::filesystem::path& folder = context.data_dir_of(conf);
    const plugin::ConfiguredSource source = context.source(*network.document, conf, folder);
    const pools::Knowledge knowledge = context.leases(folder).consult(*source);
    entry.update({{"network", conf.essentials.name},
                  {"mode", config::to_string(conf.mode)},
                  {"stale", knowledge.stale}});
    report_knowledge(context, knowledge, entry);
    for (const std::string& warning : conf.warnings) {
      entry["warnings"].push_back(warning);
    }
    if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
      entry["error"] = error->what();
      entry["remedy"] = error->details();
    } else {
      std::size_t draining = 0;
      for (const StoredLease& stored : read_leases(context)) {
        draining += stored.data_dir == folder && stored.lease.key.network == conf.essentials.name &&
                            knowledge.offer()->range_of(stored.lease.address.address()) == nullptr
                        ? 1U
                        : 0U;
      }
      entry["draining"] = draining;
    }
  } catch (const Error& error) {
    entry["error"] = error.what();
    entry["remedy"] = error.details();
  }
  return entry;
}

void print_network(const Json& entry) {
  std::cout << "configuration " << entry["file"].get<std::string>();
  if (entry.contains("network")) {
    std::cout << ": network " << entry["network"].get<std::string>() << ", mode "
              << entry["mode"].get<std::string>();
  }
  std::cout << '\n';
  print_knowledge(entry, "  ");
  if (entry.contains("error")) {
    std::cout << "  no new leases: " << entry["error"].get<std::string>() << "\n    "
              << entry["remedy"].get<std::string>() << '\n';
  } else if (entry["draining"] != 0) {
    std::cout << "  " << entry["draining"] << " leases lie outside these ranges and drain\n";
  }
}

}  // namespace

int status(const Context& context, const std::filesystem::path& conf_dir) {
  Json document = Json::array();
  int exit_status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    Json entry{{"dataDir", data_dir.string()},
               {"exists", std::filesystem::exists(data_dir / "podlease.db")},
               {"networks", Json::array()}};
    try {
      for (const Summary& summary : summarise(context, data_dir)) {
        entry["networks"].push_back({{"network", summary.network},
                                     {"leased", summary.leased},
                                     {"alive", summary.alive},
                                     {"adopted", summary.adopted},
                                     {"freed", summary.freed},
                                     {"sharedWithHostLocal", summary.shared},
                                     {"hostLocalFolders", summary.folders}});
      }
    } catch (const Error& error) {
      entry["error"] = error.what();
      exit_status = kTrouble;
    }
    document.push_back(std::move(entry));
  }
  Json networks = Json::array();
  for (const NetworkConfig& network : read_network_configs(conf_dir)) {
    if (network.document) {
      networks.push_back(describe_network(context, network));
    }
  }
  if (context.json) {
    print({{"stores", document}, {"configurations", networks}});
    return exit_status;
  }
  for (const Json& entry : document) {
    std::cout << "store " << entry["dataDir"].get<std::string>() << '\n';
    if (entry.contains("error")) {
      std::cout << "  error: " << entry["error"].get<std::string>() << '\n';
      continue;
    }
    if (entry["networks"].empty()) {
      std::cout << (entry["exists"].get<bool>() ? "  no network yet\n"
                                                : "  not made yet: the first ADD makes it\n");
      continue;
    }
    Table table({"  NETWORK", "LEASED", "ALIVE", "ADOPTED", "FREED", "HOST-LOCAL"});
    for (const Json& network : entry["networks"]) {
      const bool adopted = !network["hostLocalFolders"].empty();
      table.add({"  " + network["network"].get<std::string>(), network["leased"].dump(),
                 network["alive"].dump(), network["adopted"].dump(), network["freed"].dump(),
                 network["sharedWithHostLocal"].get<bool>() ? "shared"
                 : adopted                                  ? "taken over"
                                                            : "-"});
    }
    table.print();
  }
  for (const Json& network : networks) {
    print_network(network);
  }
  return exit_status;
}

}  // namespace podlease::cmd
