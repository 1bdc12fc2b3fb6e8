// The blocks of a node: which there are, and how they are claimed, kept and given back.

#include "podlease/pools/blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fake_blocks.h"
#include "fakes.h"
#include "podlease/base/file.h"
#include "podlease/pools/cluster_pool_source.h"
#include "podlease/pools/pool.h"
#include "support.h"
#include "turn.h"

namespace podlease::pools {
namespace {

using fakes::address;
using fakes::Fault;
using fakes::Machine;
using fakes::prefix;
using fakes::Process;
using fakes::range;
using fakes::thrown_by;
using kube::ApiError;
using net::Family;
using store::Block;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;
using Cause = ApiError::Cause;
using State = Block::State;

constexpr Milliseconds kMinute{60'000};
constexpr Milliseconds kHour = 60 * kMinute;

kube::PodPool pool_object(const std::vector<kube::PodPool::Cidr>& cidrs) {
  return {.name = "default", .cidrs = cidrs, .ipv4_block = 26, .ipv6_block = 122};
}

Pool pool_of(const std::vector<kube::PodPool::Cidr>& cidrs) {
  return read_pool(pool_object(cidrs));
}

std::vector<std::string> texts(const net::IntervalSet& set) {
  std::vector<std::string> texts;
  for (const net::Range& one : set.ranges()) {
    texts.push_back(one.to_string());
  }
  return texts;
}

// Names of blocks.

TEST(BlockNameTest, IsTheCidrWithDashes) {
  for (const auto& [cidr, name] : std::vector<std::pair<std::string, std::string>>{
           {"172.20.3.64/26", "172.20.3.64-26"},
           {"0.0.0.0/26", "0.0.0.0-26"},
           {"fd00:10:3::/122", "fd00-10-3---122"},
           {"fd00:10:3::40/122", "fd00-10-3--40-122"},
           {"fd00:0:0:1:1:1:1:40/122", "fd00--1-1-1-1-40-122"},
           {"2001:db8:1:2:3:4:5:6c0/122", "2001-db8-1-2-3-4-5-6c0-122"}}) {
    EXPECT_EQ(block_name(prefix(cidr)), name);
    EXPECT_EQ(cidr_of_block(name), prefix(cidr)) << name;
  }
}

TEST(BlockNameTest, OfNoBlockMeansNothing) {
  for (const std::string name : {"",
                                 "-",
                                 "--",
                                 "---",
                                 "26",
                                 "172.20.3.64",
                                 "172.20.3.64/26",
                                 "172.20.3.64-",
                                 "-26",
                                 "172.20.3.64-026",
                                 "172.20.3.064-26",
                                 "172.20.3.64--26",
                                 "172.20.3.64-33",
                                 "172.20.3-64-26",
                                 "172.20.3.64-+26",
                                 "fd00::10-122",
                                 "FD00-10---122",
                                 "fd00-0-0---122",
                                 "fd00-10-3---129",
                                 "fd00-10-3--0-122",
                                 "fd00-10-3----122",
                                 "fd00----10---122",
                                 "my-block",
                                 "172.20.3.64-26 ",
                                 " 172.20.3.64-26",
                                 "fd00-10-3---122\n"}) {
    EXPECT_EQ(cidr_of_block(name), std::nullopt) << name;
  }
  EXPECT_EQ(cidr_of_block(std::string("172.20.3.64-26\0", 15)), std::nullopt);
  EXPECT_EQ(cidr_of_block(std::string(1 << 16, '-')), std::nullopt);
  EXPECT_EQ(cidr_of_block(std::string(1 << 16, '9') + "-26"), std::nullopt);
}

// PodPools.

TEST(ReadPoolTest, KnowsWhatIsWritten) {
  kube::PodPool object = pool_object({{.cidr = "172.20.0.0/16", .reserved = {"172.20.0.1"}},
                                      {.cidr = "fd00:10::/48", .draining = true}});
  object.reap_grace = "1h30m";
  object.paused = true;
  const Pool pool = read_pool(object);
  EXPECT_EQ(pool.reap_grace, 90 * kMinute);
  EXPECT_TRUE(pool.paused);
  EXPECT_THAT(pool.families(), ElementsAre(Family::kIpv4, Family::kIpv6));
  EXPECT_TRUE(pool.is_active(prefix("172.20.3.0/26")));
  EXPECT_FALSE(pool.is_active(prefix("fd00:10::/122")));
  EXPECT_NE(pool.cidr_of(prefix("fd00:10::/122")), nullptr);
  EXPECT_EQ(pool.cidr_of(prefix("172.21.3.0/26")), nullptr);
  EXPECT_EQ(read_pool(pool_object({})).reap_grace, kReapGrace);
}

TEST(ReadPoolTest, RefusesWhatTheDefinitionsDoNotLetPass) {
  const auto wrong = [](const std::function<void(kube::PodPool&)>& change) {
    kube::PodPool object = pool_object({{.cidr = "172.20.0.0/16"}});
    change(object);
    return thrown_by([&] { static_cast<void>(read_pool(object)); });
  };
  for (const std::string cidr :
       {"", "x", "172.20.0.0", "172.20.0.1/16", "172.20.0.0/33", "172.20.0.0/27", "fd00::/123",
        "fd00::1/64", "::ffff:10.0.0.0/104", "172.20.0.0/16 "}) {
    const auto thrown = wrong([&](kube::PodPool& object) { object.cidrs[0].cidr = cidr; });
    EXPECT_EQ(thrown.kind, ErrorKind::kConfig) << cidr;
    EXPECT_THAT(thrown.message, HasSubstr("PodPool default")) << cidr;
  }
  for (const std::string grace : {"x", "6", "-6h", "6 h"}) {
    EXPECT_EQ(wrong([&](kube::PodPool& object) { object.reap_grace = grace; }).kind,
              ErrorKind::kConfig)
        << grace;
  }
  for (const int length : {0, -1, 15, 31, 32, 33, 1000}) {
    EXPECT_EQ(wrong([&](kube::PodPool& object) { object.ipv4_block = length; }).kind,
              ErrorKind::kConfig)
        << length;
  }
  EXPECT_EQ(wrong([](kube::PodPool& object) { object.cidrs[0].reserved = {"x"}; }).kind,
            ErrorKind::kConfig);
}

TEST(PoolTest, ClaimableAreWholeBlocksOfActiveCidrs) {
  const Pool pool = pool_of({{.cidr = "172.20.1.0/24",
                              .reserved = {"172.20.1.0/26", "172.20.1.65", "172.20.1.192/27",
                                           "172.20.1.224-172.20.1.254"}},
                             {.cidr = "172.20.2.0/24", .draining = true},
                             {.cidr = "172.20.4.0/26"},
                             {.cidr = "fd00:10::/64"}});
  EXPECT_THAT(texts(pool.claimable(Family::kIpv4, {})),
              ElementsAre("172.20.1.64-172.20.1.255", "172.20.4.0-172.20.4.63"));
  EXPECT_THAT(texts(pool.claimable(Family::kIpv4,
                                   net::IntervalSet({range("172.20.1.255"), range("172.20.4.0/26"),
                                                     range("172.20.1.70-172.20.1.80")}))),
              ElementsAre("172.20.1.64-172.20.1.191"));
  EXPECT_EQ(count_blocks(pool.claimable(Family::kIpv4, {}), Family::kIpv4, 26), 4U);
  EXPECT_EQ(count_blocks(pool.claimable(Family::kIpv6, {}), Family::kIpv6, 122),
            net::Uint128{1} << 58U);
}

TEST(LabelSelectorTest, MatchesAsKubernetesDoes) {
  const std::map<std::string, std::string> labels{{"zone", "a"}, {"gpu", ""}};
  using Requirements = std::vector<kube::LabelSelector::Requirement>;
  const auto with = [&](Requirements requirements) {
    return kube::matches({.match_expressions = std::move(requirements)}, labels);
  };
  EXPECT_TRUE(kube::matches({}, labels));
  EXPECT_TRUE(kube::matches({}, {}));
  EXPECT_TRUE(kube::matches({.match_labels = {{"zone", "a"}}}, labels));
  EXPECT_FALSE(kube::matches({.match_labels = {{"zone", "a"}, {"x", ""}}}, labels));
  EXPECT_FALSE(kube::matches({.match_labels = {{"zone", "b"}}}, labels));
  EXPECT_TRUE(with({{"zone", "In", {"b", "a"}}}));
  EXPECT_FALSE(with({{"zone", "In", {"b"}}}));
  EXPECT_FALSE(with({{"x", "In", {""}}}));
  EXPECT_TRUE(with({{"gpu", "In", {""}}}));
  EXPECT_TRUE(with({{"x", "NotIn", {"a"}}}));
  EXPECT_FALSE(with({{"zone", "NotIn", {"a"}}}));
  EXPECT_TRUE(with({{"gpu", "Exists", {}}}));
  EXPECT_FALSE(with({{"gpu", "DoesNotExist", {}}}));
  EXPECT_TRUE(with({{"x", "DoesNotExist", {}}, {"zone", "Exists", {}}}));
  EXPECT_FALSE(with({{"zone", "exists", {}}}));
  EXPECT_FALSE(with({{"zone", "", {}}}));
}

// A cluster with a pool of four blocks, and a node.
class BlocksTest : public ::testing::Test {
 protected:
  BlocksTest() { edit({{.cidr = "172.20.0.0/24"}}); }

  void edit(const std::vector<kube::PodPool::Cidr>& cidrs) {
    server.pools["default"] = pool_object(cidrs);
    pool = read_pool(server.pools["default"]);
  }
  // One block, looked through.
  std::string with_block() {
    const std::vector<Block> before = worker.rows();
    worker.claim(pool);
    worker.explore();
    for (const Block& block : worker.rows()) {
      if (std::none_of(before.begin(), before.end(),
                       [&](const Block& old) { return old.cidr == block.cidr; })) {
        return block.cidr.to_string();
      }
    }
    throw std::logic_error("it has none more");
  }
  // All but that one are another node's.
  void leave_only(const std::string& cidr) {
    for (const std::string each :
         {"172.20.0.0/26", "172.20.0.64/26", "172.20.0.128/26", "172.20.0.192/26"}) {
      if (each != cidr) {
        server.put(each, "other");
      }
    }
  }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, block] : server.blocks) {
      names.push_back(name);
    }
    return names;
  }
  [[nodiscard]] std::vector<std::string> asked(const std::string& verb) const {
    std::vector<std::string> asked;
    for (const std::string& request : server.requests) {
      if (request.starts_with(verb)) {
        asked.push_back(request);
      }
    }
    return asked;
  }

  fakes::FakeServer server;
  Machine worker{server, "worker"};
  Pool pool;
};

// Claims.

TEST_F(BlocksTest, ClaimTakesTheBlockThatIsFree) {
  leave_only("172.20.0.128/26");
  worker.claim(pool);
  EXPECT_THAT(worker.states(), ElementsAre("172.20.0.128/26 owned unexplored"));
  const kube::PodBlock& block = server.blocks.at("172.20.0.128-26");
  const Block row = worker.rows().front();
  EXPECT_EQ(block.claim_id, row.claim_id);
  EXPECT_EQ(block.uid, row.uid);
  EXPECT_EQ(block.cidr, "172.20.0.128/26");
  EXPECT_EQ(block.pool, "default");
  EXPECT_EQ(block.node_name, "worker");
  EXPECT_EQ(block.node_uid, "worker-uid");
  EXPECT_EQ(block.machine_id, "worker-machine");
  EXPECT_THAT(block.finalizers, ElementsAre(std::string(kube::kInUse)));
  EXPECT_THAT(block.node_ips, ElementsAre("192.0.2.1"));
  EXPECT_NE(block.verified_at, "");
  EXPECT_THAT(row.claim_id, StartsWith("pods/"));
  EXPECT_EQ(row.reap_grace, pool.reap_grace);
  EXPECT_TRUE(Blocks::is_fresh(row, worker.moment()));
  EXPECT_THAT(asked("CREATE"), SizeIs(1));
}

TEST_F(BlocksTest, ClaimTakesNoBlockThatTheStoreHas) {
  for (int i = 0; i < 4; ++i) {
    worker.claim(pool);
    server.blocks.clear();  // no object tells
  }
  EXPECT_THAT(worker.rows(), SizeIs(4));
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kExhausted);
}

TEST_F(BlocksTest, ClaimLeavesOutWhatIsReservedExcludedOrDraining) {
  edit({{.cidr = "172.20.0.0/24", .reserved = {"172.20.0.0/26"}},
        {.cidr = "172.21.0.0/24", .draining = true}});
  const net::IntervalSet exclude({range("172.20.0.64-172.20.0.191")});
  worker.claim(pool, {Family::kIpv4}, exclude);
  EXPECT_THAT(worker.states(), ElementsAre("172.20.0.192/26 owned unexplored"));
  EXPECT_EQ(thrown_by([&] { worker.claim(pool, {Family::kIpv4}, exclude); }).kind,
            ErrorKind::kExhausted);
}

TEST_F(BlocksTest, ClaimGetsABlockOfEachFamily) {
  edit({{.cidr = "172.20.0.0/24"}, {.cidr = "fd00:10::/64"}});
  worker.claim(pool, {Family::kIpv4, Family::kIpv6});
  ASSERT_THAT(worker.rows(), SizeIs(2));
  const net::Prefix second = worker.rows()[1].cidr;
  EXPECT_EQ(second.length(), 122);
  EXPECT_FALSE(second.has_host_bits());
  EXPECT_TRUE(prefix("fd00:10::/64").contains(second.range()));
}

// Two pods start; the first claims for both families, the second sees that when it is half done.
TEST_F(BlocksTest, WhatAnotherProcessClaimedMeanwhileIsEnough) {
  edit({{.cidr = "172.20.0.0/24"}, {.cidr = "fd00:10::/64"}});
  worker.claim(pool, {Family::kIpv4, Family::kIpv6});
  const net::Prefix first = worker.rows()[0].cidr;
  const net::Prefix second = worker.rows()[1].cidr;
  worker.claim_beside({first}, pool, {Family::kIpv6});
  EXPECT_THAT(worker.rows(), SizeIs(2));
  worker.claim_beside({}, pool, {Family::kIpv4, Family::kIpv6});
  EXPECT_THAT(worker.rows(), SizeIs(2));
  worker.claim_beside({first, second}, pool, {Family::kIpv6});
  EXPECT_THAT(worker.rows(), SizeIs(3));
}

TEST_F(BlocksTest, WhatCannotServeIsNotEnough) {
  leave_only("172.20.0.128/26");
  worker.claim(pool);
  server.blocks.erase("172.20.0.64-26");
  edit({{.cidr = "172.20.0.0/25"}, {.cidr = "172.20.0.128/25", .draining = true}});
  worker.claim_beside({}, pool);
  EXPECT_THAT(worker.rows(), SizeIs(2));
}

TEST_F(BlocksTest, AnotherWasFirstSoTheNextIsTaken) {
  server.grow_old();  // the list does not show them yet
  leave_only("172.20.0.64/26");
  worker.claim(pool);
  EXPECT_THAT(worker.states(), ElementsAre("172.20.0.64/26 owned unexplored"));
  EXPECT_THAT(asked("LIST"), ElementsAre("LIST old"));
}

TEST_F(BlocksTest, WhereOthersAlwaysComeFirstThePoolIsNotSaidToBeFull) {
  edit({{.cidr = "172.20.0.0/20"}});
  server.on_request = [&](const std::string& verb, const std::string& name) {
    if (verb == "CREATE") {
      server.put(pools::cidr_of_block(name).value().to_string(), "other");
    }
  };
  const auto thrown = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(thrown.kind, ErrorKind::kBusy);
  EXPECT_THAT(thrown.message, HasSubstr("other nodes came first 16 times"));
  EXPECT_THAT(worker.rows(), IsEmpty());
}

TEST_F(BlocksTest, AfterEightConflictsTheListIsReadAnew) {
  edit({{.cidr = "172.20.0.0/20"}});
  server.grow_old();
  for (const net::Address first : {address("172.20.0.0")}) {
    net::Address at = first;
    for (int i = 0; i < 63; ++i) {  // of 64
      server.put(at.to_string() + "/26", "other");
      at = net::Address::from_bits(Family::kIpv4, at.bits() + 64);
    }
  }
  worker.claim(pool);
  EXPECT_THAT(worker.rows(), SizeIs(1));
  EXPECT_THAT(asked("LIST"), ElementsAre("LIST old", "LIST"));
  EXPECT_THAT(asked("CREATE"), SizeIs(9));
}

TEST_F(BlocksTest, AFullPoolSaysWhoHasIt) {
  server.put("172.20.0.0/26", "b", "x", 10);
  server.put("172.20.0.64/26", "a", "x", 9);
  server.put("172.20.0.128/26", "a", "x", 50);
  server.put("172.20.0.192/26", "c", "x", 10);
  server.put("172.21.0.0/26", "d", "x", 0);  // not of this pool
  const auto thrown = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(thrown.kind, ErrorKind::kExhausted);
  EXPECT_THAT(thrown.message, AllOf(HasSubstr("PodPool default has no free ipv4 block"),
                                    HasSubstr("no IP addresses available in range set")));
  EXPECT_THAT(thrown.details, AllOf(HasSubstr("4 blocks are used by 3 nodes"),
                                    HasSubstr("172.20.0.64-26 of a with 9 addresses used"),
                                    HasSubstr("podlease pool add default --cidr")));
  EXPECT_THAT(worker.rows(), IsEmpty());
  EXPECT_THAT(asked("CREATE"), IsEmpty());
}

TEST_F(BlocksTest, APoolThatDrainsIsFullToo) {
  edit({{.cidr = "172.20.0.0/24", .draining = true}});
  const auto thrown = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(thrown.kind, ErrorKind::kExhausted);
  EXPECT_THAT(thrown.details, HasSubstr("all its CIDRs of that family are Draining"));
}

TEST_F(BlocksTest, ARefusedClaimLeavesNothing) {
  for (const Cause cause :
       {Cause::kForbidden, Cause::kThrottled, Cause::kNotInstalled, Cause::kRejected}) {
    server.fail("CREATE", cause);
    EXPECT_NE(thrown_by([&] { worker.claim(pool); }).kind, std::nullopt);
    EXPECT_THAT(worker.rows(), IsEmpty());
  }
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, AClaimInDoubtIsSentAgain) {
  for (const Fault fault :
       {Fault{.kind = Fault::Kind::kLost}, Fault{.kind = Fault::Kind::kAnswerLost},
        Fault{.kind = Fault::Kind::kLate},
        Fault{.kind = Fault::Kind::kAnswerLost, .cause = Cause::kServer},
        Fault{.kind = Fault::Kind::kAnswerLost, .cause = Cause::kBadAnswer}}) {
    server.fail("CREATE", {fault});
    EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
    ASSERT_THAT(worker.rows(), SizeIs(1));
    const Block before = worker.rows().front();
    EXPECT_EQ(before.state, State::kClaiming);
    EXPECT_NE(before.failure, "");
    // It is in doubt, so no refusal ends it.
    worker.clock.pass(2 * Machine::kRefresh);
    server.fail("CREATE", Cause::kForbidden);
    worker.verify();
    ASSERT_THAT(worker.rows(), SizeIs(1));
    EXPECT_EQ(worker.rows().front().state, State::kClaiming);
    worker.clock.pass(2 * Machine::kRefresh);
    worker.verify();
    ASSERT_THAT(worker.rows(), SizeIs(1));
    EXPECT_EQ(worker.rows().front().state, State::kOwned);
    EXPECT_EQ(worker.rows().front().claim_id, before.claim_id);
    server.deliver();
    EXPECT_THAT(server.blocks, SizeIs(1));
    static_cast<void>(worker.leave(true));
    EXPECT_THAT(server.blocks, IsEmpty());
  }
}

TEST_F(BlocksTest, TheNextClaimIsContentWithOneThatWasInDoubt) {
  server.fail("CREATE", Fault::Kind::kAnswerLost);
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
  const std::string first = worker.rows().front().claim_id;
  worker.claim(pool);
  ASSERT_THAT(worker.rows(), SizeIs(1));
  EXPECT_EQ(worker.rows().front().claim_id, first);
  EXPECT_THAT(server.blocks, SizeIs(1));
}

TEST_F(BlocksTest, AClaimInDoubtMayTurnOutToBeAnothers) {
  server.fail("CREATE", Fault::Kind::kLost);
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
  const std::string first = worker.rows().front().cidr.to_string();
  server.put(first, "other");
  worker.claim(pool);
  ASSERT_THAT(worker.rows(), SizeIs(1));
  EXPECT_NE(worker.rows().front().cidr.to_string(), first);
  EXPECT_EQ(server.blocks.at(block_name(prefix(first))).node_name, "other");
}

TEST_F(BlocksTest, NoClaimWithoutAList) {
  server.fail("LIST", Cause::kServer);
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
  EXPECT_THAT(worker.rows(), IsEmpty());
}

TEST_F(BlocksTest, ConflictWhoseWinnerIsNotKnownStaysInDoubt) {
  server.grow_old();
  leave_only("172.20.0.64/26");
  server.put("172.20.0.64/26", "other");
  server.fail("GET", Cause::kServer);
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
  ASSERT_THAT(worker.rows(), SizeIs(1));
  EXPECT_EQ(worker.rows().front().state, State::kClaiming);
  worker.clock.pass(2 * Machine::kRefresh);
  worker.verify();
  EXPECT_THAT(worker.rows(), IsEmpty());
}

TEST_F(BlocksTest, BlocksThatComeAndGoAreGivenUp) {
  server.grow_old();
  server.on_request = [&](const std::string& verb, const std::string& name) {
    if (verb == "CREATE") {
      server.blocks[name] = {.name = name, .uid = "x", .node_name = "other", .claim_id = "x"};
    } else if (verb == "GET") {
      server.blocks.clear();
    }
  };
  const auto thrown = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(thrown.kind, ErrorKind::kBusy);
  EXPECT_THAT(thrown.message, HasSubstr("comes and goes"));
}

// A name in the list that is of another size hides the block that it lies in.
TEST_F(BlocksTest, NamesOfOtherSizesAreLeftAlone) {
  edit({{.cidr = "172.20.0.0/23"}});
  server.put("172.20.0.32/27", "other");
  server.put("172.20.0.64/28", "other");
  server.put("172.20.0.128/26", "other");
  server.put("172.20.1.0/24", "other");
  server.put("172.20.0.208/28", "other");
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kExhausted);
  server.blocks.erase("172.20.0.208-28");
  worker.claim(pool);
  EXPECT_THAT(worker.states(), ElementsAre("172.20.0.192/26 owned unexplored"));
}

// Finding again.

TEST_F(BlocksTest, ALostStoreFindsItsBlocksAgain) {
  const std::string cidr = with_block();
  worker.wipe();
  worker.claim(pool);
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned unexplored"));
  EXPECT_THAT(asked("CREATE"), SizeIs(1));
  EXPECT_TRUE(Blocks::is_fresh(worker.rows().front(), worker.moment()));
}

TEST_F(BlocksTest, FindsAgainWhatIsNotEnoughAndClaimsMore) {
  edit({{.cidr = "172.20.0.0/24"}, {.cidr = "172.21.0.0/24", .draining = true}});
  server.put("172.21.0.0/26", "worker", "pods/x");
  server.blocks.at("172.21.0.0-26").machine_id = "worker-machine";
  worker.claim(pool);
  EXPECT_THAT(worker.rows(), SizeIs(2));
}

TEST_F(BlocksTest, FindsOnlyWhatIsItsOwn) {
  const auto put = [&](const std::string& cidr, const std::string& claim,
                       const std::function<void(kube::PodBlock&)>& change) {
    server.put(cidr, "worker", claim);
    kube::PodBlock& block = server.blocks.at(block_name(prefix(cidr)));
    block.node_uid = "worker-uid";
    block.machine_id = "worker-machine";
    change(block);
  };
  put("172.20.0.0/26", "pods/a", [](kube::PodBlock& block) { block.machine_id = "another"; });
  put("172.20.0.64/26", "pods2/a", [](auto&) {});
  put("172.20.0.128/26", "pods/a", [](kube::PodBlock& block) { block.node_name = "worker-2"; });
  put("172.20.0.192/26", "pods/a", [](auto&) {});
  worker.find_forgotten(pool);
  EXPECT_THAT(worker.states(), ElementsAre("172.20.0.192/26 owned unexplored"));
}

TEST_F(BlocksTest, WithoutMachineIdsNothingIsTakenForItsOwn) {
  worker.node.machine_id.clear();
  for (const auto& [cidr, uid] :
       {std::pair{"172.20.0.0/26", "worker-uid"}, std::pair{"172.20.0.64/26", "old-uid"}}) {
    server.put(cidr, "worker", "pods/x");
    kube::PodBlock& block = server.blocks.at(block_name(prefix(cidr)));
    block.machine_id.clear();
    block.node_uid = uid;
  }
  worker.find_forgotten(pool);
  EXPECT_THAT(worker.states(), IsEmpty());
  const auto thrown = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(thrown.kind, ErrorKind::kConfig);
  EXPECT_THAT(thrown.message, HasSubstr("reports no status.nodeInfo.machineID"));
}

TEST_F(BlocksTest, WhatAnotherStoreOfTheNodeHasIsNotFound) {
  const std::string cidr = with_block();
  Blocks::Options options = worker.options();
  options.store.folder = options.store.folder.parent_path() / "second";
  const Log log(worker.clock);
  const Owner owner = worker.owner();
  Blocks second(options, worker.clock, log);
  static_cast<void>(store::Store::open(options.store));
  worker.clock.pass(Milliseconds(1));
  const Blocks::Claim claim{.network = "pods", .pool = &pool, .owner = &owner, .families = {}};
  second.find_forgotten(claim);
  store::Store store = store::Store::open(options.store);
  EXPECT_THAT(store::BlockTable(store.begin()).all(), IsEmpty());
}

TEST_F(BlocksTest, NothingIsFoundAgainWhileAnotherStoreOfTheNodeCannotBeRead) {
  const std::string cidr = with_block();
  worker.wipe();
  store::Store::Options second = worker.store_options();
  second.folder = second.folder.parent_path() / "second";
  static_cast<void>(store::Store::open(second));
  std::filesystem::remove(second.folder / "podlease.db-wal");
  std::ofstream(second.folder / "podlease.db") << std::string(4096, 'x');

  const auto thrown = thrown_by([&] { worker.find_forgotten(pool); });
  EXPECT_THAT(thrown.message, HasSubstr("store " + second.folder.string()));
  EXPECT_THAT(thrown.details, HasSubstr("mend it, or remove the folder"));
  EXPECT_THAT(worker.rows(), IsEmpty());
  // A pod gets its address all the same, of another block.
  worker.claim(pool);
  ASSERT_THAT(worker.rows(), SizeIs(1));
  EXPECT_NE(worker.rows().front().cidr, prefix(cidr));
  // Where there is no other, what stands in the way is told.
  leave_only(cidr);
  const auto full = thrown_by([&] { worker.claim(pool); });
  EXPECT_EQ(full.kind, ErrorKind::kExhausted);
  EXPECT_THAT(full.details, HasSubstr("store " + second.folder.string()));

  std::filesystem::remove_all(second.folder);
  worker.find_forgotten(pool);
  EXPECT_THAT(worker.states(), Contains(cidr + " owned unexplored"));
}

TEST_F(BlocksTest, TwoNetworksOfAStoreShareNoBlock) {
  worker.claim(pool);
  worker.claim(pool, {Family::kIpv4}, {}, "other");
  ASSERT_THAT(worker.rows(), SizeIs(2));
  EXPECT_FALSE(worker.rows()[0].cidr.overlaps(worker.rows()[1].cidr));
  worker.wipe();
  worker.find_forgotten(pool);
  EXPECT_THAT(worker.rows(), SizeIs(1));
  worker.find_forgotten(pool, "other");
  ASSERT_THAT(worker.rows(), SizeIs(2));
  for (const Block& block : worker.rows()) {
    EXPECT_THAT(block.claim_id, StartsWith(block.network + "/"));
  }
}

TEST_F(BlocksTest, AnEndingBlockThatIsFoundServesNobody) {
  const std::string cidr = with_block();
  worker.wipe();
  server.remove(block_name(prefix(cidr)));
  worker.claim(pool);
  EXPECT_THAT(worker.states(), SizeIs(2));
  EXPECT_THAT(worker.states(), Contains(cidr + " owned ending unexplored"));
}

// Keeping.

TEST_F(BlocksTest, VerificationAsksWhatIsDueOnly) {
  const std::string cidr = with_block();
  worker.clock.pass(pool.reap_grace / 4 - Milliseconds(1'000));
  worker.verify();
  EXPECT_THAT(asked("STATUS"), IsEmpty());
  worker.clock.pass(Milliseconds(1'000));
  worker.lease(address(cidr.substr(0, cidr.find('/'))));
  worker.verify();
  EXPECT_THAT(asked("STATUS"), SizeIs(1));
  EXPECT_EQ(server.blocks.begin()->second.used, 1);
  EXPECT_FALSE(Blocks::is_due(worker.rows().front(), worker.moment()));
}

TEST_F(BlocksTest, VerificationIsAsOfTheQuestion) {
  with_block();
  worker.clock.pass(pool.reap_grace / 4);
  const Milliseconds before = worker.moment().at.since_boot;
  server.on_request = [&](auto&, auto&) { worker.clock.pass(kMinute); };
  worker.verify();
  EXPECT_LT(worker.rows().front().verified.at.since_boot, before + Milliseconds(1'000));
}

TEST_F(BlocksTest, WhatMayNotBeWrittenIsRead) {
  with_block();
  worker.clock.pass(pool.reap_grace / 4);
  server.fail("STATUS", Cause::kForbidden);
  worker.verify();
  EXPECT_FALSE(Blocks::is_due(worker.rows().front(), worker.moment()));
  EXPECT_EQ(worker.rows().front().failure, "");
}

TEST_F(BlocksTest, AFailedVerificationWaitsForTheRefresh) {
  with_block();
  worker.clock.pass(pool.reap_grace / 4);
  server.break_down();
  worker.verify();
  EXPECT_THAT(worker.rows().front().failure, HasSubstr("failed"));
  const std::size_t before = server.requests.size();
  worker.clock.pass(Machine::kRefresh / 2);
  worker.verify();
  EXPECT_EQ(server.requests.size(), before);
  server.work_again();
  worker.clock.pass(Machine::kRefresh / 2);
  worker.verify();
  EXPECT_EQ(worker.rows().front().failure, "");
}

TEST_F(BlocksTest, AVerificationThatTheStoreDoesNotLetPassIsLogged) {
  with_block();
  worker.clock.pass(pool.reap_grace / 4);
  const std::filesystem::path file = worker.store_options().folder.parent_path() / "log";
  Log log(worker.clock);
  log.open(file, LogLevel::kWarning);
  Blocks::Options options = worker.options();
  options.store.lock_timeout = Milliseconds(1);
  const store::Store held = store::Store::open(worker.store_options());
  Blocks(options, worker.clock, log).verify(worker.owner(), worker.moment());
  EXPECT_THAT(read_file(file, 1 << 16).value_or(""), HasSubstr("blocks: "));
}

TEST_F(BlocksTest, WhereNobodyAnswersOneBlockIsAskedFor) {
  with_block();
  with_block();
  worker.clock.pass(pool.reap_grace / 4);
  server.requests.clear();
  server.break_down();
  worker.verify();
  EXPECT_THAT(server.requests, SizeIs(1));
  for (const Block& block : worker.rows()) {
    EXPECT_NE(block.failure, "");
  }
}

TEST_F(BlocksTest, AnAbsentEmptyBlockIsForgotten) {
  const std::string cidr = with_block();
  server.remove_by_force(block_name(prefix(cidr)));
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.rows(), IsEmpty());
}

TEST_F(BlocksTest, AnAbsentBlockWithLeasesIsClaimedAnew) {
  const std::string cidr = with_block();
  const Block before = worker.rows().front();
  worker.lease(before.cidr.first());
  server.remove_by_force(block_name(before.cidr));
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned"));
  const Block after = worker.rows().front();
  EXPECT_NE(after.claim_id, before.claim_id);
  EXPECT_NE(after.uid, before.uid);
  EXPECT_EQ(server.blocks.at(block_name(before.cidr)).claim_id, after.claim_id);
}

TEST_F(BlocksTest, AnothersBlockIsLostAndEndsWithItsLastLease) {
  const std::string cidr = with_block();
  const net::Address leased = worker.rows().front().cidr.first();
  worker.lease(leased);
  server.remove_by_force(block_name(prefix(cidr)));
  server.put(cidr, "other");
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " lost"));
  EXPECT_THAT(worker.rows().front().failure, HasSubstr("is node other's"));
  worker.clock.pass(2 * Machine::kRefresh);
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " lost"));
  worker.end(leased);
  worker.clock.pass(2 * Machine::kRefresh);
  worker.verify();
  EXPECT_THAT(worker.rows(), IsEmpty());
  EXPECT_EQ(server.blocks.at(block_name(prefix(cidr))).node_name, "other");
}

TEST_F(BlocksTest, AnothersEmptyBlockIsForgottenAtOnce) {
  const std::string cidr = with_block();
  server.remove_by_force(block_name(prefix(cidr)));
  server.put(cidr, "other");
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.rows(), IsEmpty());
}

// A machine copied with its store is another node: the claim that both know is the first one's.
TEST_F(BlocksTest, ACopyOfTheStoreOnAnotherNodeOwnsNothing) {
  const std::string cidr = with_block();
  worker.lease(prefix(cidr).first());
  worker.node.name = "copy";
  worker.node.uid = "copy-uid";
  worker.reboot();
  server.fail("STATUS", Cause::kForbidden);  // the policy: another node's block
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " lost"));
}

TEST_F(BlocksTest, AnotherUidOfTheSameClaimIsTakenOver) {
  const std::string cidr = with_block();
  kube::PodBlock object = server.blocks.at(block_name(prefix(cidr)));
  server.remove_by_force(object.name);
  static_cast<void>(server.create(object));  // restored from a backup
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned"));
  EXPECT_EQ(worker.rows().front().uid, server.blocks.begin()->second.uid);
}

TEST_F(BlocksTest, ADeletedBlockDrainsAndGoesWithItsLastLease) {
  const std::string cidr = with_block();
  const net::Address leased = prefix(cidr).first();
  worker.lease(leased);
  server.remove(block_name(prefix(cidr)));
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned ending"));
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  worker.end(leased);
  // Another node could give the address to another pod while this one's last packets are under way.
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  worker.clock.pass(kMinute);
  EXPECT_THAT(worker.give_back(&pool), ElementsAre(cidr));
  EXPECT_THAT(worker.rows(), IsEmpty());
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, ADeletedEmptyBlockIsGivenBackThoughItIsTheLast) {
  const std::string cidr = with_block();
  server.remove(block_name(prefix(cidr)));
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.give_back(&pool), ElementsAre(cidr));
  EXPECT_THAT(worker.rows(), IsEmpty());
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, ADeletedBlockThatWasNotLookedThroughStays) {
  worker.claim(pool);
  server.remove(server.blocks.begin()->first);
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(worker.rows(), SizeIs(1));
  EXPECT_THAT(server.blocks, SizeIs(1));
}

// An ADD needs no claim.lock: it may lease while the API is asked.
TEST_F(BlocksTest, ALeaseMadeWhileTheApiIsAskedIsNotLost) {
  for (const bool gone : {true, false}) {
    const std::string cidr = with_block();
    if (gone) {
      server.remove_by_force(block_name(prefix(cidr)));
    } else {
      server.remove(block_name(prefix(cidr)));
    }
    worker.clock.pass(pool.reap_grace / 4);
    server.on_request = [&](const std::string& verb, const std::string&) {
      if (verb == "STATUS") {
        worker.lease(prefix(cidr).first());
      }
    };
    worker.verify();
    server.on_request = nullptr;
    EXPECT_THAT(worker.states(), ElementsAre(cidr + (gone ? " owned" : " owned ending")));
    EXPECT_THAT(names(), ElementsAre(block_name(prefix(cidr))));
    worker.end(prefix(cidr).first());
    static_cast<void>(worker.leave(true));
  }
}

TEST(FreshnessTest, GoesByWhicheverClockRanFurther) {
  fakes::FakeClock clock;
  const auto now = [&] { return store::Moment{.at = clock.now(), .boot_id = "boot-1"}; };
  const Block block{.cidr = prefix("10.0.0.0/26"), .reap_grace = 4 * kHour, .verified = now()};
  const auto is = [&](const store::Moment& at) {
    return std::string(Blocks::is_fresh(block, at) ? "fresh" : "old") +
           (Blocks::is_due(block, at) ? " due" : "");
  };
  EXPECT_EQ(is(now()), "fresh");
  clock.set_wall(-10 * kHour);
  EXPECT_EQ(is(now()), "fresh");
  clock.pass(kHour - Milliseconds(1));
  EXPECT_EQ(is(now()), "fresh");
  clock.pass(Milliseconds(1));
  EXPECT_EQ(is(now()), "fresh due");
  clock.pass(kHour - Milliseconds(1));
  EXPECT_EQ(is(now()), "fresh due");
  clock.pass(Milliseconds(1));
  EXPECT_EQ(is(now()), "old due");

  clock = fakes::FakeClock();
  store::Moment moment = block.verified;
  moment.at.wall += 2 * kHour;  // the machine was suspended by its host
  EXPECT_EQ(is(moment), "old due");
  moment = block.verified;
  moment.boot_id = "boot-2";
  EXPECT_EQ(is(moment), "old due");
  EXPECT_FALSE(Blocks::is_fresh({.cidr = block.cidr, .reap_grace = kHour}, block.verified));
  Block nobody = block;
  nobody.verified = {};
  EXPECT_FALSE(Blocks::is_fresh(nobody, {}));
}

// Giving back.

TEST_F(BlocksTest, TheLastBlockStays) {
  with_block();
  worker.clock.pass(10 * kMinute);
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  with_block();
  worker.clock.pass(10 * kMinute);
  EXPECT_THAT(worker.give_back(&pool), SizeIs(1));
  EXPECT_THAT(worker.rows(), SizeIs(1));
  EXPECT_THAT(server.blocks, SizeIs(1));
}

TEST_F(BlocksTest, TheLastOfEachFamilyStays) {
  edit({{.cidr = "172.20.0.0/24"}, {.cidr = "fd00:10::/64"}});
  worker.claim(pool, {Family::kIpv4, Family::kIpv6});
  worker.explore();
  worker.clock.pass(10 * kMinute);
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
}

TEST_F(BlocksTest, AnEmptyBlockBesideAFullOneStays) {
  const std::string cidr = with_block();
  for (unsigned i = 1; i < 62; ++i) {
    worker.lease(net::Address::from_bits(Family::kIpv4, prefix(cidr).first().bits() + i));
  }
  with_block();
  worker.clock.pass(10 * kMinute);
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  worker.end(net::Address::from_bits(Family::kIpv4, prefix(cidr).first().bits() + 5));
  EXPECT_THAT(worker.give_back(&pool), SizeIs(1));
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned"));
}

TEST_F(BlocksTest, AYoungBlockStays) {
  with_block();
  with_block();
  worker.clock.pass(5 * kMinute - Milliseconds(100));
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  worker.clock.pass(Milliseconds(100));
  EXPECT_THAT(worker.give_back(&pool), SizeIs(1));
}

TEST_F(BlocksTest, ABlockThatCoolsStays) {
  const std::string first = with_block();
  const std::string second = with_block();
  worker.lease(prefix(first).first());
  worker.lease(prefix(second).first());
  worker.clock.pass(10 * kMinute);
  worker.end(prefix(second).first());
  worker.clock.pass(kMinute);
  EXPECT_THAT(worker.give_back(&pool, 2 * kMinute), IsEmpty());
  worker.clock.pass(kMinute);
  EXPECT_THAT(worker.give_back(&pool, 2 * kMinute), ElementsAre(second));
}

TEST_F(BlocksTest, WhatWasNotLookedThroughStays) {
  worker.claim(pool);
  worker.claim(pool);
  worker.clock.pass(10 * kMinute);
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
}

TEST_F(BlocksTest, DrainingAndForeignBlocksGoAtOnceAlsoTheLast) {
  const std::string cidr = with_block();
  edit({{.cidr = "172.20.0.0/24", .draining = true}});
  EXPECT_THAT(worker.give_back(&pool), ElementsAre(cidr));
  EXPECT_THAT(server.blocks, IsEmpty());

  edit({{.cidr = "172.20.0.0/24"}});
  const std::string again = with_block();
  edit({{.cidr = "172.21.0.0/24"}});
  EXPECT_THAT(worker.give_back(&pool), ElementsAre(again));

  edit({{.cidr = "172.20.0.0/24"}});
  const std::string third = with_block();
  Pool other = pool;
  other.name = "other";
  EXPECT_THAT(worker.give_back(&other), ElementsAre(third));

  const std::string fourth = with_block();
  EXPECT_THAT(worker.give_back(nullptr), ElementsAre(fourth));
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, NothingIsGivenBackToAPoolThatIsPaused) {
  with_block();
  server.pools["default"].paused = true;
  EXPECT_THAT(worker.give_back(nullptr), IsEmpty());
  EXPECT_THAT(worker.rows().front().failure, HasSubstr("is paused"));
  EXPECT_THAT(asked("POOL"), SizeIs(1));
  EXPECT_THAT(worker.give_back(nullptr), IsEmpty());
  EXPECT_THAT(asked("POOL"), SizeIs(1));  // not so soon
  worker.clock.pass(2 * Machine::kRefresh);
  edit({{.cidr = "172.20.0.0/24", .draining = true}});
  pool.paused = true;
  EXPECT_THAT(worker.give_back(&pool), IsEmpty());
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_THAT(worker.give_back(nullptr), SizeIs(1));
}

TEST_F(BlocksTest, NothingThatEndsGoesWhileItsPoolIsPaused) {
  const std::string cidr = with_block();
  worker.lease(prefix(cidr).first());
  server.pools["default"].paused = true;
  server.remove(block_name(prefix(cidr)));
  worker.end(prefix(cidr).first());
  worker.clock.pass(pool.reap_grace / 4);
  worker.verify();
  EXPECT_THAT(server.blocks, SizeIs(1));
}

TEST_F(BlocksTest, WhatFailedToGoGoesLater) {
  for (const std::string verb : {"DELETE", "LET GO"}) {
    for (const Fault::Kind kind : {Fault::Kind::kLost, Fault::Kind::kAnswerLost,
                                   Fault::Kind::kRefused, Fault::Kind::kLate}) {
      const std::string cidr = with_block();
      server.fail(verb, kind);
      EXPECT_THAT(worker.give_back(nullptr), IsEmpty());
      EXPECT_THAT(worker.states(), ElementsAre(cidr + " releasing"));
      worker.verify();
      EXPECT_THAT(worker.states(), ElementsAre(cidr + " releasing")) << "not so soon";
      worker.clock.pass(2 * Machine::kRefresh);
      worker.verify();
      EXPECT_THAT(worker.rows(), IsEmpty());
      EXPECT_THAT(server.blocks, IsEmpty());
      // Another node has it by the time that the request arrives.
      server.put(cidr, "other");
      server.deliver();
      EXPECT_THAT(server.blocks, SizeIs(1));
      EXPECT_FALSE(server.blocks.begin()->second.is_ending());
      server.blocks.clear();
    }
  }
}

TEST_F(BlocksTest, NothingIsGivenBackThatIsLeasedFromMeanwhile) {
  const std::string cidr = with_block();
  server.on_request = [&](const std::string& verb, const std::string&) {
    if (verb == "POOL") {
      worker.lease(prefix(cidr).first());
    }
  };
  EXPECT_THAT(worker.give_back(nullptr), IsEmpty());
  EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned"));
}

TEST_F(BlocksTest, ALeavingNodeGivesAllBackThatIsEmpty) {
  const std::string first = with_block();
  const std::string second = with_block();
  worker.lease(prefix(second).first());
  EXPECT_THAT(worker.leave(), ElementsAre(first));
  EXPECT_THAT(worker.states(), ElementsAre(second + " owned"));
  EXPECT_THAT(worker.leave(true), ElementsAre(second));
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, ALeavingNodeKeepsWhatIsOfAPoolThatIsPaused) {
  const std::string cidr = with_block();
  server.pools["default"].paused = true;
  EXPECT_TRUE(worker.blocks().is_paused("default"));
  for (const bool even_in_use : {false, true}) {
    EXPECT_THAT(worker.leave(even_in_use), IsEmpty());
    EXPECT_THAT(worker.states(), ElementsAre(cidr + " owned"));
    EXPECT_THAT(worker.rows().front().failure, HasSubstr("is paused"));
    EXPECT_FALSE(server.blocks.begin()->second.is_ending());
  }
  server.pools["default"].paused = false;
  EXPECT_THAT(worker.leave(), ElementsAre(cidr));
  EXPECT_FALSE(worker.blocks().is_paused("gone"));
}

TEST_F(BlocksTest, ALeavingNodeEndsWhatIsInDoubt) {
  server.fail("CREATE", Fault::Kind::kLate);
  EXPECT_EQ(thrown_by([&] { worker.claim(pool); }).kind, ErrorKind::kBusy);
  server.fail("CREATE", Cause::kServer);
  EXPECT_EQ(thrown_by([&] { static_cast<void>(worker.leave(true)); }).kind, ErrorKind::kBusy);
  EXPECT_THAT(worker.rows(), SizeIs(1));
  EXPECT_THAT(worker.leave(true), SizeIs(1));
  EXPECT_THAT(worker.rows(), IsEmpty());
  EXPECT_THAT(server.blocks, IsEmpty());
}

TEST_F(BlocksTest, ALeavingNodeKeepsWhatIsLeasedFromMeanwhile) {
  const std::string first = with_block();
  const std::string second = with_block();
  const std::string last = worker.rows().back().cidr.to_string();
  server.on_request = [&](const std::string& verb, const std::string&) {
    if (verb == "DELETE") {
      worker.lease(prefix(last).first());
      server.on_request = nullptr;
    }
  };
  EXPECT_THAT(worker.leave(), SizeIs(1));
  EXPECT_THAT(worker.states(), ElementsAre(last + " owned"));
}

// What a configuration draws from.
class ClusterPoolSourceTest : public BlocksTest {
 protected:
  static std::string text(const Knowledge& knowledge) {
    const Offer* const offer = knowledge.offer();
    if (offer == nullptr) {
      return support::all_of(std::get<Error>(knowledge.answer));
    }
    std::string text;
    for (const PoolRangeSet& set : offer->sets) {
      text += std::string(text.empty() ? "" : "; ") + std::string(name(set.family)) + ":";
      for (const PoolRange& one : set.ranges) {
        for (const std::string& usable : texts(one.usable)) {
          text += " " + usable;
        }
      }
    }
    return text;
  }
  static ErrorKind kind(const Knowledge& knowledge) {
    return std::get<Error>(knowledge.answer).kind();
  }
  static std::vector<std::string> outcomes(const Knowledge& knowledge) {
    std::vector<std::string> outcomes;
    for (const Look& look : knowledge.looks) {
      // Less the times: 0 leases, claimed 2m ago, verified 2m ago.
      const std::string leases = look.value.substr(0, look.value.find(','));
      outcomes.push_back(look.place + ": " + leases + ": " + look.outcome);
    }
    return outcomes;
  }
  Knowledge learn(const std::string& ipam = "{}") { return Process(worker, ipam).learn(); }
  Knowledge consult(const std::string& ipam = "{}") { return Process(worker, ipam).consult(); }
  // As an ADD that has looked through the machine.
  void grow(const std::string& ipam = "{}") {
    Process process(worker, ipam);
    static_cast<void>(process.learn());
    process.source().grow({Family::kIpv4}, worker.moment());
    worker.explore();
  }
};

TEST_F(ClusterPoolSourceTest, OffersWhatMayGrowBeforeThereIsABlock) {
  const Knowledge first = consult();
  EXPECT_EQ(first.offer(), nullptr);
  EXPECT_TRUE(first.stale);
  const Knowledge knowledge = learn();
  EXPECT_EQ(text(knowledge), "ipv4:");
  EXPECT_TRUE(knowledge.offer()->may_grow);
  EXPECT_FALSE(knowledge.stale);
  EXPECT_THAT(knowledge.origins, Contains(HasSubstr("PodPool default")));
}

TEST_F(ClusterPoolSourceTest, GrowsByABlockThatHasToBeLookedThrough) {
  leave_only("172.20.0.64/26");
  Process process(worker);
  static_cast<void>(process.learn());
  process.source().grow({Family::kIpv4}, worker.moment());
  const Knowledge knowledge = process.consult();
  EXPECT_EQ(text(knowledge), "ipv4: 172.20.0.66-172.20.0.126");
  ASSERT_THAT(knowledge.unexplored, SizeIs(1));
  EXPECT_EQ(knowledge.unexplored[0].ranges[0].range, range("172.20.0.64/26"));
  EXPECT_THAT(outcomes(knowledge), ElementsAre("block 172.20.0.64/26: 0 leases: used for ipv4"));
  Process other(worker);
  static_cast<void>(other.learn());
  const auto explored = [&](Process& whose) {
    return worker.in_store(
        [&](store::Transaction& transaction) { return whose.source().explored(transaction); });
  };
  EXPECT_TRUE(explored(process));
  EXPECT_FALSE(explored(other));
  EXPECT_THAT(learn().unexplored, IsEmpty());
}

TEST_F(ClusterPoolSourceTest, TheAnswerFollowsThePrefix) {
  edit({{.cidr = "172.20.0.0/24", .reserved = {"172.20.0.70", "172.20.0.255"}}});
  leave_only("172.20.0.64/26");
  grow();
  const auto first = [](const Knowledge& knowledge) {
    return knowledge.offer()->sets.at(0).ranges.at(0);
  };
  const PoolRange subnet = first(learn());
  EXPECT_THAT(texts(subnet.usable),
              ElementsAre("172.20.0.66-172.20.0.69", "172.20.0.71-172.20.0.126"));
  EXPECT_EQ(subnet.gateway, address("172.20.0.65"));
  EXPECT_EQ(subnet.answer_length, 26);
  EXPECT_EQ(subnet.subnet, prefix("172.20.0.64/26"));
  EXPECT_EQ(subnet.source, "PodPool default 172.20.0.64/26");
  const PoolRange pool_wide = first(learn(R"({"prefix": "pool"})"));
  EXPECT_THAT(texts(pool_wide.usable),
              ElementsAre("172.20.0.64-172.20.0.69", "172.20.0.71-172.20.0.127"));
  EXPECT_EQ(pool_wide.gateway, address("172.20.0.1"));
  EXPECT_EQ(pool_wide.answer_length, 24);
  EXPECT_EQ(pool_wide.subnet, prefix("172.20.0.0/24"));
  const PoolRange inside = first(learn(R"({"prefix": "pool", "gateway": "172.20.0.100"})"));
  EXPECT_EQ(inside.gateway, address("172.20.0.100"));
  EXPECT_FALSE(inside.usable.contains(address("172.20.0.100")));
  const PoolRange host = first(learn(R"({"prefix": "host", "exclude": ["172.20.0.64/27"]})"));
  EXPECT_THAT(texts(host.usable), ElementsAre("172.20.0.96-172.20.0.127"));
  EXPECT_EQ(host.gateway, std::nullopt);
  EXPECT_EQ(host.answer_length, 32);
}

TEST_F(ClusterPoolSourceTest, TheEndsOfAFlatNetworkAreNobodys) {
  leave_only("172.20.0.192/26");
  grow();
  EXPECT_EQ(text(learn(R"({"prefix": "pool"})")), "ipv4: 172.20.0.192-172.20.0.254");
  server.blocks.clear();
  worker.wipe();
  leave_only("172.20.0.0/26");
  grow();
  EXPECT_EQ(text(learn(R"({"prefix": "pool"})")), "ipv4: 172.20.0.2-172.20.0.63");
}

TEST_F(ClusterPoolSourceTest, TheFullestBlockComesFirst) {
  grow();
  grow();
  grow();
  const std::vector<Block> rows = worker.rows();
  worker.lease(rows[1].cidr.first());
  worker.lease(rows[1].cidr.last());
  worker.lease(rows[2].cidr.first());
  const Knowledge knowledge = learn();
  std::vector<net::Prefix> order;
  for (const PoolRange& one : knowledge.offer()->sets[0].ranges) {
    order.push_back(one.subnet);
  }
  EXPECT_THAT(order, ElementsAre(rows[1].cidr, rows[2].cidr, rows[0].cidr));
}

TEST_F(ClusterPoolSourceTest, FamiliesAreThoseOfThePoolOrThoseAskedFor) {
  edit({{.cidr = "fd00:10::/64"}, {.cidr = "172.20.0.0/24"}});
  EXPECT_EQ(text(learn()), "ipv4:; ipv6:");
  EXPECT_EQ(text(learn(R"({"families": ["ipv6"]})")), "ipv6:");
  edit({{.cidr = "172.20.0.0/24"}});
  worker.clock.pass(2 * Machine::kRefresh);
  const Knowledge knowledge = learn(R"({"families": ["ipv4", "ipv6"]})");
  EXPECT_EQ(kind(knowledge), ErrorKind::kConfig);
  EXPECT_THAT(text(knowledge), HasSubstr("PodPool default has no CIDR of ipv6"));
}

TEST_F(ClusterPoolSourceTest, APoolThatIsNotForThisNodeIsRefused) {
  server.pools["default"].node_selector.match_labels = {{"zone", "a"}};
  const Knowledge knowledge = learn();
  EXPECT_EQ(kind(knowledge), ErrorKind::kConfig);
  EXPECT_THAT(text(knowledge), AllOf(HasSubstr("PodPool default is not for Node worker"),
                                     HasSubstr("nodeSelector")));
  worker.node.labels["zone"] = "a";
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_EQ(text(learn()), "ipv4:");
}

TEST_F(ClusterPoolSourceTest, APoolMeetsNeitherPodCidrNorNode) {
  worker.node.pod_cidrs = {"10.0.0.0/8", "172.20.0.128/25"};
  EXPECT_EQ(kind(learn()), ErrorKind::kConfig);
  EXPECT_THAT(text(learn()), HasSubstr("172.20.0.0/24 meets the podCIDR 172.20.0.128/25"));
  worker.node.pod_cidrs.clear();
  worker.node.internal_ips = {"172.20.0.7"};
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_THAT(text(learn()), HasSubstr("contains 172.20.0.7, the address of Node worker"));
  EXPECT_EQ(text(learn(R"({"prefix": "pool"})")), "ipv4:");
}

TEST_F(ClusterPoolSourceTest, APoolHasNoCidrWhereNoPodCanHaveAnAddress) {
  for (const std::string_view cidr : {"127.20.0.0/24", "224.0.0.0/24", "ff00:10::/64"}) {
    server.pools["default"] = pool_object({{.cidr = "172.20.0.0/24"}, {.cidr = std::string(cidr)}});
    worker.clock.pass(2 * Machine::kRefresh);
    const Knowledge knowledge = learn();
    EXPECT_EQ(kind(knowledge), ErrorKind::kConfig) << cidr;
    EXPECT_THAT(text(knowledge), HasSubstr("PodPool default " + std::string(cidr) + " overlaps"));
  }
  // Nothing new is leased of one that drains.
  server.pools["default"] =
      pool_object({{.cidr = "172.20.0.0/24"}, {.cidr = "127.20.0.0/24", .draining = true}});
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_EQ(text(learn()), "ipv4:");
}

TEST_F(ClusterPoolSourceTest, AMissingPoolIsSaid) {
  server.pools.clear();
  const Knowledge knowledge = learn();
  EXPECT_EQ(kind(knowledge), ErrorKind::kConfig);
  EXPECT_THAT(text(knowledge), HasSubstr("PodPool default does not exist"));
  server.pools["default"] = pool_object({{.cidr = "172.20.0.1/24"}});
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_THAT(text(learn()), HasSubstr("is no CIDR"));
}

TEST_F(ClusterPoolSourceTest, APausedPoolServesFromWhatThereIs) {
  server.pools["default"].paused = true;
  const Knowledge none = learn();
  EXPECT_EQ(kind(none), ErrorKind::kBusy);
  EXPECT_THAT(text(none), HasSubstr("is paused, and this node has no free address of it left"));
  server.pools["default"].paused = false;
  worker.clock.pass(2 * Machine::kRefresh);
  leave_only("172.20.0.64/26");
  grow();
  server.pools["default"].paused = true;
  worker.clock.pass(2 * Machine::kRefresh);
  const Knowledge some = learn();
  EXPECT_EQ(text(some), "ipv4: 172.20.0.66-172.20.0.126");
  try {
    grow();
    FAIL() << "a paused pool was claimed of";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kBusy);
    EXPECT_THAT(error.what(), HasSubstr("is paused"));
  }
}

TEST_F(ClusterPoolSourceTest, SaysWhyABlockIsNotUsed) {
  edit({{.cidr = "172.20.0.0/24"},
        {.cidr = "172.21.0.0/24"},
        {.cidr = "172.22.0.0/26"},
        {.cidr = "172.23.0.0/26"}});
  static_cast<void>(learn());
  const auto put = [&](const std::string& cidr, const std::function<void(Block&)>& how) {
    worker.in_store([&](store::Transaction& transaction) {
      Block block{.network = "pods",
                  .cidr = prefix(cidr),
                  .pool = "default",
                  .state = State::kOwned,
                  .claim_id = "pods/x",
                  .uid = "x",
                  .reap_grace = pool.reap_grace,
                  .claimed = worker.moment(),
                  .verified = worker.moment(),
                  .attempted = worker.moment()};
      how(block);
      store::BlockTable(transaction).set(block);
    });
  };
  put("172.20.0.0/26", [](Block& block) { block.state = State::kClaiming; });
  put("172.20.0.64/26", [](Block& block) {
    block.state = State::kLost;
    block.failure = "it is another's";
  });
  put("172.20.0.128/26", [](Block& block) { block.state = State::kReleasing; });
  put("172.20.0.192/26", [](Block& block) { block.ending = true; });
  put("172.21.0.0/26", [](Block& block) { block.pool = "old"; });
  put("172.21.0.64/26", [](Block& block) { block.verified = {}; });
  put("172.22.0.0/26", [](auto&) {});
  put("172.24.0.0/26", [](auto&) {});
  put("172.23.0.0/26", [](auto&) {});
  server.pools["default"].cidrs[2].draining = true;
  worker.clock.pass(2 * Machine::kRefresh);
  Process process(worker);
  static_cast<void>(process.consult());
  server.break_down();
  process.source().refresh(false);
  const Knowledge knowledge = process.consult();
  EXPECT_THAT(
      outcomes(knowledge),
      ElementsAre(StartsWith("block 172.20.0.0/26: 0 leases: not used: claiming"),
                  StartsWith("block 172.20.0.64/26: 0 leases: not used: lost, it is another's"),
                  StartsWith("block 172.20.0.128/26: 0 leases: not used: releasing"),
                  "block 172.20.0.192/26: 0 leases: drains: its PodBlock was deleted",
                  "block 172.21.0.0/26: 0 leases: drains: it is of PodPool old",
                  StartsWith("block 172.21.0.64/26: 0 leases: not used: not verified lately, "),
                  "block 172.22.0.0/26: 0 leases: drains: its CIDR is Draining",
                  "block 172.23.0.0/26: 0 leases: used for ipv4",
                  "block 172.24.0.0/26: 0 leases: drains: its CIDR is not in the pool any more"));
  EXPECT_EQ(text(knowledge), "ipv4: 172.23.0.2-172.23.0.62");
}

TEST_F(ClusterPoolSourceTest, NothingIsLeasedFromWhatWasNotVerified) {
  leave_only("172.20.0.64/26");
  grow();
  for (const bool reboot : {true, false}) {
    server.break_down();
    worker.cut_off = true;
    if (reboot) {
      worker.reboot();
    } else {
      worker.clock.pass(pool.reap_grace / 2);
    }
    const Knowledge before = consult();
    EXPECT_TRUE(before.stale);
    const Knowledge knowledge = learn();
    EXPECT_EQ(kind(knowledge), ErrorKind::kBusy);
    EXPECT_THAT(text(knowledge), AllOf(HasSubstr("block 172.20.0.64/26 was not verified lately"),
                                       HasSubstr("cut off"), HasSubstr("keep their addresses")));
    server.work_again();
    worker.cut_off = false;
    worker.clock.pass(2 * Machine::kRefresh);
    EXPECT_EQ(text(learn()), "ipv4: 172.20.0.66-172.20.0.126");
  }
}

TEST_F(ClusterPoolSourceTest, ABlockThatIsDueIsAskedForAndServesMeanwhile) {
  leave_only("172.20.0.64/26");
  grow();
  worker.clock.pass(pool.reap_grace / 4);
  const Knowledge due = consult();
  EXPECT_TRUE(due.stale);
  EXPECT_NE(due.offer(), nullptr);
  static_cast<void>(learn());
  EXPECT_THAT(asked("STATUS"), SizeIs(1));
  EXPECT_FALSE(consult().stale);
}

// Whoever waits for the grace goes by the pool as it is today.
TEST_F(ClusterPoolSourceTest, ATimerThatComesFirstVerifiesToo) {
  with_block();
  worker.reboot();
  Process process(worker);
  process.source().refresh(true);
  EXPECT_NE(process.consult().offer(), nullptr);
}

TEST_F(ClusterPoolSourceTest, AShorterReapGraceHoldsForBlocksThatThereAre) {
  leave_only("172.20.0.64/26");
  grow();
  server.pools["default"].reap_grace = "20m";
  worker.clock.pass(2 * Machine::kRefresh);
  static_cast<void>(learn());
  EXPECT_THAT(asked("STATUS"), IsEmpty());
  worker.clock.pass(10 * kMinute);
  server.break_down();
  const Knowledge knowledge = learn();
  EXPECT_EQ(knowledge.offer(), nullptr);
  EXPECT_THAT(text(knowledge), HasSubstr("not verified lately"));
  server.work_again();
  worker.clock.pass(2 * Machine::kRefresh);
  EXPECT_NE(learn().offer(), nullptr);
  EXPECT_EQ(worker.rows().front().reap_grace, 20 * kMinute);
}

TEST_F(ClusterPoolSourceTest, WhatOnlyWaitsForItsLastLeaseIsNotAskedForEachTime) {
  leave_only("172.20.0.64/26");
  grow();
  worker.lease(address("172.20.0.70"));
  for (const bool lost : {false, true}) {
    if (lost) {
      server.remove_by_force("172.20.0.64-26");
      server.put("172.20.0.64/26", "other");
    } else {
      server.remove("172.20.0.64-26");
    }
    worker.clock.pass(pool.reap_grace / 4);
    static_cast<void>(learn());
    EXPECT_THAT(worker.states(), ElementsAre(HasSubstr(lost ? "lost" : "ending")));
    worker.clock.pass(2 * Machine::kRefresh);
    static_cast<void>(learn());  // for the Node and the pool
    EXPECT_FALSE(consult().stale);
  }
  worker.end(address("172.20.0.70"));
  EXPECT_TRUE(consult().stale);
  static_cast<void>(learn());
  EXPECT_THAT(worker.rows(), IsEmpty());
}

// What is not in the answer is not looked through, so it is not said to have been.
TEST_F(ClusterPoolSourceTest, ExploredIsWhatWasToldToBe) {
  edit({{.cidr = "172.20.0.0/24"}, {.cidr = "fd00:10::/64"}});
  const auto check = [&](Process& process, const Knowledge& knowledge) {
    std::vector<std::string> told;
    for (const PoolRangeSet& set : knowledge.unexplored) {
      for (const PoolRange& one : set.ranges) {
        told.push_back(one.range.to_string());
      }
    }
    std::vector<std::string> before;
    for (const Block& block : worker.rows()) {
      if (block.unexplored) {
        before.push_back(block.cidr.range().to_string());
      }
    }
    worker.in_store([&](store::Transaction& transaction) {
      static_cast<void>(process.source().explored(transaction));
    });
    for (const Block& block : worker.rows()) {
      if (block.unexplored) {
        before.erase(std::find(before.begin(), before.end(), block.cidr.range().to_string()));
      }
    }
    EXPECT_EQ(before, told);
  };
  const auto with_both = [&] { worker.claim(pool, {Family::kIpv4, Family::kIpv6}); };
  static_cast<void>(learn());
  with_both();
  worker.change(worker.rows()[0].cidr.to_string(), [](Block& block) { block.verified = {}; });
  server.break_down();
  Process error(worker);
  const Knowledge unverified = error.consult();
  EXPECT_EQ(unverified.offer(), nullptr);
  check(error, unverified);

  server.work_again();
  with_both();
  Process narrow(worker, R"({"families": ["ipv4"]})");
  check(narrow, narrow.learn());
}

TEST_F(ClusterPoolSourceTest, TidyGivesBackWhatTheAnswerShowed) {
  grow();
  grow();
  Process young(worker);
  static_cast<void>(young.learn());
  young.source().tidy();
  EXPECT_THAT(worker.rows(), SizeIs(2));
  worker.clock.pass(10 * kMinute);
  Process process(worker);
  process.source().tidy();  // nothing was shown
  EXPECT_THAT(worker.rows(), SizeIs(2));
  static_cast<void>(process.learn());
  process.source().tidy();
  EXPECT_THAT(worker.rows(), SizeIs(1));
  EXPECT_THAT(server.blocks, SizeIs(1));
}

TEST_F(ClusterPoolSourceTest, AStoreOfTwoNetworksOffersEachItsOwn) {
  worker.claim(pool);
  worker.claim(pool, {Family::kIpv4}, {}, "other");
  const Knowledge knowledge = learn();
  ASSERT_THAT(knowledge.looks, SizeIs(1));
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[0].subnet,
            worker.row(knowledge.offer()->sets[0].ranges[0].subnet.to_string())->cidr);
}

// Turns.

class TurnTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::optional<Outcome> take(const std::string& work,
                                            std::optional<Error> failure = {},
                                            Milliseconds asked = Milliseconds(0),
                                            Milliseconds patience = Milliseconds(2'000)) {
    store::Moment then = moment();
    then.at.since_boot += asked;
    return take_turn({.lock = folder.path() / "lock",
                      .work = work,
                      .patience = patience,
                      .asked = then,
                      .now = [this] { return moment(); }},
                     [&] {
                       ++done;
                       return failure;
                     });
  }
  [[nodiscard]] store::Moment moment() const { return {.at = clock.now(), .boot_id = boot}; }

  fakes::TempFolder folder;
  fakes::FakeClock clock;
  std::string boot = "boot-1";
  int done = 0;
};

TEST_F(TurnTest, WhatAnotherDidSinceIsAsGood) {
  EXPECT_FALSE(take("a")->by_other);
  EXPECT_TRUE(take("a", {}, Milliseconds(-5))->by_other);
  EXPECT_EQ(done, 1);
  clock.pass(Milliseconds(1));
  EXPECT_FALSE(take("a")->by_other);
  EXPECT_EQ(done, 2);
  EXPECT_FALSE(take("b", {}, Milliseconds(-5))->by_other);
  EXPECT_FALSE(take("a", {}, Milliseconds(-5))->by_other);  // b's word is there now
  boot = "boot-2";
  EXPECT_FALSE(take("a", {}, Milliseconds(-5))->by_other);
}

TEST_F(TurnTest, AFailureIsHandedOn) {
  const Error error(ErrorKind::kExhausted, "two\nlines", "and\ndetails");
  EXPECT_STREQ(take("a", error)->failure->what(), "two\nlines");
  const std::optional<Outcome> handed = take("a", {}, Milliseconds(-5));
  ASSERT_TRUE(handed && handed->failure);
  EXPECT_TRUE(handed->by_other);
  EXPECT_EQ(handed->failure->kind(), ErrorKind::kExhausted);
  EXPECT_STREQ(handed->failure->what(), "two lines");
  EXPECT_EQ(handed->failure->details(), "and details");
  EXPECT_EQ(done, 1);
}

TEST_F(TurnTest, AWordThatIsDamagedCountsAsNone) {
  for (const std::string word :
       {"", "a", "a\nboot-1\n99999999999\n\n", "a\nboot-1\nx\n\n\n", "a\nboot-1\n\n\n\n",
        "a\nboot-1\n99999999999 \n\n\n", "a\nboot-1\n999999999999999999999999\n\n\n",
        "a\nboot-1\n99999999999\n\n\n\n\n"}) {
    fakes::put(folder.path() / "lock", word);
    EXPECT_FALSE(take("a")->by_other) << word;
  }
  fakes::put(folder.path() / "lock", "a\nboot-1\n99999999999\n4711\nwhat\ndetails");
  EXPECT_EQ(take("a")->failure->kind(), ErrorKind::kOther);
}

TEST_F(TurnTest, PatienceEnds) {
  std::optional<Outcome> inner = Outcome{};
  const std::optional<Outcome> outer =
      take_turn({.lock = folder.path() / "lock",
                 .work = "a",
                 .patience = Milliseconds(2'000),
                 .asked = moment(),
                 .now = [this] { return moment(); }},
                [&]() -> std::optional<Error> {
                  inner = take("a", {}, Milliseconds(0), Milliseconds(20));
                  return std::nullopt;
                });
  EXPECT_EQ(inner, std::nullopt);
  EXPECT_FALSE(outer->by_other);
  EXPECT_EQ(done, 0);
}

TEST_F(TurnTest, AClaimOfAnotherProcessIsAsGood) {
  fakes::FakeServer server;
  Machine worker(server, "worker");
  const Pool pool = pool_of({{.cidr = "172.20.0.0/24"}});
  const store::Moment asked = worker.moment();
  worker.claim(pool);
  const Owner owner = worker.owner();
  worker.blocks().claim(
      {.network = "pods", .pool = &pool, .owner = &owner, .families = {Family::kIpv4}}, asked);
  EXPECT_THAT(worker.rows(), SizeIs(1));
  worker.blocks().claim(
      {.network = "other", .pool = &pool, .owner = &owner, .families = {Family::kIpv4}}, asked);
  EXPECT_THAT(worker.rows(), SizeIs(2));
}

}  // namespace
}  // namespace podlease::pools
