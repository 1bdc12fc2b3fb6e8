// The host's interfaces, addresses, routes and neighbours, as the kernel tells of them.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host_lab.h"
#include "netlink.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "support.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using lab::address;
using lab::await;
using lab::await_addresses;
using lab::become_root_of_own_namespaces;
using lab::body_of;
using lab::has_kind;
using lab::in_child;
using lab::in_own_network;
using lab::Inhabitant;
using lab::ip;
using lab::kCable;
using lab::make_pod;
using lab::thrown_by;
using lab::with_own_mounts;
using support::TempFolder;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string name_of(const HostNetworks& networks, unsigned index) {
  if (index == 0) {
    return "none";
  }
  const Interface* const interface = networks.find(index);
  return interface == nullptr ? "unknown" : interface->name;
}

// "NAME KIND master MASTER parent PARENT", and what else is to be said.
std::string describe(const HostNetworks& networks, std::string_view name) {
  const Interface* const found = networks.find(name);
  if (found == nullptr) {
    return "none";
  }
  EXPECT_EQ(networks.find(found->index), found);
  std::string text = found->name + " " + (found->kind.empty() ? "-" : found->kind) + " master " +
                     name_of(networks, found->master) + " parent ";
  text += found->peer_is_outside ? "outside" : name_of(networks, found->parent);
  return found->vrf_table == 0 ? text : text + " table " + std::to_string(found->vrf_table);
}

// "DESTINATION [connected] [table N] via GATEWAY dev NAME, ..." of those in the table of the main
// plugin, or in another one, without link-local ones; sorted.
std::vector<std::string> routes_of(const HostNetworks& networks) {
  std::vector<std::string> lines;
  for (const HostRoute& route : networks.routes) {
    if (route.destination.address().is_link_local_v6()) {
      continue;
    }
    std::string line = route.destination.to_string();
    line += route.is_connected ? " connected" : "";
    line += route.table == RT_TABLE_MAIN ? "" : " table " + std::to_string(route.table);
    std::string separator = " ";
    for (const NextHop& hop : route.next_hops) {
      line += separator;
      line += hop.gateway ? "via " + hop.gateway->to_string() + " dev " : "dev ";
      line += name_of(networks, hop.interface);
      separator = ", ";
    }
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> addresses_of(const HostNetworks& networks) {
  std::vector<std::string> lines;
  for (const InterfaceAddress& item : networks.addresses) {
    if (!item.address.address().is_link_local_v6()) {
      lines.push_back(item.address.to_string() + " " + name_of(networks, item.interface));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

// --- interfaces ---

TEST(InterfacesTest, TellBridgesTheirPortsAndPairs) {
  in_own_network("link add br0 type bridge\nlink set up1 master br0\n", [] {
    const HostNetworks networks = LinuxHost().networks();
    EXPECT_EQ(describe(networks, "br0"), "br0 bridge master none parent none");
    EXPECT_EQ(describe(networks, "up0"), "up0 veth master none parent up1");
    EXPECT_EQ(describe(networks, "up1"), "up1 veth master br0 parent up0");
    EXPECT_EQ(describe(networks, "lo"), "lo - master none parent none");
    EXPECT_EQ(describe(networks, "none"), "none");
    EXPECT_EQ(networks.find(0U), nullptr);
    EXPECT_EQ(networks.find(9999U), nullptr);
    EXPECT_TRUE(
        std::is_sorted(networks.interfaces.begin(), networks.interfaces.end(),
                       [](const Interface& a, const Interface& b) { return a.index < b.index; }));
  });
}

// What a kernel without the module cannot make is tested by its message, below.
TEST(InterfacesTest, TellWhatIsBelowThem) {
  struct Case {
    const char* command;
    const char* expected;
  };
  const std::vector<Case> table = {
      {"link add link up0 name x type macvlan mode bridge", "x macvlan master none parent up0"},
      {"link add link up0 name x type ipvlan", "x ipvlan master none parent up0"},
      {"link add link up0 name x type vlan id 7", "x vlan master none parent up0"},
      {"link add x type dummy", "x dummy master none parent none"},
      {"link add x type bond", "x bond master none parent none"},
      {"link add x type vrf table 1234", "x vrf master none parent none table 1234"},
  };
  for (const Case& row : table) {
    in_own_network("", [&] {
      if (has_kind(row.command)) {
        EXPECT_EQ(describe(LinuxHost().networks(), "x"), row.expected);
      } else {
        std::cerr << "not tried, this kernel does not know the kind: " << row.command << "\n";
      }
    });
  }
}

TEST(InterfacesTest, KnowVlansOfABridgeAndPortsOfAVrf) {
  in_own_network("link add br0 type bridge\n", [] {
    if (has_kind("link add link br0 name br0.7 type vlan id 7")) {
      EXPECT_EQ(describe(LinuxHost().networks(), "br0.7"), "br0.7 vlan master none parent br0");
    } else {
      std::cerr << "not tried: this kernel has no vlans\n";
    }
    if (has_kind("link add red type vrf table 10") && has_kind("link set up0 master red")) {
      ip("link set red up\naddr add 10.5.0.1/24 dev up0\n");
      const HostNetworks networks = LinuxHost().networks();
      EXPECT_EQ(describe(networks, "up0"), "up0 veth master red parent up1");
      EXPECT_THAT(routes_of(networks), Contains("10.5.0.0/24 connected table 10 dev up0"));
    } else {
      std::cerr << "not tried: this kernel has no VRFs\n";
    }
  });
}

TEST(InterfacesTest, KnowThatAPeerIsInAnotherNamespace) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    ASSERT_NO_FATAL_FAILURE(ip(kCable));
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    ip("link add host0 type veth peer name eth0 netns " + pod.path.string() + "\n");
    const HostNetworks networks = LinuxHost().networks();
    EXPECT_EQ(describe(networks, "host0"), "host0 veth master none parent outside");
    EXPECT_NE(networks.find("host0")->parent, 0U);
    EXPECT_EQ(describe(networks, "up0"), "up0 veth master none parent up1");
  });
}

// One message as a kernel would send it: `attributes` behind an interface of that index.
LinkEntry link_of(int index, const std::vector<std::byte>& attributes) {
  ifinfomsg fixed{};
  fixed.ifi_index = index;
  std::vector<std::byte> body;
  put(body, &fixed, sizeof fixed);
  body.insert(body.end(), attributes.begin(), attributes.end());
  return read_link(RTM_NEWLINK, body).value();
}

void put_text(std::vector<std::byte>& message, unsigned short type, std::string_view text) {
  std::vector<std::byte> value;
  put(value, text.data(), text.size());
  value.push_back(std::byte{0});
  put_attribute(message, type, value);
}

TEST(LinkMessageTest, SaysWhatThisKernelMayNotKnow) {
  std::vector<std::byte> data;
  put_attribute(data, IFLA_VRF_TABLE, 1234U);
  std::vector<std::byte> info;
  put_text(info, IFLA_INFO_KIND, "vrf");
  put_attribute(info, IFLA_INFO_DATA | NLA_F_NESTED, data);
  std::vector<std::byte> vrf;
  put_text(vrf, IFLA_IFNAME, "red");
  put_attribute(vrf, IFLA_LINKINFO, info);
  EXPECT_EQ(link_of(7, vrf).interface,
            (Interface{.index = 7, .name = "red", .kind = "vrf", .vrf_table = 1234}));

  info.clear();
  put_text(info, IFLA_INFO_KIND, "vlan");
  data.clear();
  put_attribute(data, IFLA_VLAN_ID, std::uint16_t{7});  // the number of the table, in a VRF
  put_attribute(info, IFLA_INFO_DATA | NLA_F_NESTED, data);
  std::vector<std::byte> vlan;
  put_text(vlan, IFLA_IFNAME, "br0.7");
  put_attribute(vlan, IFLA_LINK, 3U);
  put_attribute(vlan, IFLA_MASTER, 7U);
  put_attribute(vlan, IFLA_LINKINFO, info);
  EXPECT_EQ(link_of(8, vlan).interface,
            (Interface{
                .index = 8, .name = "br0.7", .kind = "vlan", .master = 7, .parent = 3, .vlan = 7}));
  EXPECT_EQ(link_of(8, vlan).parent_namespace, std::nullopt);

  put_attribute(vlan, IFLA_LINK_NETNSID, 5U);
  EXPECT_TRUE(link_of(8, vlan).interface.peer_is_outside);
  EXPECT_EQ(link_of(8, vlan).parent_namespace, 5);
  EXPECT_EQ(link_of(3, vlan).interface.parent, 3U) << "by chance the same index over there";

  std::vector<std::byte> tunnel;
  put_attribute(tunnel, IFLA_LINK, 9U);
  EXPECT_EQ(link_of(9, tunnel).interface.parent, 0U) << "it names itself";
}

TEST(LinkMessageTest, IsRefusedWhereItIsCutShort) {
  ifinfomsg fixed{};
  fixed.ifi_index = 7;
  std::vector<std::byte> body;
  put(body, &fixed, sizeof fixed);
  put_text(body, IFLA_IFNAME, "eth0");
  put_attribute(body, IFLA_LINK, 3U);
  EXPECT_EQ(read_link(RTM_NEWADDR, body).has_value(), false);
  const std::size_t first = sizeof fixed;
  const std::size_t second = first + sizeof(rtattr) + 8;
  for (std::size_t size = 0; size < body.size(); ++size) {
    const Bytes part = std::span(body).first(size);
    // The padding behind a text's end may be missing.
    if (size == first || (size >= second - 3 && size <= second)) {
      EXPECT_TRUE(read_link(RTM_NEWLINK, part)) << size;
    } else {
      EXPECT_EQ(thrown_by([&] { (void)read_link(RTM_NEWLINK, part); }).kind, ErrorKind::kIo)
          << size;
    }
  }
}

// --- addresses ---

TEST(AddressesTest, AreThoseOfEveryInterfaceUpOrDown) {
  in_own_network(R"(addr add 10.0.0.1/24 dev up0
addr add 10.9.0.1 peer 10.9.0.2/30 dev up0
addr add 10.3.0.1/32 dev up1
addr add 10.3.0.1/32 dev lo
addr add fd00::1/64 dev up0 nodad
link add down0 type veth peer name down1
addr add 10.4.0.1/16 dev down0
)",
                 [] {
                   EXPECT_THAT(addresses_of(LinuxHost().networks()),
                               ElementsAre("10.0.0.1/24 up0", "10.3.0.1/32 lo", "10.3.0.1/32 up1",
                                           "10.4.0.1/16 down0", "10.9.0.1/30 up0", "127.0.0.1/8 lo",
                                           "::1/128 lo", "fd00::1/64 up0"));
                 });
}

// --- routes ---

TEST(RoutesTest, AreToNetworksAndHostsInAnyTable) {
  in_own_network(
      R"(addr add 10.0.0.1/24 broadcast + dev up0
addr add 10.9.0.1 peer 10.9.0.2 dev up0
addr add fd00::1/64 dev up0 nodad
route add default via 10.0.0.254
route add 10.8.0.0/16 via 10.0.0.2
route add 10.8.1.0/24 dev up0
route add 10.8.2.5/32 dev up0
route add 10.8.3.0/24 via inet6 fe80::9 dev up0
route add 0.0.0.0/1 dev up0
route add unreachable 10.7.0.0/24
route add blackhole 10.7.1.0/24
route add prohibit 10.7.2.0/24
route add throw 10.7.3.0/24
route add 10.6.0.0/24 via 10.0.0.3 table 1000
route add multicast 239.0.0.0/8 dev up0
route add default via fd00::9
route add unreachable fd07::/64
route add fd08::/64 via fe80::9 dev up0
)",
      [] {
        EXPECT_THAT(routes_of(LinuxHost().networks()),
                    ElementsAre("0.0.0.0/0 via 10.0.0.254 dev up0", "0.0.0.0/1 dev up0",
                                "10.0.0.0/24 connected dev up0",
                                "10.6.0.0/24 table 1000 via 10.0.0.3 dev up0",
                                "10.7.0.0/24 dev none", "10.7.1.0/24 dev none",
                                "10.7.2.0/24 dev none", "10.8.0.0/16 via 10.0.0.2 dev up0",
                                "10.8.1.0/24 dev up0", "10.8.2.5/32 dev up0",
                                "10.8.3.0/24 via fe80::9 dev up0", "10.9.0.2/32 connected dev up0",
                                "::/0 via fd00::9 dev up0", "fd00::/64 connected dev up0",
                                "fd07::/64 dev none", "fd08::/64 via fe80::9 dev up0"));
      });
}

// As NetworkManager and systemd-networkd do it.
TEST(RoutesTest, AreConnectedWhoeverMadeThemForAnAddress) {
  in_own_network(R"(addr add 10.0.0.1/24 dev up0 noprefixroute
route add 10.0.0.0/24 dev up0 proto dhcp
route add 10.0.0.0/25 dev up0 proto dhcp
route add 10.0.0.0/24 dev up1 proto static metric 50
route add 10.0.0.0/24 via inet6 fe80::9 dev up0 metric 60
addr add fd00::1/64 dev up0 nodad noprefixroute
route add fd00::/64 dev up0 proto ra
)",
                 [] {
                   EXPECT_THAT(routes_of(LinuxHost().networks()),
                               ElementsAre("10.0.0.0/24 connected dev up0", "10.0.0.0/24 dev up1",
                                           "10.0.0.0/24 via fe80::9 dev up0", "10.0.0.0/25 dev up0",
                                           "fd00::/64 connected dev up0"));
                 });
}

constexpr auto kTwoNetworks = R"(addr add 10.0.0.1/24 dev up0
addr add 10.1.0.1/24 dev up1
addr add fd00::1/64 dev up0 nodad
addr add fd01::1/64 dev up1 nodad
)";

TEST(RoutesTest, HaveEveryNextHop) {
  in_own_network(
      std::string(kTwoNetworks) + R"(route add default nexthop via 10.0.0.2 nexthop via 10.1.0.2
route add 10.9.0.0/24 nexthop via 10.0.0.2 weight 3 nexthop dev up1 nexthop via inet6 fd00::3 dev up0
-6 route add fd09::/64 nexthop via fd00::2 nexthop via fd01::2 nexthop via fe80::3 dev up1
)",
      [] {
        const auto routes = routes_of(LinuxHost().networks());
        EXPECT_THAT(routes, Contains("0.0.0.0/0 via 10.0.0.2 dev up0, via 10.1.0.2 dev up1"));
        EXPECT_THAT(routes,
                    Contains("10.9.0.0/24 via 10.0.0.2 dev up0, dev up1, via fd00::3 dev up0"));
        EXPECT_THAT(routes, Contains("fd09::/64 via fd00::2 dev up0, via fd01::2 dev up1, "
                                     "via fe80::3 dev up1"));
      });
}

TEST(RoutesTest, FollowNexthopObjects) {
  const auto commands = std::string(kTwoNetworks) + R"(nexthop add id 1 via 10.0.0.2 dev up0
nexthop add id 2 via 10.1.0.2 dev up1
nexthop add id 3 group 1/2,5
nexthop add id 4 dev up1
nexthop add id 5 blackhole
nexthop add id 6 via fd00::6 dev up0
nexthop add id 7 via fd01::7 dev up1
nexthop add id 8 group 6/7
route add 10.8.1.0/24 nhid 1
route add 10.8.3.0/24 nhid 3
route add 10.8.4.0/24 nhid 4
route add 10.8.5.0/24 nhid 5
route add 10.8.6.0/24 nhid 6
-6 route add fd08:6::/64 nhid 6
-6 route add fd08:8::/64 nhid 8
)";
  for (const auto* compatible : {"1", "0"}) {
    in_own_network("", [&] {
      if (!has_kind("nexthop list")) {
        std::cerr << "not tried: this kernel has no nexthop objects\n";
        return;
      }
      // A group with a blackhole among others is refused.
      std::string made = commands;
      made.replace(made.find("1/2,5"), 5, "1/2");
      ASSERT_NO_FATAL_FAILURE(ip(made));
      await_addresses(made);
      lab::put("/proc/sys/net/ipv4/nexthop_compat_mode", compatible);
      ASSERT_EQ(body_of("/proc/sys/net/ipv4/nexthop_compat_mode"), std::string(compatible) + "\n");
      const auto routes = routes_of(LinuxHost().networks());
      for (const auto* expected :
           {"10.8.1.0/24 via 10.0.0.2 dev up0",
            "10.8.3.0/24 via 10.0.0.2 dev up0, via 10.1.0.2 dev up1", "10.8.4.0/24 dev up1",
            "10.8.5.0/24 dev none", "10.8.6.0/24 via fd00::6 dev up0",
            "fd08:6::/64 via fd00::6 dev up0",
            "fd08:8::/64 via fd00::6 dev up0, via fd01::7 dev up1"}) {
        EXPECT_THAT(routes, Contains(expected)) << "nexthop_compat_mode " << compatible;
      }
    });
  }
}

// "via GATEWAY src ADDRESS metric N" of each default route, as the kernel has them.
std::vector<std::string> default_routes() {
  std::vector<std::string> lines;
  for (const HostRoute& route : LinuxHost().networks().routes) {
    if (route.destination.length() == 0) {
      const auto text = [](const std::optional<net::Address>& item) {
        return item ? item->to_string() : "none";
      };
      lines.push_back("via " + text(route.next_hops.front().gateway) + " src " +
                      text(route.source) + " metric " + std::to_string(route.metric));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(RoutesTest, SayWhichAddressTheyPreferAndHowMuchTheyCost) {
  in_own_network(std::string(kTwoNetworks) + R"(addr add 10.255.0.7/32 dev lo
addr add fdff::7/128 dev lo nodad
route add default via 10.0.0.2 metric 100
route add default via 10.1.0.2 metric 50 src 10.255.0.7
-6 route add default via fd00::2 src fdff::7
)",
                 [] {
                   EXPECT_THAT(default_routes(),
                               ElementsAre("via 10.0.0.2 src none metric 100",
                                           "via 10.1.0.2 src 10.255.0.7 metric 50",
                                           "via fd00::2 src fdff::7 metric 1024"));
                 });
}

TEST(RoutesTest, AreThoseOfIpv4WhereIpv6IsOff) {
  in_own_network("addr add 10.0.0.1/24 dev up0\n", [] {
    lab::put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    const HostNetworks networks = LinuxHost().networks();
    EXPECT_THAT(routes_of(networks), ElementsAre("10.0.0.0/24 connected dev up0"));
    EXPECT_THAT(addresses_of(networks), ElementsAre("10.0.0.1/24 up0", "127.0.0.1/8 lo"));
  });
}

TEST(RoutesTest, AreNoneInAnEmptyNetwork) {
  in_child([] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    const HostNetworks networks = LinuxHost().networks();
    EXPECT_THAT(routes_of(networks), IsEmpty());
    EXPECT_THAT(addresses_of(networks), IsEmpty());
    ASSERT_NE(networks.find("lo"), nullptr);
  });
}

TEST(RoutesTest, AreAllOfThousandsEachOnce) {
  constexpr int kRoutes = 3000;
  std::string commands = kTwoNetworks;
  for (int i = 0; i < kRoutes; ++i) {
    commands += "route add 10." + std::to_string(16 + i / 250) + "." + std::to_string(i % 250) +
                ".0/24 via 10.0.0.2\n";
  }
  in_own_network(commands, [] {
    std::vector<std::string> routes = routes_of(LinuxHost().networks());
    std::erase_if(routes, [](const std::string& line) {
      return line.find("via 10.0.0.2") == std::string::npos;
    });
    EXPECT_EQ(routes.size(), static_cast<std::size_t>(kRoutes));
    EXPECT_EQ(std::unique(routes.begin(), routes.end()), routes.end());
  });
}

TEST(RoutesTest, AreEachOnceWhileOthersComeAndGo) {
  std::string commands = kTwoNetworks;
  for (int i = 0; i < 500; ++i) {
    commands += "route add 10.16." + std::to_string(i / 250) + "." + std::to_string(i % 250) +
                "/32 via 10.0.0.2\n";
  }
  in_own_network(commands, [] {
    const Inhabitant churn([] {},
                           [] {
                             while (true) {
                               ip("addr add 10.7.0.1/24 dev up0\naddr del 10.7.0.1/24 dev up0\n");
                             }
                           });
    int whole = 0;
    for (int i = 0; i < 100; ++i) {
      try {
        std::vector<std::string> routes = routes_of(LinuxHost().networks());
        std::erase_if(routes, [](const std::string& line) {
          return line.find("via 10.0.0.2") == std::string::npos;
        });
        EXPECT_EQ(routes.size(), 500U);
        ++whole;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kIo);  // changed during each attempt
      }
    }
    EXPECT_GT(whole, 0);
  });
}

// --- neighbours ---

TEST(NeighbourTest, IsReachableInThatStateAndOnThatInterfaceOnly) {
  in_own_network(
      std::string(kTwoNetworks) +
          R"(neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev up0 nud reachable
neigh add 10.0.0.3 lladdr 02:00:00:00:00:03 dev up0 nud stale
neigh add 10.0.0.4 lladdr 02:00:00:00:00:04 dev up0 nud permanent
neigh add 10.0.0.5 dev up0 nud failed
neigh add 10.0.0.6 lladdr 02:00:00:00:00:06 dev up1 nud reachable
neigh add 10.0.0.6 lladdr 02:00:00:00:00:06 dev up0 nud stale
neigh add proxy 10.0.0.7 dev up0
neigh add fd00::2 lladdr 02:00:00:00:00:02 dev up0 nud reachable
neigh add fd00::3 lladdr 02:00:00:00:00:03 dev up0 nud stale
)",
      [] {
        struct Case {
          const char* address;
          const char* interface;
          bool reachable;
        };
        const std::vector<Case> table = {
            {"10.0.0.2", "up0", true},   {"10.0.0.2", "", true},     {"10.0.0.2", "up1", false},
            {"10.0.0.2", "none", false}, {"10.0.0.3", "up0", false}, {"10.0.0.3", "", false},
            {"10.0.0.4", "up0", false},  {"10.0.0.5", "up0", false}, {"10.0.0.6", "up1", true},
            {"10.0.0.6", "up0", false},  {"10.0.0.6", "", true},     {"10.0.0.7", "up0", false},
            {"10.0.0.8", "up0", false},  {"10.0.0.1", "up0", false}, {"fd00::2", "up0", true},
            {"fd00::2", "", true},       {"fd00::2", "up1", false},  {"fd00::3", "up0", false},
            {"fd00::9", "up0", false},   {"fd00::9", "", false},
        };
        for (const Case& row : table) {
          EXPECT_EQ(LinuxHost().is_reachable_neighbour(address(row.address), row.interface),
                    row.reachable)
              << row.address << " on " << row.interface;
          const unsigned index = if_nametoindex(row.interface);
          if (index != 0 || *row.interface == '\0') {
            RouteSocket old(RouteSocket::Kernel::kOld);
            EXPECT_EQ(old.is_reachable_neighbour(address(row.address), index), row.reachable)
                << row.address << " on " << row.interface << ", on an old kernel";
          }
        }
        const std::string too_long(40, 'x');
        EXPECT_FALSE(LinuxHost().is_reachable_neighbour(address("10.0.0.2"), too_long));
      });
}

// A namespace without a name or a process lives on in a descriptor, and answers.
TEST(NeighbourTest, IsReachableOnceItHasAnswered) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    ASSERT_NO_FATAL_FAILURE(ip(kCable));
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    ASSERT_NO_FATAL_FAILURE(ip("link add host0 type veth peer name eth0 netns " +
                               pod.path.string() +
                               "\naddr add 10.6.0.1/24 dev host0\nlink set host0 up\n"));
    {
      const UniqueFd home(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
      const UniqueFd inside(open(pod.path.c_str(), O_RDONLY | O_CLOEXEC));
      ASSERT_EQ(setns(inside.get(), CLONE_NEWNET), 0);
      ip("addr add 10.6.0.5/24 dev eth0\nlink set eth0 up\n");
      ASSERT_EQ(setns(home.get(), CLONE_NEWNET), 0);
    }
    EXPECT_FALSE(LinuxHost().is_reachable_neighbour(address("10.6.0.5"), "host0"));
    const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(0x0a060005);
    await("an answer", [&] {
      EXPECT_EQ(sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), 1);
      return LinuxHost().is_reachable_neighbour(address("10.6.0.5"), "host0");
    });
  });
}

}  // namespace
}  // namespace podlease::host
