// Interfaces, their addresses, and neighbours: what the kernel's messages about them say, and how
// it is asked for them.

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <string>
#include <utility>

#include "netlink.h"

namespace podlease::host {

namespace {

// What `ip -d link` shows behind the kind.
void read_link_info(Bytes info, Interface& interface) {
  Bytes data;
  for_each_attribute(info, [&](unsigned type, Bytes value) {
    if (type == IFLA_INFO_KIND) {
      interface.kind = text_in(value);
    } else if (type == IFLA_INFO_DATA) {
      data = value;
    }
  });
  for_each_attribute(data, [&](unsigned type, Bytes value) {
    if (interface.kind == "vrf" && type == IFLA_VRF_TABLE) {
      interface.vrf_table = take<unsigned>(value);
    } else if (interface.kind == "vlan" && type == IFLA_VLAN_ID) {
      interface.vlan = take<std::uint16_t>(value);
    }
  });
}

struct Neighbour {
  net::Address address;
  unsigned interface = 0;
  unsigned state = 0;  // NUD_REACHABLE, ...
};

std::optional<Neighbour> read_neighbour(unsigned message_type, Bytes body, net::Family family) {
  if (message_type != RTM_NEWNEIGH) {
    return std::nullopt;
  }
  const auto fixed = take<ndmsg>(body);
  if (fixed.ndm_family != kernel_family(family)) {
    return std::nullopt;
  }
  std::optional<net::Address> address;
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    if (type == NDA_DST) {
      address = address_in(value, family);
    }
  });
  if (!address) {
    return std::nullopt;
  }
  return Neighbour{.address = *address,
                   .interface = static_cast<unsigned>(fixed.ndm_ifindex),
                   .state = fixed.ndm_state};
}

// One entry, of kernels since 5.0.
std::vector<std::byte> neighbour_look_up(net::Address address, unsigned interface) {
  ndmsg fixed{};
  fixed.ndm_family = kernel_family(address.family());
  fixed.ndm_ifindex = static_cast<int>(interface);
  std::vector<std::byte> message = message_of(RTM_GETNEIGH, 0, fixed);
  put_attribute(message, NDA_DST, bytes_of(address));
  return message;
}

// All of an interface, or of every one (0). Kernels before 4.3 tell of every one in any case.
std::vector<std::byte> neighbour_dump(net::Family family, unsigned interface) {
  ndmsg fixed{};
  fixed.ndm_family = kernel_family(family);
  std::vector<std::byte> message = message_of(RTM_GETNEIGH, NLM_F_DUMP, fixed);
  if (interface != 0) {
    put_attribute(message, NDA_IFINDEX, interface);
  }
  return message;
}

}  // namespace

std::optional<LinkEntry> read_link(unsigned message_type, Bytes body) {
  if (message_type != RTM_NEWLINK) {
    return std::nullopt;
  }
  LinkEntry link;
  Interface& interface = link.interface;
  interface.index = static_cast<unsigned>(take<ifinfomsg>(body).ifi_index);
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    switch (type) {
      case IFLA_IFNAME:
        interface.name = text_in(value);
        break;
      case IFLA_MASTER:
        interface.master = take<unsigned>(value);
        break;
      case IFLA_LINK:
        interface.parent = take<unsigned>(value);
        break;
      case IFLA_LINK_NETNSID:
        link.parent_namespace = take<int>(value);
        break;
      case IFLA_PROP_LIST:
        for_each_attribute(value, [&](unsigned property, Bytes name) {
          if (property == IFLA_ALT_IFNAME) {
            interface.other_names.push_back(text_in(name));
          }
        });
        break;
      case IFLA_LINKINFO:
        read_link_info(value, interface);
        break;
      default:
        break;
    }
  });
  interface.peer_is_outside = link.parent_namespace.has_value();
  // Some kinds name themselves where there is nothing below them.
  if (interface.parent == interface.index && !interface.peer_is_outside) {
    interface.parent = 0;
  }
  return link;
}

std::optional<InterfaceAddress> read_address(unsigned message_type, Bytes body,
                                             net::Family family) {
  if (message_type != RTM_NEWADDR) {
    return std::nullopt;
  }
  const auto fixed = take<ifaddrmsg>(body);
  if (fixed.ifa_family != kernel_family(family)) {
    return std::nullopt;
  }
  std::optional<net::Address> local;
  std::optional<net::Address> address;
  for_each_attribute(body, [&](unsigned type, Bytes value) {
    if (type == IFA_LOCAL) {
      local = address_in(value, family);
    } else if (type == IFA_ADDRESS) {  // the peer's on a point-to-point link, else ours
      address = address_in(value, family);
    }
  });
  if (!local && !address) {
    return std::nullopt;
  }
  const auto prefix = net::Prefix::make(local ? *local : *address, fixed.ifa_prefixlen);
  if (!prefix) {
    throw malformed();
  }
  return InterfaceAddress{.address = *prefix, .interface = fixed.ifa_index};
}

std::vector<InterfaceAddress> RouteSocket::addresses(net::Family family) {
  ifaddrmsg fixed{};
  fixed.ifa_family = kernel_family(family);
  std::vector<InterfaceAddress> found;
  const auto visit = [&](unsigned type, Bytes body) {
    if (const auto address = read_address(type, body, family)) {
      found.push_back(*address);
    }
  };
  ask(message_of(RTM_GETADDR, NLM_F_DUMP, fixed), visit, [&] { found.clear(); });
  return found;
}

std::vector<LinkEntry> RouteSocket::links() {
  std::vector<std::byte> message = message_of(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  put_attribute(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::vector<LinkEntry> found;
  const auto visit = [&](unsigned type, Bytes body) {
    if (auto link = read_link(type, body)) {
      found.push_back(std::move(*link));
    }
  };
  ask(std::move(message), visit, [&] { found.clear(); });
  return found;
}

std::map<unsigned, std::string> RouteSocket::interface_names() {
  std::map<unsigned, std::string> names;
  for (LinkEntry& link : links()) {
    names.emplace(link.interface.index, std::move(link.interface.name));
  }
  return names;
}

std::optional<int> RouteSocket::id_of_namespace(int netns) {
  std::vector<std::byte> message = message_of(RTM_GETNSID, 0, rtgenmsg{});
  put_attribute(message, NETNSA_FD, static_cast<unsigned>(netns));
  std::optional<int> id;
  ask(std::move(message), [&](unsigned message_type, Bytes body) {
    if (message_type != RTM_NEWNSID) {
      return;
    }
    take_rest(body, sizeof(rtgenmsg), 0);  // with its padding
    for_each_attribute(body, [&](unsigned type, Bytes value) {
      if (type == NETNSA_NSID) {
        id = take<int>(value);
      }
    });
  });
  return id && *id >= 0 ? id : std::nullopt;
}

bool RouteSocket::is_reachable_neighbour(net::Address address, unsigned interface) {
  bool reachable = false;
  const auto visit = [&](unsigned type, Bytes body) {
    const auto neighbour = read_neighbour(type, body, address.family());
    if (neighbour && neighbour->address == address &&
        (interface == 0 || neighbour->interface == interface)) {
      reachable = reachable || (neighbour->state & NUD_REACHABLE) != 0;
    }
  };
  if (strict_ && interface != 0 &&
      ask(neighbour_look_up(address, interface), visit) != EOPNOTSUPP) {
    return reachable;
  }
  ask(neighbour_dump(address.family(), interface), visit, [&] { reachable = false; });
  return reachable;
}

}  // namespace podlease::host
