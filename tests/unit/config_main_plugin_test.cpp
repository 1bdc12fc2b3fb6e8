#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/config/main_plugin.h"
#include "podlease/config/net_conf.h"

namespace podlease::config {

std::ostream& operator<<(std::ostream& out, const MainPlugin& plugin) {
  return out << plugin.type << " on \"" << plugin.device << "\" vlan \"" << plugin.vlan << '"'
             << (plugin.is_gateway ? " gateway" : "")
             << (plugin.in_container ? " in_container" : "")
             << (plugin.force_address ? " force_address" : "");
}

namespace {

std::string with_members(std::string_view members) {
  return R"({"cniVersion": "1.0.0", "name": "net", )" + std::string(members) +
         R"("ipam": {"type": "podlease", "subnet": "10.1.0.0/16"}})";
}

TEST(MainPluginKeysTest, SayWhereTheAddressesAreUsed) {
  struct Row {
    std::string_view members;
    MainPlugin plugin;
  };
  const std::vector<Row> rows = {
      {"", {}},
      {R"("bridge": "br0", "isGateway": true, "master": "eth0", "vlan": 5,)", {}},
      {R"("type": "bridge",)", {.type = "bridge", .device = "cni0"}},
      {R"("type": "bridge", "bridge": "",)", {.type = "bridge", .device = "cni0"}},
      {R"("type": "bridge", "bridge": null, "isGateway": null, "vlan": null, "vlanTrunk": null,)",
       {.type = "bridge", .device = "cni0"}},
      {R"("type": "bridge", "bridge": "br0", "isGateway": true, "forceAddress": true,)",
       {.type = "bridge", .device = "br0", .is_gateway = true, .force_address = true}},
      {R"("type": "bridge", "isDefaultGateway": true, "isGateway": false,)",
       {.type = "bridge", .device = "cni0", .is_gateway = true}},
      {R"("TYPE": "bridge", "BRIDGE": "br0", "isgateway": true, "VLAN": 7, "FORCEaddress": true,)",
       {.type = "bridge", .device = "br0", .vlan = "7", .is_gateway = true, .force_address = true}},
      {R"("type": "bridge", "bridge": "br0", "Bridge": "br1",)",
       {.type = "bridge", .device = "br1"}},
      {R"("type": "ptp", "bridge": "br0", "isGateway": true, "master": "eth0",)", {.type = "ptp"}},
      {R"("type": "macvlan",)", {.type = "macvlan"}},
      {R"("type": "macvlan", "master": "eth0", "mode": "bridge", "isGateway": true,)",
       {.type = "macvlan", .device = "eth0"}},
      {R"("type": "ipvlan", "MASTER": "eth0.7", "linkInContainer": true,)",
       {.type = "ipvlan", .device = "eth0.7", .in_container = true}},
      {R"("type": "vlan", "master": "eth0", "vlanId": 12, "LinkInContainer": true,)",
       {.type = "vlan", .device = "eth0", .vlan = "12", .in_container = true}},
      {R"("type": "vlan", "master": "eth0", "vlanID": 12,)",
       {.type = "vlan", .device = "eth0", .vlan = "12"}},
      {R"("type": "vlan", "master": "eth0",)", {.type = "vlan", .device = "eth0"}},
      {R"("type": "macvlan", "master": "eth0", "vlanId": 12, "vlan": 5,)",
       {.type = "macvlan", .device = "eth0"}},
      {R"("type": "host-device", "device": "eth1", "master": "eth0",)",
       {.type = "host-device", .device = "eth1"}},
      {R"("type": "host-device", "pciBusID": "0000:00:1f.6",)", {.type = "host-device"}},
      {R"("type": "calico", "master": "eth0", "device": "eth0",)", {.type = "calico"}},
      // Values of another type are the main plugin's to refuse.
      {R"("type": 5, "bridge": "br0",)", {}},
      {R"("type": ["bridge"],)", {}},
      {R"("type": "bridge", "bridge": 5, "isGateway": "true", "isDefaultGateway": 1,
          "vlan": "7", "vlanTrunk": {"id": 7}, "forceAddress": "yes", "linkInContainer": "yes",)",
       {.type = "bridge", .device = "cni0"}},
      {R"("type": "bridge", "isGateway": "true", "isDefaultGateway": true, "vlan": 7.5,)",
       {.type = "bridge", .device = "cni0", .is_gateway = true}},
      {R"("type": "macvlan", "master": ["eth0"],)", {.type = "macvlan"}},
      {R"("type": "vlan", "master": {}, "vlanId": "12",)", {.type = "vlan"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.members);
    const Document document = Document::parse(with_members(row.members));
    EXPECT_EQ(document.main_plugin(), row.plugin);
    EXPECT_EQ(document.net_conf("").main_plugin, row.plugin);
  }
}

TEST(MainPluginKeysTest, AreReadWhateverElseIsWrong) {
  for (const std::string_view rest : {R"("ipam": 5)", R"("name": 5)", R"("ipam": {"subnet": []})",
                                      R"("cniVersion": {})", R"("runtimeConfig": 5)"}) {
    EXPECT_EQ(Document::parse(R"({"type": "macvlan", "master": "eth0", )" + std::string(rest) + "}")
                  .main_plugin(),
              (MainPlugin{.type = "macvlan", .device = "eth0"}))
        << rest;
  }
}

TEST(MainPluginKeysTest, VlansThatAreTheSameHaveTheSameText) {
  struct Row {
    std::string_view members;
    std::string_view vlan;
  };
  const std::vector<Row> rows = {
      {R"("vlan": 0,)", ""},
      {R"("vlan": 5,)", "5"},
      {R"("vlan": 4094,)", "4094"},
      {R"("vlan": -1,)", ""},
      {R"("vlan": 4095,)", ""},
      {R"("vlan": 99999999999999999999,)", ""},
      {R"("vlanTrunk": [],)", ""},
      {R"("vlanTrunk": [{}],)", ""},
      {R"("vlanTrunk": [{"id": 10}],)", "trunk 10"},
      {R"("vlanTrunk": [{"ID": 10}],)", "trunk 10"},
      {R"("vlanTrunk": [{"minID": 10, "maxID": 12}],)", "trunk 10-12"},
      {R"("vlanTrunk": [{"minID": 10, "maxID": 10}],)", "trunk 10"},
      {R"("vlanTrunk": [{"id": 12}, {"id": 10}, {"id": 11}, {"id": 10}],)", "trunk 10-12"},
      {R"("vlanTrunk": [{"minID": 20, "maxID": 30}, {"id": 10}, {"minID": 25, "maxID": 27}],)",
       "trunk 10,20-30"},
      {R"("vlanTrunk": [{"id": 31, "minID": 20, "maxID": 30}],)", "trunk 20-31"},
      {R"("vlanTrunk": [{"id": 10}], "vlan": 5,)", "5 trunk 10"},
      {R"("VlanTrunk": [{"MinId": 1, "MaxId": 4094}],)", "trunk 1-4094"},
      {R"("vlanTrunk": [{"minID": 30, "maxID": 20}, {"minID": 7}, {"maxID": 7}, 7, null, "7"],)",
       ""},
  };
  for (const Row& row : rows) {
    const std::string text = with_members(R"("type": "bridge", )" + std::string(row.members));
    EXPECT_EQ(Document::parse(text).main_plugin().vlan, row.vlan) << text;
  }
}

TEST(MainPluginKeysTest, AreThoseOfThePluginThatCallsPodlease) {
  const std::string list = R"({"cniVersion": "1.0.0", "name": "net", "type": "bridge", "plugins": [
      {"type": "bridge", "bridge": "br0", "ipam": {"type": "host-local"}},
      {"type": "vlan", "master": "eth0", "vlanId": 9, "ipam": {"type": "podlease", "subnet": "10.1.0.0/16"}},
      {"type": "macvlan", "master": "eth1", "ipam": {"type": "podlease", "subnet": "10.2.0.0/16"}},
      {"type": "portmap", "master": "eth2"}]})";
  const MainPlugin expected{.type = "vlan", .device = "eth0", .vlan = "9"};
  EXPECT_EQ(Document::parse_file(list).net_conf("").main_plugin, expected);
  const std::optional<Document> found = Document::find_in_file(list);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->main_plugin(), expected);
}

TEST(MainPluginKeysTest, OnlyABridgeWithAGatewayAndPtpRoute) {
  EXPECT_TRUE((MainPlugin{.type = "ptp"}).routes());
  EXPECT_TRUE((MainPlugin{.type = "bridge", .is_gateway = true}).routes());
  EXPECT_FALSE((MainPlugin{.type = "bridge"}).routes());
  EXPECT_FALSE((MainPlugin{.type = "macvlan"}).routes());
  EXPECT_FALSE((MainPlugin{}).routes());
}

}  // namespace
}  // namespace podlease::config
