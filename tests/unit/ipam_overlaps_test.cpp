#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "podlease/ipam/overlaps.h"
#include "snapshot.h"

namespace podlease::ipam {
namespace {

using made::offer;
using made::Range;
using made::Snapshot;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Snapshot distant_node() {
  return Snapshot().interface("eth0").with("192.168.1.5/24").default_via("192.168.1.1");
}

TEST(OverlapsTest, NamesTheNetworksARangeLiesInAndNoOthers) {
  const Snapshot host = Snapshot()
                            .interface("eth1")
                            .route("10.0.0.0/8", "192.168.1.1")
                            .route("10.2.0.0/16")
                            .interface("cni0", "bridge")
                            .with("10.1.0.1/29")
                            .route("10.1.0.4/31")
                            .route("10.1.0.5/32");
  EXPECT_THAT(overlap_warnings(offer({Range("10.1.0.0/29")}), host.networks()),
              ElementsAre("ipam 10.1.0.0/29 lies in 10.0.0.0/8, to which this host has a route via "
                          "eth1"));
}

TEST(OverlapsTest, NeitherADefaultRouteNorItsHalvesAreNetworks) {
  const auto ranges = offer({Range("10.1.0.0/24"), Range("2001:db8::/64")});
  EXPECT_THAT(overlap_warnings(ranges, Snapshot().networks()), IsEmpty());
  const Snapshot vpn = distant_node()
                           .default_via("fe80::1")
                           .route("0.0.0.0/1")
                           .route("128.0.0.0/1")
                           .route("::/1")
                           .route("8000::/1")
                           .route("2000::/3");
  EXPECT_THAT(overlap_warnings(ranges, vpn.networks()), IsEmpty());
}

TEST(OverlapsTest, NamesEachNetworkOnceWithItsWays) {
  const Snapshot host = distant_node()
                            .blackhole("10.0.0.0/8")
                            .route("10.1.0.0/16", "192.168.1.7")
                            .also_via("192.168.1.8")
                            .route("10.1.0.0/16", "192.168.1.7", 100)
                            .route("2001:db8::/32", "fe80::1");
  EXPECT_THAT(
      overlap_warnings(offer({Range("10.1.0.0/24"), Range("2001:db8::/64").named("v6")}),
                       host.networks()),
      ElementsAre("ipam 10.1.0.0/24 lies in 10.0.0.0/8, to which this host has a route",
                  "ipam 10.1.0.0/24 lies in 10.1.0.0/16, to which this host has a route via eth0",
                  "v6 2001:db8::/64 lies in 2001:db8::/32, to which this host has a route via "
                  "eth0"));
}

TEST(OverlapsTest, OnlyRoutesOfTheMainPluginsVrfCount) {
  const Snapshot host = distant_node()
                            .vrf("blue", 10)
                            .interface("cni5", "bridge")
                            .enslaved_to("blue")
                            .interface("eth1")
                            .route("10.0.0.0/8", "10.9.0.1", 10)
                            .route("10.1.0.0/16", "10.9.0.1");
  const auto range = offer({Range("10.1.0.0/24")});
  EXPECT_THAT(overlap_warnings(range, host.networks()),
              ElementsAre(HasSubstr("lies in 10.1.0.0/16")));
  EXPECT_THAT(overlap_warnings(range, host.networks(),
                               {.type = "bridge", .device = "cni5", .is_gateway = true}),
              ElementsAre(HasSubstr("lies in 10.0.0.0/8")));
}

}  // namespace
}  // namespace podlease::ipam
