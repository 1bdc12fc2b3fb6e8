// What schema 1.1 added: presence by cookie and view, wires that several networks share, a pool of
// freed addresses that stays bounded, and stores of schema 1.0, written by plain sqlite3.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/store/address_table.h"
#include "podlease/store/history_table.h"
#include "podlease/store/lease.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/pod_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"
#include "podlease/store/verify.h"
#include "support.h"

namespace podlease::net {

static std::ostream& operator<<(std::ostream& out, const Address& address) {
  return out << address.to_string();
}

}  // namespace podlease::net

namespace podlease::store {
namespace {

using net::Address;
using net::Family;
using net::IntervalSet;
using net::Prefix;
using net::Range;
using support::error_of;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

namespace fs = std::filesystem;

Address address(std::string_view text) {
  return Address::parse(text).value();
}

IntervalSet set_of(std::string_view range) {
  return IntervalSet({Range::parse(range).value()});
}

Lease lease_of(Address at, const std::string& container, const std::string& network = "net") {
  return {.key = {network, container, "eth0"}, .address = Prefix::host(at), .source = "static"};
}

Moment moment(std::int64_t milliseconds = 0) {
  return {.at = {.wall = std::chrono::sys_time<Milliseconds>(Milliseconds(milliseconds)),
                 .since_boot = Milliseconds(milliseconds)},
          .boot_id = "boot"};
}

std::optional<Address> address_of(const std::optional<Freed>& freed) {
  return freed ? std::optional(freed->address) : std::nullopt;
}

// A store's folder, and a plain connection to its file.
class Home {
 public:
  [[nodiscard]] Store::Options options() const {
    return {.folder = temp_.path() / "data", .registry = temp_.path() / "stores"};
  }
  [[nodiscard]] Store open() const { return Store::open(options()); }
  [[nodiscard]] fs::path folder() const { return options().folder; }

  void run(const std::string& sql) const {
    const Connection connection = connect();
    if (sqlite3_exec(connection.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      throw std::runtime_error(sql + ": " + sqlite3_errmsg(connection.get()));
    }
  }
  // The first column of the first row.
  [[nodiscard]] std::string ask(const std::string& sql) const {
    const Connection connection = connect();
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(connection.get(), sql.c_str(), -1, &statement, nullptr);
    std::string answer = "no row";
    if (sqlite3_step(statement) == SQLITE_ROW) {
      const auto* const text = sqlite3_column_text(statement, 0);
      answer = text == nullptr ? "NULL" : reinterpret_cast<const char*>(text);
    }
    sqlite3_finalize(statement);
    return answer;
  }

  // The schema as 1.0 made it, with a network, a lease of 10.0.0.1, and 10.0.0.2 freed.
  void make_1_0() const {
    fs::create_directories(folder());
    run("PRAGMA page_size=1024; PRAGMA journal_mode=WAL;"
        "CREATE TABLE network(id INTEGER PRIMARY KEY, name UNIQUE, hints, next_position, handover);"
        "CREATE TABLE lease(id INTEGER PRIMARY KEY, network, container, ifname, address, prefix,"
        "  gateway, range_set, pod_namespace, pod_name, pod_uid, boot, netns, netns_device,"
        "  netns_inode, created, source, UNIQUE(network, address),"
        "  UNIQUE(container, ifname, network, address));"
        "CREATE TABLE freed(network, address, family, position, at, since_boot, boot, pod_uid,"
        "  ifname, PRIMARY KEY(network, address), UNIQUE(network, family, position))"
        "  WITHOUT ROWID;"
        "CREATE TABLE touched(network, first, last, PRIMARY KEY(network, first)) WITHOUT ROWID;"
        "CREATE TABLE note(kind, network, key, value, PRIMARY KEY(kind, network, key))"
        "  WITHOUT ROWID;"
        "INSERT INTO network VALUES(1, 'net', x'', 7, 0);"
        "INSERT INTO lease VALUES(1, 1, 'old', 'eth0', x'040a000001', 24, NULL, 0, 'ns', 'pod',"
        "  'uid', 'boot', '/run/netns/a', 4, 77, 5, 'static');"
        "INSERT INTO freed VALUES(1, x'040a000002', 4, 6, 5, 5, 'boot', '', 'eth0');"
        "INSERT INTO touched VALUES(1, x'040a000001', x'040a000002');"
        "PRAGMA user_version=1000; PRAGMA application_id=1886348396");
  }

 private:
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close(connection); }
  };
  using Connection = std::unique_ptr<sqlite3, Close>;

  [[nodiscard]] Connection connect() const {
    sqlite3* opened = nullptr;
    sqlite3_open((folder() / "podlease.db").c_str(), &opened);
    return Connection(opened);
  }

  support::TempFolder temp_;
};

// --- stores of before

TEST(StoreSchemaTest, AStoreOf10IsMigratedByTheFirstCallThatCommits) {
  const Home home;
  home.make_1_0();
  {
    Store store = home.open();
    EXPECT_EQ(store.schema_version(), "1.0");
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).find("net").value();
    EXPECT_EQ(network.freed, 1);
    EXPECT_THAT(network.wires, IsEmpty());
    const Lease lease = LeaseTable(transaction).at(network, address("10.0.0.1")).value();
    EXPECT_EQ(lease.presence.netns_inode, 77U);
    EXPECT_EQ(lease.presence.netns_cookie, 0U);
    EXPECT_EQ(lease.presence.view, View{});
    verify(transaction);
  }
  EXPECT_EQ(home.ask("PRAGMA user_version"), "1000") << "who only looks changes nothing";
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    LeaseTable(transaction)
        .insert(NetworkTable(transaction).find("net").value(),
                lease_of(address("10.0.0.2"), "new"));
    transaction.commit();
    EXPECT_EQ(store.schema_version(), "1.1");
    Transaction next = store.begin();
    EXPECT_EQ(NetworkTable(next).find("net").value().freed, 0);
    verify(next);
  }
  EXPECT_EQ(home.ask("PRAGMA user_version"), "1001");
  EXPECT_EQ(home.ask("SELECT count(*) FROM lease"), "2");
}

TEST(StoreSchemaTest, EveryWayToOpenAStoreOf10SeesAndEndsItsLeases) {
  for (const auto open : {&Store::open_existing, &Store::open_for_release}) {
    const Home home;
    home.make_1_0();
    std::optional<Store> store = open(home.options());
    ASSERT_TRUE(store.has_value());
    for (const bool commits : {false, true}) {
      Transaction transaction = store->begin();
      const std::vector<Lease> leases = LeaseTable(transaction).of("old", "eth0");
      ASSERT_THAT(leases, SizeIs(1));
      LeaseTable(transaction).end(leases.front(), moment(), Ending::kDel);
      if (commits) {
        transaction.commit();
      }
    }
    Transaction transaction = store->begin();
    EXPECT_THAT(LeaseTable(transaction).all(), IsEmpty());
    verify(transaction);
  }
}

// --- presence

Presence seen() {
  return {
      .boot_id = "boot",
      .netns = "/run/netns/a",
      .netns_device = 4,
      .netns_inode = 77,
      .netns_cookie = 4711,
      .view = {
          .pid_namespace = 4026531836, .folder_device = 26, .folder_inode = 18446744073709551615U}};
}

TEST(StoreSchemaTest, PresenceComesBackWhole) {
  Presence without_view = seen();
  without_view.view = {};
  Presence without_cookie = seen();
  without_cookie.netns_cookie = 0;
  for (const Presence& presence : {seen(), without_view, without_cookie, Presence{}}) {
    Store store = Store::in_memory();
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    Lease lease = lease_of(address("10.0.0.1"), "c");
    LeaseTable(transaction).insert(network, lease);
    Lease refreshed = lease;
    refreshed.presence = presence;
    LeaseTable(transaction).refresh(lease, refreshed);
    Lease other = lease_of(address("10.0.0.2"), "d");
    other.presence = presence;
    LeaseTable(transaction).insert(network, other);
    for (const Lease& there : LeaseTable(transaction).all(network)) {
      EXPECT_EQ(there.presence, presence);
    }
    for (const Holder& holder : LeaseTable(transaction).holders(network)) {
      EXPECT_EQ(holder.presence, presence);
    }
  }
}

TEST(StoreSchemaTest, CookieAndViewCountOnlyBesideThePresenceTheyWereRecordedWith) {
  // As 1.0 refreshes a lease: a new namespace in place of the old one, or a new boot in which the
  // numbers begin again.
  for (const char* const change :
       {"netns_inode = 78", "boot = 'next'", "netns = '/run/netns/b'", "netns_device = 5"}) {
    const Home home;
    {
      Store store = home.open();
      Transaction transaction = store.begin();
      Lease lease = lease_of(address("10.0.0.1"), "c");
      lease.presence = seen();
      LeaseTable(transaction).insert(NetworkTable(transaction).ensure("net"), lease);
      transaction.commit();
    }
    home.run("UPDATE lease SET " + std::string(change));
    Store store = home.open();
    const Presence presence = LeaseTable(store.begin()).all().front().presence;
    EXPECT_EQ(presence.netns_cookie, 0U) << change;
    EXPECT_EQ(presence.view, View{}) << change;
  }
}

// --- wires

class WireTest : public ::testing::Test {
 protected:
  [[nodiscard]] Network network(const std::string& name) {
    return NetworkTable(transaction).ensure(name);
  }
  Network on(const std::string& name, const std::vector<std::string>& wires) {
    Network made = network(name);
    NetworkTable(transaction).set_wires(made, wires);
    return made;
  }
  void lease(const std::string& name, std::string_view at, const std::string& container = "c") {
    LeaseTable(transaction).insert(network(name), lease_of(address(at), container, name));
  }
  void end(const std::string& name, std::string_view at, std::int64_t when = 0,
           const std::string& boot = "boot") {
    const Lease there = LeaseTable(transaction).at(network(name), address(at)).value();
    Moment now = moment(when);
    now.boot_id = boot;
    LeaseTable(transaction).end(there, now, Ending::kDel);
  }
  [[nodiscard]] std::optional<Address> untouched(const std::string& name) {
    return AddressTable(transaction)
        .first_untouched(network(name), range, range.ranges()[0].first());
  }
  [[nodiscard]] std::optional<Address> oldest(const std::string& name) {
    return address_of(
        AddressTable(transaction).oldest_freed(network(name), Family::kIpv4, range, {}));
  }
  [[nodiscard]] std::vector<std::int64_t> usage(const std::string& name) {
    const Usage usage = AddressTable(transaction).usage(network(name), range);
    return {static_cast<std::int64_t>(usage.leased), static_cast<std::int64_t>(usage.freed),
            static_cast<std::int64_t>(usage.untouched)};
  }
  void check() { EXPECT_NO_THROW(verify(transaction)); }

  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const IntervalSet range = set_of("10.0.0.1-10.0.0.8");
};

TEST_F(WireTest, NetworksOfOneWireDoNotLeaseOneAddressTwice) {
  on("a", {"bridge:cni0"});
  on("b", {"bridge:cni0"});
  on("c", {"bridge:cni1"});
  lease("a", "10.0.0.1");
  lease("b", "10.0.0.2");
  EXPECT_THAT(untouched("a"), Optional(address("10.0.0.3")));
  EXPECT_THAT(untouched("b"), Optional(address("10.0.0.3")));
  EXPECT_THAT(untouched("c"), Optional(address("10.0.0.1")));
  EXPECT_THAT(usage("a"), ElementsAre(2, 0, 6));
  EXPECT_THAT(usage("c"), ElementsAre(0, 0, 8));
  const std::optional<Error> error = error_of([&] { lease("b", "10.0.0.1"); });
  ASSERT_TRUE(error.has_value());
  EXPECT_THAT(error->what(), HasSubstr("10.0.0.1 is not free in b: network a"));
  EXPECT_TRUE(LeaseTable(transaction).leased_elsewhere(network("b"), address("10.0.0.1")));
  EXPECT_FALSE(LeaseTable(transaction).leased_elsewhere(network("c"), address("10.0.0.1")));
  EXPECT_FALSE(LeaseTable(transaction).at(network("b"), address("10.0.0.1")).has_value());
  EXPECT_EQ(
      LeaseTable(transaction).at_in_space(network("b"), address("10.0.0.1")).value().key.network,
      "a");
  EXPECT_NO_THROW(lease("c", "10.0.0.1"));
  check();
}

// The clock on the wall was right before the boot and is in 1970 since, or was set back.
TEST_F(WireTest, WhatWasFreedSinceTheBootIsLaterThanWhatWasFreedBefore) {
  on("old", {"bridge:cni0", "table:254"});
  lease("old", "10.0.0.1");
  on("new", {"bridge:cni0"});
  lease("new", "10.0.0.2");
  end("old", "10.0.0.1", 1'000'000, "before");
  end("new", "10.0.0.2", 1'000, "since");
  const std::optional<Freed> oldest =
      AddressTable(transaction, "since").oldest_freed(network("new"), Family::kIpv4, range, {});
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->address, address("10.0.0.1"));
}

TEST_F(WireTest, CoolDownAndReturnSurviveARename) {
  on("old", {"bridge:cni0", "table:254"});
  for (const char* const at : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
    lease("old", at, at);
  }
  PodTable(transaction).set_addresses(network("old"), "uid", "eth0", {address("10.0.0.2")});
  end("old", "10.0.0.2", 5);
  end("old", "10.0.0.1", 6);
  on("new", {"bridge:cni0"});
  EXPECT_THAT(PodTable(transaction).addresses(network("new"), "uid", "eth0"),
              ElementsAre(address("10.0.0.2")));
  EXPECT_THAT(untouched("new"), Optional(address("10.0.0.4")));
  EXPECT_THAT(oldest("new"), Optional(address("10.0.0.2")));
  EXPECT_EQ(AddressTable(transaction).freed_at(network("new"), address("10.0.0.1")).value().at,
            moment(6).at.wall);
  EXPECT_FALSE(AddressTable(transaction).freed_at(network("new"), address("10.0.0.3")).has_value());
  EXPECT_THAT(AddressTable(transaction).freed(network("new"), range), SizeIs(2));
  EXPECT_EQ(network("new").freed, 2);
  EXPECT_FALSE(AddressTable(transaction)
                   .is_at_rest(network("new"), range.ranges()[0], Milliseconds(60), moment(7)));
  // It moves to the network that leases it, and is freed there.
  lease("new", "10.0.0.2", "d");
  check();
  EXPECT_THAT(oldest("new"), Optional(address("10.0.0.1")));
  EXPECT_THAT(oldest("old"), Optional(address("10.0.0.1")));
  end("new", "10.0.0.2", 9);
  check();
  EXPECT_THAT(usage("old"), ElementsAre(1, 2, 5));
  EXPECT_THAT(usage("new"), ElementsAre(1, 2, 5));
  EXPECT_THAT(untouched("old"), Optional(address("10.0.0.4")));
}

TEST_F(WireTest, WiresAccumulateAndUniteByWayOfOthers) {
  on("a", {"bridge:a"});
  on("b", {"bridge:b"});
  on("c", {"bridge:c"});
  EXPECT_THAT(NetworkTable(transaction).sharing(network("a")), IsEmpty());
  Network b = on("b", {"bridge:a"});
  EXPECT_THAT(b.wires, ElementsAre("bridge:a", "bridge:b"));
  on("c", {"bridge:b"});
  for (const char* const name : {"a", "b", "c"}) {
    EXPECT_EQ(network(name).space, network("a").id) << name;
    EXPECT_THAT(network(name).reach, SizeIs(3)) << name;
    EXPECT_EQ(network(name).reach.front(), network(name).id) << name;
    EXPECT_THAT(NetworkTable(transaction).sharing(network(name)), SizeIs(2)) << name;
  }
  for (const Network& all : NetworkTable(transaction).all()) {
    EXPECT_THAT(all.reach, testing::UnorderedElementsAreArray(network(all.name).reach));
    EXPECT_EQ(all.reach.front(), all.id);
  }
  EXPECT_THAT(NetworkTable(transaction).sharing(on("d", {})), IsEmpty());
}

TEST_F(WireTest, TwoSpacesUniteWithWhatEachHas) {
  on("a", {"bridge:a"});
  on("b", {"bridge:b"});
  lease("a", "10.0.0.1", "twice");
  lease("b", "10.0.0.1", "twice too");
  lease("a", "10.0.0.2");
  lease("b", "10.0.0.2", "d");
  lease("a", "10.0.0.3");
  lease("b", "10.0.0.3", "e");
  lease("b", "10.0.0.4");
  end("a", "10.0.0.2", 1);  // still leased by b
  end("a", "10.0.0.3", 2);  // freed by b later
  end("b", "10.0.0.4", 3);
  end("b", "10.0.0.3", 9);
  on("b", {"bridge:a"});
  EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(3)) << "duplicates are left alone";
  EXPECT_THAT(usage("a"), ElementsAre(2, 2, 4));
  EXPECT_THAT(oldest("a"), Optional(address("10.0.0.4")));
  EXPECT_EQ(AddressTable(transaction).freed_at(network("a"), address("10.0.0.3")).value().at,
            moment(9).at.wall);
  EXPECT_FALSE(AddressTable(transaction).freed_at(network("a"), address("10.0.0.2")).has_value());
  check();
  end("a", "10.0.0.1", 10);
  EXPECT_THAT(usage("a"), ElementsAre(2, 2, 4)) << "b has it";
  check();
  end("b", "10.0.0.1", 11);
  EXPECT_THAT(usage("a"), ElementsAre(1, 3, 4));
  for (const char* const next : {"10.0.0.4", "10.0.0.3", "10.0.0.1"}) {
    ASSERT_THAT(oldest("a"), Optional(address(next)));
    lease("a", next, next);
    check();
  }
  EXPECT_EQ(oldest("b"), std::nullopt);
  EXPECT_THAT(untouched("b"), Optional(address("10.0.0.5")));
}

TEST_F(WireTest, NetworksOfUnknownWireCanBeCounted) {
  lease("unknown", "10.0.0.1");
  lease("unknown", "10.0.0.2");
  lease("unknown", "10.0.0.4");
  end("unknown", "10.0.0.2");
  Network known = on("known", {"bridge:a"});
  known.count(network("unknown"));
  known.count(network("unknown"));
  EXPECT_THAT(known.reach, SizeIs(2));
  EXPECT_THAT(AddressTable(transaction).first_untouched(known, range, address("10.0.0.1")),
              Optional(address("10.0.0.3")));
  EXPECT_THAT(AddressTable(transaction).first_untouched(known, range, address("10.0.0.4")),
              Optional(address("10.0.0.5")));
  EXPECT_TRUE(LeaseTable(transaction).leased_elsewhere(known, address("10.0.0.1")));
  EXPECT_THAT(address_of(AddressTable(transaction).oldest_freed(known, Family::kIpv4, range, {})),
              Optional(address("10.0.0.2")));
  LeaseTable(transaction).insert(known, lease_of(address("10.0.0.2"), "d", "known"));
  check();
  EXPECT_THAT(untouched("unknown"), Optional(address("10.0.0.2")))
      << "if it is on another wire, it can have it";
}

TEST_F(WireTest, UntouchedIsFoundWhateverTheNetworksTouchedInTurn) {
  const IntervalSet usable({Range::parse("10.0.0.1-10.0.0.4").value(),
                            Range::parse("10.0.0.8-10.0.0.8").value(),
                            Range::parse("10.0.0.10-10.0.0.30").value()});
  Network a = network("a");
  a.count(network("b"));
  a.count(network("c"));
  std::set<Address> taken;
  const std::vector<std::string> names = {"a", "b", "c"};
  // A fixed mix of runs and single addresses in each of the three.
  for (std::uint32_t i = 0; i < 31; ++i) {
    const Address at = Address::v4(0x0a000001 + i * 7 % 31);
    EXPECT_EQ(AddressTable(transaction).first_untouched(a, usable, address("10.0.0.1")), [&] {
      std::optional<Address> next = usable.first_at_or_after(address("10.0.0.1"));
      while (next && taken.contains(*next)) {
        next = next->next() ? usable.first_at_or_after(*next->next()) : std::nullopt;
      }
      return next;
    }());
    lease(names[i % 3], at.to_string());
    taken.insert(at);
  }
}

TEST_F(WireTest, HolesWithoutNumberAreWalkedOnce) {
  std::vector<Range> singles;
  for (std::uint32_t i = 0; i < 400; ++i) {
    singles.push_back(Range::single(Address::v4(0x0a000000 + 2 * i)));
  }
  const IntervalSet usable(std::move(singles));
  Network a = network("a");
  const auto next = [&](Address from) {
    return AddressTable(transaction).first_untouched(a, usable, from);
  };
  for (std::uint32_t i = 0; i < 400; ++i) {
    const std::optional<Address> found = next(address("10.0.0.0"));
    ASSERT_THAT(found, Optional(Address::v4(0x0a000000 + 2 * i)));
    LeaseTable(transaction).insert(a, lease_of(*found, "c", "a"), LeaseTable::Before::kUntouched);
    if (i == 200) {
      EXPECT_THAT(next(address("10.0.2.0")), Optional(address("10.0.2.0")))
          << "a search that begins elsewhere";
    }
  }
  EXPECT_EQ(next(address("10.0.0.0")), std::nullopt);
  // One of another network that counts this one takes an address, which is then untouched here.
  end("a", "10.0.0.8");
  Network b = network("b");
  b.count(a);
  LeaseTable(transaction).insert(b, lease_of(address("10.0.0.8"), "d", "b"));
  check();
  EXPECT_THAT(next(address("10.0.0.0")), Optional(address("10.0.0.8")));
}

// --- what grows

TEST(StoreSchemaTest, CountsWhatIsFreedWithoutLooking) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  const auto now = [&] { return NetworkTable(transaction).find("net").value(); };
  constexpr std::uint32_t kMany = 4096;
  for (std::uint32_t i = 0; i < kMany; ++i) {
    EXPECT_EQ(now().prefers_freed(), false);
    const Lease lease = lease_of(Address::v4(0x0a000000 + i), "c");
    LeaseTable(transaction).insert(network, lease, LeaseTable::Before::kUntouched);
    LeaseTable(transaction).end(lease, moment(i), i % 2 == 0 ? Ending::kDel : Ending::kReclaim);
  }
  EXPECT_TRUE(now().prefers_freed());
  EXPECT_EQ(now().freed, kMany);
  LeaseTable(transaction).insert(network, lease_of(address("10.0.0.7"), "d"));
  EXPECT_EQ(now().freed, kMany - 1);
  EXPECT_FALSE(now().prefers_freed());
}

TEST(StoreSchemaTest, SampleComesByAllLeasesInTurnAndStaysInItsNetwork) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const auto network = [&](const char* name) { return NetworkTable(transaction).ensure(name); };
  for (std::uint32_t i = 0; i < 300; ++i) {
    LeaseTable(transaction)
        .insert(network("large"), lease_of(Address::v4(0x0a000000 + i), "c", "large"));
  }
  std::map<Address, int> seen;
  const int small = 11;
  for (std::uint32_t i = 0; i < small; ++i) {
    LeaseTable(transaction)
        .insert(network("small"), lease_of(Address::v4(0x0b000000 + 1000 * i), "c", "small"));
  }
  LeaseTable(transaction).insert(network("small"), lease_of(address("fd00::1"), "c", "small"));
  for (int call = 0; call < 3 * 5; ++call) {
    const std::vector<Holder> few = LeaseTable(transaction).sample(network("small"));
    ASSERT_THAT(few, SizeIs(4));
    for (const Holder& holder : few) {
      ++seen[holder.address];
    }
  }
  EXPECT_THAT(seen, SizeIs(small + 1));
  for (const auto& [at, times] : seen) {
    EXPECT_EQ(times, 5) << at;
  }
}

TEST(StoreSchemaTest, FewLeasesAreAllSampledAndNothingIsNoted) {
  const Home home;
  Store store = home.open();
  {
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    for (const char* const at : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
      LeaseTable(transaction).insert(network, lease_of(address(at), at));
    }
    EXPECT_THAT(LeaseTable(transaction).sample(network), SizeIs(3));
    transaction.commit();
  }
  store.close();
  EXPECT_EQ(home.ask("SELECT examine FROM network"), "NULL");
}

TEST(StoreSchemaTest, RowsOfTheHistoryNeedNoPageOfTheirOwn) {
  const Home home;
  const std::string longest_address = "fd00:1111:2222:3333:4444:5555:6666:7777";
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    for (int i = 0; i < 40; ++i) {
      Lease lease = lease_of(address(longest_address), std::string(700, 'c'));
      lease.key.ifname = std::string(15, 'i');
      lease.pod = {.name_space = std::string(i == 0 ? 3 : 63, 's'),
                   .name = std::string(i == 0 ? 20 : 253, 'p'),
                   .uid = std::string(36, 'u')};
      lease.created = std::chrono::sys_time<Milliseconds>(Milliseconds(1'764'119'000'000));
      LeaseTable(transaction).insert(network, lease);
      LeaseTable(transaction).end(lease, moment(1'764'119'000'000 + i), Ending::kHostLocal);
    }
    const std::vector<PastLease> past = HistoryTable(transaction).all();
    ASSERT_THAT(past, SizeIs(40));
    EXPECT_EQ(past.back().pod.name, std::string(20, 'p')) << "what has room is whole";
    EXPECT_EQ(past.back().pod.name_space, "sss");
    EXPECT_EQ(past.front().address, address(longest_address));
    EXPECT_EQ(past.front().why, "host-local");
    EXPECT_GE(past.front().key.container_id.size(), 13U);
    EXPECT_GE(past.front().pod.name.size(), 20U);
    EXPECT_GE(past.front().pod.name_space.size(), 20U);
    transaction.commit();
  }
  EXPECT_GT(std::stoi(home.ask("SELECT max(length(value)) FROM past")), 800) << "as long as may be";
  EXPECT_EQ(home.ask("SELECT count(*) FROM dbstat WHERE name = 'past' AND pagetype = 'overflow'"),
            "0");
}

TEST(StoreSchemaTest, CloseLetsTheNextOneIn) {
  const Home home;
  Store store = home.open();
  Transaction transaction = store.begin();
  LeaseTable(transaction)
      .insert(NetworkTable(transaction).ensure("net"), lease_of(address("10.0.0.1"), "c"));
  transaction.roll_back();
  store.close();
  Store::Options hasty = home.options();
  hasty.lock_timeout = Milliseconds(0);
  Store next = Store::open(hasty);
  EXPECT_THAT(LeaseTable(next.begin()).all(), IsEmpty());
}

}  // namespace
}  // namespace podlease::store
