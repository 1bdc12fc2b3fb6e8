#ifndef PODLEASE_SRC_CONFIG_RANGES_H_
#define PODLEASE_SRC_CONFIG_RANGES_H_

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/net/address.h"
#include "value.h"

namespace podlease::config {

// The keys of a range; they also stand directly under `ipam`, host-local's old style.
inline constexpr std::array<std::string_view, 4> kRangeKeys{"subnet", "rangeStart", "rangeEnd",
                                                            "gateway"};

// Reports whether `text` stands for the node's CIDR of a family: usePodCidr, usePodCidrIPv6, in any
// case.
[[nodiscard]] std::optional<net::Family> node_cidr_word(std::string_view text);

// The families of all such words among the ranges.
[[nodiscard]] std::vector<net::Family> node_families_of(const Value& ipam,
                                                        const Value& runtime_ranges);

// Reports whether ranges are given at all.
[[nodiscard]] bool has_ranges(const Value& ipam, const Value& runtime_ranges);

// One range set for each of the node's CIDRs. Throws kConfig.
[[nodiscard]] std::vector<RangeSet> ranges_of_node(const Value& ipam,
                                                   const std::vector<NodeCidr>& cidrs,
                                                   PrefixMode prefix);

// All range sets in host-local's order: runtimeConfig.ipRanges, the range directly under `ipam`,
// ipam.ranges. Identical sets from two sources count once. A subnet usePodCidr is the one of
// `node_cidrs`. Throws kConfig: nothing given, ranges
// that overlap, anything malformed.
[[nodiscard]] std::vector<RangeSet> read_range_sets(const Value& ipam, const Value& runtime_ranges,
                                                    PrefixMode prefix,
                                                    const std::vector<NodeCidr>& node_cidrs);

// Text of an address as Go's net.IP reads it: a v4-mapped IPv6 address is the IPv4 address in it.
// Throws kConfig.
[[nodiscard]] net::Address read_address(const Value& value, std::string_view text);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_RANGES_H_
