#include <algorithm>
#include <map>
#include <set>

#include "checks.h"
#include "cluster.h"
#include "command.h"
#include "migrate.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

using Cause = kube::ApiError::Cause;

struct PlanOptions {
  ClusterOptions cluster;
  std::vector<std::string> to;
  std::string pool = "default";
};

// What a plan is checked against, and the results.
struct Plan {
  const PlanOptions* options = nullptr;
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
    plan.check(Health::kOk, "services", "Services have addresses of " + text_of(services));
  }
}

void check_pool(Plan& plan) {
  const pools::Pool* const pool = plan.pool();
  const std::string subject = "PodPool " + plan.options->pool;
  if (pool == nullptr) {
    plan.check(Health::kOk, "pool", subject + " will be created, for every node");
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

// Compares the blocks that there will be with those that all running pods need.
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
  const std::string finding = "pods that run now need " + count_text(sum) +
                              (sum == 1 ? " block of /" : " blocks of /") + std::to_string(length) +
                              " on " + counted(needed.size(), "node", "nodes") +
                              ", and there will be " + count_text(capacity);
  if (capacity < sum) {
    plan.check(Health::kWrong, "room", finding, "give a larger CIDR, or another one beside it");
  } else if (capacity < sum + needed.size()) {
    plan.check(Health::kWarning, "room", finding,
               "a rollout runs more pods than before: plan one spare block per node");
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
                 "nothing frees the blocks of nodes that no longer exist: kubectl apply -f "
                 "conf/kubernetes/reaper.yaml");
    }
  } catch (const kube::ApiError& error) {
    if (error.cause() != Cause::kForbidden) {
      throw;
    }
    plan.check(Health::kWarning, "reaper",
               "not allowed to list cronjobs.batch, so it is not known whether there is a reaper",
               error.details());
  }
}

// The CIDRs that pods have addresses of today, without those of --to.
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

int migrate_plan(const Context& context, const PlanOptions& options) {
  Plan plan{.options = &options};
  std::vector<std::string> fresh;
  for (const std::string& text : options.to) {
    plan.to.push_back(parse_cidr(text));
    fresh.push_back(plan.to.back().to_string());
  }
  Cluster cluster(options.cluster);
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
             "prepare them first, and keep the old ones until podlease migrate status says that "
             "nothing is left");

  const std::vector<std::string> steps = steps_of(plan);
  const int status = status_of(plan.checks);
  if (context.json) {
    print({{"pool", options.pool},
           {"to", fresh},
           {"old", old},
           {"checks", to_json(plan.checks)},
           {"next", steps}});
    return status;
  }
  print(plan.checks);
  for (const std::string& step : steps) {
    say((status == kDone ? "next: " : "then: ") + step);
  }
  return status;
}

}  // namespace

void declare_migrate_plan(Command& migrate) {
  Command command =
      migrate.add("plan", "Check all that a move needs before its first step, and list the steps");
  command.details(R"(
It checks the definitions, overlaps with everything that has addresses, the pool's state and
nodeSelector, the room for the pods that run now, and the reaper. Each line is ok, a warning (worth
fixing first) or wrong (it would not work); the line below it says what to do. Then come the steps.
It changes nothing. Exit status 2 if something is wrong. Example:
podlease migrate plan --to 172.20.0.0/16)");
  const auto options = std::make_shared<PlanOptions>();
  command.option("--to", options->to, "A CIDR that pods are to move to; may be given again")
      .required()
      .value_name("CIDR");
  command.option("--pool", options->pool, "Use the PodPool of this name, or plan to create it")
      .value_name("NAME")
      .shows_default();
  declare_cluster_options(command, options->cluster);
  command.runs([options](const Context& context) { return migrate_plan(context, *options); });
}

}  // namespace podlease::cmd
