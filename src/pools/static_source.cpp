#include "podlease/pools/static_source.h"

#include <utility>

namespace podlease::pools {

Offer StaticSource::offer() const {
  Offer offer{.source = "static"};
  for (const config::RangeSet& configured : conf_->range_sets) {
    PoolRangeSet set;
    for (const config::AddressRange& range : configured.ranges) {
      net::IntervalSet usable({range.range});
      usable.erase(conf_->exclude);
      if (range.gateway) {
        usable.erase(net::Range::single(*range.gateway));
      }
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
