#ifndef PODLEASE_SRC_CONFIG_RANGES_H_
#define PODLEASE_SRC_CONFIG_RANGES_H_

#include <array>
#include <string_view>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/net/address.h"
#include "value.h"

namespace podlease::config {

// The keys of a range; they also stand directly under `ipam`, host-local's old style.
inline constexpr std::array<std::string_view, 4> kRangeKeys{"subnet", "rangeStart", "rangeEnd",
                                                            "gateway"};

// The range sets in `ranges` or ipRanges, and the ranges in one of them. People who forget that
// these are lists of lists are shown the form. Throws kConfig.
[[nodiscard]] std::vector<Value> sets_in(const Value& list);
[[nodiscard]] std::vector<Value> ranges_in(const Value& set);

// The families of all subnets that stand for a CIDR of the node: usePodCidr and usePodCidrIPv6, in
// any case.
[[nodiscard]] std::vector<net::Family> node_families_of(const Value& ipam,
                                                        const Value& runtime_ranges);

// Reports whether ranges are given at all.
[[nodiscard]] bool has_ranges(const Value& ipam, const Value& runtime_ranges);

// One range set for each of the node's CIDRs, in their order. Throws kConfig.
[[nodiscard]] std::vector<RangeSet> ranges_of_node(const Value& ipam,
                                                   const std::vector<NodeCidr>& cidrs,
                                                   PrefixMode prefix);

// All range sets in host-local's order: runtimeConfig.ipRanges, the range directly under `ipam`,
// ipam.ranges. Identical sets from two sources count once. A subnet usePodCidr is the one of
// `node_cidrs`. Throws kConfig if there are no ranges, if ranges overlap, and for malformed ones.
[[nodiscard]] std::vector<RangeSet> read_range_sets(const Value& ipam, const Value& runtime_ranges,
                                                    PrefixMode prefix,
                                                    const std::vector<NodeCidr>& node_cidrs);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_RANGES_H_
