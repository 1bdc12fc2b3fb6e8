#ifndef PODLEASE_TESTS_UNIT_SNAPSHOT_H_
#define PODLEASE_TESTS_UNIT_SNAPSHOT_H_

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/net/prefix.h"
#include "podlease/pools/source.h"

// Hosts and offers, written by hand: Snapshot().interface("eth0").with("10.42.0.57/24")
// .default_via("10.42.0.1").
namespace podlease::made {

inline net::Address address(std::string_view text) {
  const auto parsed = net::Address::parse(text);
  if (!parsed) {
    throw std::invalid_argument("no address: " + std::string(text));
  }
  return *parsed;
}

inline net::Prefix prefix(std::string_view text) {
  const auto parsed = net::Prefix::parse(text);
  if (!parsed) {
    throw std::invalid_argument("no prefix: " + std::string(text));
  }
  return *parsed;
}

class Snapshot {
 public:
  Snapshot() { interface("lo").with("127.0.0.1/8").with("::1/128"); }

  // What follows is about this one, until the next.
  Snapshot& interface(std::string name, std::string kind = "") {
    const auto index = static_cast<unsigned>(networks_.interfaces.size() + 1);
    networks_.interfaces.push_back(
        {.index = index, .name = std::move(name), .kind = std::move(kind)});
    return *this;
  }
  // As ptp and bridge make them: the other end is a pod's.
  Snapshot& pod_link(std::string name) {
    interface(std::move(name), "veth");
    current().parent = 2;
    current().peer_is_outside = true;
    return *this;
  }
  Snapshot& vrf(std::string name, unsigned table) {
    interface(std::move(name), "vrf");
    current().vrf_table = table;
    return *this;
  }
  Snapshot& enslaved_to(std::string_view master) {
    current().master = networks_.find(master)->index;
    return *this;
  }
  Snapshot& on(std::string_view parent) {
    current().parent = networks_.find(parent)->index;
    return *this;
  }

  Snapshot& vlan(std::string name, std::string_view parent, unsigned id) {
    interface(std::move(name), "vlan").on(parent);
    current().vlan = id;
    return *this;
  }

  // As the kernel does, with a route to the network of the address.
  Snapshot& with(std::string_view text) {
    without_route(text);
    const net::Prefix own = prefix(text);
    if (current().name != "lo" && (own.family() == net::Family::kIpv6 || own.length() < 32)) {
      route_on(own.masked(), {}, table_of_current());
      networks_.routes.back().is_connected = true;
    }
    return *this;
  }
  // As with noprefixroute.
  Snapshot& without_route(std::string_view text) {
    networks_.addresses.push_back({.address = prefix(text), .interface = current().index});
    return *this;
  }
  Snapshot& peer(std::string_view own, std::string_view other) {
    without_route(own);
    route_on(prefix(other), {}, table_of_current());
    networks_.routes.back().is_connected = true;
    return *this;
  }

  Snapshot& default_via(std::string_view gateway) {
    const net::Family family = address(gateway).family();
    return route(family == net::Family::kIpv4 ? "0.0.0.0/0" : "::/0", gateway);
  }
  // An empty gateway: on the link itself.
  Snapshot& route(std::string_view destination, std::string_view gateway = {},
                  unsigned table = kMain) {
    route_on(prefix(destination), gateway, table);
    return *this;
  }
  // One more way for the last route.
  Snapshot& also_via(std::string_view gateway) {
    networks_.routes.back().next_hops.push_back(hop(gateway));
    return *this;
  }
  Snapshot& blackhole(std::string_view destination) {
    networks_.routes.push_back(
        {.destination = prefix(destination), .table = kMain, .next_hops = {{}}});
    return *this;
  }

  [[nodiscard]] const host::HostNetworks& networks() const { return networks_; }

 private:
  static constexpr unsigned kMain = 254;

  host::Interface& current() { return networks_.interfaces.back(); }
  unsigned table_of_current() {
    const host::Interface* interface = &current();
    while (interface->master != 0 && interface->kind != "vrf") {
      interface = networks_.find(interface->master);
    }
    return interface->kind == "vrf" ? interface->vrf_table : kMain;
  }
  host::NextHop hop(std::string_view gateway) {
    host::NextHop hop{.gateway = std::nullopt, .interface = current().index};
    if (!gateway.empty()) {
      hop.gateway = address(gateway);
    }
    return hop;
  }
  void route_on(const net::Prefix& destination, std::string_view gateway, unsigned table) {
    networks_.routes.push_back(
        {.destination = destination, .table = table, .next_hops = {hop(gateway)}});
  }

  host::HostNetworks networks_;
};

// A range as a configuration's: the gateway is the first address, and neither it nor the ends of
// the subnet are usable.
class Range {
 public:
  explicit Range(std::string_view subnet)
      : range_{.name = "ipam",
               .source = "static",
               .range = net::Range::single(prefix(subnet).first()),
               .usable = {},
               .subnet = prefix(subnet),
               .answer_length = prefix(subnet).length(),
               .gateway = prefix(subnet).first().next()} {
    const net::Address last = range_.subnet.last();
    range_.range = *net::Range::make(
        *range_.gateway, range_.subnet.family() == net::Family::kIpv4 ? *last.previous() : last);
  }

  Range& named(std::string name) {
    range_.name = std::move(name);
    return *this;
  }
  Range& from(std::string_view first, std::string_view last) {
    range_.range = *net::Range::make(address(first), address(last));
    return *this;
  }
  Range& gateway(std::string_view text) {
    range_.gateway = address(text);
    return *this;
  }
  Range& no_gateway() {
    range_.gateway.reset();
    return *this;
  }
  Range& exclude(std::string_view text) {
    excluded_.push_back(*net::Range::parse(text));
    return *this;
  }

  [[nodiscard]] pools::PoolRange made() const {
    pools::PoolRange made = range_;
    made.usable = net::IntervalSet({made.range});
    if (made.gateway) {
      made.usable.erase(net::Range::single(*made.gateway));
    }
    for (const net::Range& range : excluded_) {
      made.usable.erase(range);
    }
    return made;
  }

 private:
  pools::PoolRange range_;
  std::vector<net::Range> excluded_;
};

// One set for each range.
inline pools::Offer offer(const std::vector<Range>& ranges) {
  pools::Offer offer;
  for (const Range& range : ranges) {
    const pools::PoolRange made = range.made();
    offer.sets.push_back({.family = made.subnet.family(), .ranges = {made}});
  }
  return offer;
}

}  // namespace podlease::made

#endif  // PODLEASE_TESTS_UNIT_SNAPSHOT_H_
