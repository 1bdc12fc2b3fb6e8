#include "podlease/ipam/overlaps.h"

namespace podlease::ipam {

std::vector<std::string> overlaps(const pools::Offer& offer, const host::Host& host) {
  std::vector<std::string> lines;
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    std::vector<host::RoutedNetwork> networks;
    bool asked = false;
    for (const pools::PoolRangeSet& set : offer.sets) {
      if (set.family != family) {
        continue;
      }
      if (!asked) {
        networks = host.routed_networks(family);
        asked = true;
      }
      for (const pools::PoolRange& range : set.ranges) {
        for (const host::RoutedNetwork& network : networks) {
          const bool within = range.subnet.contains(network.destination.range());
          if (within || !network.destination.range().overlaps(range.range)) {
            continue;
          }
          lines.push_back(range.name + " " + range.subnet.to_string() + " lies in " +
                          network.destination.to_string() + ", to which this host has a route" +
                          (network.interface.empty() ? "" : " via " + network.interface));
        }
      }
    }
  }
  return lines;
}

}  // namespace podlease::ipam
