// Doubt keeps the lease (FACTS, section 1): GC, `podlease gc` and `podlease release` where nothing
// is certain, and what settles it.

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

using State = Examined::State;

class DoubtTest : public LeasesTest {
 protected:
  [[nodiscard]] std::vector<State> states(const SweepOptions& wanted = {}) const {
    std::vector<State> states;
    for (const Examined& examined : sweep(wanted)) {
      states.push_back(examined.state);
    }
    return states;
  }
  [[nodiscard]] static host::View view_of_a_container() {
    return {.pid_namespace = 4'026'532'500, .is_initial = false};
  }
};

TEST_F(DoubtTest, GcKeepsWhatIsInDoubtAndLogsWhatSettlesIt) {
  const struct {
    const char* what;
    std::function<void(Node&)> happens;
    const char* says;
  } cases[] = {
      {"a plain file at the path", [](Node& node) { node.host.hide(node.netns_of("a")); },
       "remove the file"},
      {"a folder that cannot be seen",
       [](Node& node) {
         node.host.end(node.netns_of("a"));
         node.host.hidden_folders.insert("/run/netns");
       },
       "run podlease on the host"},
      {"another folder",
       [](Node& node) {
         node.host.end(node.netns_of("a"));
         node.host.folders["/run/netns"] = {.device = 99, .inode = 3};
       },
       "podlease gc --view-ended"},
      {"another PID namespace",
       [](Node& node) {
         node.host.end(node.netns_of("a"));
         node.host.own_view = view_of_a_container();
       },
       "podlease gc --view-ended"},
      {"processes that cannot be read",
       [](Node& node) {
         node.host.end(node.netns_of("a"));
         node.host.sees_processes = false;
       },
       "as root"},
  };
  for (const auto& one : cases) {
    Node node;
    node.add("a");
    one.happens(node);
    node.leases().gc("net", {});
    EXPECT_THAT(node.all(), SizeIs(1)) << one.what;
    EXPECT_THAT(node.log_text(), AllOf(HasSubstr("container a eth0 is not among the valid"),
                                       HasSubstr("may be alive"), HasSubstr(one.says)))
        << one.what;
  }
}

TEST_F(DoubtTest, GcTakesTheRuntimesWordWhereNoNamespaceWasEverRecorded) {
  host_local_file("10.1.0.3", "old\r\neth0");
  AddRequest without = request("a");
  without.netns = "";
  grant(without);
  ASSERT_THAT(all(), SizeIs(2));
  leases().gc("net", {{.network = "net", .container_id = "old", .ifname = "eth0"}});
  EXPECT_THAT(all(), ElementsAre("old/eth0 10.1.0.3/29"));
  leases().gc("net", {});
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(DoubtTest, GcNeedsNoGraceAndASecondWalkOnlyWhereItEndsSomething) {
  add("a");
  const int before = host.walks;
  leases().gc("net", {});
  EXPECT_EQ(host.walks - before, 1);
  host.end(netns_of("a"));
  const int walks = host.walks;
  leases().gc("net", {});
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_EQ(host.walks - walks, 2) << "after its name was missed";
  EXPECT_EQ(clock.sleeps(), 0);
}

// The sandbox's process is started, and its namespace's name goes, while GC waits for the lock.
TEST_F(DoubtTest, WhoCameInSinceTheWalkIsNotEnded) {
  add("a");
  const store::Lease lease = all_leases().front();
  const host::NetnsId number = host.id_of(netns_of("a"));
  const int walks = host.walks;
  bool done = false;
  host.on_look = [&](const fs::path&) {
    if (host.walks > walks && !done) {
      done = true;
      host.inhabited.insert(number);
      host.end(netns_of("a"));
    }
  };
  leases().gc("net", {});
  EXPECT_TRUE(done);
  EXPECT_THAT(all(), SizeIs(1));
  host.inhabited.clear();
  host.start_as(netns_of("a"), number);
  host.cookies[number] = lease.presence.netns_cookie;
  const int more_walks = host.walks;
  done = false;
  host.on_look = [&](const fs::path&) {
    if (host.walks > more_walks && !done) {
      done = true;
      host.inhabited.insert(number);
      host.end(netns_of("a"));
    }
  };
  EXPECT_THROW(static_cast<void>(leases().release(lease, false)), Error);
  EXPECT_TRUE(done);
  EXPECT_THAT(all(), SizeIs(1));
}

TEST_F(DoubtTest, InAContainerEmptinessTakesAWitness) {
  host.own_view = view_of_a_container();
  add("a");
  add("b");
  host.end(netns_of("a"));
  clock.pass(2min);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
  EXPECT_THAT(sweep().front().settles, HasSubstr("no process of any pod"));
  host.inhabited.insert(host.id_of(netns_of("b")));
  EXPECT_EQ(states(), std::vector<State>{State::kSuspect});
  clock.pass(60s);
  EXPECT_EQ(states(), std::vector<State>{State::kReclaimed});
}

TEST_F(DoubtTest, LeasesOfAnotherViewEndOnlyOnTheOperatorsWord) {
  host.own_view = view_of_a_container();
  add("a");
  host.end(netns_of("a"));
  host.own_view = {.pid_namespace = 4'026'532'700, .is_initial = false};  // it was restarted
  add("b");
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kOfOtherView});
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kOfOtherView});
  EXPECT_EQ(states({.network = {}, .ends_other_views = true, .dry_run = true}),
            std::vector<State>{State::kViewEnded});
  EXPECT_THAT(all(), SizeIs(2)) << "rehearsed";
  EXPECT_EQ(states({.network = {}, .ends_other_views = true}),
            std::vector<State>{State::kViewEnded});
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29"));
}

TEST_F(DoubtTest, ReleaseRefusesWhatIsInDoubtUnlessItIsForced) {
  add("a");
  const store::Lease lease = all_leases().front();
  host.end(netns_of("a"));
  host.hidden_folders.insert("/run/netns");
  const Thrown refused = thrown_by([&] { static_cast<void>(leases().release(lease, false)); });
  EXPECT_EQ(refused.kind, ErrorKind::kOther);
  EXPECT_THAT(refused.message, HasSubstr("may be in use"));
  EXPECT_THAT(refused.details, AllOf(HasSubstr("--force"), HasSubstr("on the host")));
  EXPECT_EQ(thrown_by([&] { leases().refuse_if_alive(lease); }).kind, ErrorKind::kOther);
  EXPECT_THAT(leases().release(lease, true), SizeIs(1));
}

TEST_F(DoubtTest, ExhaustionAndStandingTellOfTheDoubtful) {
  ASSERT_EQ(fill(), 5);
  clock.pass(2s);
  host.hide(netns_of("c1"));
  host.end(netns_of("c2"));
  EXPECT_THAT(refusal("x").details, AllOf(HasSubstr("1 in doubt"), HasSubstr("1 suspect")));
  const Standing standing = leases().standing("net", wiring(), offer.sets[0], cooldown).value();
  EXPECT_EQ(standing.doubtful, 1U);
  EXPECT_EQ(standing.suspect, 1U);
  EXPECT_EQ(standing.reclaimable, 0U);
  clock.pass(60s);
  EXPECT_EQ(leases().standing("net", wiring(), offer.sets[0], cooldown).value().reclaimable, 1U);
}

// A lease without a namespace ends by `podlease gc` on libcni's word.

class CachedTest : public DoubtTest {
 protected:
  void SetUp() override {
    host_local_file("10.1.0.3", "old\r\neth0");
    adopt();
    ASSERT_EQ(life_of(all_leases().front()), Presumed::Life::kDoubt);
  }
  void cache(const std::string& container, const std::string& cidr) const {
    put(places.cni_caches[0] / ("net-" + container + "-eth0"),
        cached(container, netns_of(container), cidr));
  }
};

TEST_F(CachedTest, ItEndsOnceLibcniKnowsOthersAndNotIt) {
  cache("b", "10.1.0.6/29");
  EXPECT_EQ(states(), std::vector<State>{State::kSuspect});
  clock.pass(59s);
  EXPECT_EQ(states(), std::vector<State>{State::kSuspect});
  clock.pass(1s);
  EXPECT_EQ(states({.network = {}, .dry_run = true}), std::vector<State>{State::kReclaimed});
  EXPECT_EQ(states(), std::vector<State>{State::kReclaimed});
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(CachedTest, AnEmptyCacheSaysNothing) {
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
  EXPECT_THAT(sweep().front().settles, HasSubstr("libcni's cache"));
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
}

TEST_F(CachedTest, OneThatLibcniKnowsIsKept) {
  cache("b", "10.1.0.6/29");
  cache("old", "10.1.0.3/29");
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
}

TEST_F(CachedTest, OneWhoseRecordIsDamagedIsKept) {
  cache("b", "10.1.0.6/29");
  put(places.cni_caches[0] / "net-old-eth0", "{\"kind\":");
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
}

TEST_F(CachedTest, AttachmentsOfAnotherNetworkSayNothing) {
  std::string other = cached("b", netns_of("b"), "10.1.0.6/29");
  other.replace(other.find("\"net\""), 5, "\"red\"");
  put(places.cni_caches[0] / "red-b-eth0", other);
  clock.pass(1h);
  EXPECT_EQ(states(), std::vector<State>{State::kDoubtful});
}

// A namespace can live on in a descriptor that nobody sees; then its neighbours may know.

TEST_F(DoubtTest, AReachableNeighbourKeepsItsAddress) {
  ASSERT_EQ(fill(), 5);
  clock.pass(2s);
  host.end(netns_of("c1"));
  host.end(netns_of("c2"));
  host.neighbours[address("10.1.0.2")] = "br-net";
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  clock.pass(60s);
  EXPECT_EQ(add("x"), "10.1.0.3/29 cooled");
  clock.pass(2s);
  EXPECT_EQ(refusal("y").kind, ErrorKind::kExhausted);
  EXPECT_EQ(states(), std::vector<State>{State::kSuspect});
  host.neighbours.clear();
  clock.pass(2s);
  EXPECT_EQ(add("y"), "10.1.0.2/29 cooled");
}

// Another network's, whose range is the same.
TEST_F(DoubtTest, ANeighbourOnAnotherLinkKeepsNothing) {
  ASSERT_EQ(fill(), 5);
  clock.pass(2s);
  host.end(netns_of("c1"));
  host.neighbours[address("10.1.0.2")] = "br-other";
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  clock.pass(60s);
  EXPECT_EQ(add("x"), "10.1.0.2/29 cooled");
}

// Where each pod has a link of its own, or it is not known which, any counts.
TEST_F(DoubtTest, ANeighbourOnAnyLinkKeepsAnAddressWithoutOne) {
  for (const char* const type : {"ptp", "calico"}) {
    Node node;
    node.own_wiring = Wiring{.type = type};
    ASSERT_EQ(node.fill(), 5);
    node.clock.pass(2s);
    node.host.end(netns_of("c1"));
    node.host.neighbours[address("10.1.0.2")] = "veth7";
    ASSERT_EQ(node.refusal("x").kind, ErrorKind::kExhausted);
    node.clock.pass(60s);
    EXPECT_EQ(node.refusal("x").kind, ErrorKind::kExhausted) << type;
  }
}

TEST_F(DoubtTest, ARequestedAddressOfAReachableNeighbourIsNotTakenOver) {
  add("a");
  host.end(netns_of("a"));
  host.neighbours[address("10.1.0.2")] = "br-net";
  ASSERT_EQ(refusal("b", {"10.1.0.2"}).kind, ErrorKind::kAddressTaken);
  clock.pass(60s);
  EXPECT_EQ(refusal("b", {"10.1.0.2"}).kind, ErrorKind::kAddressTaken);
  host.neighbours.clear();
  EXPECT_EQ(add("b", {"10.1.0.2"}), "10.1.0.2/29 requested");
}

}  // namespace
}  // namespace podlease::ipam
