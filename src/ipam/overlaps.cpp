#include "podlease/ipam/overlaps.h"

#include <algorithm>
#include <utility>

#include "host_facts.h"
#include "vrf.h"

namespace podlease::ipam {
namespace {

bool is_network(const net::Prefix& destination) {
  return !is_default_route(destination) &&
         destination.length() < net::bit_width(destination.family()) &&
         !destination.address().is_link_local_v6();
}

// " via eth0, eth1"; nothing for a route that leads nowhere.
std::string ways_of(const host::HostRoute& route, const host::HostNetworks& networks) {
  std::vector<std::string> names;
  for (const host::NextHop& hop : route.next_hops) {
    const host::Interface* const interface = networks.find(hop.interface);
    if (interface != nullptr &&
        std::find(names.begin(), names.end(), interface->name) == names.end()) {
      names.push_back(interface->name);
    }
  }
  std::string text;
  for (const std::string& name : names) {
    text.append(text.empty() ? " via " : ", ").append(name);
  }
  return text;
}

}  // namespace

std::vector<std::string> overlap_warnings(const pools::Offer& offer,
                                          const host::HostNetworks& networks,
                                          const Wiring& wiring) {
  const Vrf vrf(wiring, networks);
  std::vector<std::string> lines;
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const pools::PoolRange& range : set.ranges) {
      for (const host::HostRoute& route : networks.routes) {
        if (!is_network(route.destination) || !vrf.has_route(route) ||
            range.subnet.contains(route.destination.range()) ||
            !route.destination.range().overlaps(range.range)) {
          continue;
        }
        std::string line = range.name + " " + range.subnet.to_string() + " lies in " +
                           route.destination.masked().to_string() +
                           ", to which this host has a route" + ways_of(route, networks);
        if (std::find(lines.begin(), lines.end(), line) == lines.end()) {
          lines.push_back(std::move(line));
        }
      }
    }
  }
  return lines;
}

}  // namespace podlease::ipam
