// A node's other stores (FACTS, section 2, "dataDir moved", and section 4): each network goes on in
// the store that the configuration names now.

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "ipam_node.h"
#include "podlease/base/file.h"
#include "podlease/store/note_table.h"

namespace podlease::ipam {
namespace {

class StoresTest : public LeasesTest {
 protected:
  void SetUp() override { data_dir = first; }

  [[nodiscard]] bool says_moved(const fs::path& place) const {
    std::optional<store::Store> store = store::Store::open_existing(
        {.folder = place, .registry = places.registry, .lock_timeout = 10s});
    if (!store) {
      return false;
    }
    store::Transaction transaction = store->begin();
    return store::NoteTable(transaction).find(store::NoteTable::Kind::kMovedTo, "net").has_value();
  }
  std::string add_in(const fs::path& place, const std::string& container) {
    data_dir = place;
    return add(container);
  }
  std::vector<std::string> del_in(const fs::path& place, const std::string& container) {
    data_dir = place;
    return del(container);
  }
  // An ADD that looks through the machine and then leases nothing, as one that is killed.
  void add_in_vain(const fs::path& place, const std::string& container) {
    data_dir = place;
    host.start(netns_of(container));
    EXPECT_EQ(
        thrown_by([&] {
          static_cast<void>(leases().add(request(container), *fixed(offer), [] { return false; }));
        }).kind,
        ErrorKind::kOther);
    host.end(netns_of(container));
  }

  fs::path first = folder.path() / "first";
  fs::path second = folder.path() / "second";
};

TEST_F(StoresTest, LeasesGoWithTheirNetworkIntoAnotherStore) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in(second, "b"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
  EXPECT_TRUE(says_moved(first));
  EXPECT_FALSE(says_moved(second));
  EXPECT_EQ(add_in(second, "a"), "10.1.0.2/29 held");
  EXPECT_EQ(del_in(second, "a"), std::vector<std::string>{"10.1.0.2"});
}

TEST_F(StoresTest, ThereAndBackGivesNoAddressTwice) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(first, "b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in(second, "c"), "10.1.0.4/29 untouched");
  EXPECT_EQ(add_in(first, "d"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29", "c/eth0 10.1.0.4/29",
                                 "d/eth0 10.1.0.5/29"));
  EXPECT_FALSE(says_moved(first));
  EXPECT_TRUE(says_moved(second));
  EXPECT_EQ(add_in(second, "e"), "10.1.0.6/29 untouched");
  EXPECT_EQ(refusal("f").kind, ErrorKind::kExhausted);
  EXPECT_THAT(all(), SizeIs(5));
}

TEST_F(StoresTest, WhatEndsThereIsEndedBackHere) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(first, "b"), "10.1.0.3/29 untouched");
  ASSERT_EQ(add_in(second, "c"), "10.1.0.4/29 untouched");
  EXPECT_EQ(del_in(second, "a"), std::vector<std::string>{"10.1.0.2"});
  EXPECT_EQ(add_in(first, "d"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29", "c/eth0 10.1.0.4/29", "d/eth0 10.1.0.5/29"));
  EXPECT_THAT(endings(), Contains("10.1.0.2 a moved"));
}

TEST_F(StoresTest, ADelThatStillNamesTheFormerStoreFindsWhereTheLeaseWent) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(second, "b"), "10.1.0.3/29 untouched");
  // Runtimes end a pod with the configuration that they started it with.
  del_in(first, "a");
  del_in(first, "b");
  data_dir = second;
  EXPECT_THAT(all(), IsEmpty());
  data_dir = first;
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(StoresTest, AMoveThatWasCutShortChangesNothing) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  add_in_vain(second, "x");
  EXPECT_EQ(add_in(first, "b"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29"));
  EXPECT_EQ(add_in(second, "c"), "10.1.0.4/29 untouched") << "later it is whole";
  EXPECT_THAT(all(), SizeIs(3));
}

TEST_F(StoresTest, AMoveBackThatWasCutShortChangesNothing) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(second, "b"), "10.1.0.3/29 untouched");
  add_in_vain(first, "x");
  EXPECT_EQ(add_in(second, "c"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29", "b/eth0 10.1.0.3/29", "c/eth0 10.1.0.4/29"));
  EXPECT_EQ(add_in(first, "d"), "10.1.0.5/29 untouched");
  EXPECT_THAT(all(), SizeIs(4));
}

TEST_F(StoresTest, WhereTheOtherStoreIsGoneWhatIsHereIsKept) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(second, "b"), "10.1.0.3/29 untouched");
  fs::remove_all(second);
  host.inside[netns_of("b")] = {{.address = prefix("10.1.0.3/29"), .interface = "eth0"}};
  EXPECT_EQ(add_in(first, "c"), "10.1.0.4/29 untouched");
  EXPECT_THAT(held_by("a"), SizeIs(1));
}

TEST_F(StoresTest, AStoreOfOtherNetworksOrAddressesIsLeftAlone) {
  network = "other";
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  network = "net";
  EXPECT_EQ(add_in(second, "b"), "10.1.0.2/29 untouched") << "another bridge";
  EXPECT_FALSE(says_moved(first));
}

// The store has a network of that name with other ranges at first, and then with those ranges too.
TEST_F(StoresTest, RangesThatANetworkGetsLaterAreAskedAboutToo) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  offer = offer_of(R"("ranges": [[{"subnet": "10.2.0.0/29"}]])");
  ASSERT_EQ(add_in(second, "b"), "10.2.0.2/29 untouched");
  EXPECT_FALSE(says_moved(first));
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]])");
  EXPECT_EQ(text_of(leases().rehearse(request("c"), *fixed(offer))), "10.1.0.3/29 untouched");
  EXPECT_FALSE(says_moved(first));
  EXPECT_EQ(add_in(second, "c"), "10.1.0.3/29 untouched");
  EXPECT_TRUE(says_moved(first));
  EXPECT_THAT(held_by("a"), ElementsAre("a/eth0 10.1.0.2/29"));
}

// What one store cannot know of another is told before it happens.
TEST_F(StoresTest, ItIsToldWhereTwoStoresGiveOutTheSame) {
  own_wiring = Wiring{.type = "bridge", .device = "cni7"};
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  EXPECT_THAT(leases().warnings("net"), IsEmpty());
  network = "other";
  offer = offer_of(R"("subnet": "10.1.0.0/28", "rangeStart": "10.1.0.6")");
  ASSERT_EQ(add_in(second, "b"), "10.1.0.6/28 untouched");
  EXPECT_THAT(leases().warnings("other"),
              ElementsAre(AllOf(HasSubstr("network net of the store " + first.string()),
                                HasSubstr("10.1.0.6"), HasSubstr("dataDir"))));
  EXPECT_THAT(leases_in(first).warnings("net"), SizeIs(1));
  // Not on another wire, and not where the one has gone on in the other.
  own_wiring = Wiring{.type = "bridge", .device = "cni8"};
  network = "third";
  ASSERT_EQ(add_in(second, "c"), "10.1.0.6/28 untouched");
  EXPECT_THAT(leases().warnings("third"), SizeIs(1)) << "one subnet on two wires";
  own_wiring = Wiring{.type = "bridge", .device = "cni7"};
  network = "net";
  offer = offer_of(kSmall);
  ASSERT_EQ(add_in(folder.path() / "last", "d"), "10.1.0.3/29 untouched");
  EXPECT_THAT(leases_in(first).warnings("net"), IsEmpty());
}

// Renamed and moved at once: a pod whose namespace has lost its name keeps its address.
TEST_F(StoresTest, WhoLivesByAProcessCountsUnderAnotherName) {
  network = "other";
  own_wiring = Wiring{.type = "bridge", .device = "cni7"};
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  host.inhabited.insert(host.id_of(netns_of("a")));
  host.end(netns_of("a"));
  network = "net";
  EXPECT_EQ(add_in(second, "b"), "10.1.0.3/29 untouched");
}

TEST_F(StoresTest, ARehearsalLeavesNoNote) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  data_dir = second;
  EXPECT_EQ(text_of(leases().rehearse(request("b"), *fixed(offer))), "10.1.0.3/29 untouched");
  EXPECT_FALSE(says_moved(first));
  EXPECT_FALSE(fs::exists(second));
}

// Row 9: a DEL waits for no other store.

class LockedStoreTest : public StoresTest {
 protected:
  // Locks the store as another process does.
  [[nodiscard]] static UniqueFd lock(const fs::path& store) {
    UniqueFd held(::open((store / "lock").c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_EQ(flock(held.get(), LOCK_EX), 0);
    return held;
  }
  // What a DEL of container a leaves that cannot have the lock.
  static void note_beside(const Node& node) {
    const UniqueFd held = lock(node.data_dir);
    const Leases elsewhere(node.host, node.clock, node.log, node.places,
                           node.folder.path() / "elsewhere", 50ms);
    EXPECT_THAT(elsewhere.del({.key = {.network = "net", .container_id = "a", .ifname = "eth0"},
                               .netns = {},
                               .pod_uid = {}}),
                IsEmpty());
  }
  [[nodiscard]] Leases hasty() const { return {host, clock, log, places, second, 50ms}; }
  [[nodiscard]] DelRequest del_of(const std::string& container) const {
    return {.key = {.network = network, .container_id = container, .ifname = "eth0"},
            .netns = {},
            .pod_uid = {}};
  }
};

TEST_F(LockedStoreTest, ADelLeavesANoteForItsNextHolder) {
  ASSERT_EQ(add_in(first, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in(first, "b"), "10.1.0.3/29 untouched");
  {
    const UniqueFd held = lock(first);
    EXPECT_THAT(hasty().del(del_of("a")), IsEmpty());
  }
  EXPECT_TRUE(fs::exists(first / "ended" / "a.eth0"));
  EXPECT_THAT(all(), SizeIs(2));
  EXPECT_EQ(add_in(first, "c"), "10.1.0.4/29 untouched");
  EXPECT_THAT(all(), ElementsAre("b/eth0 10.1.0.3/29", "c/eth0 10.1.0.4/29"));
  EXPECT_TRUE(fs::is_empty(first / "ended"));
  EXPECT_THAT(endings(), Contains("10.1.0.2 a del"));
}

TEST_F(LockedStoreTest, EveryHolderOfTheLockFollowsTheNote) {
  const struct {
    const char* what;
    std::function<void(Node&)> next;
  } cases[] = {
      {"ADD", [](Node& node) { node.add("c"); }},
      {"DEL", [](Node& node) { node.del("nobody"); }},
      {"GC",
       [](Node& node) {
         node.leases().gc("net", {{.network = "net", .container_id = "a", .ifname = "eth0"}});
       }},
      {"sweep", [](Node& node) { static_cast<void>(node.sweep()); }},
  };
  for (const auto& one : cases) {
    Node node;
    node.add("a");
    note_beside(node);
    one.next(node);
    EXPECT_THAT(node.held_by("a"), IsEmpty()) << one.what;
    EXPECT_TRUE(fs::is_empty(node.data_dir / "ended")) << one.what;
  }
}

TEST_F(LockedStoreTest, ANoteEndsNothingThatWasLeasedLater) {
  add_in(first, "a");
  {
    const UniqueFd held = lock(first);
    EXPECT_THAT(hasty().del(del_of("a")), IsEmpty());
    EXPECT_THAT(hasty().del(del_of("later")), IsEmpty());
  }
  clock.pass(5s);
  EXPECT_EQ(add_in(first, "later"), "10.1.0.3/29 untouched");
  EXPECT_THAT(all(), ElementsAre("later/eth0 10.1.0.3/29"));
}

TEST_F(LockedStoreTest, WhereNoNoteCanBeWrittenTheRuntimeMustComeAgain) {
  add_in(first, "a");
  put(first / "ended", "in the way");
  const UniqueFd held = lock(first);
  EXPECT_EQ(thrown_by([&] { hasty().del(del_of("a")); }).kind, ErrorKind::kBusy);
}

TEST_F(LockedStoreTest, NotesOfOthersEndNothingAndStay) {
  const std::string note = "net\na\neth0\n\n";
  const std::filesystem::path elsewhere = first.parent_path() / "elsewhere";
  add_in(first, "a");
  // Behind a link.
  put(elsewhere / "a.eth0", note);
  std::filesystem::create_directory_symlink(elsewhere, first / "ended");
  clock.pass(1s);
  add_in(first, "b");
  EXPECT_TRUE(std::filesystem::exists(elsewhere / "a.eth0"));
  EXPECT_THAT(all(), SizeIs(2));
  std::filesystem::remove(first / "ended");
  // In a folder that everybody may write, and of another user.
  put(first / "ended" / "a.eth0", note);
  std::filesystem::permissions(first / "ended", std::filesystem::perms::all);
  add_in(first, "c");
  std::filesystem::permissions(first / "ended", std::filesystem::perms::owner_all);
  ASSERT_EQ(chown((first / "ended" / "a.eth0").c_str(), 65534, 65534), 0);
  add_in(first, "d");
  EXPECT_THAT(all(), SizeIs(4));
  EXPECT_TRUE(std::filesystem::exists(first / "ended" / "a.eth0"));
  // The caller's own does.
  ASSERT_EQ(chown((first / "ended" / "a.eth0").c_str(), geteuid(), getegid()), 0);
  add_in(first, "e");
  EXPECT_THAT(all(), SizeIs(4));
  EXPECT_FALSE(std::filesystem::exists(first / "ended" / "a.eth0"));
}

TEST_F(LockedStoreTest, AHalfWrittenNoteEndsNothing) {
  add_in(first, "a");
  put(first / "ended" / "a.eth0", "net\na");
  add_in(first, "b");
  EXPECT_THAT(all(), SizeIs(2));
}

}  // namespace
}  // namespace podlease::ipam
