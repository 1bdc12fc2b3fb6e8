#include "host_facts.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "vrf.h"

namespace podlease::ipam {
namespace {

bool is_whole(const net::Prefix& prefix) {
  return prefix.length() == net::bit_width(prefix.family());
}

bool is_compared(net::Address address) {
  if (address.is_v6()) {
    return !address.is_link_local_v6() && address.bits() != 1;
  }
  return address.bits() >> 24 != 127;
}

// Reports whether `interface` is the VLAN's on `link`: by its name, LINK.VLAN, or by what it is.
bool is_vlan_of(const host::Interface& interface, const host::Interface* link,
                const std::string& link_name, const std::string& vlan) {
  if (vlan.empty()) {
    return false;
  }
  if (interface.name == link_name + "." + vlan) {
    return true;
  }
  return link != nullptr && interface.kind == "vlan" && interface.parent == link->index &&
         std::to_string(interface.vlan) == vlan;
}

// An interface and a family: a link may be the main plugin's for one family only.
using LinkOfFamily = std::pair<unsigned, net::Family>;

class FactFinder {
 public:
  FactFinder(const host::HostNetworks& networks, const Wiring& wiring, const pools::Offer& offer)
      : networks_(&networks), wiring_(&wiring), vrf_(wiring, networks) {
    note_subnets(offer);
    note_addresses();
    note_uplinks();
    note_link();
  }

  [[nodiscard]] std::vector<OwnAddress> own_addresses() const;
  [[nodiscard]] std::vector<Router> routers(const IsLeased& is_leased) const;
  [[nodiscard]] std::vector<OnLinkNetwork> on_link_networks() const;

 private:
  void note_subnets(const pools::Offer& offer);
  void note_addresses();
  void note_uplinks();
  void note_link();
  [[nodiscard]] std::optional<Router> router_of(const host::HostRoute& route,
                                                const host::NextHop& hop) const;
  [[nodiscard]] bool has_only_gateways(LinkOfFamily link) const;
  [[nodiscard]] bool is_own_link(LinkOfFamily link) const;
  [[nodiscard]] bool joins_pods(LinkOfFamily link) const;
  [[nodiscard]] bool is_uplink_address(const net::Prefix& address, unsigned interface) const;
  [[nodiscard]] bool is_connected(const host::HostRoute& route, unsigned interface) const;
  [[nodiscard]] bool concerns(net::Address address) const;
  [[nodiscard]] bool concerns(const net::Prefix& network) const;
  [[nodiscard]] std::string name_of(unsigned interface) const;

  const host::HostNetworks* networks_;
  const Wiring* wiring_;
  Vrf vrf_;
  std::vector<net::Prefix> subnets_;
  std::set<net::Address> gateways_;
  std::map<LinkOfFamily, std::vector<net::Prefix>> addresses_;  // all that are compared
  std::set<net::Address> own_;                                  // the same, without their masks
  std::set<LinkOfFamily> uplinks_;
  std::set<unsigned> link_;  // the bridge, master or device, and its VLAN's interfaces
};

void FactFinder::note_subnets(const pools::Offer& offer) {
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const pools::PoolRange& range : set.ranges) {
      if (std::find(subnets_.begin(), subnets_.end(), range.subnet) == subnets_.end()) {
        subnets_.push_back(range.subnet);
      }
      if (range.gateway) {
        gateways_.insert(*range.gateway);
      }
    }
  }
}

void FactFinder::note_addresses() {
  for (const host::InterfaceAddress& own : networks_->addresses) {
    if (is_compared(own.address.address()) && vrf_.has_interface(own.interface)) {
      addresses_[{own.interface, own.address.family()}].push_back(own.address);
      own_.insert(own.address.address());
    }
  }
}

void FactFinder::note_uplinks() {
  for (const host::HostRoute& route : networks_->routes) {
    if (!is_default_route(route.destination) || !vrf_.has_route(route)) {
      continue;
    }
    for (const host::NextHop& hop : route.next_hops) {
      // A default route to lo is one that refuses, and one to the host's own address leads to a
      // proxy (Cilium's table 2005).
      const bool is_to_host = hop.gateway && own_.contains(*hop.gateway);
      if (hop.interface != 0 && !is_to_host && name_of(hop.interface) != "lo") {
        uplinks_.emplace(hop.interface, route.destination.family());
      }
    }
  }
}

void FactFinder::note_link() {
  const std::string name = link_of(*wiring_, *networks_);
  if (name.empty()) {
    return;
  }
  const host::Interface* const link = networks_->find(name);
  if (link != nullptr) {
    link_.insert(link->index);
  }
  for (const host::Interface& interface : networks_->interfaces) {
    if (is_vlan_of(interface, link, name, wiring_->vlan)) {
      link_.insert(interface.index);
    }
  }
}

bool FactFinder::has_only_gateways(LinkOfFamily link) const {
  const auto found = addresses_.find(link);
  return found != addresses_.end() &&
         std::all_of(found->second.begin(), found->second.end(), [&](const net::Prefix& address) {
           return is_whole(address) && gateways_.contains(address.address());
         });
}

bool FactFinder::is_own_link(LinkOfFamily link) const {
  if (wiring_->type == "bridge" && link_.contains(link.first)) {
    return true;
  }
  if (!wiring_->is_routing() || !has_only_gateways(link) || uplinks_.contains(link)) {
    return false;
  }
  if (wiring_->type == "ptp") {
    return true;
  }
  // Pods that were started while the network's main plugin was ptp live on.
  const host::Interface* const interface = networks_->find(link.first);
  return interface != nullptr && interface->kind == "veth" && interface->peer_is_outside;
}

bool FactFinder::joins_pods(LinkOfFamily link) const {
  return link_.contains(link.first) || is_own_link(link);
}

// Beside an address with the mask of its link, one of full length is a virtual one that may move to
// another node at any time (keepalived, kube-vip): it is held like any other, but it is not what
// the node is known by.
bool FactFinder::is_uplink_address(const net::Prefix& address, unsigned interface) const {
  const LinkOfFamily link{interface, address.family()};
  if (!uplinks_.contains(link)) {
    return false;
  }
  const std::vector<net::Prefix>& all = addresses_.at(link);
  return !is_whole(address) || std::all_of(all.begin(), all.end(), is_whole);
}

bool FactFinder::is_connected(const host::HostRoute& route, unsigned interface) const {
  if (route.is_connected) {
    return true;
  }
  const auto own = addresses_.find({interface, route.destination.family()});
  return own != addresses_.end() &&
         std::any_of(own->second.begin(), own->second.end(), [&](const net::Prefix& address) {
           return route.destination.contains(address.address());
         });
}

bool FactFinder::concerns(net::Address address) const {
  return gateways_.contains(address) ||
         std::any_of(subnets_.begin(), subnets_.end(),
                     [&](const net::Prefix& subnet) { return subnet.contains(address); });
}

bool FactFinder::concerns(const net::Prefix& network) const {
  return std::any_of(subnets_.begin(), subnets_.end(),
                     [&](const net::Prefix& subnet) { return subnet.overlaps(network); });
}

std::string FactFinder::name_of(unsigned interface) const {
  const host::Interface* const found = networks_->find(interface);
  return found == nullptr ? "number " + std::to_string(interface) : found->name;
}

std::vector<OwnAddress> FactFinder::own_addresses() const {
  std::vector<OwnAddress> found;
  for (const auto& [link, addresses] : addresses_) {
    for (const net::Prefix& address : addresses) {
      if (concerns(address.address())) {
        found.push_back({.address = address,
                         .interface = link.first,
                         .interface_name = name_of(link.first),
                         .is_on_own_link = is_own_link(link),
                         .is_uplink = is_uplink_address(address, link.first)});
      }
    }
  }
  return found;
}

std::optional<Router> FactFinder::router_of(const host::HostRoute& route,
                                            const host::NextHop& hop) const {
  // The host's own address as a next hop is no router: some routes into a tunnel are written so.
  if (!hop.gateway || !is_compared(*hop.gateway) || !concerns(*hop.gateway) ||
      own_.contains(*hop.gateway)) {
    return std::nullopt;
  }
  const bool is_own = is_own_link({hop.interface, hop.gateway->family()});
  // Where the host routes, only pods are on the own link, and a next hop there is a pod. It is no
  // pod if it is the host's own default router (the bridge has the uplink as a port), or if the
  // bridge has no gateway (then the bridge is part of the node's own LAN). A default route in a
  // table of its own is for some traffic only, and may well lead to a pod.
  const bool is_own_default = is_default_route(route.destination) && route.table == vrf_.table();
  if (is_own && wiring_->is_routing() && !is_own_default) {
    return std::nullopt;
  }
  return Router{.address = *hop.gateway,
                .interface = hop.interface,
                .interface_name = name_of(hop.interface),
                .destination = route.destination};
}

std::vector<Router> FactFinder::routers(const IsLeased& is_leased) const {
  std::map<std::pair<net::Address, unsigned>, Router> found;
  for (const host::HostRoute& route : networks_->routes) {
    if (!vrf_.has_route(route)) {
      continue;
    }
    for (const host::NextHop& hop : route.next_hops) {
      const std::optional<Router> router = router_of(route, hop);
      if (!router) {
        continue;
      }
      const auto [known, is_new] = found.try_emplace({router->address, router->interface}, *router);
      if (!is_new && is_default_route(route.destination)) {
        known->second.destination = route.destination;
      }
    }
  }
  std::vector<Router> routers;
  for (const auto& [key, router] : found) {
    if (!is_leased(router.address)) {
      routers.push_back(router);
    }
  }
  return routers;
}

std::vector<OnLinkNetwork> FactFinder::on_link_networks() const {
  std::vector<OnLinkNetwork> found;
  std::set<std::pair<net::Prefix, unsigned>> known;
  const auto add = [&](OnLinkNetwork network) {
    if (known.emplace(network.network, network.interface).second) {
      found.push_back(std::move(network));
    }
  };
  for (const auto& [link, addresses] : addresses_) {
    for (const net::Prefix& address : addresses) {
      if (concerns(address) && !is_whole(address) && !joins_pods(link)) {
        add({.network = address.masked(),
             .interface = link.first,
             .what = "interface " + name_of(link.first) + " has " + address.to_string(),
             .is_connected = true});
      }
    }
  }
  for (const host::HostRoute& route : networks_->routes) {
    // A route to a single address that is not the kernel's own is to a pod or a peer: each ADD asks
    // the kernel about its address.
    if (!concerns(route.destination) || is_default_route(route.destination) ||
        (is_whole(route.destination) && !route.is_connected) || !vrf_.has_route(route)) {
      continue;
    }
    for (const host::NextHop& hop : route.next_hops) {
      if (hop.gateway || hop.interface == 0 ||
          joins_pods({hop.interface, route.destination.family()})) {
        continue;
      }
      add({.network = route.destination.masked(),
           .interface = hop.interface,
           .what = "this host has a route to " + route.destination.to_string() + " on " +
                   name_of(hop.interface),
           .is_connected = is_connected(route, hop.interface)});
    }
  }
  return found;
}

}  // namespace

bool is_default_route(const net::Prefix& destination) {
  if (destination.length() <= 1) {
    return true;
  }
  const bool is_global_unicast = destination.family() == net::Family::kIpv6 &&
                                 destination.length() == 3 &&
                                 destination.first().bits() >> 125 == 1;
  return is_global_unicast;
}

HostFacts facts_of(const host::HostNetworks& networks, const Wiring& wiring,
                   const pools::Offer& offer, const IsLeased& is_leased) {
  const FactFinder finder(networks, wiring, offer);
  return {.addresses = finder.own_addresses(),
          .routers = finder.routers(is_leased),
          .on_link = finder.on_link_networks()};
}

}  // namespace podlease::ipam
