#include "pool_change.h"

#include <algorithm>

#include "podlease/base/duration.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

using Entry = kube::PodPool::Cidr;

kube::LabelSelector parse_selector(const std::string& text) {
  kube::LabelSelector selector;
  for (const std::string_view label : split(text, ',')) {
    const std::size_t equals = label.find('=');
    if (text.empty()) {
      continue;
    }
    if (equals == std::string_view::npos || equals == 0) {
      throw wrong("--node-selector " + in_quotes(text) + " has no KEY=VALUE",
                  "give labels such as topology.kubernetes.io/zone=a,disk=ssd");
    }
    selector.match_labels.emplace(label.substr(0, equals), label.substr(equals + 1));
  }
  return selector;
}

Entry& demand_entry(kube::PodPool& pool, const net::Prefix& cidr) {
  Entry* const entry = entry_of(pool, cidr);
  if (entry != nullptr) {
    return *entry;
  }
  std::vector<std::string> there;
  bool has_family = false;
  for (const Entry& other : pool.cidrs) {
    const std::optional<net::Prefix> prefix = net::Prefix::parse(other.cidr);
    has_family = has_family || (prefix && prefix->family() == cidr.family());
    there.push_back(other.cidr);
  }
  throw wrong(
      "PodPool " + pool.name + " has no CIDR " + cidr.to_string() +
          (has_family ? "" : ", and none of " + std::string(net::name(cidr.family())) + " at all"),
      "it has " + join(there, ", ") + "; to add it: podlease pool add " + pool.name + " --cidr " +
          cidr.to_string());
}

}  // namespace

Error wrong(const std::string& message, const std::string& details) {
  return Error(ErrorKind::kConfig, message, details);
}

PoolRequest read_request(const PoolOptions& options) {
  PoolRequest request{.options = &options, .node_selector = parse_selector(options.node_selector)};
  for (const std::string& text : options.cidrs) {
    const net::Prefix cidr = parse_cidr(text);
    if (std::find(request.cidrs.begin(), request.cidrs.end(), cidr) == request.cidrs.end()) {
      request.cidrs.push_back(cidr);
    }
  }
  for (const std::string& text : options.reserved) {
    const std::optional<net::Range> range = net::Range::parse(text);
    const auto in =
        std::find_if(request.cidrs.begin(), request.cidrs.end(),
                     [&](const net::Prefix& cidr) { return range && cidr.contains(*range); });
    if (in == request.cidrs.end()) {
      throw wrong("--reserved " + in_quotes(text) + " lies in no --cidr",
                  "give an address or a CIDR that is inside one of them");
    }
    request.reserved[*in].push_back(text);
  }
  if (!options.reap_grace.empty() && !parse_duration(options.reap_grace)) {
    throw wrong("--reap-grace " + in_quotes(options.reap_grace) + " is not a duration",
                "give one such as 6h or 1h30m");
  }
  return request;
}

kube::PodPool::Cidr* entry_of(kube::PodPool& pool, const net::Prefix& cidr) {
  const auto found = std::find_if(pool.cidrs.begin(), pool.cidrs.end(), [&](const Entry& entry) {
    return net::Prefix::parse(entry.cidr) == cidr;
  });
  return found == pool.cidrs.end() ? nullptr : &*found;
}

void write(Cluster& cluster, const kube::PodPool& pool, const kube::PoolChange& change) {
  static_cast<void>(cluster.ask("patch", "podpools.podlease.io",
                                [&](kube::Client& client) { return client.change(pool, change); }));
}

PoolOutcome set_state(Cluster& cluster, const PoolRequest& request, bool draining) {
  const kube::PodPool pool = cluster.pool(request.name());
  kube::PodPool changed = pool;
  for (const net::Prefix& cidr : request.cidrs) {
    demand_entry(changed, cidr).draining = draining;
  }
  const std::string state = draining ? "Draining" : "Active";
  const std::string subject = net::to_string(request.cidrs) + " of PodPool " + pool.name;
  if (changed == pool) {
    return {.message = subject + (request.cidrs.size() == 1 ? " is " : " are ") + state +
                       " already: nothing to do"};
  }
  write(cluster, pool, {.cidrs = changed.cidrs});
  return {.message = request.did(subject, "made " + state, request.cidrs.size()) +
                     (draining ? "; to see what is left of it: podlease migrate status" : ""),
          .changed = true};
}

PoolOutcome set_paused(Cluster& cluster, const PoolRequest& request, bool paused) {
  const kube::PodPool pool = cluster.pool(request.name());
  const std::string subject = "PodPool " + pool.name;
  if (pool.paused == paused) {
    return {.message = subject + (paused ? " is paused" : " is not paused") + ": nothing to do"};
  }
  write(cluster, pool, {.paused = paused});
  return {.message = request.did(subject, paused ? "paused" : "resumed"), .changed = true};
}

}  // namespace podlease::cmd
