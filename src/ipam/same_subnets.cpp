#include <algorithm>
#include <set>
#include <utility>

#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"

namespace podlease::ipam {
namespace {

// Subnet and gateway.
using Subnets = std::set<std::pair<net::Prefix, net::Address>>;

Subnets subnets_of(store::Transaction& transaction, const store::Network& network) {
  Subnets subnets;
  for (const store::Lease& lease : store::LeaseTable(transaction).all(network)) {
    if (lease.gateway) {
      subnets.emplace(lease.address.masked(), *lease.gateway);
    }
  }
  return subnets;
}

}  // namespace

std::vector<std::string> Leases::same_subnets(const std::string& network_name) const {
  std::optional<store::Store> store = store::Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  store::Transaction transaction = store->begin();
  const store::NetworkTable networks(transaction);
  const std::optional<store::Network> network = networks.find(network_name);
  if (!network || network->wires.empty()) {
    return {};
  }
  const Subnets ours = subnets_of(transaction, *network);
  std::vector<std::string> lines;
  for (const store::Network& other : networks.all()) {
    // On one wire they share the addresses, and on an unknown one they are kept apart.
    if (other.space == network->space || other.wires.empty()) {
      continue;
    }
    for (const auto& [subnet, gateway] : subnets_of(transaction, other)) {
      if (ours.contains({subnet, gateway})) {
        lines.push_back("networks " + network->name + " and " + other.name + " both give out " +
                        subnet.to_string() + " with the gateway " + gateway.to_string() +
                        ", on different wires");
      }
    }
  }
  return lines;
}

}  // namespace podlease::ipam
