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

// The frames with this tag on a link: a bridge's VLAN, or one of the network that it is plugged
// into.
std::string tagged(const std::string& link, const std::string& vlan,
                   const host::HostNetworks& networks) {
  const host::Interface* const interface = networks.find(link);
  const bool is_bridge = interface != nullptr && interface->kind == "bridge";
  return (is_bridge ? "bridge:" : "vlan:") + link + "/" + vlan;
}

std::vector<std::string> link_wires(const Wiring& wiring, const std::string& link,
                                    const host::HostNetworks& networks) {
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
    return {tagged(link, wiring.vlan.empty() ? "0" : wiring.vlan, networks)};
  }
  std::vector<std::string> wires{"link:" + link};
  // What the host takes out of the tagged frames is plugged into the same network as who tags them
  // himself.
  const host::Interface* const interface = networks.find(link);
  if (interface != nullptr && interface->kind == "vlan") {
    if (const host::Interface* const parent = networks.find(interface->parent)) {
      wires.push_back(tagged(parent->name, std::to_string(interface->vlan), networks));
    }
  }
  return wires;
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
  std::vector<std::string> wires = link_wires(wiring, link_of(wiring, networks), networks);
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

std::vector<std::string> interfaces_on(const std::vector<std::string>& wires) {
  std::vector<std::string> names;
  for (const std::string_view wire : wires) {
    const std::size_t colon = wire.find(':');
    const std::string_view kind = wire.substr(0, colon);
    if (colon == std::string_view::npos || kind == "table") {
      continue;
    }
    const std::string_view link = wire.substr(colon + 1);
    const std::size_t slash = link.find('/');
    names.emplace_back(link.substr(0, slash));
    if (slash != std::string_view::npos) {
      names.push_back(names.back() + "." + std::string(link.substr(slash + 1)));
    }
  }
  return names;
}

}  // namespace podlease::ipam
