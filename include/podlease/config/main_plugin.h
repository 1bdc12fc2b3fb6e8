#ifndef PODLEASE_CONFIG_MAIN_PLUGIN_H_
#define PODLEASE_CONFIG_MAIN_PLUGIN_H_

#include <string>

namespace podlease::config {

// The plugin that calls podlease: its keys stand beside `ipam` in the same configuration. They say
// which network the addresses are used on, and what becomes of the gateway of an answer.
struct MainPlugin {
  std::string type;  // "bridge", "ptp", "macvlan", …; empty: unknown
  // The interface of the host that the pods are attached to. bridge: `bridge`, by default cni0;
  // macvlan, ipvlan and vlan: `master`; host-device: `device`. Empty: not given, or of another
  // plugin. A `master` that is not given is the interface of the default route.
  std::string device;
  // bridge: `vlan` and `vlanTrunk`, as in "5", "trunk 10,20-30" and "5 trunk 10,20-30"; vlan:
  // `vlanId`. Configurations that mean the same VLANs have the same text. Empty: none.
  std::string vlan;
  bool is_gateway = false;     // bridge with isGateway or isDefaultGateway: it has the gateway
  bool in_container = false;   // linkInContainer: `device` is an interface of the container
  bool force_address = false;  // forceAddress: bridge replaces an address that it has already

  [[nodiscard]] bool is_bridge() const { return type == "bridge"; }
  // It takes the gateway for its own end of the link, and needs one.
  [[nodiscard]] bool is_ptp() const { return type == "ptp"; }
  // Reports whether the host itself has the gateway and routes the traffic of the pods.
  [[nodiscard]] bool routes() const { return is_gateway || is_ptp(); }

  friend bool operator==(const MainPlugin&, const MainPlugin&) = default;
};

}  // namespace podlease::config

#endif  // PODLEASE_CONFIG_MAIN_PLUGIN_H_
