#include <unistd.h>

#include <iostream>

#include "command.h"
#include "commands.h"
#include "podlease/base/file.h"
#include "podlease/config/net_conf.h"
#include "podlease/plugin/plugin.h"
#include "table.h"

namespace podlease::cmd {
namespace {

struct AdoptOptions {
  bool dry_run = false;
};

int adopt(const Context& context, const AdoptOptions& options) {
  const config::Document document =
      config::Document::parse_file(read_all(STDIN_FILENO, kLargestInput));
  const config::NetConf conf = document.net_conf("");
  const std::string& network = conf.essentials.name;
  const std::filesystem::path& data_dir = context.data_dir_of(conf);
  const plugin::ConfiguredSource source = context.source(document, conf, data_dir);
  const std::vector<ipam::Found> found =
      context.leases(data_dir).adopt(network, plugin::wiring_of(conf), *source, options.dry_run);
  Json report = Json::array();
  Table table({"ADDRESS", "POD", "CONTAINER", "ADOPTED", "EVIDENCE"});
  constexpr std::size_t kIdShown = 13;
  for (const ipam::Found& one : found) {
    report.push_back(to_json(StoredLease{.data_dir = data_dir, .lease = one.lease}));
    report.back()["adopted"] = one.adopted;
    report.back()["evidence"] = one.evidence;
    table.add({one.lease.address.to_string(), pod_of(one.lease),
               one.lease.key.container_id.substr(0, kIdShown), one.adopted ? "yes" : "no",
               one.evidence});
  }
  if (context.json) {
    print(report);
  } else if (found.empty()) {
    std::cout << "network " << network
              << ": nothing to adopt. podlease looks once, before a network's first lease, for "
                 "addresses that something else leased\n";
  } else {
    table.print();
    std::cout << (options.dry_run ? "nothing was changed\n" : "");
  }
  return kDone;
}

}  // namespace

void declare_adopt(Command& root) {
  Command command = root.add(
      "adopt", "Take over the addresses that something else leased, as a network's first ADD does");
  command.details(R"(
It reads the network configuration from standard input, as explain does. It finds addresses in
host-local's folder, in libcni's cache and that of Multus, inside the network namespaces, and in the
other stores of this node. Example:
podlease adopt --dry-run < /etc/cni/net.d/10-podnet.conflist)");
  const auto options = std::make_shared<AdoptOptions>();
  command.flag("--dry-run", options->dry_run, "Only say what would be adopted, and why");
  command.runs([options](const Context& context) { return adopt(context, *options); });
}

}  // namespace podlease::cmd
