#include "guard.h"

#include "podlease/base/error.h"

namespace podlease::ipam {
namespace {

struct Claim {
  net::Address address;
  const char* what;
};

void check(const pools::PoolRange& range, const host::Uplink& uplink, net::IntervalSet& held_back) {
  std::vector<Claim> claims{
      {.address = uplink.address.address(), .what = "this node's own address"}};
  if (uplink.gateway) {
    claims.push_back({.address = *uplink.gateway, .what = "this node's default gateway"});
  }
  for (const Claim& claim : claims) {
    if (!range.usable.contains(claim.address)) {
      continue;
    }
    if (!uplink.address.contains(range.subnet.range())) {
      throw Error(
          ErrorKind::kConfig,
          range.name + " " + range.range.to_string() + " contains " + claim.what + " " +
              claim.address.to_string() + " on " + uplink.interface,
          "pods there would cut the node off: use another subnet, or rangeStart, rangeEnd and "
          "exclude to leave it out");
    }
    held_back.insert(net::Range::single(claim.address));
  }
}

}  // namespace

Guard::Guard(const host::Host& host, const pools::Offer& offer) : host_(&host) {
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    std::optional<host::Uplink> uplink;
    bool asked = false;
    for (const pools::PoolRangeSet& set : offer.sets) {
      if (set.family() != family) {
        continue;
      }
      if (!asked) {
        uplink = host.uplink(family);
        asked = true;
      }
      for (const pools::PoolRange& range : set.ranges) {
        if (uplink) {
          check(range, *uplink, held_back_);
        }
      }
    }
  }
}

std::optional<std::string> Guard::holder_of(net::Address address) const {
  if (held_back_.contains(address)) {
    return "this node or its default gateway";
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
