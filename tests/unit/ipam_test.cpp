// The rules of leasing: ADD, DEL, GC, the order of choice, and rehearsal.

#include <fcntl.h>
#include <sys/file.h>

#include "ipam_node.h"
#include "podlease/store/registry.h"

namespace podlease::ipam {
namespace {

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
  ASSERT_EQ(add("b"), "10.1.0.3/29 untouched");
  for (const char* const ipam : {
           R"("subnet": "10.1.0.0/29", "exclude": ["10.1.0.2"])",
           R"("subnet": "10.1.0.0/29", "gateway": "10.1.0.2")",
           R"("subnet": "10.1.0.0/16")",
           R"("subnet": "10.1.0.0/29", "rangeStart": "10.1.0.4")",
           R"("subnet": "10.7.0.0/24")",
           R"("prefix": "host", "subnet": "10.1.0.0/29")",
       }) {
    offer = offer_of(ipam);
    EXPECT_EQ(add("a"), "10.1.0.2/29 held") << ipam;
  }
  // A family that it lacks is given to it; what it holds stays.
  offer = offer_of(R"("subnet": "fd00::/64")");
  EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/64 untouched");
  offer = offer_of(kDual);
  EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/64 held");
  EXPECT_EQ(add("b"), "10.1.0.3/29 held, fd00::3/125 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29", "a/eth0 fd00::2/64",
                                 "b/eth0 fd00::3/125"));
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
  EXPECT_EQ(text_of(grant(again)), "10.1.0.2/29 returned");
  const std::vector<store::Lease> held = all_leases();
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].presence.boot_id, "boot-2");
  EXPECT_EQ(held[0].presence.netns, "/run/netns/another");
  EXPECT_EQ(held[0].presence.netns_inode, host.namespaces[again.netns].id.inode);
  EXPECT_TRUE(is_alive(held[0]));
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

// When a requested address is taken from its holder.
enum class Taken { kNever, kAfterTheGrace, kAtOnce };

TEST_F(LeasesTest, TakesOverARequestedAddressOnlyFromTheCertainlyDead) {
  const auto nothing = [](Node& /*node*/) {};
  const struct {
    const char* what;
    std::string holder_netns;
    std::string netns;
    std::function<void(Node&)> happens;
    Taken taken;
    bool looks_gone = taken == Taken::kAfterTheGrace;  // before anybody walks over /proc
  } cases[] = {
      {"its namespace lives", "/run/netns/h", "/run/netns/a", nothing, Taken::kNever},
      {"its namespace is gone", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.end("/run/netns/h"); }, Taken::kAfterTheGrace},
      {"a process is in its namespace", "/run/netns/h", "/run/netns/a",
       [](Node& node) {
         node.host.inhabited.insert(node.host.id_of("/run/netns/h"));
         node.host.end("/run/netns/h");
       },
       Taken::kNever, true},
      {"another namespace has its path", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.start("/run/netns/h"); }, Taken::kAfterTheGrace},
      {"something else has its path", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.hide("/run/netns/h"); }, Taken::kNever},
      {"the requester is in another folder", "/run/netns/h", "/var/run/docker/netns/a",
       [](Node& node) { node.host.end("/run/netns/h"); }, Taken::kAfterTheGrace},
      {"its folder cannot be seen", "/run/netns/h", "/var/run/docker/netns/a",
       [](Node& node) {
         node.host.end("/run/netns/h");
         node.host.hidden_folders.insert("/run/netns");
       },
       Taken::kNever},
      {"the requester's namespace cannot be seen", "/run/netns/h", "/run/netns/a",
       [](Node& node) {
         node.host.end("/run/netns/h");
         node.host.hide("/run/netns/a");
       },
       Taken::kAfterTheGrace},
      {"its process is gone", "/proc/77/ns/net", "/proc/78/ns/net",
       [](Node& node) { node.host.end("/proc/77/ns/net"); }, Taken::kAfterTheGrace},
      {"the machine has booted", "/run/netns/h", "/run/netns/a",
       [](Node& node) { node.host.reboot(); }, Taken::kAtOnce},
      {"the machine has booted and its namespace's path is taken", "/proc/77/ns/net",
       "/run/netns/a",
       [](Node& node) {
         node.host.reboot();
         node.host.start("/proc/77/ns/net");
       },
       Taken::kAtOnce},
      {"its namespace was never seen", "", "/run/netns/a", nothing, Taken::kNever},
  };
  for (const auto& one : cases) {
    Node node;
    AddRequest holder = node.request("h", {"10.1.0.4"});
    holder.netns = one.holder_netns;
    node.grant(holder);
    one.happens(node);
    AddRequest wish = node.request("a", {"10.1.0.4"});
    wish.netns = one.netns;
    if (one.taken != Taken::kAtOnce) {
      const Thrown refused = thrown_by([&] { node.grant(wish); });
      EXPECT_EQ(refused.kind, ErrorKind::kAddressTaken) << one.what;
      EXPECT_EQ(refused.details.find("its pod looks gone: the address comes free in 1m") !=
                    std::string::npos,
                one.looks_gone)
          << one.what << ": " << refused.details;
      node.clock.pass(59s);
      EXPECT_EQ(thrown_by([&] { node.grant(wish); }).kind, ErrorKind::kAddressTaken) << one.what;
      node.clock.pass(1s);
    }
    if (one.taken != Taken::kNever) {
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

TEST_F(LeasesTest, DelEndsTheLeasesOfAllFamilies) {
  offer = offer_of(kDual);
  add("a");
  add("b");
  EXPECT_THAT(del("a"), ElementsAre("10.1.0.2", "fd00::2"));
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29", "b/eth0 fd00::3/125"));
}

TEST_F(LeasesTest, DelOfTheUnknownIsSuccessAndLeavesNothingBehind) {
  EXPECT_THAT(del("nobody"), IsEmpty());
  EXPECT_FALSE(fs::exists(data_dir)) << "a DEL made a store";
  EXPECT_FALSE(fs::exists(places.registry));
  add("a");
  EXPECT_THAT(del("nobody"), IsEmpty());
  EXPECT_THAT(del("a"), SizeIs(1));
  EXPECT_THAT(del("a"), IsEmpty());
}

TEST_F(LeasesTest, DelFindsTheStoreTheConfigurationNoLongerNames) {
  add("a");
  const fs::path elsewhere = folder.path() / "elsewhere";
  const AttachmentKey key{.network = "net", .container_id = "a", .ifname = "eth0"};
  EXPECT_THAT(leases_in(elsewhere).del({.key = key}), SizeIs(1));
  EXPECT_FALSE(fs::exists(elsewhere));
  EXPECT_THAT(all(), IsEmpty());
  // Also where the named one is a store too, of another network.
  add("a");
  AddRequest other = request("b");
  other.key.network = "other";
  other.wiring.device = "br-other";
  static_cast<void>(leases_in(elsewhere).add(other, *fixed(offer), always));
  EXPECT_THAT(leases_in(elsewhere).del({.key = key}), SizeIs(1));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, DelWorksWithoutANetworkName) {
  offer = offer_of(kDual);
  add("a");
  add("b");
  EXPECT_THAT(leases().del({.key = {.network = "", .container_id = "a", .ifname = "eth1"}}),
              IsEmpty());
  EXPECT_THAT(leases().del({.key = {.network = "", .container_id = "a", .ifname = "eth0"}}),
              SizeIs(2));
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(leases_in(folder.path() / "elsewhere")
                  .del({.key = {.network = "", .container_id = "b", .ifname = "eth0"}}),
              SizeIs(2));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, DelTouchesNoOtherNetwork) {
  add("a");
  EXPECT_THAT(leases().del({.key = {.network = "other", .container_id = "a", .ifname = "eth0"}}),
              IsEmpty());
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, DelOfThisVeryPodFindsANetworkThatWasRenamed) {
  offer = offer_of(kDual);
  ipam::AddRequest ours = request("a");
  ours.pod.uid = "uid-a";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  const auto end = [&](const std::string& ifname, const std::string& uid) {
    return leases().del({.key = {.network = "new", .container_id = "a", .ifname = ifname},
                         .netns = {},
                         .pod_uid = uid});
  };
  EXPECT_THAT(end("eth1", "uid-a"), IsEmpty());
  EXPECT_THAT(end("eth0", "uid-b"), IsEmpty());
  EXPECT_THAT(end("eth0", ""), IsEmpty());
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(end("eth0", "uid-a"), SizeIs(2));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, DelPrefersTheNetworkThatItNames) {
  ipam::AddRequest ours = request("a");
  ours.pod.uid = "uid-a";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  ours.key.network = "new";
  static_cast<void>(leases().add(ours, *fixed(offer), always));
  EXPECT_THAT(leases().del({.key = {.network = "new", .container_id = "a", .ifname = "eth0"},
                            .netns = {},
                            .pod_uid = "uid-a"}),
              SizeIs(1));
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, DelIsNotHinderedByADamagedStoreElsewhere) {
  const fs::path damaged = folder.path() / "damaged";
  put(damaged / "lock", "");
  put(damaged / "podlease.db", std::string(5000, 'x'));
  store::Registry(places.registry).add(damaged);
  add("a");  // its store comes after the damaged one in the list
  const AttachmentKey key{.network = "net", .container_id = "a", .ifname = "eth0"};
  EXPECT_THAT(leases_in(folder.path() / "elsewhere").del({.key = key}), SizeIs(1));
  add("a");
  EXPECT_THAT(leases_in(damaged).del({.key = key}), SizeIs(1))
      << "the configuration names the damaged";
  EXPECT_THAT(all(), IsEmpty());
  // Nowhere to be found: it may have been in the damaged one, which is the configured one.
  EXPECT_THAT(leases_in(damaged).del({.key = key}), IsEmpty());
  EXPECT_FALSE(fs::exists(damaged / "podlease.db"));
}

TEST_F(LeasesTest, DelOfAFolderThatIsGoneIsSuccess) {
  add("a");
  fs::remove_all(data_dir);
  EXPECT_THAT(del("a"), IsEmpty());
}

TEST_F(LeasesTest, ADelThatCannotHaveTheLockSaysBusy) {
  add("a");
  const UniqueFd held(::open((data_dir / "lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  const Leases hasty(host, clock, log, places, data_dir, 50ms);
  EXPECT_EQ(thrown_by([&] {
              hasty.del({.key = {.network = "net", .container_id = "a", .ifname = "eth0"}});
            }).kind,
            ErrorKind::kBusy);
  EXPECT_EQ(
      thrown_by([&] { static_cast<void>(hasty.add(request("b"), *fixed(offer), always)); }).kind,
      ErrorKind::kBusy);
}

TEST_F(LeasesTest, ReleaseEndsExactlyThatAttachmentAndAllOfIt) {
  offer = offer_of(kDual);
  add("a");
  const store::Lease lease = all_leases().back();
  EXPECT_EQ(thrown_by([&] { static_cast<void>(leases().release(lease, false)); }).kind,
            ErrorKind::kOther)
      << "it is alive";
  host.end(netns_of("a"));
  EXPECT_THAT(leases().release(lease, false), SizeIs(2));
  EXPECT_THAT(leases().release(lease, false), IsEmpty()) << "free by now";
  add("b", {"10.1.0.2", lease.address.address().to_string()});
  EXPECT_THAT(leases().release(lease, true), IsEmpty()) << "somebody else's by now";
  EXPECT_THAT(leases_in(folder.path() / "elsewhere").release(lease, true), IsEmpty());
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_THAT(leases().release(all_leases().front(), true), SizeIs(2));
}

// §5.4: GC.

TEST_F(LeasesTest, GcEndsWhatIsNotValidAndNotAlive) {
  offer = offer_of(kDual);
  for (const char* const container : {"a", "b", "c", "d"}) {
    add(container);
  }
  host.end(netns_of("a"));  // listed
  host.end(netns_of("b"));
  host.start(netns_of("c"));  // another namespace at its path
  leases().gc("net", {{.network = "net", .container_id = "a", .ifname = "eth0"},
                      {.network = "net", .container_id = "b", .ifname = "eth1"},
                      {.network = "net", .container_id = "x", .ifname = "eth0"}});
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "d/eth0 10.1.0.5/29", "a/eth0 fd00::2/125",
                                 "d/eth0 fd00::5/125"));
  EXPECT_THAT(log_text(), AllOf(HasSubstr("container d eth0 is not among the valid"),
                                HasSubstr("GC net: container b eth0: 10.1.0.3/29 ended")));
}

TEST_F(LeasesTest, GcWithNothingValidKeepsTheLivingOnly) {
  add("a");
  add("b");
  host.end(netns_of("a"));
  leases().gc("net", {});
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29"));
}

TEST_F(LeasesTest, GcKnowsThatABootEndsEveryNamespace) {
  add("a");
  const auto before = host.namespaces;
  host.reboot();
  clock.reboot();
  // Inode numbers start anew: the same path may be the same number again.
  host.namespaces = before;
  leases().gc("net", {});
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, GcTouchesNoOtherNetworkAndMakesNoStore) {
  leases().gc("net", {});
  EXPECT_FALSE(fs::exists(data_dir));
  add("a");
  host.end(netns_of("a"));
  leases().gc("other", {});
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(LeasesTest, GcMatchesAnOldAdoptedLeaseByItsContainer) {
  host_local_file("10.1.0.3", "old");
  host_local_file("10.1.0.4", "older");
  adopt();
  leases().gc("net", {{.network = "net", .container_id = "old", .ifname = "net7"}});
  EXPECT_THAT(all(), ElementsAre("old/ 10.1.0.3/29"));
}

// §5.8: the guard.

// All that the rules say is in guard_test.cpp.
TEST_F(LeasesTest, RefusesARangeThatHoldsTheNodeOrItsGateway) {
  const Wiring gateway{.type = "bridge", .device = "cni0", .is_gateway = true};
  const Wiring flat{.type = "bridge", .device = "br0"};
  const Wiring ptp{.type = "ptp"};
  const struct {
    Wiring wiring;
    const char* ipam;
    const char* own;
    const char* gateway;
    const char* says;  // nothing: it is fine
  } cases[] = {
      {gateway, R"("subnet": "10.1.0.0/16")", "10.1.2.3/32", "192.0.2.1", "10.1.2.3"},
      {gateway, R"("subnet": "10.1.0.0/16")", "10.1.2.3/24", "10.1.2.1", "10.1.2.3"},
      {ptp, R"("subnet": "10.1.0.0/16")", "10.1.2.3/24", "10.1.2.1", "10.1.2.3"},
      {ptp, R"("subnet": "10.1.0.0/16")", "192.0.2.3/24", "10.1.0.1", "10.1.0.1"},
      {gateway, R"("subnet": "10.1.0.0/16")", "192.0.2.3/24", "", nullptr},
      {gateway, R"("subnet": "10.1.0.0/16", "exclude": ["10.1.2.0/24"])", "10.1.2.3/24", "10.1.2.1",
       nullptr},
      {gateway, R"("subnet": "10.1.0.0/16", "rangeStart": "10.1.3.0")", "10.1.2.3/24", "10.1.2.1",
       nullptr},
      {gateway, R"("ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00::/64"}]])",
       "fd00::77/128", "fe80::1", "fd00::77"},
      {gateway, R"("ranges": [[{"subnet": "10.9.0.0/24"}, {"subnet": "10.1.0.0/16"}]])",
       "10.1.2.3/32", "", "ipam.ranges[0][1]"},
      {gateway, R"("subnet": "10.1.0.0/24")", "10.1.0.3/24", "10.1.0.1", "10.1.0.3"},
      // Flat L2: the pods live in the node's own subnet.
      {flat, R"("subnet": "10.1.0.0/24")", "10.1.0.3/24", "10.1.0.1", nullptr},
      {flat, R"("subnet": "10.1.0.0/25")", "10.1.0.3/24", "10.1.0.1", nullptr},
  };
  for (const auto& one : cases) {
    Node node;
    node.own_wiring = one.wiring;
    node.offer = offer_of(one.ipam);
    node.host.set_uplink(one.own, one.gateway);
    const std::string what =
        one.wiring.type + " " + one.ipam + " on " + one.own + " by " + one.gateway;
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

// What no configuration may have: all addresses of a range, from the first to the last of a family.
pools::Offer offer_of_all(std::string_view range_text) {
  const net::Range range = net::Range::parse(range_text).value();
  return {.sets = {{.family = range.family(),
                    .ranges = {{.name = "all",
                                .source = "static",
                                .range = range,
                                .usable = net::IntervalSet({range}),
                                .subnet = net::Prefix::make(range.first(), 0).value().masked(),
                                .answer_length = net::bit_width(range.family()),
                                .gateway = std::nullopt}}}}};
}

TEST_F(LeasesTest, ServesTheWholeOfIpv6) {
  offer = offer_of_all("::/0");
  EXPECT_EQ(add("a"), "::/128 untouched");
  EXPECT_EQ(add("b", {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128 requested");
  EXPECT_EQ(add("c"), "::1/128 untouched");
  EXPECT_THAT(all(), SizeIs(3));
}

TEST_F(LeasesTest, ServesTheTopOfAFamily) {
  offer = offer_of_all("255.255.255.254/31");
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
  offer = offer_of(R"("subnet": "fd00::/48",
                      "exclude": ["fd00::3-fd00:0:0:ffff:ffff:ffff:ffff:ffff"])");
  ASSERT_EQ(add("a"), "fd00::2/48 untouched");
  EXPECT_THAT(refusal("x").details, HasSubstr("1208925819614629174706174 excluded"));
}

// Standing.

TEST_F(LeasesTest, StandingCountsEveryUsableAddressOnce) {
  EXPECT_EQ(leases().standing("net", wiring(), offer.sets[0], cooldown), std::nullopt);
  EXPECT_FALSE(fs::exists(data_dir)) << "a look made a store";
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]],
                      "exclude": ["10.2.0.6"])");
  for (const char* const container : {"a", "b", "c"}) {
    add(container);
  }
  del("a");
  clock.pass(30s);
  del("b");
  EXPECT_EQ(
      leases()
          .standing("other", {.type = "bridge", .device = "br-other"}, offer.sets[0], cooldown)
          .value()
          .leased,
      0U);
  EXPECT_EQ(leases().standing("other", wiring(), offer.sets[0], cooldown).value().leased,
            leases().standing("net", wiring(), offer.sets[0], cooldown).value().leased)
      << "on the same wire";
  const Standing standing = leases().standing("net", wiring(), offer.sets[0], cooldown).value();
  EXPECT_EQ(standing.leased, 1U);
  EXPECT_EQ(standing.freed, 2U);
  EXPECT_EQ(standing.cooling, 1U);
  EXPECT_EQ(standing.untouched, 6U);
  EXPECT_EQ(standing.excluded, 3U);  // two gateways and one exclusion
  EXPECT_EQ(standing.free(), 7U);
  // Of other ranges only what lies in them counts.
  const pools::Offer narrow = offer_of(R"("subnet": "10.1.0.0/30")");
  const Standing small = leases().standing("net", wiring(), narrow.sets[0], 0s).value();
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
  host.end(netns_of("a"));
  const struct {
    AddRequest request;
    std::string answer;
  } cases[] = {
      {request("x"), "10.1.0.2/29 pressed"}, {request("x", {"10.1.0.2"}), "10.1.0.2/29 requested"},
      {request("c"), "10.1.0.4/29 held"},    {moved, "10.1.0.5/29 returned"},
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

}  // namespace
}  // namespace podlease::ipam
