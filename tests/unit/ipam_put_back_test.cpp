// A store that does not know what was written last: it was put back from a copy, or lost its log,
// while pods lived on (README, "The store").

#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <random>

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

// What people do with a store's files.
class Copy {
 public:
  Copy(fs::path store, fs::path copy) : store_(std::move(store)), copy_(std::move(copy)) {}

  void make() const {
    fs::remove_all(copy_);
    fs::copy(store_, copy_);
  }
  // VACUUM INTO.
  void make_in_one_file() const {
    fs::remove_all(copy_);
    fs::create_directory(copy_);
    SQLite::Database connection((store_ / "podlease.db").string(), SQLite::OPEN_READWRITE);
    connection.exec("VACUUM INTO '" + (copy_ / "podlease.db").string() + "'");
  }
  void replace() const {
    fs::remove_all(store_);
    fs::copy(copy_, store_);
  }
  void put_beside_what_is_left() const { fs::copy(copy_, store_); }
  // In place, as old as in the copy.
  void overwrite(const std::string& name) const {
    const fs::path file = store_ / name;
    put(file, body_of(copy_ / name));
    fs::last_write_time(file, fs::last_write_time(copy_ / name));
  }
  // As an sqlite3 shell does when it is left.
  void fold_log() const {
    SQLite::Database connection((store_ / "podlease.db").string(), SQLite::OPEN_READWRITE);
    connection.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  void lose_log() const { fs::remove(store_ / "podlease.db-wal"); }
  [[nodiscard]] bool is_made() const { return fs::exists(copy_ / "podlease.db"); }
  [[nodiscard]] bool has(const std::string& name) const { return fs::exists(copy_ / name); }

 private:
  fs::path store_;
  fs::path copy_;
};

class PutBackTest : public LeasesTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(start("old"), "10.1.0.2/29 untouched");
    ASSERT_EQ(start("stays"), "10.1.0.3/29 untouched");
    ASSERT_EQ(start("first"), "10.1.0.4/29 untouched");
  }
  // A pod whose namespace shows what it got.
  std::string start(const std::string& container, const std::vector<std::string>& requested = {}) {
    const std::vector<Granted> granted = grant(request(container, requested));
    host.inside[netns_of(container)] = {
        {.address = granted.front().lease.address, .interface = "eth0"}};
    return text_of(granted);
  }
  // One pod ends, another one gets its address, and a third one gets one that nobody had.
  void go_on() {
    ASSERT_THAT(del("first"), SizeIs(1));
    ASSERT_THAT(del("old"), SizeIs(1));
    clock.pass(cooldown);
    ASSERT_EQ(start("new", {"10.1.0.2"}), "10.1.0.2/29 requested");
    ASSERT_EQ(start("more"), "10.1.0.5/29 untouched");
  }
  void demand_that_who_lives_is_known() {
    EXPECT_EQ(add("x"), "10.1.0.6/29 untouched");
    EXPECT_THAT(all(), IsSupersetOf({id_by_netns(netns_of("new")) + "/eth0 10.1.0.2/29",
                                     std::string("stays/eth0 10.1.0.3/29"),
                                     id_by_netns(netns_of("more")) + "/eth0 10.1.0.5/29"}));
  }
  void copy_store() const { copied.make(); }
  void put_copy_back() const { copied.replace(); }
  void fold_log() const { copied.fold_log(); }

  const Copy copied{data_dir, folder.path() / "copy"};
};

TEST_F(PutBackTest, WhoLivesIsLearntFromTheMachine) {
  copy_store();
  go_on();
  put_copy_back();
  demand_that_who_lives_is_known();
  EXPECT_THAT(held_by("first"), SizeIs(1)) << "whoever has ended is reclaimed in its time";
  EXPECT_THAT(held_by("old"), IsEmpty());
}

TEST_F(PutBackTest, AlsoWithoutTheLockFile) {
  copy_store();
  go_on();
  put_copy_back();
  fs::remove(data_dir / "lock");
  demand_that_who_lives_is_known();
}

// As `cp -a COPY/. DATADIR` does: the files are the same ones, and as old as in the copy.
TEST_F(PutBackTest, AlsoOntoTheFilesThemselves) {
  copy_store();
  go_on();
  for (const char* const name : {"podlease.db", "podlease.db-wal", "lock"}) {
    copied.overwrite(name);
  }
  demand_that_who_lives_is_known();
}

TEST_F(PutBackTest, AlsoOntoTheFileAloneWhereItsLogWasFolded) {
  fold_log();
  copy_store();
  go_on();
  fold_log();
  copied.overwrite("podlease.db");
  demand_that_who_lives_is_known();
}

TEST_F(PutBackTest, AlsoACopyInOneFile) {
  copied.make_in_one_file();
  go_on();
  for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
    fs::remove(data_dir / name);
  }
  copied.put_beside_what_is_left();
  demand_that_who_lives_is_known();
}

TEST_F(PutBackTest, AlsoACopyInOneFileWithoutTheLockFile) {
  copied.make_in_one_file();
  go_on();
  put_copy_back();
  demand_that_who_lives_is_known();
}

// Nobody but podlease wrote: no network is asked about anew.
TEST_F(PutBackTest, WhatPodleaseWritesItselfIsNoCopy) {
  for (int times = 0; times < 3; ++times) {
    ASSERT_THAT(del("first"), SizeIs(times == 0 ? 1 : 0));
    const int walks = host.walks;
    ASSERT_EQ(add("new" + std::to_string(times)).substr(0, 7), "10.1.0.");
    EXPECT_EQ(host.walks, walks);
    EXPECT_TRUE(refusal("x", {"10.1.0.3"}).kind == ErrorKind::kAddressTaken);
  }
}

TEST_F(PutBackTest, AlsoAfterADel) {
  copy_store();
  go_on();
  put_copy_back();
  ASSERT_THAT(del("first"), SizeIs(1));
  demand_that_who_lives_is_known();
}

TEST_F(PutBackTest, AlsoWhereOnlyTheLogIsLost) {
  fold_log();
  go_on();
  copied.lose_log();
  demand_that_who_lives_is_known();
}

TEST_F(PutBackTest, AFoldedLogChangesNothing) {
  go_on();
  const std::vector<std::string> before = all();
  fold_log();
  EXPECT_EQ(add("stays"), "10.1.0.3/29 held");
  EXPECT_EQ(all(), before);
  EXPECT_EQ(add("x"), "10.1.0.6/29 untouched");
}

TEST_F(PutBackTest, HoweverManyHoldersHaveEndedOneWalkTellsOfThem) {
  copy_store();
  go_on();
  ASSERT_EQ(start("newer", {"10.1.0.4"}), "10.1.0.4/29 requested");
  put_copy_back();
  const int walks = host.walks;
  EXPECT_EQ(add("x"), "10.1.0.6/29 untouched");
  EXPECT_EQ(host.walks - walks, 2) << "the survey's, and one for those whose names are missing";
  EXPECT_THAT(held_by(id_by_netns(netns_of("newer"))), SizeIs(1));
}

// The dead holder on record is in doubt, since podlease was called from a container meanwhile.
TEST_F(PutBackTest, WhoeverIsInDoubtHidesNobodyForGood) {
  copy_store();
  go_on();
  put_copy_back();
  const host::View hosts = host.own_view;
  host.own_view = {.pid_namespace = 7, .is_initial = false};
  EXPECT_EQ(add("x"), "10.1.0.6/29 untouched");
  EXPECT_THAT(held_by("old"), SizeIs(1)) << "it may live where this call does not see it";
  host.own_view = hosts;
  static_cast<void>(refusal("y"));
  clock.pass(61s);
  EXPECT_EQ(add("y"), "10.1.0.4/29 cooled") << "first's, which nobody has";
  EXPECT_THAT(held_by(id_by_netns(netns_of("new"))), SizeIs(1));
  EXPECT_EQ(refusal("z").kind, ErrorKind::kExhausted);
}

// One container that was started again: the copy has it in the namespace that it had then.
class StartedAgainTest : public PutBackTest {
 protected:
  void SetUp() override {
    PutBackTest::SetUp();
    copy_store();
    ASSERT_THAT(del("old"), SizeIs(1));
    AddRequest again = request("old");
    again.netns = netns_of("again");
    ASSERT_EQ(text_of(grant(again)), "10.1.0.5/29 untouched");
    host.inside[netns_of("again")] = {{.address = prefix("10.1.0.5/29"), .interface = "eth0"}};
    put(places.cni_caches[0] / "net-old-eth0", cached("old", netns_of("again"), "10.1.0.5/29"));
    put_copy_back();
    ASSERT_EQ(add("x"), "10.1.0.6/29 untouched");
    ASSERT_THAT(held_by("old"), ElementsAre("old/eth0 10.1.0.2/29", "old/eth0 10.1.0.5/29"));
  }
  void demand_that_only_the_dead_one_ended() {
    EXPECT_THAT(held_by("old"), ElementsAre("old/eth0 10.1.0.5/29"));
  }
};

TEST_F(StartedAgainTest, ReclaimEndsTheDeadOneOnly) {
  static_cast<void>(refusal("y"));
  clock.pass(61s);
  EXPECT_EQ(add("y").substr(0, 11), "10.1.0.2/29");
  demand_that_only_the_dead_one_ended();
}

TEST_F(StartedAgainTest, GcEndsTheDeadOneOnly) {
  leases().gc(network, {});
  demand_that_only_the_dead_one_ended();
}

TEST_F(StartedAgainTest, TheCommandEndsTheDeadOneOnly) {
  static_cast<void>(sweep());
  clock.pass(61s);
  EXPECT_THAT(sweep(), SizeIs(1));
  demand_that_only_the_dead_one_ended();
}

TEST_F(StartedAgainTest, ReleaseEndsTheDeadOneOnly) {
  EXPECT_THAT(leases().release(all_leases().front(), false), SizeIs(1));
  demand_that_only_the_dead_one_ended();
}

TEST_F(StartedAgainTest, WhoeverAsksForTheDeadOnesAddressGetsThatOnly) {
  static_cast<void>(refusal("y", {"10.1.0.2"}));
  clock.pass(61s);
  EXPECT_EQ(add("y", {"10.1.0.2"}), "10.1.0.2/29 requested");
  demand_that_only_the_dead_one_ended();
}

TEST_F(StartedAgainTest, ARepeatedAddGoesOnWithTheLivingOne) {
  AddRequest again = request("old");
  again.netns = netns_of("again");
  EXPECT_EQ(text_of(grant(again)), "10.1.0.5/29 held");
}

TEST_F(StartedAgainTest, AnAddElsewhereIsRefusedForTheLivingOne) {
  AddRequest again = request("old");
  again.netns = netns_of("elsewhere");
  EXPECT_THAT(thrown_by([&] { static_cast<void>(grant(again)); }).message, HasSubstr("10.1.0.5"));
}

TEST_F(StartedAgainTest, ItsDelEndsBoth) {
  EXPECT_THAT(del("old"), SizeIs(2));
}

// The holder on record lost its name, and lives: nobody else's claim counts.
TEST_F(PutBackTest, WhoLivesByAProcessKeepsItsAddress) {
  host.inhabited.insert(host.id_of(netns_of("old")));
  host.end(netns_of("old"));
  host.start(netns_of("thief"));
  host.inside[netns_of("thief")] = {{.address = prefix("10.1.0.2/29"), .interface = "eth0"}};
  fold_log();
  EXPECT_EQ(add("x"), "10.1.0.5/29 untouched");
  EXPECT_THAT(held_by("old"), SizeIs(1));
}

TEST_F(PutBackTest, NothingIsExportedBeforeTheMachineWasAsked) {
  copy_store();
  go_on();
  put_copy_back();
  const auto do_export = [&] {
    return leases().export_to_host_local(network, places.host_local, false);
  };
  EXPECT_THAT(thrown_by([&] { static_cast<void>(do_export()); }).message, HasSubstr("put back"));
  EXPECT_THAT(all(), SizeIs(3)) << "nothing was changed";
  adopt();
  EXPECT_THAT(do_export().entries, SizeIs(4)) << "stays, first, new and more";
}

TEST_F(PutBackTest, AlsoWhereNobodyElseLives) {
  copy_store();
  put_copy_back();
  adopt();
  EXPECT_THAT(leases().export_to_host_local(network, places.host_local, false).entries, SizeIs(3));
}

// The life of a node whose store is put back again and again, in every way: whatever happens, no
// two living pods have one address, none loses its own, and nothing stays when all have ended.
class RandomLife : public Node {
 public:
  explicit RandomLife(unsigned seed) : random_(seed), is_seen_whole_(seed % 2 == 0) {
    offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/28"}], [{"subnet": "fd00::/124"}]])");
    own_wiring = Wiring{.type = "bridge", .device = "br"};
  }

  void step() {
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
        start("c" + std::to_string(next_++));
        break;
      case 3:
        start_again();
        break;
      case 4:
      case 5:
        end(true);
        break;
      case 6:
        end(false);
        break;
      case 7:
        repeat();
        break;
      case 8:
        collect();
        break;
      case 9:
        clock.pass(Milliseconds(static_cast<int>(pick(90'000))));
        break;
      case 10:
        keep_copy();
        break;
      default:
        put_back();
    }
  }

  // All that happened, a line each.
  [[nodiscard]] const std::string& story() const { return story_; }

  void demand_that_nothing_stays() {
    while (!pods_.empty()) {
      end(pick(2) == 0);
    }
    for (int times = 0; times < 2; ++times) {
      static_cast<void>(sweep());
      clock.pass(61s);
    }
    EXPECT_THAT(leases_left(), IsEmpty());
  }

 private:
  struct Pod {
    AttachmentKey key;
    std::string netns;
    std::vector<net::Prefix> addresses;
  };

  std::size_t pick(std::size_t below) { return random_() % below; }
  void tell(const std::string& line) { story_ += line + "\n"; }

  static std::vector<std::string> texts_of(const std::vector<net::Prefix>& addresses) {
    std::vector<std::string> texts;
    std::transform(addresses.begin(), addresses.end(), std::back_inserter(texts),
                   [](const net::Prefix& address) { return address.to_string(); });
    return texts;
  }

  AddRequest request_of(const Pod& pod) const {
    return {.key = pod.key, .netns = pod.netns, .cooldown = cooldown, .wiring = wiring()};
  }

  std::optional<std::vector<net::Prefix>> try_add(const Pod& pod) {
    std::vector<net::Prefix> addresses;
    const Thrown thrown = thrown_by([&] {
      for (const Granted& granted : leases().add(request_of(pod), *fixed(offer), always)) {
        addresses.push_back(granted.lease.address);
      }
    });
    EXPECT_TRUE(!thrown.kind || *thrown.kind == ErrorKind::kExhausted ||
                *thrown.kind == ErrorKind::kBusy || *thrown.kind == ErrorKind::kAddressTaken)
        << thrown.message;
    tell("ADD " + pod.key.network + " " + pod.key.container_id + " " + pod.netns +
         (host.own_view.is_initial ? "" : " from a container") + ": " +
         (thrown.kind ? thrown.message : ::testing::PrintToString(texts_of(addresses))));
    return thrown.kind ? std::nullopt : std::optional(addresses);
  }

  void start(const std::string& container) {
    Pod pod{.key = {.network = pick(3) == 0 ? "also" : "net",
                    .container_id = container,
                    .ifname = "eth0"},
            .netns = "/run/netns/n" + std::to_string(next_++),
            .addresses = {}};
    host.start(pod.netns);
    host.inhabited.insert(host.id_of(pod.netns));
    // Now and then from a container, which sees no process of other pods.
    const host::View own = host.own_view;
    if (!is_seen_whole_ && pick(5) == 0) {
      host.own_view = {.pid_namespace = 7, .is_initial = false};
    }
    const auto addresses = try_add(pod);
    host.own_view = own;
    if (!addresses) {
      leave(pod);
      return;
    }
    pod.addresses = *addresses;
    demand_that_nobody_else_has(pod.addresses);
    const bool hides_them = pick(5) == 0;  // gVisor
    tell(hides_them ? "  and hides them" : "");
    for (const net::Prefix& address : pod.addresses) {
      if (!hides_them) {
        host.inside[pod.netns].push_back({.address = address, .interface = "eth0"});
      }
    }
    record(pod);
    pods_.push_back(std::move(pod));
  }

  // As podman does: the same container in a namespace of its own.
  void start_again() {
    if (pods_.empty()) {
      return;
    }
    const std::string container = pods_[pick(pods_.size())].key.container_id;
    const bool is_told = pick(2) == 0;
    const auto found = std::find_if(pods_.begin(), pods_.end(), [&](const Pod& pod) {
      return pod.key.container_id == container;
    });
    end(static_cast<std::size_t>(found - pods_.begin()), is_told);
    start(container);
  }

  void end(bool is_told) {
    if (!pods_.empty()) {
      end(pick(pods_.size()), is_told);
    }
  }
  void end(std::size_t which, bool is_told) {
    const Pod pod = pods_[which];
    tell(pod.key.container_id + " ends" + (is_told ? " with its DEL" : ""));
    pods_.erase(pods_.begin() + static_cast<std::ptrdiff_t>(which));
    leave(pod);
    if (is_told) {
      static_cast<void>(leases().del({.key = pod.key, .netns = pod.netns}));
      fs::remove(cache_file(pod));
    }
  }
  void leave(const Pod& pod) {
    host.inhabited.erase(host.id_of(pod.netns));
    host.end(pod.netns);
  }

  // A living pod keeps what it has. In doubt who has it, it may be given another address.
  void repeat() {
    if (pods_.empty()) {
      return;
    }
    const std::size_t which = pick(pods_.size());
    const Pod pod = pods_[which];
    const auto addresses = try_add(pod);
    if (is_seen_whole_) {
      EXPECT_TRUE(addresses == pod.addresses) << pod.key.container_id << " loses its addresses";
    } else if (addresses) {
      pods_.erase(pods_.begin() + static_cast<std::ptrdiff_t>(which));
      demand_that_nobody_else_has(*addresses);
      pods_.push_back(pod);
    }
  }

  void demand_that_nobody_else_has(const std::vector<net::Prefix>& addresses) const {
    for (const Pod& other : pods_) {
      for (const std::string& address : texts_of(addresses)) {
        EXPECT_THAT(texts_of(other.addresses), Not(Contains(address)))
            << "an address of " << other.key.container_id << " is given again";
      }
    }
  }

  void collect() {
    if (pick(2) == 0) {
      tell("podlease gc");
      static_cast<void>(sweep());
      return;
    }
    for (const char* const name : {"net", "also"}) {
      std::vector<AttachmentKey> valid;
      for (const Pod& pod : pods_) {
        if (pod.key.network == name) {
          valid.push_back(pod.key);
        }
      }
      tell(std::string("GC ") + name);
      leases().gc(name, valid);
    }
  }

  void keep_copy() {
    if (!fs::exists(data_dir / "podlease.db")) {
      return;
    }
    tell("a copy is made");
    if (pick(3) == 0) {
      copy_.make_in_one_file();
    } else {
      copy_.make();
    }
  }

  void put_back() {
    if (!copy_.is_made()) {
      return;
    }
    const std::size_t way = pick(5);
    tell("the store is put back in way " + std::to_string(way));
    switch (way) {
      case 0:
        copy_.replace();
        break;
      case 1:
        copy_.replace();
        copy_.lose_log();
        break;
      case 2:
        copy_.lose_log();
        copy_.overwrite("podlease.db");
        break;
      case 3:
        for (const char* const name : {"podlease.db", "podlease.db-wal", "lock"}) {
          if (copy_.has(name)) {
            copy_.overwrite(name);
          } else {
            fs::remove(data_dir / name);
          }
        }
        break;
      default:
        copy_.fold_log();
    }
  }

  [[nodiscard]] fs::path cache_file(const Pod& pod) const {
    return places.cni_caches[0] / (pod.key.network + "-" + pod.key.container_id + "-eth0");
  }
  void record(const Pod& pod) const {
    std::string ips;
    for (const net::Prefix& address : pod.addresses) {
      ips +=
          std::string(ips.empty() ? "" : ",") + R"({"address":")" + address.to_string() + R"("})";
    }
    put(cache_file(pod), R"({"kind":"cniCacheV1","containerId":")" + pod.key.container_id +
                             R"(","ifName":"eth0","networkName":")" + pod.key.network +
                             R"(","netns":")" + pod.netns +
                             R"(","result":{"cniVersion":"1.0.0","ips":[)" + ips + "]}}");
    fakes::set_written(cache_file(pod), clock.now().wall);
  }

  [[nodiscard]] std::vector<std::string> leases_left() {
    std::vector<std::string> left;
    for (const char* const name : {"net", "also"}) {
      network = name;
      const std::vector<std::string> more = all();
      left.insert(left.end(), more.begin(), more.end());
    }
    return left;
  }

  std::minstd_rand random_;
  bool is_seen_whole_;  // from the host only
  const Copy copy_{data_dir, folder.path() / "copy"};
  std::vector<Pod> pods_;
  std::string story_;
  int next_ = 0;
};

class PutBackLifeTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(PutBackLifeTest, NoAddressTwiceAndNoneLost) {
  RandomLife life(GetParam());
  for (int event = 0; event < 150 && !HasFailure(); ++event) {
    SCOPED_TRACE("event " + std::to_string(event));
    life.step();
  }
  life.demand_that_nothing_stays();
  EXPECT_FALSE(HasFailure()) << life.story();
}

INSTANTIATE_TEST_SUITE_P(Seeds, PutBackLifeTest, ::testing::Range(1U, 41U));

}  // namespace
}  // namespace podlease::ipam
