// Reclaim, takeover and return (DESIGN, section 5.6), and what the machine tells a new store.

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

// §5.6: reclaim, takeover and return.

class ReclaimTest : public LeasesTest {
 protected:
  void SetUp() override { offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}]])"); }

  // Pods whose namespaces go without a DEL.
  void lose(int first, int last) {
    clock.pass(1s);  // what was found just now is not looked for again
    for (int i = first; i <= last; ++i) {
      host.end(netns_of("c" + std::to_string(i)));
    }
  }
  [[nodiscard]] AddRequest of_pod(const std::string& container, const std::string& uid) const {
    AddRequest wish = request(container);
    wish.pod = {.name_space = "shop", .name = "web-0", .uid = uid};
    return wish;
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
  EXPECT_EQ(clock.slept(), 200ms) << "two walks, a little apart";
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
  EXPECT_EQ(add("c1"), "10.1.0.2/29 returned");  // in another namespace
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
  const host::NetnsAt sight = host.namespaces.at(netns_of("c1"));
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

// A later namespace with its name and its number is another, also for the look at a few.
TEST_F(ReclaimTest, ASuspectIsNotLetOffByItsSuccessor) {
  ASSERT_EQ(fill(), 5);
  const host::NetnsId number = host.id_of(netns_of("c1"));
  lose(1, 1);
  EXPECT_THAT(refusal("new").details, HasSubstr("1 suspect"));
  host.start_as(netns_of("c1"), number);
  for (int i = 0; i < 4; ++i) {
    clock.pass(20s);
    EXPECT_EQ(add("c2"), "10.1.0.3/29 held") << "and looks at a few";
  }
  EXPECT_EQ(add("new"), "10.1.0.2/29 cooled");
}

// The suspicion that its address's former holder was under is not its own.
TEST_F(ReclaimTest, TheGraceOfADoubtfulHolderBeginsWhenItIsMissed) {
  cooldown = 0s;
  offer = offer_of(R"("subnet": "10.1.0.0/28")");  // more than one ADD looks at
  ASSERT_EQ(fill(), 13);
  lose(1, 2);
  EXPECT_THAT(refusal("new").details, HasSubstr("2 suspect"));
  ASSERT_THAT(del("c9"), SizeIs(1));
  clock.pass(2s);
  EXPECT_THAT(add("c9"), HasSubstr("cooled")) << "looks at the first few, the next ADD at others";
  ASSERT_THAT(del("c1"), SizeIs(1));
  clock.pass(2s);
  EXPECT_THAT(add("d1"), HasSubstr("10.1.0.2/28"));
  host.hide(netns_of("d1"));
  clock.pass(60s);
  for (int i = 0; i < 6; ++i) {  // until one has looked at c2, which is due, and all that are
    ASSERT_THAT(del("c5"), SizeIs(1));
    clock.pass(2s);
    EXPECT_THAT(add("c5"), HasSubstr("cooled"));
  }
  EXPECT_THAT(endings(), Contains("10.1.0.3 c2 reclaim"));
  EXPECT_THAT(add("d2"), HasSubstr("cooled"));
  clock.pass(60s);
  host.end(netns_of("d1"));
  EXPECT_THAT(refusal("new").details, HasSubstr("1 suspect"));
  clock.pass(60s);
  EXPECT_THAT(add("new"), HasSubstr("10.1.0.2/28"));
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
      {"a folder that is not there", "/var/run/docker/netns/h",
       [](Node& node, const std::string& netns) {
         node.host.hidden_folders.insert("/var/run/docker/netns");
         node.host.end(netns);
       },
       false},
      {"a folder of its own", "/var/run/docker/netns/h",
       [](Node& node, const std::string& netns) { node.host.end(netns); }, true},
      {"another folder by its name", "/run/netns/h",
       [](Node& node, const std::string& netns) {
         node.host.folders["/run/netns"] = {.device = 26, .inode = 1};
         node.host.end(netns);
       },
       false},
      {"a name that is gone, a process in the namespace", "/run/netns/h",
       [](Node& node, const std::string& netns) {
         node.host.inhabited.insert(node.host.id_of(netns));
         node.host.end(netns);
       },
       false},
      {"another PID namespace", "/run/netns/h",
       [](Node& node, const std::string& netns) {
         node.host.own_view = {.pid_namespace = 4026532500, .is_initial = false};
         node.host.end(netns);
       },
       false},
      {"the path of a process, others in the namespace", "/proc/7/ns/net",
       [](Node& node, const std::string& netns) {
         node.host.inhabited.insert(node.host.id_of(netns));
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
    node.clock.pass(1s);
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
  using State = Examined::State;
  const auto states = [&](bool dry_run) {
    std::vector<State> found;
    for (const Examined& examined : leases().sweep({.network = "net", .dry_run = dry_run})) {
      found.push_back(examined.state);
    }
    return found;
  };
  const std::vector<State> suspected{State::kSuspect, State::kSuspect, State::kDoubtful};
  EXPECT_EQ(states(true), suspected);
  clock.pass(1h);
  EXPECT_EQ(states(false), suspected) << "the dry run left no trace";
  clock.pass(60s);
  EXPECT_EQ(states(false),
            (std::vector<State>{State::kReclaimed, State::kReclaimed, State::kDoubtful}));
  EXPECT_THAT(all(), SizeIs(3));
  host.reboot();
  EXPECT_THAT(states(false), Each(State::kOfEarlierBoot));
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
    store::LeaseTable(transaction)
        .insert(store::NetworkTable(transaction).find("net").value(), lease);
    transaction.commit();
  }
  host.end(netns_of("a"));
  add("b");  // its folder can be seen
  EXPECT_THAT(leases().sweep({.network = "net"}), SizeIs(2));
  clock.pass(60s);
  EXPECT_THAT(leases().sweep({.network = "net"}), SizeIs(2));
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29"));
}

// §5.7: what the machine tells a new store.

TEST_F(ReclaimTest, ANewStoreLearnsFromNamespacesAndLibcni) {
  host.start("/run/netns/p1");
  host.inside["/run/netns/p1"] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  host.start("/run/netns/p2");
  put(places.cni_caches[0] / "net-p2-eth0", cached("p2", "/run/netns/p2", "10.1.0.3/29"));
  put(places.cni_caches[0] / "net-gone-eth0", cached("gone", "/run/netns/gone", "10.1.0.4/29"));
  put(places.cni_caches[0] / "net-half-eth0", R"({"kind":"cniCa)");
  const std::vector<Found> found = adopt(true);
  EXPECT_THAT(found, SizeIs(3));
  EXPECT_FALSE(open().has_value()) << "a dry run makes no store";
  EXPECT_EQ(add("new"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), ElementsAre(id_by_netns("/run/netns/p1") + "/eth0 10.1.0.2/29",
                                 "p2/eth0 10.1.0.3/29", "new/eth0 10.1.0.4/29"));
  EXPECT_EQ(all_leases()[1].pod,
            (store::Pod{.name_space = "shop", .name = "p2-pod", .uid = "uid-p2"}));
  EXPECT_EQ(all_leases()[1].presence.boot_id, host.boot);
  // Each ends with its DEL, by whichever name of the namespace, or with its namespace.
  host.namespaces["/var/run/netns/p1"] = host.namespaces.at("/run/netns/p1");
  EXPECT_THAT(leases().del({.key = {.network = "net", .container_id = "p1", .ifname = "eth0"},
                            .netns = "/var/run/netns/p1"}),
              SizeIs(1));
  host.end("/run/netns/p2");
  EXPECT_THAT(leases().sweep({.network = "net"}), SizeIs(1));
}

TEST_F(ReclaimTest, FilesOfHostLocalAreHeldAgainstWhatTheMachineSays) {
  host_local_file("10.1.0.2", "gone\r\neth0");
  host_local_file("10.1.0.3", "old\r\neth0");
  host_local_file("10.1.0.4", "old-and-inside\r\neth0");
  host_local_file("10.1.0.5", "lives");
  host.start("/run/netns/lives");
  host.inside["/run/netns/lives"] = {{.address = prefix("10.1.0.4/29"), .interface = "eth0"}};
  put(places.cni_caches[0] / "net-gone-eth0", cached("gone", "/run/netns/gone", "10.1.0.2/29"));
  put(places.cni_caches[0] / "net-lives-eth0", cached("lives", "/run/netns/lives", "10.1.0.5/29"));
  host.booted = clock.now().wall + 1h;  // after all of them were written
  std::map<std::string, bool> adopted;
  for (const Found& found : adopt()) {
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
  EXPECT_THAT(all(),
              ElementsAre(id_by_netns(netns_of("a")) + "/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
}

TEST_F(ReclaimTest, AnotherNetworkMayHaveTheSameAddresses) {
  add("a");
  host.inside[netns_of("a")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  network = "blue";
  EXPECT_EQ(add("b"), "10.1.0.2/29 untouched");
}

}  // namespace
}  // namespace podlease::ipam
