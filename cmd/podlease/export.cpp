#include <iostream>

#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "podlease/ipam/networks.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::cmd {
namespace {

struct ExportOptions {
  bool host_local = false;
  std::string network;         // empty: the only one
  std::filesystem::path root;  // host-local's dataDir; empty: its default
  bool end_sharing = false;
  bool dry_run = false;
};

struct Found {
  std::filesystem::path data_dir;
  std::string network;
  std::filesystem::path root;  // where host-local will look for it
};

// host-local looks below its dataDir, which is where the network was adopted from, or where it was
// exported to before. A network may never have been host-local's: if its configuration named a
// dataDir for podlease, that will be host-local's dataDir once the type is changed.
std::filesystem::path root_of(const Context& context, store::Transaction& transaction,
                              const store::Network& network,
                              const std::filesystem::path& data_dir) {
  const std::vector<store::WatchedFolder> sources =
      store::HostLocalTable(transaction).folders(network);
  if (!sources.empty()) {
    return std::filesystem::path(sources.front().folder).parent_path();
  }
  return data_dir == config::kDefaultDataDir ? context.places.host_local : data_dir;
}

// The network of that name. Without a name it is the only network.
Found find_network(const Context& context, const std::string& wanted) {
  std::vector<Found> found;
  for_each_store(context,
                 [&](const std::filesystem::path& data_dir, store::Transaction& transaction) {
                   for (const store::Network& network : ipam::networks_of(transaction)) {
                     if (wanted.empty() || network.name == wanted) {
                       found.push_back({.data_dir = data_dir,
                                        .network = network.name,
                                        .root = root_of(context, transaction, network, data_dir)});
                     }
                   }
                 });
  if (found.empty()) {
    throw Error(ErrorKind::kOther, wanted.empty() ? "no store on this node has a network"
                                                  : "no store on this node has network " + wanted);
  }
  if (found.size() > 1) {
    throw Error(ErrorKind::kOther, "several networks could be exported",
                "choose one with --network, and with --data-dir if two stores have it; "
                "podlease status lists them");
  }
  return found.front();
}

// host-local is not going to be used after all.
int end_sharing(const Context& context, const Found& found, bool dry_run) {
  const bool was_shared = context.leases(found.data_dir).end_sharing(found.network, dry_run);
  if (context.json) {
    print(Json{
        {"network", found.network}, {"wasShared", was_shared}, {"ended", was_shared && !dry_run}});
    return kDone;
  }
  if (!was_shared) {
    std::cout << "network " << found.network << " is not shared with host-local\n";
  } else if (dry_run) {
    std::cout << "would stop sharing network " << found.network << " with host-local\n";
  } else {
    std::cout << "network " << found.network << " is no longer shared with host-local: podlease "
              << "does not write its files any more.\nTo return to host-local later, export again: "
              << "podlease export --host-local --network " << found.network << '\n';
  }
  return kDone;
}

int export_leases(const Context& context, const ExportOptions& options) {
  if (!options.host_local) {
    throw Error(ErrorKind::kOther, "export needs a format", "give --host-local");
  }
  if (options.end_sharing && !options.root.empty()) {
    throw Error(ErrorKind::kOther, "--to cannot be given with --end-sharing",
                "--end-sharing writes no files: leave --to out");
  }
  const Found found = find_network(context, options.network);
  if (options.end_sharing) {
    return end_sharing(context, found, options.dry_run);
  }
  const std::string& network = found.network;
  // Kept in the store: whoever writes there later stands in another folder.
  const std::filesystem::path root =
      options.root.empty() ? found.root
                           : std::filesystem::absolute(options.root).lexically_normal();
  const host::HostLocalState state =
      context.leases(found.data_dir).export_to_host_local(network, root, options.dry_run);
  if (context.json) {
    Json document{
        {"network", network}, {"folder", (root / network).string()}, {"written", !options.dry_run}};
    document["files"] = Json::array();
    for (const host::HostLocalEntry& entry : state.entries) {
      document["files"].push_back({{"address", entry.address.to_string()},
                                   {"containerID", entry.container_id},
                                   {"ifname", entry.ifname.value_or("")}});
    }
    print(document);
    return kDone;
  }
  std::cout << (options.dry_run ? "would write " : "wrote ")
            << counted(state.entries.size(), "lease", "leases") << " of network " << network
            << " to " << (root / network).string() << '\n';
  if (root != context.places.host_local) {
    std::cout << "host-local finds them with \"dataDir\": \"" << root.string() << "\"\n";
  }
  if (!options.dry_run) {
    std::cout << "Now change \"type\": \"podlease\" to \"type\": \"host-local\" under ipam. Pods "
                 "may start and stop "
                 "meanwhile: podlease keeps the folder up to date.\n";
  }
  return kDone;
}

}  // namespace

void declare_export(Command& root) {
  Command command =
      root.add("export", "Write the leases in another plugin's format: the way back to host-local");
  const auto options = std::make_shared<ExportOptions>();
  command.flag("--host-local", options->host_local, "Write host-local's format (required)");
  command.option("--network", options->network, "The network to export (default: the only one)");
  command.option("--to", options->root,
                 "host-local's dataDir (default: where the network was adopted from, else "
                 "ipam.dataDir if there was one, else /var/lib/cni/networks)");
  command.flag("--end-sharing", options->end_sharing,
               "Stop keeping host-local's files up to date after an export; nothing is written "
               "there");
  command.flag("--dry-run", options->dry_run, "Only say what would be done");
  command.runs([options](const Context& context) { return export_leases(context, *options); });
}

}  // namespace podlease::cmd
