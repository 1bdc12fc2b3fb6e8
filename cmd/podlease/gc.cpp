#include <iostream>
#include <set>

#include "command.h"
#include "commands.h"
#include "network_configs.h"
#include "node_blocks.h"
#include "podlease/base/error.h"
#include "reap.h"
#include "table.h"

namespace podlease::cmd {
namespace {

// Leases, and the blocks of the networks that `conf_dir` configures.
struct GcOptions {
  std::string network;  // empty: all
  std::filesystem::path conf_dir;
  bool dry_run = false;
  bool view_ended = false;  // leases of other views of this machine end too
  bool cluster = false;     // frees blocks of nodes that no longer exist, and does nothing else
  bool is_dead = false;     // the node of `reap`
  ReapOptions reap;
};

const char* text_of(ipam::Examined::State state) {
  switch (state) {
    case ipam::Examined::State::kDoubtful:
      return "kept: nothing proves that its pod has ended";
    case ipam::Examined::State::kSuspect:
      return "kept for a minute: its namespace is gone";
    case ipam::Examined::State::kReclaimed:
      return "ended: its namespace was gone for a minute";
    case ipam::Examined::State::kOfEarlierBoot:
      return "ended: it is of an earlier boot";
    case ipam::Examined::State::kOfOtherView:
      return "kept: it was recorded in another view of this machine";
    case ipam::Examined::State::kViewEnded:
      return "ended: it was recorded in a view that has ended";
  }
  return "";
}

const char* name_of(ipam::Examined::State state) {
  switch (state) {
    case ipam::Examined::State::kDoubtful:
      return "doubtful";
    case ipam::Examined::State::kSuspect:
      return "suspected";
    case ipam::Examined::State::kReclaimed:
      return "reclaimed";
    case ipam::Examined::State::kOfEarlierBoot:
      return "earlier-boot";
    case ipam::Examined::State::kOfOtherView:
      return "other-view";
    case ipam::Examined::State::kViewEnded:
      return "view-ended";
  }
  return "";
}

int gc(const Context& context, const GcOptions& options) {
  Json document = Json::array();
  Table table({"NETWORK", "ADDRESS", "POD", "VERDICT"});
  std::set<std::string> doubts;  // what would settle them
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    for (const ipam::Examined& examined :
         context.leases(data_dir).sweep({.network = options.network,
         .ends_other_views = options.view_ended,
         .dry_run = options.dry_run})) {
      document.push_back(to_json(StoredLease{.data_dir = data_dir, .lease = examined.lease}));
      document.back()["verdict"] = name_of(examined.state);
      document.back()["settles"] = examined.settles;
      document.back()["dryRun"] = options.dry_run;
      table.add({examined.lease.key.network, examined.lease.address.to_string(),
                 pod_of(examined.lease), text_of(examined.state)});
      if (!examined.settles.empty()) {
        doubts.insert(examined.settles);
      }
    }
  }
  const bool in_use = document.empty() && !warn_of_unknown_network(context, options.network);
  int status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    if (options.dry_run || !options.network.empty()) {
      continue;
    }
    try {
      for (const store::Block& block : keep_blocks(context, data_dir, options.conf_dir)) {
        document.push_back(to_json(block, "given-back", "given back", false));
        table.add({block.network, block.cidr.to_string(), "-",
                   "block given back to PodPool " + block.pool});
      }
    } catch (const Error& error) {
      std::cerr << "podlease: blocks: " << error.what() << '\n'
                << (error.details().empty() ? "" : "  " + error.details() + "\n");
      status = kTrouble;
    }
  }
  if (context.json) {
    print(document);
    return status;
  }
  if (in_use) {
    std::cout << "every lease is in use\n";
  }
  if (!document.empty()) {
    table.print();
  }
  for (const std::string& settles : doubts) {
    std::cout << "in doubt: " << settles << '\n';
  }
  std::cout << (options.dry_run ? "nothing was changed\n" : "");
  return status;
}

int reap_instead(const Context& context, const GcOptions& options) {
  if (options.view_ended) {
    throw Error(ErrorKind::kConfig, "--view-ended and --cluster exclude each other",
                "--view-ended ends leases of this node; --cluster frees blocks of other nodes");
  }
  if (options.is_dead == options.reap.dead_node.empty()) {
    throw Error(ErrorKind::kConfig, "--node and --dead go together",
                "the blocks of a node that may be alive are freed only after its Node is gone");
  }
  ReapOptions reap_options = options.reap;
  reap_options.dry_run = options.dry_run;
  return reap(context, reap_options);
}

void declare_reaping(Command& command, GcOptions& options) {
  const Option cluster = command.flag(
      "--cluster", options.cluster,
      "Free the blocks of nodes that no longer exist, in the whole cluster, and do nothing else. "
      "The first run deletes a block, and a later one frees it, once its Node has been gone for "
      "the pool's reapGrace: run it on a timer, every few minutes (conf/kubernetes/reaper.yaml). "
      "It also updates the status of the pools");
  const Option node = command
                          .option("--node", options.reap.dead_node,
                                  "Free only the blocks of this Node, with --dead")
                          .needs(cluster);
  command
      .flag("--dead", options.is_dead,
            "Free the blocks of --node at once, because that node is known to be dead")
      .needs(node);
  for (Option& option : declare_cluster_options(command, options.reap.cluster)) {
    option.needs(cluster);
  }
}

}  // namespace

void declare_gc(Command& root) {
  Command command = root.add(
      "gc", "End leases whose pods are gone, for runtimes that lose DELs and never call GC");
  command.details(R"(
Each ADD does a little of this by itself. A lease ends if it is of an earlier boot, or if its
network namespace has been gone for a minute and no process is in it: run this twice, or on a timer.
A lease for which no namespace was ever recorded ends if libcni's cache has had other attachments of
its network, and not this one, for a minute.
A lease is kept where nothing proves that its pod has ended; what would prove it is said below the
table.
For networks in mode cluster-pool it also verifies this node's blocks, finds those that the store
has lost, and gives back those that are empty and not needed (conf/systemd has a timer). It does not
do that with --network or --dry-run. Exit status 2 if the cluster did not let it.)");
  const auto options = std::make_shared<GcOptions>();
  command.option("--network", options->network, "End only leases of this network");
  command.flag("--dry-run", options->dry_run,
               "Only say which leases would end; with --cluster, what would happen to which "
               "blocks");
  command.flag(
      "--view-ended", options->view_ended,
      "Also end the leases of other views of this machine, because those views have ended: "
      "a container that is a node (kind, LXC) and was restarted sees the machine anew");
  declare_conf_dir(command, options->conf_dir);
  declare_reaping(command, *options);
  command.runs([options](const Context& context) {
    return options->cluster ? reap_instead(context, *options) : gc(context, *options);
  });
}

}  // namespace podlease::cmd
