#ifndef PODLEASE_NET_ROUTE_H_
#define PODLEASE_NET_ROUTE_H_

#include <cstdint>
#include <optional>

#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::net {

// A route as the CNI specification 1.1.0 describes it ("Success", routes). podlease reads it from
// the configuration and hands it on unchanged; host bits of `destination` stay.
struct Route {
  Prefix destination;
  std::optional<Address> gateway;
  std::int64_t mtu = 0;             // bytes; 0: not given
  std::int64_t advertised_mss = 0;  // bytes; 0: not given
  std::int64_t priority = 0;        // lower wins; 0: not given
  std::optional<std::int64_t> table;
  std::optional<std::int64_t> scope;
};

}  // namespace podlease::net

#endif  // PODLEASE_NET_ROUTE_H_
