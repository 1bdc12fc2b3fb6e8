// Nothing here is made up: folders are real ones, another process holds the lock, and the kernel is
// asked about interfaces and routes that `ip` has set up in a network namespace of the test's own.

#include "podlease/host/host.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "host_lab.h"
#include "netlink.h"
#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host_local.h"
#include "podlease/host/route_table.h"
#include "support.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using lab::address;
using lab::become_root_of_own_namespaces;
using lab::body_of;
using lab::in_child;
using lab::in_own_network;
using lab::Inhabitant;
using lab::ip;
using lab::kCable;
using lab::make_pod;
using lab::mount_empty;
using lab::name_own_namespace;
using lab::names_in;
using lab::put;
using lab::Thrown;
using lab::thrown_by;
using lab::with_own_mounts;
using support::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// "free", "interface NAME" or "route NAME".
std::string describe(const std::optional<AddressHolder>& holder) {
  if (!holder) {
    return "free";
  }
  return (holder->kind == AddressHolder::Kind::kInterface ? "interface " : "route ") +
         holder->interface;
}

std::string holder_of(std::string_view text) {
  return describe(LinuxHost().holder_of(address(text)));
}

// "type index" as the socket has it, or "free".
std::string entry_by(RouteSocket::Kernel kernel, std::string_view text) {
  const auto entry = RouteSocket(kernel).host_entry(address(text));
  return entry ? std::to_string(entry->type) + " " + std::to_string(entry->interface) : "free";
}

struct HolderCase {
  const char* address;
  const char* holder;
};

void expect_holders(const std::vector<HolderCase>& table) {
  for (const HolderCase& row : table) {
    EXPECT_EQ(holder_of(row.address), row.holder) << row.address;
    EXPECT_EQ(entry_by(RouteSocket::Kernel::kDetect, row.address),
              entry_by(RouteSocket::Kernel::kOld, row.address))
        << row.address << ": an old kernel would say otherwise";
  }
}

// --- route table ---

// Two networks of other machines: up0 and up2.
constexpr auto kNeighbours = R"(link add up2 type veth peer name up3
link set up2 up
link set up3 up
addr add 10.0.0.1/24 dev up0
addr add 10.7.0.1/24 dev up2
addr add fd00::1/64 dev up0 nodad
)";

struct Wish {
  const char* destination;
  const char* gateway;
};

std::vector<GatewayRoute> wanted(RouteTable& table, const std::vector<Wish>& wishes) {
  std::vector<GatewayRoute> routes;
  for (const Wish& wish : wishes) {
    const std::optional<Link> link = table.link_to(address(wish.gateway));
    EXPECT_TRUE(link) << wish.gateway;
    routes.push_back({.destination = net::Prefix::parse(wish.destination).value(),
                      .gateway = address(wish.gateway),
                      .link = link.value_or(Link{})});
  }
  return routes;
}

// What was changed, what could not be, and what belongs to others.
std::vector<std::string> make_so(RouteTable& table, const std::vector<Wish>& wishes) {
  const RouteChanges found = changes_to(wanted(table, wishes), table.routes());
  std::vector<std::string> lines;
  for (const GatewayRoute& route : found.foreign) {
    lines.push_back("foreign " + route.destination.to_string());
  }
  for (const RouteChange& change : found.changes) {
    const char* const word = change.kind == RouteChange::Kind::kAdd       ? "add "
                             : change.kind == RouteChange::Kind::kReplace ? "replace "
                                                                          : "remove ";
    lines.push_back((table.apply(change) ? word : "not ") + change.route.to_string());
  }
  return lines;
}

// All routes of one kind, by destination.
std::vector<std::string> present(RouteTable& table, bool own) {
  std::vector<std::string> lines;
  for (const PresentRoute& route : table.routes()) {
    if (route.own == own && route.route.destination.length() != 64 &&
        !route.route.destination.address().is_link_local_v6()) {
      lines.push_back(route.route.to_string());
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(RouteTableTest, ComesToHoldJustWhatIsWanted) {
  in_own_network(kNeighbours, [] {
    RouteTable table;
    const std::vector<Wish> first{{"172.20.0.0/25", "10.0.0.2"},
                                  {"172.20.1.0/26", "10.7.0.2"},
                                  {"172.20.2.0/26", "fd00::2"},
                                  {"fd00:10::/122", "fd00::2"}};
    const std::vector<std::string> lines{
        "172.20.0.0/25 via 10.0.0.2 dev up0", "172.20.1.0/26 via 10.7.0.2 dev up2",
        "172.20.2.0/26 via inet6 fd00::2 dev up0", "fd00:10::/122 via fd00::2 dev up0"};
    EXPECT_THAT(make_so(table, first), ElementsAre("add " + lines[0], "add " + lines[1],
                                                   "add " + lines[2], "add " + lines[3]));
    EXPECT_EQ(present(table, true), lines);
    EXPECT_THAT(make_so(table, first), IsEmpty()) << "a second time there is nothing to do";

    // Another gateway, another interface, another family, smaller ones for a larger one.
    EXPECT_THAT(make_so(table, {{"172.20.0.0/26", "10.0.0.2"},
                                {"172.20.0.64/26", "10.0.0.3"},
                                {"172.20.1.0/26", "10.0.0.2"},
                                {"172.20.2.0/26", "10.0.0.4"},
                                {"fd00:10::/122", "fd00::3"}}),
                ElementsAre("add 172.20.0.0/26 via 10.0.0.2 dev up0",
                            "add 172.20.0.64/26 via 10.0.0.3 dev up0",
                            "replace 172.20.1.0/26 via 10.0.0.2 dev up0",
                            "replace 172.20.2.0/26 via 10.0.0.4 dev up0",
                            "replace fd00:10::/122 via fd00::3 dev up0", "remove " + lines[0]));
    EXPECT_THAT(
        present(table, true),
        ElementsAre("172.20.0.0/26 via 10.0.0.2 dev up0", "172.20.0.64/26 via 10.0.0.3 dev up0",
                    "172.20.1.0/26 via 10.0.0.2 dev up0", "172.20.2.0/26 via 10.0.0.4 dev up0",
                    "fd00:10::/122 via fd00::3 dev up0"));
    make_so(table, first);
    EXPECT_EQ(present(table, true), lines);
    EXPECT_EQ(make_so(table, {}).size(), lines.size());
    EXPECT_THAT(present(table, true), IsEmpty());
  });
}

TEST(RouteTableTest, LeavesTheRoutesOfOthersAlone) {
  const std::string commands = std::string(kNeighbours) + R"(route add 172.20.0.0/26 via 10.0.0.9
route add 172.20.1.0/26 via 10.0.0.9 metric 50 proto 99
route add blackhole 172.20.2.0/26
route add 172.20.4.0/26 via 10.0.0.9 proto bird
route add 172.20.5.0/26 via 10.0.0.2 proto 112
route add 172.20.6.0/26 via 10.0.0.2 proto 112 table 7
route add fd00:10::/122 via fd00::9 metric 50
)";
  in_own_network(commands, [] {
    RouteTable table;
    const std::vector<std::string> others = present(table, false);
    EXPECT_THAT(
        make_so(table, {{"172.20.0.0/26", "10.0.0.2"},
                        {"172.20.1.0/26", "10.0.0.2"},
                        {"172.20.2.0/26", "10.0.0.2"},
                        {"172.20.3.0/26", "10.0.0.2"},
                        {"fd00:10::/122", "fd00::2"}}),
        ElementsAre("foreign 172.20.0.0/26", "foreign 172.20.1.0/26", "foreign 172.20.2.0/26",
                    "foreign fd00:10::/122", "add 172.20.3.0/26 via 10.0.0.2 dev up0",
                    "remove 172.20.5.0/26 via 10.0.0.2 dev up0"));
    EXPECT_EQ(present(table, false), others);
    EXPECT_EQ(make_so(table, {}).size(), 1U);
    EXPECT_EQ(present(table, false), others);
  });
}

TEST(RouteTableTest, IsNotFooledByWhatChangedSinceItWasRead) {
  const auto commands = std::string(kNeighbours) + "route add 172.20.0.0/26 via 10.0.0.9\n" +
                        "route add fd00:10::/122 via fd00::9\n";
  in_own_network(commands, [] {
    RouteTable table;
    const auto others = present(table, false);
    for (const GatewayRoute& route :
         wanted(table, {{"172.20.0.0/26", "10.0.0.9"}, {"fd00:10::/122", "fd00::9"}})) {
      // As if neither had been there: no route is added over one, and none of others is removed.
      EXPECT_FALSE(table.apply({.kind = RouteChange::Kind::kAdd, .route = route}));
      EXPECT_TRUE(table.apply({.kind = RouteChange::Kind::kRemove, .route = route}));
    }
    EXPECT_EQ(present(table, false), others);
  });
}

TEST(RouteTableTest, MendsWhatAnOperatorOrACrashLeft) {
  const std::string commands = std::string(kNeighbours) +
                               R"(route add 172.20.0.0/26 via 10.0.0.2 proto 112 metric 50
route add 172.20.1.0/26 via 10.0.0.2 proto 112
route add 172.20.1.0/26 via 10.0.0.3 proto 112 metric 50
route add unreachable 172.20.2.0/26 proto 112
route add 172.20.3.0/26 proto 112 nexthop via 10.0.0.2 nexthop via 10.0.0.3
-6 route add fd00:10::/122 proto 112 nexthop via fd00::2 nexthop via fd00::3
)";
  in_own_network(commands, [] {
    RouteTable table;
    const std::vector<Wish> wishes{{"172.20.0.0/26", "10.0.0.2"},
                                   {"172.20.1.0/26", "10.0.0.2"},
                                   {"172.20.2.0/26", "10.0.0.2"},
                                   {"172.20.3.0/26", "10.0.0.2"},
                                   {"fd00:10::/122", "fd00::2"}};
    make_so(table, wishes);
    EXPECT_THAT(make_so(table, wishes), IsEmpty());
    EXPECT_THAT(
        present(table, true),
        ElementsAre("172.20.0.0/26 via 10.0.0.2 dev up0", "172.20.1.0/26 via 10.0.0.2 dev up0",
                    "172.20.2.0/26 via 10.0.0.2 dev up0", "172.20.3.0/26 via 10.0.0.2 dev up0",
                    "fd00:10::/122 via fd00::2 dev up0"));
  });
}

TEST(RouteTableTest, KnowsWhoIsANeighbour) {
  in_own_network(std::string(kNeighbours) + "route add default via 10.0.0.254\n", [] {
    RouteTable table;
    EXPECT_EQ(table.link_to(address("10.0.0.2")).value_or(Link{}).name, "up0");
    EXPECT_EQ(table.link_to(address("10.7.0.2")).value_or(Link{}).name, "up2");
    EXPECT_EQ(table.link_to(address("fd00::2")).value_or(Link{}).name, "up0");
    EXPECT_FALSE(table.link_to(address("192.0.2.1"))) << "behind the gateway";
    EXPECT_FALSE(table.link_to(address("10.0.0.1"))) << "its own";
    EXPECT_FALSE(table.link_to(address("fd00::1"))) << "its own";
    EXPECT_FALSE(table.link_to(address("2001:db8::1"))) << "nowhere";
  });
}

// --- holder_of ---

TEST(HolderTest, TellsInterfacesAndHostRoutesFromWiderOnes) {
  const auto commands = R"(link add cni0 type bridge
link set cni0 up
link set up1 master cni0
addr add 10.1.0.1/16 broadcast + dev cni0
addr add 10.9.0.1 peer 10.9.0.2 dev up0
addr add 192.168.7.9/24 broadcast + dev up0
addr add fd01::1/64 dev cni0 nodad
addr add fd09::1 peer fd09::2 dev up0 nodad
route add 10.2.0.5/32 dev up0
route add 10.2.1.0/24 dev up0
route add 10.2.2.5/32 via 192.168.7.1
route add 10.2.3.5/32 nexthop via 192.168.7.1 nexthop via 192.168.7.2
route add 10.2.4.5/32 nexthop via 192.168.7.1 dev up0 weight 2
route add default via 192.168.7.1
route add unreachable 10.3.0.1/32
route add blackhole 10.3.0.2/32
route add prohibit 10.3.0.3/32
route add throw 10.3.0.4/32
route add blackhole 10.3.1.0/24
route add fd02::5/128 dev up0
route add fd02:1::/64 dev up0
route add fd02:2::5/128 via fd01::9
route add default via fd01::9
route add unreachable fd03::1/128
route add blackhole fd03::2/128
route add prohibit fd03::3/128
)";
  in_own_network(commands, [] {
    expect_holders({
        {"10.1.0.1", "interface cni0"},
        {"10.1.255.255", "interface cni0"},  // its broadcast address
        {"10.1.0.2", "free"},                // in its subnet
        {"10.9.0.1", "interface up0"},
        {"10.9.0.2", "route up0"},  // the peer of a point-to-point address
        {"192.168.7.9", "interface up0"},
        {"192.168.7.1", "free"},  // the gateway is another machine's: not the kernel's to say
        {"10.2.0.5", "route up0"},
        {"10.2.0.6", "free"},  // by the default route
        {"10.2.1.5", "free"},
        {"10.2.1.0", "free"},
        {"10.2.2.5", "route up0"},
        {"10.2.3.5", "route up0"},  // two next hops
        {"10.2.4.5", "route up0"},
        {"10.3.0.1", "free"},  // routes that refuse: nobody has it
        {"10.3.0.2", "free"},
        {"10.3.0.3", "free"},
        {"10.3.0.4", "free"},
        {"10.3.1.4", "free"},
        {"127.0.0.1", "interface lo"},
        {"127.0.0.5", "free"},  // local by the /8
        {"0.0.0.0", "free"},
        {"224.0.0.5", "free"},
        {"240.0.0.5", "free"},
        {"255.255.255.255", "free"},
        {"fd01::1", "interface cni0"},
        {"fd01::2", "free"},
        {"fd09::1", "interface up0"},
        {"fd09::2", "route up0"},
        {"fd02::5", "route up0"},
        {"fd02::6", "free"},
        {"fd02:1::5", "free"},
        {"fd02:2::5", "route cni0"},
        {"fd03::1", "free"},
        {"fd03::2", "free"},
        {"fd03::3", "free"},
        {"::1", "interface lo"},
        {"::", "free"},
        {"ff02::1", "free"},
        {"::ffff:10.1.0.1", "free"},
    });
  });
}

TEST(HolderTest, CountsTheAnycastAddressOfARouterAsTheInterfaces) {
  in_own_network("addr add fd01::1/64 dev up0 nodad\n", [] {
    put("/proc/sys/net/ipv6/conf/up0/forwarding", "1");
    expect_holders({{"fd01::", "interface up0"}, {"fd01::1", "interface up0"}});
  });
}

TEST(HolderTest, FollowsTheRulesToOtherTables) {
  const auto commands = R"(rule add to 10.4.0.0/16 lookup 100
route add 10.4.0.5/32 dev up0 table 100
-6 rule add to fd04::/16 lookup 100
route add fd04::5/128 dev up0 table 100
)";
  in_own_network(commands, [] {
    expect_holders({{"10.4.0.5", "route up0"},
                    {"10.4.0.6", "free"},
                    {"fd04::5", "route up0"},
                    {"fd04::6", "free"}});
  });
}

// The one way to tell that the fallback is at work: it does not know which tables the rules lead
// to.
TEST(HolderTest, ReadsEveryTableOnAnOldKernel) {
  in_own_network("route add 10.4.0.5/32 dev up0 table 100\n", [] {
    EXPECT_EQ(entry_by(RouteSocket::Kernel::kDetect, "10.4.0.5"), "free");
    EXPECT_NE(entry_by(RouteSocket::Kernel::kOld, "10.4.0.5"), "free");
  });
}

TEST(HolderTest, FindsNothingInAnEmptyNetwork) {
  in_child([] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    expect_holders({{"10.0.0.1", "free"}, {"127.0.0.1", "free"}, {"fd00::1", "free"}});
  });
}

TEST(HolderTest, FindsNothingWhereIpv6IsOff) {
  in_own_network("addr add 10.0.0.1/24 dev up0\n", [] {
    put("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    expect_holders({{"fd00::1", "free"}, {"::1", "free"}, {"10.0.0.1", "interface up0"}});
  });
}

TEST(HolderTest, FindsOneAmongThousandsOfRoutes) {
  constexpr int kRoutes = 2000;
  const auto pod = [](std::string_view start, int i) {
    std::ostringstream text;
    if (start == "10.") {
      text << start << 16 + i / 1000 << "." << i / 250 % 4 << "." << i % 250 + 1;
    } else {
      text << start << std::hex << i + 1;
    }
    return text.str();
  };
  std::string commands;
  for (int i = 0; i < kRoutes; ++i) {
    commands += "route add " + pod("10.", i) + "/32 dev up0\n";
    commands += "route add " + pod("fd10::", i) + "/128 dev up0\n";
  }
  in_own_network(commands, [&] {
    for (const int i : {0, 1, 777, kRoutes - 1}) {
      const std::string v4 = pod("10.", i);
      const std::string v6 = pod("fd10::", i);
      expect_holders({{v4.c_str(), "route up0"}, {v6.c_str(), "route up0"}});
    }
    expect_holders({{"10.16.0.251", "free"}, {"fd10::7d1", "free"}});
  });
}

TEST(HolderTest, StaysRightWhileRoutesComeAndGo) {
  in_own_network("addr add 10.0.0.1/24 dev up0\naddr add fd00::1/64 dev up0 nodad\n", [] {
    const pid_t churn = fork();
    ASSERT_GE(churn, 0);
    if (churn == 0) {
      while (true) {
        ip("route add 10.7.0.1/32 dev up0\nroute add fd07::1/128 dev up0\n"
           "route del 10.7.0.1/32 dev up0\nroute del fd07::1/128 dev up0\n");
      }
    }
    for (int i = 0; i < 300; ++i) {
      expect_holders({{"10.0.0.1", "interface up0"}, {"fd00::1", "interface up0"}});
    }
    kill(churn, SIGKILL);
    waitpid(churn, nullptr, 0);
  });
}

// --- boot_id and booted_at ---

TEST(LinuxHostTest, KnowsTheBootByAUuid) {
  const std::string id = LinuxHost().boot_id();
  EXPECT_EQ(id.size(), 36U) << id;
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef-"), std::string::npos) << id;
  EXPECT_EQ(id, LinuxHost().boot_id());
}

// --- named_namespaces and addresses_in ---

std::vector<std::string> named_namespaces(const std::vector<std::string>& beside = {}) {
  std::vector<std::string> paths;
  for (const NamedNetns& netns : LinuxHost().named_namespaces(beside)) {
    EXPECT_EQ(netns.id, LinuxHost().netns_at(netns.path).id);
    paths.push_back(netns.path.string());
  }
  return paths;
}

TEST(NamedNamespacesTest, AreThoseOfBothFoldersOrOfTheOneThereIs) {
  with_own_mounts(0, [] {
    ASSERT_NO_FATAL_FAILURE(mount_empty("/run"));
    ASSERT_NO_FATAL_FAILURE(mount_empty("/var"));
    EXPECT_THAT(named_namespaces(), IsEmpty()) << "no folder at all";
    fs::create_directory("/run/netns");
    ASSERT_NO_FATAL_FAILURE(name_own_namespace("/run/netns/b"));
    ASSERT_NO_FATAL_FAILURE(name_own_namespace("/run/netns/a"));
    EXPECT_THAT(named_namespaces(), ElementsAre("/run/netns/a", "/run/netns/b"));
    fs::create_symlink("../run", "/var/run");
    EXPECT_THAT(named_namespaces(), ElementsAre("/run/netns/a", "/run/netns/b"));
    fs::remove("/var/run");
    fs::create_directories("/var/run/netns");
    ASSERT_NO_FATAL_FAILURE(name_own_namespace("/var/run/netns/a"));
    EXPECT_THAT(named_namespaces(),
                ElementsAre("/run/netns/a", "/run/netns/b", "/var/run/netns/a"));
    ASSERT_NO_FATAL_FAILURE(mount_empty("/run"));
    EXPECT_THAT(named_namespaces(), ElementsAre("/var/run/netns/a"));
  });
}

TEST(NamedNamespacesTest, AreThoseBesideANameToo) {
  with_own_mounts(0, [] {
    ASSERT_NO_FATAL_FAILURE(mount_empty("/run"));
    for (const char* const name : {"/run/netns/a", "/run/docker/netns/b", "/run/other/c"}) {
      fs::create_directories(fs::path(name).parent_path());
      ASSERT_NO_FATAL_FAILURE(name_own_namespace(name));
    }
    fs::create_symlink("/run/docker", "/run/moby");
    EXPECT_THAT(named_namespaces({"/run/moby/netns/gone", "/run/docker/netns/b", "/run/netns/a"}),
                ElementsAre("/run/moby/netns/b", "/run/netns/a"));
    EXPECT_THAT(named_namespaces({"", "a", "/proc/self/ns/net", "/nowhere/a", "/run/netns/a/b"}),
                ElementsAre("/run/netns/a"));
    fs::permissions("/run/other", fs::perms::others_write, fs::perm_options::add);
    EXPECT_THAT(named_namespaces({"/run/other/c"}), ElementsAre("/run/netns/a"))
        << "anybody may name a namespace there";
  });
}

TEST(NamedNamespacesTest, AreNetworkNamespacesOnly) {
  with_own_mounts(0, [] {
    ASSERT_NO_FATAL_FAILURE(mount_empty("/run"));
    const fs::path folder = "/run/netns";
    fs::create_directories(folder / "folder");
    put(folder / "plain", "");
    put(folder / "uts", "");
    ASSERT_EQ(mount("/proc/self/ns/uts", (folder / "uts").c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
    fs::create_symlink("nowhere", folder / "dangling");
    fs::create_symlink("/dev/null", folder / "device");
    fs::create_symlink("/proc/self/ns/net", folder / "link");
    ASSERT_NO_FATAL_FAILURE(name_own_namespace(folder / "netns"));
    ASSERT_NO_FATAL_FAILURE(name_own_namespace(folder / "\xff odd\n"));
    EXPECT_THAT(named_namespaces(),
                ElementsAre("/run/netns/link", "/run/netns/netns", "/run/netns/\xff odd\n"));
  });
}

// "ADDRESS INTERFACE" of each, or "nothing".
std::vector<std::string> addresses_in(const NamedNetns& netns) {
  const NetnsId before = LinuxHost().netns_at("/proc/self/ns/net").id;
  const auto addresses = LinuxHost().addresses_in(netns);
  EXPECT_EQ(LinuxHost().netns_at("/proc/self/ns/net").id, before) << "it did not come back";
  std::vector<std::string> lines;
  if (!addresses) {
    lines.emplace_back("nothing");
    return lines;
  }
  for (const PodAddress& item : *addresses) {
    lines.push_back(item.address.to_string() + " " + item.interface);
  }
  return lines;
}

TEST(AddressesInTest, AreThoseOfItsInterfacesButTheLoopback) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    ASSERT_NO_FATAL_FAILURE(ip(std::string(kCable) + "addr add 10.0.0.1/24 dev up0\n"));
    const NamedNetns pod = make_pod(folder.path() / "pod", R"(link set up0 name eth0
addr add 10.1.0.5/16 dev eth0
addr add 10.2.0.5 peer 10.2.0.1/30 dev eth0
addr add 169.254.172.5/22 dev eth0
addr add fd01::5/64 dev eth0 nodad
addr add 10.255.0.7/32 dev lo
addr add fdff::7/128 dev lo nodad
addr add 10.3.0.5/24 dev up1 label up1:alias
link set up1 down
)");
    const auto expected = ElementsAre("10.1.0.5/16 eth0", "10.2.0.5/30 eth0", "10.3.0.5/24 up1",
                                      "169.254.172.5/22 eth0", "fd01::5/64 eth0");
    EXPECT_THAT(addresses_in(pod), expected);
    EXPECT_EQ(holder_of("10.0.0.1"), "interface up0");
    EXPECT_EQ(holder_of("10.1.0.5"), "free");
    EXPECT_THAT(addresses_in(pod), expected) << "after the host's own socket was opened";
    const NamedNetns own{.path = "/proc/self/ns/net",
                         .id = LinuxHost().netns_at("/proc/self/ns/net").id};
    EXPECT_THAT(addresses_in(own), ElementsAre("10.0.0.1/24 up0"));
    fs::create_symlink("pod", folder.path() / "link");
    EXPECT_THAT(addresses_in({.path = folder.path() / "link", .id = pod.id}), expected);
  });
}

TEST(AddressesInTest, AreNoneInAnEmptyNamespace) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    EXPECT_THAT(addresses_in(make_pod(folder.path() / "pod", "link del up0\n")), IsEmpty());
  });
}

TEST(AddressesInTest, AreAllOfThousands) {
  const TempFolder folder;
  std::string commands;
  std::vector<std::string> expected;
  for (int i = 0; i < 2000; ++i) {
    const std::string v4 = "10.5." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    commands += "addr add " + v4 + "/32 dev up0\n";
    expected.push_back(v4 + "/32 up0");
  }
  for (int i = 100; i < 300; ++i) {
    const std::string number = std::to_string(i);
    std::string made = "link add moreNN type veth peer name peerNN\nlink set peerNN up\n";
    made += "addr add fd05::1NN/128 dev moreNN nodad\nlink set moreNN up\n";
    std::string seen = "fd05::1NN/128 moreNN";
    for (std::string* const text : {&made, &seen}) {
      for (std::size_t at = 0; (at = text->find("NN", at)) != std::string::npos;) {
        text->replace(at, 2, number);
      }
    }
    commands += made;
    expected.push_back(seen);
  }
  with_own_mounts(0, [&] {
    EXPECT_THAT(addresses_in(make_pod(folder.path() / "pod", commands)),
                ::testing::ElementsAreArray(expected));
  });
}

TEST(AddressesInTest, IsEachOnceWhileOthersComeAndGo) {
  const TempFolder folder;
  std::string commands;
  for (int i = 1; i <= 200; ++i) {
    commands += "addr add 10.5.0." + std::to_string(i) + "/32 dev up1\n";
  }
  with_own_mounts(0, [&] {
    const NamedNetns pod = make_pod(folder.path() / "pod", commands);
    const pid_t churn = fork();
    ASSERT_GE(churn, 0);
    if (churn == 0) {
      const UniqueFd inside(open(pod.path.c_str(), O_RDONLY | O_CLOEXEC));
      while (setns(inside.get(), CLONE_NEWNET) == 0) {
        ip("addr add 10.7.0.1/24 dev up0\naddr del 10.7.0.1/24 dev up0\n");
      }
      _exit(1);
    }
    for (int i = 0; i < 300; ++i) {
      std::vector<std::string> found = addresses_in(pod);
      if (found == std::vector<std::string>{"nothing"}) {
        continue;  // not one whole view in all attempts
      }
      std::erase(found, "10.7.0.1/24 up0");
      EXPECT_EQ(found.size(), 200U);
    }
    kill(churn, SIGKILL);
    waitpid(churn, nullptr, 0);
  });
}

TEST(AddressesInTest, AreNothingOfWhatIsNotThatNamespace) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    const NamedNetns other = make_pod(folder.path() / "other", "");
    put(folder.path() / "plain", "");
    ASSERT_EQ(mkfifo((folder.path() / "fifo").c_str(), 0600), 0);
    const auto nothing = ElementsAre("nothing");
    EXPECT_THAT(addresses_in(pod), IsEmpty());
    EXPECT_THAT(addresses_in({.path = other.path, .id = pod.id}), nothing);
    EXPECT_THAT(addresses_in({.path = pod.path, .id = {}}), nothing);
    for (const auto* name : {"none", "plain", "fifo", "", "plain/none"}) {
      EXPECT_THAT(addresses_in({.path = folder.path() / name, .id = pod.id}), nothing) << name;
    }
    EXPECT_THAT(addresses_in({.path = "", .id = pod.id}), nothing);
    EXPECT_THAT(addresses_in({.path = "/proc/self/ns/mnt", .id = pod.id}), nothing);
    ASSERT_EQ(umount(pod.path.c_str()), 0);
    EXPECT_THAT(addresses_in(pod), nothing);
  });
}

TEST(AddressesInTest, AreNothingWhereItMayNotEnter) {
  in_child([] {
    const NamedNetns own{.path = "/proc/self/ns/net",
                         .id = LinuxHost().netns_at("/proc/self/ns/net").id};
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    EXPECT_THAT(addresses_in(own), ElementsAre("nothing"));
  });
}

TEST(AddressesInTest, AreNotLookedForWhereNoNamespaceIs) {
  const TempFolder folder;
  const fs::path plain = folder.path() / "plain";
  put(plain, "");
  const UniqueFd opened(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(opened.get(), plain.c_str(), IN_OPEN), 0);
  EXPECT_THAT(addresses_in({.path = plain, .id = {}}), ElementsAre("nothing"));
  std::array<char, 256> event{};
  EXPECT_EQ(read(opened.get(), event.data(), event.size()), -1) << "it was opened";
}

// In a user namespace one may enter what it owns, but not come back to where one was.
TEST(AddressesInTest, DoesNotGoWhereThereIsNoWayBack) {
  in_child([] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    // With this, also whoever is root already is the root of a user namespace.
    if (unshare(CLONE_NEWUSER) != 0) {
      std::cerr << "not tried: user namespaces are not allowed here\n";
      return;
    }
    const Inhabitant pod([] { ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno); });
    const fs::path path = pod.path() / "ns/net";
    const NetnsAt found = LinuxHost().netns_at(path);
    ASSERT_EQ(found.state, NetnsState::kAlive);
    EXPECT_THAT(addresses_in({.path = path, .id = found.id}), ElementsAre("nothing"));
    const UniqueFd inside(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(setns(inside.get(), CLONE_NEWNET), 0) << "then this test shows nothing";
  });
}

TEST(LinuxHostTest, KnowsWhenTheBootWasAsTheKernelDoes) {
  const std::string kernel = body_of("/proc/stat");
  const std::string_view label = "\nbtime ";
  const std::size_t at = kernel.find(label);
  ASSERT_NE(at, std::string::npos);
  const long long expected = std::stoll(kernel.substr(at + label.size()));
  const long long found =
      std::chrono::floor<std::chrono::seconds>(LinuxHost().booted_at()).time_since_epoch().count();
  // The two clocks are read one after the other and rounded.
  EXPECT_LE(std::abs(found - expected), 2);
}

// --- host-local's folder ---

// "ADDRESS ID IFNAME", where `-` is an interface name that is not there.
std::vector<std::string> describe(const HostLocalState& state) {
  std::vector<std::string> lines;
  for (const auto& entry : state.entries) {
    lines.push_back(entry.address.to_string() + " " + entry.container_id + " " +
                    entry.ifname.value_or("-"));
  }
  for (const auto& cursor : state.cursors) {
    lines.push_back("cursor " + std::to_string(cursor.range_set) + " " +
                    cursor.last_reserved.to_string());
  }
  return lines;
}

TEST(HostLocalReadTest, UnderstandsEveryFormOfAnEntry) {
  struct Case {
    std::string_view name;
    std::string_view body;
    const char* entry;  // empty: passed over
  };
  const std::vector<Case> table = {
      {"10.1.0.2", "c1\r\neth0", "10.1.0.2 c1 eth0"},
      {"10.1.0.2", "c1\r\neth0\r\n", "10.1.0.2 c1 eth0"},
      {"10.1.0.2", "c1\neth0\n", "10.1.0.2 c1 eth0"},
      {"10.1.0.2", " c1 \r\n eth0 ", "10.1.0.2 c1 eth0"},
      {"10.1.0.2", "c1", "10.1.0.2 c1 -"},
      {"10.1.0.2", "c1\n", "10.1.0.2 c1 -"},
      {"10.1.0.2", "c1\r\n", "10.1.0.2 c1 -"},
      {"10.1.0.2", "", "10.1.0.2  -"},
      {"10.1.0.2", "\r\n", "10.1.0.2  -"},
      {"fd00::2", "c1\r\neth0", "fd00::2 c1 eth0"},
      {"FD00:0::2", "c1\r\neth0", "fd00::2 c1 eth0"},
      {"::ffff:10.1.0.2", "c1\r\neth0", "10.1.0.2 c1 eth0"},
      {"::ffff:a01:2", "c1\r\neth0", "10.1.0.2 c1 eth0"},
      {"10.1.0.02", "c1\r\neth0", ""},
      {"10.1.0.2.tmp", "c1\r\neth0", ""},
      {"fe80::1%eth0", "c1\r\neth0", ""},
      {"10.1.0.0-24", "c1\r\neth0", ""},
      {"lock", "", ""},
      {"notes", "c1\r\neth0", ""},
  };
  for (const Case& row : table) {
    const TempFolder folder;
    put(folder.path() / row.name, row.body);
    const auto state = describe(HostLocalFolder(folder.path()).read());
    const std::string found = state.empty() ? "" : state.front();
    EXPECT_EQ(found, row.entry) << row.name << ": " << testing::PrintToString(row.body);
  }
}

TEST(HostLocalReadTest, UnderstandsEveryFormOfACursor) {
  struct Case {
    std::string_view name;
    std::string_view body;
    const char* cursor;  // empty: none
  };
  const std::vector<Case> table = {
      {"last_reserved_ip.0", "10.1.0.7", "cursor 0 10.1.0.7"},
      {"last_reserved_ip.12", "fd00::7", "cursor 12 fd00::7"},
      {"last_reserved_ip", "10.1.0.7", "cursor 0 10.1.0.7"},
      {"last_reserved_ip.1", " 10.1.0.7\r\n", "cursor 1 10.1.0.7"},
      {"last_reserved_ip.1", "::ffff:10.1.0.7", "cursor 1 10.1.0.7"},
      {"last_reserved_ip.1", "", ""},
      {"last_reserved_ip.1", "10.1.0", ""},
      {"last_reserved_ip.", "10.1.0.7", ""},
      {"last_reserved_ip.-1", "10.1.0.7", ""},
      {"last_reserved_ip.99999999999", "10.1.0.7", ""},
      {"last_reserved_ip.W3sicmFuZ2VTdGFydCI6", "10.1.0.7", ""},
      {"last_reserved_ip_0", "10.1.0.7", ""},
  };
  for (const Case& row : table) {
    const TempFolder folder;
    put(folder.path() / row.name, row.body);
    const auto state = describe(HostLocalFolder(folder.path()).read());
    const std::string found = state.empty() ? "" : state.front();
    EXPECT_EQ(found, row.cursor) << row.name << ": " << testing::PrintToString(row.body);
  }
}

TEST(HostLocalReadTest, SortsByAddressAndRangeSet) {
  const TempFolder folder;
  put(folder.path() / "fd00::2", "c4");
  put(folder.path() / "10.1.0.10", "c3");
  put(folder.path() / "10.1.0.9", "c2");
  put(folder.path() / "last_reserved_ip.10", "10.3.0.1");
  put(folder.path() / "last_reserved_ip.2", "10.2.0.1");
  put(folder.path() / "last_reserved_ip.0", "10.1.0.10");
  put(folder.path() / "last_reserved_ip", "10.1.0.3");
  fs::create_directory(folder.path() / "10.1.0.11");
  EXPECT_THAT(describe(HostLocalFolder(folder.path()).read()),
              ElementsAre("10.1.0.9 c2 -", "10.1.0.10 c3 -", "fd00::2 c4 -", "cursor 0 10.1.0.10",
                          "cursor 2 10.2.0.1", "cursor 10 10.3.0.1"));
}

TEST(HostLocalReadTest, PrefersTheSpellingOfTodayInWhateverOrderTheFolderHasThem) {
  const TempFolder folder;
  for (int i = 1; i <= 20; ++i) {
    const std::string name = "10.1.0." + std::to_string(i);
    put(folder.path() / name, "today");
    put(folder.path() / ("::ffff:" + name), "old");
  }
  const HostLocalState state = HostLocalFolder(folder.path()).read();
  EXPECT_EQ(state.entries.size(), 20U);
  for (const HostLocalEntry& entry : state.entries) {
    EXPECT_EQ(entry.container_id, "today") << entry.address.to_string();
  }
}

TEST(HostLocalReadTest, KnowsWhenAFileWasWritten) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  const fs::path path = folder.path() / "10.1.0.2";
  EXPECT_EQ(host_local.written_at(address("10.1.0.2")), std::nullopt);
  EXPECT_EQ(HostLocalFolder(folder.path() / "none").written_at(address("10.1.0.2")), std::nullopt);
  put(path, "c1\r\neth0");
  put(folder.path() / "fd00::2", "c1\r\neth0");
  for (const time_t seconds : {0L, 1L, 1'700'000'000L, 4'000'000'000L}) {
    const timespec time{.tv_sec = seconds, .tv_nsec = 123'999'999};
    const std::array<timespec, 2> times{timespec{.tv_sec = 5, .tv_nsec = 0}, time};
    for (const auto* name : {"10.1.0.2", "fd00::2"}) {
      ASSERT_EQ(utimensat(AT_FDCWD, (folder.path() / name).c_str(), times.data(), 0), 0);
      const auto written = host_local.written_at(address(name));
      ASSERT_TRUE(written) << name;
      EXPECT_EQ(written->time_since_epoch(), std::chrono::seconds(seconds) + Milliseconds(123));
    }
  }
  EXPECT_EQ(host_local.written_at(address("10.1.0.3")), std::nullopt);
  fs::permissions(folder.path(), fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    const Thrown thrown = thrown_by([&] { (void)host_local.written_at(address("10.1.0.2")); });
    EXPECT_EQ(thrown.kind, ErrorKind::kIo);
    EXPECT_THAT(thrown.message, HasSubstr(path.string()));
  });
}

TEST(HostLocalReadTest, RefusesToPassAPartForTheWhole) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  const fs::path entry = folder.path() / "10.1.0.2";

  put(entry, std::string(5000, 'x'));
  const Thrown thrown = thrown_by([&] { (void)host_local.read(); });
  EXPECT_EQ(thrown.kind, ErrorKind::kDecode);
  EXPECT_EQ(thrown.message, entry.string() + " is larger than 4096 bytes");

  const HostLocalFolder none(folder.path() / "none");
  EXPECT_EQ(thrown_by([&] { (void)none.read(); }).kind, ErrorKind::kIo);
}

TEST(HostLocalReadTest, RefusesAFileItMayNotRead) {
  const TempFolder folder;
  put(folder.path() / "10.1.0.2", "c1");
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(folder.path() / "10.1.0.2", fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    const HostLocalFolder host_local(folder.path());
    EXPECT_EQ(thrown_by([&] { (void)host_local.read(); }).kind, ErrorKind::kIo);
  });
}

HostLocalState sample_state() {
  return {.entries = {{address("10.1.0.2"), "c1", "eth0"},
                      {address("10.1.0.3"), "c2", std::nullopt},
                      {address("10.1.0.4"), "", std::nullopt},
                      {address("fd00::2"), "c1", "eth0"}},
          .cursors = {{0, address("10.1.0.4")}, {1, address("fd00::2")}}};
}

TEST(HostLocalWriteTest, WritesByteForByteWhatHostLocalDoes) {
  const TempFolder folder;
  const fs::path path = folder.path() / "networks/cbr0";  // not there yet
  HostLocalFolder(path).write(sample_state());
  EXPECT_THAT(names_in(path), ElementsAre("10.1.0.2", "10.1.0.3", "10.1.0.4", "fd00::2",
                                          "last_reserved_ip.0", "last_reserved_ip.1"));
  EXPECT_EQ(body_of(path / "10.1.0.2"), "c1\r\neth0");
  EXPECT_EQ(body_of(path / "10.1.0.3"), "c2");
  EXPECT_EQ(body_of(path / "10.1.0.4"), "");
  EXPECT_EQ(body_of(path / "fd00::2"), "c1\r\neth0");
  EXPECT_EQ(body_of(path / "last_reserved_ip.0"), "10.1.0.4");
  EXPECT_EQ(body_of(path / "last_reserved_ip.1"), "fd00::2");
  EXPECT_EQ(fs::status(path / "10.1.0.2").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms(0755));
  EXPECT_EQ(fs::status(path.parent_path()).permissions(), fs::perms(0755));
}

TEST(HostLocalWriteTest, LeavesNothingElseAboutAddresses) {
  const TempFolder folder;
  for (const auto* name :
       {"10.1.0.2", "10.1.0.99", "::ffff:10.1.0.2", "FD00::2", "last_reserved_ip",
        "last_reserved_ip.7", ".podlease-new", "lock", "notes", "last_reserved_ip.W3sicmFuZ2U"}) {
    put(folder.path() / name, "longer than any entry that is written below");
  }
  fs::create_directory(folder.path() / "backup");
  const HostLocalFolder host_local(folder.path());
  host_local.write(sample_state());
  EXPECT_THAT(
      names_in(folder.path()),
      ElementsAre("10.1.0.2", "10.1.0.3", "10.1.0.4", "backup", "fd00::2", "last_reserved_ip.0",
                  "last_reserved_ip.1", "last_reserved_ip.W3sicmFuZ2U", "lock", "notes"));
  EXPECT_EQ(host_local.read(), sample_state());
  put(folder.path() / ".podlease-new", "left over");
  host_local.write({});
  EXPECT_THAT(names_in(folder.path()),
              ElementsAre("backup", "last_reserved_ip.W3sicmFuZ2U", "lock", "notes"));
  EXPECT_EQ(host_local.read(), HostLocalState{});
}

TEST(HostLocalWriteTest, PreparesWhatHostLocalWouldAndNoMore) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path() / "networks/cbr0");
  EXPECT_EQ(host_local.lock_file(), std::nullopt);
  host_local.prepare();
  EXPECT_THAT(names_in(host_local.path()), ElementsAre("lock"));
  const auto lock_file = host_local.lock_file();
  ASSERT_TRUE(lock_file);
  put(host_local.path() / "10.1.0.2", "c1");
  host_local.prepare();
  EXPECT_THAT(names_in(host_local.path()), ElementsAre("10.1.0.2", "lock"));
  EXPECT_EQ(host_local.lock_file(), lock_file);
}

TEST(HostLocalWriteTest, RemovesTheFileOfOneAddress) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  host_local.write(sample_state());
  const std::vector<HostLocalEntry> before = host_local.read().entries;
  host_local.remove(before.front().address);
  host_local.remove(before.front().address);
  EXPECT_EQ(host_local.read().entries,
            std::vector<HostLocalEntry>(before.begin() + 1, before.end()));
}

TEST(HostLocalLockTest, KnowsALockFileThatWasMadeAnew) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  host_local.prepare();
  const auto first = host_local.lock_file();
  SystemClock().sleep(Milliseconds(20));  // a tick of the file system's clock
  { const UniqueFd held = host_local.lock(Milliseconds(20)); }
  EXPECT_EQ(host_local.lock_file(), first);
  fs::remove(folder.path() / "lock");
  host_local.prepare();
  EXPECT_TRUE(host_local.lock_file());
  EXPECT_NE(host_local.lock_file(), first);
}

TEST(HostLocalWriteTest, NamesThePathThatFails) {
  const TempFolder folder;
  put(folder.path() / "plain", "");
  fs::create_directory(folder.path() / "full");
  fs::create_directory(folder.path() / "full/10.1.0.2");
  for (const auto* name : {"plain", "plain/cbr0", "full"}) {
    const HostLocalFolder host_local(folder.path() / name);
    const Thrown thrown = thrown_by([&] { host_local.write(sample_state()); });
    EXPECT_EQ(thrown.kind, ErrorKind::kIo) << name;
    EXPECT_THAT(thrown.message, HasSubstr((folder.path() / name).string()));
  }
}

// Another process that holds the flock of `path`, from when it is made until it is killed.
class ForeignLock {
 public:
  explicit ForeignLock(const fs::path& path) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) {
      throw io_error("pipe", errno);
    }
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    pid_ = fork();
    if (pid_ == 0) {
      const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (flock(fd, LOCK_EX) == 0 && write(writer.get(), "x", 1) == 1) {
        pause();
      }
      _exit(1);
    }
    writer.reset();
    char byte = 0;
    if (read(reader.get(), &byte, 1) != 1) {
      throw Error(ErrorKind::kOther, "the other process could not lock " + path.string());
    }
  }
  ForeignLock(const ForeignLock&) = delete;
  ForeignLock& operator=(const ForeignLock&) = delete;
  ~ForeignLock() { end(); }

  void end() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

 private:
  pid_t pid_ = -1;
};

TEST(HostLocalLockTest, IsBusyOnlyWhileAnotherProcessHoldsIt) {
  for (const bool with_file : {true, false}) {
    const TempFolder folder;
    const fs::path locked = with_file ? folder.path() / "lock" : folder.path();
    if (with_file) {
      put(locked, "");
    }
    const HostLocalFolder host_local(folder.path());
    ForeignLock other(locked);
    const auto start = std::chrono::steady_clock::now();
    const Thrown thrown = thrown_by([&] { (void)host_local.lock(Milliseconds(100)); });
    const auto waited = std::chrono::steady_clock::now() - start;
    EXPECT_EQ(thrown.kind, ErrorKind::kBusy) << locked;
    EXPECT_THAT(thrown.message, HasSubstr(locked.string()));
    EXPECT_GE(waited, Milliseconds(100)) << locked;
    EXPECT_LT(waited, std::chrono::seconds(10)) << locked;
    other.end();
    EXPECT_TRUE(host_local.lock(Milliseconds(100))) << locked;
    EXPECT_EQ(fs::exists(folder.path() / "lock"), with_file) << "a lock file came from nowhere";
  }
}

TEST(HostLocalLockTest, LastsAsLongAsItsDescriptor) {
  const TempFolder folder;
  put(folder.path() / "lock", "");
  const HostLocalFolder host_local(folder.path());
  UniqueFd held = host_local.lock(Milliseconds(100));
  EXPECT_EQ(thrown_by([&] { (void)host_local.lock(Milliseconds(20)); }).kind, ErrorKind::kBusy);
  held.reset();
  EXPECT_TRUE(host_local.lock(Milliseconds(20)));
}

TEST(HostLocalLockTest, NeedsAFolderAndMakesNone) {
  const TempFolder folder;
  const HostLocalFolder none(folder.path() / "none");
  EXPECT_EQ(thrown_by([&] { (void)none.lock(Milliseconds(20)); }).kind, ErrorKind::kIo);
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(HostLocalStampTest, ChangesWithEachFileThatComesOrGoes) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path() / "cbr0");
  EXPECT_EQ(host_local.stamp(), std::nullopt);
  fs::create_directory(host_local.path());
  std::vector<std::string> stamps{host_local.stamp().value()};
  const auto expect_change = [&](std::string_view after) {
    const std::string stamp = host_local.stamp().value();
    EXPECT_NE(stamp, stamps.back()) << after;
    stamps.push_back(stamp);
  };
  // Two changes within one tick of the file system's clock look the same.
  const auto next_tick = [] { SystemClock().sleep(Milliseconds(20)); };
  next_tick();
  put(host_local.path() / "10.1.0.2", "c1");
  expect_change("a new file");
  EXPECT_EQ(host_local.stamp(), stamps.back());
  next_tick();
  fs::remove(host_local.path() / "10.1.0.2");
  expect_change("a removed file");
  next_tick();
  const auto time = fs::last_write_time(host_local.path());
  put(host_local.path() / "10.1.0.3", "c1");
  fs::last_write_time(host_local.path(), time);
  expect_change("a new file, and the time set back as by a restored backup");
  fs::remove_all(host_local.path());
  fs::create_directory(host_local.path());
  expect_change("another folder of that name");
}

TEST(HostLocalStampTest, IsSettledTwoSecondsAfterTheLastChange) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  const auto after = [](Milliseconds time) {
    ClockReading instant = SystemClock().now();
    instant.wall += time;
    return instant;
  };
  EXPECT_FALSE(host_local.settled(after(Milliseconds(0))));
  EXPECT_TRUE(host_local.settled(after(Milliseconds(2001))));
  EXPECT_FALSE(host_local.settled(after(-std::chrono::hours(1)))) << "the clock was set back";
  EXPECT_FALSE(HostLocalFolder(folder.path() / "none").settled(after(Milliseconds(5000))));
}

// --- libcni's result cache ---

// What cnitool 1.3 and containerd 2.4 left, with a short configuration.
constexpr std::string_view kCachedByContainerd =
    R"({"kind":"cniCacheV1","containerId":"62feb1","config":"e30=","ifName":"eth0",)"
    R"("networkName":"lab","netns":"/var/run/netns/cni-44ffda7a",)"
    R"("cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-0"],)"
    R"(["K8S_POD_INFRA_CONTAINER_ID","62feb1"],["K8S_POD_UID","uid-web-0"],["IgnoreUnknown","1"]],)"
    R"("capabilityArgs":{"cgroupPath":"/pods/1","io.kubernetes.cri.pod-annotations":null},)"
    R"("result":{"cniVersion":"1.1.0","interfaces":[{"mac":"36:9a:f5:4b:d2:ed","name":"br-lab"},)"
    R"({"mac":"86:d0:75:97:b6:1c","name":"eth0","sandbox":"/var/run/netns/cni-44ffda7a"}],)"
    R"("ips":[{"address":"10.90.0.2/24","gateway":"10.90.0.1","interface":1},)"
    R"({"address":"fd00:90::2/64","gateway":"fd00:90::1","interface":1}],)"
    R"("routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}]}})";

// A file of libcni's that says no more than it must, with this result.
std::string cached(std::string_view result) {
  return R"({"kind":"cniCacheV1","containerId":"c1","config":"e30=","ifName":"eth0",)"
         R"("networkName":"lab","result":)" +
         std::string(result) + "}";
}

// "NETWORK ID IFNAME NETNS NAMESPACE/NAME/UID ADDRESS...", or "skipped: WHY".
std::vector<std::string> describe(const CniCache& cache) {
  std::vector<std::string> lines;
  for (const CachedAttachment& item : cache.attachments) {
    std::string line = item.key.network + " " + item.key.container_id + " " + item.key.ifname +
                       " " + item.netns + " " + item.pod_namespace + "/" + item.pod_name + "/" +
                       item.pod_uid;
    for (const net::Prefix& address : item.addresses) {
      line += " " + address.to_string();
    }
    lines.push_back(line);
  }
  for (const SkippedFile& file : cache.skipped) {
    lines.push_back("skipped: " + file.why);
  }
  return lines;
}

// What a cache of this one file holds.
std::string cache_of(std::string_view body) {
  const TempFolder folder;
  put(folder.path() / "lab-c1-eth0", body);
  const CniCache cache = read_cni_cache({folder.path()});
  for (const auto& item : cache.attachments) {
    EXPECT_EQ(item.file, folder.path() / "lab-c1-eth0");
  }
  for (const auto& item : cache.skipped) {
    EXPECT_EQ(item.file, folder.path() / "lab-c1-eth0");
  }
  return join(describe(cache), "; ");
}

TEST(CniCacheTest, UnderstandsTheResultsOfEveryVersion) {
  EXPECT_EQ(cache_of(kCachedByContainerd),
            "lab 62feb1 eth0 /var/run/netns/cni-44ffda7a shop/web-0/uid-web-0 10.90.0.2/24 "
            "fd00:90::2/64");
  struct Case {
    std::string_view result;
    const char* addresses;
  };
  const std::vector<Case> table = {
      {R"({"cniVersion":"0.1.0","dns":{},"ip4":{"gateway":"10.90.0.1","ip":"10.90.0.2/24"}})",
       " 10.90.0.2/24"},
      {R"({"cniVersion":"0.2.0","ip4":{"ip":"10.90.0.2/24"},"ip6":{"ip":"fd00:90::2/64"}})",
       " 10.90.0.2/24 fd00:90::2/64"},
      {R"({"cniVersion":"0.2.0","ip6":{"ip":"fd00:90::2/64"},"dns":{}})", " fd00:90::2/64"},
      {R"({"ip4":null,"ip6":{"ip":"fd00:90::2/64"}})", " fd00:90::2/64"},
      {R"({"cniVersion":"0.3.0","dns":{},"interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[)"
       R"({"address":"10.90.0.2/24","gateway":"10.90.0.1","interface":0,"version":"4"},)"
       R"({"address":"fd00:90::2/64","interface":0,"version":"6"}],"routes":[]})",
       " 10.90.0.2/24 fd00:90::2/64"},
      {R"({"cniVersion":"0.3.1","ips":[{"address":"127.0.0.1/8","interface":0,"version":""}]})",
       " 127.0.0.1/8"},
      {R"({"cniVersion":"0.4.0","ips":[{"address":"10.90.0.2/32","version":"4"}]})",
       " 10.90.0.2/32"},
      {R"({"cniVersion":"1.0.0","ips":[{"address":"10.90.0.2/24"},{"address":"10.91.0.2/24"}]})",
       " 10.90.0.2/24 10.91.0.2/24"},
      {R"({"cniVersion":"1.1.0","interfaces":[],"ips":[]})", ""},
      {R"({"cniVersion":"1.1.0","ips":null})", ""},
      {R"({"cniVersion":"9.9.9","ips":[{"address":"FD00::0:2/64","new":{}}]})", " fd00::2/64"},
      {"{}", ""},
  };
  for (const Case& row : table) {
    EXPECT_EQ(cache_of(cached(row.result)), std::string("lab c1 eth0  //") + row.addresses)
        << row.result;
  }
}

TEST(CniCacheTest, SkipsAFileThatIsHalfWritten) {
  for (std::size_t length = 0; length < kCachedByContainerd.size(); ++length) {
    EXPECT_EQ(cache_of(kCachedByContainerd.substr(0, length)),
              "skipped: is not JSON, or not all of it")
        << length;
  }
  // libcni truncates before it writes, but a crash may leave what was there.
  EXPECT_EQ(cache_of(std::string(kCachedByContainerd) + "}"),
            "skipped: is not JSON, or not all of it");
  EXPECT_EQ(cache_of(std::string(4096, '\0')), "skipped: is not JSON, or not all of it");
  EXPECT_EQ(cache_of(std::string(kCachedByContainerd) + std::string(1, '\0')),
            "skipped: is not JSON, or not all of it");
  EXPECT_THAT(cache_of(std::string(kCachedByContainerd) + "\n"), HasSubstr("fd00:90::2/64"));
}

TEST(CniCacheTest, SkipsWhatItDoesNotUnderstandAndSaysWhy) {
  struct Case {
    std::string_view from;
    std::string_view to;
    const char* why;
  };
  const std::vector<Case> table = {
      {R"("cniCacheV1")", R"("cniCacheV2")", R"(is of kind "cniCacheV2")"},
      {R"("cniCacheV1")", R"("x\n\u0000\"y")", R"(is of kind "x\x0a\x00\"y")"},
      {R"("kind":"cniCacheV1",)", "", R"(is of kind "")"},
      {R"("cniCacheV1")", "null", R"(is of kind "")"},
      {R"("cniCacheV1")", "1", "kind is not a string"},
      {R"("lab")", R"("")", "networkName is missing"},
      {R"("lab")", "null", "networkName is missing"},
      {R"("lab")", R"(["lab"])", "networkName is not a string"},
      {R"("networkName":"lab",)", "", "networkName is missing"},
      {R"("containerId":"62feb1",)", "", "containerId is missing"},
      {R"("containerId":"62feb1")", R"("containerId":62)", "containerId is not a string"},
      {R"("ifName":"eth0",)", "", "ifName is missing"},
      {R"("ifName":"eth0",)", R"("ifName":{},)", "ifName is not a string"},
      {R"("netns":")", R"("netns":0,"x":")", "netns is not a string"},
      {R"("cniArgs":[)", R"("cniArgs":{},"x":[)", "cniArgs is not a list"},
      {R"("cniArgs":[)", R"("cniArgs":"K8S_POD_NAME=web","x":[)", "cniArgs is not a list"},
      {R"(["IgnoreUnknown","1"])", R"("IgnoreUnknown=1")",
       "cniArgs holds something other than a pair"},
      {R"(["IgnoreUnknown","1"])", R"(["IgnoreUnknown"])",
       "cniArgs holds something other than a pair"},
      {R"(["IgnoreUnknown","1"])", R"(["IgnoreUnknown","1","2"])",
       "cniArgs holds something other than a pair"},
      {R"(["IgnoreUnknown","1"])", "null", "cniArgs holds something other than a pair"},
      {R"(["IgnoreUnknown","1"])", R"({"a":1,"b":2})", "cniArgs holds something other than a pair"},
      {R"(["IgnoreUnknown","1"])", R"(["IgnoreUnknown",1])", "a value in cniArgs is not a string"},
      {R"(["IgnoreUnknown","1"])", R"([null,"1"])", "a key in cniArgs is not a string"},
      {R"("result":{)", R"("results":{)", "result is missing"},
      {R"("result":{)", R"("result":null,"x":{)", "result is missing"},
      {R"("result":{)", R"("result":[],"x":{)", "result is not an object"},
      {R"("result":{)", R"("result":"{}","x":{)", "result is not an object"},
      {R"("ips":[)", R"("ips":{},"x":[)", "result.ips is not a list"},
      {R"("ips":[)", R"("ips":[null,)", "result.ips[] is not an object"},
      {R"("ips":[)", R"("ips":["10.1.0.2/24",)", "result.ips[] is not an object"},
      {R"("ips":[)", R"("ips":[{},)",
       R"(result.ips[].address is not an address with a length: "")"},
      {"10.90.0.2/24", "10.90.0.2",
       R"(result.ips[].address is not an address with a length: "10.90.0.2")"},
      {"10.90.0.2/24", "10.90.0.2/33",
       R"(result.ips[].address is not an address with a length: "10.90.0.2/33")"},
      {R"("10.90.0.2/24")", "1", "address is not a string"},
      {R"("ips":[)", R"("ip4":"10.1.0.2/24","ips":[)", "result.ip4 is not an object"},
      {R"("ips":[)", R"("ip6":{"ip":"fd00::2"},"ips":[)",
       R"(result.ip6.ip is not an address with a length: "fd00::2")"},
      {"web-0", "web-\xff", "is not JSON, or not all of it"},
      {"10.90.0.2/24", R"(\ud800)", "is not JSON, or not all of it"},
      {R"("interface":1)", R"("interface":1e999999)", "is not JSON, or not all of it"},
  };
  for (const Case& row : table) {
    std::string body(kCachedByContainerd);
    const std::size_t at = body.find(row.from);
    ASSERT_NE(at, std::string::npos) << row.from;
    body.replace(at, row.from.size(), row.to);
    EXPECT_EQ(cache_of(body), std::string("skipped: ") + row.why) << row.from << " -> " << row.to;
  }
  for (const auto* body : {"[]", "null", "\"cniCacheV1\"", "1"}) {
    EXPECT_EQ(cache_of(body), "skipped: is not a JSON object") << body;
  }
  EXPECT_EQ(cache_of(R"({"cniVersion":"0.3.1","ips":[]})"), R"(skipped: is of kind "")")
      << "a bare result, as libcni before 0.8 cached it";
}

TEST(CniCacheTest, TakesOptionalFieldsThatAreMissingOrNullForEmpty) {
  struct Case {
    std::string_view fields;
    const char* pod;
  };
  const std::vector<Case> table = {
      {"", " //"},
      {R"("netns":null,"cniArgs":null,"capabilityArgs":null,)", " //"},
      {R"("netns":"","cniArgs":[],)", " //"},
      {R"("cniArgs":[["K8S_POD_NAME","web"]],)", " /web/"},
      {R"("cniArgs":[["K8S_POD_NAME","old"],["K8S_POD_NAME","new"]],)", " /new/"},
      {R"("cniArgs":[["k8s_pod_name","web"]],)", " //"},
      {R"("netns":"/run/netns/é",)", "/run/netns/é //"},
  };
  for (const Case& row : table) {
    std::string body = cached("{}");
    body.insert(1, row.fields);
    EXPECT_EQ(cache_of(body), std::string("lab c1 eth0 ") + row.pod) << row.fields;
  }
}

TEST(CniCacheTest, SkipsDeeplyNestedJson) {
  constexpr std::size_t kDepth = 100'000;
  EXPECT_EQ(cache_of(std::string(kDepth, '[')), "skipped: is not JSON, or not all of it");
  EXPECT_EQ(cache_of(std::string(kDepth, '[') + std::string(kDepth, ']')),
            "skipped: is not a JSON object");
  std::string body = cached("{}");
  body.insert(1, R"("config":)" + std::string(kDepth, '[') + std::string(kDepth, ']') + ",");
  EXPECT_EQ(cache_of(body), "lab c1 eth0  //");
}

TEST(CniCacheTest, SkipsWhatIsTooLarge) {
  const std::string body = cached("{}");
  const std::string padding((1 << 20) - body.size(), ' ');
  EXPECT_EQ(cache_of(body + padding), "lab c1 eth0  //");
  EXPECT_EQ(cache_of(body + padding + " "), "skipped: is larger than 1048576 bytes");

  const TempFolder folder;
  put(folder.path() / "huge", "");
  fs::resize_file(folder.path() / "huge", std::uintmax_t{1} << 40);  // a hole: it takes no space
  EXPECT_THAT(describe(read_cni_cache({folder.path()})),
              ElementsAre("skipped: is larger than 1048576 bytes"));
}

TEST(CniCacheTest, ReadsPlainFilesOnly) {
  const TempFolder folder;
  const fs::path elsewhere = folder.path() / "elsewhere";
  const fs::path results = folder.path() / "results";
  fs::create_directories(results / "folder");
  put(elsewhere, kCachedByContainerd);
  fs::create_symlink(elsewhere, results / "symlink");
  fs::create_symlink("nowhere", results / "symlink-dangling");
  fs::create_symlink("symlink-loop", results / "symlink-loop");
  fs::create_symlink("/dev/zero", results / "symlink-to-device");
  ASSERT_EQ(mkfifo((results / "fifo").c_str(), 0600), 0);
  put(results / "plain", kCachedByContainerd);
  const CniCache cache = read_cni_cache({results});
  ASSERT_EQ(cache.attachments.size(), 1U);
  EXPECT_EQ(cache.attachments.front().file, results / "plain");
  std::vector<std::string> skipped;
  for (const SkippedFile& file : cache.skipped) {
    skipped.push_back(file.file.filename().string() + " " + file.why);
  }
  EXPECT_THAT(
      skipped,
      ElementsAre("fifo is not a regular file", "folder is not a regular file",
                  "symlink is not a regular file", "symlink-dangling is not a regular file",
                  "symlink-loop is not a regular file", "symlink-to-device is not a regular file"));

  fs::create_directory_symlink(results, folder.path() / "link");
  EXPECT_EQ(read_cni_cache({folder.path() / "link"}).attachments.size(), 1U)
      << "the folder itself may be a link";
}

TEST(CniCacheTest, IsEmptyWithoutAFolderItCanRead) {
  const TempFolder folder;
  put(folder.path() / "plain", "");
  for (const auto* name : {"none", "none/none", "plain", "plain/none"}) {
    EXPECT_THAT(describe(read_cni_cache({folder.path() / name})), IsEmpty()) << name;
  }
  EXPECT_THAT(describe(read_cni_cache({""})), IsEmpty());
  fs::permissions(folder.path(), fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    EXPECT_THAT(describe(read_cni_cache({folder.path()})), IsEmpty());
  });
}

TEST(CniCacheTest, SkipsAFileItMayNotRead) {
  const TempFolder folder;
  put(folder.path() / "readable", kCachedByContainerd);
  put(folder.path() / "secret", kCachedByContainerd);
  fs::permissions(folder.path(), fs::perms::all);
  fs::permissions(folder.path() / "readable", fs::perms::all);
  fs::permissions(folder.path() / "secret", fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    const CniCache cache = read_cni_cache({folder.path()});
    EXPECT_EQ(cache.attachments.size(), 1U);
    ASSERT_EQ(cache.skipped.size(), 1U);
    EXPECT_EQ(cache.skipped.front().file, folder.path() / "secret");
    EXPECT_EQ(cache.skipped.front().why, "cannot be opened: Permission denied");
  });
}

TEST(CniCacheTest, ReadsTenThousandFilesInTheOrderOfTheirNames) {
  constexpr int kFiles = 10'000;
  const TempFolder folder;
  std::vector<std::string> names;
  for (int i = 0; i < kFiles; ++i) {
    const std::string name = "lab-c" + std::to_string(i) + "-eth0";
    std::string body(kCachedByContainerd);
    body.replace(body.find("62feb1"), 6, "c" + std::to_string(i));
    put(folder.path() / name, i % 100 == 7 ? body.substr(0, body.size() / 2) : body);
    names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  const CniCache cache = read_cni_cache({folder.path()});
  EXPECT_EQ(cache.skipped.size(), kFiles / 100U);
  EXPECT_EQ(cache.attachments.size(), kFiles - kFiles / 100U);
  std::vector<std::string> found;
  for (const CachedAttachment& item : cache.attachments) {
    found.push_back(item.file.filename().string());
    EXPECT_EQ("lab-" + item.key.container_id + "-eth0", found.back());
  }
  EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
  for (const SkippedFile& item : cache.skipped) {
    found.push_back(item.file.filename().string());
  }
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, names);
}

TEST(CniCacheTest, StaysReadableWhileOthersWriteAndRemove) {
  const TempFolder folder;
  put(folder.path() / "lab-0-eth0", kCachedByContainerd);
  const Inhabitant churn([] {},
                         [&] {
                           const fs::path path = folder.path() / "lab-1-eth0";
                           while (true) {
                             put(path, kCachedByContainerd.substr(0, 300));
                             put(path, kCachedByContainerd);
                             fs::remove(path);
                           }
                         });
  for (int i = 0; i < 2000; ++i) {
    const CniCache cache = read_cni_cache({folder.path()});
    ASSERT_GE(cache.attachments.size(), 1U);
    EXPECT_EQ(cache.attachments.front().file.filename(), "lab-0-eth0");
    EXPECT_LE(cache.attachments.size() + cache.skipped.size(), 2U);
    for (const SkippedFile& file : cache.skipped) {
      EXPECT_EQ(file.why, "is not JSON, or not all of it");
    }
  }
}

}  // namespace
}  // namespace podlease::host
