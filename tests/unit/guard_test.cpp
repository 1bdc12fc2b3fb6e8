// What the host holds: FACTS, section 3, on hosts as they are.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "held_by_host.h"
#include "snapshot.h"

namespace podlease::ipam {
namespace {

using made::offer;
using made::Range;
using made::Snapshot;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Wiring kBridge{.type = "bridge", .device = "cni0", .is_gateway = true};
const Wiring kPtp{.type = "ptp"};
const Wiring kLan{.type = "bridge", .device = "br0"};  // no gateway
const Wiring kMacvlan{.type = "macvlan", .device = "eth0"};
const Wiring kUnknown{.type = "calico"};

std::variant<std::vector<HeldRange>, Error> look(const Snapshot& host, const Wiring& wiring,
                                                 const pools::Offer& offer,
                                                 const std::vector<std::string>& leased = {}) {
  return held_by_host(host.networks(), wiring, offer, [&](net::Address address) {
    return std::find(leased.begin(), leased.end(), address.to_string()) != leased.end();
  });
}

// One line for each; what is refused is one line, too.
std::vector<std::string> held(const Snapshot& host, const Wiring& wiring, const pools::Offer& offer,
                              const std::vector<std::string>& leased = {}) {
  const auto found = look(host, wiring, offer, leased);
  if (const auto* const error = std::get_if<Error>(&found)) {
    return {std::string("code 7: ") + error->what() + ": " + error->details()};
  }
  std::vector<std::string> lines;
  for (const HeldRange& one : std::get<std::vector<HeldRange>>(found)) {
    lines.push_back(one.range.to_string() + ": " + one.what);
  }
  return lines;
}

// The message of code 7; empty: it is served.
std::string refusal(const Snapshot& host, const Wiring& wiring, const pools::Offer& offer,
                    const std::vector<std::string>& leased = {}) {
  const auto found = look(host, wiring, offer, leased);
  const auto* const error = std::get_if<Error>(&found);
  if (error == nullptr) {
    return {};
  }
  EXPECT_EQ(error->kind(), ErrorKind::kConfig);
  EXPECT_THAT(error->details(), HasSubstr("another")) << error->what();
  return error->what();
}

// eth0 10.42.0.57/24 via .1
Snapshot node() {
  return Snapshot().interface("eth0").with("10.42.0.57/24").default_via("10.42.0.1");
}

Snapshot node6() {
  return Snapshot()
      .interface("eth0")
      .with("fe80::57/64")
      .with("2001:db8:42::57/64")
      .default_via("fe80::1");
}

// Elsewhere than any range of these tests.
Snapshot distant_node() {
  return Snapshot().interface("eth0").with("192.168.1.5/24").default_via("192.168.1.1");
}

// --- §5, row 13: the node's own subnet ---

TEST(GuardTest, RefusesABridgeInTheNodesOwnSubnet) {
  EXPECT_EQ(refusal(node(), kBridge, offer({Range("10.42.0.0/24")})),
            "ipam subnet 10.42.0.0/24 contains 10.42.0.57, this node's own address on eth0");
  const auto found = look(node(), kBridge, offer({Range("10.42.0.0/24")}));
  EXPECT_EQ(std::get<Error>(found).details(),
            "interface eth0 has 10.42.0.57/24, and a bridge with a gateway would add a route to "
            "10.42.0.0/24 that cuts the node off: use another subnet");
  EXPECT_EQ(refusal(node6(), kBridge, offer({Range("2001:db8:42::/64")})),
            "ipam subnet 2001:db8:42::/64 contains 2001:db8:42::57, this node's own address on "
            "eth0");
}

TEST(GuardTest, RefusesPtpWhoseGatewayIsTheNodesRouter) {
  EXPECT_EQ(refusal(node(), kPtp, offer({Range("10.42.0.0/24")})),
            "ipam gateway 10.42.0.1 is this node's default gateway on eth0");
  // Also of another route, and by several ways.
  const Snapshot routed =
      distant_node().interface("eth1").with("10.42.0.9/24").route("10.9.0.0/16", "10.42.0.1");
  EXPECT_EQ(refusal(routed, kPtp, offer({Range("10.42.0.0/24")})),
            "ipam gateway 10.42.0.1 is the router of 10.9.0.0/16 on eth1");
  const Snapshot multipath = distant_node()
                                 .interface("eth1")
                                 .with("10.42.0.9/24")
                                 .route("10.9.0.0/16", "10.42.0.2")
                                 .also_via("10.42.0.1");
  EXPECT_THAT(refusal(multipath, kPtp, offer({Range("10.42.0.0/24")})),
              HasSubstr("gateway 10.42.0.1 is the router of 10.9.0.0/16 on eth1"));
}

TEST(GuardTest, RefusesPtpInARangeThatHoldsTheNodesUplinkAddress) {
  EXPECT_EQ(refusal(node(), kPtp, offer({Range("10.42.0.0/24").gateway("10.42.0.254")})),
            "ipam 10.42.0.1-10.42.0.254 contains 10.42.0.57, this node's own address on eth0");
  EXPECT_THAT(refusal(node6(), kPtp, offer({Range("2001:db8:42::/64")})),
              HasSubstr("contains 2001:db8:42::57, this node's own address on eth0"));
}

TEST(GuardTest, APodCidrHasNoRangeStart) {
  Wiring wiring = kPtp;
  wiring.from_node = true;
  const auto pod_cidr =
      offer({Range("10.42.0.0/24").named("Node a spec.podCIDR").gateway("10.42.0.254")});
  const auto found = look(node(), wiring, pod_cidr);
  EXPECT_STREQ(std::get<Error>(found).what(),
               "Node a spec.podCIDR 10.42.0.1-10.42.0.254 contains 10.42.0.57, this node's own "
               "address on eth0");
  EXPECT_EQ(std::get<Error>(found).details(),
            "pods there would cut the node off: give this node another podCIDR, or exclude to "
            "leave it out");
}

TEST(GuardTest, PtpMayShareTheNodesSubnetOnceItsAddressesAreLeftOut) {
  const auto left_out = offer({Range("10.42.0.0/24").gateway("10.42.0.254").exclude("10.42.0.57")});
  EXPECT_THAT(held(node(), kPtp, left_out),
              ElementsAre("10.42.0.1: router of the default route via eth0"));
  const auto part =
      offer({Range("10.42.0.0/24").gateway("10.42.0.254").from("10.42.0.200", "10.42.0.210")});
  EXPECT_THAT(held(node(), kPtp, part), IsEmpty());
}

// --- row 38, and other widths ---

TEST(GuardTest, TheSubnetCountsWhereverTheRangeLies) {
  EXPECT_EQ(
      refusal(
          node(), kBridge,
          offer({Range("10.42.0.0/24").from("10.42.0.200", "10.42.0.210").gateway("10.42.0.254")})),
      "ipam subnet 10.42.0.0/24 contains 10.42.0.57, this node's own address on eth0");
}

TEST(GuardTest, ANarrowerSubnetCountsOnlyAroundTheNodeOrARouter) {
  EXPECT_THAT(refusal(node(), kBridge, offer({Range("10.42.0.32/27")})), HasSubstr("10.42.0.57"));
  EXPECT_EQ(refusal(node(), kBridge, offer({Range("10.42.0.0/27").gateway("10.42.0.30")})),
            "ipam subnet 10.42.0.0/27 contains 10.42.0.1, this node's default gateway on eth0");
  EXPECT_EQ(refusal(node(), kBridge, offer({Range("10.42.0.192/27")})), "");
  const Snapshot routed = node().route("10.9.0.0/16", "10.42.0.200");
  EXPECT_EQ(refusal(routed, kBridge, offer({Range("10.42.0.192/27")})),
            "ipam subnet 10.42.0.192/27 contains 10.42.0.200, the router of 10.9.0.0/16 on eth0");
  // A pod has that address, if this store says so.
  EXPECT_EQ(refusal(routed, kBridge, offer({Range("10.42.0.192/27")}), {"10.42.0.200"}), "");
}

TEST(GuardTest, AWiderSubnetLeavesTheHostsNetworksOut) {
  // The uplink's own address has to be excluded; the rest of its network is left out by itself.
  EXPECT_EQ(refusal(node(), kBridge, offer({Range("10.42.0.0/16").gateway("10.42.255.254")})),
            "ipam 10.42.0.1-10.42.255.254 contains 10.42.0.57, this node's own address on eth0");
  EXPECT_THAT(held(node(), kBridge,
                   offer({Range("10.42.0.0/16").gateway("10.42.255.254").exclude("10.42.0.57")})),
              ElementsAre("10.42.0.1-10.42.0.56: interface eth0 has 10.42.0.57/24",
                          "10.42.0.58-10.42.0.255: interface eth0 has 10.42.0.57/24"));
  EXPECT_THAT(
      held(node(), kBridge,
           offer({Range("10.42.0.0/16").gateway("10.42.9.1").from("10.42.9.2", "10.42.9.9")})),
      IsEmpty());
  // Its default gateway is that of the node.
  EXPECT_EQ(refusal(node(), kBridge, offer({Range("10.42.0.0/16").exclude("10.42.0.57")})),
            "ipam gateway 10.42.0.1 is this node's default gateway on eth0");
}

TEST(GuardTest, EveryRangeIsLookedAt) {
  const auto two = offer({Range("10.9.0.0/24").named("ipam.ranges[0][0]"),
                          Range("10.42.0.0/24").named("ipam.ranges[1][0]")});
  EXPECT_THAT(refusal(node(), kBridge, two), HasSubstr("ipam.ranges[1][0] subnet 10.42.0.0/24"));
  const auto dual = offer({Range("10.9.0.0/24"), Range("2001:db8:42::/64").named("second")});
  EXPECT_THAT(refusal(node6(), kBridge, dual), HasSubstr("second subnet 2001:db8:42::/64"));
}

// --- a bridge's gateway ---

TEST(GuardTest, RefusesAGatewayThatIsAnAddressOfAnotherLink) {
  const Snapshot anycast = distant_node().interface("dummy0", "dummy").with("10.42.0.1/32");
  EXPECT_EQ(refusal(anycast, kBridge, offer({Range("10.42.0.0/24")})),
            "ipam gateway 10.42.0.1 is this node's own address on dummy0");
  EXPECT_THAT(held(anycast, kBridge, offer({Range("10.42.0.0/24").gateway("10.42.0.2")})),
              ElementsAre("10.42.0.1: interface dummy0 has 10.42.0.1"));
  // ptp gives it to its own links as /32.
  EXPECT_EQ(refusal(anycast, kPtp, offer({Range("10.42.0.0/24")})), "");
  const Snapshot on_lo = distant_node().interface("x").with("10.42.0.1/32");
  EXPECT_EQ(refusal(on_lo, kLan, offer({Range("10.42.0.0/24")})), "");
}

TEST(GuardTest, AnAnycastAddressOfLoIsTheHostsOwn) {
  Snapshot host;  // still about lo
  host.with("10.42.0.1/32").interface("eth0").with("192.168.1.5/24").default_via("192.168.1.1");
  EXPECT_EQ(refusal(host, kBridge, offer({Range("10.42.0.0/24")})),
            "ipam gateway 10.42.0.1 is this node's own address on lo");
  EXPECT_THAT(held(host, kMacvlan, offer({Range("10.42.0.0/24").no_gateway()})),
              ElementsAre("10.42.0.1: interface lo has 10.42.0.1"));
}

TEST(GuardTest, RefusesAGatewayThatIsARouterReachedByAHostRoute) {
  // As clouds do it: the node has a /32, and its router is one more.
  const Snapshot cloud = Snapshot()
                             .interface("eth0")
                             .with("10.42.0.57/32")
                             .route("10.42.0.1/32")
                             .default_via("10.42.0.1");
  EXPECT_EQ(refusal(cloud, kBridge, offer({Range("10.42.0.0/24").exclude("10.42.0.57")})),
            "ipam gateway 10.42.0.1 is this node's default gateway on eth0");
  EXPECT_EQ(refusal(cloud, kBridge, offer({Range("10.42.0.0/24").gateway("10.42.0.254")})),
            "ipam 10.42.0.1-10.42.0.254 contains 10.42.0.57, this node's own address on eth0");
  EXPECT_THAT(held(cloud, kBridge,
                   offer({Range("10.42.0.0/24").gateway("10.42.0.254").exclude("10.42.0.57")})),
              ElementsAre("10.42.0.1: router of the default route via eth0"));
}

TEST(GuardTest, RefusesARouterAsAGatewayOutsideTheSubnet) {
  for (const Wiring& wiring : {kBridge, kPtp}) {
    EXPECT_EQ(
        refusal(distant_node(), wiring, offer({Range("10.42.0.0/24").gateway("192.168.1.1")})),
        "ipam gateway 192.168.1.1 is this node's default gateway on eth0");
  }
}

TEST(GuardTest, ARouterIsCalledTheDefaultGatewayIfItIsThatToo) {
  const Snapshot first = distant_node().route("10.9.0.0/16", "192.168.1.1");
  const Snapshot last = Snapshot()
                            .interface("eth0")
                            .with("192.168.1.5/24")
                            .route("10.9.0.0/16", "192.168.1.1")
                            .default_via("192.168.1.1")
                            .route("10.8.0.0/16", "192.168.1.1");
  for (const Snapshot& host : {first, last}) {
    EXPECT_THAT(held(host, kMacvlan, offer({Range("192.168.1.0/24").gateway("192.168.1.254")})),
                ElementsAre("192.168.1.1: router of the default route via eth0",
                            "192.168.1.5: interface eth0 has 192.168.1.5/24"));
  }
}

// --- own links ---

TEST(GuardTest, TheBridgeItselfIsNoReasonToRefuse) {
  const auto range = offer({Range("10.42.0.0/24")});
  EXPECT_THAT(held(distant_node(), kBridge, range), IsEmpty());  // not made yet
  EXPECT_THAT(held(distant_node().interface("cni0", "bridge"), kBridge, range), IsEmpty());
  const Snapshot made = distant_node().interface("cni0", "bridge").with("10.42.0.1/24");
  EXPECT_THAT(held(made, kBridge, range), IsEmpty());
  // What else it has is held.
  const Snapshot more = distant_node()
                            .interface("cni0", "bridge")
                            .with("10.42.0.1/24")
                            .without_route("10.42.0.254/24");
  EXPECT_THAT(held(more, kBridge, range),
              ElementsAre("10.42.0.254: interface cni0 has 10.42.0.254/24"));
  // Under the default name.
  EXPECT_THAT(held(made, {.type = "bridge", .is_gateway = true}, range), IsEmpty());
  // Left over from the podCIDR before.
  const Snapshot left = distant_node().interface("cni0", "bridge").with("10.42.3.1/24");
  EXPECT_THAT(held(left, kBridge, range), IsEmpty());
  EXPECT_THAT(held(left, kBridge, offer({Range("10.42.0.0/16")})),
              ElementsAre("10.42.3.1: interface cni0 has 10.42.3.1/24"));
}

TEST(GuardTest, AnotherBridgeOfTheSameSubnetIsAReason) {
  const Snapshot host = distant_node().interface("cni1", "bridge").with("10.42.0.1/24");
  EXPECT_EQ(refusal(host, kBridge, offer({Range("10.42.0.0/24")})),
            "ipam subnet 10.42.0.0/24 contains 10.42.0.1, this node's own address on cni1");
}

TEST(GuardTest, TheVlanOfTheBridgeIsAnOwnLink) {
  Wiring wiring = kBridge;
  wiring.vlan = "100";
  const auto range = offer({Range("10.42.0.0/24")});
  // As the bridge plugin makes it: one end of a pair.
  const Snapshot made = distant_node().interface("cni0", "bridge").interface("cni0.100", "veth");
  EXPECT_THAT(held(Snapshot(made).with("10.42.0.1/24"), wiring, range), IsEmpty());
  EXPECT_THAT(refusal(Snapshot(made).with("10.42.0.1/24"), kBridge, range), HasSubstr("cni0.100"));
  const auto with_vlan = [&](const char* name, const char* parent, unsigned id) {
    return distant_node()
        .interface("cni0", "bridge")
        .interface("cni1", "bridge")
        .vlan(name, parent, id)
        .with("10.42.0.1/24");
  };
  EXPECT_EQ(refusal(with_vlan("pods", "cni0", 100), wiring, range), "");
  EXPECT_THAT(refusal(with_vlan("pods", "cni1", 100), wiring, range), HasSubstr("pods"));
  EXPECT_THAT(refusal(with_vlan("pods100", "cni0", 101), wiring, range), HasSubstr("pods100"));
  EXPECT_THAT(refusal(with_vlan("cni0.200", "cni0", 200), wiring, range), HasSubstr("cni0.200"));
}

TEST(GuardTest, PtpLinksOfAnyNetworkWithTheSameGatewayAreOwnLinks) {
  const Snapshot host = distant_node()
                            .pod_link("veth1")
                            .with("10.42.0.1/32")
                            .with("fe80::aa/64")
                            .with("fd00:42::1/128")
                            .route("10.42.0.2/32")
                            .pod_link("veth2")
                            .with("10.42.0.1/32")
                            .route("10.42.0.3/32")
                            .route("10.99.0.0/16", "10.42.0.3");
  EXPECT_THAT(held(host, kPtp, offer({Range("10.42.0.0/24"), Range("fd00:42::/64")})), IsEmpty());
  // So they are for a bridge that takes the place of ptp while old pods live.
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})), IsEmpty());
  // A pair within the host is no pod's.
  const Snapshot pair = distant_node().interface("veth1", "veth").with("10.42.0.1/32");
  EXPECT_THAT(refusal(pair, kBridge, offer({Range("10.42.0.0/24")})), HasSubstr("on veth1"));
  EXPECT_EQ(refusal(pair, kPtp, offer({Range("10.42.0.0/24")})), "");
  // With another gateway they are other links.
  EXPECT_THAT(held(host, kPtp, offer({Range("10.42.0.0/24").gateway("10.42.0.254")})),
              ElementsAre("10.42.0.1: interface veth1 has 10.42.0.1",
                          "10.42.0.3: router of 10.99.0.0/16 via veth2"));
}

TEST(GuardTest, ALinkWithMoreThanTheGatewayIsNoPtpLink) {
  const Snapshot host = distant_node()
                            .interface("eth1")
                            .with("10.42.0.1/32")
                            .with("10.42.0.9/32")
                            .route("10.99.0.0/16", "10.42.0.7");
  EXPECT_THAT(held(host, kPtp, offer({Range("10.42.0.0/24")})),
              ElementsAre("10.42.0.7: router of 10.99.0.0/16 via eth1",
                          "10.42.0.9: interface eth1 has 10.42.0.9"));
  // The uplink is none either, whatever it has: clouds give nodes a /32.
  const Snapshot cloud = Snapshot()
                             .interface("eth0")
                             .with("10.42.0.5/32")
                             .route("10.42.0.1/32")
                             .default_via("10.42.0.1")
                             .route("10.99.0.0/16", "10.42.0.7");
  EXPECT_THAT(held(cloud, kPtp, offer({Range("10.42.0.0/24").gateway("10.42.0.5")})),
              ElementsAre("10.42.0.1: router of the default route via eth0",
                          "10.42.0.7: router of 10.99.0.0/16 via eth0"));
}

// --- row 37: routers that are pods ---

TEST(GuardTest, ANextHopOnTheOwnLinkIsAPod) {
  const Snapshot host = distant_node()
                            .interface("cni0", "bridge")
                            .with("10.42.0.1/24")
                            .route("10.99.0.0/16", "10.42.0.7");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})), IsEmpty());
  const Snapshot multipath =
      Snapshot(host).route("10.98.0.0/16", "10.42.0.8").also_via("10.42.0.9");
  EXPECT_THAT(held(multipath, kBridge, offer({Range("10.42.0.0/24")})), IsEmpty());
  // A pod with a VPN, for those whom a rule sends there.
  const Snapshot vpn = Snapshot(host).route("0.0.0.0/0", "10.42.0.7", 100);
  EXPECT_THAT(held(vpn, kBridge, offer({Range("10.42.0.0/24")})), IsEmpty());
}

TEST(GuardTest, OnALanANextHopIsAPodOnlyIfItIsLeased) {
  const Snapshot host = distant_node()
                            .interface("br0", "bridge")
                            .with("10.42.0.5/24")
                            .route("10.99.0.0/16", "10.42.0.7")
                            .route("10.98.0.0/16", "10.42.0.8");
  EXPECT_THAT(held(host, kLan, offer({Range("10.42.0.0/24")}), {"10.42.0.8"}),
              ElementsAre("10.42.0.5: interface br0 has 10.42.0.5/24",
                          "10.42.0.7: router of 10.99.0.0/16 via br0"));
}

TEST(GuardTest, ABridgeWithTheUplinkAsAPortKeepsTheNodesRouter) {
  const Snapshot host = Snapshot()
                            .interface("cni0", "bridge")
                            .with("192.168.1.10/24")
                            .default_via("192.168.1.1")
                            .interface("eth0")
                            .enslaved_to("cni0");
  EXPECT_THAT(held(host, kBridge, offer({Range("192.168.1.0/24").gateway("192.168.1.10")})),
              ElementsAre("192.168.1.1: router of the default route via cni0"));
  EXPECT_EQ(refusal(host, kBridge,
                    offer({Range("192.168.1.0/24").from("192.168.1.100", "192.168.1.200")})),
            "ipam gateway 192.168.1.1 is this node's default gateway on cni0");
  // The bridge plugin would have to take the node's own address away.
  EXPECT_THAT(refusal(host, kBridge, offer({Range("192.168.1.0/24").gateway("192.168.1.9")})),
              HasSubstr("contains 192.168.1.10, this node's own address on cni0"));
}

// --- rows 14 and 37: other networks of the host ---

TEST(GuardTest, ASecondNicInsideTheSubnetIsLeftOut) {
  const auto host = [](Snapshot base) {
    return base.interface("eth1").with("192.168.56.11/24").interface("eth2");
  };
  const auto range = offer({Range("192.168.0.0/16")});
  const char* const eth1 = "192.168.56.0-192.168.56.255: interface eth1 has 192.168.56.11/24";
  // No default route.
  EXPECT_THAT(held(host(Snapshot()), kBridge, range), ElementsAre(eth1));
  EXPECT_THAT(held(host(Snapshot()), kPtp, range), ElementsAre(eth1));
  EXPECT_THAT(held(host(Snapshot()), kUnknown, range), ElementsAre(eth1));
  EXPECT_THAT(held(host(node()), kBridge, range), ElementsAre(eth1));
  // Set by NetworkManager, which makes the route itself.
  EXPECT_THAT(
      held(Snapshot().interface("eth1").without_route("192.168.56.11/24").route("192.168.56.0/24"),
           kBridge, range),
      ElementsAre(eth1));
  // By which the node reaches the world.
  EXPECT_THAT(
      refusal(Snapshot().interface("eth1").with("192.168.56.11/24").default_via("192.168.56.1"),
              kBridge, range),
      HasSubstr("contains 192.168.56.11, this node's own address on eth1"));
}

TEST(GuardTest, TheHalvesOfADefaultRouteMakeAnUplink) {
  const auto range = offer({Range("10.8.0.0/16").gateway("10.8.255.254")});
  for (const auto& [destination, gateway] :
       {std::pair("0.0.0.0/1", "10.8.0.1"), std::pair("128.0.0.0/1", "10.8.0.1"),
        std::pair("0.0.0.0/0", ""), std::pair("0.0.0.0/1", "")}) {
    const Snapshot vpn =
        distant_node().interface("tun0", "tun").with("10.8.0.6/24").route(destination, gateway);
    EXPECT_THAT(refusal(vpn, kBridge, range),
                HasSubstr("contains 10.8.0.6, this node's own address on tun0"))
        << destination;
  }
  const auto range6 = offer({Range("fd00:8::/56").gateway("fd00:8::ff")});
  for (const char* const destination : {"::/0", "::/1", "8000::/1", "2000::/3"}) {
    const Snapshot vpn =
        distant_node().interface("wg0", "wireguard").with("fd00:8::6/64").route(destination);
    EXPECT_THAT(refusal(vpn, kPtp, range6), HasSubstr("contains fd00:8::6")) << destination;
  }
  // wg-quick: a default route in a table of its own.
  const Snapshot quick = distant_node()
                             .interface("wg0", "wireguard")
                             .with("10.8.0.6/32")
                             .route("0.0.0.0/0", "", 51820);
  EXPECT_THAT(refusal(quick, kPtp, range), HasSubstr("wg0"));
  // Some other network is no uplink, nor is a default route that refuses.
  const Snapshot split = distant_node()
                             .interface("wg0", "wireguard")
                             .with("10.8.0.6/24")
                             .route("4000::/3")
                             .route("10.0.0.0/8");
  EXPECT_EQ(refusal(split, kPtp, range), "");
  Snapshot refusing;
  refusing.with("10.8.0.6/32").route("0.0.0.0/0").blackhole("0.0.0.0/0");
  EXPECT_THAT(held(refusing, kPtp, range), ElementsAre("10.8.0.6: interface lo has 10.8.0.6"));
}

TEST(GuardTest, DockersNetworkInsideAWiderSubnetIsLeftOut) {
  const Snapshot host = distant_node().interface("docker0", "bridge").with("172.17.0.1/16");
  for (const Wiring& wiring : {kBridge, kPtp, kMacvlan, kUnknown, kLan}) {
    EXPECT_THAT(held(host, wiring, offer({Range("172.16.0.0/12")})),
                ElementsAre("172.17.0.0-172.17.255.255: interface docker0 has 172.17.0.1/16"))
        << wiring.type;
  }
  // A range that is cut short, and exclusions, bound what is told.
  EXPECT_THAT(held(host, kBridge,
                   offer({Range("172.16.0.0/12")
                              .from("172.17.255.254", "172.18.0.9")
                              .exclude("172.17.255.255")})),
              ElementsAre("172.17.255.254: interface docker0 has 172.17.0.1/16"));
  // Equal, or narrower around its address.
  EXPECT_THAT(refusal(host, kBridge, offer({Range("172.17.0.0/16").gateway("172.17.0.2")})),
              HasSubstr("contains 172.17.0.1, this node's own address on docker0"));
  EXPECT_THAT(refusal(host, kBridge, offer({Range("172.17.0.0/24").gateway("172.17.0.2")})),
              HasSubstr("docker0"));
  EXPECT_EQ(refusal(host, kBridge, offer({Range("172.17.5.0/24")})), "");
  EXPECT_EQ(refusal(host, kPtp, offer({Range("172.17.0.0/16")})), "");
}

TEST(GuardTest, NestedNetworksAreToldOnce) {
  const Snapshot host = distant_node()
                            .interface("wide", "dummy")
                            .with("10.4.0.1/16")
                            .interface("narrow", "dummy")
                            .with("10.4.7.1/24")
                            .interface("apart", "dummy")
                            .with("10.5.0.1/16");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.0.0.0/8")})),
              ElementsAre("10.4.0.0-10.4.255.255: interface wide has 10.4.0.1/16",
                          "10.5.0.0-10.5.255.255: interface apart has 10.5.0.1/16"));
}

TEST(GuardTest, AddressesOfServicesAreNeverLeased) {
  Snapshot host = distant_node().interface("kube-ipvs0", "dummy");
  for (int i = 20; i < 220; ++i) {
    host.with("10.42.0." + std::to_string(i) + "/32");
  }
  host.with("10.42.0.250/32").with("fd00:42::77/128").with("10.96.0.1/32");
  const auto ranges = offer({Range("10.42.0.0/24"), Range("fd00:42::/64")});
  for (const Wiring& wiring : {kBridge, kPtp, kMacvlan, kUnknown, kLan}) {
    EXPECT_THAT(held(host, wiring, ranges),
                ElementsAre("10.42.0.20-10.42.0.219: interface kube-ipvs0 has "
                            "10.42.0.20-10.42.0.219",
                            "10.42.0.250: interface kube-ipvs0 has 10.42.0.250",
                            "fd00:42::77: interface kube-ipvs0 has fd00:42::77"))
        << wiring.type;
  }
}

TEST(GuardTest, AVirtualAddressMayMoveToTheUplinkAtAnyTime) {
  // keepalived, kube-vip: the pods of the node that has it now go on starting.
  const Snapshot host = distant_node().without_route("10.42.0.100/32");
  EXPECT_THAT(held(host, kPtp, offer({Range("10.42.0.0/24")})),
              ElementsAre("10.42.0.100: interface eth0 has 10.42.0.100"));
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})),
              ElementsAre("10.42.0.100: interface eth0 has 10.42.0.100"));
}

TEST(GuardTest, ThePeersOfPointToPointLinksAreNeverLeased) {
  const Snapshot host =
      distant_node().interface("tun0", "tun").peer("10.42.0.8/32", "10.42.0.9/32");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})),
              ElementsAre("10.42.0.8: interface tun0 has 10.42.0.8",
                          "10.42.0.9: this host has a route to 10.42.0.9/32 on tun0"));
}

// --- routes of other network plugins: no reason to refuse ---

TEST(GuardTest, TheRoutesOfTheClusterDoNotMatter) {
  const auto own = offer({Range("10.42.0.0/24")});
  // flannel: its own first address, and the other nodes' podCIDRs.
  const Snapshot flannel = distant_node()
                               .route("10.42.2.0/24", "192.168.1.7")
                               .interface("flannel.1", "vxlan")
                               .with("10.42.0.0/32")
                               .route("10.42.1.0/24", "10.42.1.0")
                               .interface("cni0", "bridge")
                               .with("10.42.0.1/24");
  EXPECT_THAT(held(flannel, kBridge, own), IsEmpty());
  EXPECT_THAT(held(flannel, kPtp, offer({Range("10.42.0.0/24").from("10.42.0.0", "10.42.0.255")})),
              ElementsAre("10.42.0.0: interface flannel.1 has 10.42.0.0"));
  // One flat subnet for the cluster, of which the node has a part.
  EXPECT_THAT(
      held(flannel, kBridge, offer({Range("10.42.0.0/16").from("10.42.0.2", "10.42.0.254")})),
      IsEmpty());
  // Calico: its own block refuses what is no pod, and each pod has a route.
  Snapshot calico = distant_node().blackhole("10.42.0.0/26").interface("vxlan.calico", "vxlan");
  calico.with("10.42.0.0/32").route("10.42.1.0/26", "10.42.1.1");
  calico.pod_link("cali123").with("fe80::ecee/64").route("10.42.0.5/32");
  for (const Wiring& wiring : {kBridge, kPtp, kUnknown}) {
    EXPECT_THAT(held(calico, wiring, own), IsEmpty()) << wiring.type;
  }
  // Cilium: the route of the node's own podCIDR leads to its own address.
  const Snapshot cilium = distant_node()
                              .interface("cilium_host", "veth")
                              .with("10.42.0.113/32")
                              .route("10.42.0.113/32")
                              .route("10.42.0.0/24", "10.42.0.113")
                              .route("10.42.1.0/24", "10.42.0.113")
                              .route("0.0.0.0/0", "10.42.0.113", 2005);
  for (const Wiring& wiring : {kBridge, kPtp, kUnknown}) {
    EXPECT_THAT(held(cilium, wiring, own),
                ElementsAre("10.42.0.113: interface cilium_host has 10.42.0.113"))
        << wiring.type;
  }
}

TEST(GuardTest, AVpnIntoTheWholeOfPrivateSpaceDoesNotMatter) {
  const Snapshot host = distant_node()
                            .interface("wg0", "wireguard")
                            .with("10.8.0.6/24")
                            .route("10.0.0.0/8")
                            .interface("tailscale0", "tun")
                            .with("100.100.1.5/32")
                            .route("100.64.0.0/10", "", 52);
  for (const Wiring& wiring : {kBridge, kPtp, kMacvlan, kUnknown, kLan}) {
    EXPECT_THAT(held(host, wiring, offer({Range("10.42.0.0/24")})), IsEmpty()) << wiring.type;
  }
}

TEST(GuardTest, ANetworkCountsForTheAddressesOfItsOwnInterface) {
  const Snapshot host = distant_node()
                            .interface("wg0", "wireguard")
                            .with("10.8.0.6/24")
                            .route("10.0.0.0/8")
                            .interface("kube-ipvs0", "dummy")
                            .with("10.42.0.77/32");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})),
              ElementsAre("10.42.0.77: interface kube-ipvs0 has 10.42.0.77"));
}

TEST(GuardTest, ATunnelsNetworkIsNotItsInterfacesOwn) {
  const Snapshot host =
      distant_node().interface("wg0", "wireguard").with("10.8.0.6/24").route("10.42.1.0/24");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/16")})), IsEmpty());
}

// --- IPv6 ---

TEST(GuardTest, LinkLocalRoutersAndAddressesAreNotCompared) {
  const Snapshot host =
      node6().interface("eth1").with("fe80::1/64").route("fd00:9::/64", "fe80::9");
  EXPECT_THAT(held(host, kPtp, offer({Range("fd00:42::/64")})), IsEmpty());
  EXPECT_THAT(held(host, kPtp, offer({Range("fd00:42::/64").gateway("fe80::1")})), IsEmpty());
  EXPECT_THAT(held(host, kMacvlan, offer({Range("fe80::/64").no_gateway()})), IsEmpty());
}

TEST(GuardTest, LoopbackAddressesAreNotCompared) {
  EXPECT_THAT(held(distant_node(), kUnknown, offer({Range("127.0.0.0/8").no_gateway()})),
              IsEmpty());
}

TEST(GuardTest, Ipv4LinkLocalAddressesAreComparedLikeOthers) {
  const Snapshot host = distant_node().interface("nodelocaldns", "dummy").with("169.254.20.10/32");
  EXPECT_THAT(held(host, kPtp, offer({Range("169.254.0.0/16")})),
              ElementsAre("169.254.20.10: interface nodelocaldns has 169.254.20.10"));
}

TEST(GuardTest, ANetworkOnTheLinkCountsWhoeverAnnouncedIt) {
  // DHCPv6 gives a /128; the /64 is the router advertisement's.
  const Snapshot host = Snapshot()
                            .interface("eth0")
                            .with("2001:db8:42::57/128")
                            .route("2001:db8:42::/64")
                            .default_via("fe80::1");
  const auto found = look(host, kBridge, offer({Range("2001:db8:42::/64")}));
  EXPECT_STREQ(
      std::get<Error>(found).what(),
      "ipam subnet 2001:db8:42::/64 contains 2001:db8:42::57, this node's own address on eth0");
  EXPECT_THAT(std::get<Error>(found).details(),
              HasSubstr("this host has a route to 2001:db8:42::/64 on eth0"));
  EXPECT_THAT(held(host, kBridge, offer({Range("2001:db8:42::/56").exclude("2001:db8:42::57")})),
              ElementsAre("2001:db8:42::2-2001:db8:42::56: this host has a route to "
                          "2001:db8:42::/64 on eth0",
                          "2001:db8:42::58-2001:db8:42:0:ffff:ffff:ffff:ffff: this host has a "
                          "route to 2001:db8:42::/64 on eth0"));
}

TEST(GuardTest, AnIpv6RouterOfIpv4RoutesIsARouter) {
  const Snapshot host =
      distant_node().interface("eth1").with("fd00:42::9/64").route("10.9.0.0/16", "fd00:42::7");
  EXPECT_THAT(held(host, kMacvlan, offer({Range("fd00:42::/64")})),
              ElementsAre("fd00:42::7: router of 10.9.0.0/16 via eth1",
                          "fd00:42::9: interface eth1 has fd00:42::9/64"));
}

// --- main plugins that do not route ---

TEST(GuardTest, OnTheNodesOwnLanTheHostsAddressesAreLeftOut) {
  const Snapshot host = node().route("10.9.0.0/16", "10.42.0.200").also_via("10.42.0.202");
  for (const Wiring& wiring :
       {kMacvlan, kUnknown, Wiring{}, Wiring{.type = "macvlan"},
        Wiring{.type = "ipvlan", .device = "eth0"}, Wiring{.type = "bridge", .device = "br0"}}) {
    EXPECT_THAT(held(host, wiring, offer({Range("10.42.0.0/24").no_gateway()})),
                ElementsAre("10.42.0.1: router of the default route via eth0",
                            "10.42.0.57: interface eth0 has 10.42.0.57/24",
                            "10.42.0.200: router of 10.9.0.0/16 via eth0",
                            "10.42.0.202: router of 10.9.0.0/16 via eth0"))
        << wiring.type;
    // The gateway is nobody's in any case.
    EXPECT_THAT(held(host, wiring, offer({Range("10.42.0.0/24")})), testing::SizeIs(3))
        << wiring.type;
  }
}

TEST(GuardTest, AWiderMaskOnThePodsOwnLanTakesNoneOfIt) {
  // The node says /24 where the pods say /16: it is one LAN.
  const auto range = offer({Range("10.42.0.0/16")});
  EXPECT_THAT(held(node(), kMacvlan, range),
              ElementsAre("10.42.0.57: interface eth0 has 10.42.0.57/24"));
  const Snapshot lan = Snapshot().interface("br0", "bridge").with("10.42.0.57/24");
  EXPECT_THAT(held(lan, kLan, range), ElementsAre("10.42.0.57: interface br0 has 10.42.0.57/24"));
  // Of another link it is another network.
  EXPECT_THAT(held(node(), {.type = "macvlan", .device = "eth1"}, range),
              ElementsAre("10.42.0.2-10.42.0.255: interface eth0 has 10.42.0.57/24"));
  const Snapshot vlan =
      Snapshot().interface("eth0").interface("eth0.5", "vlan").on("eth0").with("10.42.0.57/24");
  EXPECT_THAT(held(vlan, {.type = "vlan", .device = "eth0", .vlan = "5"}, range),
              ElementsAre("10.42.0.57: interface eth0.5 has 10.42.0.57/24"));
}

// --- VRFs ---

TEST(GuardTest, ComparesOnlyWhatLiesInTheMainPluginsVrf) {
  const Snapshot host = Snapshot()
                            .vrf("blue", 10)
                            .interface("eth1")
                            .enslaved_to("blue")
                            .with("10.42.0.57/24")
                            .route("0.0.0.0/0", "10.42.0.1", 10)
                            .interface("eth0")
                            .with("10.43.0.57/24")
                            .default_via("10.43.0.1")
                            .route("10.9.0.0/16", "10.43.0.9", 100)
                            .interface("cni1", "bridge")
                            .enslaved_to("blue");
  const auto blue = offer({Range("10.42.0.0/24")});
  const auto main = offer({Range("10.43.0.0/24")});
  EXPECT_THAT(held(host, kBridge, blue), IsEmpty());
  EXPECT_THAT(held(host, kPtp, blue), IsEmpty());
  EXPECT_THAT(refusal(host, kBridge, main), HasSubstr("eth0"));
  const Wiring in_blue{.type = "bridge", .device = "cni1", .is_gateway = true};
  EXPECT_THAT(refusal(host, in_blue, blue), HasSubstr("10.42.0.57"));
  EXPECT_THAT(held(host, in_blue, main), IsEmpty());
  // So with a master in a VRF: the pods are on its LAN.
  EXPECT_THAT(held(host, {.type = "macvlan", .device = "eth1"}, blue),
              ElementsAre("10.42.0.57: interface eth1 has 10.42.0.57/24"));
  EXPECT_THAT(held(host, {.type = "macvlan", .device = "eth1"}, main), IsEmpty());
  // Tables that are no VRF's count.
  EXPECT_THAT(held(host, kMacvlan, main),
              ElementsAre("10.43.0.9: router of 10.9.0.0/16 via eth0",
                          "10.43.0.57: interface eth0 has 10.43.0.57/24"));
}

TEST(GuardTest, APortIsInTheVrfOfItsBridge) {
  const Snapshot host = Snapshot()
                            .vrf("blue", 10)
                            .interface("bond0", "bond")
                            .enslaved_to("blue")
                            .interface("eth1")
                            .enslaved_to("bond0")
                            .with("10.42.0.57/24");
  EXPECT_THAT(held(host, kBridge, offer({Range("10.42.0.0/24")})), IsEmpty());
}

// --- what the offer knows of ---

TEST(GuardTest, TheApiServersAddressCannotBeAPodsOnThisNode) {
  auto range = offer({Range("10.42.0.0/24")});
  range.beyond.push_back(
      {.address = made::address("10.42.0.9"), .what = "the Kubernetes API server"});
  for (const Wiring& wiring : {kBridge, kPtp}) {
    EXPECT_EQ(refusal(distant_node(), wiring, range),
              "ipam 10.42.0.1-10.42.0.254 contains 10.42.0.9, the Kubernetes API server");
  }
  for (const Wiring& wiring : {kMacvlan, kUnknown, kLan}) {
    EXPECT_THAT(held(distant_node(), wiring, range),
                ElementsAre("10.42.0.9: the Kubernetes API server"));
  }
  auto excluded = offer({Range("10.42.0.0/24").exclude("10.42.0.9")});
  excluded.beyond = range.beyond;
  EXPECT_THAT(held(distant_node(), kBridge, excluded), IsEmpty());
}

TEST(GuardTest, AHostWithoutAnythingHoldsNothing) {
  const host::HostNetworks none;
  const auto found = held_by_host(none, kBridge, offer({Range("10.42.0.0/24")}),
                                  [](net::Address) { return false; });
  EXPECT_THAT(std::get<std::vector<HeldRange>>(found), IsEmpty());
  EXPECT_THAT(held(node(), kBridge, {}), IsEmpty());
}

TEST(GuardTest, AnInterfaceThatIsNotListedIsTheHostsAllTheSame) {
  host::HostNetworks networks = distant_node().networks();
  networks.addresses.push_back({.address = made::prefix("10.42.0.9/32"), .interface = 99});
  const auto found = held_by_host(networks, kBridge, offer({Range("10.42.0.0/24")}),
                                  [](net::Address) { return false; });
  EXPECT_THAT(std::get<std::vector<HeldRange>>(found),
              ElementsAre(HeldRange{.range = net::Range::single(made::address("10.42.0.9")),
                                    .what = "interface number 99 has 10.42.0.9"}));
}

TEST(GuardTest, SaysWhatIsNeverLeased) {
  EXPECT_EQ((HeldRange{.range = *net::Range::parse("10.0.0.4"), .what = "interface x has 10.0.0.4"})
                .to_string(),
            "10.0.0.4 is never leased: interface x has 10.0.0.4");
  EXPECT_EQ((HeldRange{.range = *net::Range::parse("10.0.0.4-10.0.0.7"), .what = "y"}).to_string(),
            "10.0.0.4-10.0.0.7 are never leased: y");
}

// On any host: what the host has of the usable addresses is held or refused, nothing else is said
// of other addresses, and a main plugin that does not route is never refused.
class Hosts {
 public:
  explicit Hosts(unsigned seed) : random_(seed) {}

  Snapshot host() {
    Snapshot host;
    host.vrf("blue", 10);
    host.interface("cni0", "bridge");
    if (below(4) == 0) {
      host.enslaved_to("blue");
    }
    fill(host);
    for (unsigned i = 0; i < 4; ++i) {
      if (below(3) == 0) {
        host.pod_link("veth" + std::to_string(i));
      } else {
        host.interface("eth" + std::to_string(i));
      }
      if (below(4) == 0) {
        host.enslaved_to("blue");
      }
      fill(host);
    }
    return host;
  }
  pools::Offer ranges() {
    Range range(net::Prefix::make(any(), 26 + below(4))->masked().to_string());
    if (below(2) == 0) {
      range.exclude(any().to_string());
    }
    return offer({range});
  }
  Wiring wiring() {
    const Wiring all[] = {kBridge, kPtp, kMacvlan, kUnknown, {.type = "bridge", .device = "cni0"}};
    return all[below(5)];
  }
  [[nodiscard]] bool is_leased(net::Address address) const { return address.bits() % 5 == 0; }

 private:
  int below(int count) { return std::uniform_int_distribution<>(0, count - 1)(random_); }
  net::Address any() { return net::Address::v4((10U << 24) + static_cast<unsigned>(below(64))); }
  void fill(Snapshot& host) {
    for (int i = below(3); i > 0; --i) {
      const int lengths[] = {32, 32, 30, 28, 26, 24};
      host.with(net::Prefix::make(any(), lengths[below(6)])->to_string());
    }
    for (int i = below(3); i > 0; --i) {
      const char* const destinations[] = {"0.0.0.0/0", "10.9.0.0/16", "10.0.0.0/28", "0.0.0.0/1"};
      host.route(destinations[below(4)], below(3) == 0 ? std::string() : any().to_string(),
                 below(4) == 0 ? 10 : 254);
    }
  }

  std::mt19937 random_;
};

TEST(GuardTest, OnAnyHostWhatItHasIsHeldOrRefused) {
  int refused = 0;
  int served = 0;
  for (unsigned seed = 0; seed < 1500; ++seed) {
    Hosts hosts(seed);
    const Snapshot host = hosts.host();
    const pools::Offer ranges = hosts.ranges();
    const Wiring wiring = hosts.wiring();
    const auto found = held_by_host(host.networks(), wiring, ranges,
                                    [&](net::Address address) { return hosts.is_leased(address); });
    SCOPED_TRACE("seed " + std::to_string(seed) + ", " + wiring.type);
    if (std::holds_alternative<Error>(found)) {
      EXPECT_TRUE(wiring.is_routing());
      ++refused;
      continue;
    }
    ++served;
    const pools::PoolRange& range = ranges.sets[0].ranges[0];
    net::IntervalSet held;
    for (const HeldRange& one : std::get<std::vector<HeldRange>>(found)) {
      EXPECT_FALSE(held.overlaps(one.range)) << one.to_string();
      EXPECT_EQ(range.usable.within(one.range), net::IntervalSet({one.range})) << one.to_string();
      held.insert(one.range);
    }
    const host::Interface* const link = host.networks().find(wiring.device);
    const bool in_vrf = link != nullptr && link->master != 0;
    for (const host::InterfaceAddress& own : host.networks().addresses) {
      const net::Address address = own.address.address();
      const bool is_in_vrf = host.networks().find(own.interface)->master != 0;
      if (is_in_vrf == in_vrf && range.usable.contains(address)) {
        EXPECT_TRUE(held.contains(address)) << address.to_string();
      }
    }
    for (const host::HostRoute& route : host.networks().routes) {
      const auto& gateway = route.next_hops[0].gateway;
      const std::string interface = host.networks().find(route.next_hops[0].interface)->name;
      if (gateway && interface.starts_with("eth") && (route.table == 10) == in_vrf &&
          !hosts.is_leased(*gateway) && range.usable.contains(*gateway)) {
        const bool is_ptp_like = wiring.type == "ptp";
        EXPECT_TRUE(held.contains(*gateway) || is_ptp_like) << gateway->to_string();
      }
    }
  }
  EXPECT_GT(refused, 150);
  EXPECT_GT(served, 150);
}

}  // namespace
}  // namespace podlease::ipam
