#include "main_plugin.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/text.h"

namespace podlease::config {
namespace {

// The name that the plugin bridge takes if it is given none.
constexpr std::string_view kDefaultBridge = "cni0";

// What `read` returns, or nothing where the value is of another type.
template <typename Read>
auto if_readable(const Read& read) -> decltype(read()) {
  try {
    return read();
  } catch (const Error&) {
    return {};
  }
}

std::string text_in(const Value& object, std::string_view key) {
  return if_readable([&] { return object.member(key).string(); }).value_or("");
}

bool is_true(const Value& object, std::string_view key) {
  return if_readable([&] { return object.member(key).boolean(); }).value_or(false);
}

// A VLAN id, or nothing where none can be made out: 0 means no VLAN, and 4095 is reserved (IEEE
// 802.1Q).
std::optional<std::int64_t> vlan_id_in(const Value& object, std::string_view key) {
  constexpr std::int64_t kLast = 4094;
  const std::optional<std::int64_t> id = if_readable([&] { return object.member(key).integer(); });
  return id && *id > 0 && *id <= kLast ? id : std::nullopt;
}

// Both ends inclusive.
using VlanRange = std::pair<std::int64_t, std::int64_t>;

// The VLANs of a `vlanTrunk`, sorted and joined: entries have an `id`, or `minID` and `maxID`, or
// all three.
std::vector<VlanRange> vlan_trunk_in(const Value& root) {
  std::vector<VlanRange> ranges;
  for (const Value& entry : if_readable([&] { return root.member("vlanTrunk").list(); })) {
    if (const std::optional<std::int64_t> id = vlan_id_in(entry, "id")) {
      ranges.emplace_back(*id, *id);
    }
    const std::optional<std::int64_t> first = vlan_id_in(entry, "minID");
    const std::optional<std::int64_t> last = vlan_id_in(entry, "maxID");
    if (first && last && *first <= *last) {
      ranges.emplace_back(*first, *last);
    }
  }
  std::sort(ranges.begin(), ranges.end());
  std::vector<VlanRange> joined;
  for (const VlanRange& range : ranges) {
    if (!joined.empty() && range.first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, range.second);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

std::string vlan_of_bridge(const Value& root) {
  std::vector<std::string> parts;
  if (const std::optional<std::int64_t> id = vlan_id_in(root, "vlan")) {
    parts.push_back(std::to_string(*id));
  }
  std::vector<std::string> trunk;
  for (const auto& [first, last] : vlan_trunk_in(root)) {
    trunk.push_back(first == last ? std::to_string(first)
                                  : std::to_string(first) + "-" + std::to_string(last));
  }
  if (!trunk.empty()) {
    parts.push_back("trunk " + join(trunk, ","));
  }
  return join(parts, " ");
}

}  // namespace

MainPlugin read_main_plugin(const Value& root) {
  MainPlugin plugin{.type = text_in(root, "type")};
  plugin.in_container = is_true(root, "linkInContainer");
  if (plugin.is_bridge()) {
    plugin.device = text_in(root, "bridge");
    if (plugin.device.empty()) {
      plugin.device = kDefaultBridge;
    }
    plugin.vlan = vlan_of_bridge(root);
    plugin.is_gateway = is_true(root, "isGateway") || is_true(root, "isDefaultGateway");
    plugin.force_address = is_true(root, "forceAddress");
  } else if (plugin.type == "macvlan" || plugin.type == "ipvlan" || plugin.type == "vlan") {
    plugin.device = text_in(root, "master");
    const std::optional<std::int64_t> id =
        plugin.type == "vlan" ? vlan_id_in(root, "vlanId") : std::nullopt;
    plugin.vlan = id ? std::to_string(*id) : "";
  } else if (plugin.type == "host-device") {
    plugin.device = text_in(root, "device");
  }
  return plugin;
}

void check_main_plugin(NetConf& conf) {
  const MainPlugin& plugin = conf.main_plugin;
  if (!plugin.routes()) {
    return;
  }
  const std::vector<RangeSet>& sets = conf.range_sets;
  for (const RangeSet& set : sets) {
    const RangeSet& first_of_family =
        *std::find_if(sets.begin(), sets.end(),
                      [&](const RangeSet& other) { return other.family() == set.family(); });
    const AddressRange& first = first_of_family.ranges.front();
    for (const AddressRange& range : set.ranges) {
      if (!range.gateway) {
        throw Error(
            ErrorKind::kConfig,
            range.path + " has no gateway, and " +
                (plugin.is_ptp() ? "ptp needs one"
                                 : "bridge with isGateway would invent one that a pod may hold"),
            "give " + range.path + ".gateway" +
                (plugin.is_ptp() ? "" : ", or set isGateway and isDefaultGateway to false"));
      }
      if (plugin.is_gateway && range.subnet != first.subnet) {
        conf.warnings.push_back(range.path + " is in another subnet than " + first.path +
                                ": bridge with isGateway refuses a second subnet of one family");
      }
    }
  }
}

void check_main_plugin_of_blocks(const Value& ipam, const NetConf& conf) {
  const MainPlugin& plugin = conf.main_plugin;
  const bool has_gateway = !conf.gateway_none && conf.prefix != PrefixMode::kHost;
  if (plugin.is_ptp() && !has_gateway) {
    throw Error(ErrorKind::kConfig, "ipam has no gateway, and ptp needs one",
                "leave ipam.gateway out, and set ipam.prefix to \"subnet\"");
  }
  if (plugin.is_gateway && (conf.prefix != PrefixMode::kPool || !has_gateway)) {
    throw Error(ErrorKind::kConfig,
                "mode cluster-pool may give this node several blocks, and bridge with isGateway "
                "can have one subnet per family",
                "set ipam.prefix to \"pool\" and leave ipam.gateway out, or use ptp: "
                "conf/10-cluster-pool-ptp.conflist");
  }
  if (conf.gateway && conf.prefix != PrefixMode::kPool) {
    throw ipam.member("gateway").error(
        "is one address, but the gateway of each block is the first address of that block",
        "leave it out, or set ipam.prefix to \"pool\"");
  }
}

}  // namespace podlease::config
