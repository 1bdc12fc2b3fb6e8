#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "cluster.h"
#include "command.h"
#include "migrate.h"
#include "podlease/base/error.h"
#include "table.h"

namespace podlease::cmd {
namespace {

using Cause = kube::ApiError::Cause;

struct StatusOptions {
  ClusterOptions cluster;
  std::vector<std::string> from;  // the CIDRs that pods leave; empty: the cluster itself says which
};

// A range that pods are to leave.
struct OldSpace {
  net::Prefix cidr;
  std::string origin;  // what says that pods are to leave it
  std::string pool;    // the pool whose CIDR it is, to be removed at the end; may be empty
  std::size_t pods = 0;
  std::size_t blocks = 0;

  [[nodiscard]] bool is_empty() const { return pods == 0 && blocks == 0; }
};

// Pods of one owner on one node that have addresses of the old space.
struct Left {
  std::size_t pods = 0;
  std::set<std::string> addresses;
};
using LeftPods = std::map<std::tuple<std::string, std::string, std::string>, Left>;

// The podCIDRs of these families.
std::vector<OldSpace> node_spaces(const std::vector<kube::Node>& nodes,
                                  const std::set<net::Family>& families) {
  std::vector<OldSpace> spaces;
  for (const kube::Node& node : nodes) {
    for (const std::string& text : node.pod_cidrs) {
      const std::optional<net::Prefix> cidr = net::Prefix::parse(text);
      if (cidr && families.contains(cidr->family())) {
        spaces.push_back({.cidr = *cidr, .origin = "Node " + node.name + " spec.podCIDRs"});
      }
    }
  }
  return spaces;
}

// What the cluster itself says that pods are to leave: everything that drains and, once there is a
// pool to move to, the Nodes' podCIDRs.
std::vector<OldSpace> find_old_spaces(Cluster& cluster, const Pools& pools,
                                      const std::vector<kube::PodBlock>& blocks) {
  std::vector<OldSpace> spaces;
  std::set<net::Family> active;
  for (const auto& [name, pool] : pools) {
    for (const pools::PoolCidr& entry : pool.cidrs) {
      if (entry.draining) {
        spaces.push_back(
            {.cidr = entry.cidr, .origin = "PodPool " + name + ", Draining", .pool = name});
      } else {
        active.insert(entry.cidr.family());
      }
    }
  }
  for (const kube::PodBlock& block : blocks) {
    const std::optional<BlockView> view = view_of(block, pools, nullptr, 0);
    if (view && view->orphaned) {
      spaces.push_back({.cidr = view->cidr, .origin = view->why});
    }
  }
  if (!active.empty()) {
    if (const auto nodes = cluster.nodes("their podCIDRs do not count as old: give --from")) {
      const std::vector<OldSpace> more = node_spaces(*nodes, active);
      spaces.insert(spaces.end(), more.begin(), more.end());
    }
  }
  return spaces;
}

std::vector<OldSpace> given_spaces(const std::vector<std::string>& from, const Pools& pools) {
  std::vector<OldSpace> spaces;
  for (const std::string& text : from) {
    spaces.push_back({.cidr = parse_cidr(text), .origin = "--from"});
    for (const auto& [name, pool] : pools) {
      for (const pools::PoolCidr& entry : pool.cidrs) {
        if (entry.cidr == spaces.back().cidr) {
          spaces.back().pool = name;
          spaces.back().origin = "PodPool " + name + (entry.draining ? ", Draining" : ", Active");
        }
      }
    }
  }
  return spaces;
}

LeftPods count_pods(const std::vector<kube::Pod>& pods, std::vector<OldSpace>& spaces) {
  LeftPods left;
  for (const kube::Pod& pod : pods) {
    if (!has_address(pod)) {
      continue;
    }
    Left found;
    for (OldSpace& space : spaces) {
      bool inside = false;
      for (const std::string& text : pod.addresses) {
        const std::optional<net::Address> address = net::Address::parse(text);
        if (address && space.cidr.contains(*address)) {
          inside = true;
          found.addresses.insert(text);
        }
      }
      space.pods += inside ? 1U : 0U;
    }
    if (!found.addresses.empty()) {
      Left& sum = left[{pod.node_name, pod.name_space, workload_of(pod)}];
      ++sum.pods;
      sum.addresses.merge(found.addresses);
    }
  }
  return left;
}

std::vector<const kube::PodBlock*> count_blocks(const std::vector<kube::PodBlock>& blocks,
                                                std::vector<OldSpace>& spaces) {
  std::vector<const kube::PodBlock*> left;
  for (const kube::PodBlock& block : blocks) {
    const std::optional<net::Prefix> cidr = net::Prefix::parse(block.cidr);
    bool inside = false;
    for (OldSpace& space : spaces) {
      if (cidr && space.cidr.overlaps(*cidr)) {
        ++space.blocks;
        inside = true;
      }
    }
    if (inside) {
      left.push_back(&block);
    }
  }
  return left;
}

// Each step is a command, or says what happens without one.
std::vector<std::string> next_steps(const std::vector<OldSpace>& spaces, const LeftPods& pods) {
  std::vector<std::string> steps;
  std::set<std::pair<std::string, std::string>> workloads;
  for (const auto& [where, left] : pods) {
    workloads.emplace(std::get<1>(where), std::get<2>(where));
  }
  steps.reserve(workloads.size() + spaces.size() + 1);
  for (const auto& [name_space, workload] : workloads) {
    steps.push_back(restart_command(name_space, workload));
  }
  for (const OldSpace& space : spaces) {
    if (space.is_empty() && !space.pool.empty()) {
      steps.push_back("podlease pool " +
                      std::string(space.origin.ends_with("Active") ? "drain " : "remove ") +
                      space.pool + " --cidr " + space.cidr.to_string());
    }
  }
  const bool waits = pods.empty() && std::any_of(spaces.begin(), spaces.end(),
                                                 [](const auto& old) { return old.blocks > 0; });
  if (waits) {
    steps.emplace_back(
        "wait: nodes give back empty blocks by themselves; podlease blocks shows them");
  }
  return steps;
}

const char* verdict_on(const OldSpace& space) {
  return space.is_empty() ? "safe to remove" : "still needed";
}

// With --from, a cluster in which our definitions are not installed counts as one without pools.
template <typename Read>
auto read_or_none(bool may_be_missing, Read read) -> decltype(read()) {
  try {
    return read();
  } catch (const kube::ApiError& error) {
    if (!may_be_missing || error.cause() != Cause::kNotInstalled) {
      throw;
    }
  }
  return {};
}

// All that is left in the old space.
struct Remains {
  std::vector<OldSpace> spaces;
  LeftPods pods;
  std::vector<const kube::PodBlock*> blocks;
  std::vector<std::string> steps;

  [[nodiscard]] bool is_empty() const { return pods.empty() && blocks.empty(); }
};

Json to_json(const Remains& remains) {
  Json report{{"done", remains.is_empty()},
              {"old", Json::array()},
              {"pods", Json::array()},
              {"blocks", Json::array()},
              {"next", remains.steps}};
  for (const OldSpace& space : remains.spaces) {
    report["old"].push_back({{"cidr", space.cidr.to_string()},
                             {"origin", space.origin},
                             {"pool", space.pool},
                             {"pods", space.pods},
                             {"blocks", space.blocks},
                             {"safeToRemove", space.is_empty()}});
  }
  for (const auto& [where, left] : remains.pods) {
    report["pods"].push_back({{"node", std::get<0>(where)},
                              {"namespace", std::get<1>(where)},
                              {"workload", std::get<2>(where)},
                              {"pods", left.pods},
                              {"addresses", left.addresses}});
  }
  for (const kube::PodBlock* const block : remains.blocks) {
    report["blocks"].push_back({{"cidr", block->cidr},
                                {"pool", block->pool},
                                {"node", block->node_name},
                                {"used", block->used}});
  }
  return report;
}

void print_tables(const Remains& remains) {
  Table old({"OLD SPACE", "OF", "PODS", "BLOCKS", "VERDICT"});
  for (const OldSpace& space : remains.spaces) {
    old.add({space.cidr.to_string(), space.origin, std::to_string(space.pods),
             std::to_string(space.blocks), verdict_on(space)});
  }
  old.print();
  if (!remains.pods.empty()) {
    Table table({"NODE", "NAMESPACE", "WORKLOAD", "PODS"});
    for (const auto& [where, left] : remains.pods) {
      table.add(
          {std::get<0>(where), std::get<1>(where), std::get<2>(where), std::to_string(left.pods)});
    }
    say("");
    table.print();
  }
  if (!remains.blocks.empty()) {
    Table table({"BLOCK", "POOL", "NODE", "USED"});
    for (const kube::PodBlock* const block : remains.blocks) {
      table.add({block->cidr, block->pool, block->node_name, std::to_string(block->used)});
    }
    say("");
    table.print();
  }
  say("");
  say(remains.is_empty() ? "nothing is left: routes and masquerade for the old space can be removed"
                         : "something is left");
  for (const std::string& step : remains.steps) {
    say("next: " + step);
  }
}

int migrate_status(const Context& context, const StatusOptions& options) {
  Cluster cluster(options.cluster);
  const bool given = !options.from.empty();
  const Pools pools = read_pools(read_or_none(given, [&] { return cluster.pools(); }));
  const std::vector<kube::PodBlock> blocks = read_or_none(given, [&] { return cluster.blocks(); });
  Remains remains;
  remains.spaces =
      given ? given_spaces(options.from, pools) : find_old_spaces(cluster, pools, blocks);
  if (!remains.spaces.empty()) {
    remains.pods = count_pods(cluster.pods(), remains.spaces);
  }
  remains.blocks = count_blocks(blocks, remains.spaces);
  remains.steps = next_steps(remains.spaces, remains.pods);
  cluster.print_warnings();
  if (context.json) {
    print(to_json(remains));
  } else if (remains.spaces.empty()) {
    say("nothing is to be left: no CIDR of a PodPool is Draining, and there is no pool that pods "
        "could move to; name a CIDR with --from");
  } else {
    print_tables(remains);
  }
  return remains.is_empty() ? kDone : kTrouble;
}

}  // namespace

void declare_migrate_status(Command& migrate) {
  Command command = migrate.add(
      "status", "Show which pods and blocks are left in the old space, and what to do next");
  command.details(R"(
Without --from, the old space is: the Draining CIDRs of pools, blocks whose pool or CIDR was removed
and, once a pool has an Active CIDR, the Nodes' podCIDRs of its family. Pods of the host network and
pods that have ended do not count. Each line `next:` is a command that moves on. It changes nothing.
Exit status 0 if nothing is left and the old space can be removed, 2 if something is left. Example:
podlease migrate status --from 10.244.0.0/16)");
  const auto options = std::make_shared<StatusOptions>();
  command
      .option("--from", options->from,
              "A CIDR that pods are to leave (default: see below); may be given again")
      .value_name("CIDR");
  declare_cluster_options(command, options->cluster);
  command.runs([options](const Context& context) { return migrate_status(context, *options); });
}

}  // namespace podlease::cmd
