#ifndef PODLEASE_SRC_POOLS_RANGES_H_
#define PODLEASE_SRC_POOLS_RANGES_H_

#include <functional>
#include <string>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/pools/source.h"

namespace podlease::pools {

// What may be leased of configured ranges: all of it, less every gateway (ranges may share a link,
// so the gateway of one is nobody's address in the others either) and `never`. `source_of` names
// where a range comes from.
[[nodiscard]] std::vector<PoolRangeSet> offered_sets(
    const std::vector<config::RangeSet>& configured, net::IntervalSet never,
    const std::function<std::string(const config::AddressRange&)>& source_of);

}  // namespace podlease::pools

#endif  // PODLEASE_SRC_POOLS_RANGES_H_
