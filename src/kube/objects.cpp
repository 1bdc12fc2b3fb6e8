#include "podlease/kube/objects.h"

#include <algorithm>
#include <array>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"

namespace podlease::kube {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kCiliumGroup = "cilium.io/";

// What podlease reads of an object's first two levels; a Node's images and managed fields are most
// of it, and not worth their memory.
constexpr std::array<std::string_view, 12> kWanted = {
    "apiVersion", "kind",        "metadata", "spec",     "status", "name",
    "uid",        "annotations", "podCIDR",  "podCIDRs", "ipam",   "nodeInfo"};

// Annotations worth keeping begin with one of these.
constexpr std::array<std::string_view, 4> kKept = {"network.cilium.io/", "io.cilium.network.",
                                                   "kube-router.io/", "ipam.cilium.io/"};

Error wrong(const std::string& kind, const std::string& what) {
  return Error(ErrorKind::kDecode, "not the JSON of a " + kind + ": " + what);
}

bool is_wanted(int depth, Json::parse_event_t event, const Json& value) {
  constexpr int kSecondLevel = 2;
  return event != Json::parse_event_t::key || depth > kSecondLevel ||
         std::find(kWanted.begin(), kWanted.end(), value.get_ref<const std::string&>()) !=
             kWanted.end();
}

// The whole object; throws kDecode if it is none.
Json parse_object(std::string_view text, const std::string& kind) {
  constexpr bool kThrows = false;
  Json json = Json::parse(text, is_wanted, kThrows);
  // The parser takes a NUL for the end, whatever follows.
  if (json.is_discarded() || text.find('\0') != std::string_view::npos) {
    throw wrong(kind, "no JSON, or not all of it");
  }
  if (!json.is_object()) {
    throw wrong(kind, "no object");
  }
  return json;
}

// The member, or null for what is absent or below something else than an object.
const Json& member(const Json& json, const char* name) {
  static const Json null;
  if (!json.is_object()) {
    return null;
  }
  const auto found = json.find(name);
  return found == json.end() ? null : *found;
}

std::string string_in(const Json& json, const char* name) {
  const Json& value = member(json, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

// A list that holds anything else is not the API's list of strings.
std::vector<std::string> strings_in(const Json& json, const char* name) {
  std::vector<std::string> strings;
  const Json& list = member(json, name);
  if (!list.is_array()) {
    return strings;
  }
  for (const Json& item : list) {
    if (!item.is_string()) {
      return {};
    }
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::map<std::string, std::string> annotations_in(const Json& metadata) {
  std::map<std::string, std::string> annotations;
  const Json& written = member(metadata, "annotations");
  if (!written.is_object()) {
    return annotations;
  }
  for (const auto& [key, value] : written.items()) {
    if (value.is_string()) {
      annotations.emplace(key, value.get<std::string>());
    }
  }
  return annotations;
}

void check_kind(const Json& object, const std::string& kind, bool is_version) {
  if (string_in(object, "kind") != kind || !is_version) {
    throw wrong(kind, "it is of another kind or version");
  }
  if (string_in(member(object, "metadata"), "name").empty()) {
    throw wrong(kind, "it has no metadata.name");
  }
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

bool is_kept(const std::string& annotation) {
  return std::any_of(kKept.begin(), kKept.end(),
                     [&](std::string_view prefix) { return annotation.starts_with(prefix); });
}

// Fields that are empty are left out, as the API does.
template <typename Value>
void put(Json& object, const char* name, const Value& value) {
  if (!value.empty()) {
    object[name] = value;
  }
}

Json metadata_of(const std::string& name, const std::string& uid) {
  Json metadata = Json::object();
  put(metadata, "name", name);
  put(metadata, "uid", uid);
  return metadata;
}

// What was read may be no UTF-8: the parser checks that, a caller that made the struct does not.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

Node parse_node(std::string_view json) {
  const Json object = parse_object(json, "Node");
  check_kind(object, "Node", string_in(object, "apiVersion") == "v1");
  const Json& metadata = member(object, "metadata");
  const Json& spec = member(object, "spec");
  const Json& info = member(member(object, "status"), "nodeInfo");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .annotations = annotations_in(metadata),
          .pod_cidr = string_in(spec, "podCIDR"),
          .pod_cidrs = strings_in(spec, "podCIDRs"),
          .machine_id = string_in(info, "machineID"),
          .system_uuid = string_in(info, "systemUUID"),
          .boot_id = string_in(info, "bootID")};
}

CiliumNode parse_cilium_node(std::string_view json) {
  const Json object = parse_object(json, "CiliumNode");
  check_kind(object, "CiliumNode", string_in(object, "apiVersion").starts_with(kCiliumGroup));
  const Json& metadata = member(object, "metadata");
  const Json& ipam = member(member(object, "spec"), "ipam");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .pod_cidrs = strings_in(ipam, "podCIDRs"),
          .allocated = allocated_in(ipam),
          .pool = pool_in(ipam)};
}

std::string to_json(const Node& node) {
  Json metadata = metadata_of(node.name, node.uid);
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
  return dump({{"apiVersion", "v1"},
               {"kind", "Node"},
               {"metadata", metadata},
               {"spec", spec},
               {"status", {{"nodeInfo", info}}}});
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
