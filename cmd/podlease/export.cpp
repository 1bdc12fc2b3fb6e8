#include <iostream>

#include "command.h"
#include "podlease/base/error.h"

namespace podlease::cmd {
namespace {

// The store that has the network, and its name if it is the only one.
std::pair<std::filesystem::path, std::string> find_network(const Context& context,
                                                           const std::string& wanted) {
  std::vector<std::pair<std::filesystem::path, std::string>> found;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    std::optional<store::Store> store =
        store::Store::open_existing(context.store_options(data_dir));
    if (store) {
      for (const store::Network& network : store->begin().networks()) {
        if (wanted.empty() || network.name == wanted) {
          found.emplace_back(data_dir, network.name);
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
  const auto [data_dir, network] = find_network(context, options.network);
  const std::filesystem::path root =
      options.root.empty() ? context.places.host_local : options.root;
  const host::HostLocalState state =
      context.leases(data_dir).export_to_host_local(network, root, options.dry_run);
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
  if (!options.dry_run) {
    std::cout << "Now change \"type\": \"podlease\" to \"type\": \"host-local\" under ipam. Pods "
                 "may start and stop "
                 "meanwhile: podlease keeps the folder in step.\n";
  }
  return kDone;
}

}  // namespace podlease::cmd
