#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "podlease/ipam/wiring.h"
#include "snapshot.h"

namespace podlease::ipam {
namespace {

using made::Snapshot;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Snapshot node() {
  return Snapshot().interface("eth0").with("192.168.1.5/24").default_via("192.168.1.1");
}

std::string wires(const Wiring& wiring, const Snapshot& host = node()) {
  std::string text;
  for (const std::string& wire : wires_of(wiring, host.networks())) {
    text.append(text.empty() ? "" : " ").append(wire);
  }
  return text;
}

TEST(WiringTest, NamesTheWireOfEachMainPlugin) {
  const struct {
    Wiring wiring;
    const char* wires;
  } cases[] = {
      {{.type = "bridge", .device = "cni5"}, "bridge:cni5 link:cni5"},
      {{.type = "bridge"}, "bridge:cni0 link:cni0"},
      {{.type = "bridge", .device = "cni5", .vlan = "100"}, "bridge:cni5/100"},
      {{.type = "bridge", .device = "cni5", .vlan = "100-102,200"}, "bridge:cni5/100-102,200"},
      {{.type = "bridge", .device = "cni5", .is_gateway = true}, "bridge:cni5 link:cni5 table:254"},
      {{.type = "bridge", .device = "cni5", .vlan = "7", .is_gateway = true},
       "bridge:cni5/7 table:254"},
      {{.type = "ptp"}, "table:254"},
      {{.type = "vlan", .device = "eth1", .vlan = "5"}, "vlan:eth1/5"},
      {{.type = "vlan", .device = "eth1"}, "vlan:eth1/0"},
      {{.type = "macvlan", .device = "eth1"}, "link:eth1"},
      {{.type = "ipvlan", .device = "eth1"}, "link:eth1"},
      {{.type = "macvlan"}, "link:eth0"},
      {{.type = "ipvlan"}, "link:eth0"},
      {{.type = "macvlan", .device = "cni5"}, "link:cni5"},  // on the segment of that bridge
      {{.type = "host-device", .device = "ens7"}, "link:ens7"},
      // Unknown.
      {{}, ""},
      {{.type = "calico"}, ""},
      {{.type = "calico", .device = "eth0"}, ""},
      {{.type = "host-device"}, ""},  // by its PCI address
      {{.type = "vlan", .vlan = "5"}, ""},
      {{.type = "macvlan", .device = "eth0", .in_container = true}, ""},
      {{.type = "macvlan", .in_container = true}, ""},
      {{.type = "vlan", .device = "eth0", .vlan = "5", .in_container = true}, ""},
      // Mode kubernetes.
      {{.type = "bridge", .is_gateway = true, .from_node = true},
       "bridge:cni0 link:cni0 table:254 podcidr"},
      {{.type = "ptp", .from_node = true}, "table:254 podcidr"},
      {{.type = "calico", .from_node = true}, "podcidr"},
      {{.type = "macvlan", .in_container = true, .from_node = true}, "podcidr"},
      // No interface can have such a name, and it must not look like several wires.
      {{.type = "macvlan", .device = "eth0 table:254"}, ""},
      {{.type = "bridge", .device = "a/5"}, ""},
      {{.type = "bridge", .device = "a", .vlan = "1 2"}, ""},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(wires(one.wiring), one.wires)
        << one.wiring.type << " " << one.wiring.device << " " << one.wiring.vlan;
  }
}

TEST(WiringTest, AVlanIsOneWireWhoeverTagsTheFrames) {
  const Snapshot host = node()
                            .interface("cni5", "bridge")
                            .vlan("storage", "eth0", 9)
                            .vlan("cni5.100", "cni5", 100)
                            .vlan("prio", "eth0", 0);
  const struct {
    Wiring wiring;
    const char* wires;
  } cases[] = {
      {{.type = "vlan", .device = "eth0", .vlan = "9"}, "vlan:eth0/9"},
      {{.type = "macvlan", .device = "storage"}, "link:storage vlan:eth0/9"},
      {{.type = "ipvlan", .device = "storage"}, "link:storage vlan:eth0/9"},
      {{.type = "host-device", .device = "storage"}, "link:storage vlan:eth0/9"},
      {{.type = "vlan", .device = "storage", .vlan = "9"}, "vlan:storage/9"},  // a tag in a tag
      {{.type = "macvlan", .device = "prio"}, "link:prio vlan:eth0/0"},
      {{.type = "bridge", .device = "cni5", .vlan = "100"}, "bridge:cni5/100"},
      {{.type = "vlan", .device = "cni5", .vlan = "100"}, "bridge:cni5/100"},
      {{.type = "macvlan", .device = "cni5.100"}, "link:cni5.100 bridge:cni5/100"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(wires(one.wiring, host), one.wires)
        << one.wiring.type << " " << one.wiring.device << " " << one.wiring.vlan;
  }
}

TEST(WiringTest, ResolvesTheMasterAsThePluginsDo) {
  const Wiring macvlan{.type = "macvlan"};
  EXPECT_EQ(wires(macvlan, Snapshot()), "");
  // Only an IPv6 one.
  EXPECT_EQ(wires(macvlan, Snapshot()
                               .interface("eth0")
                               .with("10.0.0.2/24")
                               .interface("eth1")
                               .default_via("fe80::1")),
            "link:eth1");
  // IPv4's first; of several the first; not that of another table, nor the halves of a VPN.
  EXPECT_EQ(wires(macvlan, Snapshot()
                               .interface("wg0")
                               .route("0.0.0.0/0", "", 51820)
                               .route("0.0.0.0/1")
                               .interface("eth1")
                               .default_via("fe80::1")
                               .interface("eth2")
                               .default_via("10.2.0.1")
                               .interface("eth3")
                               .default_via("10.3.0.1")),
            "link:eth2");
  // A default route that refuses leads to no interface.
  EXPECT_EQ(
      wires(macvlan, Snapshot().blackhole("0.0.0.0/0").interface("eth4").default_via("fe80::1")),
      "link:eth4");
}

TEST(WiringTest, TheTableIsThatOfTheBridgesVrf) {
  const Wiring bridge{.type = "bridge", .device = "cni5", .is_gateway = true};
  const Snapshot in_vrf = Snapshot()
                              .vrf("blue", 10)
                              .interface("cni5", "bridge")
                              .enslaved_to("blue")
                              .interface("cni6", "bridge");
  EXPECT_EQ(wires(bridge, in_vrf), "bridge:cni5 link:cni5 table:10");
  EXPECT_EQ(wires({.type = "bridge", .device = "cni6", .is_gateway = true}, in_vrf),
            "bridge:cni6 link:cni6 table:254");
  EXPECT_EQ(wires({.type = "bridge", .device = "cni5"}, in_vrf), "bridge:cni5 link:cni5");
  EXPECT_EQ(wires({.type = "ptp"}, in_vrf), "table:254");
  // The bridge is not made yet.
  EXPECT_EQ(wires(bridge, Snapshot().vrf("blue", 10)), "bridge:cni5 link:cni5 table:254");
}

TEST(WiringTest, RoutesWithPtpAndABridgeThatIsAGateway) {
  EXPECT_TRUE((Wiring{.type = "ptp"}).is_routing());
  EXPECT_TRUE((Wiring{.type = "bridge", .is_gateway = true}).is_routing());
  EXPECT_FALSE((Wiring{.type = "bridge"}).is_routing());
  EXPECT_FALSE((Wiring{.type = "macvlan", .is_gateway = true}).is_routing());
  EXPECT_FALSE(Wiring{}.is_routing());
}

TEST(WiringTest, NetworksInModeKubernetesHaveAWireInCommon) {
  const auto networks = node();
  EXPECT_THAT(wires_of({.type = "calico", .from_node = true}, networks.networks()),
              ElementsAre("podcidr"));
  EXPECT_THAT(wires_of({.type = "calico"}, networks.networks()), IsEmpty());
}

}  // namespace
}  // namespace podlease::ipam
