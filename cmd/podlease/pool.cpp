#include "command.h"
#include "commands.h"
#include "pool_change.h"

namespace podlease::cmd {
namespace {

// Makes one change of a pool.
using Change = std::function<PoolOutcome(Cluster&, const PoolRequest&)>;

int pool(const Context& context, const PoolOptions& options, const Change& change) {
  const PoolRequest request = read_request(options);
  const auto attempt = [&] {
    Cluster cluster(options.cluster, options.dry_run);
    const PoolOutcome outcome = change(cluster, request);
    if (context.json) {
      print({{"pool", options.name},
             {"changed", outcome.changed},
             {"dryRun", options.dry_run},
             {"message", outcome.message},
             {"blocksLeft", outcome.left},
             {"warnings", cluster.warnings()}});
    } else {
      cluster.print_warnings();
      say(outcome.message);
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

constexpr const char* kDetails = R"(
Each command says in one line what it did, does nothing where nothing is to be done, and takes
--dry-run. To move a cluster from one CIDR to another without restarting everything at once:
  podlease pool add default --cidr 172.21.0.0/16
  podlease pool drain default --cidr 172.20.0.0/16
  podlease migrate status
  podlease pool remove default --cidr 172.20.0.0/16)";

// A command below `podlease pool`, with the options that all of them have.
Command add_command(Command& group, const char* name, const char* about,
                    const std::shared_ptr<PoolOptions>& options, const Change& change) {
  Command command = group.add(name, about);
  command.details(kDetails);
  command.option("NAME", options->name, "Name of the PodPool").required();
  command.flag("--dry-run", options->dry_run,
               "Let the API server check the change, and change nothing");
  declare_cluster_options(command, options->cluster);
  command.runs(
      [options, change](const Context& context) { return pool(context, *options, change); });
  return command;
}

void declare_add(Command& group) {
  const auto options = std::make_shared<PoolOptions>();
  Command command = add_command(group, "add", "Create a pool, or add CIDRs to an existing one",
                                options, add_to_pool);
  command.details(R"(
It refuses CIDRs that overlap with another pool, and, without --force, those that overlap with
what Nodes, CiliumNodes or ServiceCIDRs have. It warns of kinds that it is not allowed to list. The
cluster CIDR of a controller-manager is not an object: compare it yourself. Example:
podlease pool add default --cidr 172.20.0.0/16 --cidr fd00:10:20::/56 --reserved 172.20.0.0/24)");
  command.option("--cidr", options->cidrs, "A range of the pool; may be given again")
      .required()
      .value_name("CIDR");
  command
      .option("--reserved", options->reserved,
              "An address or a CIDR inside one of them that no pod gets; may be given again")
      .value_name("ADDRESS|CIDR");
  command
      .option("--reap-grace", options->reap_grace,
              "Keep the blocks of a node that no longer exists for so long (default: 6h)")
      .value_name("DURATION");
  command
      .option("--node-selector", options->node_selector,
              "Let only nodes with these labels use the pool (default: every node)")
      .value_name("KEY=VALUE,...");
  command.flag("--force", options->force,
               "Add a CIDR even if it overlaps with something that is not a pool");
}

void declare_states(Command& group) {
  const auto draining = std::make_shared<PoolOptions>();
  add_command(group, "drain",
              "Let a CIDR drain: nothing new is leased from it, and pods keep what they have",
              draining,
              [](Cluster& cluster, const PoolRequest& request) {
                return set_state(cluster, request, true);
              })
      .option("--cidr", draining->cidrs, "The CIDR to drain; may be given again")
      .required()
      .value_name("CIDR");
  const auto active = std::make_shared<PoolOptions>();
  add_command(group, "activate", "Let nodes claim blocks of a CIDR again", active,
              [](Cluster& cluster, const PoolRequest& request) {
                return set_state(cluster, request, false);
              })
      .option("--cidr", active->cidrs, "The CIDR to activate; may be given again")
      .required()
      .value_name("CIDR");
}

void declare_remove(Command& group) {
  const auto options = std::make_shared<PoolOptions>();
  Command command = add_command(group, "remove", "Remove a drained CIDR, or a pool without blocks",
                                options, remove_from_pool);
  command.details("Exit status 2 if blocks are left and nothing was removed.");
  command
      .option("--cidr", options->cidrs,
              "The CIDR to remove (default: the whole pool); may be given again")
      .value_name("CIDR");
}

void declare_pausing(Command& group) {
  add_command(group, "pause",
              "Let no block be claimed, given back or freed while something is repaired",
              std::make_shared<PoolOptions>(), [](Cluster& cluster, const PoolRequest& request) {
                return set_paused(cluster, request, true);
              });
  add_command(group, "resume", "End the pause", std::make_shared<PoolOptions>(),
              [](Cluster& cluster, const PoolRequest& request) {
                return set_paused(cluster, request, false);
              });
}

}  // namespace

void declare_pool(Command& root) {
  Command group = root.add("pool", "Change a pool of the cluster");
  group.is_group();
  group.details(kDetails);
  declare_add(group);
  declare_states(group);
  declare_remove(group);
  declare_pausing(group);
}

}  // namespace podlease::cmd
