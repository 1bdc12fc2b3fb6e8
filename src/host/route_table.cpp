#include "podlease/host/route_table.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "netlink.h"
#include "podlease/base/error.h"

namespace podlease::host {
namespace {

// IPv4's default metric is 0; IPv6 makes this of it.
constexpr unsigned kDefaultMetricV6 = 1024;

bool has_default_metric(const GatewayRoute& route) {
  return route.metric == 0 ||
         (route.destination.family() == net::Family::kIpv6 && route.metric == kDefaultMetricV6);
}

bool is_as_wanted(const GatewayRoute& present, const GatewayRoute& wanted) {
  return has_default_metric(present) && present.gateway == wanted.gateway &&
         present.link.index == wanted.link.index;
}

const char* verb(RouteChange::Kind kind) {
  switch (kind) {
    case RouteChange::Kind::kAdd:
      return "add";
    case RouteChange::Kind::kReplace:
      return "replace";
    case RouteChange::Kind::kRemove:
      return "remove";
  }
  return "";
}

}  // namespace

std::string GatewayRoute::to_string() const {
  std::string text = destination.to_string();
  if (gateway) {
    const bool other_family = gateway->family() != destination.family();
    text += (other_family ? " via inet6 " : " via ") + gateway->to_string();
  }
  return link.name.empty() ? text : text + " dev " + link.name;
}

RouteChanges changes_to(const std::vector<GatewayRoute>& wanted,
                        const std::vector<PresentRoute>& present) {
  std::multimap<net::Prefix, const PresentRoute*> by_destination;
  for (const PresentRoute& route : present) {
    by_destination.emplace(route.route.destination, &route);
  }
  RouteChanges result;
  std::vector<RouteChange> removals;
  const auto remove = [&](const PresentRoute& route) {
    removals.push_back({.kind = RouteChange::Kind::kRemove, .route = route.route});
  };
  for (const GatewayRoute& route : wanted) {
    const auto [first, last] = by_destination.equal_range(route.destination);
    const bool foreign =
        std::any_of(first, last, [](const auto& entry) { return !entry.second->own; });
    // Of its own the kernel may have several, with other metrics; one is to stay.
    const PresentRoute* kept = nullptr;
    const PresentRoute* to_replace = nullptr;
    for (auto entry = first; entry != last; ++entry) {
      const PresentRoute* const candidate = entry->second;
      if (candidate->own && kept == nullptr && is_as_wanted(candidate->route, route)) {
        kept = candidate;
      } else if (candidate->own && has_default_metric(candidate->route)) {
        to_replace = candidate;
      }
    }
    if (foreign) {
      result.foreign.push_back(route);
    } else if (kept == nullptr) {
      result.changes.push_back(
          {.kind = to_replace != nullptr ? RouteChange::Kind::kReplace : RouteChange::Kind::kAdd,
           .route = route});
    }
    // What the kernel itself replaces must not be removed: by then it is the new one.
    const bool replaces = !foreign && kept == nullptr;
    for (auto entry = first; entry != last; ++entry) {
      const PresentRoute* const candidate = entry->second;
      if (candidate->own && candidate != kept && !(replaces && candidate == to_replace)) {
        remove(*candidate);
      }
    }
    by_destination.erase(first, last);
  }
  for (const auto& [destination, route] : by_destination) {
    if (route->own) {
      remove(*route);
    }
  }
  result.changes.insert(result.changes.end(), removals.begin(), removals.end());
  return result;
}

RouteTable::RouteTable() : socket_(std::make_unique<RouteSocket>()) {}

RouteTable::~RouteTable() = default;

std::vector<PresentRoute> RouteTable::routes() {
  const std::map<unsigned, std::string> names = socket_->interface_names();
  std::vector<PresentRoute> found;
  for (const net::Family family : {net::Family::kIpv4, net::Family::kIpv6}) {
    for (const Route& route : socket_->routes(family)) {
      if (route.table != RT_TABLE_MAIN) {
        continue;
      }
      const auto name = names.find(route.interface);
      found.push_back(
          {.route = {.destination = route.destination,
                     .gateway = route.gateway,
                     .link = {.index = route.interface,
                              .name = name == names.end() ? std::string() : name->second},
                     .metric = route.metric},
           .own = route.protocol == kRouteProtocol});
    }
  }
  return found;
}

std::optional<Link> RouteTable::link_to(net::Address address) {
  const std::optional<Route> path = socket_->path_to(address);
  if (!path || path->type != RTN_UNICAST || path->gateway || path->interface == kLoopbackIndex) {
    return std::nullopt;
  }
  const std::map<unsigned, std::string> names = socket_->interface_names();
  const auto name = names.find(path->interface);
  if (name == names.end()) {
    return std::nullopt;  // gone by now
  }
  return Link{.index = name->first, .name = name->second};
}

bool RouteTable::apply(const RouteChange& change) {
  const int error = socket_->change(change, kRouteProtocol);
  switch (change.kind) {
    case RouteChange::Kind::kAdd:
    case RouteChange::Kind::kReplace:
      if (error == EEXIST) {
        return false;
      }
      break;
    case RouteChange::Kind::kRemove:
      if (error == ESRCH || error == ENODEV) {
        return true;
      }
      break;
  }
  if (error != 0) {
    throw io_error(std::string(verb(change.kind)) + " route " + change.route.to_string(), error);
  }
  return true;
}

}  // namespace podlease::host
