#include <iostream>

#include "command.h"
#include "podlease/base/duration.h"
#include "table.h"

namespace podlease::cmd {
namespace {

bool is_wanted(const store::Lease& lease, const ListOptions& options) {
  return (options.network.empty() || lease.key.network == options.network) &&
         (options.name_space.empty() || lease.pod.name_space == options.name_space);
}

}  // namespace

int list(const Context& context, const ListOptions& options) {
  std::vector<StoredLease> leases = read_leases(context);
  std::erase_if(leases,
                [&](const StoredLease& stored) { return !is_wanted(stored.lease, options); });
  if (context.json) {
    Json document = Json::array();
    for (const StoredLease& stored : leases) {
      document.push_back(to_json(stored));
    }
    print(document);
    return kDone;
  }
  constexpr std::size_t kIdShown = 13;
  const auto now = context.clock.now().wall;
  Table table({"NETWORK", "ADDRESS", "POD", "CONTAINER", "INTERFACE", "AGE", "SOURCE"});
  for (const StoredLease& stored : leases) {
    const store::Lease& lease = stored.lease;
    const auto age = std::chrono::floor<std::chrono::seconds>(now - lease.created);
    table.add({lease.key.network, lease.address.to_string(), pod_of(lease),
               lease.key.container_id.substr(0, kIdShown),
               lease.key.ifname.empty() ? "any" : lease.key.ifname,
               format_duration(std::max(age, std::chrono::seconds(0))), lease.source});
  }
  table.print();
  return kDone;
}

}  // namespace podlease::cmd
