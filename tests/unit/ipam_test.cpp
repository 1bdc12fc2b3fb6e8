// The rules of leasing, each asked of a real store in a folder of its own; only the machine and the
// time are made up. At the end a small model of the rules, with plain sets instead of SQL, is held
// against the code for thousands of random steps. Those draw from fixed seeds, so that a failure
// repeats.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "fakes.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host_local.h"
#include "podlease/ipam/leases.h"
#include "podlease/ipam/overlaps.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/pools/source.h"
#include "podlease/pools/static_source.h"
#include "podlease/store/registry.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

using fakes::address;
using fakes::body_of;
using fakes::prefix;
using fakes::put;
using fakes::Thrown;
using fakes::thrown_by;
using host::AddressHolder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// A source that knows what it was told.
class FixedSource final : public pools::Source {
 public:
  explicit FixedSource(pools::Offer offer) : offer_(std::move(offer)) {}
  [[nodiscard]] std::vector<net::Family> families() const override {
    return {net::Family::kIpv4, net::Family::kIpv6};
  }
  [[nodiscard]] pools::Knowledge consult(store::Transaction& /*transaction*/,
                                         const store::Moment& /*now*/) const override {
    return {.answer = offer_};
  }

 private:
  pools::Offer offer_;
};

std::unique_ptr<FixedSource> fixed(const pools::Offer& offer) {
  return std::make_unique<FixedSource>(offer);
}

// The offer of a static configuration; `ipam` is its JSON without the outer braces.
pools::Offer offer_of(const std::string& ipam) {
  const config::NetConf conf =
      config::Document::parse(R"({"cniVersion":"1.0.0","name":"net","ipam":{)" + ipam + "}}")
          .net_conf("");
  return pools::StaticSource(conf).offer();
}

// Five addresses: 10.1.0.2 to 10.1.0.6.
constexpr const char* kSmall = R"("subnet": "10.1.0.0/29")";
// Five and six: 10.1.0.2 to 10.1.0.6, fd00::2 to fd00::7.
constexpr const char* kDual =
    R"("ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125"}]])";

std::string_view text_of(Reason reason) {
  switch (reason) {
    case Reason::kHeld:
      return "held";
    case Reason::kReturned:
      return "returned";
    case Reason::kRequested:
      return "requested";
    case Reason::kUntouched:
      return "untouched";
    case Reason::kCooled:
      return "cooled";
    case Reason::kPressed:
      return "pressed";
  }
  return "?";
}

// 10.1.0.2/29 untouched, fd00::2/125 held
std::string text_of(const std::vector<Granted>& granted) {
  std::vector<std::string> parts;
  parts.reserve(granted.size());
  for (const Granted& grant : granted) {
    parts.push_back(grant.lease.address.to_string() + " " + std::string(text_of(grant.reason)));
  }
  return join(parts, ", ");
}

// CONTAINER/IFNAME ADDRESS/LENGTH
std::string text_of(const store::Lease& lease) {
  return lease.key.container_id + "/" + lease.key.ifname + " " + lease.address.to_string();
}

bool always() {
  return true;
}

// As libcni keeps an attachment of the network "net".
std::string cached(const std::string& container, const std::string& netns,
                   const std::string& cidr) {
  return R"({"kind":"cniCacheV1","containerId":")" + container +
         R"(","ifName":"eth0","networkName":"net","netns":")" + netns +
         R"(","cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME",")" + container +
         R"(-pod"],["K8S_POD_UID","uid-)" + container +
         R"("]],"result":{"cniVersion":"1.0.0","ips":[{"address":")" + cidr + R"("}]}})";
}

// A machine with one store, and what it is asked.
class Node {
 public:
  Node() : Node(fs::temp_directory_path()) {}
  explicit Node(const fs::path& parent) : folder(parent) {
    log.open(folder.path() / "log", LogLevel::kDebug);
  }

  [[nodiscard]] Leases leases_in(const fs::path& store_folder) const {
    return {host, clock, log, places, store_folder, 10s};
  }
  [[nodiscard]] Leases leases() const { return leases_in(data_dir); }

  [[nodiscard]] static std::string netns_of(const std::string& container) {
    return "/run/netns/" + container;
  }

  [[nodiscard]] AddRequest request(const std::string& container,
                                   const std::vector<std::string>& requested = {}) const {
    AddRequest request{.key = {.network = network, .container_id = container, .ifname = "eth0"},
                       .netns = netns_of(container),
                       .cooldown = cooldown};
    for (const std::string& text : requested) {
      request.requested.push_back({.address = address(text), .path = "runtimeConfig.ips[0]"});
    }
    return request;
  }

  // ADD in a network namespace that lives.
  std::vector<Granted> grant(const AddRequest& request) {
    if (!request.netns.empty() && !host.namespaces.contains(request.netns)) {
      host.start(request.netns);
    }
    return leases().add(request, *fixed(offer), always);
  }
  std::string add(const std::string& container, const std::vector<std::string>& requested = {}) {
    return text_of(grant(request(container, requested)));
  }
  Thrown refusal(const std::string& container, const std::vector<std::string>& requested = {}) {
    return thrown_by([&] { add(container, requested); });
  }

  // What DEL ended. The namespace goes first, as with many runtimes.
  std::vector<std::string> del(const std::string& container) {
    host.end(netns_of(container));
    std::vector<std::string> ended;
    for (const store::Lease& lease :
         leases().release({.network = network, .container_id = container, .ifname = "eth0"})) {
      ended.push_back(lease.address.address().to_string());
    }
    return ended;
  }

  // Fills `offer` with containers c1, c2, … and returns how many got an address.
  int fill() {
    int count = 0;
    while (!refusal("c" + std::to_string(count + 1)).kind) {
      ++count;
    }
    return count;
  }

  [[nodiscard]] std::vector<std::string> held_by(const std::string& container) const {
    std::vector<std::string> held;
    for (const store::Lease& lease :
         leases().held_by({.network = network, .container_id = container, .ifname = "eth0"})) {
      held.push_back(text_of(lease));
    }
    return held;
  }

  [[nodiscard]] std::optional<store::Store> open() const {
    return store::Store::open_existing(
        {.folder = data_dir, .registry = places.registry, .lock_timeout = 10s});
  }
  // All leases of the network by address; fails the test if the store is not whole.
  [[nodiscard]] std::vector<store::Lease> all_leases() const {
    std::optional<store::Store> store = open();
    if (!store) {
      return {};
    }
    store::Transaction transaction = store->begin();
    transaction.verify();
    const std::optional<store::Network> found = transaction.find_network(network);
    return found ? transaction.leases(found) : std::vector<store::Lease>{};
  }
  [[nodiscard]] std::vector<std::string> all() const {
    std::vector<std::string> texts;
    for (const store::Lease& lease : all_leases()) {
      texts.push_back(text_of(lease));
    }
    return texts;
  }

  [[nodiscard]] fs::path host_local() const { return places.host_local / network; }
  // A file of host-local in its usual folder, which gets its lock file too.
  void host_local_file(const std::string& name, const std::string& body) const {
    put(host_local() / "lock", "");
    put(host_local() / name, body);
  }

  // Files that came, went or changed.
  [[nodiscard]] std::vector<std::string> changed_since(
      const std::map<std::string, std::string>& before) const {
    return fakes::changes(before, fakes::contents_of(folder.path()));
  }

  [[nodiscard]] std::string log_text() const { return body_of(folder.path() / "log"); }

  fakes::TempFolder folder;
  fakes::FakeHost host;
  fakes::FakeClock clock;
  Log log{clock};
  Places places{.registry = folder.path() / "stores",
                .host_local = folder.path() / "networks",
                .cni_cache = folder.path() / "cache"};
  fs::path data_dir = folder.path() / "data";
  pools::Offer offer = offer_of(kSmall);
  Milliseconds cooldown = 30s;
  std::string network = "net";
};

class LeasesTest : public ::testing::Test, protected Node {};

// §5.6: reclaim, takeover and return.

class ReclaimTest : public LeasesTest {
 protected:
  void SetUp() override { offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}]])"); }

  // Pods whose namespaces go without a DEL.
  void lose(int first, int last) {
    for (int i = first; i <= last; ++i) {
      host.end(netns_of("c" + std::to_string(i)));
    }
  }
  [[nodiscard]] AddRequest of_pod(const std::string& container, const std::string& uid) const {
    AddRequest wish = request(container);
    wish.pod = {.name_space = "shop", .name = "web-0", .uid = uid};
    return wish;
  }
  [[nodiscard]] std::vector<std::string> endings() const {
    std::optional<store::Store> store = open();
    std::vector<std::string> endings;
    for (const store::PastLease& past : store->begin().history()) {
      endings.push_back(past.address.to_string() + " " + past.key.container_id + " " + past.why);
    }
    return endings;
  }
};

TEST_F(ReclaimTest, AFullRangeOfDeadPodsRecoversAfterTheGrace) {
  ASSERT_EQ(fill(), 5);
  lose(1, 5);
  const Thrown refused = refusal("new");
  EXPECT_EQ(refused.kind, ErrorKind::kExhausted);
  EXPECT_THAT(refused.details, HasSubstr("5 used, 0 free"));
  EXPECT_THAT(refused.details, HasSubstr("5 suspect"));
  EXPECT_THAT(refused.details, HasSubstr("come back in 1m"));
  clock.pass(59s);
  EXPECT_EQ(refusal("new").kind, ErrorKind::kExhausted);
  clock.pass(1s);
  EXPECT_EQ(add("new"), "10.1.0.2/29 cooled");
  EXPECT_THAT(all(), ElementsAre("new/eth0 10.1.0.2/29")) << "one ADD frees them all";
  EXPECT_THAT(endings(), Contains("10.1.0.6 c5 reclaim"));
  EXPECT_EQ(clock.sleeps(), 0);
}

TEST_F(ReclaimTest, AFullRangeOfLivePodsStaysFull) {
  ASSERT_EQ(fill(), 5);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(refusal("new").kind, ErrorKind::kExhausted);
    clock.pass(1h);
  }
  EXPECT_THAT(all(), SizeIs(5));
}

TEST_F(ReclaimTest, TheGraceBeginsAnewForAHolderThatWasBack) {
  ASSERT_EQ(fill(), 5);
  lose(1, 1);
  EXPECT_EQ(refusal("new").kind, ErrorKind::kExhausted);
  clock.pass(50s);
  EXPECT_EQ(add("c1"), "10.1.0.2/29 held");  // in another namespace
  lose(1, 1);
  clock.pass(10s);
  EXPECT_EQ(refusal("new").kind, ErrorKind::kExhausted);
  clock.pass(59s);
  EXPECT_EQ(refusal("new").kind, ErrorKind::kExhausted);
  clock.pass(1s);
  EXPECT_EQ(add("new"), "10.1.0.2/29 cooled");
}

TEST_F(ReclaimTest, AHolderThatWasSeenAgainIsUnderNoSuspicion) {
  ASSERT_EQ(fill(), 5);
  const host::NetnsSight sight = host.namespaces.at(netns_of("c1"));
  lose(1, 1);
  EXPECT_THAT(refusal("new").details, HasSubstr("1 suspect"));
  clock.pass(30s);
  host.namespaces[netns_of("c1")] = sight;
  EXPECT_THAT(refusal("new").details, HasSubstr("0 suspect"));
  clock.pass(2min);
  lose(1, 1);
  EXPECT_THAT(refusal("new").details, HasSubstr("1 suspect")) << "not at the first look";
  clock.pass(60s);
  EXPECT_EQ(add("new"), "10.1.0.2/29 cooled");
}

TEST_F(ReclaimTest, InDoubtALeaseIsKept) {
  const struct {
    const char* what;
    std::string netns;
    std::function<void(Node&, const std::string&)> happens;
    bool reclaimed;
  } cases[] = {
      {"a plain file", "/run/netns/h",
       [](Node& node, const std::string& netns) { node.host.hide(netns); }, false},
      {"a folder in which nothing is seen", "/var/run/docker/netns/h",
       [](Node& node, const std::string& netns) { node.host.end(netns); }, false},
      {"the path of a process, others in the namespace", "/proc/7/ns/net",
       [](Node& node, const std::string& netns) {
         node.host.inhabited.insert(node.host.namespaces.at(netns).id);
         node.host.end(netns);
       },
       false},
      {"the path of a process, not all processes seen", "/proc/7/ns/net",
       [](Node& node, const std::string& netns) {
         node.host.sees_processes = false;
         node.host.end(netns);
       },
       false},
      {"the path of a process, nobody left", "/proc/7/ns/net",
       [](Node& node, const std::string& netns) { node.host.end(netns); }, true},
      {"another namespace at the path", "/run/netns/h",
       [](Node& node, const std::string& netns) { node.host.start(netns); }, true},
  };
  for (const auto& one : cases) {
    Node node;
    node.offer = offer;
    AddRequest holder = node.request("h");
    holder.netns = one.netns;
    node.grant(holder);
    ASSERT_EQ(node.fill(), 4);
    one.happens(node, one.netns);
    EXPECT_EQ(node.refusal("new").kind, ErrorKind::kExhausted) << one.what;
    node.clock.pass(2min);
    if (one.reclaimed) {
      EXPECT_EQ(node.add("new"), "10.1.0.2/29 cooled") << one.what;
    } else {
      EXPECT_EQ(node.refusal("new").kind, ErrorKind::kExhausted) << one.what;
    }
  }
}

TEST_F(ReclaimTest, EachAddLooksAtAFewSoThatTheStoreCleansItself) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/24"}]])");
  for (int i = 1; i <= 40; ++i) {
    add("c" + std::to_string(i));
  }
  lose(1, 40);
  for (int i = 1; i <= 120; ++i) {
    clock.pass(10s);
    add("new" + std::to_string(i));
  }
  EXPECT_THAT(all(), SizeIs(120));
  // And where each ADD follows a DEL.
  for (int i = 1; i <= 40; ++i) {
    host.end(netns_of("new" + std::to_string(i)));
  }
  for (int i = 1; i <= 200; ++i) {
    clock.pass(10s);
    add("passing");
    del("passing");
  }
  EXPECT_THAT(all(), SizeIs(80));
}

TEST_F(ReclaimTest, LeasesOfAnEarlierBootEndOneByOneWhenNeeded) {
  for (int i = 1; i <= 5; ++i) {
    add("c" + std::to_string(i));
    clock.pass(1s);
  }
  del("c3");
  host.reboot();
  clock.reboot();
  EXPECT_EQ(add("n1"), "10.1.0.4/29 cooled");
  EXPECT_THAT(all(), SizeIs(5)) << "nobody needed the others";
  EXPECT_EQ(add("n2"), "10.1.0.2/29 cooled");
  EXPECT_THAT(all(), SizeIs(5));
  EXPECT_THAT(endings(), Contains("10.1.0.2 c1 reboot"));
}

TEST_F(ReclaimTest, APodGetsItsAddressBack) {
  grant(of_pod("s1", "u-1"));
  add("other");
  del("s1");
  EXPECT_EQ(text_of(grant(of_pod("s2", "u-1"))), "10.1.0.2/29 returned") << "after a DEL";
  host.end(netns_of("s2"));
  EXPECT_EQ(text_of(grant(of_pod("s3", "u-1"))), "10.1.0.2/29 returned") << "without one";
  EXPECT_THAT(endings(), Contains("10.1.0.2 s2 takeover"));
  host.reboot();
  clock.reboot();
  EXPECT_EQ(text_of(grant(of_pod("s4", "u-1"))), "10.1.0.2/29 returned") << "after a boot";
  EXPECT_EQ(text_of(grant(of_pod("s5", "u-1"))), "10.1.0.4/29 untouched")
      << "the other sandbox lives";
  EXPECT_EQ(text_of(grant(of_pod("t1", "u-2"))), "10.1.0.5/29 untouched");
}

TEST_F(ReclaimTest, APodGetsItsAddressBackInAFullRange) {
  grant(of_pod("s1", "u-1"));
  ASSERT_EQ(fill(), 4);
  host.end(netns_of("s1"));
  EXPECT_EQ(text_of(grant(of_pod("s2", "u-1"))), "10.1.0.2/29 returned");
}

TEST_F(ReclaimTest, AnAddressThatSomebodyElseGotIsNotGivenBack) {
  grant(of_pod("s1", "u-1"));
  del("s1");
  add("x", {"10.1.0.2"});
  del("x");
  EXPECT_EQ(text_of(grant(of_pod("s2", "u-1"))), "10.1.0.3/29 untouched");
}

TEST_F(ReclaimTest, SweepSaysWhatItMakesOfEachLease) {
  ASSERT_EQ(fill(), 5);
  lose(1, 2);
  host.hide(netns_of("c3"));
  const auto verdicts = [&](bool dry_run) {
    std::vector<Verdict> found;
    for (const Examined& examined : leases().sweep("net", dry_run)) {
      found.push_back(examined.verdict);
    }
    return found;
  };
  const std::vector<Verdict> suspected{Verdict::kSuspected, Verdict::kSuspected,
                                       Verdict::kDoubtful};
  EXPECT_EQ(verdicts(true), suspected);
  clock.pass(1h);
  EXPECT_EQ(verdicts(false), suspected) << "the dry run left no trace";
  clock.pass(60s);
  EXPECT_EQ(verdicts(false),
            (std::vector<Verdict>{Verdict::kReclaimed, Verdict::kReclaimed, Verdict::kDoubtful}));
  EXPECT_THAT(all(), SizeIs(3));
  host.reboot();
  EXPECT_THAT(verdicts(false), Each(Verdict::kOfEarlierBoot));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(ReclaimTest, WhatEndsWithAnotherLeaseIsToldOfOnce) {
  add("a");
  {
    // An old host-local did not record the interface: it belongs to any of the container's.
    std::optional<store::Store> store = open();
    store::Transaction transaction = store->begin();
    store::Lease lease{.key = {.network = "net", .container_id = "a", .ifname = ""},
                       .address = prefix("10.1.0.6/29"),
                       .presence = {.boot_id = host.boot},
                       .source = "host-local"};
    transaction.insert(transaction.find_network("net").value(), lease);
    transaction.commit();
  }
  host.end(netns_of("a"));
  add("b");  // its folder can be seen
  EXPECT_THAT(leases().sweep("net", false), SizeIs(2));
  clock.pass(60s);
  EXPECT_THAT(leases().sweep("net", false), SizeIs(2));
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29"));
}

// §5.7: what the machine tells a new store.

TEST_F(ReclaimTest, ANewStoreLearnsFromNamespacesAndLibcni) {
  host.start("/run/netns/p1");
  host.inside["/run/netns/p1"] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  host.start("/run/netns/p2");
  put(places.cni_cache / "net-p2-eth0", cached("p2", "/run/netns/p2", "10.1.0.3/29"));
  put(places.cni_cache / "net-gone-eth0", cached("gone", "/run/netns/gone", "10.1.0.4/29"));
  put(places.cni_cache / "net-half-eth0", R"({"kind":"cniCa)");
  const std::vector<Found> found = leases().adopt("net", *fixed(offer), true);
  EXPECT_THAT(found, SizeIs(3));
  EXPECT_FALSE(open().has_value()) << "a dry run makes no store";
  EXPECT_EQ(add("new"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), ElementsAre("netns:p1/eth0 10.1.0.2/29", "p2/eth0 10.1.0.3/29",
                                 "new/eth0 10.1.0.4/29"));
  EXPECT_EQ(all_leases()[1].pod,
            (store::Pod{.name_space = "shop", .name = "p2-pod", .uid = "uid-p2"}));
  EXPECT_EQ(all_leases()[1].presence.boot_id, host.boot);
  // Each ends with its DEL, or with its namespace.
  EXPECT_THAT(leases().release({.network = "net", .container_id = "p1", .ifname = "eth0"},
                               "/var/run/netns/p1"),
              SizeIs(1));
  host.end("/run/netns/p2");
  EXPECT_THAT(leases().sweep("net", false), SizeIs(1));
}

TEST_F(ReclaimTest, FilesOfHostLocalAreHeldAgainstWhatTheMachineSays) {
  host_local_file("10.1.0.2", "gone\r\neth0");
  host_local_file("10.1.0.3", "old\r\neth0");
  host_local_file("10.1.0.4", "old-and-inside\r\neth0");
  host_local_file("10.1.0.5", "lives");
  host.start("/run/netns/lives");
  host.inside["/run/netns/lives"] = {{.address = prefix("10.1.0.4/29"), .interface = "eth0"}};
  put(places.cni_cache / "net-gone-eth0", cached("gone", "/run/netns/gone", "10.1.0.2/29"));
  put(places.cni_cache / "net-lives-eth0", cached("lives", "/run/netns/lives", "10.1.0.5/29"));
  host.booted = clock.now().wall + 1h;  // after all of them were written
  std::map<std::string, bool> adopted;
  for (const Found& found : leases().adopt("net", *fixed(offer))) {
    adopted[found.lease.key.container_id] = found.adopted;
    EXPECT_NE(found.evidence, "");
  }
  EXPECT_EQ(adopted,
            (std::map<std::string, bool>{
                {"gone", false}, {"old", false}, {"old-and-inside", true}, {"lives", true}}));
  EXPECT_THAT(all(), ElementsAre("old-and-inside/eth0 10.1.0.4/29", "lives/eth0 10.1.0.5/29"));
}

TEST_F(ReclaimTest, ADamagedStoreIsGatheredFromTheMachine) {
  add("a");
  host.inside[netns_of("a")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
    fs::remove(data_dir / name);
  }
  put(data_dir / "podlease.db", std::string(5000, 'x'));
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("netns:a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
}

TEST_F(ReclaimTest, AnotherNetworkMayHaveTheSameAddresses) {
  add("a");
  host.inside[netns_of("a")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  network = "blue";
  EXPECT_EQ(add("b"), "10.1.0.2/29 untouched");
}

// §5.1: ADD.

TEST_F(LeasesTest, LeasesTheLowestUntouchedAddress) {
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add("c"), "10.1.0.4/29 untouched");
}

TEST_F(LeasesTest, RecordsWhatIsKnownOfTheAttachment) {
  offer = offer_of(R"("ranges": [[{"subnet": "fd00::/125", "gateway": "fe80::1"}],
                                 [{"subnet": "10.1.0.0/29"}]])");
  AddRequest wish = request("a");
  wish.pod = {.name_space = "shop", .name = "web-0", .uid = "u-1"};
  grant(wish);
  const std::vector<store::Lease> held =
      leases().held_by({.network = "net", .container_id = "a", .ifname = "eth0"});
  ASSERT_THAT(held, SizeIs(2));
  EXPECT_EQ(held[0].key, wish.key);
  EXPECT_EQ(held[0].address, fakes::prefix("fd00::1/125"));
  EXPECT_EQ(held[0].gateway, address("fe80::1"));
  EXPECT_EQ(held[0].range_set, 0);
  EXPECT_EQ(held[1].address, fakes::prefix("10.1.0.2/29"));
  EXPECT_EQ(held[1].gateway, address("10.1.0.1"));
  EXPECT_EQ(held[1].range_set, 1);
  for (const store::Lease& lease : held) {
    EXPECT_EQ(lease.pod, wish.pod);
    EXPECT_EQ(lease.source, "static");
    EXPECT_EQ(lease.created, clock.now().wall);
    EXPECT_EQ(lease.presence.boot_id, "boot-1");
    EXPECT_EQ(lease.presence.netns, netns_of("a"));
    EXPECT_EQ(lease.presence.netns_inode, host.namespaces[netns_of("a")].id.inode);
    EXPECT_EQ(lease.presence.netns_device, host.namespaces[netns_of("a")].id.device);
  }
}

TEST_F(LeasesTest, RepeatedAddGivesTheSameAddresses) {
  offer = offer_of(kDual);
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched, fd00::2/125 untouched");
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched, fd00::3/125 untouched");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/125 held");
  }
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29", "a/eth0 fd00::2/125",
                                 "b/eth0 fd00::3/125"));
}

TEST_F(LeasesTest, RepeatedAddKeepsItsAddressesWhenTheRangesChange) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  for (const char* const ipam : {
           R"("subnet": "10.1.0.0/29", "exclude": ["10.1.0.2"])",
           R"("subnet": "10.1.0.0/29", "gateway": "10.1.0.2")",
           R"("subnet": "10.1.0.0/16")",
           R"("subnet": "10.1.0.0/29", "rangeStart": "10.1.0.4")",
           R"("subnet": "10.7.0.0/24")",
           R"("subnet": "fd00::/64")",
           kDual,
           R"("prefix": "host", "subnet": "10.1.0.0/29")",
       }) {
    offer = offer_of(ipam);
    EXPECT_EQ(add("a"), "10.1.0.2/29 held") << ipam;
  }
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29"));
}

TEST_F(LeasesTest, RepeatedAddWorksInAFullRange) {
  ASSERT_EQ(fill(), 5);
  EXPECT_EQ(add("c3"), "10.1.0.4/29 held");
  EXPECT_EQ(add("c3", {"10.1.0.4"}), "10.1.0.4/29 held");
}

TEST_F(LeasesTest, RepeatedAddRefreshesThePresence) {
  add("a");
  // podman keeps container ids over a reboot.
  host.reboot();
  clock.reboot();
  AddRequest again = request("a");
  again.netns = "/run/netns/another";
  host.start(again.netns);
  EXPECT_EQ(text_of(grant(again)), "10.1.0.2/29 held");
  const std::vector<store::Lease> held = all_leases();
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].presence.boot_id, "boot-2");
  EXPECT_EQ(held[0].presence.netns, "/run/netns/another");
  EXPECT_EQ(held[0].presence.netns_inode, host.namespaces[again.netns].id.inode);
  EXPECT_TRUE(leases().lives(held[0]));
}

TEST_F(LeasesTest, InterfacesAndNetworksAreAttachmentsOfTheirOwn) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  AddRequest other_interface = request("a");
  other_interface.key.ifname = "eth1";
  EXPECT_EQ(text_of(grant(other_interface)), "10.1.0.3/29 untouched");
  network = "other";
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched");
  EXPECT_THAT(del("a"), ElementsAre("10.1.0.2"));
  network = "net";
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "a/eth1 10.1.0.3/29"));
  EXPECT_THAT(del("a"), ElementsAre("10.1.0.2"));
  EXPECT_THAT(all(), ElementsAre("a/eth1 10.1.0.3/29"));
}

TEST_F(LeasesTest, ARequestForOtherAddressesUnderALiveKeyNamesWhatItHolds) {
  offer = offer_of(kDual);
  add("a");
  const Thrown other = refusal("a", {"10.1.0.5"});
  EXPECT_EQ(other.kind, ErrorKind::kAddressTaken);
  EXPECT_THAT(other.message, AllOf(HasSubstr("10.1.0.5"), HasSubstr("10.1.0.2"),
                                   HasSubstr("fd00::2"), HasSubstr("runtimeConfig.ips[0]")));
  EXPECT_EQ(refusal("a", {"10.1.0.2", "fd00::3"}).kind, ErrorKind::kAddressTaken);
  EXPECT_EQ(add("a", {"fd00::2"}), "10.1.0.2/29 held, fd00::2/125 held");
  EXPECT_EQ(add("a", {"fd00::2", "10.1.0.2"}), "10.1.0.2/29 held, fd00::2/125 held");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "a/eth0 fd00::2/125"));
}

TEST_F(LeasesTest, LeasesARequestedAddressOfEachSet) {
  offer = offer_of(kDual);
  EXPECT_EQ(add("a", {"10.1.0.5"}), "10.1.0.5/29 requested, fd00::2/125 untouched");
  EXPECT_EQ(add("b", {"fd00::6", "10.1.0.4"}), "10.1.0.4/29 requested, fd00::6/125 requested");
  EXPECT_EQ(add("c"), "10.1.0.2/29 untouched, fd00::3/125 untouched");
}

TEST_F(LeasesTest, RefusesRequestsThatCannotBeServed) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29",
      "gateway": "10.2.0.4"}], [{"subnet": "fd00::/125"}]], "exclude": ["10.1.0.5"])");
  AddRequest holder = request("holder", {"10.1.0.3"});
  holder.pod = {.name_space = "shop", .name = "web-0", .uid = "u-1"};
  grant(holder);
  host.hold(address("10.1.0.4"));
  host.hold(address("fd00::4"), AddressHolder::Kind::kRoute);
  const struct {
    std::vector<std::string> requested;
    ErrorKind kind;
    std::vector<std::string> says;
  } cases[] = {
      {{"10.1.0.3"},
       ErrorKind::kAddressTaken,
       {"10.1.0.3", "holder", "eth0", "shop/web-0", "runtimeConfig.ips[0]"}},
      {{"10.1.0.4"}, ErrorKind::kAddressTaken, {"10.1.0.4", "eth7"}},
      {{"fd00::4"}, ErrorKind::kAddressTaken, {"fd00::4", "route", "eth7"}},
      {{"10.1.0.5"}, ErrorKind::kConfig, {"10.1.0.5", "excluded"}},
      {{"10.1.0.1"}, ErrorKind::kConfig, {"10.1.0.1", "gateway", "ipam.ranges[0][0]"}},
      {{"10.2.0.4"}, ErrorKind::kConfig, {"10.2.0.4", "gateway", "ipam.ranges[0][1]"}},
      {{"10.1.0.0"}, ErrorKind::kConfig, {"failed to allocate all requested IPs: 10.1.0.0"}},
      {{"10.1.0.7"}, ErrorKind::kConfig, {"failed to allocate all requested IPs: 10.1.0.7"}},
      {{"192.0.2.1"}, ErrorKind::kConfig, {"failed to allocate all requested IPs: 192.0.2.1"}},
      {{"fd00::9"}, ErrorKind::kConfig, {"failed to allocate all requested IPs: fd00::9"}},
      {{"10.1.0.2", "10.2.0.2"}, ErrorKind::kConfig, {"all requested IPs: 10.2.0.2"}},
      {{"fd00::5", "fd00::3", "fd00::6"}, ErrorKind::kConfig, {"fd00::3 fd00::6"}},
      {{"10.1.0.2", "10.1.0.3"}, ErrorKind::kConfig, {"all requested IPs: 10.1.0.3"}},
  };
  for (const auto& one : cases) {
    const Thrown refused = refusal("a", one.requested);
    const std::string what = join(one.requested, " ");
    EXPECT_EQ(refused.kind, one.kind) << what << ": " << refused.message;
    for (const std::string& part : one.says) {
      EXPECT_THAT(refused.message + " " + refused.details, HasSubstr(part)) << what;
    }
    EXPECT_THAT(held_by("a"), IsEmpty()) << what;
  }
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched, fd00::3/125 untouched");
}

TEST_F(LeasesTest, ARequestForTheGatewayOfAnotherRangeIsRefusedAsThat) {
  offer = offer_of(R"("ranges": [
    [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.19"},
     {"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9", "gateway": "10.1.0.15"}]])");
  for (const char* const gateway : {"10.1.0.1", "10.1.0.15"}) {
    const Thrown refused = refusal("a", {gateway});
    EXPECT_EQ(refused.kind, ErrorKind::kConfig);
    EXPECT_THAT(refused.message, HasSubstr("gateway")) << gateway;
  }
}

TEST_F(LeasesTest, ARequestedAddressNeedsNoCoolDown) {
  add("a", {"10.1.0.4"});
  del("a");
  EXPECT_EQ(add("b", {"10.1.0.4"}), "10.1.0.4/29 requested");
  EXPECT_EQ(clock.sleeps(), 0);
}

TEST_F(LeasesTest, TakesOverARequestedAddressOnlyFromTheCertainlyDead) {
  const auto nothing = [](Node& /*node*/) {};
  const struct {
    const char* what;
    std::string holder_netns;
    std::string netns;
    std::function<void(Node&)> happens;
    bool taken_over;
  } cases[] = {
      {"its namespace lives", "/run/netns/h", "/run/netns/a", nothing, false},
      {"its namespace is gone", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.end("/run/netns/h"); }, true},
      {"another namespace has its path", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.start("/run/netns/h"); }, true},
      {"something else has its path", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.hide("/run/netns/h"); }, false},
      {"the requester is in another folder", "/run/netns/h", "/var/run/docker/netns/a",
       [](Node& node) { node.host.end("/run/netns/h"); }, false},
      {"the requester's namespace cannot be seen", "/run/netns/h", "/run/netns/a",
       [](Node& node) {
         node.host.end("/run/netns/h");
         node.host.hide("/run/netns/a");
       },
       false},
      {"its process is gone", "/proc/77/ns/net", "/proc/78/ns/net",
       [](Node& node) { node.host.end("/proc/77/ns/net"); }, false},
      {"the machine has booted", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.reboot(); }, true},
      {"the machine has booted and its namespace's path is taken", "/proc/77/ns/net",
       "/run/netns/a",
       [](Node& node) {
         node.host.reboot();
         node.host.start("/proc/77/ns/net");
       },
       true},
      {"its namespace was never seen", "", "/run/netns/a", nothing, false},
  };
  for (const auto& one : cases) {
    Node node;
    AddRequest holder = node.request("h", {"10.1.0.4"});
    holder.netns = one.holder_netns;
    node.grant(holder);
    one.happens(node);
    AddRequest wish = node.request("a", {"10.1.0.4"});
    wish.netns = one.netns;
    if (one.taken_over) {
      EXPECT_EQ(text_of(node.grant(wish)), "10.1.0.4/29 requested") << one.what;
      EXPECT_THAT(node.all(), ElementsAre("a/eth0 10.1.0.4/29")) << one.what;
    } else {
      EXPECT_EQ(thrown_by([&] { node.grant(wish); }).kind, ErrorKind::kAddressTaken) << one.what;
      EXPECT_THAT(node.all(), ElementsAre("h/eth0 10.1.0.4/29")) << one.what;
    }
  }
}

TEST_F(LeasesTest, APodTakesOverWhatItsFormerSandboxHeld) {
  // The process whose namespace it was is gone; of another pod that would prove nothing.
  AddRequest former = request("sandbox1", {"10.1.0.4"});
  former.netns = "/proc/77/ns/net";
  former.pod = {.name_space = "shop", .name = "web-0", .uid = "u-1"};
  grant(former);
  AddRequest next = request("sandbox2", {"10.1.0.4"});
  next.netns = "/proc/78/ns/net";
  next.pod = former.pod;
  EXPECT_EQ(thrown_by([&] { grant(next); }).kind, ErrorKind::kAddressTaken) << "it lives";
  host.end("/proc/77/ns/net");
  AddRequest stranger = next;
  stranger.pod.uid = "u-2";
  EXPECT_EQ(thrown_by([&] { grant(stranger); }).kind, ErrorKind::kAddressTaken);
  stranger.pod.uid = "";
  EXPECT_EQ(thrown_by([&] { grant(stranger); }).kind, ErrorKind::kAddressTaken);
  AddRequest second_interface = next;
  second_interface.key.ifname = "eth1";
  EXPECT_EQ(thrown_by([&] { grant(second_interface); }).kind, ErrorKind::kAddressTaken);
  EXPECT_EQ(text_of(grant(next)), "10.1.0.4/29 requested");
  EXPECT_THAT(all(), ElementsAre("sandbox2/eth0 10.1.0.4/29"));
}

TEST_F(LeasesTest, DoesNotTakeOverWhatTheHostHoldsByNow) {
  add("h", {"10.1.0.4"});
  host.reboot();
  clock.reboot();
  host.hold(address("10.1.0.4"));
  const Thrown refused = refusal("a", {"10.1.0.4"});
  EXPECT_EQ(refused.kind, ErrorKind::kAddressTaken);
  EXPECT_THAT(refused.message, HasSubstr("eth7"));
  EXPECT_THAT(all(), ElementsAre("h/eth0 10.1.0.4/29"));
}

TEST_F(LeasesTest, DoesNotTakeOverAnAdoptedLease) {
  host_local_file("10.1.0.4", "old\r\neth0");
  EXPECT_EQ(refusal("a", {"10.1.0.4"}).kind, ErrorKind::kAddressTaken);
}

TEST_F(LeasesTest, LeasesOfEveryFamilyOrNone) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}],
      [{"subnet": "fd00::/125", "rangeStart": "fd00::2", "rangeEnd": "fd00::3"}]])");
  EXPECT_EQ(fill(), 2);
  const Thrown refused = refusal("late");
  EXPECT_EQ(refused.kind, ErrorKind::kExhausted);
  EXPECT_THAT(refused.message, AllOf(HasSubstr("range 1"), HasSubstr("fd00::2-fd00::3")));
  EXPECT_THAT(held_by("late"), IsEmpty());
  EXPECT_THAT(all(), SizeIs(4));
  EXPECT_EQ(refusal("late", {"10.1.0.4", "fd00::3"}).kind, ErrorKind::kAddressTaken);
  EXPECT_THAT(all(), SizeIs(4));
  del("c2");
  clock.pass(2s);
  // What was not given to "late" was not touched either.
  EXPECT_EQ(add("late"), "10.1.0.4/29 untouched, fd00::3/125 pressed");
}

TEST_F(LeasesTest, LeasesNothingWhenNobodyWaitsAnyMore) {
  offer = offer_of(kDual);
  int asked = 0;
  const Thrown refused = thrown_by([&] {
    host.start(netns_of("a"));
    static_cast<void>(leases().add(request("a"), *fixed(offer), [&] {
      ++asked;
      return false;
    }));
  });
  EXPECT_EQ(refused.kind, ErrorKind::kOther);
  EXPECT_EQ(asked, 1);
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_EQ(add("b"), "10.1.0.2/29 untouched, fd00::2/125 untouched");
}

TEST_F(LeasesTest, ARepeatedAddThatNobodyWaitsForChangesNothing) {
  add("a");
  AddRequest again = request("a");
  again.netns = "/run/netns/another";
  EXPECT_EQ(thrown_by([&] {
              static_cast<void>(leases().add(again, *fixed(offer), [] { return false; }));
            }).kind,
            ErrorKind::kOther);
  const std::vector<store::Lease> held = all_leases();
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].presence.netns, netns_of("a"));
}

TEST_F(LeasesTest, TellsTheLogWhatItDid) {
  add("a");
  del("a");
  EXPECT_THAT(log_text(), AllOf(HasSubstr("ADD net a eth0: 10.1.0.2/29"),
                                HasSubstr("DEL net a eth0: 10.1.0.2/29")));
}

// §5.2: DEL.

TEST_F(LeasesTest, ReleaseEndsTheLeasesOfAllFamilies) {
  offer = offer_of(kDual);
  add("a");
  add("b");
  EXPECT_THAT(del("a"), ElementsAre("10.1.0.2", "fd00::2"));
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29", "b/eth0 fd00::3/125"));
}

TEST_F(LeasesTest, ReleasingTheUnknownIsSuccessAndLeavesNothingBehind) {
  EXPECT_THAT(del("nobody"), IsEmpty());
  EXPECT_FALSE(fs::exists(data_dir)) << "a DEL made a store";
  EXPECT_FALSE(fs::exists(places.registry));
  add("a");
  EXPECT_THAT(del("nobody"), IsEmpty());
  EXPECT_THAT(del("a"), SizeIs(1));
  EXPECT_THAT(del("a"), IsEmpty());
}

TEST_F(LeasesTest, ReleaseFindsTheStoreTheConfigurationNoLongerNames) {
  add("a");
  const fs::path elsewhere = folder.path() / "elsewhere";
  const AttachmentKey key{.network = "net", .container_id = "a", .ifname = "eth0"};
  EXPECT_THAT(leases_in(elsewhere).release(key), SizeIs(1));
  EXPECT_FALSE(fs::exists(elsewhere));
  EXPECT_THAT(all(), IsEmpty());
  // Also where the named one is a store too.
  add("a");
  static_cast<void>(leases_in(elsewhere).add(request("b"), *fixed(offer), always));
  EXPECT_THAT(leases_in(elsewhere).release(key), SizeIs(1));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, ReleaseWorksWithoutANetworkName) {
  offer = offer_of(kDual);
  add("a");
  add("b");
  EXPECT_THAT(leases().release({.network = "", .container_id = "a", .ifname = "eth1"}), IsEmpty());
  EXPECT_THAT(leases().release({.network = "", .container_id = "a", .ifname = "eth0"}), SizeIs(2));
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(leases_in(folder.path() / "elsewhere")
                  .release({.network = "", .container_id = "b", .ifname = "eth0"}),
              SizeIs(2));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, ReleaseTouchesNoOtherNetwork) {
  add("a");
  EXPECT_THAT(leases().release({.network = "other", .container_id = "a", .ifname = "eth0"}),
              IsEmpty());
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, ReleaseOfThisVeryPodFindsANetworkThatWasRenamed) {
  offer = offer_of(kDual);
  ipam::AddRequest ours = request("a");
  ours.pod.uid = "uid-a";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  const auto end = [&](const std::string& ifname, const std::string& uid) {
    return leases().release({.network = "new", .container_id = "a", .ifname = ifname}, {}, uid);
  };
  EXPECT_THAT(end("eth1", "uid-a"), IsEmpty());
  EXPECT_THAT(end("eth0", "uid-b"), IsEmpty());
  EXPECT_THAT(end("eth0", ""), IsEmpty());
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(end("eth0", "uid-a"), SizeIs(2));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, ReleasePrefersTheNetworkThatItNames) {
  ipam::AddRequest ours = request("a");
  ours.pod.uid = "uid-a";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  ours.key.network = "new";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  EXPECT_THAT(
      leases().release({.network = "new", .container_id = "a", .ifname = "eth0"}, {}, "uid-a"),
      SizeIs(1));
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, ReleaseIsNotHinderedByADamagedStoreElsewhere) {
  const fs::path damaged = folder.path() / "damaged";
  put(damaged / "lock", "");
  put(damaged / "podlease.db", std::string(5000, 'x'));
  store::Registry(places.registry).add(damaged);
  add("a");  // its store comes after the damaged one in the list
  const AttachmentKey key{.network = "net", .container_id = "a", .ifname = "eth0"};
  EXPECT_THAT(leases_in(folder.path() / "elsewhere").release(key), SizeIs(1));
  add("a");
  EXPECT_THAT(leases_in(damaged).release(key), SizeIs(1)) << "the configuration names the damaged";
  EXPECT_THAT(all(), IsEmpty());
  // Nowhere to be found: it may have been in the damaged one, which is the configured one.
  EXPECT_THAT(leases_in(damaged).release(key), IsEmpty());
  EXPECT_FALSE(fs::exists(damaged / "podlease.db"));
}

TEST_F(LeasesTest, ReleaseOfAFolderThatIsGoneIsSuccess) {
  add("a");
  fs::remove_all(data_dir);
  EXPECT_THAT(del("a"), IsEmpty());
}

TEST_F(LeasesTest, AReleaseThatCannotHaveTheLockSaysBusy) {
  add("a");
  const UniqueFd held(::open((data_dir / "lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  const Leases hasty(host, clock, log, places, data_dir, 50ms);
  EXPECT_EQ(thrown_by([&] {
              hasty.release({.network = "net", .container_id = "a", .ifname = "eth0"});
            }).kind,
            ErrorKind::kBusy);
  EXPECT_EQ(
      thrown_by([&] { static_cast<void>(hasty.add(request("b"), *fixed(offer), always)); }).kind,
      ErrorKind::kBusy);
}

TEST_F(LeasesTest, EndEndsExactlyThatAttachmentAndAllOfIt) {
  offer = offer_of(kDual);
  add("a");
  const store::Lease lease = all_leases().back();
  EXPECT_EQ(thrown_by([&] { static_cast<void>(leases().end(lease, false)); }).kind,
            ErrorKind::kOther)
      << "it is alive";
  host.end(netns_of("a"));
  EXPECT_THAT(leases().end(lease, false), SizeIs(2));
  EXPECT_THAT(leases().end(lease, false), IsEmpty()) << "free by now";
  add("b", {"10.1.0.2", lease.address.address().to_string()});
  EXPECT_THAT(leases().end(lease, true), IsEmpty()) << "somebody else's by now";
  EXPECT_THAT(leases_in(folder.path() / "elsewhere").end(lease, true), IsEmpty());
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(leases().end(all_leases().front(), true), SizeIs(2));
}

// §5.4: GC.

TEST_F(LeasesTest, CollectEndsWhatIsNotValidAndNotAlive) {
  offer = offer_of(kDual);
  for (const char* const container : {"a", "b", "c", "d"}) {
    add(container);
  }
  host.end(netns_of("a"));  // listed
  host.end(netns_of("b"));
  host.start(netns_of("c"));  // another namespace at its path
  leases().collect("net", {{.network = "net", .container_id = "a", .ifname = "eth0"},
                           {.network = "net", .container_id = "b", .ifname = "eth1"},
                           {.network = "net", .container_id = "x", .ifname = "eth0"}});
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "d/eth0 10.1.0.5/29", "a/eth0 fd00::2/125",
                                 "d/eth0 fd00::5/125"));
  EXPECT_THAT(log_text(), AllOf(HasSubstr("container d eth0 is not among the valid"),
                                HasSubstr("10.1.0.3/29 of container b eth0 ended")));
}

TEST_F(LeasesTest, CollectWithNothingValidKeepsTheLivingOnly) {
  add("a");
  add("b");
  host.end(netns_of("a"));
  leases().collect("net", {});
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29"));
}

TEST_F(LeasesTest, CollectKnowsThatABootEndsEveryNamespace) {
  add("a");
  const auto before = host.namespaces;
  host.reboot();
  clock.reboot();
  // Inode numbers start anew: the same path may be the same number again.
  host.namespaces = before;
  leases().collect("net", {});
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, CollectTouchesNoOtherNetworkAndMakesNoStore) {
  leases().collect("net", {});
  EXPECT_FALSE(fs::exists(data_dir));
  add("a");
  host.end(netns_of("a"));
  leases().collect("other", {});
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, CollectMatchesAnOldAdoptedLeaseByItsContainer) {
  host_local_file("10.1.0.3", "old");
  host_local_file("10.1.0.4", "older");
  leases().adopt("net", *fixed(offer));
  leases().collect("net", {{.network = "net", .container_id = "old", .ifname = "net7"}});
  EXPECT_THAT(all(), ElementsAre("old/ 10.1.0.3/29"));
}

// §5.8: the guard.

TEST_F(LeasesTest, RefusesARangeThatHoldsTheNodeOrItsGateway) {
  const struct {
    const char* ipam;
    const char* own;
    const char* gateway;
    const char* says;  // nothing: it is fine
  } cases[] = {
      {R"("subnet": "10.1.0.0/16")", "10.1.2.3/32", "192.0.2.1", "10.1.2.3"},
      {R"("subnet": "10.1.0.0/16")", "10.1.2.3/24", "10.1.2.1", "10.1.2.3"},
      {R"("subnet": "10.1.0.0/16")", "192.0.2.3/24", "10.1.2.1", "10.1.2.1"},
      {R"("subnet": "10.1.0.0/16")", "192.0.2.3/24", "", nullptr},
      {R"("subnet": "10.1.0.0/16", "exclude": ["10.1.2.0/24"])", "10.1.2.3/24", "10.1.2.1",
       nullptr},
      {R"("subnet": "10.1.0.0/16", "rangeStart": "10.1.3.0")", "10.1.2.3/24", "10.1.2.1", nullptr},
      {R"("ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00::/64"}]])", "fd00::77/128",
       "fe80::1", "fd00::77"},
      {R"("ranges": [[{"subnet": "10.9.0.0/24"}, {"subnet": "10.1.0.0/16"}]])", "10.1.2.3/32", "",
       "ipam.ranges[0][1]"},
      // Flat L2: the pods live in the node's own subnet.
      {R"("subnet": "10.1.0.0/24")", "10.1.0.3/24", "10.1.0.1", nullptr},
      {R"("subnet": "10.1.0.0/25")", "10.1.0.3/24", "10.1.0.1", nullptr},
  };
  for (const auto& one : cases) {
    Node node;
    node.offer = offer_of(one.ipam);
    node.host.set_uplink(one.own, one.gateway);
    const std::string what = std::string(one.ipam) + " on " + one.own + " by " + one.gateway;
    const Thrown refused = node.refusal("a");
    if (one.says == nullptr) {
      EXPECT_EQ(refused.kind, std::nullopt) << what << ": " << refused.message;
    } else {
      EXPECT_EQ(refused.kind, ErrorKind::kConfig) << what;
      EXPECT_THAT(refused.message, AllOf(HasSubstr(one.says), HasSubstr("eth0"))) << what;
      EXPECT_THAT(node.all(), IsEmpty()) << what;
    }
  }
}

TEST_F(LeasesTest, OnAFlatNetworkTheNodeAndItsGatewayAreHeldBack) {
  offer = offer_of(R"("subnet": "10.1.0.0/29", "gateway": "none")");
  host.set_uplink("10.1.0.3/24", "10.1.0.1");
  EXPECT_EQ(refusal("x", {"10.1.0.3"}).kind, ErrorKind::kAddressTaken);
  EXPECT_EQ(refusal("x", {"10.1.0.1"}).kind, ErrorKind::kAddressTaken);
  EXPECT_EQ(fill(), 4);
  EXPECT_THAT(all(), ElementsAre("c1/eth0 10.1.0.2/29", "c2/eth0 10.1.0.4/29",
                                 "c3/eth0 10.1.0.5/29", "c4/eth0 10.1.0.6/29"));
}

TEST_F(LeasesTest, PassesOverWhatTheHostHolds) {
  host.hold(address("10.1.0.2"));
  host.hold(address("10.1.0.4"), AddressHolder::Kind::kRoute);
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add("b"), "10.1.0.5/29 untouched");
  EXPECT_EQ(add("c"), "10.1.0.6/29 untouched");
  EXPECT_EQ(refusal("d").kind, ErrorKind::kExhausted);
  // What was passed over is as untouched as before.
  host.holders.clear();
  EXPECT_EQ(add("d"), "10.1.0.2/29 untouched");
}

TEST_F(LeasesTest, PassesOverFreedAddressesTheHostHolds) {
  ASSERT_EQ(fill(), 5);
  for (const char* const container : {"c1", "c2", "c3"}) {
    del(container);
  }
  host.hold(address("10.1.0.2"));
  clock.pass(10s);
  EXPECT_EQ(add("x"), "10.1.0.3/29 pressed");
  clock.pass(30s);
  EXPECT_EQ(add("y"), "10.1.0.4/29 cooled");
  EXPECT_EQ(refusal("z").kind, ErrorKind::kExhausted);
  host.holders.clear();
  EXPECT_EQ(add("z"), "10.1.0.2/29 cooled");
}

TEST_F(LeasesTest, HundredsOfHeldAddressesHideNoneThatIsFree) {
  offer = offer_of(R"("subnet": "10.1.0.0/22")");
  for (std::uint32_t i = 2; i < 900; ++i) {
    host.hold(net::Address::v4((10U << 24) + (1U << 16) + i), AddressHolder::Kind::kRoute);
  }
  EXPECT_EQ(add("a"), "10.1.3.132/22 untouched");
  EXPECT_EQ(add("b"), "10.1.3.133/22 untouched");
  // The last free one of the range, all else being the host's.
  for (std::uint32_t i = 902; i < 1022; ++i) {
    host.hold(net::Address::v4((10U << 24) + (1U << 16) + i), AddressHolder::Kind::kRoute);
  }
  EXPECT_EQ(add("c"), "10.1.3.254/22 untouched");
  const Thrown refused = refusal("d");
  EXPECT_EQ(refused.kind, ErrorKind::kExhausted);
  EXPECT_THAT(refused.details, AllOf(HasSubstr("3 used"), HasSubstr("1018 free but held")));
}

// §4: the order of choice.

TEST_F(LeasesTest, PrefersTheUntouchedToTheCooled) {
  add("a");
  del("a");
  clock.pass(1h);
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
}

TEST_F(LeasesTest, OfFreedAddressesTheOldestComesFirst) {
  ASSERT_EQ(fill(), 5);
  for (const char* const container : {"c4", "c1", "c5"}) {
    del(container);
    clock.pass(5s);
  }
  clock.pass(20s);
  EXPECT_EQ(add("x"), "10.1.0.5/29 cooled") << "freed 35 s ago";
  EXPECT_EQ(add("y"), "10.1.0.2/29 cooled") << "freed 30 s ago";
  EXPECT_EQ(add("z"), "10.1.0.6/29 pressed") << "freed 25 s ago";
}

TEST_F(LeasesTest, CoolsForExactlyTheCoolDown) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.pass(29'999ms);
  AddRequest wish = request("x");
  EXPECT_EQ(text_of(leases().rehearse(wish, *fixed(offer))), "10.1.0.2/29 pressed");
  clock.pass(1ms);
  EXPECT_EQ(text_of(leases().rehearse(wish, *fixed(offer))), "10.1.0.2/29 cooled");
  wish.cooldown = 31s;
  EXPECT_EQ(text_of(leases().rehearse(wish, *fixed(offer))), "10.1.0.2/29 pressed");
}

TEST_F(LeasesTest, WaitsOutTheSecondAfterARelease) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.pass(300ms);
  EXPECT_EQ(add("x"), "10.1.0.2/29 pressed");
  EXPECT_EQ(clock.sleeps(), 1);
  EXPECT_EQ(clock.slept(), 700ms);
}

TEST_F(LeasesTest, WaitsWithTheStoreUnlocked) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.on_sleep = [&] { EXPECT_THAT(all(), SizeIs(4)); };  // needs the lock
  EXPECT_EQ(add("x"), "10.1.0.2/29 pressed");
}

TEST_F(LeasesTest, SaysBusyWhenTheAwaitedAddressIsGoneAgain) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.on_sleep = [&] {
    clock.on_sleep = nullptr;
    add("quicker");
    del("quicker");
  };
  const Thrown refused = refusal("x");
  EXPECT_EQ(refused.kind, ErrorKind::kBusy);
  EXPECT_THAT(refused.message, HasSubstr("net"));
  EXPECT_EQ(clock.sleeps(), 1);
  EXPECT_THAT(all(), SizeIs(4));
}

TEST_F(LeasesTest, IsExhaustedWhenTheAwaitedAddressIsLeasedMeanwhile) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.on_sleep = [&] {
    clock.on_sleep = nullptr;
    add("quicker", {"10.1.0.2"});
  };
  EXPECT_EQ(refusal("x").kind, ErrorKind::kExhausted);
}

TEST_F(LeasesTest, WaitsOnceForBothFamilies) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125",
                      "rangeStart": "fd00::2", "rangeEnd": "fd00::6"}]])");
  ASSERT_EQ(fill(), 5);
  del("c2");
  EXPECT_EQ(add("x"), "10.1.0.3/29 pressed, fd00::3/125 pressed");
  EXPECT_EQ(clock.sleeps(), 1);
}

TEST_F(LeasesTest, CoolDownZeroSwitchesBothWaitsOff) {
  cooldown = 0s;
  ASSERT_EQ(fill(), 5);
  del("c2");
  EXPECT_EQ(add("x"), "10.1.0.3/29 cooled");
  EXPECT_EQ(clock.sleeps(), 0);
}

TEST_F(LeasesTest, AClockSetForwardCoolsNothing) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.set_wall(24h);
  clock.pass(5s);
  EXPECT_EQ(add("x"), "10.1.0.2/29 pressed");
}

TEST_F(LeasesTest, AClockSetBackKeepsNothingForLong) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  clock.set_wall(-24h);
  clock.pass(31s);
  EXPECT_EQ(add("x"), "10.1.0.2/29 cooled");
}

TEST_F(LeasesTest, AcrossABootTheWallClockCounts) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  del("c2");
  del("c3");
  host.reboot();
  clock.reboot(10s);
  EXPECT_EQ(add("x"), "10.1.0.2/29 pressed") << "10 s ago";
  clock.pass(20s);
  EXPECT_EQ(add("y"), "10.1.0.3/29 cooled") << "30 s ago";
  clock.set_wall(-48h);
  EXPECT_EQ(add("z"), "10.1.0.4/29 cooled") << "from the future: who knows when";
}

TEST_F(LeasesTest, GoesThroughTheRangesOfASetInOrder) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.9.0.0/30"}, {"subnet": "10.1.0.0/30"},
                                  {"subnet": "10.5.0.0/29", "rangeEnd": "10.5.0.3"}]])");
  EXPECT_EQ(add("a"), "10.9.0.2/30 untouched");
  EXPECT_EQ(add("b"), "10.1.0.2/30 untouched");
  EXPECT_EQ(add("c"), "10.5.0.2/29 untouched");
  EXPECT_EQ(add("d"), "10.5.0.3/29 untouched");
  const Thrown full = refusal("e");
  EXPECT_THAT(full.message, HasSubstr("no IP addresses available in range set: "
                                      "10.9.0.1-10.9.0.2,10.1.0.1-10.1.0.2,10.5.0.1-10.5.0.3"));
  for (const char* const container : {"d", "b", "a"}) {
    del(container);
    clock.pass(10s);
  }
  EXPECT_EQ(add("f"), "10.5.0.3/29 cooled") << "the only one that is cool";
  EXPECT_EQ(add("g"), "10.1.0.2/30 pressed") << "freed longest ago";
  EXPECT_EQ(add("h"), "10.9.0.2/30 pressed");
}

TEST_F(LeasesTest, AnEarlierRangesCooledAddressComesBeforeALaterRangesUntouched) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.9.0.0/30"}, {"subnet": "10.1.0.0/29"}]])");
  add("a");
  del("a");
  EXPECT_EQ(add("b"), "10.1.0.2/29 untouched") << "the first range's only one is cooling";
  clock.pass(30s);
  EXPECT_EQ(add("c"), "10.9.0.2/30 cooled");
}

TEST_F(LeasesTest, RangesMayBeEditedBackAndForth) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add("b"), "10.1.0.3/29 untouched");
  offer = offer_of(R"("subnet": "10.2.0.0/29")");
  EXPECT_EQ(add("c"), "10.2.0.2/29 untouched");
  del("a");  // from outside every range
  clock.pass(1h);
  EXPECT_EQ(add("d"), "10.2.0.3/29 untouched");
  offer = offer_of(R"("subnet": "10.1.0.0/29", "exclude": ["10.1.0.4", "10.1.0.6"])");
  EXPECT_EQ(add("e"), "10.1.0.5/29 untouched");
  EXPECT_EQ(add("f"), "10.1.0.2/29 cooled");
  EXPECT_EQ(refusal("g").kind, ErrorKind::kExhausted);
  offer = offer_of(kSmall);
  EXPECT_EQ(add("g"), "10.1.0.4/29 untouched");
  EXPECT_EQ(add("h"), "10.1.0.6/29 untouched");
}

TEST_F(LeasesTest, ServesTheWholeOfIpv6) {
  offer = offer_of(R"("prefix": "host", "subnet": "::/0")");
  EXPECT_EQ(add("a"), "::/128 untouched");
  EXPECT_EQ(add("b", {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 requested");
  EXPECT_EQ(add("c"), "::1/128 untouched");
  EXPECT_THAT(all(), SizeIs(3));
}

TEST_F(LeasesTest, ServesTheTopOfAFamily) {
  offer = offer_of(R"("prefix": "host", "subnet": "255.255.255.254/31")");
  EXPECT_EQ(add("a"), "255.255.255.254/32 untouched");
  EXPECT_EQ(add("b"), "255.255.255.255/32 untouched");
  EXPECT_EQ(refusal("c").kind, ErrorKind::kExhausted);
}

TEST_F(LeasesTest, ExhaustionSaysWhereAndHowMuch) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]],
                      "exclude": ["10.1.0.2-10.1.0.4", "10.2.0.4/30"])");
  host.hold(address("10.1.0.5"));
  EXPECT_EQ(fill(), 3);  // 10.1.0.6, 10.2.0.2, 10.2.0.3
  const Thrown refused = refusal("x");
  EXPECT_EQ(refused.kind, ErrorKind::kExhausted);
  EXPECT_THAT(refused.message,
              HasSubstr("no IP addresses available in range set: 10.1.0.1-10.1.0.6,10.2.0.1-10.2."
                        "0.6"));
  EXPECT_THAT(refused.message, Not(HasSubstr("\n")));
  EXPECT_THAT(refused.details,
              AllOf(HasSubstr("network net"), HasSubstr("3 used"), HasSubstr("1 free but held"),
                    HasSubstr("8 excluded"), HasSubstr("podlease list --network net")));
}

TEST_F(LeasesTest, ExhaustionCountsBeyond64Bits) {
  offer = offer_of(R"("subnet": "fd00::/48", "exclude": ["fd00::/48"])");
  EXPECT_THAT(refusal("x").details, HasSubstr("1208925819614629174706175 excluded"));
}

// Standing.

TEST_F(LeasesTest, StandingCountsEveryUsableAddressOnce) {
  EXPECT_EQ(leases().standing("net", offer.sets[0], cooldown), std::nullopt);
  EXPECT_FALSE(fs::exists(data_dir)) << "a look made a store";
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]],
                      "exclude": ["10.2.0.6"])");
  for (const char* const container : {"a", "b", "c"}) {
    add(container);
  }
  del("a");
  clock.pass(30s);
  del("b");
  EXPECT_EQ(leases().standing("other", offer.sets[0], cooldown), std::nullopt);
  const Standing standing = leases().standing("net", offer.sets[0], cooldown).value();
  EXPECT_EQ(standing.leased, 1U);
  EXPECT_EQ(standing.freed, 2U);
  EXPECT_EQ(standing.cooling, 1U);
  EXPECT_EQ(standing.untouched, 6U);
  EXPECT_EQ(standing.excluded, 3U);  // two gateways and one exclusion
  EXPECT_EQ(standing.free(), 7U);
  // Of other ranges only what lies in them counts.
  const pools::Offer narrow = offer_of(R"("subnet": "10.1.0.0/30")");
  const Standing small = leases().standing("net", narrow.sets[0], 0s).value();
  EXPECT_EQ(small.leased + small.freed, 1U);
  EXPECT_EQ(small.cooling, 0U);
  EXPECT_EQ(small.untouched, 0U);
}

// Rehearsal: explain.

TEST_F(LeasesTest, RehearsalCreatesNoStore) {
  host.start(netns_of("a"));
  EXPECT_EQ(text_of(leases().rehearse(request("a"), *fixed(offer))), "10.1.0.2/29 untouched");
  EXPECT_FALSE(fs::exists(data_dir));
  EXPECT_FALSE(fs::exists(places.registry));
}

TEST_F(LeasesTest, RehearsalAnswersAsAddWouldAndChangesNoByte) {
  offer = offer_of(R"("subnet": "10.1.0.0/29", "exclude": ["10.1.0.6"])");
  host_local_file("10.1.0.3", "old\r\neth0");
  host_local_file("last_reserved_ip.0", "10.1.0.4");
  ASSERT_EQ(add("a"), "10.1.0.5/29 untouched");
  ASSERT_EQ(add("b"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add("c"), "10.1.0.4/29 untouched");
  del("b");
  clock.pass(5s);
  host.start(netns_of("x"));
  AddRequest moved = request("a");
  moved.netns = netns_of("x");
  const struct {
    AddRequest request;
    std::string answer;
  } cases[] = {
      {request("x"), "10.1.0.2/29 pressed"},
      {request("x", {"10.1.0.2"}), "10.1.0.2/29 requested"},
      {moved, "10.1.0.5/29 held"},
      {request("old"), "10.1.0.3/29 held"},
  };
  for (const auto& one : cases) {
    const auto before = fakes::contents_of(folder.path());
    EXPECT_EQ(text_of(leases().rehearse(one.request, *fixed(offer))), one.answer);
    EXPECT_THAT(changed_since(before), IsEmpty()) << one.answer;
  }
  const auto before = fakes::contents_of(folder.path());
  EXPECT_EQ(thrown_by([&] {
              static_cast<void>(leases().rehearse(request("x", {"10.1.0.5"}), *fixed(offer)));
            }).kind,
            ErrorKind::kAddressTaken);
  // What a vanished file would end, and a conflict, are seen and not acted upon.
  fs::remove(host_local() / "10.1.0.3");
  const auto without = fakes::contents_of(folder.path());
  EXPECT_EQ(text_of(leases().rehearse(request("old"), *fixed(offer))), "10.1.0.2/29 pressed");
  EXPECT_THAT(changed_since(without), IsEmpty());
  EXPECT_THAT(fakes::changes(before, without), SizeIs(1));
  host_local_file("10.1.0.4", "intruder\r\neth0");
  EXPECT_EQ(
      thrown_by([&] { static_cast<void>(leases().rehearse(request("x"), *fixed(offer))); }).kind,
      ErrorKind::kConfig);
}

TEST_F(LeasesTest, RehearsalOfAFirstUseLeavesHostLocalAlone) {
  host_local_file("10.1.0.2", "old\r\neth0");
  const auto before = fakes::contents_of(folder.path());
  EXPECT_EQ(text_of(leases().rehearse(request("a"), *fixed(offer))), "10.1.0.3/29 untouched");
  EXPECT_EQ(text_of(leases().rehearse(request("old"), *fixed(offer))), "10.1.0.2/29 held");
  EXPECT_THAT(changed_since(before), IsEmpty());
}

TEST_F(LeasesTest, RehearsalDoesNotWait) {
  ASSERT_EQ(fill(), 5);
  del("c1");
  EXPECT_EQ(
      thrown_by([&] { static_cast<void>(leases().rehearse(request("x"), *fixed(offer))); }).kind,
      ErrorKind::kBusy);
  EXPECT_EQ(clock.sleeps(), 0);
}

// §5.7: adoption.

TEST_F(LeasesTest, AdoptsEveryFormOfHostLocalsFiles) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/28"}], [{"subnet": "fd00::/124"}]])");
  host_local_file("10.1.0.3", "dual\r\neth0");
  host_local_file("fd00::3", "dual\r\neth0");
  host_local_file("10.1.0.4", "bare");
  host_local_file("10.1.0.5", "newline\neth0\n");
  host_local_file("10.1.0.6", "");                // an orphan
  host_local_file("192.0.2.9", "drain\r\neth0");  // in no range any more
  host_local_file("last_reserved_ip.0", "10.1.0.6");
  host_local_file("last_reserved_ip.1", "fd00::3");
  host_local_file("notes.txt", "10.1.0.7");
  host_local_file("10.1.0.999", "nobody\r\neth0");
  leases().adopt("net", *fixed(offer));
  EXPECT_THAT(all(),
              ElementsAre("dual/eth0 10.1.0.3/28", "bare/ 10.1.0.4/28", "newline/eth0 10.1.0.5/28",
                          "drain/eth0 192.0.2.9/32", "dual/eth0 fd00::3/124"));
  const std::vector<store::Lease> adopted = all_leases();
  for (const store::Lease& lease : adopted) {
    EXPECT_EQ(lease.source, "host-local");
    EXPECT_EQ(lease.presence, store::Presence{.boot_id = host.boot});
    EXPECT_FALSE(leases().lives(lease));
  }
  EXPECT_EQ(adopted[0].gateway, address("10.1.0.1"));
  EXPECT_EQ(adopted[3].gateway, std::nullopt);
  EXPECT_EQ(adopted[4].range_set, 1);
  // A repeated ADD of such a container goes on with what it has.
  EXPECT_EQ(add("dual"), "10.1.0.3/28 held, fd00::3/124 held");
  EXPECT_EQ(add("bare"), "10.1.0.4/28 held");
  // Its DEL ends it, and the source stays as it was.
  EXPECT_THAT(del("bare"), ElementsAre("10.1.0.4"));
  EXPECT_THAT(del("drain"), ElementsAre("192.0.2.9"));
  EXPECT_EQ(body_of(host_local() / "10.1.0.4"), "bare");
  EXPECT_EQ(add("new"), "10.1.0.7/28 untouched, fd00::4/124 untouched");
}

TEST_F(LeasesTest, AnAddAdoptsByItself) {
  host_local_file("10.1.0.2", "old\r\neth0");
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
  EXPECT_EQ(fill(), 3);
  EXPECT_THAT(all(), IsSupersetOf({"old/eth0 10.1.0.2/29"}));
}

TEST_F(LeasesTest, AdoptsNothingWhereNobodyWaits) {
  host_local_file("10.1.0.2", "old\r\neth0");
  EXPECT_EQ(thrown_by([&] {
              static_cast<void>(leases().add(request("a"), *fixed(offer), [] { return false; }));
            }).kind,
            ErrorKind::kOther);
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
}

TEST_F(LeasesTest, GoesOnBehindHostLocalsCursor) {
  host_local_file("10.1.0.5", "old\r\neth0");
  host_local_file("last_reserved_ip.0", "10.1.0.4");
  EXPECT_EQ(add("a"), "10.1.0.6/29 untouched");
  EXPECT_EQ(add("b", {"10.1.0.2"}), "10.1.0.2/29 requested");
  EXPECT_EQ(add("c"), "10.1.0.3/29 untouched") << "wrapped";
  EXPECT_EQ(add("d"), "10.1.0.4/29 untouched");
  EXPECT_EQ(refusal("e").kind, ErrorKind::kExhausted);
}

TEST_F(LeasesTest, ARequestedAddressMovesNoHint) {
  host_local_file("last_reserved_ip.0", "10.1.0.3");
  EXPECT_EQ(add("a", {"10.1.0.6"}), "10.1.0.6/29 requested");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_EQ(add("c", {"10.1.0.2"}), "10.1.0.2/29 requested");
  EXPECT_EQ(add("d"), "10.1.0.5/29 untouched");
  EXPECT_EQ(add("e"), "10.1.0.3/29 untouched");
}

TEST_F(LeasesTest, TheHintGoesOnThroughTheRangesBehindAndThenWraps) {
  const char* const ranges =
      R"("ranges": [[{"subnet": "10.9.0.0/29"}, {"subnet": "10.1.0.0/30"},
                     {"subnet": "10.5.0.0/30"}]])";
  const struct {
    const char* cursor;
    std::vector<std::string> order;
  } cases[] = {
      {"10.9.0.5", {"10.9.0.6", "10.1.0.2", "10.5.0.2", "10.9.0.2", "10.9.0.3"}},
      {"10.9.0.6", {"10.1.0.2", "10.5.0.2", "10.9.0.2", "10.9.0.3"}},
      {"10.1.0.2", {"10.5.0.2", "10.9.0.2", "10.9.0.3"}},
      {"10.5.0.2", {"10.9.0.2", "10.9.0.3", "10.9.0.4"}},
      {"192.0.2.1", {"10.9.0.2", "10.9.0.3"}},
      {"10.9.0.7", {"10.9.0.2", "10.9.0.3"}},
  };
  for (const auto& one : cases) {
    Node node;
    node.offer = offer_of(ranges);
    node.host_local_file("last_reserved_ip.0", one.cursor);
    std::vector<std::string> got;
    for (std::size_t i = 0; i < one.order.size(); ++i) {
      got.push_back(node.grant(node.request("c" + std::to_string(i)))
                        .front()
                        .lease.address.address()
                        .to_string());
    }
    EXPECT_EQ(got, one.order) << one.cursor;
  }
}

TEST_F(LeasesTest, EachFamilyHasItsOwnHint) {
  offer = offer_of(kDual);
  host_local_file("last_reserved_ip.0", "10.1.0.4");
  host_local_file("last_reserved_ip.1", "fd00::5");
  EXPECT_EQ(add("a"), "10.1.0.5/29 untouched, fd00::6/125 untouched");
  EXPECT_EQ(add("b"), "10.1.0.6/29 untouched, fd00::7/125 untouched");
  EXPECT_EQ(add("c"), "10.1.0.2/29 untouched, fd00::2/125 untouched");
}

TEST_F(LeasesTest, ADelBeforeTheAdoptionIsRemembered) {
  host_local_file("10.1.0.2", "ended\r\neth0");
  host_local_file("10.1.0.3", "living\r\neth0");
  host_local_file("10.1.0.4", "bare");
  EXPECT_THAT(del("ended"), IsEmpty());
  EXPECT_THAT(del("bare"), IsEmpty());
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(),
              ElementsAre("a/eth0 10.1.0.2/29", "living/eth0 10.1.0.3/29", "b/eth0 10.1.0.4/29"));
}

TEST_F(LeasesTest, ADelOfAnotherInterfaceEndsNothingAdoptedLater) {
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().release({.network = "net", .container_id = "old", .ifname = "eth1"});
  leases().release({.network = "other", .container_id = "old", .ifname = "eth0"});
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
}

TEST_F(LeasesTest, AVanishedFileIsTheDelOfItsLease) {
  host_local_file("10.1.0.2", "old\r\neth0");
  host_local_file("10.1.0.3", "bare");
  host_local_file("10.1.0.4", "stays\r\neth0");
  ASSERT_EQ(add("a"), "10.1.0.5/29 untouched");
  fs::remove(host_local() / "10.1.0.2");
  fs::remove(host_local() / "10.1.0.3");
  EXPECT_EQ(add("b"), "10.1.0.6/29 untouched");
  EXPECT_THAT(all(),
              ElementsAre("stays/eth0 10.1.0.4/29", "a/eth0 10.1.0.5/29", "b/eth0 10.1.0.6/29"));
  EXPECT_THAT(log_text(), HasSubstr("host-local ended 10.1.0.2/29 of container old"));
  clock.pass(2s);
  EXPECT_EQ(add("c"), "10.1.0.2/29 pressed");
}

TEST_F(LeasesTest, ACheckOrAdoptionSeesAVanishedFileToo) {
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().adopt("net", *fixed(offer));
  ASSERT_THAT(all(), SizeIs(1));
  fs::remove(host_local() / "10.1.0.2");
  leases().adopt("net", *fixed(offer));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, AVanishedFileEndsNobodyElsesLease) {
  cooldown = 0s;
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().adopt("net", *fixed(offer));
  del("old");
  ASSERT_EQ(add("new", {"10.1.0.2"}), "10.1.0.2/29 requested");
  fs::remove(host_local() / "10.1.0.2");
  EXPECT_EQ(add("other"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("new/eth0 10.1.0.2/29", "other/eth0 10.1.0.3/29"));
}

TEST_F(LeasesTest, ANewOrChangedFileIsAConflictUntilItIsGone) {
  host_local_file("10.1.0.2", "old\r\neth0");
  ASSERT_EQ(add("a"), "10.1.0.3/29 untouched");
  for (const auto& [name, body] :
       {std::pair{"10.1.0.4", "intruder\r\neth0"}, std::pair{"10.1.0.3", "intruder\r\neth0"},
        std::pair{"10.1.0.2", "intruder\r\neth0"}, std::pair{"192.0.2.1", "intruder"}}) {
    const std::string before = body_of(host_local() / name);
    host_local_file(name, body);
    const Thrown conflict = refusal("b");
    EXPECT_EQ(conflict.kind, ErrorKind::kConfig) << name;
    EXPECT_THAT(conflict.message, AllOf(HasSubstr("host-local"), HasSubstr(name),
                                        HasSubstr("intruder"), HasSubstr("net")));
    EXPECT_THAT(conflict.details, HasSubstr((host_local() / name).string()));
    EXPECT_THAT(all(), ElementsAre("old/eth0 10.1.0.2/29", "a/eth0 10.1.0.3/29")) << name;
    EXPECT_THAT(held_by("a"), SizeIs(1)) << "who is asked is answered";
    if (before == "(none)") {
      fs::remove(host_local() / name);
    } else {
      host_local_file(name, before);
    }
  }
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), SizeIs(3));
}

TEST_F(LeasesTest, AConflictDoesNotHinderADel) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  host_local_file("10.1.0.3", "intruder\r\neth0");  // the folder is new as well
  EXPECT_EQ(refusal("b").kind, ErrorKind::kConfig);
  EXPECT_THAT(del("a"), ElementsAre("10.1.0.2"));
}

TEST_F(LeasesTest, OrphansOtherNamesAndCursorsAreNoConflict) {
  host_local_file("10.1.0.2", "old\r\neth0");
  ASSERT_EQ(add("a"), "10.1.0.3/29 untouched");
  host_local_file("10.1.0.4", "");
  host_local_file("last_reserved_ip.0", "10.1.0.5");
  host_local_file("README", "10.1.0.5");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
}

TEST_F(LeasesTest, AClearedFolderEndsNoLease) {
  host_local_file("10.1.0.2", "old\r\neth0");
  host_local_file("10.1.0.3", "older\r\neth0");
  leases().adopt("net", *fixed(offer));
  // The usual cure for a leaking host-local: rm -rf /var/lib/cni/networks/net/*
  for (const char* const name : {"10.1.0.2", "10.1.0.3", "lock"}) {
    fs::remove(host_local() / name);
  }
  EXPECT_EQ(add("a"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), SizeIs(3));
  fs::remove_all(places.host_local);
  EXPECT_EQ(add("b"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(), SizeIs(4));
}

TEST_F(LeasesTest, AFolderThatHostLocalMadeAnewEndsNoLease) {
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().adopt("net", *fixed(offer));
  // rm -rf /var/lib/cni/networks, and then a late DEL through host-local.
  fs::remove_all(places.host_local);
  put(host_local() / "lock", "");
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
  EXPECT_THAT(held_by("old"), SizeIs(1));
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().adopt("net", *fixed(offer));
  fs::remove(host_local() / "10.1.0.2");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(held_by("old"), IsEmpty()) << "in its new folder host-local is believed again";
}

TEST_F(LeasesTest, AdoptsFromBothFolders) {
  host_local_file("10.1.0.2", "usual\r\neth0");
  put(data_dir / "net" / "lock", "");
  put(data_dir / "net" / "10.1.0.3", "own\r\neth0");
  put(data_dir / "net" / "10.1.0.2", "double\r\neth0");
  put(data_dir / "net" / "last_reserved_ip.0", "10.1.0.4");
  EXPECT_EQ(add("a"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(),
              ElementsAre("usual/eth0 10.1.0.2/29", "own/eth0 10.1.0.3/29", "a/eth0 10.1.0.5/29"));
  fs::remove(data_dir / "net" / "10.1.0.3");
  EXPECT_EQ(add("b"), "10.1.0.6/29 untouched");
  EXPECT_THAT(held_by("own"), IsEmpty());
}

TEST_F(LeasesTest, OneFolderByTwoNamesIsOneFolder) {
  host_local_file("10.1.0.2", "old\r\neth0");
  data_dir = folder.path() / "alias";
  fs::create_directory_symlink(places.host_local, data_dir);
  const Leases hasty(host, clock, log, places, data_dir, 200ms);
  EXPECT_EQ(text_of(hasty.add(request("a"), *fixed(offer), always)), "10.1.0.3/29 untouched");
}

TEST_F(LeasesTest, ANetworkMayBeCalledLikeAFileOfTheStore) {
  for (const char* const name : {"lock", "podlease.db", "podlease.db-wal"}) {
    network = name;
    EXPECT_EQ(add("a"), "10.1.0.2/29 untouched") << name;
    EXPECT_EQ(add("b"), "10.1.0.3/29 untouched") << name;
  }
}

TEST_F(LeasesTest, WaitsForHostLocalsLockWhereThereIsSomethingToLearn) {
  host_local_file("10.1.0.2", "old\r\neth0");
  const UniqueFd held(::open((host_local() / "lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  const Leases hasty(host, clock, log, places, data_dir, 50ms);
  EXPECT_EQ(
      thrown_by([&] { static_cast<void>(hasty.add(request("a"), *fixed(offer), always)); }).kind,
      ErrorKind::kBusy);
  EXPECT_THAT(hasty.release({.network = "net", .container_id = "b", .ifname = "eth0"}), IsEmpty())
      << "a DEL takes only the store's lock";
}

TEST_F(LeasesTest, ASettledFolderIsNotReadAgainUntilItChanges) {
  host_local_file("10.1.0.2", "old\r\neth0");
  clock.set_wall(1h);  // its last change is long ago
  ASSERT_EQ(add("a"), "10.1.0.3/29 untouched");
  {
    const UniqueFd held(::open((host_local() / "lock").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
    const Leases hasty(host, clock, log, places, data_dir, 50ms);
    EXPECT_EQ(text_of(hasty.add(request("b"), *fixed(offer), always)), "10.1.0.4/29 untouched");
  }
  std::this_thread::sleep_for(20ms);  // a tick of the file system's clock
  fs::remove(host_local() / "10.1.0.2");
  EXPECT_EQ(add("c"), "10.1.0.5/29 untouched");
  EXPECT_THAT(held_by("old"), IsEmpty());
}

// The way back: export.

class SharedTest : public LeasesTest {
 protected:
  host::HostLocalState hand_over() {
    host::HostLocalState state = leases().export_to_host_local(network, places.host_local, false);
    put(host_local() / "lock", "");  // host-local's first run makes it
    return state;
  }
  [[nodiscard]] store::Handover handover() const {
    std::optional<store::Store> store = open();
    return store.value().begin().find_network(network).value().handover;
  }
};

TEST_F(SharedTest, ExportWritesEveryLeaseAndTheLatestOfEachSet) {
  offer = offer_of(kDual);
  add("a");
  clock.pass(1s);
  add("b", {"10.1.0.6"});
  clock.pass(1s);
  add("c");
  del("a");
  hand_over();
  EXPECT_EQ(body_of(host_local() / "10.1.0.6"), "b\r\neth0");
  EXPECT_EQ(body_of(host_local() / "fd00::3"), "b\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "c\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "last_reserved_ip.0"), "10.1.0.3");
  EXPECT_EQ(body_of(host_local() / "last_reserved_ip.1"), "fd00::4");
  EXPECT_EQ(handover(), store::Handover::kShared);
}

TEST_F(SharedTest, ExportReplacesWhatHostLocalLeftThere) {
  host_local_file("10.1.0.2", "old\r\neth0");
  host_local_file("10.1.0.3", "bare");
  leases().adopt("net", *fixed(offer));
  del("old");
  add("a");
  hand_over();
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "bare");
  EXPECT_EQ(body_of(host_local() / "10.1.0.4"), "a\r\neth0");
}

TEST_F(SharedTest, ExportRehearsedWritesNothing) {
  add("a");
  const auto before = fakes::contents_of(folder.path());
  const host::HostLocalState state = leases().export_to_host_local("net", places.host_local, true);
  EXPECT_THAT(state.entries, SizeIs(1));
  EXPECT_THAT(state.cursors, SizeIs(1));
  EXPECT_THAT(changed_since(before), IsEmpty());
  EXPECT_EQ(thrown_by([&] {
              static_cast<void>(leases().export_to_host_local("other", places.host_local, true));
            }).kind,
            ErrorKind::kConfig);
}

TEST_F(SharedTest, ALeaseOfASharedNetworkIsWrittenForHostLocal) {
  offer = offer_of(kDual);
  add("a");
  hand_over();
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched, fd00::3/125 untouched");
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "a\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "b\r\neth0");
  EXPECT_EQ(body_of(host_local() / "fd00::3"), "b\r\neth0");
  EXPECT_EQ(add("b"), "10.1.0.3/29 held, fd00::3/125 held");
  EXPECT_EQ(handover(), store::Handover::kShared);
}

TEST_F(SharedTest, AnAddressLeasedAgainIsItsNewHoldersInTheFolderToo) {
  cooldown = 0s;
  ASSERT_EQ(fill(), 5);
  hand_over();
  for (const char* const next : {"aa", "zz"}) {  // before and behind c1 in any order
    del(std::string(next) == "aa" ? "c1" : "aa");
    EXPECT_EQ(add(next), "10.1.0.2/29 cooled");
    EXPECT_EQ(body_of(host_local() / "10.1.0.2"), std::string(next) + "\r\neth0");
    EXPECT_EQ(handover(), store::Handover::kShared);
  }
  EXPECT_THAT(all(), SizeIs(5));
}

TEST_F(SharedTest, WhatEndedMeanwhileLeavesTheFolderWithTheNextAdd) {
  add("a");
  add("b");
  add("c");
  hand_over();
  del("a");
  host.end(netns_of("b"));
  leases().collect("net", {{.network = "net", .container_id = "c", .ifname = "eth0"}});
  add("d");
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "(none)");
  EXPECT_EQ(body_of(host_local() / "10.1.0.4"), "c\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.5"), "d\r\neth0");
  EXPECT_EQ(handover(), store::Handover::kShared);
}

TEST_F(SharedTest, WhatHostLocalDidIsTakenOverAndTheNetworkIsOursAgain) {
  add("a");
  add("b");
  hand_over();
  host_local_file("10.1.0.4", "theirs\r\neth0");
  fs::remove(host_local() / "10.1.0.2");
  EXPECT_EQ(add("c"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(),
              ElementsAre("b/eth0 10.1.0.3/29", "theirs/eth0 10.1.0.4/29", "c/eth0 10.1.0.5/29"));
  EXPECT_EQ(handover(), store::Handover::kOwned);
  // The call that notices it may have been late, so host-local shall know of its lease too.
  EXPECT_EQ(body_of(host_local() / "10.1.0.5"), "c\r\neth0");
  // From here on host-local must keep out, and may still end what it started.
  fs::remove(host_local() / "10.1.0.4");
  EXPECT_EQ(add("d"), "10.1.0.6/29 untouched");
  EXPECT_EQ(body_of(host_local() / "10.1.0.6"), "(none)");
  EXPECT_THAT(held_by("theirs"), IsEmpty());
  host_local_file("10.1.0.2", "intruder\r\neth0");
  EXPECT_EQ(refusal("e").kind, ErrorKind::kConfig);
}

TEST_F(SharedTest, AnAddressThatHostLocalGaveToSomeoneElseIsTheirs) {
  add("a");
  hand_over();
  host_local_file("10.1.0.2", "theirs\r\neth0");  // ended and leased again
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("theirs/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
}

TEST_F(SharedTest, ADelOfWhatOnlyHostLocalKnowsIsRemembered) {
  add("a");
  hand_over();
  host_local_file("10.1.0.3", "theirs\r\neth0");
  EXPECT_THAT(del("theirs"), IsEmpty());
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
}

TEST_F(SharedTest, AContainerThatHostLocalStartedAgainIsAliveThoughItOnceEnded) {
  // podman keeps container ids: stopped under podlease, started again under host-local.
  add("a");
  hand_over();
  EXPECT_THAT(del("a"), SizeIs(1));
  fs::remove(host_local() / "10.1.0.2");
  host_local_file("10.1.0.3", "a\r\neth0");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.3/29", "b/eth0 10.1.0.4/29"));
}

TEST_F(SharedTest, AnAddNobodyWaitsForLeavesNoFile) {
  add("a");
  hand_over();
  const auto before = fakes::contents_of(host_local());
  EXPECT_EQ(thrown_by([&] {
              static_cast<void>(leases().add(request("b"), *fixed(offer), [] { return false; }));
            }).kind,
            ErrorKind::kOther);
  EXPECT_THAT(fakes::changes(before, fakes::contents_of(host_local())), IsEmpty());
  EXPECT_EQ(add("c"), "10.1.0.3/29 untouched");
  EXPECT_EQ(handover(), store::Handover::kShared);
}

TEST_F(SharedTest, AClearedFolderIsWrittenAgain) {
  add("a");
  hand_over();
  for (const char* const name : {"10.1.0.2", "last_reserved_ip.0", "lock"}) {
    fs::remove(host_local() / name);
  }
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(handover(), store::Handover::kShared) << "host-local was not there";
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "a\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "b\r\neth0");
}

TEST_F(SharedTest, AVanishedFileIsNotYetTheWayBack) {
  // Pods are deleted with the configuration they were started with, before the switch too.
  host_local_file("10.1.0.2", "old\r\neth0");
  add("a");
  hand_over();
  fs::remove(host_local() / "10.1.0.2");
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_EQ(handover(), store::Handover::kShared);
  EXPECT_EQ(body_of(host_local() / "10.1.0.4"), "b\r\neth0");
  EXPECT_THAT(held_by("old"), IsEmpty());
}

TEST_F(SharedTest, ADelRemovesTheFilesToo) {
  offer = offer_of(kDual);
  add("a");
  add("b");
  hand_over();
  EXPECT_THAT(del("a"), SizeIs(2));
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "fd00::2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "b\r\neth0");
  // While host-local works there the files stay until the next ADD.
  {
    const UniqueFd held(::open((host_local() / "lock").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
    const Leases hasty(host, clock, log, places, data_dir, 50ms);
    EXPECT_THAT(hasty.release({.network = "net", .container_id = "b", .ifname = "eth0"}),
                SizeIs(2));
  }
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "b\r\neth0");
  add("c");
  EXPECT_EQ(body_of(host_local() / "10.1.0.3"), "(none)");
  EXPECT_EQ(handover(), store::Handover::kShared);
}

TEST_F(SharedTest, AnExportUndoesNothingThatHostLocalDid) {
  add("a");
  add("b");
  hand_over();
  fs::remove(host_local() / "10.1.0.2");
  host_local_file("10.1.0.5", "theirs\r\neth0");
  hand_over();
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "(none)");
  EXPECT_EQ(body_of(host_local() / "10.1.0.5"), "theirs\r\neth0");
  EXPECT_EQ(handover(), store::Handover::kShared);
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29", "theirs/eth0 10.1.0.5/29"));
}

TEST_F(SharedTest, AnExportRefusesAnAddressThatTwoHold) {
  add("a");
  host_local_file("10.1.0.2", "intruder\r\neth0");
  host_local_file("10.1.0.5", "harmless\r\neth0");
  const Thrown refused = thrown_by([&] { hand_over(); });
  EXPECT_EQ(refused.kind, ErrorKind::kConfig);
  EXPECT_THAT(refused.message, AllOf(HasSubstr("10.1.0.2"), HasSubstr("intruder")));
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "intruder\r\neth0");
  fs::remove(host_local() / "10.1.0.2");
  hand_over();
  EXPECT_EQ(body_of(host_local() / "10.1.0.2"), "a\r\neth0");
  EXPECT_EQ(body_of(host_local() / "10.1.0.5"), "harmless\r\neth0");
}

TEST_F(SharedTest, AFolderExportedToIsKeptInStepWhereverItIs) {
  add("a");
  const fs::path elsewhere = folder.path() / "elsewhere";
  static_cast<void>(leases().export_to_host_local(network, elsewhere, false));
  add("b");
  EXPECT_EQ(body_of(elsewhere / "net" / "10.1.0.3"), "b\r\neth0");
  del("a");
  EXPECT_EQ(body_of(elsewhere / "net" / "10.1.0.2"), "(none)");
}

TEST_F(SharedTest, RehearsalWritesNothingForHostLocal) {
  add("a");
  hand_over();
  host_local_file("10.1.0.3", "theirs\r\neth0");
  const auto before = fakes::contents_of(folder.path());
  EXPECT_EQ(text_of(leases().rehearse(request("b"), *fixed(offer))), "10.1.0.4/29 untouched");
  EXPECT_THAT(changed_since(before), IsEmpty());
}

// The rules once more, in the plainest terms: sets and lists, walked from end to end.
class Model {
 public:
  struct Lease {
    std::string container;
    std::string boot;  // empty: adopted
    std::string netns;
    std::uint64_t inode = 0;
    std::chrono::sys_time<Milliseconds> created{};
  };
  struct Freed {
    net::Address address;
    Instant at;
    std::string boot;
  };
  struct Answer {
    std::optional<ErrorKind> refused;
    std::string granted;
    Milliseconds wait{0};
  };

  std::map<net::Address, Lease> leased;
  std::deque<Freed> freed;  // oldest first
  std::vector<net::Address> hints;
  std::map<net::Address, std::string> files;  // of host-local, as last seen
  std::map<std::string, std::vector<net::Address>> held;

  [[nodiscard]] bool is_touched(net::Address address) const {
    return leased.contains(address) ||
           std::any_of(freed.begin(), freed.end(),
                       [&](const Freed& entry) { return entry.address == address; });
  }

  void lease(net::Address address, Lease lease) {
    std::erase_if(freed, [&](const Freed& entry) { return entry.address == address; });
    held[lease.container].push_back(address);
    leased[address] = std::move(lease);
  }
  void release(net::Address address, const Node& node) {
    std::vector<net::Address>& of_container = held[leased.at(address).container];
    std::erase(of_container, address);
    if (of_container.empty()) {
      held.erase(leased.at(address).container);
    }
    leased.erase(address);
    freed.push_back({.address = address, .at = node.clock.now(), .boot = node.host.boot});
  }
  void del(const std::string& container, const Node& node) {
    const auto found = held.find(container);
    const std::vector<net::Address> addresses =
        found == held.end() ? std::vector<net::Address>{} : found->second;
    for (const net::Address address : addresses) {
      release(address, node);
    }
  }
  void collect(const std::set<std::string>& valid, const Node& node) {
    std::vector<net::Address> ended;
    std::set<std::string> judged;  // attachments end whole
    for (const auto& [address, lease] : leased) {
      if (valid.contains(lease.container) || !judged.insert(lease.container).second ||
          is_alive(lease, node)) {
        continue;
      }
      const std::vector<net::Address>& all = held.at(lease.container);
      ended.insert(ended.end(), all.begin(), all.end());
    }
    for (const net::Address address : ended) {
      release(address, node);
    }
  }
  // Files of host-local that are not there any more.
  void follow(const std::set<net::Address>& there, const Node& node) {
    std::vector<net::Address> vanished;
    for (const auto& [address, container] : files) {
      if (!there.contains(address)) {
        vanished.push_back(address);
      }
    }
    for (const net::Address address : vanished) {
      const auto found = leased.find(address);
      if (found != leased.end() && found->second.container == files[address]) {
        release(address, node);
      }
      files.erase(address);
    }
  }

  // Does what an ADD does, if it is not refused. After a wait it is to be asked again.
  Answer add(const AddRequest& request, const pools::Offer& offer, const Node& node) {
    const Model before = *this;
    Answer answer = try_add(request, offer, node);
    if (answer.refused || answer.wait > 0ms) {
      *this = before;
    }
    return answer;
  }

 private:
  static bool is_alive(const Lease& lease, const Node& node) {
    const auto found = node.host.namespaces.find(lease.netns);
    return lease.boot == node.host.boot && found != node.host.namespaces.end() &&
           found->second.id.inode == lease.inode;
  }
  static bool is_gone(const Lease& lease, const Node& node) {
    return !lease.boot.empty() && lease.boot != node.host.boot;
  }
  // All that it has, which is cool at once.
  void end_of_dead(const std::string& container, const Node& node) {
    for (const net::Address address : std::vector(held.at(container))) {
      release(address, node);
      freed.pop_back();
      freed.push_front({.address = address, .at = {}, .boot = ""});
    }
  }
  // Ends the oldest lease of an earlier boot. Returns false if there is none.
  bool reclaim_in(const pools::PoolRangeSet& set, const Node& node) {
    auto oldest = leased.end();
    for (auto at = leased.begin(); at != leased.end(); ++at) {
      const pools::PoolRange* const range = set.range_of(at->first);
      if (range != nullptr && range->usable.contains(at->first) && is_gone(at->second, node) &&
          (oldest == leased.end() || at->second.created <= oldest->second.created)) {
        oldest = at;
      }
    }
    if (oldest == leased.end()) {
      return false;
    }
    end_of_dead(std::string(oldest->second.container), node);
    return true;
  }
  static bool is_host_held(net::Address address, const Node& node) {
    return node.host.holders.contains(address);
  }
  static Milliseconds age(const Freed& entry, const Node& node) {
    if (entry.boot == node.host.boot) {
      return node.clock.now().since_boot - entry.at.since_boot;
    }
    const Milliseconds passed = node.clock.now().wall - entry.at.wall;
    return passed < 0ms ? Milliseconds::max() : std::max(passed, node.clock.now().since_boot);
  }

  [[nodiscard]] std::optional<net::Address> untouched(const pools::PoolRange& range,
                                                      net::Address from, const Node& node) const {
    for (std::optional<net::Address> at = from; at && *at <= range.range.last(); at = at->next()) {
      if (range.usable.contains(*at) && !is_touched(*at) && !is_host_held(*at, node)) {
        return at;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] const Freed* oldest(const pools::PoolRange& range, const Node& node) const {
    for (const Freed& entry : freed) {
      if (range.usable.contains(entry.address) && !is_host_held(entry.address, node)) {
        return &entry;
      }
    }
    return nullptr;
  }

  struct Choice {
    std::optional<net::Address> address;
    Reason reason = Reason::kUntouched;
    Milliseconds wait{0};
  };
  Choice choose(const pools::PoolRangeSet& set, Milliseconds cooldown, const Node& node) {
    const auto hint = std::find_if(hints.begin(), hints.end(), [&](net::Address address) {
      return set.range_of(address) != nullptr;
    });
    if (hint != hints.end()) {
      bool reached = false;
      for (const pools::PoolRange& range : set.ranges) {
        const bool here = range.range.contains(*hint);
        reached = reached || here;
        if (const auto found = untouched(range, here ? *hint : range.range.first(), node);
            reached && found) {
          return {.address = found};
        }
      }
      std::erase(hints, net::Address(*hint));
    }
    const Freed* pressed = nullptr;
    for (const pools::PoolRange& range : set.ranges) {
      if (const auto found = untouched(range, range.range.first(), node)) {
        return {.address = found};
      }
      const Freed* const entry = oldest(range, node);
      if (entry != nullptr && age(*entry, node) >= cooldown) {
        return {.address = entry->address, .reason = Reason::kCooled};
      }
      // Entries are in one list, so of two the one at the lower index is older.
      const auto index = [&](const Freed* one) {
        return std::find_if(freed.begin(), freed.end(),
                            [&](const Freed& other) { return &other == one; }) -
               freed.begin();
      };
      if (entry != nullptr && (pressed == nullptr || index(entry) < index(pressed))) {
        pressed = entry;
      }
    }
    if (pressed == nullptr) {
      return {};
    }
    if (age(*pressed, node) < 1s) {
      return {.wait = 1s - age(*pressed, node)};
    }
    return {.address = pressed->address, .reason = Reason::kPressed};
  }

  Answer try_add(const AddRequest& request, const pools::Offer& offer, const Node& node) {
    const Lease lease_of_request{.container = request.key.container_id,
                                 .boot = node.host.boot,
                                 .netns = request.netns,
                                 .inode = node.host.namespaces.at(request.netns).id.inode,
                                 .created = node.clock.now().wall};
    std::vector<std::string> granted;
    if (const auto found = held.find(request.key.container_id); found != held.end()) {
      for (const RequestedAddress& requested : request.requested) {
        if (std::find(found->second.begin(), found->second.end(), requested.address) ==
            found->second.end()) {
          return {.refused = ErrorKind::kAddressTaken};
        }
      }
      for (const net::Address address : found->second) {
        const auto created = leased[address].created;
        leased[address] = lease_of_request;
        leased[address].created = created;
        granted.push_back(address.to_string() + " held");
      }
      return {.refused = std::nullopt, .granted = join(granted, ", ")};
    }
    std::vector<net::Address> open;
    for (const RequestedAddress& requested : request.requested) {
      open.push_back(requested.address);
    }
    Answer answer;
    for (const pools::PoolRangeSet& set : offer.sets) {
      const auto wish = std::find_if(open.begin(), open.end(), [&](net::Address address) {
        return set.range_of(address) != nullptr;
      });
      if (wish != open.end()) {
        const net::Address address = *wish;
        open.erase(wish);
        if (!set.range_of(address)->usable.contains(address)) {
          return {.refused = ErrorKind::kConfig};
        }
        if (leased.contains(address)) {
          if (!is_gone(leased.at(address), node)) {
            return {.refused = ErrorKind::kAddressTaken};
          }
          end_of_dead(std::string(leased.at(address).container), node);
        }
        if (is_host_held(address, node)) {
          return {.refused = ErrorKind::kAddressTaken};
        }
        lease(address, lease_of_request);
        granted.push_back(address.to_string() + " requested");
        continue;
      }
      Choice choice = choose(set, request.cooldown, node);
      while (!choice.address && reclaim_in(set, node)) {
        choice = choose(set, request.cooldown, node);
      }
      if (choice.wait > 0ms) {
        answer.wait = std::max(answer.wait, choice.wait);
      } else if (!choice.address) {
        return {.refused = ErrorKind::kExhausted};
      } else {
        lease(*choice.address, lease_of_request);
        granted.push_back(choice.address->to_string() + " " + std::string(text_of(choice.reason)));
      }
    }
    if (!open.empty()) {
      return {.refused = ErrorKind::kConfig};
    }
    answer.granted = join(granted, ", ");
    return answer;
  }
};

// Random steps of a node's life, each held against the model.
class Life {
 public:
  explicit Life(std::uint32_t seed) : random_(seed) {
    edit();
    adopt();
  }

  void step() {
    const int kind = number(0, 99);
    if (kind < 38) {
      add_new();
    } else if (kind < 46) {
      add_again();
    } else if (kind < 56) {
      add_requested();
    } else if (kind < 76) {
      del();
    } else if (kind < 82) {
      lose();
    } else if (kind < 89) {
      edit();
    } else if (kind < 95) {
      pass_time();
    } else if (kind < 96) {
      collect();
    } else if (kind < 97) {
      hold();
    } else if (kind < 98) {
      vanish();
    } else if (kind < 99) {
      add_in_vain();
    } else if (number(0, 3) == 0) {
      reboot();
    }
  }

  // What must hold after every step. Returns what was done last.
  void check(bool thoroughly) {
    SCOPED_TRACE(last_);
    std::optional<store::Store> store = node_.open();
    ASSERT_TRUE(store);
    store::Transaction transaction = store->begin();
    ASSERT_NO_THROW(transaction.verify());
    const store::Network network = transaction.find_network("net").value();
    std::map<std::string, std::string> leased;
    for (const store::Lease& lease : transaction.leases(network)) {
      ASSERT_TRUE(
          leased.emplace(lease.address.address().to_string(), lease.key.container_id).second)
          << lease.address.to_string() << " is leased twice";
    }
    std::map<std::string, std::string> expected;
    for (const auto& [address, lease] : model_.leased) {
      expected.emplace(address.to_string(), lease.container);
    }
    ASSERT_EQ(leased, expected);
    if (thoroughly) {
      check_places(transaction, network);
    }
  }

  // In the end everything comes back.
  void end() {
    while (!model_.held.empty()) {
      last_ = "the last DELs";
      const std::string container = model_.held.begin()->first;
      model_.del(container, node_);
      node_.del(container);
    }
    check(true);
    node_.host.holders.clear();
    node_.clock.pass(1h);
    node_.offer = everything();
    std::set<net::Address> leased;
    std::size_t usable = 0;
    for (const pools::PoolRangeSet& set : node_.offer.sets) {
      for (const pools::PoolRange& range : set.ranges) {
        usable += static_cast<std::size_t>(range.usable.size());
      }
    }
    pools::Offer whole = node_.offer;
    for (std::size_t set = 0; set < whole.sets.size(); ++set) {
      node_.offer.sets = {whole.sets[set]};
      for (int i = 0;; ++i) {
        const std::string container = "end" + std::to_string(set) + "-" + std::to_string(i);
        std::vector<Granted> granted;
        if (const Thrown refused = thrown_by([&] { granted = node_.grant(request_of(container)); });
            refused.kind) {
          ASSERT_EQ(refused.kind, ErrorKind::kExhausted) << refused.message;
          break;
        }
        ASSERT_TRUE(leased.insert(granted.front().lease.address.address()).second);
      }
    }
    ASSERT_EQ(leased.size(), usable) << "addresses were lost for good";
  }

  [[nodiscard]] const std::map<std::string, int>& tally() const { return tally_; }

 private:
  int number(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  bool one_in(int count) { return number(1, count) == 1; }

  struct Subnet {
    net::Prefix prefix;
    int size;  // of addresses that may be leased: the second up to this
  };
  static const std::vector<Subnet>& subnets() {
    static const std::vector<Subnet> all{{fakes::prefix("10.1.0.0/25"), 126},
                                         {fakes::prefix("10.2.0.0/27"), 30},
                                         {fakes::prefix("fd00::/123"), 31}};
    return all;
  }
  static net::Address nth(const Subnet& subnet, int n) {
    return net::Address::from_bits(subnet.prefix.family(),
                                   subnet.prefix.first().bits() + static_cast<unsigned>(n));
  }
  net::Address any_address() {
    const Subnet& subnet = subnets()[static_cast<std::size_t>(number(0, 2))];
    return nth(subnet, number(1, subnet.size));
  }

  static pools::Offer everything() {
    pools::Offer offer;
    for (const Subnet& subnet : subnets()) {
      const net::Range range = *net::Range::make(nth(subnet, 1), nth(subnet, subnet.size));
      offer.sets.push_back({.family = subnet.prefix.family(),
                            .ranges = {{.name = "all",
                                        .source = "static",
                                        .range = range,
                                        .usable = net::IntervalSet({range}),
                                        .subnet = subnet.prefix,
                                        .answer_length = subnet.prefix.length(),
                                        .gateway = std::nullopt}}});
    }
    return offer;
  }

  // One to three sets of ranges that do not overlap, out of random pieces of the subnets.
  void edit() {
    pools::Offer offer;
    net::IntervalSet exclude;
    for (int i = number(0, 4); i > 0; --i) {
      exclude.insert(net::Range::single(any_address()));
    }
    const auto set_of = [&](net::Family family) -> pools::PoolRangeSet& {
      std::vector<pools::PoolRangeSet*> fitting;
      for (pools::PoolRangeSet& set : offer.sets) {
        if (set.family == family) {
          fitting.push_back(&set);
        }
      }
      if (fitting.empty() || (offer.sets.size() < 3 && one_in(4))) {
        return offer.sets.emplace_back();
      }
      return *fitting[static_cast<std::size_t>(number(0, static_cast<int>(fitting.size()) - 1))];
    };
    while (offer.sets.empty()) {
      for (const Subnet& subnet : subnets()) {
        for (int from = 1; from <= subnet.size;) {
          const int to = one_in(3) ? subnet.size : std::min(subnet.size, from + number(0, 60));
          if (one_in(2)) {
            const net::Range range = *net::Range::make(nth(subnet, from), nth(subnet, to));
            const net::Address gateway = nth(subnet, number(1, subnet.size));
            exclude.insert(net::Range::single(gateway));
            std::vector<pools::PoolRange>& ranges = set_of(subnet.prefix.family()).ranges;
            ranges.insert(one_in(2) ? ranges.begin() : ranges.end(),
                          {.name = "random",
                           .range = range,
                           .usable = net::IntervalSet({range}),
                           .subnet = subnet.prefix,
                           .answer_length = subnet.prefix.length() - number(0, 3),
                           .gateway = gateway});
          }
          from = to + 1;
        }
      }
    }
    for (pools::PoolRangeSet& set : offer.sets) {
      for (pools::PoolRange& range : set.ranges) {
        range.usable.erase(exclude);
      }
    }
    node_.offer = std::move(offer);
    const std::vector<Milliseconds> cooldowns{0ms, 500ms, 30s, 30s, 10min};
    node_.cooldown =
        cooldowns[static_cast<std::size_t>(number(0, static_cast<int>(cooldowns.size()) - 1))];
    last_ = "edit";
  }

  void adopt() {
    node_.host_local_file("lock", "");
    for (int i = 0; i < 20; ++i) {
      const net::Address address = any_address();
      const std::string container = "old" + std::to_string(i);
      if (!there_.contains(address)) {
        node_.host_local_file(address.to_string(), container + "\r\neth0");
        there_.insert(address);
        model_.files[address] = container;
      }
    }
    for (const auto& [address, container] : model_.files) {
      model_.lease(address, {.container = container,
                             .boot = node_.host.boot,
                             .netns = "",
                             .inode = 0,
                             .created = node_.clock.now().wall});
    }
    for (int set = 0; set < 2; ++set) {
      const net::Address last = any_address();
      node_.host_local_file("last_reserved_ip." + std::to_string(set), last.to_string());
      // Behind the last address of a range the next range begins, and behind the last range the
      // whole starts anew.
      std::optional<net::Address> hint;
      for (const pools::PoolRangeSet& set_of_ranges : node_.offer.sets) {
        const std::vector<pools::PoolRange>& ranges = set_of_ranges.ranges;
        for (std::size_t i = 0; i < ranges.size(); ++i) {
          if (ranges[i].range.contains(last) && last != ranges[i].range.last()) {
            hint = last.next();
          } else if (ranges[i].range.contains(last) && i + 1 < ranges.size()) {
            hint = ranges[i + 1].range.first();
          }
        }
      }
      if (hint) {
        model_.hints.push_back(*hint);
      }
    }
    node_.leases().adopt("net", *fixed(node_.offer));
    last_ = "adopt";
  }

  void perform(const AddRequest& request) {
    const std::map<std::string, host::NetnsSight> before = node_.host.namespaces;
    node_.host.start(request.netns);
    std::string got;
    // The model first: it sees the time before the wait.
    Model::Answer expected;
    {
      const Instant start = node_.clock.now();
      expected = model_.add(request, node_.offer, node_);
      if (expected.wait > 0ms) {
        ++tally_["waited"];
        node_.clock.pass(expected.wait);
        expected = model_.add(request, node_.offer, node_);
        if (expected.wait > 0ms) {
          expected = {.refused = ErrorKind::kBusy, .granted = ""};
        }
        node_.clock.pass(start.since_boot - node_.clock.now().since_boot);
      }
    }
    std::vector<Granted> granted;
    const Thrown refused =
        thrown_by([&] { granted = node_.leases().add(request, *fixed(node_.offer), always); });
    for (const Granted& grant : granted) {
      got += (got.empty() ? "" : ", ") + grant.lease.address.address().to_string() + " " +
             std::string(text_of(grant.reason));
      ++tally_[std::string(text_of(grant.reason))];
      const pools::PoolRange* const range = node_.offer.range_of(grant.lease.address.address());
      if (grant.reason != Reason::kHeld) {
        ASSERT_NE(range, nullptr);
        EXPECT_EQ(grant.lease.gateway, range->gateway);
        EXPECT_EQ(grant.lease.address.length(), range->answer_length);
      }
    }
    if (refused.kind) {
      ++tally_["refused " + std::to_string(static_cast<int>(*refused.kind))];
      node_.host.namespaces = before;  // the lease of a former one stays in doubt
    }
    EXPECT_EQ(got, expected.granted) << last_ << ": " << refused.message;
    EXPECT_EQ(refused.kind, expected.refused) << last_ << ": " << refused.message;
  }

  // Each in a folder of its own, in which no other namespace is ever seen: what is gone within a
  // boot is doubt here. tests/sim is about the rest.
  static std::string netns_of(const std::string& container) {
    return "/run/pods/" + container + "/netns";
  }
  [[nodiscard]] AddRequest request_of(const std::string& container) const {
    AddRequest request = node_.request(container);
    request.netns = netns_of(container);
    return request;
  }

  std::string new_container() { return "c" + std::to_string(next_container_++); }
  std::string any_container() {
    if (model_.held.empty()) {
      return "nobody";
    }
    auto at = model_.held.begin();
    std::advance(at, number(0, static_cast<int>(model_.held.size()) - 1));
    return at->first;
  }

  void add_new() {
    const std::string container = new_container();
    last_ = "ADD " + container;
    perform(request_of(container));
  }
  void add_again() {
    const std::string container = any_container();
    if (container == "nobody") {
      return;
    }
    last_ = "ADD again " + container;
    AddRequest request = request_of(container);
    if (one_in(3)) {
      request.requested.push_back({.address = any_address(), .path = "test"});
    }
    perform(request);
  }
  void add_requested() {
    const std::string container = new_container();
    AddRequest request = request_of(container);
    for (int i = number(1, 2); i > 0; --i) {
      const net::Address address = any_address();
      if (request.requested.empty() || request.requested[0].address != address) {
        request.requested.push_back({.address = address, .path = "test"});
      }
    }
    last_ = "ADD " + container + " " + request.requested[0].address.to_string();
    perform(request);
  }
  void add_in_vain() {
    last_ = "ADD nobody waits for";
    const AddRequest request = request_of(new_container());
    node_.host.start(request.netns);
    EXPECT_TRUE(thrown_by([&] {
                  static_cast<void>(
                      node_.leases().add(request, *fixed(node_.offer), [] { return false; }));
                }).kind);
  }
  void del() {
    for (int i = one_in(10) ? number(5, 30) : 1; i > 0; --i) {
      const std::string container = one_in(10) ? "nobody" : any_container();
      last_ = "DEL " + container;
      model_.del(container, node_);
      node_.del(container);
    }
  }
  void lose() {
    const std::string container = any_container();
    last_ = "lose " + container;
    node_.host.end(netns_of(container));
  }
  void pass_time() {
    const std::vector<Milliseconds> steps{1ms, 300ms, 999ms, 1s, 7s, 29s, 30s, 2min, 1h};
    node_.clock.pass(
        steps[static_cast<std::size_t>(number(0, static_cast<int>(steps.size()) - 1))]);
    if (one_in(5)) {
      node_.clock.set_wall(Milliseconds(number(-7'200'000, 7'200'000)));
    }
    last_ = "time passes";
  }
  void reboot() {
    node_.host.reboot();
    node_.clock.reboot(Milliseconds(number(-60'000, 120'000)));
    last_ = "reboot";
    ++tally_["reboot"];
  }
  void collect() {
    std::set<std::string> valid;
    std::vector<AttachmentKey> keys;
    for (const auto& [container, addresses] : model_.held) {
      if (!one_in(3)) {
        valid.insert(container);
        keys.push_back({.network = "net", .container_id = container, .ifname = "eth0"});
      }
    }
    model_.collect(valid, node_);
    node_.leases().collect("net", keys);
    last_ = "GC";
  }
  void hold() {
    node_.host.holders.clear();
    for (int i = number(0, 5); i > 0; --i) {
      node_.host.hold(any_address());
    }
    last_ = "host addresses";
  }
  void vanish() {
    if (there_.empty()) {
      return;
    }
    auto at = there_.begin();
    std::advance(at, number(0, static_cast<int>(there_.size()) - 1));
    // The folder's stamp tells changes apart that are a tick of the file system's clock apart.
    std::this_thread::sleep_for(10ms);
    fs::remove(node_.host_local() / at->to_string());
    there_.erase(at);
    node_.leases().adopt("net", *fixed(node_.offer));
    model_.follow(there_, node_);
    last_ = "vanished file";
    ++tally_["vanished"];
  }

  void check_places(store::Transaction& transaction, const store::Network& network) {
    std::vector<std::string> freed;
    net::IntervalSet all;
    for (const Subnet& subnet : subnets()) {
      all.insert(subnet.prefix.range());
    }
    for (const store::Freed& entry : transaction.freed(network, all)) {
      freed.push_back(entry.address.to_string());
    }
    std::vector<std::string> expected;
    for (const Model::Freed& entry : model_.freed) {
      expected.push_back(entry.address.to_string());
    }
    ASSERT_EQ(freed, expected);
    for (const pools::PoolRangeSet& set : node_.offer.sets) {
      for (const pools::PoolRange& range : set.ranges) {
        std::set<net::Address> untouched;
        std::optional<net::Address> at = range.range.first();
        while (at && (at = transaction.first_untouched(network, range.usable, *at))) {
          untouched.insert(*at);
          at = at->next();
        }
        for (at = range.range.first(); at && *at <= range.range.last(); at = at->next()) {
          if (range.usable.contains(*at)) {
            const int places = (model_.leased.contains(*at) ? 1 : 0) +
                               (transaction.freed_at(network, *at) ? 1 : 0) +
                               (untouched.contains(*at) ? 1 : 0);
            ASSERT_EQ(places, 1) << at->to_string();
          } else {
            ASSERT_FALSE(untouched.contains(*at)) << at->to_string();
          }
        }
      }
    }
  }

  std::mt19937 random_;
  Node node_{fakes::memory_folder()};
  Model model_;
  std::set<net::Address> there_;  // files in host-local's folder
  int next_container_ = 0;
  std::string last_;
  std::map<std::string, int> tally_;
};

class LifeTest : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(LifeTest, FollowsTheModelAndLosesNoAddress) {
  constexpr int kSteps = 700;
  Life life(GetParam());
  for (int step = 0; step < kSteps && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", step " + std::to_string(step));
    life.step();
    life.check(step % 10 == 0);
  }
  if (!HasFailure()) {
    life.end();
  }
  std::string tally;
  for (const auto& [what, count] : life.tally()) {
    tally += what + " " + std::to_string(count) + ", ";
  }
  RecordProperty("steps", tally);
}

// PODLEASE_LIVES=500 lives that many: for a long soak.
std::uint32_t lives() {
  const char* const wanted = std::getenv("PODLEASE_LIVES");
  return wanted == nullptr ? 8U : static_cast<std::uint32_t>(std::stoul(wanted));
}

INSTANTIATE_TEST_SUITE_P(Seeds, LifeTest, ::testing::Range(1U, 1U + lives()));

TEST(OverlapsTest, NamesTheNetworksARangeLiesInAndNoOthers) {
  fakes::FakeHost host;
  const auto network = [](const char* prefix, const char* interface) {
    return host::RoutedNetwork{.destination = fakes::prefix(prefix), .interface = interface};
  };
  host.routed = {network("10.0.0.0/8", "eth1"), network("10.1.0.0/29", "cni0"),
                 network("10.1.0.4/31", "x"), network("10.2.0.0/16", "eth2")};
  EXPECT_THAT(
      overlaps(offer_of(kSmall), host),
      ElementsAre(AllOf(HasSubstr("ipam 10.1.0.0/29 lies in 10.0.0.0/8"), HasSubstr("via eth1"))));
}

}  // namespace
}  // namespace podlease::ipam
