#ifndef PODLEASE_SRC_IPAM_HOST_FACTS_H_
#define PODLEASE_SRC_IPAM_HOST_FACTS_H_

#include <functional>
#include <string>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/ipam/wiring.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/pools/source.h"

namespace podlease::ipam {

// An address that an interface of the host has.
struct OwnAddress {
  net::Prefix address;
  unsigned interface = 0;
  std::string interface_name;
  bool is_on_own_link = false;
  bool is_uplink = false;  // by which the node reaches the world
};

// The next hop of a route.
struct Router {
  net::Address address;
  unsigned interface = 0;
  std::string interface_name;
  net::Prefix destination;  // of one of its routes: a default one, if there is any
};

// A network that the host reaches without a router, by an interface that does not join the pods.
struct OnLinkNetwork {
  net::Prefix network;
  unsigned interface = 0;
  std::string what;           // interface docker0 has 172.17.0.1/16
  bool is_connected = false;  // the interface has an address in it
};

// What the host holds, as far as it may concern an offer (FACTS, section 3): only what lies in the
// main plugin's VRF and in a subnet of the offer or around one, without the addresses of fe80::/10,
// 127.0.0.0/8 and ::1. IPv6 link-local addresses belong to a link, so that no pod's address can be
// the same one. 169.254.0.0/16 is compared like any other network, for Linux routes it like any
// other, and some networks give pods such addresses.
//
// "Own link" is where the host's end of the pods' links is: the bridge and BRIDGE.VLAN; for ptp
// each interface that has nothing but gateways as /32 or /128.
struct HostFacts {
  std::vector<OwnAddress> addresses;
  std::vector<Router> routers;
  std::vector<OnLinkNetwork> on_link;
};

using IsLeased = std::function<bool(net::Address)>;

[[nodiscard]] HostFacts facts_of(const host::HostNetworks& networks, const Wiring& wiring,
                                 const pools::Offer& offer, const IsLeased& is_leased);

// Reports whether a route to it is a default route or a part of one, as VPNs set it to go first:
// 0.0.0.0/1 and 128.0.0.0/1, ::/1 and 8000::/1, 2000::/3.
[[nodiscard]] bool is_default_route(const net::Prefix& destination);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_HOST_FACTS_H_
