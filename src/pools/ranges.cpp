#include "ranges.h"

#include <utility>

namespace podlease::pools {

std::vector<PoolRangeSet> offered_sets(
    const std::vector<config::RangeSet>& configured, net::IntervalSet never,
    const std::function<std::string(const config::AddressRange&)>& source_of) {
  for (const config::RangeSet& set : configured) {
    for (const config::AddressRange& range : set.ranges) {
      if (range.gateway) {
        never.insert(net::Range::single(*range.gateway));
      }
    }
  }
  std::vector<PoolRangeSet> sets;
  sets.reserve(configured.size());
  for (const config::RangeSet& configured_set : configured) {
    PoolRangeSet set{.family = configured_set.family(), .ranges = {}};
    for (const config::AddressRange& range : configured_set.ranges) {
      net::IntervalSet usable({range.range});
      usable.erase(never);
      set.ranges.push_back({.name = range.path,
                            .source = source_of(range),
                            .range = range.range,
                            .usable = std::move(usable),
                            .subnet = range.subnet,
                            .answer_length = range.answer_length,
                            .gateway = range.gateway});
    }
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace podlease::pools
