#include "ranges.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "podlease/base/text.h"
#include "podlease/net/special_block.h"
#include "scalars.h"

namespace podlease::config {
namespace {

using net::Address;
using net::Prefix;
using net::Range;

constexpr const char* kRangesForm =
    "write [[{\"subnet\": \"10.1.0.0/16\"}]]: the inner lists are range sets, and an attachment "
    "gets "
    "one address from each set";

// `what` says what the value must be, with the form of the whole.
std::vector<Value> list_in(const Value& value, std::string_view what) {
  if (value.present() && !value.json().is_array()) {
    throw value.error(what, kRangesForm);
  }
  return value.list();
}

// The family whose CIDR of the node `text` stands for, if it stands for one.
std::optional<net::Family> node_cidr_word(std::string_view text) {
  if (equals_ignoring_case(text, "usePodCidr")) {
    return net::Family::kIpv4;
  }
  if (equals_ignoring_case(text, "usePodCidrIPv6")) {
    return net::Family::kIpv6;
  }
  return std::nullopt;
}

// Throws kConfig. `path` says where the range is written.
void refuse_special_blocks(const std::string& path, const Range& range) {
  if (const std::optional<std::string> overlap = net::overlap_with_special_block(range)) {
    throw Error(ErrorKind::kConfig, path + " (" + range.to_string() + ") " + *overlap,
                "use another range");
  }
}

// An empty string means that there is no address, as in Go.
std::optional<Address> read_optional_address(const Value& value) {
  const std::string text = value.string().value_or("");
  if (text.empty()) {
    return std::nullopt;
  }
  return read_address(value, text);
}

// What all ranges of a configuration have in common.
struct Surroundings {
  PrefixMode prefix;
  bool gateway_none;
  const std::vector<NodeCidr>* node_cidrs;
};

Prefix read_subnet(const Value& value, const Surroundings& around) {
  const std::string text = value.string().value_or("");
  if (const std::optional<net::Family> family = node_cidr_word(text)) {
    for (const NodeCidr& node : *around.node_cidrs) {
      if (node.cidr.family() == *family) {
        return node.cidr;
      }
    }
    throw value.error("cannot be resolved: this node has no " +
                      std::string(*family == net::Family::kIpv4 ? "IPv4" : "IPv6") + " CIDR");
  }
  const std::optional<Prefix> subnet = Prefix::parse(text);
  if (!subnet) {
    throw value.error("is not a subnet, such as 10.1.0.0/16");
  }
  if (subnet->address().is_v4_mapped()) {
    throw value.error("is an IPv4 subnet in IPv6 spelling", "write it as an IPv4 subnet");
  }
  if (subnet->has_host_bits()) {
    throw value.error("has host bits set",
                      "the network address is " + subnet->masked().to_string());
  }
  return *subnet;
}

struct GatewayChoice {
  std::optional<Address> address;
  bool given = false;
};

GatewayChoice default_gateway(const Prefix& subnet, bool none) {
  return none ? GatewayChoice{} : GatewayChoice{.address = subnet.first().next()};
}

GatewayChoice read_gateway(const Value& value, const Prefix& subnet, bool default_none) {
  const std::string text = value.string().value_or("");
  if (equals_ignoring_case(text, "none")) {
    return {.address = std::nullopt, .given = true};
  }
  if (!text.empty()) {
    const Address gateway = read_address(value, text);
    if (gateway.family() != subnet.family()) {
      throw value.error("is not of the same family as subnet " + subnet.to_string());
    }
    return {.address = gateway, .given = true};
  }
  return default_gateway(subnet, default_none);
}

// What is leased by default: neither the network address nor, for IPv4, the broadcast address. A
// pod gets those only if the configuration names them.
Range default_bounds(const Prefix& subnet, bool every_address) {
  if (every_address) {
    return subnet.range();
  }
  const Address last = subnet.last();
  return *Range::make(*subnet.first().next(), last.is_v4() ? *last.previous() : last);
}

bool is_tiny(const Prefix& subnet) {
  return subnet.length() > net::bit_width(subnet.family()) - 2;
}

AddressRange read_range(const Value& value, const Surroundings& around) {
  const Value subnet_value = value.member("subnet");
  if (!subnet_value.present()) {
    throw subnet_value.error("is missing");
  }
  const Prefix subnet = read_subnet(subnet_value, around);

  const std::optional<Address> start = read_optional_address(value.member("rangeStart"));
  const std::optional<Address> end = read_optional_address(value.member("rangeEnd"));
  const bool tiny = is_tiny(subnet);
  const bool every_address = around.prefix == PrefixMode::kHost;
  const bool of_node = node_cidr_word(subnet_value.string().value_or("")).has_value();
  if (tiny && !every_address && !of_node && !(start && end)) {
    throw subnet_value.error(
        "is too small to allocate from",
        "give rangeStart and rangeEnd, or \"prefix\": \"host\", to use every address of it");
  }
  const Range bounds = tiny ? subnet.range() : default_bounds(subnet, every_address);
  const auto inside = [&](std::string_view key, const std::optional<Address>& given,
                          Address otherwise) {
    if (given && !subnet.contains(*given)) {
      throw value.member(key).error("is not in subnet " + subnet.to_string());
    }
    return given.value_or(otherwise);
  };
  const Address first = inside("rangeStart", start, bounds.first());
  const Address last = inside("rangeEnd", end, bounds.last());
  const std::optional<Range> range = Range::make(first, last);
  if (!range) {
    throw value.member(start ? "rangeStart" : "rangeEnd")
        .error("leaves no address: the range would go from " + first.to_string() + " to " +
               last.to_string());
  }

  refuse_special_blocks(value.path(), *range);

  const GatewayChoice gateway =
      read_gateway(value.member("gateway"), subnet, around.gateway_none || every_address || tiny);
  return {.path = value.path(),
          .subnet = subnet,
          .range = *range,
          .gateway = gateway.address,
          .gateway_given = gateway.given,
          .answer_length = every_address ? net::bit_width(subnet.family()) : subnet.length()};
}

RangeSet read_range_set(const Value& value, const Surroundings& around) {
  RangeSet set;
  for (const Value& element : ranges_in(value)) {
    if (!element.present()) {
      throw element.error("is null");
    }
    AddressRange range = read_range(element, around);
    if (!set.ranges.empty() && range.subnet.family() != set.family()) {
      throw element.member("subnet").error(
          "is not of the family of " + set.ranges.front().path + ": a range set has one family",
          "an attachment gets one address of each range set; give the other family a set of its "
          "own");
    }
    set.ranges.push_back(std::move(range));
  }
  if (set.ranges.empty()) {
    throw value.error("is an empty range set");
  }
  return set;
}

bool identical(const RangeSet& a, const RangeSet& b) {
  return std::equal(a.ranges.begin(), a.ranges.end(), b.ranges.begin(), b.ranges.end(),
                    [](const AddressRange& x, const AddressRange& y) {
                      return x.subnet == y.subnet && x.range == y.range && x.gateway == y.gateway;
                    });
}

void refuse_overlaps(const std::vector<RangeSet>& sets) {
  std::vector<const AddressRange*> ranges;
  for (const RangeSet& set : sets) {
    for (const AddressRange& range : set.ranges) {
      ranges.push_back(&range);
    }
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const AddressRange* a, const AddressRange* b) { return a->range < b->range; });
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    const AddressRange& one = *ranges[i - 1];
    const AddressRange& other = *ranges[i];
    if (one.range.overlaps(other.range)) {
      throw Error(ErrorKind::kConfig,
                  one.path + " (" + one.range.to_string() + ") overlaps with " + other.path + " (" +
                      other.range.to_string() + ")",
                  "an address must belong to one range");
    }
  }
}

}  // namespace

std::vector<Value> sets_in(const Value& list) {
  return list_in(list, "must be a list of range sets: the form is [[{…}]]");
}

std::vector<Value> ranges_in(const Value& set) {
  return list_in(set, "must be a list, for it is a range set: the form is [[{…}]]");
}

std::vector<net::Family> node_families_of(const Value& ipam, const Value& runtime_ranges) {
  std::vector<net::Family> families;
  const auto look_at = [&](const Value& range) {
    const std::optional<net::Family> family =
        node_cidr_word(range.member("subnet").string().value_or(""));
    if (family && std::find(families.begin(), families.end(), *family) == families.end()) {
      families.push_back(*family);
    }
  };
  look_at(ipam);
  for (const Value& list : {runtime_ranges, ipam.member("ranges")}) {
    for (const Value& set : sets_in(list)) {
      for (const Value& range : ranges_in(set)) {
        look_at(range);
      }
    }
  }
  return families;
}

bool has_ranges(const Value& ipam, const Value& runtime_ranges) {
  return ipam.member("subnet").present() || !sets_in(ipam.member("ranges")).empty() ||
         !sets_in(runtime_ranges).empty();
}

std::vector<RangeSet> ranges_of_node(const Value& ipam, const std::vector<NodeCidr>& cidrs,
                                     PrefixMode prefix) {
  const Value gateway_value = ipam.member("gateway");
  const bool every_address = prefix == PrefixMode::kHost;
  std::vector<RangeSet> sets;
  for (const NodeCidr& node : cidrs) {
    const Prefix& subnet = node.cidr;
    const bool default_none = every_address || is_tiny(subnet);
    const Range range = default_bounds(subnet, default_none);
    refuse_special_blocks(node.origin, range);
    // An address is the gateway of its own family; the other keeps its default.
    const std::optional<Address> given = Address::parse(gateway_value.string().value_or(""));
    const GatewayChoice gateway = given && given->family() != subnet.family()
                                      ? default_gateway(subnet, default_none)
                                      : read_gateway(gateway_value, subnet, default_none);
    sets.push_back({.ranges = {{.path = node.origin,
                                .subnet = subnet,
                                .range = range,
                                .gateway = gateway.address,
                                .gateway_given = gateway.given,
                                .answer_length = every_address ? net::bit_width(subnet.family())
                                                               : subnet.length()}}});
  }
  return sets;
}

std::vector<RangeSet> read_range_sets(const Value& ipam, const Value& runtime_ranges,
                                      PrefixMode prefix, const std::vector<NodeCidr>& node_cidrs) {
  // Of a gateway directly under `ipam`, only "none" is for all ranges; an address belongs to the
  // subnet beside it.
  const Value gateway = ipam.member("gateway");
  const bool gateway_none = equals_ignoring_case(gateway.string().value_or(""), "none");
  const Surroundings around{
      .prefix = prefix, .gateway_none = gateway_none, .node_cidrs = &node_cidrs};

  std::vector<RangeSet> sets;
  // Runtimes repeat in runtimeConfig what the configuration already says. A set that stands twice
  // in one source is a mistake.
  const auto add_source = [&](std::vector<RangeSet> source) {
    refuse_overlaps(source);
    const std::size_t before = sets.size();
    for (RangeSet& set : source) {
      if (std::none_of(sets.begin(), sets.begin() + static_cast<std::ptrdiff_t>(before),
                       [&](const RangeSet& other) { return identical(set, other); })) {
        sets.push_back(std::move(set));
      }
    }
  };
  const auto read_list = [&](const Value& list) {
    std::vector<RangeSet> source;
    for (const Value& set : sets_in(list)) {
      source.push_back(read_range_set(set, around));
    }
    return source;
  };
  add_source(read_list(runtime_ranges));
  if (ipam.member("subnet").present()) {
    add_source({RangeSet{.ranges = {read_range(ipam, around)}}});
  } else {
    // There is no subnet for these keys, but a value that is not an address is still a mistake.
    static_cast<void>(read_optional_address(ipam.member("rangeStart")));
    static_cast<void>(read_optional_address(ipam.member("rangeEnd")));
    if (!gateway_none) {
      static_cast<void>(read_optional_address(gateway));
    }
  }
  add_source(read_list(ipam.member("ranges")));
  if (sets.empty()) {
    throw Error(ErrorKind::kConfig, "no IP ranges specified",
                "give ipam.ranges, such as [[{\"subnet\": \"10.1.0.0/16\"}]]");
  }
  refuse_overlaps(sets);
  return sets;
}

}  // namespace podlease::config
