#include <gtest/gtest.h>

#include <algorithm>

#include "held_note.h"
#include "snapshot.h"

namespace podlease::ipam {
namespace {

using made::offer;
using made::Range;

const Wiring kBridge{.type = "bridge", .device = "cni0", .is_gateway = true};

TEST(HeldNoteTest, ReadsWhatItWrote) {
  const std::vector<HeldRange> lists[] = {
      {},
      {{.range = *net::Range::parse("10.0.0.4"), .what = "interface x has 10.0.0.4"}},
      {{.range = *net::Range::parse("172.17.0.0/16"),
        .what = "interface docker0 has 172.17.0.1/16"},
       {.range = *net::Range::parse("fd00::1-fd00::9"), .what = "router of ::/0 via eth0"}},
  };
  for (const auto& list : lists) {
    EXPECT_EQ(decode(encode(list)), list) << encode(list);
  }
  EXPECT_EQ(encode(lists[1]), "held-1 1\n10.0.0.4 interface x has 10.0.0.4\n");
  const std::vector<HeldRange> broken{{.range = *net::Range::parse("10.0.0.4"), .what = "a\nb"}};
  EXPECT_EQ(decode(encode(broken))->front().what, "a b");
}

TEST(HeldNoteTest, ReadsNothingFromWhatIsMalformed) {
  for (const char* const text : {
           "",
           "\n",
           "held-1",
           "held-1 0",
           "held-2 0\n",
           "held-1 \n",
           "held-1 x\n",
           "held-1 -1\n",
           "held-1 1x\n",
           "held-1 1\n",
           "held-1 0\n10.0.0.4 x\n",
           "held-1 2\n10.0.0.4 x\n",
           "held-1 1\n10.0.0.4 x",
           "held-1 1\n10.0.0.4\n",
           "held-1 1\n10.0.0.4 \n",
           "held-1 1\n10.0.0 x\n",
           "held-1 1\n10.0.0.9-10.0.0.4 x\n",
           "held-1 1\n x\n",
           "held-1 99999999999999999999999\n",
           "10.0.0.4 x\n",
       }) {
    EXPECT_EQ(decode(text), std::nullopt) << text;
  }
  // Any cut, too.
  const std::string whole =
      encode({{.range = *net::Range::parse("10.0.0.4"), .what = "x"},
              {.range = *net::Range::parse("10.0.0.6-10.0.0.7"), .what = "y z"}});
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_EQ(decode(whole.substr(0, length)), std::nullopt) << length;
  }
}

TEST(HeldNoteTest, TheFingerprintIsThatOfWiringAndOffer) {
  const auto one = offer({Range("10.42.0.0/24")});
  const std::string print = fingerprint(kBridge, one);
  EXPECT_EQ(print.size(), 16U);
  EXPECT_EQ(print, fingerprint(kBridge, offer({Range("10.42.0.0/24")})));
  // Whatever a message calls the range.
  EXPECT_EQ(print, fingerprint(kBridge, offer({Range("10.42.0.0/24").named("other")})));

  std::vector<std::string> prints{print};
  for (const Wiring& wiring :
       {Wiring{.type = "ptp"}, Wiring{.type = "bridge", .device = "br0"}, Wiring{},
        Wiring{.type = "bridge", .device = "cni0"},
        Wiring{.type = "bridge", .device = "cni1", .is_gateway = true},
        Wiring{.type = "bridge", .device = "cni0", .vlan = "1", .is_gateway = true},
        Wiring{.type = "bridge", .device = "cni01", .is_gateway = true},
        Wiring{.type = "bridge", .device = "cni0", .is_gateway = true, .in_container = true},
        Wiring{.type = "bridge", .device = "cni0", .is_gateway = true, .from_node = true}}) {
    prints.push_back(fingerprint(wiring, one));
  }
  auto known = one;
  known.beyond.push_back({.address = made::address("10.42.0.9"), .what = "x"});
  const pools::Offer joined{
      .sets = {{.family = net::Family::kIpv4,
                .ranges = {Range("10.42.0.0/24").made(), Range("10.43.0.0/24").made()}}}};
  for (const pools::Offer& other :
       {pools::Offer{}, offer({Range("10.42.0.0/25")}), offer({Range("10.43.0.0/24")}),
        offer({Range("10.42.0.0/24").gateway("10.42.0.2")}),
        offer({Range("10.42.0.0/24").no_gateway()}),
        offer({Range("10.42.0.0/24").no_gateway().exclude("10.42.0.1")}),
        offer({Range("10.42.0.0/24").exclude("10.42.0.9")}),
        offer({Range("10.42.0.0/24").from("10.42.0.2", "10.42.0.254")}),
        offer({Range("10.42.0.0/24"), Range("10.43.0.0/24")}),
        offer({Range("10.42.0.0/24"), Range("fd00::/64")}), known, joined}) {
    prints.push_back(fingerprint(kBridge, other));
  }
  std::sort(prints.begin(), prints.end());
  EXPECT_EQ(std::adjacent_find(prints.begin(), prints.end()), prints.end());
}

}  // namespace
}  // namespace podlease::ipam
