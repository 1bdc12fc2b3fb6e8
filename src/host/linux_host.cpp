#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "netlink.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/host.h"

namespace podlease::host {

namespace {

// One socket serves all questions of the process.
RouteSocket& kernel() {
  static RouteSocket socket;
  return socket;
}

// Empty if the interface is gone by now, or was none.
std::string interface_name(unsigned index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) == nullptr ? std::string() : name.data();
}

// Reports whether routes of that type are to a network or a host. One that throws is none: it sends
// the look-up on to the next table.
bool is_to_network(unsigned char type) {
  switch (type) {
    case RTN_UNICAST:
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
      return true;
    default:
      return false;
  }
}

// 224.0.0.0/4, ff00::/8 and what is in them: some kernels have these as unicast routes.
bool is_multicast(const net::Prefix& destination) {
  static const auto multicast = {net::Prefix::parse("224.0.0.0/4"), net::Prefix::parse("ff00::/8")};
  return std::any_of(multicast.begin(), multicast.end(), [&](const auto& all) {
    return destination.length() >= all->length() && all->contains(destination.address());
  });
}

// Whoever sets up interfaces (NetworkManager, systemd-networkd) may tell the kernel to make no
// route for an address and make it itself, under another name.
bool is_network_of(const InterfaceAddress& address, const HostRoute& route) {
  return address.address.length() == route.destination.length() &&
         address.address.first() == route.destination.first() &&
         route.next_hops.front().interface == address.interface;
}

HostRoute host_route(Route route, const NextHopObjects& objects,
                     const std::vector<InterfaceAddress>& addresses) {
  HostRoute found{.destination = route.destination,
                  .table = route.table,
                  .is_connected = false,
                  .next_hops = std::move(route.next_hops),
                  .source = route.source,
                  .metric = route.metric};
  const auto object = objects.find(route.nexthop_object);
  if (found.next_hops.empty() && object != objects.end()) {
    found.next_hops = object->second;
  }
  if (route.type != RTN_UNICAST || found.next_hops.empty()) {
    // One that refuses is on `lo` in IPv6.
    found.next_hops = {NextHop{}};
    return found;
  }
  const NextHop& hop = found.next_hops.front();
  if (found.next_hops.size() == 1 && !hop.gateway && hop.interface != 0) {
    found.is_connected =
        route.protocol == RTPROT_KERNEL ||
        std::any_of(addresses.begin(), addresses.end(),
                    [&](const InterfaceAddress& item) { return is_network_of(item, found); });
  }
  return found;
}

}  // namespace

const Interface* HostNetworks::find(std::string_view name) const {
  const auto found =
      std::find_if(interfaces.begin(), interfaces.end(), [&](const Interface& interface) {
        return interface.name == name ||
               std::find(interface.other_names.begin(), interface.other_names.end(), name) !=
                   interface.other_names.end();
      });
  return found == interfaces.end() ? nullptr : &*found;
}

const Interface* HostNetworks::find(unsigned index) const {
  const auto found = std::lower_bound(
      interfaces.begin(), interfaces.end(), index,
      [](const Interface& interface, unsigned wanted) { return interface.index < wanted; });
  return found == interfaces.end() || found->index != index ? nullptr : &*found;
}

std::string LinuxHost::boot_id() const {
  constexpr auto kPath = "/proc/sys/kernel/random/boot_id";
  const auto text = read_file(kPath, 256);
  if (!text) {
    throw Error(ErrorKind::kIo, std::string(kPath) + " does not exist: is /proc mounted?");
  }
  return std::string(trimmed(*text));
}

Names LinuxHost::names() const {
  const auto first_of = [](std::initializer_list<const char*> paths) {
    constexpr std::size_t kLongest = 4096;
    for (const char* const path : paths) {
      try {
        const std::optional<std::string> text = read_file(path, kLongest);
        if (text && !trimmed(*text).empty()) {
          return std::string(trimmed(*text));
        }
      } catch (const Error&) {
        // As good as absent.
      }
    }
    return std::string();
  };
  utsname uname_of_host{};
  return {.host_name = uname(&uname_of_host) == 0 ? uname_of_host.nodename : "",
          .machine_id = first_of({"/etc/machine-id", "/var/lib/dbus/machine-id"}),
          .system_uuid = first_of({"/sys/class/dmi/id/product_uuid"})};
}

std::chrono::sys_time<Milliseconds> LinuxHost::booted_at() const {
  const ClockReading now = SystemClock().now();
  return now.wall - now.since_boot;
}

std::optional<AddressHolder> LinuxHost::holder_of(net::Address address) const {
  const auto entry = kernel().host_entry(address);
  if (!entry) {
    return std::nullopt;
  }
  // The others are RTN_LOCAL, and RTN_BROADCAST and RTN_ANYCAST, which come with an interface's
  // addresses.
  return AddressHolder{.kind = entry->type == RTN_UNICAST ? AddressHolder::Kind::kRoute
                                                          : AddressHolder::Kind::kInterface,
                       .interface = interface_name(entry->interface)};
}

HostNetworks LinuxHost::networks() const {
  HostNetworks found;
  for (LinkEntry& link : kernel().links()) {
    found.interfaces.push_back(std::move(link.interface));
  }
  std::sort(found.interfaces.begin(), found.interfaces.end(),
            [](const Interface& a, const Interface& b) { return a.index < b.index; });
  std::vector<Route> routes;
  for (const auto family : {net::Family::kIpv4, net::Family::kIpv6}) {
    const std::vector<InterfaceAddress> addresses = kernel().addresses(family);
    found.addresses.insert(found.addresses.end(), addresses.begin(), addresses.end());
    for (Route& route : kernel().routes(family)) {
      if (is_to_network(route.type) && !is_multicast(route.destination)) {
        routes.push_back(std::move(route));
      }
    }
  }
  const bool needs_objects = std::any_of(routes.begin(), routes.end(), [](const Route& route) {
    return route.nexthop_object != 0 && route.next_hops.empty();
  });
  const NextHopObjects objects = needs_objects ? kernel().next_hop_objects() : NextHopObjects{};
  found.routes.reserve(routes.size());
  for (Route& route : routes) {
    found.routes.push_back(host_route(std::move(route), objects, found.addresses));
  }
  return found;
}

bool LinuxHost::is_reachable_neighbour(net::Address address, const std::string& interface) const {
  try {
    const unsigned index = interface.empty() ? 0 : if_nametoindex(interface.c_str());
    return (interface.empty() || index != 0) && kernel().is_reachable_neighbour(address, index);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace podlease::host
