// Inputs that people got wrong, each with its variations: what is refused, what is only warned of,
// and what is legal beside it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/config/net_conf.h"
#include "podlease/net/prefix.h"
#include "support.h"

namespace podlease::config {
namespace {

using std::string_view_literals::operator""sv;
using support::all_of;
using support::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string with_ipam(std::string_view ipam) {
  return R"({"cniVersion": "1.0.0", "name": "net", "ipam": )" + std::string(ipam) + "}";
}

NetConf conf_of(std::string_view text) {
  return Document::parse(text).net_conf("");
}

void expect_refused(std::string_view text, const std::vector<std::string>& mentions) {
  SCOPED_TRACE(text);
  const auto error = error_of([&] { static_cast<void>(conf_of(text)); });
  ASSERT_TRUE(error) << "accepted";
  EXPECT_EQ(error->kind(), ErrorKind::kConfig) << all_of(*error);
  EXPECT_THAT(error->what(), Not(HasSubstr("\n")));
  EXPECT_THAT(error->details(), Not(IsEmpty())) << "it does not say what to do";
  for (const std::string& mention : mentions) {
    EXPECT_THAT(error->what(), HasSubstr(mention)) << error->details();
  }
}

TEST(LeftoverTest, ASetOfWhichNothingIsLeftIsRefusedSayingWhatTakesIt) {
  struct Row {
    std::string_view ipam;
    std::vector<std::string> mentions;
  };
  const std::vector<Row> rows = {
      // By the gateway alone, the default one and a given one.
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1"})",
       {"ipam (10.1.0.1) has no address left", "gateway 10.1.0.1"}},
      {R"({"subnet": "fd00::/64", "rangeStart": "fd00::1", "rangeEnd": "fd00::1"})",
       {"ipam (fd00::1) has no address left", "gateway fd00::1"}},
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.9",
           "gateway": "10.1.0.9"})",
       {"gateway 10.1.0.9"}},
      {R"({"subnet": "10.1.0.7/32", "prefix": "host", "gateway": "10.1.0.7"})",
       {"gateway 10.1.0.7"}},
      {R"({"SUBNET": "10.1.0.0/24", "RANGESTART": "10.1.0.1", "rangeend": "10.1.0.1"})",
       {"gateway 10.1.0.1"}},
      // By `exclude` alone.
      {R"({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.0/29"]})",
       {"ipam (10.1.0.1-10.1.0.6)", "taken by ipam.exclude"}},
      {R"({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.4-10.1.0.7", "10.0.0.0-10.1.0.3"]})",
       {"ipam.exclude"}},
      {R"({"subnet": "10.1.0.0/29", "EXCLUDE": ["10.1.0.0/28"]})", {"ipam.exclude"}},
      {R"({"subnet": "10.1.0.0/29", "gateway": "none", "exclude": ["10.0.0.0/8"]})",
       {"ipam.exclude"}},
      {R"({"subnet": "fd00::/64", "exclude": ["fd00::/16"]})", {"ipam.exclude"}},
      {R"({"subnet": "10.1.0.0/31", "prefix": "host", "exclude": ["::ffff:10.1.0.0/127"]})",
       {"ipam.exclude"}},
      // By both.
      {R"({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.2-10.1.0.6"]})",
       {"ipam.exclude and gateway 10.1.0.1"}},
      {R"({"subnet": "10.1.0.0/30", "exclude": ["10.1.0.2"]})",
       {"ipam.exclude and gateway 10.1.0.1"}},
      {R"({"subnet": "fd00::/126", "exclude": ["fd00::2-fd00::3"]})",
       {"ipam.exclude and gateway fd00::1"}},
      // The second set of two, and all ranges of a set.
      {R"({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/120"}]],
           "exclude": ["fd00::/120"]})",
       {"ipam.ranges[1][0]"}},
      {R"({"ranges": [[{"subnet": "10.1.0.0/29"}, {"subnet": "10.2.0.0/29"}]],
           "exclude": ["10.0.0.0/8"]})",
       {"ipam.ranges[0][0]", "other ranges of its set"}},
      // By the gateway of another range.
      {R"({"ranges": [[{"subnet": "10.1.0.0/24", "gateway": "10.2.0.9"}],
                      [{"subnet": "10.2.0.0/24", "rangeStart": "10.2.0.9", "rangeEnd": "10.2.0.9"}]]})",
       {"ipam.ranges[1][0]", "gateway 10.2.0.9"}},
  };
  for (const Row& row : rows) {
    expect_refused(with_ipam(row.ipam), row.mentions);
  }
}

TEST(LeftoverTest, OneAddressIsEnough) {
  for (
      const std::string_view ipam :
      {R"({"subnet": "10.1.0.0/30"})"sv,
       R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.2"})"sv,
       R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1", "gateway": "none"})"sv,
       R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.1", "gateway": "10.1.0.9"})"sv,
       R"({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.3-10.1.0.255"]})"sv,
       R"({"subnet": "10.1.0.0/29", "exclude": ["10.1.0.2", "10.1.0.4-10.1.0.6"]})"sv,
       R"({"subnet": "fd00::/64", "exclude": ["fd00::/65", "fd00::8000:0:0:0-fd00::ffff:ffff:ffff:fffe"]})"sv,
       R"({"subnet": "10.1.0.7/32", "prefix": "host"})"sv,
       // The family without an address is not asked for.
       R"({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/120"}]],
            "exclude": ["fd00::/120"], "families": ["ipv4"]})"sv}) {
    const auto error = error_of([&] { static_cast<void>(conf_of(with_ipam(ipam))); });
    ASSERT_FALSE(error) << all_of(*error);
    EXPECT_THAT(conf_of(with_ipam(ipam)).warnings, IsEmpty()) << ipam;
  }
}

// A range is drained by excluding all of it.
TEST(LeftoverTest, OneRangeOfASetMayBeUsedUp) {
  const NetConf conf = conf_of(with_ipam(R"({
      "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]],
      "exclude": ["10.1.0.0/24"]})"));
  EXPECT_THAT(conf.warnings,
              ElementsAre(AllOf(HasSubstr("ipam.ranges[0][0] (10.1.0.1-10.1.0.254)"),
                                HasSubstr("no address left"), HasSubstr("ipam.exclude"))));
}

TEST(RangesFormTest, IsShownWhereAListIsMissing) {
  const std::vector<std::string> inner = {
      R"([{"subnet": "10.1.0.0/16"}])", R"(["10.1.0.0/16"])",
      R"([{"subnet": "10.1.0.0/16"}, {"subnet": "fd00::/64"}])",
      R"([[{"subnet": "10.2.0.0/16"}], {"subnet": "fd00::/64"}])"};
  for (const std::string& ranges : inner) {
    const std::string set = ranges.starts_with("[[") ? "[1]" : "[0]";
    expect_refused(with_ipam(R"({"ranges": )" + ranges + "}"),
                   {"ipam.ranges" + set, "must be a list", "[[{…}]]"});
    expect_refused(with_ipam(R"({"RANGES": )" + ranges + R"(, "mode": "static"})"),
                   {"ipam.ranges" + set, "[[{…}]]"});
    expect_refused(R"({"name": "net", "ipam": {}, "runtimeConfig": {"ipRanges": )" + ranges + "}}",
                   {"runtimeConfig.ipRanges" + set, "[[{…}]]"});
  }
  for (const std::string_view ranges : {R"({"subnet": "10.1.0.0/16"})", R"("10.1.0.0/16")", "5"}) {
    expect_refused(with_ipam(R"({"ranges": )" + std::string(ranges) + "}"),
                   {"ipam.ranges", "must be a list", "[[{…}]]"});
    expect_refused(R"({"name": "net", "ipam": {}, "runtimeConfig": {"ipRanges": )" +
                       std::string(ranges) + "}}",
                   {"runtimeConfig.ipRanges", "[[{…}]]"});
  }
}

TEST(SpecialRangeTest, IsRefusedWhereverItStands) {
  for (const std::string_view subnet :
       {"127.0.0.0/8", "127.1.0.0/24", "224.0.0.0/4", "239.1.0.0/24", "0.0.0.0/8", "0.1.0.0/24",
        "0.0.0.0/0", "128.0.0.0/1", "64.0.0.0/2", "::/64", "::/126", "::/0", "ff00::/8",
        "ff02::/64", "fe00::/7", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126"}) {
    const std::string range = R"({"subnet": ")" + std::string(subnet) + "\"}";
    expect_refused(with_ipam(range), {"ipam (", "overlaps", "no pod can have an address"});
    expect_refused(with_ipam(R"({"ranges": [[{"subnet": "10.1.0.0/24"}], [)" + range + "]]}"),
                   {"ipam.ranges[1][0] (", "overlaps"});
    expect_refused(
        R"({"name": "net", "ipam": {}, "runtimeConfig": {"ipRanges": [[)" + range + "]]}}",
        {"runtimeConfig.ipRanges[0][0] (", "overlaps"});
  }
  expect_refused(with_ipam(R"({"subnet": "255.255.255.255/32", "prefix": "host"})"), {"broadcast"});
  expect_refused(with_ipam(R"({"subnet": "255.255.255.254/31", "prefix": "host"})"), {"broadcast"});
  expect_refused(with_ipam(R"({"subnet": "::1/128", "prefix": "host"})"), {"loopback"});
  expect_refused(with_ipam(R"({"subnet": "::/128", "prefix": "host"})"), {"unspecified"});
  expect_refused(with_ipam(R"({"subnet": "126.0.0.0/7", "rangeEnd": "127.0.0.0"})"), {"loopback"});
  for (const std::string_view ipam :
       {R"({"subnet": "255.255.255.248/29"})"sv, R"({"subnet": "240.0.0.0/8"})"sv,
        R"({"subnet": "169.254.7.0/24"})"sv, R"({"subnet": "fe80::/64"})"sv,
        R"({"subnet": "1.0.0.0/8"})"sv, R"({"subnet": "126.0.0.0/7", "rangeEnd": "126.9.9.9"})"sv,
        R"({"subnet": "::10.81.0.0/120"})"sv}) {
    const auto error = error_of([&] { static_cast<void>(conf_of(with_ipam(ipam))); });
    EXPECT_FALSE(error) << all_of(*error);
  }
}

TEST(SpecialRangeTest, IsRefusedAsTheNodesCidr) {
  for (const std::string_view cidr : {"127.3.0.0/24", "224.3.0.0/24", "::/64", "ff00:3::/64"}) {
    const NodeCidr node{.cidr = *net::Prefix::parse(cidr), .origin = "Node n spec.podCIDRs[0]"};
    const std::string word = node.cidr.address().is_v4() ? "usePodCidr" : "usePodCidrIPv6";
    for (const std::string& ipam : {std::string("{}"), R"({"subnet": ")" + word + "\"}"}) {
      const Document document = Document::parse(with_ipam(ipam));
      NetConf conf = document.net_conf("");
      const auto error = error_of([&] { document.resolve(conf, {node}); });
      ASSERT_TRUE(error) << cidr << " for " << ipam;
      EXPECT_EQ(error->kind(), ErrorKind::kConfig);
      EXPECT_THAT(error->what(), HasSubstr(ipam == "{}" ? node.origin : "ipam ("));
    }
  }
}

TEST(NodeOrderTest, TheOrderOfTheCidrsIsKeptUnlessFamiliesSaysAnother) {
  const NodeCidr v4{.cidr = *net::Prefix::parse("10.4.0.0/24"), .origin = "v4"};
  const NodeCidr v6{.cidr = *net::Prefix::parse("fd00:4::/64"), .origin = "v6"};
  const auto order = [](std::string_view ipam, const std::vector<NodeCidr>& cidrs) {
    const Document document = Document::parse(with_ipam(ipam));
    NetConf conf = document.net_conf("");
    document.resolve(conf, cidrs);
    std::string paths;
    for (const RangeSet& set : conf.range_sets) {
      paths += set.ranges.front().path + " ";
    }
    return paths;
  };
  EXPECT_EQ(order("{}", {v4, v6}), "v4 v6 ");
  EXPECT_EQ(order("{}", {v6, v4}), "v6 v4 ");
  EXPECT_EQ(order(R"({"families": ["ipv4", "ipv6"]})", {v6, v4}), "v4 v6 ");
  EXPECT_EQ(order(R"({"Families": ["IPv6", "IPv4"]})", {v4, v6}), "v6 v4 ");
  EXPECT_EQ(order(R"({"families": ["ipv6"]})", {v4, v6}), "v6 ");
}

TEST(PeerKeysTest, AreNamedAsIgnored) {
  struct Row {
    std::string_view key;
    std::string_view value;
    std::string_view plugin;
  };
  const std::vector<Row> rows = {
      {"ipRanges", R"([{"range": "10.1.0.0/16"}])", "whereabouts"},
      {"IPRANGES", R"([{"range": "10.1.0.0/16"}])", "whereabouts"},
      {"addresses", R"([{"address": "10.1.0.5/16"}])", "static"},
      {"Addresses", R"([])", "static"},
      {"ipv4_pools", R"(["default"])", "calico-ipam"},
      {"ipv6_pools", R"(["default"])", "calico-ipam"},
      {"default_ipv4_ippool", R"(["default"])", "spiderpool"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.key);
    const std::string member = "\"" + std::string(row.key) + "\": " + std::string(row.value);
    const NetConf node = conf_of(with_ipam(R"({"type": "podlease", )" + member + "}"));
    EXPECT_EQ(node.mode, Mode::kKubernetes);
    EXPECT_THAT(node.warnings,
                ElementsAre(AllOf(HasSubstr("\"" + std::string(row.key) + "\""),
                                  HasSubstr(std::string(row.plugin)), HasSubstr("ignores"),
                                  HasSubstr("mode kubernetes"), HasSubstr("podCIDR"))));
    EXPECT_THAT(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", )" + member + "}")).warnings,
                ElementsAre(AllOf(HasSubstr(std::string(row.plugin)), HasSubstr("mode static"))));
    EXPECT_THAT(conf_of(with_ipam(R"({"mode": "cluster-pool", )" + member + "}")).warnings,
                ElementsAre(HasSubstr("mode cluster-pool")));
    EXPECT_THAT(conf_of(with_ipam(R"({"mode": "crd", )" + member + "}")).warnings,
                ElementsAre(HasSubstr("mode crd")));
  }
  EXPECT_THAT(conf_of(with_ipam(R"({"ipRanges": [], "addresses": [], "dns": {}})")).warnings,
              SizeIs(3));
}

// whereabouts' `range` is one letter from `ranges`: it is refused as a typing error, which also
// says whose key it is.
TEST(PeerKeysTest, RangeIsATypingErrorThatNamesWhereabouts) {
  for (const std::string_view key : {"range", "Range"}) {
    const auto error = error_of([&] {
      static_cast<void>(conf_of(with_ipam(R"({")" + std::string(key) + R"(": "10.1.0.0/16"})")));
    });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kConfig);
    EXPECT_THAT(error->what(), HasSubstr("\"ranges\" meant?"));
    EXPECT_THAT(error->details(), AllOf(HasSubstr("whereabouts"), HasSubstr("[[{")));
  }
}

// Multus in front of podlease, in the file that a runtime reads first.

constexpr std::string_view kLab =
    R"({"cniVersion": "1.0.0", "name": "lab", "type": "bridge", "bridge": "br0",
        "ipam": {"type": "podlease", "subnet": "10.1.0.0/24"}})";
constexpr std::string_view kLabList =
    R"({"cniVersion": "1.1.0", "name": "lab", "plugins": [{"type": "loopback"},
        {"type": "bridge", "bridge": "br0", "ipam": {"type": "podlease", "subnet": "10.1.0.0/24"}}]})";
constexpr std::string_view kOther =
    R"({"cniVersion": "1.0.0", "name": "other", "type": "macvlan", "ipam": {"type": "host-local"}})";

std::string multus(std::string_view members, std::string_view type = "multus") {
  return R"({"cniVersion": "0.3.1", "name": "multus-cni-network", "type": ")" + std::string(type) +
         R"(", )" + std::string(members) + "}";
}

std::string delegating(std::string_view delegates, std::string_view type = "multus") {
  return multus(R"("delegates": [)" + std::string(delegates) + "]", type);
}

// What the networks that Multus names say.
std::optional<std::string> find_lab(const std::string& network, const std::string& conf_dir) {
  if (network == "lab" && conf_dir == "/etc/cni/multus/net.d") {
    return std::string(kLabList);
  }
  return network == "/etc/cni/net.d/10-lab.conf" ? std::optional<std::string>(kLab) : std::nullopt;
}

TEST(MultusTest, ADelegateIsFoundAsItStands) {
  const std::string two = std::string(kOther) + ", " + std::string(kLab);
  for (const std::string& text :
       {delegating(kLab), delegating(two), delegating(kLab, "multus-shim"),
        R"({"name": "outer", "plugins": [)" + delegating(kLab) + "]}"}) {
    SCOPED_TRACE(text);
    const std::optional<Document> found = Document::find_in_file(text);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->says_the_same_as(Document::parse(kLab)));
    EXPECT_EQ(found->essentials().name, "lab");
    EXPECT_EQ(found->essentials().cni_version, "1.0.0");
    EXPECT_EQ(found->main_plugin().device, "br0");
    EXPECT_TRUE(Document::parse_file(text).says_the_same_as(*found));
  }
}

TEST(MultusTest, ADelegatedListHasItsOwnNameAndVersion) {
  const std::optional<Document> found = Document::find_in_file(delegating(kLabList));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->essentials().name, "lab");
  EXPECT_EQ(found->essentials().cni_version, "1.1.0");
  EXPECT_EQ(found->main_plugin().device, "br0");
}

// Multus hands a delegate on without a name, and podlease refuses that as a runtime's.
TEST(MultusTest, ADelegateWithoutANameGetsNone) {
  const std::optional<Document> found = Document::find_in_file(
      delegating(R"({"type": "bridge", "ipam": {"type": "podlease", "subnet": "10.1.0.0/24"}})"));
  ASSERT_TRUE(found);
  const auto error = error_of([&] { static_cast<void>(found->essentials()); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("name"));
}

TEST(MultusTest, NamedNetworksAreLookedInto) {
  for (
      const std::string_view members :
      {R"("clusterNetwork": "/etc/cni/net.d/10-lab.conf")"sv,
       R"("clusterNetwork": "lab", "confDir": "/etc/cni/multus/net.d")"sv,
       R"("clusterNetwork": "unknown", "defaultNetworks": ["more", "/etc/cni/net.d/10-lab.conf"])"sv}) {
    SCOPED_TRACE(members);
    const std::optional<Document> found = Document::find_in_file(multus(members), find_lab);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->essentials().name, "lab");
    EXPECT_EQ(found->main_plugin().device, "br0");
    EXPECT_FALSE(Document::find_in_file(multus(members))) << "nobody could find the networks";
  }
}

TEST(MultusTest, WhatMultusDoesNotDelegateToIsNotFound) {
  const std::string beside = R"("delegates": [)" + std::string(kLab) + "]";
  for (const std::string& text :
       {delegating(kOther), delegating(""), multus(R"("clusterNetwork": "lab")"),
        // Multus ignores its delegates beside a cluster network.
        multus(R"("clusterNetwork": "elsewhere", )" + beside),
        // Not Multus, whatever the key means there.
        delegating(kLab, "genie"),
        // Multus does not delegate to itself.
        delegating(delegating(kLab))}) {
    EXPECT_FALSE(Document::find_in_file(text, find_lab)) << text;
  }
}

TEST(MultusTest, MalformedDelegatesAreNamed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {multus(R"("delegates": {"name": "lab"})"), "delegates"},
      {delegating(R"("lab")"), "delegates[0]"},
      {multus(R"("clusterNetwork": 7)"), "clusterNetwork"},
      {multus(R"("clusterNetwork": "lab", "defaultNetworks": [["x"]])"), "defaultNetworks[0]"}};
  for (const auto& row : rows) {
    const auto& text = row.first;
    const auto error = error_of([&] { static_cast<void>(Document::find_in_file(text, find_lab)); });
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->kind(), ErrorKind::kConfig);
    EXPECT_THAT(error->what(), HasSubstr(row.second)) << text;
  }
}

TEST(MultusTest, AFileWithoutPodleaseIsRefusedByName) {
  const auto error = error_of([] { static_cast<void>(Document::parse_file(delegating(kOther))); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("contains no plugin whose ipam.type is podlease"));
}

TEST(MultusTest, TheOrderOfKeysMakesNoDifference) {
  const Document one = Document::parse(R"({"name": "a", "ipam": {"x": 1, "y": [1, 2]}})");
  EXPECT_TRUE(
      one.says_the_same_as(Document::parse(R"({"ipam": {"y": [1, 2], "x": 1}, "name": "a"})")));
  EXPECT_FALSE(
      one.says_the_same_as(Document::parse(R"({"ipam": {"y": [2, 1], "x": 1}, "name": "a"})")));
}

}  // namespace
}  // namespace podlease::config
