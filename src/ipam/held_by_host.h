#ifndef PODLEASE_SRC_IPAM_HELD_BY_HOST_H_
#define PODLEASE_SRC_IPAM_HELD_BY_HOST_H_

#include <string>
#include <variant>
#include <vector>

#include "host_facts.h"
#include "podlease/base/error.h"
#include "podlease/host/host.h"
#include "podlease/ipam/wiring.h"
#include "podlease/net/range.h"
#include "podlease/pools/source.h"

// What of an offer the host itself holds (FACTS, section 3). Some of it makes the configuration one
// that cannot work; the rest is never leased.
namespace podlease::ipam {

// Usable addresses of an offer that are never leased, and why.
struct HeldRange {
  net::Range range;
  std::string what;  // interface docker0 has 172.17.0.1/16

  // 172.17.0.2-172.17.255.254 is never leased: interface docker0 has 172.17.0.1/16
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const HeldRange&, const HeldRange&) = default;
};

// What is never leased, ascending and without overlaps; or, as kConfig, why nothing may be leased
// before the configuration is mended. `is_leased` reports whether this store has a lease of an
// address. O(n log n) in addresses and routes.
[[nodiscard]] std::variant<std::vector<HeldRange>, Error> held_by_host(
    const host::HostNetworks& networks, const Wiring& wiring, const pools::Offer& offer,
    const IsLeased& is_leased);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_HELD_BY_HOST_H_
