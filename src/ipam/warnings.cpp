#include <algorithm>
#include <set>
#include <system_error>
#include <utility>

#include "other_stores.h"
#include "podlease/base/error.h"
#include "podlease/ipam/leases.h"
#include "podlease/ipam/networks.h"
#include "podlease/net/interval_set.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/registry.h"

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

void tell_same_subnets(store::Transaction& transaction, const store::Network& network,
                       std::vector<std::string>& lines) {
  const Subnets ours = subnets_of(transaction, network);
  for (const store::Network& other : store::NetworkTable(transaction).all()) {
    // On one wire they share the addresses, and on an unknown one they are kept apart.
    if (other.space == network.space || other.wires.empty()) {
      continue;
    }
    for (const auto& [subnet, gateway] : subnets_of(transaction, other)) {
      if (ours.contains({subnet, gateway})) {
        lines.push_back("networks " + network.name + " and " + other.name + " both give out " +
                        subnet.to_string() + " with the gateway " + gateway.to_string() +
                        ", on different wires");
      }
    }
  }
}

bool is_on_wire_of(const store::Network& network, const store::Network& other) {
  return std::any_of(network.wires.begin(), network.wires.end(), [&](const std::string& wire) {
    return std::find(other.wires.begin(), other.wires.end(), wire) != other.wires.end();
  });
}

// What both give out; nothing if that is no address.
std::optional<net::Range> common_range(const store::Network& network, const store::Network& other) {
  for (const net::Range& ours : network.surveyed) {
    const net::IntervalSet common = net::IntervalSet(other.surveyed).within(ours);
    if (!common.empty()) {
      return common.ranges().front();
    }
  }
  return std::nullopt;
}

void tell_same_addresses(store::Transaction& transaction, const store::Network& network,
                         const std::filesystem::path& folder, std::vector<std::string>& lines) {
  for (const store::Network& other : networks_of(transaction)) {
    const std::optional<net::Range> common =
        is_on_wire_of(network, other) ? common_range(network, other) : std::nullopt;
    if (common) {
      lines.push_back("network " + other.name + " of the store " + folder.string() + " gives out " +
                      common->to_string() +
                      " too, on the same wire, and neither store sees the "
                      "other's leases: give both configurations one dataDir");
    }
  }
}

}  // namespace

std::vector<std::string> Leases::warnings(const std::string& network_name) const {
  std::vector<std::string> lines;
  if (const std::optional<std::string> shared = store::shared_file_system(data_dir_)) {
    lines.push_back("the store in " + data_dir_.string() + " is on " + *shared +
                    ", which other machines may share: move it to a local file system");
  }
  std::optional<store::Network> network;
  {
    std::optional<store::Store> store = store::Store::open_existing(options(data_dir_));
    if (!store) {
      return lines;
    }
    store::Transaction transaction = store->begin();
    network = store::NetworkTable(transaction).find(network_name);
    if (!network || network->wires.empty() || moved_to(transaction, network_name)) {
      return lines;
    }
    tell_same_subnets(transaction, *network, lines);
  }
  for (const std::filesystem::path& folder : store::Registry(places_.registry).folders()) {
    std::error_code unknown;
    if (std::filesystem::equivalent(folder, data_dir_, unknown)) {
      continue;
    }
    try {
      if (auto other = store::Store::open_existing(
              {.folder = folder,
               .registry = {},
               .lock_timeout = std::min(lock_timeout_, kPatienceWithOthers)})) {
        store::Transaction transaction = other->begin();
        tell_same_addresses(transaction, *network, folder, lines);
      }
    } catch (const Error& error) {
      lines.push_back("the store in " + folder.string() + " cannot be read: " + error.what());
    }
  }
  return lines;
}

}  // namespace podlease::ipam
