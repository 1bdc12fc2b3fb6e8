#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <tuple>

#include "checks.h"
#include "cluster.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "table.h"

namespace podlease::cmd {
namespace {

using Cause = kube::ApiError::Cause;

// A range that pods are to leave.
struct OldSpace {
  net::Prefix cidr;
  std::string origin;  // who says so
  std::string pool;    // whose CIDR it is, to be removed at the end; empty: nobody's
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

// What the cluster itself says is to be left: all that drains and, once there is a pool to go to,
// what the nodes had before.
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

// Each a command, or what happens without one.
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
    steps.emplace_back("wait: nodes give empty blocks back by themselves; podlease blocks");
  }
  return steps;
}

const char* verdict_on(const OldSpace& space) {
  return space.is_empty() ? "safe to remove" : "still needed";
}

// Pools that are not installed are no pools, where somebody says what is old.
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

// All that a plan is judged by.
struct Plan {
  const MigratePlanOptions* options = nullptr;
  std::vector<net::Prefix> to;
  std::vector<kube::PodPool> pool_objects;
  Pools pools;
  std::vector<Space> spaces;
  std::vector<kube::Node> nodes;
  std::vector<kube::Pod> pods;
  Checks checks;

  [[nodiscard]] const pools::Pool* pool() const {
    const auto found = pools.find(options->pool);
    return found == pools.end() ? nullptr : &found->second;
  }
  // The pool has this CIDR already.
  [[nodiscard]] bool has(const net::Prefix& cidr) const {
    return pool() != nullptr && std::any_of(pool()->cidrs.begin(), pool()->cidrs.end(),
                                            [&](const auto& entry) { return entry.cidr == cidr; });
  }
  void check(Health health, std::string subject, std::string finding, std::string remedy = {}) {
    checks.push_back({.health = health,
                      .subject = std::move(subject),
                      .finding = std::move(finding),
                      .remedy = std::move(remedy)});
  }
};

std::string text_of(const std::set<std::string>& names) {
  return join({names.begin(), names.end()}, ", ");
}

void check_definitions(Plan& plan, Cluster& cluster) {
  try {
    plan.pool_objects = cluster.pools();
    plan.pools = read_pools(plan.pool_objects);
    plan.check(Health::kOk, "definitions", "the cluster knows the kinds PodPool and PodBlock");
  } catch (const kube::ApiError& error) {
    if (error.cause() != Cause::kNotInstalled) {
      throw;
    }
    plan.check(Health::kWrong, "definitions", error.what(), error.details());
  }
}

void check_overlaps(Plan& plan) {
  std::set<std::string> services;
  for (const Space& space : plan.spaces) {
    if (space.object.starts_with("ServiceCIDR ")) {
      services.insert(space.text);
    }
  }
  for (const net::Prefix& cidr : plan.to) {
    bool alone = true;
    for (const Space& space : plan.spaces) {
      const bool is_itself = space.pool == plan.options->pool && space.range == cidr.range();
      if (is_itself || !space.range.overlaps(cidr.range())) {
        continue;
      }
      alone = false;
      plan.check(Health::kWrong, "overlap", describe_overlap(plan.options->pool, cidr, space),
                 "choose another CIDR");
    }
    if (alone) {
      plan.check(Health::kOk, "overlap",
                 cidr.to_string() + " overlaps with nothing that was listed",
                 "the controller-manager's --cluster-cidr is no object: compare it yourself");
    }
  }
  if (!services.empty()) {
    plan.check(Health::kOk, "services", "their addresses are those of " + text_of(services));
  }
}

void check_pool(Plan& plan) {
  const pools::Pool* const pool = plan.pool();
  const std::string subject = "PodPool " + plan.options->pool;
  if (pool == nullptr) {
    plan.check(Health::kOk, "pool", subject + " is to be made, for every node");
    return;
  }
  if (pool->paused) {
    plan.check(Health::kWrong, "paused", subject + " is paused: no node claims blocks of it",
               "podlease pool resume " + pool->name);
  } else {
    plan.check(Health::kOk, "paused", subject + " is not paused");
  }
  for (const pools::PoolCidr& entry : pool->cidrs) {
    if (entry.draining && std::find(plan.to.begin(), plan.to.end(), entry.cidr) != plan.to.end()) {
      plan.check(Health::kWarning, "state", entry.cidr.to_string() + " is Draining",
                 "podlease pool activate " + pool->name + " --cidr " + entry.cidr.to_string());
    }
  }
  std::set<std::string> outside;
  for (const kube::Node& node : plan.nodes) {
    if (!kube::matches(pool->node_selector, node.labels)) {
      outside.insert(node.name);
    }
  }
  if (outside.empty()) {
    plan.check(Health::kOk, "nodes", "the nodeSelector of " + subject + " lets every node use it");
  } else {
    plan.check(Health::kWarning, "nodes",
               "the nodeSelector of " + subject + " leaves out " + text_of(outside),
               "label these nodes, or keep their network configuration as it is");
  }
}

// The blocks there will be, against those that all running pods need.
void check_room(Plan& plan, net::Family family) {
  constexpr int kIpv4 = 26;  // the definitions' own sizes
  constexpr int kIpv6 = 122;
  const pools::Pool* const any = plan.pools.empty() ? nullptr : &plan.pools.begin()->second;
  pools::Pool future{.ipv4_block = any == nullptr ? kIpv4 : any->ipv4_block,
                     .ipv6_block = any == nullptr ? kIpv6 : any->ipv6_block};
  const int length = future.block_length(family);
  for (const net::Prefix& cidr : plan.to) {
    if (cidr.family() != family) {
      continue;
    }
    if (cidr.length() > length) {
      plan.check(Health::kWrong, "room",
                 cidr.to_string() + " is smaller than a block, a /" + std::to_string(length),
                 "give a larger CIDR");
      return;
    }
    const pools::PoolCidr* const there = plan.has(cidr) ? plan.pool()->cidr_of(cidr) : nullptr;
    future.cidrs.push_back(
        {.cidr = cidr, .reserved = there == nullptr ? net::IntervalSet() : there->reserved});
  }
  const net::Uint128 capacity = pools::count_blocks(future.claimable(family, {}), family, length);
  const std::map<std::string, std::uint64_t> needed = blocks_needed(plan.pods, family, length);
  net::Uint128 sum = 0;
  for (const auto& [node, count] : needed) {
    sum += count;
  }
  const std::string finding = "pods that run now need " + count_text(sum) + " blocks of /" +
                              std::to_string(length) + " on " + std::to_string(needed.size()) +
                              " nodes, and there will be " + count_text(capacity);
  if (capacity < sum) {
    plan.check(Health::kWrong, "room", finding, "give a larger CIDR, or another one beside it");
  } else if (capacity < sum + needed.size()) {
    plan.check(Health::kWarning, "room", finding,
               "a rollout runs more pods than before: one spare block for each node is prudent");
  } else {
    plan.check(Health::kOk, "room", finding);
  }
}

void check_families(Plan& plan) {
  std::set<net::Family> now;
  for (const kube::Pod& pod : plan.pods) {
    for (const std::string& text : pod.addresses) {
      const std::optional<net::Address> address = net::Address::parse(text);
      if (has_address(pod) && address) {
        now.insert(address->family());
      }
    }
  }
  std::set<net::Family> then;
  for (const net::Prefix& cidr : plan.to) {
    then.insert(cidr.family());
  }
  for (const net::Family family : then) {
    check_room(plan, family);
  }
  for (const net::Family family : now) {
    if (!then.contains(family)) {
      plan.check(Health::kWarning, "families",
                 "pods have " + std::string(net::name(family)) + " addresses, and --to has none",
                 "give --to for both families, unless a PodPool has the other one already");
    }
  }
}

void check_reaper(Plan& plan, Cluster& cluster) {
  constexpr const char* kReaper = "podlease-reaper";
  try {
    const std::vector<std::string> jobs = cluster.ask(
        "list", "cronjobs.batch", [](kube::Client& client) { return client.cron_jobs(); });
    if (std::find(jobs.begin(), jobs.end(), kReaper) != jobs.end()) {
      plan.check(Health::kOk, "reaper", std::string("there is a CronJob ") + kReaper);
    } else {
      plan.check(Health::kWarning, "reaper", std::string("there is no CronJob ") + kReaper,
                 "nothing frees the blocks of nodes that die: kubectl apply -f "
                 "conf/kubernetes/reaper.yaml");
    }
  } catch (const kube::ApiError& error) {
    if (error.cause() != Cause::kForbidden) {
      throw;
    }
    plan.check(Health::kWarning, "reaper",
               "not allowed to list cronjobs.batch, so nobody knows whether there is a reaper",
               error.details());
  }
}

// What pods have addresses of today, without what is asked for.
std::set<std::string> old_cidrs(const Plan& plan) {
  std::set<std::string> old;
  for (const Space& space : plan.spaces) {
    if (!space.pool.empty() || space.field.starts_with("spec.podCIDR")) {
      old.insert(space.text);
    }
  }
  for (const net::Prefix& cidr : plan.to) {
    old.erase(cidr.to_string());
  }
  return old;
}

std::vector<std::string> steps_of(const Plan& plan) {
  std::string add = "podlease pool add " + plan.options->pool;
  std::vector<std::string> steps;
  std::set<net::Family> families;
  for (const net::Prefix& cidr : plan.to) {
    families.insert(cidr.family());
    add += " --cidr " + cidr.to_string();
  }
  steps.push_back(add);
  if (plan.pool() == nullptr) {
    steps.push_back(R"(set "mode": "cluster-pool", "pool": ")" + plan.options->pool +
                    R"(" in the network configuration of each node)");
  } else {
    for (const pools::PoolCidr& entry : plan.pool()->cidrs) {
      if (!entry.draining && families.contains(entry.cidr.family()) &&
          std::find(plan.to.begin(), plan.to.end(), entry.cidr) == plan.to.end()) {
        steps.push_back("podlease pool drain " + plan.options->pool + " --cidr " +
                        entry.cidr.to_string());
      }
    }
  }
  steps.emplace_back("podlease migrate status");
  return steps;
}

}  // namespace

int migrate_status(const Context& context, const ClusterOptions& options,
                   const std::vector<std::string>& from) {
  Cluster cluster(options);
  const bool given = !from.empty();
  const Pools pools = read_pools(read_or_none(given, [&] { return cluster.pools(); }));
  const std::vector<kube::PodBlock> all_blocks =
      read_or_none(given, [&] { return cluster.blocks(); });
  std::vector<OldSpace> spaces =
      given ? given_spaces(from, pools) : find_old_spaces(cluster, pools, all_blocks);
  const LeftPods pods = spaces.empty() ? LeftPods() : count_pods(cluster.pods(), spaces);
  const std::vector<const kube::PodBlock*> blocks = count_blocks(all_blocks, spaces);
  const std::vector<std::string> steps = next_steps(spaces, pods);
  const int status = pods.empty() && blocks.empty() ? kDone : kTrouble;
  cluster.print_warnings();

  if (context.json) {
    Json report{{"done", status == kDone},
                {"old", Json::array()},
                {"pods", Json::array()},
                {"blocks", Json::array()},
                {"next", steps}};
    for (const OldSpace& space : spaces) {
      report["old"].push_back({{"cidr", space.cidr.to_string()},
                               {"origin", space.origin},
                               {"pool", space.pool},
                               {"pods", space.pods},
                               {"blocks", space.blocks},
                               {"safeToRemove", space.is_empty()}});
    }
    for (const auto& [where, left] : pods) {
      report["pods"].push_back({{"node", std::get<0>(where)},
                                {"namespace", std::get<1>(where)},
                                {"workload", std::get<2>(where)},
                                {"pods", left.pods},
                                {"addresses", left.addresses}});
    }
    for (const kube::PodBlock* const block : blocks) {
      report["blocks"].push_back({{"cidr", block->cidr},
                                  {"pool", block->pool},
                                  {"node", block->node_name},
                                  {"used", block->used}});
    }
    print(report);
    return status;
  }
  if (spaces.empty()) {
    std::cout << "nothing is to be left: no CIDR of a PodPool is Draining, and no pool is there to "
                 "go to; --from CIDR asks for one\n";
    return status;
  }
  Table old({"OLD SPACE", "OF", "PODS", "BLOCKS", "VERDICT"});
  for (const OldSpace& space : spaces) {
    old.add({space.cidr.to_string(), space.origin, std::to_string(space.pods),
             std::to_string(space.blocks), verdict_on(space)});
  }
  old.print();
  if (!pods.empty()) {
    Table table({"NODE", "NAMESPACE", "WORKLOAD", "PODS"});
    for (const auto& [where, left] : pods) {
      table.add(
          {std::get<0>(where), std::get<1>(where), std::get<2>(where), std::to_string(left.pods)});
    }
    std::cout << '\n';
    table.print();
  }
  if (!blocks.empty()) {
    Table table({"BLOCK", "POOL", "NODE", "USED"});
    for (const kube::PodBlock* const block : blocks) {
      table.add({block->cidr, block->pool, block->node_name, std::to_string(block->used)});
    }
    std::cout << '\n';
    table.print();
  }
  std::cout << '\n'
            << (status == kDone ? "nothing is left: routes and masquerade for the old space may go"
                                : "something is left")
            << '\n';
  for (const std::string& step : steps) {
    std::cout << "next: " << step << '\n';
  }
  return status;
}

int migrate_plan(const Context& context, const ClusterOptions& options,
                 const MigratePlanOptions& wanted) {
  Plan plan{.options = &wanted};
  std::vector<std::string> fresh;
  for (const std::string& text : wanted.to) {
    plan.to.push_back(parse_cidr(text));
    fresh.push_back(plan.to.back().to_string());
  }
  Cluster cluster(options);
  check_definitions(plan, cluster);
  plan.spaces = cluster.spaces(plan.pool_objects);
  check_overlaps(plan);
  for (const std::string& warning : cluster.warnings()) {
    plan.check(Health::kWarning, "listing", warning);
  }
  plan.nodes = cluster.nodes("").value_or(std::vector<kube::Node>());
  check_pool(plan);
  try {
    plan.pods = cluster.pods();
    check_families(plan);
  } catch (const kube::ApiError& error) {
    if (error.cause() != Cause::kForbidden) {
      throw;
    }
    plan.check(Health::kWarning, "room", error.what(), error.details());
  }
  check_reaper(plan, cluster);
  const std::set<std::string> old = old_cidrs(plan);
  plan.check(Health::kWarning, "routes",
             "routes, masquerade and firewalls have to be right for old and new space at once: " +
                 (old.empty() ? "" : text_of(old) + " and ") + join(fresh, ", "),
             "see to it first, and keep the old ones until podlease migrate status says that "
             "nothing is left");

  const std::vector<std::string> steps = steps_of(plan);
  const int status = status_of(plan.checks);
  if (context.json) {
    print({{"pool", wanted.pool},
           {"to", fresh},
           {"old", old},
           {"checks", to_json(plan.checks)},
           {"next", steps}});
    return status;
  }
  print(plan.checks);
  for (const std::string& step : steps) {
    std::cout << (status == kDone ? "next: " : "then: ") << step << '\n';
  }
  return status;
}

}  // namespace podlease::cmd
