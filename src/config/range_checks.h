#ifndef PODLEASE_SRC_CONFIG_RANGE_CHECKS_H_
#define PODLEASE_SRC_CONFIG_RANGE_CHECKS_H_

#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/net/address.h"
#include "value.h"

// What is judged of all ranges together, once they are known.
namespace podlease::config {

// Orders `sets` as `families` says and leaves out the families that are not in it; no family at all
// leaves `sets` as they are. `value` is ipam.families. Throws kConfig for a family without a range.
[[nodiscard]] std::vector<RangeSet> choose_families(const Value& value,
                                                    const std::vector<net::Family>& families,
                                                    std::vector<RangeSet> sets);

// Throws kConfig if the ranges of `conf` cannot be leased from as they are: an old cniVersion has
// no room for the answer, or `exclude` and the gateways leave no address of a set. Adds to the
// warnings what may be a mistake.
void check_ranges(NetConf& conf);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_RANGE_CHECKS_H_
