#include "guard.h"

#include <algorithm>

#include "podlease/base/error.h"

namespace podlease::ipam {
namespace {

// What nobody else may have of a family: the node's own, and what the offer knows of.
std::vector<pools::Landmark> landmarks_of(const host::Uplink& uplink) {
  std::vector<pools::Landmark> landmarks{
      {.address = uplink.address.address(),
       .what = "this node's own address on " + uplink.interface}};
  if (uplink.gateway) {
    landmarks.push_back(
        {.address = *uplink.gateway, .what = "this node's default gateway on " + uplink.interface});
  }
  return landmarks;
}

}  // namespace

Guard::Guard(const host::Host& host, const std::vector<net::Family>& families) : host_(&host) {
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    if (std::find(families.begin(), families.end(), family) == families.end()) {
      continue;
    }
    if (const std::optional<host::Uplink> uplink = host.uplink(family)) {
      uplinks_.push_back(*uplink);
    }
  }
}

void Guard::admit(const pools::Offer& offer) {
  std::vector<pools::Landmark> landmarks = offer.beyond;
  for (const host::Uplink& uplink : uplinks_) {
    const std::vector<pools::Landmark> own = landmarks_of(uplink);
    landmarks.insert(landmarks.end(), own.begin(), own.end());
  }
  const auto is_flat = [&](const pools::PoolRange& range) {
    return std::any_of(uplinks_.begin(), uplinks_.end(), [&](const host::Uplink& uplink) {
      return uplink.address.contains(range.subnet.range());
    });
  };
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const pools::PoolRange& range : set.ranges) {
      for (const pools::Landmark& landmark : landmarks) {
        if (!range.usable.contains(landmark.address)) {
          continue;
        }
        if (!is_flat(range)) {
          throw Error(ErrorKind::kConfig,
                      range.name + " " + range.range.to_string() + " contains " +
                          landmark.address.to_string() + ", " + landmark.what,
                      "pods there would cut the node off: use another subnet, or rangeStart, "
                      "rangeEnd and exclude to leave it out");
        }
        held_back_.insert(net::Range::single(landmark.address));
      }
    }
  }
}

std::optional<std::string> Guard::holder_of(net::Address address) const {
  if (held_back_.contains(address)) {
    return "this node, its default gateway or the API server";
  }
  const std::optional<host::AddressHolder> holder = host_->holder_of(address);
  if (!holder) {
    return std::nullopt;
  }
  switch (holder->kind) {
    case host::AddressHolder::Kind::kInterface:
      return "interface " + holder->interface + " of this host";
    case host::AddressHolder::Kind::kRoute:
      return "the target of a host route via " + holder->interface;
  }
  return std::nullopt;
}

}  // namespace podlease::ipam
