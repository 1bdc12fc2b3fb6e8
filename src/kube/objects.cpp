#include "podlease/kube/objects.h"

#include <algorithm>
#include <array>

#include "api_json.h"
#include "lists.h"

namespace podlease::kube {
namespace {

constexpr std::string_view kCiliumGroup = "cilium.io/";

// What podlease reads of an object's first two levels; a Node's images and managed fields are most
// of it, and not worth their memory.
constexpr std::array<std::string_view, 15> kWanted = {
    "apiVersion",  "kind",    "metadata", "spec", "status",   "name",      "uid",       "labels",
    "annotations", "podCIDR", "podCIDRs", "ipam", "nodeInfo", "addresses", "conditions"};

// Annotations worth keeping begin with one of these.
constexpr std::array<std::string_view, 4> kKept = {"network.cilium.io/", "io.cilium.network.",
                                                   "kube-router.io/", "ipam.cilium.io/"};

bool is_wanted(int depth, Json::parse_event_t event, const Json& value) {
  constexpr int kSecondLevel = 2;
  return event != Json::parse_event_t::key || depth > kSecondLevel ||
         std::find(kWanted.begin(), kWanted.end(), value.get_ref<const std::string&>()) !=
             kWanted.end();
}

std::vector<CiliumNode::Allocated> allocated_in(const Json& ipam) {
  std::vector<CiliumNode::Allocated> allocated;
  const Json& list = member(member(ipam, "pools"), "allocated");
  if (!list.is_array()) {
    return allocated;
  }
  for (const Json& item : list) {
    CiliumNode::Allocated entry{.pool = string_in(item, "pool"),
                                .cidrs = strings_in(item, "cidrs")};
    if (!entry.pool.empty()) {
      allocated.push_back(std::move(entry));
    }
  }
  return allocated;
}

std::map<std::string, std::string> pool_in(const Json& ipam) {
  std::map<std::string, std::string> pool;
  const Json& addresses = member(ipam, "pool");
  if (!addresses.is_object()) {
    return pool;
  }
  for (const auto& [address, holder] : addresses.items()) {
    const Json& owner = member(holder, "owner");
    if (holder.is_object() && (owner.is_string() || owner.is_null())) {
      pool.emplace(address, string_in(holder, "owner"));
    }
  }
  return pool;
}

std::vector<std::string> internal_ips_in(const Json& status) {
  std::vector<std::string> addresses;
  const Json& list = member(status, "addresses");
  if (list.is_array()) {
    for (const Json& item : list) {
      if (string_in(item, "type") == "InternalIP") {
        addresses.push_back(string_in(item, "address"));
      }
    }
  }
  return addresses;
}

bool is_ready(const Json& status) {
  const Json& conditions = member(status, "conditions");
  return conditions.is_array() &&
         std::any_of(conditions.begin(), conditions.end(), [](const Json& condition) {
           return string_in(condition, "type") == "Ready" &&
                  string_in(condition, "status") == "True";
         });
}

bool is_kept(const std::string& annotation) {
  return std::any_of(kKept.begin(), kKept.end(),
                     [&](std::string_view prefix) { return annotation.starts_with(prefix); });
}

}  // namespace

Node node_in(const Json& object) {
  const Json& metadata = member(object, "metadata");
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  const Json& info = member(status, "nodeInfo");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .labels = map_in(metadata, "labels"),
          .annotations = map_in(metadata, "annotations"),
          .pod_cidr = string_in(spec, "podCIDR"),
          .pod_cidrs = strings_in(spec, "podCIDRs"),
          .machine_id = string_in(info, "machineID"),
          .system_uuid = string_in(info, "systemUUID"),
          .boot_id = string_in(info, "bootID"),
          .internal_ips = internal_ips_in(status),
          .ready = is_ready(status)};
}

CiliumNode cilium_node_in(const Json& object) {
  const Json& metadata = member(object, "metadata");
  const Json& ipam = member(member(object, "spec"), "ipam");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .pod_cidrs = strings_in(ipam, "podCIDRs"),
          .allocated = allocated_in(ipam),
          .pool = pool_in(ipam)};
}

Pod pod_in(const Json& object) {
  const Json& metadata = member(object, "metadata");
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  const std::string phase = string_in(status, "phase");
  Pod pod{.name_space = string_in(metadata, "namespace"),
          .name = string_in(metadata, "name"),
          .node_name = string_in(spec, "nodeName"),
          .host_network = true_in(spec, "hostNetwork"),
          .ended = phase == "Succeeded" || phase == "Failed"};
  const Json& owners = member(metadata, "ownerReferences");
  if (owners.is_array()) {
    for (const Json& owner : owners) {
      if (true_in(owner, "controller")) {
        pod.owner = string_in(owner, "kind") + "/" + string_in(owner, "name");
      }
    }
  }
  const Json& ips = member(status, "podIPs");
  if (ips.is_array()) {
    for (const Json& ip : ips) {
      pod.addresses.push_back(string_in(ip, "ip"));
    }
  }
  return pod;
}

ServiceCidr service_cidr_in(const Json& object) {
  return {.name = string_in(member(object, "metadata"), "name"),
          .cidrs = strings_in(member(object, "spec"), "cidrs")};
}

Node parse_node(std::string_view json) {
  const Json object = parse_object(json, "Node", is_wanted);
  check_kind(object, "Node", string_in(object, "apiVersion") == "v1");
  return node_in(object);
}

CiliumNode parse_cilium_node(std::string_view json) {
  const Json object = parse_object(json, "CiliumNode", is_wanted);
  check_kind(object, "CiliumNode", string_in(object, "apiVersion").starts_with(kCiliumGroup));
  return cilium_node_in(object);
}

std::string to_json(const Node& node) {
  Json metadata = metadata_of(node.name, node.uid);
  put(metadata, "labels", node.labels);
  for (const auto& [key, value] : node.annotations) {
    if (is_kept(key)) {
      metadata["annotations"][key] = value;
    }
  }
  Json spec = Json::object();
  put(spec, "podCIDR", node.pod_cidr);
  put(spec, "podCIDRs", node.pod_cidrs);
  Json info = Json::object();
  put(info, "machineID", node.machine_id);
  put(info, "systemUUID", node.system_uuid);
  put(info, "bootID", node.boot_id);
  Json status{{"nodeInfo", info}};
  for (const std::string& address : node.internal_ips) {
    status["addresses"].push_back({{"type", "InternalIP"}, {"address", address}});
  }
  return dump({{"apiVersion", "v1"},
               {"kind", "Node"},
               {"metadata", metadata},
               {"spec", spec},
               {"status", status}});
}

std::string to_json(const CiliumNode& node) {
  Json ipam = Json::object();
  put(ipam, "podCIDRs", node.pod_cidrs);
  for (const CiliumNode::Allocated& entry : node.allocated) {
    Json item{{"pool", entry.pool}};
    put(item, "cidrs", entry.cidrs);
    ipam["pools"]["allocated"].push_back(item);
  }
  for (const auto& [address, owner] : node.pool) {
    Json holder = Json::object();
    put(holder, "owner", owner);
    ipam["pool"][address] = holder;
  }
  return dump({{"apiVersion", "cilium.io/v2"},
               {"kind", "CiliumNode"},
               {"metadata", metadata_of(node.name, node.uid)},
               {"spec", {{"ipam", ipam}}}});
}

}  // namespace podlease::kube
