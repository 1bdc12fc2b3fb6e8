#include <iostream>
#include <map>

#include "command.h"
#include "commands.h"
#include "knowledge.h"
#include "network_configs.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/ipam/networks.h"
#include "podlease/plugin/plugin.h"
#include "podlease/store/address_table.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"
#include "table.h"

namespace podlease::cmd {
namespace {

// What a store says about a network, without its configuration.
struct Summary {
  std::string network;
  std::size_t leased = 0;
  std::size_t freed = 0;
  std::size_t alive = 0;
  std::size_t gone = 0;  // of an earlier boot, or with a namespace that is gone
  std::map<std::string, std::size_t> doubts;  // what would settle them, and of how many leases
  std::size_t adopted = 0;
  bool shared = false;
  std::vector<std::string> folders;  // of host-local
};

void count(const ipam::Presumed& presumed, Summary& summary) {
  switch (presumed.life) {
    case ipam::Presumed::Life::kAlive:
      ++summary.alive;
      break;
    case ipam::Presumed::Life::kDoubt:
      ++summary.doubts[presumed.settles];
      break;
    case ipam::Presumed::Life::kGone:
    case ipam::Presumed::Life::kEarlierBoot:
      ++summary.gone;
      break;
  }
}

Json doubts_of(const Summary& summary) {
  Json doubts = Json::array();
  for (const auto& [settles, leases] : summary.doubts) {
    doubts.push_back({{"leases", leases}, {"settles", settles}});
  }
  return doubts;
}

// Reads the store while it is locked, and asks the machine after that.
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
    for (const store::Network& network : ipam::networks_of(transaction)) {
      Summary summary{.network = network.name,
                      .freed = store::AddressTable(transaction).freed_count(network),
                      .shared = network.handover == store::Handover::kShared};
      for (const store::WatchedFolder& source :
           store::HostLocalTable(transaction).folders(network)) {
        summary.folders.push_back(source.folder);
      }
      leases.push_back(store::LeaseTable(transaction).all(network));
      summaries.push_back(std::move(summary));
    }
  }
  // All of a store at once: what is seen of one may tell of another.
  std::vector<store::Lease> all;
  for (const std::vector<store::Lease>& some : leases) {
    all.insert(all.end(), some.begin(), some.end());
  }
  const std::vector<ipam::Presumed> presumed = context.leases(data_dir).presume(all);
  std::size_t next = 0;
  for (std::size_t i = 0; i < summaries.size(); ++i) {
    summaries[i].leased = leases[i].size();
    for (const store::Lease& lease : leases[i]) {
      summaries[i].adopted += lease.source == "host-local" ? 1U : 0U;
      count(presumed.at(next++), summaries[i]);
    }
  }
  return summaries;
}

// What follows from a network configuration of this node, by what the store remembers.
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
    report_knowledge(context, knowledge, plugin::wiring_of(conf), entry);
    report_held(context.leases(folder), conf.essentials.name, knowledge, plugin::wiring_of(conf),
                entry);
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

void print_doubts(const Json& networks) {
  for (const Json& network : networks) {
    for (const Json& doubt : network["inDoubt"]) {
      const auto leases = doubt["leases"].get<std::size_t>();
      std::cout << "  network " << network["network"].get<std::string>() << ": "
                << counted(leases, "lease is", "leases are") << " in doubt. "
                << doubt["settles"].get<std::string>() << '\n';
    }
  }
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
    std::cout << "  "
              << counted(entry["draining"].get<std::uint64_t>(),
                         "lease lies outside these ranges and drains",
                         "leases lie outside these ranges and drain")
              << '\n';
  }
}

// One store; where it cannot be read, key error says why.
Json describe_store(const Context& context, const std::filesystem::path& data_dir) {
  std::error_code unseen;
  Json entry{{"dataDir", data_dir.string()},
             {"exists", std::filesystem::exists(data_dir / "podlease.db", unseen)},
             {"networks", Json::array()}};
  try {
    for (const Summary& summary : summarise(context, data_dir)) {
      entry["networks"].push_back({{"network", summary.network},
                                   {"leased", summary.leased},
                                   {"alive", summary.alive},
                                   {"gone", summary.gone},
                                   {"inDoubt", doubts_of(summary)},
                                   {"adopted", summary.adopted},
                                   {"freed", summary.freed},
                                   {"sharedWithHostLocal", summary.shared},
                                   {"hostLocalFolders", summary.folders}});
    }
    if (const auto former = context.leases(data_dir).former_machine()) {
      entry["formerMachine"] = *former;
    }
  } catch (const Error& error) {
    entry["error"] = error.what();
  }
  return entry;
}

void print_store(const Json& entry) {
  std::cout << "store " << entry["dataDir"].get<std::string>() << '\n';
  if (entry.contains("error")) {
    std::cout << "  error: " << entry["error"].get<std::string>() << '\n';
    return;
  }
  if (entry["networks"].empty()) {
    std::cout << (entry["exists"].get<bool>() ? "  no network yet\n"
                                              : "  not created yet: the first ADD creates it\n");
    return;
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
  print_doubts(entry["networks"]);
  if (entry.contains("formerMachine")) {
    std::cout << "  taken over from machine " << entry["formerMachine"].get<std::string>()
              << ": a copy of its store, or this machine before it got new ids\n";
  }
}

int status(const Context& context, const std::filesystem::path& conf_dir) {
  Json stores = Json::array();
  int exit_status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    stores.push_back(describe_store(context, data_dir));
    exit_status = stores.back().contains("error") ? kTrouble : exit_status;
  }
  Json networks = Json::array();
  for (const NetworkConfig& network : read_network_configs(conf_dir)) {
    if (network.document && !network.same_as) {
      networks.push_back(describe_network(context, network));
    }
  }
  if (context.json) {
    print({{"stores", stores}, {"configurations", networks}});
    return exit_status;
  }
  for (const Json& entry : stores) {
    print_store(entry);
  }
  for (const Json& network : networks) {
    print_network(network);
  }
  return exit_status;
}

}  // namespace

void declare_status(Command& root) {
  Command command = root.add("status",
                             "Show the stores of this node, their networks, and where their next "
                             "addresses come from");
  command.details(R"(
Of each network in a store: LEASED addresses are held. Those are ALIVE whose network namespace still
has its name, or has a process in it, and ADOPTED ones came from host-local. FREED addresses were
leased once, and are free now. HOST-LOCAL says whether host-local's folder was taken over, or is
shared since an export. Below the table: leases that are kept although nothing proves that their
pods are alive or have ended, and what would settle that.
Of each network configuration of this node that uses podlease: which objects of the cluster it uses
and how old they are, where it looked for its ranges (* used, - not used) and what it found there,
what of them the host itself holds, what prevents an ADD, and how many leases lie outside today's
ranges and drain.
It shows what the store remembers: it asks nobody and changes nothing. Exit status 2 if a store
cannot be read.)");
  const auto conf_dir = std::make_shared<std::filesystem::path>();
  declare_conf_dir(command, *conf_dir);
  command.runs([conf_dir](const Context& context) { return status(context, *conf_dir); });
}

}  // namespace podlease::cmd
