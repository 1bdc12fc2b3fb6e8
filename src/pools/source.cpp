#include "podlease/pools/source.h"

namespace podlease::pools {

const PoolRange* PoolRangeSet::range_of(net::Address address) const {
  for (const PoolRange& range : ranges) {
    if (range.range.contains(address)) {
      return &range;
    }
  }
  return nullptr;
}

std::string PoolRangeSet::to_string() const {
  std::string text;
  for (const PoolRange& range : ranges) {
    text.append(text.empty() ? "" : ",").append(range.range.to_string());
  }
  return text;
}

const PoolRange* Offer::range_of(net::Address address) const {
  for (const PoolRangeSet& set : sets) {
    if (const PoolRange* const range = set.range_of(address)) {
      return range;
    }
  }
  return nullptr;
}

std::string Offer::why_not_usable(net::Address address) const {
  for (const Landmark& landmark : taken) {
    if (landmark.address == address) {
      return "is " + landmark.what;
    }
  }
  return "is excluded by ipam.exclude";
}

}  // namespace podlease::pools
