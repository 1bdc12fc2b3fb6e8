// Routes to the blocks of other nodes, from objects as nodes write them.

#include "podlease/pools/block_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "podlease/net/interval_set.h"

namespace podlease::pools {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Texts = std::vector<std::string>;

std::vector<net::Prefix> prefixes(const Texts& texts) {
  std::vector<net::Prefix> prefixes;
  for (const std::string& text : texts) {
    prefixes.push_back(net::Prefix::parse(text).value());
  }
  return prefixes;
}

Texts texts(const std::vector<net::Prefix>& prefixes) {
  Texts texts;
  for (const net::Prefix& prefix : prefixes) {
    texts.push_back(prefix.to_string());
  }
  return texts;
}

TEST(AggregateTest, UnitesOnlyWhatIsThereWhole) {
  struct Case {
    Texts given;
    Texts united;
  };
  const std::vector<Case> table{
      {{}, {}},
      {{"172.20.0.0/26"}, {"172.20.0.0/26"}},
      {{"172.20.0.64/26", "172.20.0.0/26"}, {"172.20.0.0/25"}},
      {{"172.20.0.64/26", "172.20.0.128/26"},  // beside each other, but halves of nothing
       {"172.20.0.64/26", "172.20.0.128/26"}},
      {{"172.20.0.0/26", "172.20.0.64/26", "172.20.0.128/26"},
       {"172.20.0.0/25", "172.20.0.128/26"}},
      {{"172.20.0.0/26", "172.20.0.64/26", "172.20.0.128/26", "172.20.0.192/26"},
       {"172.20.0.0/24"}},
      {{"172.20.0.0/26", "172.20.0.0/26"}, {"172.20.0.0/26"}},  // twice is once
      {{"172.20.0.0/24", "172.20.0.64/26"}, {"172.20.0.0/24"}},
      {{"0.0.0.0/1", "128.0.0.0/1"}, {"0.0.0.0/0"}},
      {{"fd00:10::40/122", "fd00:10::/122"}, {"fd00:10::/121"}},
      {{"::/1", "8000::/1"}, {"::/0"}},
      {{"fd00::/64", "172.20.0.0/26"}, {"172.20.0.0/26", "fd00::/64"}},
  };
  for (const Case& row : table) {
    EXPECT_THAT(texts(aggregate(prefixes(row.given))), ElementsAreArray(row.united))
        << testing::PrintToString(row.given);
  }
}

TEST(AggregateTest, HoldsTheSameAddressesInAsFewPrefixesAsTheirHalvesAllow) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same each time
  for (int round = 0; round < 200; ++round) {
    std::vector<net::Prefix> given;
    net::IntervalSet expected;
    for (unsigned block = 0; block < 64; ++block) {
      if (random() % 4 != 0) {
        given.push_back(*net::Prefix::make(net::Address::v4(0xac140000 + block * 64), 26));
        expected.insert(given.back().range());
      }
    }
    std::shuffle(given.begin(), given.end(), random);
    const std::vector<net::Prefix> united = aggregate(given);
    net::IntervalSet held;
    net::Uint128 size = 0;
    for (const net::Prefix& prefix : united) {
      EXPECT_FALSE(prefix.has_host_bits());
      held.insert(prefix.range());
      size += prefix.range().size();
    }
    EXPECT_EQ(held, expected);
    EXPECT_EQ(size, expected.size()) << "some overlap";
    EXPECT_EQ(aggregate(united), united);
  }
}

kube::PodBlock block(const std::string& cidr, const std::string& node, const Texts& node_ips,
                     const std::string& verified_at = {}) {
  kube::PodBlock block;
  block.name = "block-" + cidr;
  block.cidr = cidr;
  block.node_name = node;
  block.node_ips = node_ips;
  block.verified_at = verified_at;
  return block;
}

Texts routes(const BlockRoutes& found) {
  Texts texts;
  for (const BlockRoute& route : found.routes) {
    texts.push_back(route.destination.to_string() + " " + route.gateway.to_string() + " " +
                    route.node);
  }
  return texts;
}

TEST(RoutesToBlocksTest, LeadToOtherNodesByTheAddressOfTheSameFamily) {
  const BlockRoutes found = routes_to_blocks({block("172.20.0.0/26", "us", {"10.0.0.1"}),
                                              block("172.20.0.64/26", "b", {"10.0.0.2", "fd00::2"}),
                                              block("fd00:10::/122", "b", {"10.0.0.2", "fd00::2"}),
                                              block("172.20.0.128/26", "c", {"fd00::3"})},
                                             "us");
  EXPECT_THAT(routes(found), ElementsAre("172.20.0.64/26 10.0.0.2 b",
                                         "172.20.0.128/26 fd00::3 c",  // RFC 5549
                                         "fd00:10::/122 fd00::2 b"));
  EXPECT_THAT(found.problems, IsEmpty());
}

TEST(RoutesToBlocksTest, UniteTheBlocksOfOneNodeOnly) {
  const BlockRoutes found = routes_to_blocks(
      {block("172.20.0.64/26", "b", {"10.0.0.2"}), block("172.20.0.0/26", "b", {"10.0.0.2"}),
       block("172.20.0.128/26", "b", {"10.0.0.2"}), block("172.20.0.192/26", "c", {"10.0.0.3"})},
      "us");
  EXPECT_THAT(routes(found), ElementsAre("172.20.0.0/25 10.0.0.2 b", "172.20.0.128/26 10.0.0.2 b",
                                         "172.20.0.192/26 10.0.0.3 c"));
}

TEST(RoutesToBlocksTest, FollowANodeToItsNewAddress) {
  const BlockRoutes found =
      routes_to_blocks({block("172.20.0.0/26", "b", {"10.0.0.2"}, "2026-01-01T00:00:00Z"),
                        block("172.20.1.0/26", "b", {"10.0.0.9"}, "2026-01-02T00:00:00Z"),
                        block("172.20.2.0/26", "b", {}, "2026-01-03T00:00:00Z")},
                       "us");
  EXPECT_THAT(routes(found), ElementsAre("172.20.0.0/26 10.0.0.9 b", "172.20.1.0/26 10.0.0.9 b",
                                         "172.20.2.0/26 10.0.0.9 b"));
}

TEST(RoutesToBlocksTest, AreTheSameWhileABlockIsGivenBack) {
  kube::PodBlock ending = block("172.20.0.0/26", "b", {"10.0.0.2"});
  ending.deleted = "2026-01-01T00:00:00Z";
  EXPECT_THAT(routes(routes_to_blocks({ending}, "us")), ElementsAre("172.20.0.0/26 10.0.0.2 b"));
}

TEST(RoutesToBlocksTest, SayWhichBlocksNobodyCanReach) {
  const BlockRoutes found =
      routes_to_blocks({block("172.20.0.0/26", "b", {}), block("fd00:10::/122", "c", {"10.0.0.3"}),
                        block("172.20.3.0/26", "d", {"nowhere"}), block("fish", "e", {"10.0.0.5"})},
                       "us");
  EXPECT_THAT(routes(found), IsEmpty());
  EXPECT_THAT(found.problems, ElementsAre(AllOf(HasSubstr("block-fish"), HasSubstr("\"fish\"")),
                                          AllOf(HasSubstr("node b"), HasSubstr("172.20.0.0/26")),
                                          AllOf(HasSubstr("node c"), HasSubstr("IPv6 address")),
                                          AllOf(HasSubstr("node d"), HasSubstr("172.20.3.0/26"))));
}

TEST(RoutesToBlocksTest, DoNotLeadTheNodesOwnAddressesAstray) {
  const BlockRoutes found = routes_to_blocks(
      {block("10.0.0.0/26", "thief", {"10.0.0.2"}), block("172.20.0.0/26", "us", {"10.0.0.1"}),
       block("172.20.1.0/26", "thief", {"10.0.0.2"})},
      "us");
  EXPECT_THAT(routes(found), ElementsAre("172.20.1.0/26 10.0.0.2 thief"));
  EXPECT_THAT(found.problems, ElementsAre(AllOf(HasSubstr("10.0.0.0/26"), HasSubstr("node us"))));
}

TEST(RoutesToBlocksTest, DoNotTurnBackAndForthBetweenTwoNodesOfOneBlock) {
  const BlockRoutes found = routes_to_blocks(
      {block("172.20.0.0/26", "c", {"10.0.0.3"}), block("172.20.0.0/26", "b", {"10.0.0.2"})}, "us");
  EXPECT_THAT(routes(found), ElementsAre("172.20.0.0/26 10.0.0.2 b"));
  EXPECT_THAT(found.problems, ElementsAre(HasSubstr("claimed by node b and by node c")));
}

}  // namespace
}  // namespace podlease::pools
