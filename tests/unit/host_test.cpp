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
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../../src/host/netlink.h"
#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/host_local.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

net::Address address(std::string_view text) {
  return net::Address::parse(text).value();
}

// A folder that ends with the test.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (fs::temp_directory_path() / "podlease-host-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw io_error("mkdtemp " + name, errno);
    }
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    fs::permissions(path_, fs::perms::owner_all, ignored);
    fs::remove_all(path_, ignored);
  }

  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void put(const fs::path& path, std::string_view body) {
  std::ofstream(path, std::ios::binary) << body;
}

std::string body_of(const fs::path& path) {
  return read_file(path, 1 << 20).value_or("(none)");
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) {
    names.push_back(item.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The kind of the Error that `action` throws, and its message; kOther and nothing if it throws
// none.
struct Thrown {
  ErrorKind kind = ErrorKind::kOther;
  std::string message;
};
Thrown thrown_by(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {.kind = error.kind(), .message = error.what()};
  }
  return {};
}

// Runs `facts` in a child process, so that what it does to itself ends with it. Its failures are
// printed by the child and counted here.
void in_child(const std::function<void()>& facts) {
  const auto failures = [] {
    return testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
  };
  const int failures_before = failures();
  static_cast<void>(std::fflush(nullptr));
  const pid_t child = fork();
  ASSERT_GE(child, 0) << std::strerror(errno);
  if (child == 0) {
    try {
      facts();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "uncaught: " << error.what();
    }
    static_cast<void>(std::fflush(nullptr));
    _exit(failures() == failures_before ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "see the failures of the child above";
}

void become_root_of_own_namespaces(int flags) {
  const uid_t uid = getuid();
  if (uid == 0) {
    ASSERT_EQ(unshare(flags), 0) << std::strerror(errno);
    return;
  }
  const gid_t gid = getgid();
  ASSERT_EQ(unshare(CLONE_NEWUSER | flags), 0)
      << std::strerror(errno) << ": neither root nor allowed to make user namespaces";
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  put("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  ASSERT_EQ(getuid(), 0U);
}

// `commands` are those of the `ip` tool, one a line; where only the family tells them apart, that
// of IPv6 starts with "-6 ".
void ip(const std::string& commands) {
  constexpr std::string_view kIpv6 = "-6 ";
  std::string v4;
  std::string v6;
  std::istringstream lines(commands);
  for (std::string text; std::getline(lines, text);) {
    const std::string_view line = trimmed(text);
    if (line.starts_with(kIpv6)) {
      v6.append(line.substr(kIpv6.size())).append("\n");
    } else {
      v4.append(line).append("\n");
    }
  }
  for (const auto& [tool, batch] : {std::pair("ip -batch -", v4), {"ip -6 -batch -", v6}}) {
    FILE* const pipe = popen(tool, "w");
    ASSERT_NE(pipe, nullptr);
    EXPECT_GE(std::fputs(batch.c_str(), pipe), 0);
    ASSERT_EQ(pclose(pipe), 0) << tool << " failed, given:\n" << batch;
  }
}

// An IPv6 address gets its routes a little after it was added, even without duplicate detection.
// This waits for those of the addresses that `commands` added, and of their peers.
void await_addresses(const std::string& commands) {
  std::vector<std::string> awaited;
  for (const std::string_view line : split(commands, '\n')) {
    if (!trimmed(line).starts_with("addr add ")) {
      continue;
    }
    for (const std::string_view word : words(line)) {
      const auto address = net::Address::parse(word.substr(0, word.find('/')));
      if (address && address->is_v6()) {
        std::ostringstream entry;  // as in /proc/net/ipv6_route: in full, and the length 128
        entry << std::hex << std::setfill('0');
        entry << std::setw(16) << static_cast<std::uint64_t>(address->bits() >> 64);
        entry << std::setw(16) << static_cast<std::uint64_t>(address->bits()) << " 80 ";
        awaited.push_back(entry.str());
      }
    }
  }
  const auto missing = [](const std::string& entry) {
    return body_of("/proc/net/ipv6_route").find(entry) == std::string::npos;
  };
  for (int attempt = 0; std::any_of(awaited.begin(), awaited.end(), missing); ++attempt) {
    ASSERT_LT(attempt, 1000) << "IPv6 addresses without routes";
    SystemClock().sleep(Milliseconds(10));
  }
}

// What most facts need: a cable from up0 to up1, both up, so that routes can be live.
constexpr auto kCable = R"(link set lo up
link add up0 type veth peer name up1
link set up0 up
link set up1 up
)";

void in_own_network(const std::string& commands, const std::function<void()>& facts) {
  in_child([&] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    ASSERT_NO_FATAL_FAILURE(ip(kCable + commands));
    ASSERT_NO_FATAL_FAILURE(await_addresses(commands));
    facts();
  });
}

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

// "none" or "ADDRESS via GATEWAY dev NAME".
std::string uplink(net::Family family) {
  const auto found = LinuxHost().uplink(family);
  if (!found) {
    return "none";
  }
  return found->address.to_string() + " via " +
         (found->gateway ? found->gateway->to_string() : "none") + " dev " + found->interface;
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
    EXPECT_EQ(uplink(net::Family::kIpv6), "none");
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

// --- uplink ---

TEST(UplinkTest, IsTheWayOfTheDefaultRoute) {
  struct Case {
    const char* what;
    const char* commands;
    const char* v4;
    const char* v6;
  };
  const std::vector<Case> table = {
      {"no route", R"(addr add 192.168.7.9/24 dev up0
                      addr add fd07::9/64 dev up0 nodad)",
       "none", "none"},
      {"by a gateway", R"(addr add 192.168.7.9/24 dev up0
                          route add default via 192.168.7.1
                          addr add fd07::9/64 dev up0 nodad
                          route add default via fe80::1 dev up0)",
       "192.168.7.9/24 via 192.168.7.1 dev up0", "fd07::9/64 via fe80::1 dev up0"},
      {"without a gateway", R"(addr add 192.168.7.9/24 dev up0
                               route add default dev up0
                               addr add fd07::9/64 dev up0 nodad
                               -6 route add default dev up0)",
       "192.168.7.9/24 via none dev up0", "fd07::9/64 via none dev up0"},
      {"with another address of the interface", R"(
                              addr add 192.168.7.9/24 dev up0
                              addr add 192.168.8.9/25 dev up0
                              route add default via 192.168.7.1 src 192.168.8.9
                              addr add fd07::9/64 dev up0 nodad
                              addr add fd08::9/80 dev up0 nodad
                              route add default via fd07::1 src fd08::9)",
       "192.168.8.9/25 via 192.168.7.1 dev up0", "fd08::9/80 via fd07::1 dev up0"},
      {"with an address of lo, as routers have it", R"(
                              addr add 192.168.7.9/24 dev up0
                              addr add 10.255.0.7/32 dev lo
                              route add default via 192.168.7.1 src 10.255.0.7
                              addr add fd07::9/64 dev up0 nodad
                              addr add fdff::7/128 dev lo nodad
                              route add default via fd07::1 src fdff::7)",
       "10.255.0.7/32 via 192.168.7.1 dev up0", "fdff::7/128 via fd07::1 dev up0"},
      {"to a peer", R"(addr add 10.9.0.1 peer 10.9.0.2 dev up0
                       route add default via 10.9.0.2
                       addr add fd09::1 peer fd09::2 dev up0 nodad
                       route add fd09::3/128 dev up0
                       route add default via fd09::3 dev up0)",
       "10.9.0.1/32 via 10.9.0.2 dev up0", "fd09::1/128 via fd09::3 dev up0"},
      {"IPv4 by an IPv6 gateway", R"(addr add 192.168.7.9/24 dev up0
                                     addr add fd07::9/64 dev up0 nodad
                                     route add 0.0.0.0/0 via inet6 fe80::1 dev up0)",
       "192.168.7.9/24 via fe80::1 dev up0", "none"},
      {"refused", R"(route add unreachable default
                        -6 route add blackhole default)",
       "none", "none"},
      {"to lo", R"(route add default dev lo
                      -6 route add default dev lo)",
       "none", "none"},
      {"from a lab that uses documentation addresses", R"(
                          addr add 203.0.113.2/24 dev up0
                          addr add 192.0.2.2/24 dev up0
                          route add default via 192.0.2.1
                          addr add 2001:db8::2/64 dev up0 nodad
                          route add default via 2001:db8::9)",
       "192.0.2.2/24 via 192.0.2.1 dev up0", "2001:db8::2/64 via 2001:db8::9 dev up0"},
      {"in such a lab, no route", R"(
                          addr add 203.0.113.2/24 dev up0
                          addr add 198.51.100.1/24 dev up0
                          addr add 2001:db8::2/64 dev up0 nodad
                          addr add 3fff::1/64 dev up0 nodad)",
       "none", "none"},
      {"two, one better", R"(addr add 192.168.7.9/24 dev up0
                             addr add 192.168.8.9/24 dev up1
                             route add default via 192.168.7.1 metric 100
                             route add default via 192.168.8.1 metric 50)",
       "192.168.8.9/24 via 192.168.8.1 dev up1", "none"},
  };
  for (const Case& row : table) {
    in_own_network(row.commands, [&] {
      EXPECT_EQ(uplink(net::Family::kIpv4), row.v4) << row.what;
      EXPECT_EQ(uplink(net::Family::kIpv6), row.v6) << row.what;
    });
  }
}

TEST(UplinkTest, TakesTheMaskOfTheOutgoingInterface) {
  const auto commands = R"(addr add 192.168.7.9/32 dev up1
addr add 192.168.7.9/24 dev up0
route add default via 192.168.7.1 dev up0
)";
  in_own_network(commands, [] {
    EXPECT_EQ(uplink(net::Family::kIpv4), "192.168.7.9/24 via 192.168.7.1 dev up0");
  });
}

TEST(RouteSocketTest, FindsTheMaskWithoutTheKernelsFilterToo) {
  std::string commands =
      "addr add 192.168.7.9/24 dev up0\naddr add fd07::9/64 dev up0 nodad\n"
      "addr add 10.9.0.1 peer 10.9.0.2/30 dev up0\n";
  for (int i = 0; i < 500; ++i) {  // more than fits into one part of an answer
    commands += "addr add 10.5." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1) +
                "/32 dev up1\n";
  }
  in_own_network(commands, [] {
    for (const auto kernel : {RouteSocket::Kernel::kDetect, RouteSocket::Kernel::kOld}) {
      RouteSocket socket(kernel);
      const unsigned index = if_nametoindex("up0");
      const auto mask = [&](std::string_view text, unsigned interface) {
        const auto found = socket.assigned(address(text), interface);
        return found ? found->to_string() : "none";
      };
      EXPECT_EQ(mask("192.168.7.9", index), "192.168.7.9/24");
      EXPECT_EQ(mask("fd07::9", index), "fd07::9/64");
      EXPECT_EQ(mask("10.5.1.250", index), "10.5.1.250/32");
      EXPECT_EQ(mask("10.9.0.1", index), "10.9.0.1/30");
      EXPECT_EQ(mask("10.9.0.2", index), "none") << "the peer's";
      EXPECT_EQ(mask("192.168.7.9", 9999), "192.168.7.9/24") << "no such interface";
      EXPECT_EQ(mask("192.168.7.8", index), "none");
    }
  });
}

// --- boot_id and look_at ---

TEST(LinuxHostTest, KnowsTheBootByAUuid) {
  const std::string id = LinuxHost().boot_id();
  EXPECT_EQ(id.size(), 36U) << id;
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef-"), std::string::npos) << id;
  EXPECT_EQ(id, LinuxHost().boot_id());
}

TEST(LookAtTest, SeesALiveNetworkNamespace) {
  struct stat file {};
  ASSERT_EQ(stat("/proc/self/ns/net", &file), 0);
  const NetnsSight sight = LinuxHost().look_at("/proc/self/ns/net");
  EXPECT_EQ(sight.state, NetnsState::kAlive);
  EXPECT_EQ(sight.id.device, file.st_dev);
  EXPECT_EQ(sight.id.inode, file.st_ino);
}

TEST(LookAtTest, KnowsAMountedNamespaceAndAnotherOneApart) {
  const TempFolder folder;
  const fs::path name = folder.path() / "netns";
  put(name, "");
  in_child([&] {
    const NetnsId outside = LinuxHost().look_at("/proc/self/ns/net").id;
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET | CLONE_NEWNS));
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("/proc/self/ns/net", name.c_str(), nullptr, MS_BIND, nullptr), 0)
        << std::strerror(errno);
    const NetnsSight sight = LinuxHost().look_at(name);
    EXPECT_EQ(sight.state, NetnsState::kAlive);
    EXPECT_EQ(sight.id, LinuxHost().look_at("/proc/self/ns/net").id);
    EXPECT_NE(sight.id, outside);
    ASSERT_EQ(umount(name.c_str()), 0);
    EXPECT_EQ(LinuxHost().look_at(name).state, NetnsState::kDoubt) << "a plain file again";
  });
}

TEST(LookAtTest, DoubtsWhatIsNeitherANetworkNamespaceNorAbsent) {
  const TempFolder folder;
  const fs::path& path = folder.path();
  put(path / "plain", "");
  ASSERT_EQ(mkfifo((path / "fifo").c_str(), 0600), 0);
  fs::create_symlink("nowhere", path / "dangling");
  fs::create_symlink("loop", path / "loop");
  fs::create_symlink("/proc/self/ns/net", path / "link");
  struct Case {
    fs::path netns;
    NetnsState state;
  };
  const std::vector<Case> table = {
      {path / "link", NetnsState::kAlive},
      {path / "none", NetnsState::kAbsent},
      {path / "none/none", NetnsState::kAbsent},
      {path / "dangling", NetnsState::kAbsent},
      {"/proc/0/ns/net", NetnsState::kAbsent},
      {"", NetnsState::kDoubt},
      {path, NetnsState::kDoubt},
      {path / "plain", NetnsState::kDoubt},
      {path / "plain/none", NetnsState::kDoubt},
      {path / "fifo", NetnsState::kDoubt},
      {path / "loop", NetnsState::kDoubt},
      {path / std::string(300, 'x'), NetnsState::kDoubt},
      {"/dev/null", NetnsState::kDoubt},
      {"/proc/self/ns/mnt", NetnsState::kDoubt},
      {"/proc/self/ns/user", NetnsState::kDoubt},
      {"/proc/self/status", NetnsState::kDoubt},
  };
  for (const Case& row : table) {
    EXPECT_EQ(LinuxHost().look_at(row.netns).state, row.state) << row.netns;
  }
}

// To open a device may have consequences: a watchdog starts, a tape rewinds.
TEST(LookAtTest, DoesNotEvenOpenWhatIsNotANamespace) {
  const TempFolder folder;
  put(folder.path() / "plain", "");
  const UniqueFd opened(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(opened.get(), (folder.path() / "plain").c_str(), IN_OPEN), 0);
  EXPECT_EQ(LinuxHost().look_at(folder.path() / "plain").state, NetnsState::kDoubt);
  std::array<char, 256> event{};
  EXPECT_EQ(read(opened.get(), event.data(), event.size()), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(LookAtTest, DoubtsWhatItMayNotSee) {
  const TempFolder folder;
  fs::permissions(folder.path(), fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    EXPECT_EQ(LinuxHost().look_at(folder.path() / "none").state, NetnsState::kDoubt);
  });
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

TEST(HostLocalReadTest, RefusesToPassAPartForTheWhole) {
  const TempFolder folder;
  const HostLocalFolder host_local(folder.path());
  const fs::path entry = folder.path() / "10.1.0.2";

  put(entry, std::string(5000, 'x'));
  EXPECT_EQ(thrown_by([&] { (void)host_local.read(); }).kind, ErrorKind::kDecode);

  fs::remove(entry);
  ASSERT_EQ(mkfifo(entry.c_str(), 0600), 0);
  const Thrown thrown = thrown_by([&] { (void)host_local.read(); });
  EXPECT_EQ(thrown.kind, ErrorKind::kIo);
  EXPECT_THAT(thrown.message, HasSubstr(entry.string()));

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
    Instant instant = SystemClock().now();
    instant.wall += time;
    return instant;
  };
  EXPECT_FALSE(host_local.settled(after(Milliseconds(0))));
  EXPECT_TRUE(host_local.settled(after(Milliseconds(2001))));
  EXPECT_FALSE(host_local.settled(after(-std::chrono::hours(1)))) << "the clock was set back";
  EXPECT_FALSE(HostLocalFolder(folder.path() / "none").settled(after(Milliseconds(5000))));
}

}  // namespace
}  // namespace podlease::host
