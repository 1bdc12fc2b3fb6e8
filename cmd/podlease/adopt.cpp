#include <unistd.h>

#include <iostream>

#include "command.h"
#include "podlease/base/file.h"
#include "podlease/config/net_conf.h"
#include "table.h"

namespace podlease::cmd {

int adopt(const Context& context, const AdoptOptions& options) {
  const config::Document document =
      config::Document::parse_file(read_all(STDIN_FILENO, kLargestInput));
  const config::NetConf conf = document.net_conf("");
  const std::string& network = conf.essentials.name;
  const std::filesystem::path& data_dir = context.data_dir_of(conf);
  const plugin::ConfiguredSource source = context.source(document, conf, data_dir);
  const std::vector<ipam::Found> found =
      context.leases(data_dir).adopt(network, *source, options.dry_run);
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
              << ": nothing to adopt. What held addresses before is looked for once, before the "
                 "first lease\n";
  } else {
    table.print();
    std::cout << (options.dry_run ? "nothing was changed\n" : "");
  }
  return kDone;
}

}  // namespace podlease::cmd
