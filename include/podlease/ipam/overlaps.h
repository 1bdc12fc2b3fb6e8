#ifndef PODLEASE_IPAM_OVERLAPS_H_
#define PODLEASE_IPAM_OVERLAPS_H_

#include <string>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/pools/source.h"

namespace podlease::ipam {

// Networks this host has routes to that meet a range of the offer, without being it or a part of
// it: one line for each. They may well be meant (aggregates, VLANs, Cilium's own routes), so they
// keep nothing from being leased.
[[nodiscard]] std::vector<std::string> overlaps(const pools::Offer& offer, const host::Host& host);

}  // namespace podlease::ipam

#endif  // PODLEASE_IPAM_OVERLAPS_H_
