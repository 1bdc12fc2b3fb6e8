#include "vrf.h"

namespace podlease::ipam {

Vrf::Vrf(const Wiring& wiring, const host::HostNetworks& networks)
    : networks_(&networks), table_(kMainTable) {
  for (const host::Interface& interface : networks.interfaces) {
    if (interface.kind == "vrf") {
      vrf_tables_.insert(interface.vrf_table);
    }
  }
  const std::string link = link_of(wiring, networks);
  if (link.empty()) {
    return;
  }
  if (const host::Interface* const vrf = vrf_of(networks.find(link))) {
    index_ = vrf->index;
    table_ = vrf->vrf_table;
  }
}

bool Vrf::has_interface(unsigned index) const {
  const host::Interface* const vrf = vrf_of(networks_->find(index));
  return (vrf == nullptr ? 0 : vrf->index) == index_;
}

bool Vrf::has_route(const host::HostRoute& route) const {
  return index_ == 0 ? !vrf_tables_.contains(route.table) : route.table == table_;
}

const host::Interface* Vrf::vrf_of(const host::Interface* interface) const {
  // A port of a bond or a bridge is in its master's VRF. The bound is for a snapshot that is no
  // tree, because interfaces moved while the kernel answered.
  constexpr int kMostLevels = 8;
  for (int level = 0; interface != nullptr && level < kMostLevels; ++level) {
    if (interface->kind == "vrf") {
      return interface;
    }
    interface = interface->master == 0 ? nullptr : networks_->find(interface->master);
  }
  return nullptr;
}

}  // namespace podlease::ipam
