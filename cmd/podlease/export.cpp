#include <iostream>

#include "command.h"
#include "podlease/base/error.h"
#include "podlease/config/net_conf.h"

namespace podlease::cmd {
namespace {

struct Found {
  std::filesystem::path data_dir;
  std::string network;
  std::filesystem::path root;  // where host-local will look for it
};

// host-local looks below its dataDir, which is where the network was adopted from, or where it was
// exported to before. Of one that was never host-local's: a configuration that named a dataDir for
// podlease goes on to do so when its type is changed.
std::filesystem::path root_of(const Context& context, store::Transaction& transaction,
                              const store::Network& network,
                              const std::filesystem::path& data_dir) {
  const std::vector<store::Source> sources = transaction.sources(network);
  if (!sources.empty()) {
    return std::filesystem::path(sources.front().folder).parent_path();
  }
  return data_dir == config::kDefaultDataDir ? context.places.host_local : data_dir;
}

// The network that is meant; without a name, the only one.
Found find_network(const Context& context, const std::string& wanted) {
  std::vector<Found> found;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    std::optional<store::Store> store =
        store::Store::open_existing(context.store_options(data_dir));
    if (store) {
      store::Transaction transaction = store->begin();
      for (const store::Network& network : transaction.networks()) {
        if (wanted.empty() || network.name == wanted) {
          found.push_back({.data_dir = data_dir,
                           .network = network.name,
                           .root = root_of(context, transaction, network, data_dir)});
        }
      }
    }
  }
  if (found.empty()) {
    throw Error(ErrorKind::kOther, wanted.empty() ? "no store on this node has a network"
                                                  : "no store on this node has network " + wanted);
  }
  if (found.size() > 1) {
    throw Error(ErrorKind::kOther, "several networks could be meant",
                "choose with --network, and --data-dir if two stores have one of that name; "
                "podlease status lists them");
  }
  return found.front();
}

}  // namespace

int export_leases(const Context& context, const ExportOptions& options) {
  if (!options.host_local) {
    throw Error(ErrorKind::kOther, "say in which format: --host-local");
  }
  const Found found = find_network(context, options.network);
  const std::string& network = found.network;
  const std::filesystem::path& root = options.root.empty() ? found.root : options.root;
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
  std::cout << (options.dry_run ? "would write " : "wrote ") << state.entries.size()
            << " leases of network " << network << " to " << (root / network).string() << '\n';
  if (root != context.places.host_local) {
    std::cout << "host-local finds them with \"dataDir\": \"" << root.string() << "\"\n";
  }
  if (!options.dry_run) {
    std::cout << "Now change \"type\": \"podlease\" to \"type\": \"host-local\" under ipam. Pods "
                 "may start and stop "
                 "meanwhile: podlease keeps the folder in step.\n";
  }
  return kDone;
}

}  // namespace podlease::cmd
