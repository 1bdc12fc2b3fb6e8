#ifndef PODLEASE_SRC_IPAM_VRF_H_
#define PODLEASE_SRC_IPAM_VRF_H_

#include <set>

#include "podlease/host/host.h"
#include "podlease/ipam/wiring.h"

namespace podlease::ipam {

constexpr unsigned kMainTable = 254;  // RT_TABLE_MAIN

// What of the host's networks lies in the main plugin's VRF: that of the interface that joins its
// pods. Most hosts have no VRF; then everything does. `networks` must outlive it.
class Vrf {
 public:
  Vrf(const Wiring& wiring, const host::HostNetworks& networks);

  // The main table without a VRF.
  [[nodiscard]] unsigned table() const { return table_; }
  // An interface that is not listed was made while the kernel answered: it is in no VRF.
  [[nodiscard]] bool has_interface(unsigned index) const;
  [[nodiscard]] bool has_route(const host::HostRoute& route) const;

 private:
  [[nodiscard]] const host::Interface* vrf_of(const host::Interface* interface) const;

  const host::HostNetworks* networks_;
  std::set<unsigned> vrf_tables_;  // of all VRFs
  unsigned index_ = 0;             // of the main plugin's VRF; 0: it is in none
  unsigned table_ = 0;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_VRF_H_
