// Routes and next hops: what the kernel's messages about them say, and how it is asked for them.

#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <string>
#include <utility>

#include "netlink.h"

namespace podlease::host {

namespace {

std::vector<std::byte> route_dump(net::Family family) {
  rtmsg fixed{};
  fixed.rtm_family = kernel_family(family);
  return message_of(RTM_GETROUTE, NLM_F_DUMP, fixed);
}

std::vector<std::byte> look_up(net::Address address, unsigned flags) {
  rtmsg fixed{};
  fixed.rtm_family = kernel_family(address.family());
  fixed.rtm_dst_len = static_cast<unsigned char>(net::bit_width(address.family()));
  fixed.rtm_flags = flags;
  std::vector<std::byte> message = message_of(RTM_GETROUTE, 0, fixed);
  put_attribute(message, RTA_DST, bytes_of(address));
  return message;
}

// Reports whether the entry gives its address to somebody.
bool is_in_use(const Route& entry) {
  switch (entry.type) {
    case RTN_UNICAST:
    case RTN_LOCAL:
    case RTN_BROADCAST:
    case RTN_ANYCAST:
      return true;
    default:
      return false;
  }
}

// The gateway in an attribute of a route or of one of its next hops; nothing in any other one.
std::optional<net::Address> gateway_in(unsigned type, Bytes value, net::Family family) {
  if (type == RTA_GATEWAY) {
    return address_in(value, family);
  }
  if (type == RTA_VIA) {
    const auto via = take<rtvia>(value);
    return address_in(value, via.rtvia_family);
  }
  return std::nullopt;
}

std::vector<NextHop> read_multipath(Bytes bytes, net::Family family) {
  std::vector<NextHop> hops;
  while (!bytes.empty()) {
    const auto fixed = take<rtnexthop>(bytes);
    NextHop hop{.gateway = std::nullopt, .interface = static_cast<unsigned>(fixed.rtnh_ifindex)};
    for_each_attribute(take_rest(bytes, fixed.rtnh_len, sizeof fixed),
                       [&](unsigned type, Bytes value) {
                         if (const auto gateway = gateway_in(type, value, family)) {
                           hop.gateway = gateway;
                         }
                       });
    hops.push_back(hop);
  }
  return hops;
}

struct NextHopObject {
  unsigned id = 0;
  std::vector<NextHop> hops;
  std::vector<unsigned> members;  // of a group
};

std::optional<NextHopObject> read_next_hop_object(unsigned message_type, Bytes body) {
  if (message_type != RTM_NEWNEXTHOP) {
    return std::nullopt;
  }
  const auto fixed = take<nhmsg>(body);
  NextHopObject object;
  NextHop hop;
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    switch (type) {
      case NHA_ID:
        object.id = take<unsigned>(value);
        break;
      case NHA_OIF:
        hop.interface = take<unsigned>(value);
        break;
      case NHA_GATEWAY:
        hop.gateway = address_in(value, fixed.nh_family);
        break;
      case NHA_GROUP:
        while (!value.empty()) {
          object.members.push_back(take<nexthop_grp>(value).id);
        }
        break;
      default:
        break;
    }
  });
  if (object.members.empty()) {
    object.hops.push_back(hop);
  }
  return object;
}

void read_route_attribute(unsigned type, Bytes value, net::Family family, Route& route) {
  switch (type) {
    case RTA_GATEWAY:
    case RTA_VIA:
      route.gateway = gateway_in(type, value, family);
      break;
    case RTA_PREFSRC:
      route.source = address_in(value, family);
      break;
    case RTA_OIF:
      route.interface = take<unsigned>(value);
      break;
    case RTA_TABLE:  // those that do not fit into a byte
      route.table = take<unsigned>(value);
      break;
    case RTA_PRIORITY:
      route.metric = take<unsigned>(value);
      break;
    case RTA_MULTIPATH:  // instead of RTA_OIF
      route.next_hops = read_multipath(value, family);
      break;
    case RTA_NH_ID:
      route.nexthop_object = take<unsigned>(value);
      break;
    default:
      break;
  }
}

}  // namespace

std::optional<Route> read_route(unsigned message_type, Bytes body, net::Family family) {
  if (message_type != RTM_NEWROUTE) {
    return std::nullopt;
  }
  const auto fixed = take<rtmsg>(body);
  // A kernel without IPv6 answers a dump of it with whatever it has.
  if (fixed.rtm_family != kernel_family(family)) {
    return std::nullopt;
  }
  net::Address destination = net::Address::from_bits(family, 0);
  Route route{.type = fixed.rtm_type,
              .cloned = (fixed.rtm_flags & RTM_F_CLONED) != 0,
              .destination = net::Prefix::host(destination),  // until its length is known
              .gateway = std::nullopt,
              .source = std::nullopt,
              .interface = 0,
              .table = fixed.rtm_table,
              .protocol = fixed.rtm_protocol,
              .metric = 0,
              .next_hops = {},
              .nexthop_object = 0};
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    if (type == RTA_DST) {
      destination = address_in(value, family);
    } else {
      read_route_attribute(type, value, family, route);
    }
  });
  const auto prefix = net::Prefix::make(destination, fixed.rtm_dst_len);
  if (!prefix) {
    throw malformed();
  }
  route.destination = *prefix;
  if (!route.next_hops.empty()) {
    route.interface = route.next_hops.front().interface;
  } else if (route.interface != 0) {
    route.next_hops.push_back({.gateway = route.gateway, .interface = route.interface});
  }
  return route;
}

std::optional<Route> RouteSocket::host_entry(net::Address address) {
  const net::Prefix wanted = net::Prefix::host(address);
  std::optional<Route> found;
  const auto visit = [&](unsigned type, Bytes body) {
    const auto route = read_route(type, body, address.family());
    if (!route || route->destination != wanted || route->cloned || !is_in_use(*route)) {
      return;
    }
    // One address may have several entries: prefer, as a look-up does, that of the local table.
    if (!found || found->type == RTN_UNICAST) {
      found = route;
    }
  };
  // Kernels before 4.13 ignore RTM_F_FIB_MATCH and answer with a route made for this address alone,
  // which IPv6 does not even mark as cloned. Those with strict checking (4.20) know the flag.
  if (strict_) {
    ask(look_up(address, RTM_F_FIB_MATCH), visit);
  } else {
    ask(route_dump(address.family()), visit);
  }
  return found;
}

std::vector<Route> RouteSocket::routes(net::Family family) {
  std::vector<Route> found;
  const auto visit = [&](unsigned type, Bytes body) {
    auto route = read_route(type, body, family);
    if (route && !route->cloned) {
      found.push_back(std::move(*route));
    }
  };
  ask(route_dump(family), visit, [&] { found.clear(); });
  return found;
}

std::optional<Route> RouteSocket::path_to(net::Address address) {
  std::optional<Route> path;
  ask(look_up(address, 0),
      [&](unsigned type, Bytes body) { path = read_route(type, body, address.family()); });
  return path;
}

NextHopObjects RouteSocket::next_hop_objects() {
  std::vector<NextHopObject> objects;
  const auto visit = [&](unsigned type, Bytes body) {
    if (auto object = read_next_hop_object(type, body)) {
      objects.push_back(std::move(*object));
    }
  };
  ask(message_of(RTM_GETNEXTHOP, NLM_F_DUMP, nhmsg{}), visit, [&] { objects.clear(); });
  NextHopObjects found;
  for (const NextHopObject& object : objects) {
    if (object.members.empty()) {
      found.emplace(object.id, object.hops);
    }
  }
  // A group of groups does not exist.
  for (const NextHopObject& group : objects) {
    for (const unsigned member : group.members) {
      const auto hops = found.find(member);
      if (hops != found.end()) {
        const std::vector<NextHop> added = hops->second;
        std::vector<NextHop>& all = found[group.id];
        all.insert(all.end(), added.begin(), added.end());
      }
    }
  }
  return found;
}

std::vector<std::byte> route_message(const RouteChange& change, unsigned char protocol) {
  const GatewayRoute& route = change.route;
  const net::Family family = route.destination.family();
  const bool removes = change.kind == RouteChange::Kind::kRemove;
  unsigned flags = NLM_F_ACK;
  if (!removes) {
    flags |= NLM_F_CREATE;
    flags |= change.kind == RouteChange::Kind::kReplace ? NLM_F_REPLACE : NLM_F_EXCL;
  }
  rtmsg fixed{};
  fixed.rtm_family = kernel_family(family);
  fixed.rtm_dst_len = static_cast<unsigned char>(route.destination.length());
  fixed.rtm_table = RT_TABLE_MAIN;
  fixed.rtm_protocol = protocol;
  // Of a route that is removed neither is compared.
  fixed.rtm_scope = removes ? RT_SCOPE_NOWHERE : RT_SCOPE_UNIVERSE;
  fixed.rtm_type = removes ? RTN_UNSPEC : RTN_UNICAST;
  std::vector<std::byte> message = message_of(removes ? RTM_DELROUTE : RTM_NEWROUTE, flags, fixed);
  put_attribute(message, RTA_DST, bytes_of(route.destination.first()));
  if (route.gateway && route.gateway->family() == family) {
    put_attribute(message, RTA_GATEWAY, bytes_of(*route.gateway));
  } else if (route.gateway) {
    const decltype(rtvia::rtvia_family) other = kernel_family(route.gateway->family());
    std::vector<std::byte> value;
    put(value, &other, sizeof other);
    const std::vector<std::byte> bytes = bytes_of(*route.gateway);
    value.insert(value.end(), bytes.begin(), bytes.end());
    put_attribute(message, RTA_VIA, value);
  }
  if (route.link.index != 0) {
    put_attribute(message, RTA_OIF, route.link.index);
  }
  if (route.metric != 0) {
    put_attribute(message, RTA_PRIORITY, route.metric);
  }
  return message;
}

}  // namespace podlease::host
