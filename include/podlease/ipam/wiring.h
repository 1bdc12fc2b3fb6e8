#ifndef PODLEASE_IPAM_WIRING_H_
#define PODLEASE_IPAM_WIRING_H_

#include <string>
#include <vector>

#include "podlease/host/host.h"

namespace podlease::ipam {

// How the main plugin connects the pods of a network, as far as its configuration says so.
struct Wiring {
  std::string type;    // bridge, ptp, macvlan, …; empty: unknown
  std::string device;  // a bridge's name, a master or a host-device's device; empty: the default
  std::string vlan;    // VLAN id or trunk in canonical text; empty: none
  bool is_gateway = false;    // of a bridge: it has the range's gateway as an address
  bool in_container = false;  // the device is one of the pod's namespace
  bool from_node = false;     // mode kubernetes: the ranges are the node's podCIDRs

  // Reports whether the host routes between the pods and the rest: then the host itself has the
  // gateway's address, and its routing table decides where a pod's address leads.
  [[nodiscard]] bool is_routing() const;

  friend bool operator==(const Wiring&, const Wiring&) = default;
};

// The name of the interface that joins the pods: the bridge, the master or the device. Empty: there
// is none (ptp), or it is unknown.
[[nodiscard]] std::string link_of(const Wiring& wiring, const host::HostNetworks& networks);

// On which wires the network's addresses are used: two networks that have one in common must not
// give out the same address. Words without white space: bridge:cni0, bridge:cni0/100, vlan:eth0/5,
// link:eth1, table:254, podcidr. Nothing: the wire is unknown.
[[nodiscard]] std::vector<std::string> wires_of(const Wiring& wiring,
                                                const host::HostNetworks& networks);

// On which interfaces the host meets pods that are on these wires, by name: one may not exist.
// Nothing: it may be any (ptp), or is not known.
[[nodiscard]] std::vector<std::string> interfaces_on(const std::vector<std::string>& wires);

}  // namespace podlease::ipam

#endif  // PODLEASE_IPAM_WIRING_H_
