#include "held_by_host.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "podlease/net/interval_set.h"

namespace podlease::ipam {
namespace {

using pools::PoolRange;

// --- what cannot work ---

// The rules that make a configuration code 7. They hold for main plugins by which the host routes:
// there the host takes the gateway's address, and a route to the pods.
class Refusals {
 public:
  Refusals(const HostFacts& facts, const Wiring& wiring) : facts_(&facts), wiring_(&wiring) {}

  [[nodiscard]] std::optional<Error> of(const PoolRange& range,
                                        const std::vector<pools::Landmark>& beyond) const;

 private:
  [[nodiscard]] std::optional<Error> subnet_contains_an_own_address(const PoolRange& range) const;
  [[nodiscard]] std::optional<Error> subnet_contains_a_router(const PoolRange& range) const;
  [[nodiscard]] std::optional<Error> gateway_is_a_router(const PoolRange& range) const;
  [[nodiscard]] std::optional<Error> gateway_is_another_links_address(const PoolRange& range) const;
  [[nodiscard]] std::optional<Error> range_holds_the_nodes_own_uplink_address(
      const PoolRange& range) const;
  [[nodiscard]] std::optional<Error> range_holds_a_known_address(
      const PoolRange& range, const std::vector<pools::Landmark>& beyond) const;

  [[nodiscard]] const OnLinkNetwork* network_not_narrower(const net::Prefix& subnet,
                                                          net::Address address,
                                                          unsigned interface) const;
  [[nodiscard]] Error second_route(const PoolRange& range, const std::string& holder,
                                   const OnLinkNetwork& network) const;
  [[nodiscard]] Error taken_gateway(const PoolRange& range, const std::string& holder) const;
  [[nodiscard]] Error needed_by_the_node(const PoolRange& range, net::Address address,
                                         const std::string& what) const;
  [[nodiscard]] std::string another_subnet() const;

  const HostFacts* facts_;
  const Wiring* wiring_;
};

std::string described(const OwnAddress& own) {
  return "this node's own address on " + own.interface_name;
}

std::string described(const Router& router) {
  if (is_default_route(router.destination)) {
    return "this node's default gateway on " + router.interface_name;
  }
  return "the router of " + router.destination.to_string() + " on " + router.interface_name;
}

std::optional<Error> Refusals::of(const PoolRange& range,
                                  const std::vector<pools::Landmark>& beyond) const {
  if (!wiring_->is_routing()) {
    return std::nullopt;
  }
  std::optional<Error> error;
  if (wiring_->type == "bridge") {
    error = subnet_contains_an_own_address(range);
    error = error ? error : subnet_contains_a_router(range);
    error = error ? error : gateway_is_another_links_address(range);
  }
  error = error ? error : gateway_is_a_router(range);
  error = error ? error : range_holds_the_nodes_own_uplink_address(range);
  return error ? error : range_holds_a_known_address(range, beyond);
}

// A second equal connected route cuts the node off, and so does a narrower one around the node's
// own address or its router, wherever the range lies. Beside a wider route the host's own goes
// first.
std::optional<Error> Refusals::subnet_contains_an_own_address(const PoolRange& range) const {
  for (const OwnAddress& own : facts_->addresses) {
    if (!range.subnet.contains(own.address.address())) {
      continue;
    }
    if (const OnLinkNetwork* const network =
            network_not_narrower(range.subnet, own.address.address(), own.interface)) {
      return second_route(range, own.address.address().to_string() + ", " + described(own),
                          *network);
    }
  }
  return std::nullopt;
}

std::optional<Error> Refusals::subnet_contains_a_router(const PoolRange& range) const {
  for (const Router& router : facts_->routers) {
    if (!range.subnet.contains(router.address)) {
      continue;
    }
    if (const OnLinkNetwork* const network =
            network_not_narrower(range.subnet, router.address, router.interface)) {
      return second_route(range, router.address.to_string() + ", " + described(router), *network);
    }
  }
  return std::nullopt;
}

std::optional<Error> Refusals::gateway_is_a_router(const PoolRange& range) const {
  for (const Router& router : facts_->routers) {
    if (router.address == range.gateway) {
      return taken_gateway(range, described(router));
    }
  }
  return std::nullopt;
}

// With ptp the same address on another link does no harm: its links have it as /32 or /128.
std::optional<Error> Refusals::gateway_is_another_links_address(const PoolRange& range) const {
  for (const OwnAddress& own : facts_->addresses) {
    if (own.address.address() == range.gateway && !own.is_on_own_link) {
      return taken_gateway(range, described(own));
    }
  }
  return std::nullopt;
}

std::optional<Error> Refusals::range_holds_the_nodes_own_uplink_address(
    const PoolRange& range) const {
  for (const OwnAddress& own : facts_->addresses) {
    if (own.is_uplink && range.usable.contains(own.address.address())) {
      return needed_by_the_node(range, own.address.address(), described(own));
    }
  }
  return std::nullopt;
}

std::optional<Error> Refusals::range_holds_a_known_address(
    const PoolRange& range, const std::vector<pools::Landmark>& beyond) const {
  for (const pools::Landmark& known : beyond) {
    if (range.usable.contains(known.address)) {
      return needed_by_the_node(range, known.address, known.what);
    }
  }
  return std::nullopt;
}

// The network by which the host reaches `address` on that interface, if `subnet` is not wider. None
// on the own link: its route is the bridge's own.
const OnLinkNetwork* Refusals::network_not_narrower(const net::Prefix& subnet, net::Address address,
                                                    unsigned interface) const {
  for (const OnLinkNetwork& network : facts_->on_link) {
    if (network.interface == interface && network.network.contains(address) &&
        network.network.contains(subnet.range())) {
      return &network;
    }
  }
  return nullptr;
}

Error Refusals::second_route(const PoolRange& range, const std::string& holder,
                             const OnLinkNetwork& network) const {
  return Error(ErrorKind::kConfig,
               range.name + " subnet " + range.subnet.to_string() + " contains " + holder,
               network.what + ", and a bridge with a gateway would add a route to " +
                   range.subnet.to_string() + " that cuts the node off: " + another_subnet());
}

Error Refusals::taken_gateway(const PoolRange& range, const std::string& holder) const {
  return Error(ErrorKind::kConfig,
               range.name + " gateway " + range.gateway->to_string() + " is " + holder,
               "the " + wiring_->type +
                   " plugin would give the host that address once more: set "
                   "another \"gateway\", or " +
                   another_subnet());
}

Error Refusals::needed_by_the_node(const PoolRange& range, net::Address address,
                                   const std::string& what) const {
  const std::string bounds = wiring_->from_node ? "exclude" : "rangeStart, rangeEnd and exclude";
  return Error(
      ErrorKind::kConfig,
      range.name + " " + range.range.to_string() + " contains " + address.to_string() + ", " + what,
      "pods there would cut the node off: " + another_subnet() + ", or " + bounds +
          " to leave it out");
}

std::string Refusals::another_subnet() const {
  return wiring_->from_node ? "give this node another podCIDR" : "use another subnet";
}

// --- what is never leased ---

bool is_single(const net::Prefix& prefix) {
  return prefix.length() == net::bit_width(prefix.family());
}

// Collects what is held of one range. What comes first keeps its text.
class Collector {
 public:
  explicit Collector(const PoolRange& range) : range_(&range) {}

  // With `names_range`, the text ends with the addresses that it is about.
  void add(const net::Range& range, const std::string& what, bool names_range = false) {
    net::IntervalSet rest = range_->usable.within(range);
    rest.erase(covered_);
    for (const net::Range& piece : rest.ranges()) {
      covered_.insert(piece);
      pieces_.push_back({.range = piece, .what = what, .names_range = names_range});
    }
  }

  // Ascending; neighbours with one text are one.
  [[nodiscard]] std::vector<HeldRange> take() {
    std::sort(pieces_.begin(), pieces_.end(),
              [](const Piece& a, const Piece& b) { return a.range < b.range; });
    std::vector<Piece> merged;
    for (Piece& piece : pieces_) {
      if (!merged.empty() && merged.back().what == piece.what &&
          merged.back().range.last().next() == piece.range.first()) {
        merged.back().range = *net::Range::make(merged.back().range.first(), piece.range.last());
      } else {
        merged.push_back(std::move(piece));
      }
    }
    std::vector<HeldRange> held;
    for (Piece& piece : merged) {
      const std::string end = piece.names_range ? " " + piece.range.to_string() : std::string();
      held.push_back({.range = piece.range, .what = std::move(piece.what) + end});
    }
    return held;
  }

 private:
  struct Piece {
    net::Range range;
    std::string what;
    bool names_range;
  };

  const PoolRange* range_;
  net::IntervalSet covered_;
  std::vector<Piece> pieces_;
};

// Wide ones first: a network's text tells more than that of an address in it.
void add_connected_networks_narrower_than_the_subnet(const HostFacts& facts, const PoolRange& range,
                                                     Collector& collector) {
  std::vector<const OnLinkNetwork*> networks;
  for (const OnLinkNetwork& network : facts.on_link) {
    if (network.is_connected && !is_single(network.network) &&
        network.network.length() > range.subnet.length() &&
        range.subnet.contains(network.network.range())) {
      networks.push_back(&network);
    }
  }
  std::stable_sort(networks.begin(), networks.end(),
                   [](const OnLinkNetwork* a, const OnLinkNetwork* b) {
                     return a->network.length() < b->network.length();
                   });
  for (const OnLinkNetwork* const network : networks) {
    collector.add(network->network.range(), network->what);
  }
}

void add_own_addresses(const HostFacts& facts, Collector& collector) {
  for (const OwnAddress& own : facts.addresses) {
    const bool single = is_single(own.address);
    const std::string what = "interface " + own.interface_name + " has";
    // kube-ipvs0 may have thousands, one after the other.
    collector.add(net::Range::single(own.address.address()),
                  single ? what : what + " " + own.address.to_string(), single);
  }
}

void add_routers(const HostFacts& facts, Collector& collector) {
  for (const Router& router : facts.routers) {
    const std::string destination =
        is_default_route(router.destination) ? "the default route" : router.destination.to_string();
    collector.add(net::Range::single(router.address),
                  "router of " + destination + " via " + router.interface_name);
  }
}

// The other ends of point-to-point links.
void add_peers(const HostFacts& facts, Collector& collector) {
  for (const OnLinkNetwork& network : facts.on_link) {
    if (network.is_connected && is_single(network.network)) {
      collector.add(network.network.range(), network.what);
    }
  }
}

void add_known_addresses(const pools::Offer& offer, Collector& collector) {
  for (const pools::Landmark& known : offer.beyond) {
    collector.add(net::Range::single(known.address), known.what);
  }
}

}  // namespace

std::string HeldRange::to_string() const {
  return range.to_string() + (range.size() == 1 ? " is" : " are") + " never leased: " + what;
}

std::variant<std::vector<HeldRange>, Error> held_by_host(const host::HostNetworks& networks,
                                                         const Wiring& wiring,
                                                         const pools::Offer& offer,
                                                         const IsLeased& is_leased) {
  const HostFacts facts = facts_of(networks, wiring, offer, is_leased);
  const Refusals refusals(facts, wiring);
  std::vector<HeldRange> held;
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const PoolRange& range : set.ranges) {
      if (std::optional<Error> error = refusals.of(range, offer.beyond)) {
        return *std::move(error);
      }
      Collector collector(range);
      add_connected_networks_narrower_than_the_subnet(facts, range, collector);
      add_own_addresses(facts, collector);
      add_routers(facts, collector);
      add_peers(facts, collector);
      add_known_addresses(offer, collector);
      for (HeldRange& one : collector.take()) {
        held.push_back(std::move(one));
      }
    }
  }
  std::sort(held.begin(), held.end(),
            [](const HeldRange& a, const HeldRange& b) { return a.range < b.range; });
  return held;
}

}  // namespace podlease::ipam
