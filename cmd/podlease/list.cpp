#include "command.h"
#include "commands.h"
#include "podlease/base/duration.h"
#include "table.h"

namespace podlease::cmd {
namespace {

struct ListOptions {
  std::string network;     // empty: all
  std::string name_space;  // empty: all
};

bool is_wanted(const store::Lease& lease, const ListOptions& options) {
  return (options.network.empty() || lease.key.network == options.network) &&
         (options.name_space.empty() || lease.pod.name_space == options.name_space);
}

int list(const Context& context, const ListOptions& options) {
  std::vector<StoredLease> leases = read_leases(context);
  std::erase_if(leases,
                [&](const StoredLease& stored) { return !is_wanted(stored.lease, options); });
  if (leases.empty()) {
    static_cast<void>(warn_of_unknown_network(context, options.network));
  }
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

}  // namespace

void declare_list(Command& root) {
  Command command = root.add("list", "List the leases of this node");
  const auto options = std::make_shared<ListOptions>();
  command.option("--network", options->network, "List only the leases of this network");
  command.option("-n,--namespace", options->name_space,
                 "List only the leases of pods in this Kubernetes namespace");
  command.runs([options](const Context& context) { return list(context, *options); });
}

}  // namespace podlease::cmd
