#include "podlease/ipam/wiring.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "vrf.h"

namespace podlease::ipam {
namespace {

// The interface of the default route, as the macvlan and ipvlan plugins look for it: the main
// table's first one, of whichever family. Empty: there is none.
std::string default_route_interface(const host::HostNetworks& networks) {
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    for (const host::HostRoute& route : networks.routes) {
      if (route.table != kMainTable || route.destination.family() != family ||
          route.destination.length() != 0) {
        continue;
      }
      for (const host::NextHop& hop : route.next_hops) {
        if (const host::Interface* const interface = networks.find(hop.interface)) {
          return interface->name;
        }
      }
    }
  }
  return {};
}

// Reports whether `text` can be part of a wire: what is no name of an interface must not look like
// two wires.
bool is_word(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '\x7f' && c != '/';
  });
}

std::vector<std::string> link_wires(const Wiring& wiring, const std::string& link) {
  if (link.empty() || !is_word(link) || !is_word(wiring.vlan)) {
    return {};
  }
  if (wiring.type == "bridge" && !wiring.vlan.empty()) {
    return {"bridge:" + link + "/" + wiring.vlan};
  }
  if (wiring.type == "bridge") {
    // What has the bridge itself for its master is on the same segment.
    return {"bridge:" + link, "link:" + link};
  }
  if (wiring.type == "vlan") {
    return {"vlan:" + link + "/" + (wiring.vlan.empty() ? "0" : wiring.vlan)};
  }
  return {"link:" + link};
}

}  // namespace

bool Wiring::is_routing() const {
  return type == "ptp" || (type == "bridge" && is_gateway);
}

std::string link_of(const Wiring& wiring, const host::HostNetworks& networks) {
  if (wiring.in_container) {
    return {};
  }
  std::string link;
  if (wiring.type == "bridge") {
    link = wiring.device.empty() ? "cni0" : wiring.device;  // the bridge plugin's default
  } else if (wiring.type == "macvlan" || wiring.type == "ipvlan") {
    link = wiring.device.empty() ? default_route_interface(networks) : wiring.device;
  } else if (wiring.type == "vlan" || wiring.type == "host-device") {
    link = wiring.device;
  }
  // An interface may have several names.
  const host::Interface* const interface = networks.find(link);
  return interface == nullptr ? link : interface->name;
}

std::vector<std::string> wires_of(const Wiring& wiring, const host::HostNetworks& networks) {
  std::vector<std::string> wires = link_wires(wiring, link_of(wiring, networks));
  if (wiring.is_routing() && !wiring.in_container) {
    wires.push_back("table:" + std::to_string(Vrf(wiring, networks).table()));
  }
  // The podCIDR is this node's alone, and every network in mode kubernetes draws from it, whatever
  // its main plugin is. So this wire alone joins exactly the networks that can give out the same
  // address; a network with an unknown main plugin need not count as one on every wire.
  if (wiring.from_node) {
    wires.emplace_back("podcidr");
  }
  return wires;
}

}  // namespace podlease::ipam
