#include "podlease/pools/block_routes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "podlease/base/text.h"

namespace podlease::pools {
namespace {

struct NodeBlocks {
  std::vector<net::Prefix> blocks[2];  // IPv4, IPv6
  std::vector<net::Address> addresses;
  std::string verified_at;  // of the block that `addresses` are from
};

std::vector<net::Address> parse_addresses(const std::vector<std::string>& texts) {
  std::vector<net::Address> addresses;
  for (const std::string& text : texts) {
    if (const auto address = net::Address::parse(text)) {
      addresses.push_back(*address);
    }
  }
  return addresses;
}

std::optional<net::Address> first_of(const std::vector<net::Address>& addresses,
                                     net::Family family) {
  const auto found =
      std::find_if(addresses.begin(), addresses.end(),
                   [&](const net::Address& address) { return address.family() == family; });
  return found == addresses.end() ? std::nullopt : std::optional(*found);
}

std::optional<net::Address> gateway_for(net::Family family,
                                        const std::vector<net::Address>& addresses) {
  const std::optional<net::Address> same = first_of(addresses, family);
  return same || family == net::Family::kIpv6 ? same : first_of(addresses, net::Family::kIpv6);
}

// The two halves of a prefix one bit shorter.
bool are_siblings(const net::Prefix& low, const net::Prefix& high) {
  if (low.family() != high.family() || low.length() != high.length() || low.length() == 0) {
    return false;
  }
  const auto parent = net::Prefix::make(low.address(), low.length() - 1);
  return low != high && parent->contains(high.address());
}

}  // namespace

std::vector<net::Prefix> aggregate(std::vector<net::Prefix> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());  // of one address, the larger first
  std::vector<net::Prefix> result;
  for (net::Prefix prefix : prefixes) {
    if (!result.empty() && result.back().contains(prefix.range())) {
      continue;
    }
    while (!result.empty() && are_siblings(result.back(), prefix)) {
      prefix = net::Prefix::make(prefix.address(), prefix.length() - 1)->masked();
      result.pop_back();
    }
    result.push_back(prefix);
  }
  return result;
}

BlockRoutes routes_to_blocks(const std::vector<kube::PodBlock>& blocks,
                             const std::string& own_node) {
  BlockRoutes result;
  std::map<std::string, NodeBlocks> nodes;
  std::map<net::Address, std::string> node_addresses;  // of all nodes, this one too
  for (const kube::PodBlock& block : blocks) {
    const std::vector<net::Address> addresses = parse_addresses(block.node_ips);
    for (const net::Address& address : addresses) {
      node_addresses.emplace(address, block.node_name);
    }
    if (block.node_name == own_node) {
      continue;
    }
    const auto cidr = net::Prefix::parse(block.cidr);
    if (!cidr || cidr->has_host_bits()) {
      result.problems.push_back("PodBlock " + block.name +
                                " has no CIDR: " + in_quotes(block.cidr));
      continue;
    }
    NodeBlocks& node = nodes[block.node_name];
    node.blocks[cidr->family() == net::Family::kIpv6 ? 1 : 0].push_back(*cidr);
    // The API server's and our own times are RFC 3339 in UTC, whose order is that of the text.
    if (!addresses.empty() && (node.addresses.empty() || node.verified_at < block.verified_at)) {
      node.addresses = addresses;
      node.verified_at = block.verified_at;
    }
  }

  std::map<net::Prefix, std::string> taken;
  for (const auto& [name, node] : nodes) {
    for (const std::vector<net::Prefix>& of_family : node.blocks) {
      if (of_family.empty()) {
        continue;
      }
      const net::Family family = of_family.front().family();
      const std::optional<net::Address> gateway = gateway_for(family, node.addresses);
      if (!gateway) {
        result.problems.push_back("node " + name + " says in none of its blocks at which " +
                                  (node.addresses.empty() ? "address" : "IPv6 address") +
                                  " it is (status.nodeIPs): no route to " +
                                  net::to_string(aggregate(of_family)));
        continue;
      }
      // Whoever claims a block over the nodes' own network would have all others talk to it.
      std::vector<net::Prefix> routable;
      for (const net::Prefix& block : of_family) {
        const auto inside = node_addresses.lower_bound(block.first());
        if (inside != node_addresses.end() && block.contains(inside->first)) {
          result.problems.push_back("block " + block.to_string() + " of node " + name + " holds " +
                                    inside->first.to_string() + ", where node " + inside->second +
                                    " itself is: no route to it");
        } else {
          routable.push_back(block);
        }
      }
      for (const net::Prefix& destination : aggregate(std::move(routable))) {
        const auto [other, is_new] = taken.emplace(destination, name);
        if (!is_new) {
          result.problems.push_back(destination.to_string() + " is claimed by node " +
                                    other->second + " and by node " + name +
                                    ": the route leads to the former");
          continue;
        }
        result.routes.push_back({.destination = destination, .gateway = *gateway, .node = name});
      }
    }
  }
  std::sort(result.routes.begin(), result.routes.end(),
            [](const BlockRoute& a, const BlockRoute& b) { return a.destination < b.destination; });
  return result;
}

}  // namespace podlease::pools
