#include "range_checks.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "podlease/base/text.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/range.h"

namespace podlease::config {
namespace {

using net::Address;
using net::Family;
using net::IntervalSet;
using net::Range;

// Before 0.3.0 an answer can only have one address per family.
void check_old_version(const NetConf& conf) {
  constexpr std::array<std::string_view, 3> kOneEach{"", "0.1.0", "0.2.0"};
  const std::string& version = conf.essentials.cni_version;
  if (std::find(kOneEach.begin(), kOneEach.end(), version) == kOneEach.end()) {
    return;
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (std::count_if(conf.range_sets.begin(), conf.range_sets.end(),
                      [&](const RangeSet& set) { return set.family() == family; }) > 1) {
      throw Error(ErrorKind::kConfig,
                  "cniVersion " + in_quotes(version) +
                      " allows one address per family, but ipam has several " +
                      std::string(name(family)) + " range sets",
                  "set cniVersion to 0.3.0 or newer, or give one range set per family");
    }
  }
}

// A link-local IPv6 gateway is normal. Any other gateway outside its subnet may be a mistake.
void warn_of_gateways(NetConf& conf) {
  for (const RangeSet& set : conf.range_sets) {
    for (const AddressRange& range : set.ranges) {
      if (range.gateway && !range.subnet.contains(*range.gateway) &&
          !range.gateway->is_link_local_v6()) {
        conf.warnings.push_back(range.path + ".gateway " + range.gateway->to_string() +
                                " is outside subnet " + range.subnet.to_string());
      }
    }
  }
}

// Reports whether `set` holds all of `range`. The intervals of a set never touch, so that one of
// them must hold it.
bool holds_all_of(const IntervalSet& set, const Range& range) {
  const auto after = std::upper_bound(
      set.ranges().begin(), set.ranges().end(), range.first(),
      [](const Address& address, const Range& interval) { return address < interval.first(); });
  return after != set.ranges().begin() && std::prev(after)->contains(range);
}

// The gateways of every range: an address that is the gateway of one range is leased from none.
IntervalSet gateways_of(const std::vector<RangeSet>& sets) {
  std::vector<Range> gateways;
  for (const RangeSet& set : sets) {
    for (const AddressRange& range : set.ranges) {
      if (range.gateway) {
        gateways.push_back(Range::single(*range.gateway));
      }
    }
  }
  return IntervalSet(std::move(gateways));
}

// What takes all addresses of a range, as in "ipam.exclude and gateway 10.1.0.1".
std::string takers_of(const Range& range, const IntervalSet& exclude, const IntervalSet& gateways) {
  std::vector<std::string> takers;
  if (exclude.overlaps(range)) {
    takers.emplace_back("ipam.exclude");
  }
  if (!holds_all_of(exclude, range)) {
    const IntervalSet inside = gateways.within(range);
    const std::span<const Range> found = inside.ranges();
    takers.push_back((inside.size() == 1 ? "gateway " : "gateways ") + found.front().to_string() +
                     (found.size() > 1 ? ", …" : ""));
  }
  return join(takers, " and ");
}

// A set of which nothing is left can never serve anybody. One of its ranges may be used up, as when
// it is drained by `exclude`.
void check_leftover(NetConf& conf) {
  const IntervalSet gateways = gateways_of(conf.range_sets);
  std::vector<Range> all(conf.exclude.ranges().begin(), conf.exclude.ranges().end());
  all.insert(all.end(), gateways.ranges().begin(), gateways.ranges().end());
  const IntervalSet never(std::move(all));
  for (const RangeSet& set : conf.range_sets) {
    std::vector<std::string> used_up;
    for (const AddressRange& range : set.ranges) {
      if (holds_all_of(never, range.range)) {
        used_up.push_back(range.path + " (" + range.range.to_string() +
                          ") has no address left to lease: all of it is taken by " +
                          takers_of(range.range, conf.exclude, gateways));
      }
    }
    if (used_up.size() == set.ranges.size()) {
      throw Error(
          ErrorKind::kConfig,
          used_up.front() +
              (used_up.size() == 1 ? "" : ", and nothing is left of the other ranges of its set"),
          "take addresses out of ipam.exclude, widen the range, or set its gateway to "
          "another address or to \"none\"");
    }
    std::move(used_up.begin(), used_up.end(), std::back_inserter(conf.warnings));
  }
}

}  // namespace

std::vector<RangeSet> choose_families(const Value& value, const std::vector<Family>& families,
                                      std::vector<RangeSet> sets) {
  if (families.empty()) {
    return sets;
  }
  std::vector<RangeSet> chosen;
  for (std::size_t i = 0; i < families.size(); ++i) {
    const std::size_t before = chosen.size();
    std::copy_if(sets.begin(), sets.end(), std::back_inserter(chosen),
                 [&](const RangeSet& set) { return set.family() == families[i]; });
    if (chosen.size() == before) {
      throw value.list()[i].error("has no range", "add a range of that family, or leave it out");
    }
  }
  return chosen;
}

void check_ranges(NetConf& conf) {
  check_old_version(conf);
  check_leftover(conf);
  warn_of_gateways(conf);
}

}  // namespace podlease::config
