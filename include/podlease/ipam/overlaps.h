#ifndef PODLEASE_IPAM_OVERLAPS_H_
#define PODLEASE_IPAM_OVERLAPS_H_

#include <string>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/ipam/wiring.h"
#include "podlease/pools/source.h"

namespace podlease::ipam {

// One line for each network to which this host has a route and that overlaps a range of the offer
// without being its subnet or a part of it. Such a route may be intended (aggregates, VLANs,
// Cilium's own routes), so it does not stop any address from being leased. Default routes and their
// halves are no such networks, single and link-local addresses neither; only routes of the main
// plugin's VRF count.
[[nodiscard]] std::vector<std::string> overlap_warnings(const pools::Offer& offer,
                                                        const host::HostNetworks& networks,
                                                        const Wiring& wiring = {});

}  // namespace podlease::ipam

#endif  // PODLEASE_IPAM_OVERLAPS_H_
