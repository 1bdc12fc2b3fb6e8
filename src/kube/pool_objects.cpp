#include "podlease/kube/pool_objects.h"

#include <algorithm>

#include "api_json.h"
#include "lists.h"

namespace podlease::kube {
namespace {

constexpr const char* kVersion = "podlease.io/v1alpha1";

LabelSelector selector_in(const Json& json) {
  LabelSelector selector{.match_labels = map_in(json, "matchLabels")};
  const Json& expressions = member(json, "matchExpressions");
  if (expressions.is_array()) {
    for (const Json& item : expressions) {
      selector.match_expressions.push_back({.key = string_in(item, "key"),
                                            .op = string_in(item, "operator"),
                                            .values = strings_in(item, "values")});
    }
  }
  return selector;
}

Json to_object(const LabelSelector& selector) {
  Json json = Json::object();
  put(json, "matchLabels", selector.match_labels);
  for (const LabelSelector::Requirement& requirement : selector.match_expressions) {
    Json item{{"key", requirement.key}, {"operator", requirement.op}};
    put(item, "values", requirement.values);
    json["matchExpressions"].push_back(item);
  }
  return json;
}

bool holds(const LabelSelector::Requirement& requirement,
           const std::map<std::string, std::string>& labels) {
  const auto label = labels.find(requirement.key);
  const bool exists = label != labels.end();
  const bool listed = exists && std::find(requirement.values.begin(), requirement.values.end(),
                                          label->second) != requirement.values.end();
  if (requirement.op == "In") {
    return listed;
  }
  if (requirement.op == "NotIn") {
    return !listed;
  }
  if (requirement.op == "Exists") {
    return exists;
  }
  return requirement.op == "DoesNotExist" && !exists;
}

std::vector<PodPool::Cidr> cidrs_in(const Json& spec) {
  std::vector<PodPool::Cidr> cidrs;
  const Json& list = member(spec, "cidrs");
  if (list.is_array()) {
    for (const Json& item : list) {
      cidrs.push_back({.cidr = string_in(item, "cidr"),
                       // What is not known to be Active is left alone.
                       .draining = string_in(item, "state") != "Active",
                       .reserved = strings_in(item, "reserved")});
    }
  }
  return cidrs;
}

PodPool::Status status_in(const Json& status) {
  return {.blocks = integer_in(status, "blocks").value_or(0),
          .capacity = integer_in(status, "capacity").value_or(0),
          .nodes = integer_in(status, "nodes").value_or(0),
          .used = integer_in(status, "used").value_or(0),
          .updated_at = string_in(status, "updatedAt")};
}

Json status_of(const PodPool::Status& status) {
  return {{"blocks", status.blocks},
          {"capacity", status.capacity},
          {"nodes", status.nodes},
          {"used", status.used},
          {"updatedAt", status.updated_at}};
}

bool is_ours(const Json& object) {
  return string_in(object, "apiVersion") == kVersion;
}

}  // namespace

bool matches(const LabelSelector& selector, const std::map<std::string, std::string>& labels) {
  return std::all_of(selector.match_labels.begin(), selector.match_labels.end(),
                     [&](const auto& wanted) {
                       const auto label = labels.find(wanted.first);
                       return label != labels.end() && label->second == wanted.second;
                     }) &&
         std::all_of(selector.match_expressions.begin(), selector.match_expressions.end(),
                     [&](const auto& requirement) { return holds(requirement, labels); });
}

PodPool pod_pool_in(const Json& object) {
  const Json& metadata = member(object, "metadata");
  const Json& spec = member(object, "spec");
  const Json& sizes = member(spec, "blockSize");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .resource_version = string_in(metadata, "resourceVersion"),
          .cidrs = cidrs_in(spec),
          .ipv4_block = static_cast<int>(integer_in(sizes, "ipv4").value_or(0)),
          .ipv6_block = static_cast<int>(integer_in(sizes, "ipv6").value_or(0)),
          .node_selector = selector_in(member(spec, "nodeSelector")),
          .reap_grace = string_in(spec, "reapGrace"),
          .paused = true_in(spec, "paused"),
          .status = status_in(member(object, "status"))};
}

PodBlock pod_block_in(const Json& object) {
  const Json& metadata = member(object, "metadata");
  const Json& spec = member(object, "spec");
  const Json& status = member(object, "status");
  return {.name = string_in(metadata, "name"),
          .uid = string_in(metadata, "uid"),
          .resource_version = string_in(metadata, "resourceVersion"),
          .created = string_in(metadata, "creationTimestamp"),
          .deleted = string_in(metadata, "deletionTimestamp"),
          .finalizers = strings_in(metadata, "finalizers"),
          .node_gone_since = string_in(member(metadata, "annotations"), kNodeGoneSince),
          .cidr = string_in(spec, "cidr"),
          .pool = string_in(spec, "pool"),
          .node_name = string_in(spec, "nodeName"),
          .node_uid = string_in(spec, "nodeUID"),
          .machine_id = string_in(spec, "machineID"),
          .claim_id = string_in(spec, "claimID"),
          .node_ips = strings_in(status, "nodeIPs"),
          .used = integer_in(status, "used").value_or(0),
          .verified_at = string_in(status, "verifiedAt")};
}

PodPool parse_pod_pool(std::string_view json) {
  const Json object = parse_object(json, "PodPool");
  check_kind(object, "PodPool", is_ours(object));
  return pod_pool_in(object);
}

PodBlock parse_pod_block(std::string_view json) {
  const Json object = parse_object(json, "PodBlock");
  check_kind(object, "PodBlock", is_ours(object));
  return pod_block_in(object);
}

std::string to_json(const PodPool& pool) {
  Json spec = Json::object();
  for (const PodPool::Cidr& entry : pool.cidrs) {
    Json item{{"cidr", entry.cidr}, {"state", entry.draining ? "Draining" : "Active"}};
    put(item, "reserved", entry.reserved);
    spec["cidrs"].push_back(item);
  }
  if (pool.ipv4_block != 0) {
    spec["blockSize"]["ipv4"] = pool.ipv4_block;
  }
  if (pool.ipv6_block != 0) {
    spec["blockSize"]["ipv6"] = pool.ipv6_block;
  }
  if (pool.node_selector != LabelSelector{}) {
    spec["nodeSelector"] = to_object(pool.node_selector);
  }
  put(spec, "reapGrace", pool.reap_grace);
  if (pool.paused) {
    spec["paused"] = true;
  }
  Json object{{"apiVersion", kVersion},
              {"kind", "PodPool"},
              {"metadata", metadata_of(pool.name, pool.uid)},
              {"spec", spec}};
  if (!pool.status.updated_at.empty()) {
    object["status"] = status_of(pool.status);
  }
  return dump(object);
}

std::string to_json(const PodBlock& block) {
  Json metadata = metadata_of(block.name, "");
  put(metadata, "finalizers", block.finalizers);
  Json status{{"used", block.used}};
  put(status, "nodeIPs", block.node_ips);
  put(status, "verifiedAt", block.verified_at);
  return dump({{"apiVersion", kVersion},
               {"kind", "PodBlock"},
               {"metadata", metadata},
               {"spec",
                {{"cidr", block.cidr},
                 {"pool", block.pool},
                 {"nodeName", block.node_name},
                 {"nodeUID", block.node_uid},
                 {"machineID", block.machine_id},
                 {"claimID", block.claim_id}}},
               {"status", status}});
}

}  // namespace podlease::kube
