// From the JSON of a configuration to what may be leased, as a user would write it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fakes.h"
#include "podlease/config/net_conf.h"
#include "podlease/pools/static_source.h"

namespace podlease::pools {
namespace {

using fakes::address;
using fakes::range;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Offer offer_of(const std::string& ipam) {
  const config::NetConf conf =
      config::Document::parse(R"({"cniVersion":"1.0.0","name":"net","ipam":)" + ipam + "}")
          .net_conf("");
  return StaticSource(conf).offer();
}

std::vector<std::string> texts(const net::IntervalSet& set) {
  std::vector<std::string> texts;
  std::transform(set.ranges().begin(), set.ranges().end(), std::back_inserter(texts),
                 [](const net::Range& range) { return range.to_string(); });
  return texts;
}

// SET.RANGE: what is usable there.
std::vector<std::string> usable(const Offer& offer) {
  std::vector<std::string> lines;
  for (std::size_t set = 0; set < offer.sets.size(); ++set) {
    for (const PoolRange& range : offer.sets[set].ranges) {
      std::string line = std::to_string(set) + ":";
      for (const std::string& text : texts(range.usable)) {
        line += " " + text;
      }
      lines.push_back(line);
    }
  }
  return lines;
}

TEST(StaticSourceTest, OffersTheSubnetLessNetworkBroadcastAndGateway) {
  const Offer offer = offer_of(R"({"subnet": "10.1.0.0/24"})");
  EXPECT_EQ(offer.source, "static");
  EXPECT_THAT(usable(offer), ElementsAre("0: 10.1.0.2-10.1.0.254"));
  const PoolRange& only = offer.sets.front().ranges.front();
  EXPECT_EQ(only.range, range("10.1.0.1-10.1.0.254"));
  EXPECT_EQ(only.gateway, address("10.1.0.1"));
  EXPECT_EQ(only.answer_length, 24);
  EXPECT_EQ(only.subnet, fakes::prefix("10.1.0.0/24"));
}

TEST(StaticSourceTest, NamesEachRangeByItsPlaceInTheConfiguration) {
  const Offer offer = offer_of(R"({
    "subnet": "10.9.0.0/24",
    "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}], [{"subnet": "fd00::/64"}]]})");
  std::vector<std::string> names;
  for (const PoolRangeSet& set : offer.sets) {
    for (const PoolRange& one : set.ranges) {
      names.push_back(one.name);
    }
  }
  EXPECT_THAT(names,
              ElementsAre("ipam", "ipam.ranges[0][0]", "ipam.ranges[0][1]", "ipam.ranges[1][0]"));
}

TEST(StaticSourceTest, KeepsTheOrderOfSetsAndRanges) {
  const Offer offer = offer_of(R"({"ranges": [
    [{"subnet": "10.9.0.0/29"}, {"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125"}],
    [{"subnet": "10.5.0.0/29", "rangeStart": "10.5.0.4", "rangeEnd": "10.5.0.5"}]]})");
  EXPECT_THAT(usable(offer), ElementsAre("0: 10.9.0.2-10.9.0.6", "0: 10.1.0.2-10.1.0.6",
                                         "1: fd00::2-fd00::7", "2: 10.5.0.4-10.5.0.5"));
  EXPECT_EQ(offer.sets[0].to_string(), "10.9.0.1-10.9.0.6,10.1.0.1-10.1.0.6");
  EXPECT_EQ(offer.sets[1].family(), net::Family::kIpv6);
}

TEST(StaticSourceTest, CutsExclusionsOutOfEveryRange) {
  EXPECT_THAT(usable(offer_of(R"({
    "ranges": [[{"subnet": "10.1.0.0/28"}, {"subnet": "10.2.0.0/28"}], [{"subnet": "fd00::/124"}]],
    "exclude": ["10.1.0.4", "10.1.0.8/29", "10.1.0.14-10.2.0.3", "fd00::/125", "192.168.0.0/16"]})")),
              ElementsAre("0: 10.1.0.2-10.1.0.3 10.1.0.5-10.1.0.7", "0: 10.2.0.4-10.2.0.14",
                          "1: fd00::8-fd00::f"));
}

TEST(StaticSourceTest, MayOfferNothingOfARange) {
  const Offer offer = offer_of(R"({"subnet": "10.1.0.0/24", "exclude": ["10.0.0.0/8"]})");
  EXPECT_THAT(texts(offer.sets[0].ranges[0].usable), IsEmpty());
  EXPECT_EQ(offer.sets[0].ranges[0].range.size(), 254U);
}

TEST(StaticSourceTest, LeavesOutAGatewayInTheMiddle) {
  EXPECT_THAT(usable(offer_of(R"({"subnet": "10.1.0.0/28", "gateway": "10.1.0.7"})")),
              ElementsAre("0: 10.1.0.1-10.1.0.6 10.1.0.8-10.1.0.14"));
}

TEST(StaticSourceTest, LeavesOutTheGatewayOfAnotherRangeToo) {
  // Pods of either range are on one link: the gateway of one is nobody's address in the other.
  EXPECT_THAT(
      usable(offer_of(R"({"ranges": [
    [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.19"},
     {"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9", "gateway": "10.1.0.15"}],
    [{"subnet": "10.2.0.0/24", "rangeStart": "10.2.0.100", "rangeEnd": "10.2.0.109"}],
    [{"subnet": "10.2.0.0/24", "rangeEnd": "10.2.0.3", "gateway": "10.2.0.105"}]]})")),
      ElementsAre("0: 10.1.0.10-10.1.0.14 10.1.0.16-10.1.0.19", "0: 10.1.0.2-10.1.0.9",
                  "1: 10.2.0.100-10.2.0.104 10.2.0.106-10.2.0.109", "2: 10.2.0.2-10.2.0.3"));
}

TEST(StaticSourceTest, OffersAllAddressesWithoutAGateway) {
  EXPECT_THAT(usable(offer_of(R"({"subnet": "10.1.0.0/29", "gateway": "none"})")),
              ElementsAre("0: 10.1.0.1-10.1.0.6"));
  EXPECT_EQ(offer_of(R"({"subnet": "10.1.0.0/29", "gateway": "none"})").sets[0].ranges[0].gateway,
            std::nullopt);
}

TEST(StaticSourceTest, PrefixHostOffersEveryAddressAsARouteToOne) {
  for (const auto& [subnet, expected, length] :
       {std::tuple{"10.1.0.0/30", "0: 10.1.0.0-10.1.0.3", 32},
        std::tuple{"10.1.0.0/31", "0: 10.1.0.0-10.1.0.1", 32},
        std::tuple{"10.1.0.7/32", "0: 10.1.0.7", 32},
        std::tuple{"fd00::/126", "0: fd00::-fd00::3", 128},
        std::tuple{"fd00::1/128", "0: fd00::1", 128}}) {
    const Offer offer = offer_of(std::string(R"({"prefix": "host", "subnet": ")") + subnet + "\"}");
    EXPECT_THAT(usable(offer), ElementsAre(expected)) << subnet;
    EXPECT_EQ(offer.sets[0].ranges[0].answer_length, length) << subnet;
    EXPECT_EQ(offer.sets[0].ranges[0].gateway, std::nullopt) << subnet;
  }
}

TEST(StaticSourceTest, ExplicitBoundsMayIncludeTheEndsOfTheSubnet) {
  EXPECT_THAT(usable(offer_of(R"({"subnet": "10.1.0.0/29", "rangeStart": "10.1.0.0",
                                  "rangeEnd": "10.1.0.7"})")),
              ElementsAre("0: 10.1.0.0 10.1.0.2-10.1.0.7"));
}

TEST(PoolRangeSetTest, FindsTheRangeOfAnAddressUsableOrNot) {
  const Offer offer = offer_of(R"({"ranges": [
    [{"subnet": "10.9.0.0/29"}, {"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125"}]],
    "exclude": ["10.1.0.3"]})");
  const PoolRangeSet& first = offer.sets[0];
  EXPECT_EQ(first.range_of(address("10.9.0.1")), &first.ranges[0]);  // its gateway
  EXPECT_EQ(first.range_of(address("10.1.0.3")), &first.ranges[1]);  // excluded
  EXPECT_EQ(first.range_of(address("10.9.0.0")), nullptr);
  EXPECT_EQ(first.range_of(address("10.9.0.7")), nullptr);
  EXPECT_EQ(first.range_of(address("fd00::3")), nullptr);
  EXPECT_EQ(offer.range_of(address("fd00::3")), &offer.sets[1].ranges[0]);
  EXPECT_EQ(offer.range_of(address("::ffff:10.9.0.3")), nullptr);
  EXPECT_EQ(offer.range_of(address("10.3.0.0")), nullptr);
}

}  // namespace
}  // namespace podlease::pools
