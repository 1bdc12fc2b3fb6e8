#include "podlease/pools/static_source.h"

#include <utility>

namespace podlease::pools {

Offer StaticSource::offer() const {
  Offer offer{.source = "static"};
  // Ranges may share a link, so the gateway of one is nobody's address in the others either.
  net::IntervalSet never = conf_->exclude;
  for (const config::RangeSet& configured : conf_->range_sets) {
    for (const config::AddressRange& range : configured.ranges) {
      if (range.gateway) {
        never.insert(net::Range::single(*range.gateway));
      }
    }
  }
  for (const config::RangeSet& configured : conf_->range_sets) {
    PoolRangeSet set;
    for (const config::AddressRange& range : configured.ranges) {
      net::IntervalSet usable({range.range});
      usable.erase(never);
      set.ranges.push_back({.name = range.path,
                            .range = range.range,
                            .usable = std::move(usable),
                            .subnet = range.subnet,
                            .answer_length = range.answer_length,
                            .gateway = range.gateway});
    }
    offer.sets.push_back(std::move(set));
  }
  return offer;
}

}  // namespace podlease::pools
