// Adoption of what host-local and others leased (DESIGN, section 5.7).

#include <fcntl.h>
#include <sys/file.h>

#include <thread>

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

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
  adopt();
  EXPECT_THAT(all(),
              ElementsAre("dual/eth0 10.1.0.3/28", "bare/ 10.1.0.4/28", "newline/eth0 10.1.0.5/28",
                          "drain/eth0 192.0.2.9/32", "dual/eth0 fd00::3/124"));
  const std::vector<store::Lease> adopted = all_leases();
  for (const store::Lease& lease : adopted) {
    EXPECT_EQ(lease.source, "host-local");
    EXPECT_EQ(lease.presence, store::Presence{.boot_id = host.boot});
    EXPECT_FALSE(is_alive(lease));
  }
  EXPECT_EQ(adopted[0].gateway, address("10.1.0.1"));
  EXPECT_EQ(adopted[3].gateway, std::nullopt);
  EXPECT_EQ(adopted[4].range_set, 1);
  // A repeated ADD of such a container goes on with what it has.
  EXPECT_EQ(add("dual"), "10.1.0.3/28 held, fd00::3/124 held");
  EXPECT_EQ(add("bare"), "10.1.0.4/28 held, fd00::4/124 untouched") << "with what it lacks";
  // Its DEL ends it, and the source stays as it was.
  EXPECT_THAT(del("bare"), ElementsAre("10.1.0.4", "fd00::4"));
  EXPECT_THAT(del("drain"), ElementsAre("192.0.2.9"));
  EXPECT_EQ(body_of(host_local() / "10.1.0.4"), "bare");
  EXPECT_EQ(add("new"), "10.1.0.7/28 untouched, fd00::5/124 untouched");
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

TEST_F(LeasesTest, WhoStartsAgainAfterItsDelIsAdopted) {
  host_local_file("10.1.0.2", "again\r\neth0");
  EXPECT_THAT(del("again"), IsEmpty());
  clock.pass(1s);
  host_local_file("10.1.0.2", "again\r\neth0");
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
  EXPECT_THAT(held_by("again"), SizeIs(1));
}

TEST_F(LeasesTest, ADelBeforeTheFirstAddIsRememberedOfWhatLibcniHolds) {
  for (const char* const name : {"ended", "living"}) {
    host.start(netns_of(name));
  }
  put(places.cni_caches[0] / "net-ended-eth0", cached("ended", netns_of("ended"), "10.1.0.2/29"));
  put(places.cni_caches[0] / "net-living-eth0",
      cached("living", netns_of("living"), "10.1.0.3/29"));
  EXPECT_THAT(del("unknown"), IsEmpty());
  EXPECT_FALSE(fs::exists(data_dir)) << "nothing to remember";
  fakes::set_written(places.cni_caches[0] / "net-ended-eth0", clock.now().wall);
  // Its namespace goes, and libcni's file, after the DEL.
  EXPECT_THAT(leases().del({.key = {"net", "ended", "eth0"}}), IsEmpty());
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "living/eth0 10.1.0.3/29"));
}

TEST_F(LeasesTest, ADelWhileTheFirstAddLooksThroughTheMachineIsRemembered) {
  host.start(netns_of("ended"));
  host.inside[netns_of("ended")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  put(places.cni_caches[0] / "net-ended-eth0", cached("ended", netns_of("ended"), "10.1.0.2/29"));
  fakes::set_written(places.cni_caches[0] / "net-ended-eth0", clock.now().wall);
  bool has_ended = false;
  host.on_look = [&](const fs::path& netns) {
    if (netns == netns_of("ended") && !std::exchange(has_ended, true)) {
      EXPECT_THAT(leases().del({.key = {"net", "ended", "eth0"}}), IsEmpty());
      fs::remove(places.cni_caches[0] / "net-ended-eth0");
    }
  };
  EXPECT_EQ(add("a"), "10.1.0.2/29 untouched");
  host.on_look = nullptr;
  EXPECT_TRUE(has_ended);
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29"));
}

// As often as the runtime sends it.
TEST_F(LeasesTest, ADelBeforeTheFirstAddIsNotedOnce) {
  put(places.cni_caches[0] / "net-a-eth0", cached("a", netns_of("a"), "10.1.0.2/29"));
  fakes::set_written(places.cni_caches[0] / "net-a-eth0", clock.now().wall);
  clock.pass(1s);
  EXPECT_THAT(del("a"), IsEmpty());
  const std::string before = body_of(data_dir / "podlease.db-wal");
  clock.pass(1s);
  EXPECT_THAT(del("a"), IsEmpty());
  EXPECT_EQ(body_of(data_dir / "podlease.db-wal"), before);
  // It was started again meanwhile.
  clock.pass(1s);
  fakes::set_written(places.cni_caches[0] / "net-a-eth0", clock.now().wall);
  clock.pass(1s);
  EXPECT_THAT(del("a"), IsEmpty());
  EXPECT_EQ(add("b"), "10.1.0.2/29 untouched");
}

// All processes can be seen, but not the folder that the runtime means.
TEST_F(LeasesTest, ARecordWhoseNameIsGoneIsKeptWherePathsMeanSomethingElse) {
  for (const bool own : {true, false}) {
    Node node;
    node.host.own_mounts_are_inits = own;
    const fs::path file = node.places.cni_caches[0] / "net-gone-eth0";
    put(file, cached("gone", "/run/other/gone", "10.1.0.2/29"));
    fakes::set_written(file, node.clock.now().wall);
    EXPECT_EQ(node.add("a"), own ? "10.1.0.2/29 untouched" : "10.1.0.3/29 untouched");
  }
}

// A container's view does not show every name; where it shows another of the runtime's, it shows
// all of that folder. Such records stay for good where a network was renamed under living pods.
TEST_F(LeasesTest, ARecordWhoseNameIsGoneFromAFolderThatIsSeenIsOld) {
  const host::NetnsId elsewhere{.device = 25, .inode = 4711};
  const struct {
    const char* what;
    std::string netns;
    std::string caller;
    bool is_kept;
  } cases[] = {
      {"beside the caller's", "/run/netns/gone", "/run/netns/a", false},
      {"in the same folder by another path", "/var/run/netns/gone", "/run/netns/a", false},
      {"in another folder", "/run/other/gone", "/run/netns/a", true},
      {"a process", "/proc/77/ns/net", "/run/netns/a", true},
      {"the caller's cannot be seen", "/run/netns/gone", "/run/netns/hidden", true},
  };
  for (const auto& one : cases) {
    Node node;
    node.host.own_view = {.pid_namespace = 4'026'532'500, .is_initial = false};
    node.host.folders["/run/netns"] = node.host.folders["/var/run/netns"] = elsewhere;
    const fs::path file = node.places.cni_caches[0] / "net-gone-eth0";
    put(file, cached("gone", one.netns, "10.1.0.2/29"));
    fakes::set_written(file, node.clock.now().wall);
    AddRequest request = node.request("a");
    request.netns = one.caller;
    if (one.caller == "/run/netns/a") {
      node.host.start(one.caller);
    } else {
      node.host.hide(one.caller);
    }
    EXPECT_EQ(text_of(node.grant(request)),
              one.is_kept ? "10.1.0.3/29 untouched" : "10.1.0.2/29 untouched")
        << one.what;
  }
}

// A configuration that gets more ranges, after a loss or beside host-local.

TEST_F(LeasesTest, AWiderConfigurationAsksWhoHoldsWhatIsNew) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  put(places.cni_caches[0] / "net-lost-eth0", cached("lost", netns_of("lost"), "10.2.0.2/29"));
  host.start(netns_of("lost"));
  host.start(netns_of("shown"));
  host.inside[netns_of("shown")] = {{.address = prefix("10.2.0.3/29"), .interface = "eth0"}};
  host_local_file("10.2.0.4", "theirs\r\neth0");
  host_local_file("10.3.0.2", "beyond\r\neth0");
  ASSERT_EQ(add("b"), "10.1.0.3/29 untouched");
  offer = offer_of(R"("ranges": [[{"subnet": "10.2.0.0/29"}, {"subnet": "10.1.0.0/29"}]])");
  EXPECT_EQ(add("c"), "10.2.0.5/29 untouched");
  EXPECT_EQ(add("d"), "10.2.0.6/29 untouched");
  EXPECT_THAT(all(), SizeIs(7));
  EXPECT_THAT(held_by("lost"), ElementsAre("lost/eth0 10.2.0.2/29"));
  EXPECT_THAT(held_by("theirs"), ElementsAre("theirs/eth0 10.2.0.4/29"));
  EXPECT_THAT(held_by("beyond"), IsEmpty());
}

// What was asked about once is not asked about again: a DEL may be under way.
TEST_F(LeasesTest, AConfigurationThatShrinksAndGrowsBackAsksNobody) {
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]])");
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  const pools::Offer wide = offer;
  offer = offer_of(kSmall);
  ASSERT_EQ(add("b"), "10.1.0.3/29 untouched");
  host.start(netns_of("shown"));
  host.inside[netns_of("shown")] = {{.address = prefix("10.2.0.3/29"), .interface = "eth0"}};
  offer = wide;
  ASSERT_EQ(add("c"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), SizeIs(3));
}

TEST_F(LeasesTest, AStoreOfBeforeIsSurveyedOnce) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  {
    std::optional<store::Store> store = open();
    store::Transaction transaction = store.value().begin();
    store::NetworkTable networks(transaction);
    store::Network used = networks.find("net").value();
    EXPECT_EQ(used.surveyed, std::vector<net::Range>{offer.sets[0].ranges[0].range});
    networks.set_surveyed(used, {});
    transaction.commit();
  }
  host.start(netns_of("shown"));
  host.inside[netns_of("shown")] = {{.address = prefix("10.1.0.3/29"), .interface = "eth0"}};
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(held_by(id_by_netns(netns_of("shown"))), SizeIs(1));
}

// What was recorded without a namespace is of the one that shows its address.
TEST_F(LeasesTest, ALeaseWithoutANamespaceGetsTheOneThatShowsItsAddress) {
  host_local_file("10.1.0.2", "old\r\neth0");
  ASSERT_EQ(add("a"), "10.1.0.3/29 untouched");
  ASSERT_EQ(all_leases().front().presence.netns, "");
  host.start(netns_of("old"));
  host.inside[netns_of("old")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  touch_store();
  ASSERT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_EQ(all_leases().front().presence.netns, netns_of("old"));
  EXPECT_EQ(text_of(all_leases().front()), "old/eth0 10.1.0.2/29");
}

// Of a sandbox that hides its address; its network may be on this wire.
TEST_F(LeasesTest, LibcnisRecordsOfOtherNetworksCountWhereTheStoreIsDoubted) {
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  host.start(netns_of("hidden"));
  std::string record = cached("hidden", netns_of("hidden"), "10.1.0.3/29");
  put(places.cni_caches[0] / "former-hidden-eth0",
      record.replace(record.find("net\""), 3, "former"));
  touch_store();
  EXPECT_EQ(add("b"), "10.1.0.4/29 untouched");
  EXPECT_THAT(leases().del({.key = {"former", "hidden", "eth0"}}), SizeIs(1));
}

// Whoever may, can give themselves another pod's address: the runtime's record tells whose it is.
TEST_F(LeasesTest, OfTwoThatShowAnAddressTheRecordedOneIsItsHolder) {
  for (const char* const thief : {"a-thief", "z-thief"}) {
    Node node;
    for (const char* const name : {thief, "owner"}) {
      node.host.start(netns_of(name));
      node.host.inside[netns_of(name)] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
    }
    put(node.places.cni_caches[0] / "net-owner-eth0",
        cached("owner", netns_of("owner"), "10.1.0.2/29"));
    EXPECT_EQ(node.add("b"), "10.1.0.3/29 untouched");
    EXPECT_THAT(node.all(), ElementsAre("owner/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
  }
}

// What CHECK goes by before the first ADD.
TEST_F(LeasesTest, WhatWouldBeAdoptedIsToldWithoutAdoptingIt) {
  put(places.cni_caches[0] / "net-old-eth0", cached("old", netns_of("old"), "10.1.0.2/29"));
  host.start(netns_of("old"));
  const auto would = [&](const std::string& container) {
    return leases().would_be_held_by(
        {.network = "net", .container_id = container, .ifname = "eth0"}, netns_of(container),
        wiring(), *fixed(offer));
  };
  EXPECT_THAT(would("old"), SizeIs(1));
  EXPECT_THAT(would("other"), IsEmpty());
  EXPECT_FALSE(fs::exists(data_dir));
}

TEST_F(LeasesTest, ADelOfAnotherInterfaceEndsNothingAdoptedLater) {
  host_local_file("10.1.0.2", "old\r\neth0");
  leases().del({.key = {.network = "net", .container_id = "old", .ifname = "eth1"}});
  leases().del({.key = {.network = "other", .container_id = "old", .ifname = "eth0"}});
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
  EXPECT_THAT(log_text(), HasSubstr("10.1.0.2/29 of container old: host-local ended it"));
  clock.pass(2s);
  EXPECT_EQ(add("c"), "10.1.0.2/29 pressed");
}

TEST_F(LeasesTest, ACheckOrAdoptionSeesAVanishedFileToo) {
  host_local_file("10.1.0.2", "old\r\neth0");
  adopt();
  ASSERT_THAT(all(), SizeIs(1));
  fs::remove(host_local() / "10.1.0.2");
  adopt();
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LeasesTest, AVanishedFileEndsNobodyElsesLease) {
  cooldown = 0s;
  host_local_file("10.1.0.2", "old\r\neth0");
  adopt();
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
        std::pair{"10.1.0.2", "intruder\r\neth0"}}) {
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

TEST_F(LeasesTest, AFileOutsideTheRangesIsNoConflict) {
  // Another network of host-local has the same name.
  ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  host_local_file("10.22.0.2", "other\r\neth0");
  host_local_file("last_reserved_ip.0", "10.22.0.2");
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  fs::remove(host_local() / "10.22.0.2");
  EXPECT_EQ(add("c"), "10.1.0.4/29 untouched");
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
  adopt();
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
  adopt();
  // rm -rf /var/lib/cni/networks, and then a late DEL through host-local.
  fs::remove_all(places.host_local);
  put(host_local() / "lock", "");
  EXPECT_EQ(add("a"), "10.1.0.3/29 untouched");
  EXPECT_THAT(held_by("old"), SizeIs(1));
  host_local_file("10.1.0.2", "old\r\neth0");
  adopt();
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
  EXPECT_THAT(hasty.del({.key = {.network = "net", .container_id = "b", .ifname = "eth0"}}),
              IsEmpty())
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

}  // namespace
}  // namespace podlease::ipam
