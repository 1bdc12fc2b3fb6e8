#include <algorithm>
#include <iostream>
#include <map>

#include "cluster.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

// A pool is read, judged, and written as it was read: a conflict means that somebody else was
// faster, and all of it is done once more.
namespace podlease::cmd {
namespace {

using Entry = kube::PodPool::Cidr;
using Verb = PoolOptions::Verb;

// What came of a command.
struct Outcome {
  std::string message;  // one line
  bool changed = false;
  std::map<std::string, std::uint64_t> left;  // blocks that keep it from being removed, by node
};

// What is asked for, read.
struct Request {
  const PoolOptions* options = nullptr;
  std::vector<net::Prefix> cidrs;                            // without duplicates
  std::map<net::Prefix, std::vector<std::string>> reserved;  // by the CIDR that each lies in
  kube::LabelSelector node_selector;

  [[nodiscard]] const std::string& name() const { return options->name; }
  // "PodPool NAME was paused", or what would be.
  [[nodiscard]] std::string did(const std::string& subject, const std::string& what) const {
    return subject + (options->dry_run ? " would be " : " was ") + what;
  }
};

Error wrong(const std::string& message, const std::string& details) {
  return Error(ErrorKind::kConfig, message, details);
}

kube::LabelSelector parse_selector(const std::string& text) {
  kube::LabelSelector selector;
  for (const std::string_view label : split(text, ',')) {
    const std::size_t equals = label.find('=');
    if (text.empty()) {
      continue;
    }
    if (equals == std::string_view::npos || equals == 0) {
      throw wrong("--node-selector " + in_quotes(text) + " has no KEY=VALUE in it",
                  "such as topology.kubernetes.io/zone=a,disk=ssd");
    }
    selector.match_labels.emplace(label.substr(0, equals), label.substr(equals + 1));
  }
  return selector;
}

Request read_request(const PoolOptions& options) {
  Request request{.options = &options, .node_selector = parse_selector(options.node_selector)};
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
                "such as 6h or 1h30m");
  }
  return request;
}

Entry* entry_of(kube::PodPool& pool, const net::Prefix& cidr) {
  const auto found = std::find_if(pool.cidrs.begin(), pool.cidrs.end(), [&](const Entry& entry) {
    return net::Prefix::parse(entry.cidr) == cidr;
  });
  return found == pool.cidrs.end() ? nullptr : &*found;
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
      "it has " + join(there, ", ") + "; add it: podlease pool add " + pool.name + " --cidr " +
          cidr.to_string());
}

// Throws if somebody else has addresses of these CIDRs.
void refuse_overlaps(Cluster& cluster, const Request& request,
                     const std::vector<net::Prefix>& cidrs,
                     const std::vector<kube::PodPool>& pools) {
  const std::vector<Space> spaces = cluster.spaces(pools);
  std::vector<std::string> found;
  bool among_pools = false;
  for (const net::Prefix& cidr : cidrs) {
    for (const Space& space : spaces) {
      if (!space.range.overlaps(cidr.range())) {
        continue;
      }
      among_pools = among_pools || !space.pool.empty();
      found.push_back(describe_overlap(request.name(), cidr, space));
    }
  }
  if (found.empty()) {
    return;
  }
  constexpr std::size_t kMost = 5;
  const std::size_t more = found.size() - std::min(found.size(), kMost);
  found.resize(found.size() - more);
  const std::string text =
      join(found, "; ") + (more == 0 ? "" : "; and " + std::to_string(more) + " more");
  if (!among_pools && request.options->force) {
    cluster.warn(text);
    return;
  }
  throw wrong(text, among_pools
                        ? "blocks of two pools would be the same: give a CIDR that no pool has"
                        : "pods would share addresses with it: give another CIDR, or --force if "
                          "nothing of it is in use");
}

// Options that are for new pools, and differ from what a pool has.
void refuse_other_options(const Request& request, const kube::PodPool& pool) {
  const std::string& grace = request.options->reap_grace;
  if (!grace.empty() && parse_duration(grace) != parse_duration(pool.reap_grace)) {
    throw wrong("PodPool " + pool.name + " has reapGrace " + pool.reap_grace + ", not " + grace,
                "change it: kubectl patch podpool " + pool.name +
                    R"( --type=merge -p '{"spec":{"reapGrace":")" + grace + R"("}}')");
  }
  if (!request.node_selector.match_labels.empty() && request.node_selector != pool.node_selector) {
    throw wrong("PodPool " + pool.name + " has another nodeSelector",
                "change it: kubectl edit podpool " + pool.name);
  }
}

Outcome create(Cluster& cluster, const Request& request) {
  kube::PodPool pool{.name = request.name(),
                     .node_selector = request.node_selector,
                     .reap_grace = request.options->reap_grace};
  for (const net::Prefix& cidr : request.cidrs) {
    const auto reserved = request.reserved.find(cidr);
    pool.cidrs.push_back({.cidr = cidr.to_string()});
    if (reserved != request.reserved.end()) {
      pool.cidrs.back().reserved = reserved->second;
    }
  }
  const auto made = cluster.ask("create", "podpools.podlease.io",
                                [&](kube::Client& client) { return client.create(pool); });
  if (!made) {
    throw kube::ApiError(kube::ApiError::Cause::kConflict,
                         "PodPool " + pool.name + " was made by somebody else meanwhile");
  }
  return {
      .message = request.did("PodPool " + pool.name, "made with " + net::to_string(request.cidrs)),
      .changed = true};
}

void write(Cluster& cluster, const kube::PodPool& pool, const kube::PoolChange& change) {
  static_cast<void>(cluster.ask("patch", "podpools.podlease.io",
                                [&](kube::Client& client) { return client.change(pool, change); }));
}

Outcome add(Cluster& cluster, const Request& request) {
  std::vector<kube::PodPool> pools = cluster.pools();
  const auto found = std::find_if(pools.begin(), pools.end(), [&](const kube::PodPool& pool) {
    return pool.name == request.name();
  });
  std::vector<net::Prefix> fresh;
  std::vector<std::string> draining;
  bool reserves = false;
  for (const net::Prefix& cidr : request.cidrs) {
    const Entry* const entry = found == pools.end() ? nullptr : entry_of(*found, cidr);
    if (entry == nullptr) {
      fresh.push_back(cidr);
    } else if (entry->draining) {
      draining.push_back(entry->cidr);
    }
  }
  if (!fresh.empty()) {
    refuse_overlaps(cluster, request, fresh, pools);
  }
  if (found == pools.end()) {
    return create(cluster, request);
  }
  refuse_other_options(request, *found);
  kube::PodPool changed = *found;
  for (const net::Prefix& cidr : fresh) {
    changed.cidrs.push_back({.cidr = cidr.to_string()});
  }
  for (const auto& [cidr, reserved] : request.reserved) {
    Entry& entry = *entry_of(changed, cidr);
    for (const std::string& text : reserved) {
      if (std::find(entry.reserved.begin(), entry.reserved.end(), text) == entry.reserved.end()) {
        entry.reserved.push_back(text);
        reserves = true;
      }
    }
  }
  const std::string hint = draining.empty() ? ""
                                            : "; " + join(draining, ", ") +
                                                  " is Draining: podlease pool activate " +
                                                  request.name() + " --cidr " + draining.front();
  if (changed == *found) {
    return {.message = "PodPool " + request.name() + " has " + net::to_string(request.cidrs) +
                       " already: nothing to do" + hint};
  }
  write(cluster, *found, {.cidrs = changed.cidrs});
  return {.message =
              (fresh.empty()
                   ? request.did("PodPool " + request.name(), "given")
                   : request.did(net::to_string(fresh), "added to PodPool " + request.name())) +
              (reserves ? (fresh.empty() ? " what is reserved" : ", with what is reserved") : "") +
              hint,
          .changed = true};
}

Outcome set_state(Cluster& cluster, const Request& request, bool draining) {
  const kube::PodPool pool = cluster.pool(request.name());
  kube::PodPool changed = pool;
  for (const net::Prefix& cidr : request.cidrs) {
    demand_entry(changed, cidr).draining = draining;
  }
  const std::string state = draining ? "Draining" : "Active";
  const std::string subject = net::to_string(request.cidrs) + " of PodPool " + pool.name;
  if (changed == pool) {
    return {.message = subject + " is " + state + " already: nothing to do"};
  }
  write(cluster, pool, {.cidrs = changed.cidrs});
  return {.message = request.did(subject, "made " + state) +
                     (draining ? "; see what is left of it: podlease migrate status" : ""),
          .changed = true};
}

Outcome set_paused(Cluster& cluster, const Request& request, bool paused) {
  const kube::PodPool pool = cluster.pool(request.name());
  const std::string subject = "PodPool " + pool.name;
  if (pool.paused == paused) {
    return {.message = subject + (paused ? " is paused" : " is not paused") + ": nothing to do"};
  }
  write(cluster, pool, {.paused = paused});
  return {.message = request.did(subject, paused ? "paused" : "resumed"), .changed = true};
}

// Blocks of a pool that lie in one of these CIDRs, by node; without any: all of them.
std::map<std::string, std::uint64_t> blocks_left(Cluster& cluster, const std::string& pool,
                                                 const std::vector<net::Prefix>& cidrs) {
  std::map<std::string, std::uint64_t> left;
  for (const kube::PodBlock& block : cluster.blocks()) {
    const std::optional<net::Prefix> own = net::Prefix::parse(block.cidr);
    const bool inside =
        cidrs.empty() || std::any_of(cidrs.begin(), cidrs.end(), [&](const net::Prefix& cidr) {
          return own && cidr.overlaps(*own);
        });
    if (block.pool == pool && inside) {
      ++left[block.node_name];
    }
  }
  return left;
}

std::string text_of(const std::map<std::string, std::uint64_t>& left) {
  std::vector<std::string> parts;
  parts.reserve(left.size());
  for (const auto& [node, count] : left) {
    parts.push_back(std::to_string(count) + (count == 1 ? " block" : " blocks") + " of node " +
                    node);
  }
  return join(parts, ", ");
}

Outcome remove(Cluster& cluster, const Request& request) {
  std::vector<kube::PodPool> pools = cluster.pools();
  const auto found = std::find_if(pools.begin(), pools.end(), [&](const kube::PodPool& pool) {
    return pool.name == request.name();
  });
  if (found == pools.end()) {
    return {.message = "there is no PodPool " + request.name() + ": nothing to do"};
  }
  std::vector<net::Prefix> there;
  kube::PodPool changed = *found;
  for (const net::Prefix& cidr : request.cidrs) {
    const Entry* const entry = entry_of(changed, cidr);
    if (entry == nullptr) {
      continue;
    }
    if (!entry->draining) {
      throw wrong(entry->cidr + " of PodPool " + found->name + " is Active",
                  "stop new leases from it first: podlease pool drain " + found->name + " --cidr " +
                      entry->cidr);
    }
    there.push_back(cidr);
    changed.cidrs.erase(changed.cidrs.begin() + (entry - changed.cidrs.data()));
  }
  const bool whole = request.cidrs.empty();
  if (!whole && there.empty()) {
    return {.message = "PodPool " + found->name + " has no CIDR " + net::to_string(request.cidrs) +
                       ": nothing to do"};
  }
  const std::string subject =
      (whole ? "" : net::to_string(there) + " of ") + std::string("PodPool ") + found->name;
  Outcome outcome{.left = blocks_left(cluster, found->name, there)};
  if (!outcome.left.empty()) {
    outcome.message = subject + " stays: still " + text_of(outcome.left) +
                      "; see what they are used for: podlease migrate status";
    return outcome;
  }
  if (whole) {
    cluster.ask("delete", "podpools.podlease.io",
                [&](kube::Client& client) { client.remove(*found); });
  } else if (changed.cidrs.empty()) {
    throw wrong(subject + " is all it has, and a pool has a CIDR",
                "remove the pool: podlease pool remove " + found->name);
  } else {
    write(cluster, *found, {.cidrs = changed.cidrs});
  }
  outcome.message = request.did(subject, "removed");
  outcome.changed = true;
  return outcome;
}

Outcome carry_out(Cluster& cluster, const Request& request) {
  switch (request.options->verb) {
    case Verb::kAdd:
      return add(cluster, request);
    case Verb::kDrain:
      return set_state(cluster, request, true);
    case Verb::kActivate:
      return set_state(cluster, request, false);
    case Verb::kRemove:
      return remove(cluster, request);
    case Verb::kPause:
      return set_paused(cluster, request, true);
    case Verb::kResume:
      return set_paused(cluster, request, false);
  }
  return {};
}

}  // namespace

int pool(const Context& context, const ClusterOptions& options, const PoolOptions& wanted) {
  const Request request = read_request(wanted);
  const auto attempt = [&] {
    Cluster cluster(options, wanted.dry_run);
    const Outcome outcome = carry_out(cluster, request);
    if (context.json) {
      print({{"pool", wanted.name},
             {"changed", outcome.changed},
             {"dryRun", wanted.dry_run},
             {"message", outcome.message},
             {"blocksLeft", outcome.left},
             {"warnings", cluster.warnings()}});
    } else {
      cluster.print_warnings();
      std::cout << outcome.message << '\n';
    }
    return outcome.left.empty() ? kDone : kTrouble;
  };
  try {
    return attempt();
  } catch (const kube::ApiError& error) {
    if (error.cause() != kube::ApiError::Cause::kConflict) {
      throw;
    }
  }
  return attempt();
}

}  // namespace podlease::cmd
