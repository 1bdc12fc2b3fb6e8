#include <algorithm>
#include <utility>

#include "podlease/base/text.h"
#include "podlease/net/special_block.h"
#include "podlease/pools/node_source.h"
#include "remembered.h"

namespace podlease::pools {
namespace {

using net::Address;
using net::Family;

// The addresses of one family in the pool.
struct Pool {
  net::IntervalSet free;    // for whoever comes
  net::IntervalSet pinned;  // for this pod
};

Pool read_pool(const kube::CiliumNode& node, const std::string& pod, Family family, Offer& offer,
               std::vector<std::string>& warnings) {
  std::vector<net::Range> free;
  std::vector<net::Range> pinned;
  for (const auto& [text, owner] : node.pool) {
    const std::optional<Address> address = Address::parse(text);
    if (!address) {
      if (family == Family::kIpv4) {  // said once
        warnings.push_back("CiliumNode " + node.name + " spec.ipam.pool " + in_quotes(text) +
                           " is no address and is passed over");
      }
    } else if (address->family() != family) {
      continue;
    } else if (const auto overlap = net::overlap_with_special_block(net::Range::single(*address))) {
      warnings.push_back("CiliumNode " + node.name + " spec.ipam.pool " + text + " " + *overlap +
                         ", and is passed over");
    } else if (owner.empty()) {
      free.push_back(net::Range::single(*address));
    } else if (owner == pod) {
      pinned.push_back(net::Range::single(*address));
    } else {
      offer.taken.push_back({.address = *address, .what = "pinned to " + owner});
    }
  }
  return {.free = net::IntervalSet(std::move(free)), .pinned = net::IntervalSet(std::move(pinned))};
}

PoolRange range_of(const std::string& name, net::IntervalSet usable,
                   const std::optional<Address>& gateway) {
  const net::Range whole =
      *net::Range::make(usable.ranges().front().first(), usable.ranges().back().last());
  const bool fits = gateway && gateway->family() == whole.family();
  return {.name = name,
          .source = "CiliumNode",
          .range = whole,
          .usable = std::move(usable),
          .subnet = net::Prefix::host(whole.first()),
          .answer_length = net::bit_width(whole.family()),
          .gateway = fits ? gateway : std::nullopt};
}

}  // namespace

std::vector<Family> CrdSource::families() const {
  return families_of(*conf_);
}

Knowledge CrdSource::consult(store::Transaction& transaction, const store::Moment& now) const {
  const NodeObjects::View view = objects_->view(transaction, now);
  Knowledge knowledge{.answer = not_known_yet(), .stale = view.stale || !view.recent};
  if (objects_->options().telling) {
    tell_of(view, now, knowledge);
  }
  if (const std::optional<Error> obstacle = obstacle_in(view.node);
      obstacle && view.node.record->gone) {
    knowledge.answer = *obstacle;
    return knowledge;
  }
  if (!view.cilium_node.object) {
    if (const std::optional<Error> obstacle = obstacle_in(view.cilium_node)) {
      knowledge.answer = *obstacle;
    }
    return knowledge;
  }
  const kube::CiliumNode& node = *view.cilium_node.object;
  const std::string place = "CiliumNode " + node.name + " spec.ipam.pool";
  Offer offer;
  for (const Family family : families()) {
    Pool pool = read_pool(node, pod_, family, offer, knowledge.warnings);
    net::IntervalSet usable = std::move(pool.pinned.empty() ? pool.free : pool.pinned);
    usable.erase(conf_->exclude);
    if (conf_->gateway) {
      usable.erase(net::IntervalSet({net::Range::single(*conf_->gateway)}));
    }
    const std::string label = std::string(name(family));
    if (usable.empty()) {
      knowledge.looks.push_back({.place = place, .outcome = "holds no free " + label + " address"});
      if (!conf_->families.empty()) {
        knowledge.answer = Error(
            ErrorKind::kBusy,
            std::string(place).append(" holds no ").append(label).append(" address for this pod"),
            "whoever fills it (Cilium's operator, a cloud's) has to add some");
        return knowledge;
      }
      continue;
    }
    PoolRangeSet set{.family = family,
                     .ranges = {range_of(place, std::move(usable), conf_->gateway)}};
    knowledge.looks.push_back(
        {.place = place, .value = set.to_string(), .outcome = "used for " + label, .used = true});
    offer.sets.push_back(std::move(set));
  }
  if (offer.sets.empty()) {
    knowledge.answer = Error(ErrorKind::kBusy, place + " holds no address for this pod",
                             "whoever fills it (Cilium's operator, a cloud's) has to add some");
    return knowledge;
  }
  knowledge.stale = view.stale;
  knowledge.answer = std::move(offer);
  return knowledge;
}

}  // namespace podlease::pools
