#include "podlease/pools/static_source.h"

#include "ranges.h"

namespace podlease::pools {

Offer StaticSource::offer() const {
  return {.sets = offered_sets(conf_->range_sets, conf_->exclude,
                               [](const config::AddressRange&) { return "static"; })};
}

std::vector<net::Family> StaticSource::families() const {
  std::vector<net::Family> families;
  for (const config::RangeSet& set : conf_->range_sets) {
    families.push_back(set.family());
  }
  return families;
}

Knowledge StaticSource::consult(store::Transaction& /*transaction*/,
                                const store::Moment& /*now*/) const {
  Knowledge knowledge{.answer = offer()};
  for (const config::RangeSet& set : conf_->range_sets) {
    for (const config::AddressRange& range : set.ranges) {
      knowledge.looks.push_back({.place = range.path,
                                 .value = range.subnet.to_string(),
                                 .outcome = "used",
                                 .used = true});
    }
  }
  return knowledge;
}

}  // namespace podlease::pools
