#include "node_cidrs.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "podlease/base/text.h"

namespace podlease::pools {
namespace {

using config::CidrSource;
using net::Family;
using net::Prefix;

// A value that may hold CIDRs.
struct Candidate {
  std::string place;
  std::string value;
  std::string source;
};

void add_each(const std::string& place, const std::vector<std::string>& values,
              const std::string& source, std::vector<Candidate>& candidates) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    candidates.push_back(
        {.place = place + "[" + std::to_string(i) + "]", .value = values[i], .source = source});
  }
}

// spec.podCIDR is the first of spec.podCIDRs, and alone in what old API servers say.
std::vector<Candidate> in_spec(const kube::Node& node) {
  const std::string object = "Node " + node.name + " ";
  std::vector<Candidate> candidates;
  add_each(object + "spec.podCIDRs", node.pod_cidrs, "node spec", candidates);
  if (candidates.empty()) {
    candidates.push_back(
        {.place = object + "spec.podCIDR", .value = node.pod_cidr, .source = "node spec"});
  }
  return candidates;
}

// Names before the aliases that older Ciliums wrote, and Cilium's before kube-router's.
std::vector<Candidate> in_annotations(const kube::Node& node) {
  constexpr std::array<std::string_view, 6> kKeys{
      "network.cilium.io/ipv4-pod-cidr", "io.cilium.network.ipv4-pod-cidr",
      "network.cilium.io/ipv6-pod-cidr", "io.cilium.network.ipv6-pod-cidr",
      "kube-router.io/pod-cidrs",        "kube-router.io/pod-cidr"};
  std::vector<Candidate> candidates;
  for (const std::string_view key : kKeys) {
    const auto annotation = node.annotations.find(std::string(key));
    const std::string place = "Node " + node.name + " annotation " + std::string(key);
    if (annotation == node.annotations.end()) {
      candidates.push_back({.place = place, .value = {}, .source = {}});
      continue;
    }
    // kube-router separates several by commas.
    for (const std::string_view value : split(annotation->second, ',')) {
      candidates.push_back(
          {.place = place, .value = std::string(trimmed(value)), .source = "node annotation"});
    }
  }
  return candidates;
}

std::vector<Candidate> in_cilium_node(const kube::CiliumNode& node, const std::string& pool) {
  const std::string object = "CiliumNode " + node.name + " spec.ipam.";
  std::vector<Candidate> candidates;
  add_each(object + "podCIDRs", node.pod_cidrs, "CiliumNode", candidates);
  for (std::size_t i = 0; i < node.allocated.size(); ++i) {
    if (node.allocated[i].pool == pool) {
      add_each(object + "pools.allocated[" + std::to_string(i) + "].cidrs", node.allocated[i].cidrs,
               "CiliumNode", candidates);
    }
  }
  if (candidates.empty()) {
    candidates.push_back({.place = object + "podCIDRs", .value = {}, .source = {}});
  }
  return candidates;
}

std::vector<Candidate> candidates_of(CidrSource source, const std::string& pool,
                                     const kube::Node* node, const kube::CiliumNode* cilium_node) {
  switch (source) {
    case CidrSource::kSpec:
      return node != nullptr ? in_spec(*node) : std::vector<Candidate>{};
    case CidrSource::kAnnotation:
      return node != nullptr ? in_annotations(*node) : std::vector<Candidate>{};
    case CidrSource::kCiliumNode:
      return cilium_node != nullptr ? in_cilium_node(*cilium_node, pool) : std::vector<Candidate>{};
  }
  return {};
}

std::optional<Prefix> read_cidr(const std::string& text) {
  const std::optional<Prefix> cidr = Prefix::parse(text);
  if (!cidr || cidr->address().is_v4_mapped()) {
    return std::nullopt;
  }
  return cidr->masked();
}

// Too small to be meant: at most two addresses are left of it for pods.
bool is_long(const Prefix& cidr) {
  return cidr.length() >= net::bit_width(cidr.family()) - 2;
}

void consider(const Candidate& candidate, NodeCidrs& result) {
  Look look{.place = candidate.place, .value = candidate.value};
  const std::optional<Prefix> cidr = read_cidr(candidate.value);
  const auto same_family = std::find_if(
      result.found.begin(), result.found.end(),
      [&](const FoundCidr& other) { return cidr && other.cidr.cidr.family() == cidr->family(); });
  if (candidate.value.empty()) {
    look.outcome = "not set";
  } else if (!cidr) {
    look.outcome = "passed over: it is no CIDR";
    result.warnings.push_back(candidate.place + " " + in_quotes(candidate.value) +
                              " is no CIDR and is passed over");
  } else if (same_family != result.found.end()) {
    look.outcome =
        "not used: " + std::string(name(cidr->family())) + " is from " + same_family->cidr.origin;
    if (same_family->cidr.cidr != *cidr) {
      result.warnings.push_back(candidate.place + " " + cidr->to_string() +
                                " is not used: " + same_family->cidr.origin + " " +
                                same_family->cidr.cidr.to_string() + " comes first");
    }
  } else {
    look.outcome = "used for " + std::string(name(cidr->family()));
    look.used = true;
    result.found.push_back(
        {.cidr = {.cidr = *cidr, .origin = candidate.place}, .source = candidate.source});
    if (is_long(*cidr)) {
      result.warnings.push_back(candidate.place + " " + cidr->to_string() +
                                " leaves room for hardly any pod");
    }
  }
  result.looks.push_back(std::move(look));
}

}  // namespace

NodeCidrs find_node_cidrs(const std::vector<CidrSource>& sources, const std::string& pool,
                          const kube::Node* node, const kube::CiliumNode* cilium_node) {
  NodeCidrs result;
  for (const CidrSource source : sources) {
    for (const Candidate& candidate : candidates_of(source, pool, node, cilium_node)) {
      consider(candidate, result);
    }
  }
  return result;
}

std::vector<Landmark> cilium_addresses(const kube::Node& node, std::vector<std::string>& warnings) {
  struct Kind {
    std::string_view key;  // after the family
    std::string_view what;
  };
  constexpr std::array<Kind, 3> kKinds{{{.key = "cilium-host", .what = "cilium_host"},
                                        {.key = "health-ip", .what = "Cilium's health endpoint"},
                                        {.key = "Ingress-ip", .what = "Cilium's ingress"}}};
  std::vector<Landmark> addresses;
  for (const Kind& kind : kKinds) {
    for (const std::string_view start : {"network.cilium.io/ipv4-", "io.cilium.network.ipv4-",
                                         "network.cilium.io/ipv6-", "io.cilium.network.ipv6-"}) {
      const std::string key = std::string(start).append(kind.key);
      const auto annotation = node.annotations.find(key);
      if (annotation == node.annotations.end()) {
        continue;
      }
      const std::string place = "Node " + node.name + " annotation " + key;
      if (const std::optional<net::Address> address = net::Address::parse(annotation->second)) {
        addresses.push_back({.address = *address,
                             .what = std::string(kind.what) + " of this node (" + place + ")"});
      } else {
        warnings.push_back(place + " " + in_quotes(annotation->second) +
                           " is no address and is passed over");
      }
    }
  }
  return addresses;
}

}  // namespace podlease::pools
