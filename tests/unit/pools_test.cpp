// From the JSON of a configuration to what may be leased, as a user would write it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fakes.h"
#include "podlease/config/net_conf.h"
#include "podlease/pools/api_budget.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/node_source.h"
#include "podlease/pools/static_source.h"
#include "support.h"

namespace podlease::pools {
namespace {

using fakes::address;
using fakes::range;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
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
  EXPECT_THAT(usable(offer), ElementsAre("0: 10.1.0.2-10.1.0.254"));
  const PoolRange& only = offer.sets.front().ranges.front();
  EXPECT_EQ(only.source, "static");
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
  EXPECT_EQ(offer.sets[1].family, net::Family::kIpv6);
}

TEST(StaticSourceTest, CutsExclusionsOutOfEveryRange) {
  EXPECT_THAT(usable(offer_of(R"({
    "ranges": [[{"subnet": "10.1.0.0/28"}, {"subnet": "10.2.0.0/28"}], [{"subnet": "fd00::/124"}]],
    "exclude": ["10.1.0.4", "10.1.0.8/29", "10.1.0.14-10.2.0.3", "fd00::/125", "192.168.0.0/16"]})")),
              ElementsAre("0: 10.1.0.2-10.1.0.3 10.1.0.5-10.1.0.7", "0: 10.2.0.4-10.2.0.14",
                          "1: fd00::8-fd00::f"));
}

TEST(StaticSourceTest, MayOfferNothingOfARange) {
  const Offer offer =
      offer_of(R"({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "11.1.0.0/24"}]],
                                   "exclude": ["10.0.0.0/8"]})");
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

// A cluster that answers as it is told, and counts.
class FakeCluster final : public NodeReader {
 public:
  [[nodiscard]] Readings read(const Wanted& wanted) const override {
    ++asked;
    Readings readings{.server = server, .node = node};
    if (wanted.cilium_node) {
      readings.cilium_node = cilium_node;
    }
    return readings;
  }

  void fail(const std::string& message) {
    node = {.object = std::nullopt, .failure = Error(ErrorKind::kBusy, message, "wait")};
  }
  void lose() {
    fail("Node worker does not exist");
    node.gone = true;
  }

  std::string server = "api.example";
  Reading<kube::Node> node;
  Reading<kube::CiliumNode> cilium_node;
  mutable int asked = 0;
};

// A node whose configuration is `ipam`, with a store of its own.
class NodeSourceTest : public ::testing::Test {
 protected:
  NodeSourceTest() {
    worker.name = "worker";
    worker.uid = "uid-1";
    cilium.name = "worker";
  }

  void configure(const std::string& ipam) {
    source_.reset();
    objects_.reset();
    document_ = std::make_unique<config::Document>(
        config::Document::parse(R"({"cniVersion":"1.0.0","name":"net","ipam":)" + ipam + "}"));
    conf_ = document_->net_conf("");
    objects_ =
        std::make_unique<NodeObjects>(NodeObjects::Options{.store = options(),
                                                           .timeout = conf_.kubernetes.timeout,
                                                           .refresh = conf_.kubernetes.refresh,
                                                           .key = "worker",
                                                           .with_cilium_node = true,
                                                           .recording = recording},
                                      cluster, clock, log_, [this] { return boot; });
    if (conf_.mode == config::Mode::kCrd) {
      source_ = std::make_unique<CrdSource>(conf_, *objects_, "default/web-0");
    } else {
      source_ = std::make_unique<NodeSource>(*document_, conf_, *objects_);
    }
  }

  Knowledge consult() {
    store::Store store = store::Store::open(options());
    store::Transaction transaction = store.begin();
    return source_->consult(transaction, {.at = clock.now(), .boot_id = boot});
  }

  // What an ADD does: asks once where that is called for.
  Knowledge learn() {
    Knowledge knowledge = consult();
    if (knowledge.stale) {
      source_->refresh(knowledge.offer() == nullptr);
      knowledge = consult();
    }
    return knowledge;
  }

  // As `learn`, with the cluster's objects as they are now.
  Knowledge learn(const std::string& ipam) {
    cluster.node.object = worker;
    cluster.cilium_node.object = cilium;
    configure(ipam);
    return learn();
  }

  static std::string text(const Knowledge& knowledge) {
    if (const Offer* const offer = knowledge.offer()) {
      std::string text;
      for (const std::string& line : usable(*offer)) {
        text += (text.empty() ? "" : "; ") + line;
      }
      return text;
    }
    const Error& error = std::get<Error>(knowledge.answer);
    return support::all_of(error);
  }

  [[nodiscard]] store::Store::Options options() const {
    return {.folder = folder_.path() / "store", .registry = folder_.path() / "stores"};
  }

  FakeCluster cluster;
  kube::Node worker;
  kube::CiliumNode cilium;
  fakes::FakeClock clock;
  std::string boot = "boot-1";
  bool recording = true;

 private:
  fakes::TempFolder folder_;
  Log log_{clock};
  std::unique_ptr<config::Document> document_;
  config::NetConf conf_;
  std::unique_ptr<NodeObjects> objects_;
  std::unique_ptr<Source> source_;
};

TEST_F(NodeSourceTest, SpecBeatsAnnotationFamilyByFamily) {
  worker.annotations["network.cilium.io/ipv4-pod-cidr"] = "10.9.0.0/24";
  worker.annotations["io.cilium.network.ipv6-pod-cidr"] = "fd00:9::/120";
  worker.pod_cidrs = {"10.244.1.0/29"};
  worker.pod_cidr = "10.77.0.0/24";
  const Knowledge knowledge = learn("{}");
  EXPECT_EQ(text(knowledge), "0: 10.244.1.2-10.244.1.6; 1: fd00:9::2-fd00:9::ff");
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[0].name, "Node worker spec.podCIDRs[0]");
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[0].source, "node spec");
  EXPECT_EQ(knowledge.offer()->sets[1].ranges[0].source, "node annotation");
  EXPECT_EQ(text(learn(R"({"kubernetes": {"sources": ["annotation", "spec"]}})")),
            "0: 10.9.0.2-10.9.0.254; 1: fd00:9::2-fd00:9::ff");
  worker.pod_cidrs.clear();
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn(R"({"families": ["ipv4"]})")), "0: 10.77.0.2-10.77.0.254");
}

TEST_F(NodeSourceTest, HonoursEveryAnnotationAndPassesOverWhatIsNoCidr) {
  struct Row {
    std::map<std::string, std::string> annotations;
    std::string offer;
  };
  const std::vector<Row> rows{
      {{{"network.cilium.io/ipv4-pod-cidr", "10.1.0.0/29"},
        {"io.cilium.network.ipv4-pod-cidr", "10.2.0.0/29"}},
       "0: 10.1.0.2-10.1.0.6"},
      {{{"network.cilium.io/ipv4-pod-cidr", "nonsense"},
        {"io.cilium.network.ipv4-pod-cidr", "10.2.0.0/29"}},
       "0: 10.2.0.2-10.2.0.6"},
      {{{"network.cilium.io/ipv6-pod-cidr", "fd00::/125"}}, "0: fd00::2-fd00::7"},
      {{{"kube-router.io/pod-cidr", "10.3.0.0/29"}}, "0: 10.3.0.2-10.3.0.6"},
      {{{"kube-router.io/pod-cidrs", "10.4.0.0/29, fd00:4::/125"},
        {"kube-router.io/pod-cidr", "10.3.0.0/29"}},
       "0: 10.4.0.2-10.4.0.6; 1: fd00:4::2-fd00:4::7"},
      {{{"network.cilium.io/ipv4-pod-cidr", "10.1.0.5/29"}}, "0: 10.1.0.2-10.1.0.6"},  // masked
  };
  for (const Row& row : rows) {
    worker.annotations = row.annotations;
    clock.pass(Milliseconds(61'000));
    EXPECT_EQ(text(learn("{}")), row.offer);
  }
}

// The first podCIDR is of the cluster's primary family.
TEST_F(NodeSourceTest, ServesTheFamiliesInTheOrderOfThePodCidrs) {
  const std::string v4_first = "0: 10.4.0.2-10.4.0.6; 1: fd00:4::2-fd00:4::7";
  const std::string v6_first = "0: fd00:4::2-fd00:4::7; 1: 10.4.0.2-10.4.0.6";
  worker.pod_cidrs = {"10.4.0.0/29", "fd00:4::/125"};
  EXPECT_EQ(text(learn("{}")), v4_first);
  worker.pod_cidrs = {"fd00:4::/125", "10.4.0.0/29"};
  worker.pod_cidr = "fd00:4::/125";
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn("{}")), v6_first);
  EXPECT_EQ(text(learn(R"({"families": ["ipv4", "ipv6"]})")), v4_first);
  EXPECT_EQ(text(learn(R"({"families": ["ipv6", "ipv4"]})")), v6_first);
  EXPECT_EQ(text(learn(R"({"families": ["ipv4"]})")), "0: 10.4.0.2-10.4.0.6");
  // Static ranges have an order of their own.
  EXPECT_EQ(text(learn(R"({"ranges": [[{"subnet": "usePodCidr"}],
                                      [{"subnet": "usePodCidrIPv6"}]]})")),
            v4_first);
  worker.pod_cidrs = {"fd00:4::/125", "fd00:5::/125", "10.4.0.0/29"};
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn("{}")), v6_first);
  worker.pod_cidrs.clear();
  worker.pod_cidr.clear();
  worker.annotations["kube-router.io/pod-cidrs"] = "fd00:4::/125,10.4.0.0/29";
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn("{}")), v6_first);
  worker.pod_cidrs = {"fd00:4::/125"};
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn("{}")), v6_first);
  cilium.pod_cidrs = {"fd00:4::/125", "10.4.0.0/29"};
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn(R"({"kubernetes": {"sources": ["ciliumnode"]}})")), v6_first);
}

TEST_F(NodeSourceTest, RefusesACidrWhereNoPodCanHaveAnAddress) {
  for (const std::string_view cidr : {"127.4.0.0/24", "224.0.1.0/24", "0.4.0.0/24", "::/64",
                                      "ff00:4::/64", "255.255.255.255/32"}) {
    worker.pod_cidrs = {std::string(cidr)};
    clock.pass(Milliseconds(61'000));
    const Knowledge knowledge = learn("{}");
    ASSERT_EQ(knowledge.offer(), nullptr) << cidr;
    EXPECT_EQ(std::get<Error>(knowledge.answer).kind(), ErrorKind::kConfig) << cidr;
    EXPECT_THAT(text(knowledge), HasSubstr("Node worker spec.podCIDRs[0]"));
  }
  worker.pod_cidrs = {"10.4.0.0/29", "127.4.0.0/24"};  // the second IPv4 CIDR is not used
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn("{}")), "0: 10.4.0.2-10.4.0.6");
}

TEST_F(NodeSourceTest, RefusesACidrOfWhichNothingIsLeft) {
  worker.pod_cidrs = {"10.4.0.0/29"};
  const Knowledge knowledge = learn(R"({"exclude": ["10.4.0.0/28"]})");
  ASSERT_EQ(knowledge.offer(), nullptr);
  EXPECT_EQ(std::get<Error>(knowledge.answer).kind(), ErrorKind::kConfig);
  EXPECT_THAT(text(knowledge),
              AllOf(HasSubstr("Node worker spec.podCIDRs[0]"), HasSubstr("ipam.exclude")));
  EXPECT_EQ(text(learn(R"({"exclude": ["10.4.0.2-10.4.0.5"]})")), "0: 10.4.0.6");
}

TEST_F(NodeSourceTest, SaysWhereItLookedForACidr) {
  worker.annotations["network.cilium.io/ipv4-pod-cidr"] = "10.300.0.0/24";
  const Knowledge knowledge = learn("{}");
  EXPECT_EQ(std::get<Error>(knowledge.answer).kind(), ErrorKind::kBusy);
  EXPECT_THAT(text(knowledge),
              AllOf(HasSubstr("Node worker has no podCIDR"),
                    HasSubstr("Node worker spec.podCIDR (not set)"), HasSubstr("it is no CIDR"),
                    HasSubstr("--allocate-node-cidrs")));
  EXPECT_THAT(knowledge.warnings, Contains(HasSubstr("\"10.300.0.0/24\" is no CIDR")));
  worker.pod_cidr = "10.244.1.0/29";
  clock.pass(Milliseconds(1'000));  // long before the refresh: what helped nobody is asked again
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
  EXPECT_THAT(text(learn(R"({"families": ["ipv4", "ipv6"]})")),
              HasSubstr("Node worker has no podCIDR of ipv6"));
}

TEST_F(NodeSourceTest, LeavesOutWhatCiliumKeepsForItself) {
  worker.pod_cidr = "10.244.1.0/29";
  worker.annotations["network.cilium.io/ipv4-cilium-host"] = "10.244.1.3";
  worker.annotations["network.cilium.io/ipv4-Ingress-ip"] = "10.244.1.5";
  worker.annotations["io.cilium.network.ipv4-health-ip"] = "10.244.1.6";
  worker.annotations["network.cilium.io/ipv6-health-ip"] = "x";
  const Knowledge knowledge = learn("{}");
  EXPECT_EQ(text(knowledge), "0: 10.244.1.2 10.244.1.4");
  EXPECT_THAT(knowledge.offer()->why_not_usable(address("10.244.1.3")),
              HasSubstr("cilium_host of this node"));
  EXPECT_THAT(knowledge.warnings, Contains(HasSubstr("ipv6-health-ip \"x\" is no address")));
}

TEST_F(NodeSourceTest, UsePodCidrTakesTheNodesInsideStaticRanges) {
  worker.pod_cidr = "10.244.1.0/29";
  const Knowledge knowledge = learn(R"({"ranges": [[{"subnet": "usePodCidr"},
                                                    {"subnet": "10.9.0.0/30"}]]})");
  EXPECT_EQ(text(knowledge), "0: 10.244.1.2-10.244.1.6; 0: 10.9.0.2");
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[0].source, "node spec");
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[1].source, "static");
  clock.pass(Milliseconds(1'000));
  EXPECT_THAT(text(learn(R"({"subnet": "usePodCidrIPv6"})")), HasSubstr("no podCIDR of ipv6"));
}

TEST_F(NodeSourceTest, ACiliumNodeIsASourceWhereItIsNamed) {
  worker.pod_cidr = "10.244.1.0/29";
  cilium.pod_cidrs = {"10.8.0.0/29"};
  cilium.allocated = {{.pool = "default", .cidrs = {"10.7.0.0/29"}},
                      {.pool = "blue", .cidrs = {"10.6.0.0/29"}}};
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
  EXPECT_EQ(text(learn(R"({"kubernetes": {"sources": ["ciliumnode", "spec"]}})")),
            "0: 10.8.0.2-10.8.0.6");
  cilium.pod_cidrs.clear();
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn(R"({"pool": "blue", "kubernetes": {"sources": ["ciliumnode"]}})")),
            "0: 10.6.0.2-10.6.0.6");
}

TEST_F(NodeSourceTest, LongMasksAreAcceptedWithAWarning) {
  worker.pod_cidr = "10.244.1.4/31";
  const Knowledge knowledge = learn("{}");
  EXPECT_EQ(text(knowledge), "0: 10.244.1.4-10.244.1.5");
  EXPECT_THAT(knowledge.warnings, Contains(HasSubstr("10.244.1.4/31")));
}

TEST_F(NodeSourceTest, ReadsTheNodeAgainWhenTheMemoryIsOlderThanTheRefresh) {
  worker.pod_cidr = "10.244.1.0/29";
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
  clock.pass(Milliseconds(59'999));
  worker.pod_cidr = "10.244.2.0/29";
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
  EXPECT_EQ(cluster.asked, 1);
  clock.pass(Milliseconds(1));
  EXPECT_EQ(text(learn("{}")), "0: 10.244.2.2-10.244.2.6");
  EXPECT_EQ(cluster.asked, 2);
  boot = "boot-2";  // nobody knows how long the machine was off
  EXPECT_EQ(text(learn("{}")), "0: 10.244.2.2-10.244.2.6");
  EXPECT_EQ(cluster.asked, 3);
}

TEST_F(NodeSourceTest, GoesOnWithWhatItKnowsWhileTheApiIsDown) {
  worker.pod_cidr = "10.244.1.0/29";
  static_cast<void>(learn("{}"));
  clock.pass(Milliseconds(60'000));
  cluster.fail("connection refused");
  const Knowledge knowledge = learn();
  EXPECT_EQ(text(knowledge), "0: 10.244.1.2-10.244.1.6");
  EXPECT_THAT(knowledge.warnings,
              Contains(AllOf(HasSubstr("as of"), HasSubstr("connection refused"))));
  EXPECT_FALSE(knowledge.stale);  // one attempt for each refresh
  EXPECT_EQ(cluster.asked, 2);
}

TEST_F(NodeSourceTest, TellsWhyNothingIsKnown) {
  configure("{}");
  EXPECT_TRUE(consult().stale);
  cluster.fail("connection refused");
  const Knowledge knowledge = learn();
  EXPECT_EQ(text(knowledge), "connection refused | wait");
  EXPECT_FALSE(knowledge.stale);  // who comes now need not ask again
  clock.pass(Milliseconds(1'000));
  EXPECT_TRUE(consult().stale);
}

TEST_F(NodeSourceTest, ANodeThatIsGoneGivesNothingMore) {
  worker.pod_cidr = "10.244.1.0/29";
  static_cast<void>(learn("{}"));
  clock.pass(Milliseconds(60'000));
  cluster.lose();
  EXPECT_THAT(text(learn()), HasSubstr("Node worker does not exist"));
  clock.pass(Milliseconds(60'000));
  cluster.fail("connection refused");
  EXPECT_THAT(text(learn()), HasSubstr("connection refused"));
  EXPECT_EQ(text(learn("{}")).substr(0, 18), "connection refused");  // asked a moment ago
  clock.pass(Milliseconds(1'000));
  cluster.node = {};
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
}

TEST_F(NodeSourceTest, WithoutRecordingNothingIsWritten) {
  worker.pod_cidr = "10.244.1.0/29";
  recording = false;
  EXPECT_EQ(text(learn("{}")), "0: 10.244.1.2-10.244.1.6");
  recording = true;
  configure("{}");
  EXPECT_TRUE(consult().stale);
}

TEST_F(NodeSourceTest, OffersTheApiServersAddressToNobody) {
  worker.pod_cidr = "10.244.1.0/29";
  cluster.server = "10.244.1.5";
  EXPECT_EQ(learn("{}").offer()->beyond.at(0).address, address("10.244.1.5"));
}

TEST_F(NodeSourceTest, CrdOffersSingleAddressesAndHonoursTheirOwners) {
  cilium.pool = {{"10.8.0.9", ""}, {"10.8.0.5", ""}, {"10.8.0.7", "default/web-1"}, {"x", ""}};
  const Knowledge knowledge = learn(R"({"mode": "crd"})");
  EXPECT_EQ(text(knowledge), "0: 10.8.0.5 10.8.0.9");
  EXPECT_EQ(knowledge.offer()->sets[0].ranges[0].answer_length, 32);
  EXPECT_THAT(knowledge.offer()->why_not_usable(address("10.8.0.7")),
              HasSubstr("pinned to default/web-1"));
  EXPECT_THAT(knowledge.warnings, ElementsAre(HasSubstr("\"x\" is no address")));
  cilium.pool["127.0.0.7"] = "";
  clock.pass(Milliseconds(61'000));
  const Knowledge with_loopback = learn(R"({"mode": "crd"})");
  EXPECT_EQ(text(with_loopback), "0: 10.8.0.5 10.8.0.9");
  EXPECT_THAT(with_loopback.warnings, Contains(HasSubstr("127.0.0.7 overlaps 127.0.0.0/8")));
  cilium.pool.erase("127.0.0.7");
  cilium.pool["10.8.0.7"] = "default/web-0";
  clock.pass(Milliseconds(61'000));
  EXPECT_EQ(text(learn(R"({"mode": "crd"})")), "0: 10.8.0.7");
  EXPECT_THAT(text(learn(R"({"mode": "crd", "families": ["ipv6"]})")),
              HasSubstr("CiliumNode worker spec.ipam.pool holds no ipv6 address"));
}

TEST(RefuseForeignTest, OnlyWhereAllThreeIdsAreKnownAndDiffer) {
  const kube::Node node{.name = "n", .machine_id = "m", .system_uuid = "AB-1", .boot_id = "b"};
  const auto refused = [&](const Machine& machine) {
    return support::error_of([&] { refuse_foreign(node, machine); });
  };
  const auto error = refused({.machine_id = "other", .system_uuid = "other", .boot_id = "other"});
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kConfig);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("machineID is m"), HasSubstr("is other")));
  EXPECT_FALSE(refused({.machine_id = "m", .system_uuid = "other", .boot_id = "other"}));
  EXPECT_FALSE(refused({.machine_id = "other", .system_uuid = "ab-1", .boot_id = "other"}));
  EXPECT_FALSE(refused({.machine_id = "other", .system_uuid = "other", .boot_id = "b"}));
  EXPECT_FALSE(refused({.machine_id = "other", .system_uuid = "", .boot_id = "other"}));
}

}  // namespace
TEST(ApiBudgetTest, PartsOfTheWorkShareIt) {
  constexpr Milliseconds kTotal{3'600'000};
  constexpr Milliseconds kTaken{20};
  ApiBudget budget(kTotal);
  const auto left = [&] {
    const ApiBudget::Part part(budget);
    return part.deadline() - std::chrono::steady_clock::now();
  };
  const auto work = [&](Milliseconds time) {
    const ApiBudget::Part part(budget);
    std::this_thread::sleep_for(time);
  };
  EXPECT_GT(left(), Milliseconds(0));
  work(kTaken);
  EXPECT_LE(left(), kTotal - kTaken);
  work(kTaken);
  EXPECT_LE(left(), kTotal - 2 * kTaken);
  ApiBudget small(kTaken);
  {
    const ApiBudget::Part all(small);
    std::this_thread::sleep_for(2 * kTaken);
  }
  const auto end = ApiBudget::Part(small).deadline();
  EXPECT_LE(end, std::chrono::steady_clock::now());
}

}  // namespace podlease::pools
