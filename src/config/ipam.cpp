#include "ipam.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "known_keys.h"
#include "kubernetes.h"
#include "podlease/base/text.h"
#include "ranges.h"
#include "scalars.h"

namespace podlease::config {
namespace {

using net::Address;
using net::Family;

constexpr std::array<std::string_view, 19> kIpamKeys{"type",
                                                     "mode",
                                                     "subnet",
                                                     "rangeStart",
                                                     "rangeEnd",
                                                     "gateway",
                                                     "ranges",
                                                     "routes",
                                                     "dataDir",
                                                     "exclude",
                                                     "resolvConf",
                                                     "prefix",
                                                     "families",
                                                     "cooldown",
                                                     "pool",
                                                     "kubernetes",
                                                     "log",
                                                     "lockTimeout",
                                                     "statusFailsWhenExhausted"};

constexpr std::array<std::string_view, 2> kLogKeys{"file", "level"};

constexpr std::array<Mode, 4> kModes{Mode::kStatic, Mode::kKubernetes, Mode::kCrd,
                                     Mode::kClusterPool};

// Where a mode has its addresses from, to tell the user who put other ranges beside it.
std::string_view origin_of(Mode mode) {
  switch (mode) {
    case Mode::kStatic:
      return "mode static leases from ipam.ranges and ipam.subnet";
    case Mode::kKubernetes:
      return "mode kubernetes leases from the podCIDRs of this node";
    case Mode::kCrd:
      return "mode crd leases from the CiliumNode";
    case Mode::kClusterPool:
      return "mode cluster-pool leases from blocks of a PodPool";
  }
  return "";
}

// Throws for typing errors. Keys of `ipam` itself that are ignored are returned: what is said of
// them depends on the mode.
std::vector<std::string> check_keys(const Value& ipam, std::vector<std::string>& warnings) {
  std::vector<std::string> ignored = unknown_keys(ipam, kIpamKeys);
  const auto check = [&](const Value& object, std::span<const std::string_view> known) {
    for (const std::string& key : unknown_keys(object, known)) {
      warnings.push_back(ignored_key_warning(object, key));
    }
  };
  for (const Value& set : sets_in(ipam.member("ranges"))) {
    for (const Value& range : ranges_in(set)) {
      check(range, kRangeKeys);
    }
  }
  check(ipam.member("log"), kLogKeys);
  check(ipam.member("kubernetes"), kKubernetesKeys);
  return ignored;
}

// Without the key, the mode follows from whether ranges are given.
Mode read_mode(const Value& value, bool ranges_given) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    return ranges_given ? Mode::kStatic : Mode::kKubernetes;
  }
  if (equals_ignoring_case(*text, "multi-pool")) {
    throw Error(
        ErrorKind::kUnsupportedField,
        value.path() + " " + in_quotes(*text) + " is not supported by this version of podlease",
        "this version has the modes static, kubernetes, crd and cluster-pool");
  }
  const auto* const mode = std::find_if(kModes.begin(), kModes.end(), [&](Mode each) {
    return equals_ignoring_case(*text, to_string(each));
  });
  if (mode == kModes.end()) {
    throw value.error("must be static, kubernetes, crd or cluster-pool");
  }
  if (*mode != Mode::kStatic && ranges_given) {
    throw value.error("takes its addresses from the cluster, but there are ranges beside it",
                      "leave the ranges out, or set the mode to static; there a subnet "
                      "\"usePodCidr\" is the node's CIDR");
  }
  return *mode;
}

PrefixMode read_prefix(const Value& value) {
  const std::string text = to_lower(value.string().value_or("subnet"));
  if (text == "subnet") {
    return PrefixMode::kSubnet;
  }
  if (text == "pool") {
    return PrefixMode::kPool;
  }
  if (text == "host") {
    return PrefixMode::kHost;
  }
  throw value.error("must be subnet, pool or host");
}

std::vector<Family> read_families(const Value& value) {
  std::vector<Family> families;
  for (const Value& element : value.list()) {
    const std::string text = to_lower(element.string().value_or(""));
    if (text != "ipv4" && text != "ipv6") {
      throw element.error("must be ipv4 or ipv6");
    }
    const Family family = text == "ipv4" ? Family::kIpv4 : Family::kIpv6;
    if (std::find(families.begin(), families.end(), family) != families.end()) {
      throw element.error("is listed twice");
    }
    families.push_back(family);
  }
  if (value.present() && families.empty()) {
    throw value.error("is empty", "list ipv4, ipv6 or both, or leave it out");
  }
  return families;
}

net::IntervalSet read_exclude(const Value& value) {
  std::vector<net::Range> ranges;
  for (const Value& element : value.list()) {
    const std::string text = element.string().value_or("");
    const std::optional<net::Range> range = net::Range::parse(text);
    if (!range) {
      throw element.error("is not an address, a prefix or a FIRST-LAST range");
    }
    // A v4-mapped spelling would otherwise exclude nothing. If only one end is v4-mapped, the range
    // is a wide one of IPv6.
    const bool mapped = range->first().is_v4_mapped() && range->last().is_v4_mapped();
    ranges.push_back(mapped ? *net::Range::make(range->first().unmapped(), range->last().unmapped())
                            : *range);
  }
  return net::IntervalSet(std::move(ranges));
}

// The gateway of an `ipam` without a subnet. "none" is not an address.
std::optional<Address> read_lone_gateway(const Value& ipam) {
  const Value gateway = ipam.member("gateway");
  const std::string text = gateway.string().value_or("");
  if (ipam.member("subnet").present() || text.empty() || equals_ignoring_case(text, "none")) {
    return std::nullopt;
  }
  return read_address(gateway, text);
}

// The IPv4 prefix that a v4-mapped prefix means.
net::Prefix unmapped(const Value& value, const net::Prefix& prefix) {
  constexpr int kMappedBits = 96;
  if (!prefix.address().is_v4_mapped()) {
    return prefix;
  }
  const auto v4 = net::Prefix::make(prefix.address().unmapped(), prefix.length() - kMappedBits);
  if (!v4) {
    throw value.error("is an IPv4 address in IPv6 spelling with an IPv6 prefix length");
  }
  return *v4;
}

std::vector<net::Route> read_routes(const Value& list) {
  std::vector<net::Route> routes;
  for (const Value& value : list.list()) {
    const Value destination_value = value.member("dst");
    const std::optional<net::Prefix> destination =
        net::Prefix::parse(destination_value.string().value_or(""));
    if (!destination) {
      throw destination_value.error(
          destination_value.present() ? "is not a destination, such as 0.0.0.0/0" : "is missing");
    }
    net::Route route{.destination = unmapped(destination_value, *destination)};
    const Value gateway = value.member("gw");
    const std::string gateway_text = gateway.string().value_or("");
    if (!gateway_text.empty()) {
      route.gateway = read_address(gateway, gateway_text);
    }
    route.mtu = value.member("mtu").integer().value_or(0);
    route.advertised_mss = value.member("advmss").integer().value_or(0);
    route.priority = value.member("priority").integer().value_or(0);
    route.table = value.member("table").integer();
    route.scope = value.member("scope").integer();
    routes.push_back(route);
  }
  return routes;
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::kStatic:
      return "static";
    case Mode::kKubernetes:
      return "kubernetes";
    case Mode::kCrd:
      return "crd";
    case Mode::kClusterPool:
      return "cluster-pool";
  }
  return "";
}

void read_ipam(const Value& ipam, const Value& runtime_ranges, NetConf& conf) {
  const std::vector<std::string> ignored = check_keys(ipam, conf.warnings);
  static_cast<void>(ipam.member("type").string());  // throws if it is not a string
  conf.mode = read_mode(ipam.member("mode"), has_ranges(ipam, runtime_ranges));
  for (const std::string& key : ignored) {
    conf.warnings.push_back(ignored_ipam_key_warning(key, origin_of(conf.mode)));
  }
  conf.families = read_families(ipam.member("families"));
  conf.gateway = read_lone_gateway(ipam);
  conf.gateway_none = equals_ignoring_case(ipam.member("gateway").string().value_or(""), "none");
  conf.kubernetes = read_kubernetes(ipam.member("kubernetes"));
  conf.pool = read_object_name(ipam.member("pool"), conf.pool, "pool");
  conf.prefix = read_prefix(ipam.member("prefix"));
  if (conf.mode == Mode::kStatic) {
    conf.node_families = node_families_of(ipam, runtime_ranges);
  }
  conf.exclude = read_exclude(ipam.member("exclude"));
  conf.cooldown = read_duration(ipam.member("cooldown"), conf.cooldown);
  conf.routes = read_routes(ipam.member("routes"));
  conf.resolv_conf = read_path(ipam.member("resolvConf"));
  conf.status_fails_when_exhausted =
      ipam.member("statusFailsWhenExhausted").boolean().value_or(false);
}

}  // namespace podlease::config
