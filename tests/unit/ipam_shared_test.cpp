// The way back: export to host-local, and a network that is shared with it.

#include <fcntl.h>
#include <sys/file.h>

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

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
    return store::NetworkTable(store.value().begin()).find(network).value().handover;
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
  adopt();
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
  leases().gc("net", {{.network = "net", .container_id = "c", .ifname = "eth0"}});
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
    EXPECT_THAT(hasty.del({.key = {.network = "net", .container_id = "b", .ifname = "eth0"}}),
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

// Or host-local would give what podlease leased since.
TEST_F(SharedTest, AChangedDataDirEndsNoSharing) {
  for (const char* const place : {"networks", "elsewhere"}) {
    Node node;
    const fs::path root = node.folder.path() / place;
    node.add("a");
    static_cast<void>(node.leases().export_to_host_local("net", root, false));
    put(root / "net" / "lock", "");
    node.data_dir = node.folder.path() / "second";
    EXPECT_EQ(node.add("b"), "10.1.0.3/29 untouched");
    EXPECT_EQ(body_of(root / "net" / "10.1.0.3"), "b\r\neth0") << place;
    EXPECT_EQ(node.add("c"), "10.1.0.4/29 untouched");
    EXPECT_EQ(body_of(root / "net" / "10.1.0.4"), "c\r\neth0") << place;
    node.data_dir = node.folder.path() / "data";
    EXPECT_EQ(node.add("d"), "10.1.0.5/29 untouched");
    EXPECT_EQ(body_of(root / "net" / "10.1.0.5"), "d\r\neth0") << place;
    EXPECT_THAT(node.del("b"), SizeIs(1));
    EXPECT_EQ(body_of(root / "net" / "10.1.0.3"), "(none)") << place;
  }
}

TEST_F(SharedTest, RehearsalWritesNothingForHostLocal) {
  add("a");
  hand_over();
  host_local_file("10.1.0.3", "theirs\r\neth0");
  const auto before = fakes::contents_of(folder.path());
  EXPECT_EQ(text_of(leases().rehearse(request("b"), *fixed(offer))), "10.1.0.4/29 untouched");
  EXPECT_THAT(changed_since(before), IsEmpty());
}

}  // namespace
}  // namespace podlease::ipam
