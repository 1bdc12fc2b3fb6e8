// Whose address it is (FACTS, section 2): a network's name is not the wire that its pods are on.

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

using ::testing::AnyOf;

const Wiring kBridge0{.type = "bridge", .device = "cni0"};
const Wiring kBridge1{.type = "bridge", .device = "cni1"};
const Wiring kUnknown{.type = "sriov", .device = "ens1f0"};

class WiresTest : public LeasesTest {
 protected:
  // ADD in a network on a wire.
  std::string add_in(const std::string& name, const Wiring& wiring, const std::string& container,
                     const std::vector<std::string>& requested = {}) {
    network = name;
    own_wiring = wiring;
    return add(container, requested);
  }
};

TEST_F(WiresTest, ARenamedNetworkKeepsOffItsFormerPodsAddresses) {
  ASSERT_EQ(add_in("old", kBridge0, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in("old", kBridge0, "b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("new", kBridge0, "c"), "10.1.0.4/29 untouched");
  EXPECT_EQ(thrown_by([&] { add_in("new", kBridge0, "d", {"10.1.0.2"}); }).kind,
            ErrorKind::kAddressTaken);
  EXPECT_EQ(fill(), 2);
  EXPECT_EQ(refusal("d").kind, ErrorKind::kExhausted);
}

TEST_F(WiresTest, WhatWasFreedUnderTheFormerNameCools) {
  ASSERT_EQ(add_in("old", kBridge0, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in("old", kBridge0, "b"), "10.1.0.3/29 untouched");
  ASSERT_EQ(del("a"), std::vector<std::string>{"10.1.0.2"});
  for (const char* const container : {"c", "e", "f"}) {
    EXPECT_THAT(add_in("new", kBridge0, container), HasSubstr("untouched"));
  }
  clock.pass(5s);
  EXPECT_EQ(add("d"), "10.1.0.2/29 pressed") << "it was freed 5 s ago";
}

TEST_F(WiresTest, DeadPodsOfTheFormerNameMakeRoom) {
  network = "old";
  own_wiring = kBridge0;
  ASSERT_EQ(fill(), 5);
  network = "new";
  for (const char* const container : {"c1", "c2"}) {
    host.end(netns_of(container));
  }
  clock.pass(2s);
  EXPECT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  clock.pass(60s);
  EXPECT_EQ(add("x"), "10.1.0.2/29 cooled");
  EXPECT_EQ(add("y"), "10.1.0.3/29 cooled");
  EXPECT_EQ(refusal("z").kind, ErrorKind::kExhausted) << "the others live";
  host.reboot();
  clock.reboot();
  for (const char* const container : {"v", "w", "x", "y", "z"}) {
    EXPECT_THAT(add(container), AnyOf(HasSubstr("cooled"), HasSubstr("returned"))) << container;
  }
  EXPECT_EQ(refusal("late").kind, ErrorKind::kExhausted);
}

TEST_F(WiresTest, TwoNetworksOnOneBridgeShareItsAddresses) {
  EXPECT_EQ(add_in("blue", kBridge0, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("red", kBridge0, "b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("blue", kBridge0, "c"), "10.1.0.4/29 untouched");
  EXPECT_EQ(thrown_by([&] { add_in("red", kBridge0, "d", {"10.1.0.4"}); }).kind,
            ErrorKind::kAddressTaken);
  EXPECT_EQ(add_in("red", kBridge0, "d"), "10.1.0.5/29 untouched");
  EXPECT_EQ(add_in("blue", kBridge0, "e"), "10.1.0.6/29 untouched");
  EXPECT_EQ(refusal("f").kind, ErrorKind::kExhausted);
  // One container may be in both.
  network = "red";
  EXPECT_EQ(del("b"), std::vector<std::string>{"10.1.0.3"});
  clock.pass(30s);
  EXPECT_EQ(add_in("blue", kBridge0, "f"), "10.1.0.3/29 cooled");
}

TEST_F(WiresTest, DifferentBridgesMayGiveOutOneRange) {
  EXPECT_EQ(add_in("blue", kBridge0, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("red", kBridge1, "b"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("blue", kBridge0, "c"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("red", kBridge1, "d"), "10.1.0.3/29 untouched");
}

TEST_F(WiresTest, BridgesWithAGatewayShareTheHostsRoutingTable) {
  Wiring first = kBridge0;
  Wiring second = kBridge1;
  first.is_gateway = true;
  second.is_gateway = true;
  EXPECT_EQ(add_in("blue", first, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("red", second, "b"), "10.1.0.3/29 untouched");
}

TEST_F(WiresTest, AVlanIsAWireOfItsOwn) {
  Wiring vlan = kBridge0;
  vlan.vlan = "100";
  EXPECT_EQ(add_in("blue", kBridge0, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("red", vlan, "b"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("green", vlan, "c"), "10.1.0.3/29 untouched");
}

TEST_F(WiresTest, AnUnknownWireCountsAsEveryWire) {
  EXPECT_EQ(add_in("known", kBridge0, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("unknown", kUnknown, "b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("known", kBridge0, "c"), "10.1.0.4/29 untouched");
  EXPECT_EQ(add_in("other", kBridge1, "d"), "10.1.0.2/29 untouched") << "another than cni0";
  EXPECT_EQ(add_in("other", kBridge1, "e"), "10.1.0.4/29 untouched") << ".3 may be on it";
  EXPECT_EQ(add_in("unknown", kUnknown, "f"), "10.1.0.5/29 untouched");
}

TEST_F(WiresTest, ABridgeRenamedUnderLivingPodsGivesNoAddressTwice) {
  ASSERT_EQ(add_in("net", kBridge0, "a"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("net", kBridge1, "b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("net", kBridge0, "c"), "10.1.0.4/29 untouched") << "and back";
  // It has been on both, so whoever is on either shares with it.
  EXPECT_EQ(add_in("red", kBridge1, "d"), "10.1.0.5/29 untouched");
  EXPECT_EQ(add_in("blue", kBridge0, "e"), "10.1.0.6/29 untouched");
}

TEST_F(WiresTest, NetworksThatComeTogetherKeepWhatTheyHold) {
  ASSERT_EQ(add_in("blue", kBridge0, "a"), "10.1.0.2/29 untouched");
  ASSERT_EQ(add_in("red", kBridge1, "b"), "10.1.0.2/29 untouched");
  EXPECT_EQ(add_in("red", kBridge0, "c"), "10.1.0.3/29 untouched");
  EXPECT_EQ(add_in("red", kBridge0, "b"), "10.1.0.2/29 held");
  EXPECT_EQ(del("b"), std::vector<std::string>{"10.1.0.2"});
  clock.pass(1h);
  EXPECT_EQ(thrown_by([&] { add_in("red", kBridge0, "d", {"10.1.0.2"}); }).kind,
            ErrorKind::kAddressTaken)
      << "the other one has it still";
  EXPECT_EQ(add_in("red", kBridge0, "d"), "10.1.0.4/29 untouched");
}

TEST_F(WiresTest, APodGetsItsAddressBackAcrossARename) {
  network = "old";
  own_wiring = kBridge0;
  AddRequest first = request("s1");
  first.pod = {.name_space = "shop", .name = "web-0", .uid = "u-1"};
  ASSERT_EQ(text_of(grant(first)), "10.1.0.2/29 untouched");
  ASSERT_EQ(add("other"), "10.1.0.3/29 untouched");
  del("s1");
  network = "new";
  AddRequest second = request("s2");
  second.pod = first.pod;
  EXPECT_EQ(text_of(grant(second)), "10.1.0.2/29 returned");
}

}  // namespace
}  // namespace podlease::ipam
