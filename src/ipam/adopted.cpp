#include "adopted.h"

#include <array>
#include <filesystem>
#include <functional>
#include <iterator>
#include <utility>

#include "liveness.h"
#include "podlease/base/text.h"
#include "podlease/store/lease_table.h"

namespace podlease::ipam {
namespace {

using store::Lease;
using store::Presence;

// As stores before schema 1.1 call it. Two namespaces may have names that end alike, such as
// /proc/PID/ns/net, so what is found by it must be looked at.
std::string former_id_by_netns(const Presence& presence) {
  return "netns:" + std::filesystem::path(presence.netns).filename().string();
}

using Find = std::function<std::vector<Lease>(const std::string& container_id)>;

std::vector<Lease> adopted_in(const Presence& presence, const Find& find) {
  if (presence.netns_inode == 0) {
    return {};
  }
  for (const std::string& id : {id_by_netns(presence), former_id_by_netns(presence)}) {
    std::vector<Lease> leases = find(id);
    std::erase_if(leases, [&](const Lease& lease) {
      return same_namespace(lease.presence, presence) != Same::kYes;
    });
    if (!leases.empty()) {
      return leases;
    }
  }
  return {};
}

}  // namespace

bool was_adopted(const Lease& lease) {
  return lease.source == kFromHostLocal || lease.source == kFromCache ||
         lease.source == kFromNamespace;
}

std::string id_by_netns(const Presence& presence) {
  return "netns:" + std::to_string(presence.netns_device) + ":" +
         std::to_string(presence.netns_inode);
}

std::vector<Lease> adopted_in(const Presence& presence, const std::string& ifname,
                              store::Transaction& transaction, const store::Network& network) {
  const store::LeaseTable leases(transaction);
  return adopted_in(presence, [&](const std::string& id) {
    return leases.has_any(network, id, ifname) ? leases.of(network, id, ifname)
                                               : std::vector<Lease>{};
  });
}

std::vector<Lease> adopted_in(const Presence& presence, const std::string& ifname,
                              store::Transaction& transaction) {
  return adopted_in(presence, [&](const std::string& id) {
    return store::LeaseTable(transaction).of(id, ifname);
  });
}

void append(std::vector<Found>& all, std::vector<Found> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

std::string describe(const Lease& lease) {
  const std::string pod = printable(lease.pod.text());
  return "container " + lease.key.container_id + " " + lease.key.ifname +
         (pod.empty() ? "" : " (pod " + pod + ")");
}

}  // namespace podlease::ipam
