#include "command_line.h"

#include <functional>
#include <iostream>

#include <CLI/CLI.hpp>

#include "command.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

// The only file that sees CLI11: each one that does adds to the start of every process, pods' too.
namespace podlease::cmd {
namespace {

constexpr const char* kAbout = R"(podlease leases IP addresses to pods.

With CNI_COMMAND set it is a CNI IPAM plugin, started by the container runtime: put
"ipam": {"type": "podlease", ...} into a network configuration. Without, it shows and mends
what was leased on this node.)";

constexpr const char* kFooter =
    R"(Exit status: 0 done, 1 failed, 2 done and something needs attention.
Debug an attachment by hand: podlease explain < /etc/cni/net.d/10-podnet.conflist)";

constexpr const char* kWord =
    "An address, a pod (NAME or NAMESPACE/NAME), or the beginning of a container id";

// A subcommand's options, and what to do once all arguments are known.
struct Parsed {
  Context context;
  AdoptOptions adopt;
  CrdsOptions crds;
  ExplainOptions explain;
  ExportOptions exports;
  GcOptions gc;
  ListOptions list;
  NodeReleaseOptions node_release;
  ReleaseOptions release;
  ClusterOptions cluster;
  ReapOptions reap;
  bool of_cluster = false;
  bool is_dead = false;
  std::string pool_shown;
  BlocksOptions blocks;
  PoolOptions pool;
  std::vector<std::string> migrate_from;
  MigratePlanOptions migrate_plan;
  RoutesOptions routes;
  std::filesystem::path conf_dir = "/etc/cni/net.d";
  std::string past;
  std::string shown;
  std::function<int()> run;
};

Milliseconds duration_of(const char* option, const std::string& text) {
  const std::optional<Milliseconds> duration = parse_duration(text);
  if (!duration) {
    throw CLI::ValidationError(option, in_quotes(text) + " is not a duration, such as 30s");
  }
  return *duration;
}

void add_common_options(CLI::App& app, Context& context) {
  app.add_option("--data-dir", context.data_dir,
                 "Folder of the store (default: every store ever used on this node)")
      ->type_name("DIR");
  app.add_option_function<std::string>(
         "-o,--output", [&context](const std::string& format) { context.json = format == "json"; },
         "table, for people, or json, for programs (default: table)")
      ->check(CLI::IsMember({"table", "json"}));
  app.add_option_function<std::string>(
         "--lock-timeout",
         [&context](const std::string& text) {
           context.lock_timeout = duration_of("--lock-timeout", text);
         },
         "Longest wait for a store's lock (default: 30s)")
      ->type_name("DURATION");
}

// They are understood behind a subcommand too, but its own help does not list them.
void tell_common_options(CLI::App& app) {
  for (CLI::App* const command : app.get_subcommands(std::function<bool(CLI::App*)>())) {
    if (command->get_name() == "crds") {
      continue;  // nothing but YAML, of no store
    }
    const std::string own = command->get_footer();
    command->footer(own + (own.empty() ? "" : "\n") +
                    "Also takes --output, --data-dir and --lock-timeout: podlease --help");
    tell_common_options(*command);
  }
}

void add_conf_dir(CLI::App& command, Parsed& parsed) {
  command
      .add_option("--conf-dir", parsed.conf_dir, "Folder of the runtime's network configurations")
      ->type_name("DIR")
      ->capture_default_str();
}

// For commands that look at the cluster, from any machine. Returns them.
std::vector<CLI::Option*> add_cluster_options(CLI::App& command, ClusterOptions& cluster) {
  return {
      command
          .add_option("--kubeconfig", cluster.kubeconfig,
                      "Who asks which cluster (default: the first file of $KUBECONFIG that exists, "
                      "~/.kube/config, or the kubelet's)")
          ->type_name("FILE"),
      command
          .add_option_function<std::string>(
              "--timeout",
              [&cluster](const std::string& text) {
                cluster.timeout = duration_of("--timeout", text);
              },
              "Longest time for all requests together (default: 10s)")
          ->type_name("DURATION")};
}

void add_looking_commands(CLI::App& app, Parsed& parsed) {
  CLI::App* const list_command = app.add_subcommand("list", "List the leases of this node");
  list_command->add_option("--network", parsed.list.network, "Only this network");
  list_command->add_option("-n,--namespace", parsed.list.name_space,
                           "Only pods of this Kubernetes namespace");
  list_command->callback(
      [&parsed] { parsed.run = [&parsed] { return list(parsed.context, parsed.list); }; });

  CLI::App* const show_command =
      app.add_subcommand("show", "Show who has an address, or what a pod has");
  show_command->add_option("ADDRESS|POD|ID", parsed.shown, kWord)->required();
  show_command->callback(
      [&parsed] { parsed.run = [&parsed] { return show(parsed.context, parsed.shown); }; });

  CLI::App* const history_command =
      app.add_subcommand("history", "Show who had an address when, and why each lease ended");
  history_command->footer(
      "Leases that go on come first. Of each network some four thousand past leases are kept. WHY "
      "is\n"
      "del or gc (the runtime's), takeover (the same pod's next sandbox has it), reclaim (its "
      "namespace\n"
      "was gone for a minute), reboot (of an earlier boot, and its address was needed), release "
      "(an\n"
      "operator's) or host-local (its file there vanished).");
  history_command->add_option("ADDRESS|POD|ID", parsed.past, kWord);
  history_command->callback(
      [&parsed] { parsed.run = [&parsed] { return history(parsed.context, parsed.past); }; });

  CLI::App* const audit_command = app.add_subcommand(
      "audit", "Compare the leases with the machine, and say what is wrong and what mends it");
  audit_command->footer(
      "Looks at network namespaces, the addresses inside them, libcni's cache and host-local's "
      "folders,\n"
      "and compares both ways. Exit status 2 if something is wrong. Changes nothing.");
  audit_command->callback([&parsed] { parsed.run = [&parsed] { return audit(parsed.context); }; });

  CLI::App* const status_command =
      app.add_subcommand("status",
                         "Show the stores of this node, their networks, and where "
                         "their next addresses come from");
  status_command->footer(
      "LEASED addresses are held; of those, ALIVE ones have a network namespace that was seen now, "
      "and\n"
      "ADOPTED ones came from host-local. FREED addresses were leased once and are free. "
      "HOST-LOCAL:\n"
      "its folder was taken over, or is shared since an export.\n"
      "Below, for each network configuration of this node that uses podlease: what of the cluster "
      "it goes\n"
      "by and how old that is, each place that was looked at (* used, - passed over) and why, what "
      "keeps an\n"
      "ADD from leasing, and how many leases lie outside today's ranges and drain. By what is "
      "remembered:\n"
      "asks nobody, changes nothing. Exit status 2 if a store cannot be read.");
  add_conf_dir(*status_command, parsed);
  status_command->callback(
      [&parsed] { parsed.run = [&parsed] { return status(parsed.context, parsed.conf_dir); }; });

  CLI::App* const doctor_command = app.add_subcommand(
      "doctor", "Check all that an ADD on this node needs, and say what to do about what is wrong");
  doctor_command->footer(
      "For each network configuration of this node that uses podlease: can it work, can the store "
      "be\n"
      "written, is there a kubeconfig, who are we to the API server, does it answer, which ranges "
      "follow,\n"
      "and in mode cluster-pool: is there the pool, may this node lease from its blocks, does a "
      "job "
      "free\n"
      "the blocks of nodes that are gone.\n"
      "Each line is ok, a note (worth knowing) or wrong, with what to do about it below. Exit "
      "status 2 if\n"
      "something is wrong. Changes nothing.");
  add_conf_dir(*doctor_command, parsed);
  doctor_command->callback(
      [&parsed] { parsed.run = [&parsed] { return doctor(parsed.context, parsed.conf_dir); }; });

  CLI::App* const explain_command =
      app.add_subcommand("explain", "Say which address an ADD would get, and why; changes nothing");
  explain_command->footer(
      "Reads the network configuration that a runtime would send, or a configuration list, from "
      "standard\n"
      "input. Example: podlease explain < /etc/cni/net.d/10-podnet.conflist");
  explain_command->add_option("--container-id", parsed.explain.container_id, "As CNI_CONTAINERID")
      ->capture_default_str();
  explain_command->add_option("--ifname", parsed.explain.ifname, "As CNI_IFNAME")
      ->capture_default_str();
  explain_command->add_option("--netns", parsed.explain.netns, "As CNI_NETNS");
  explain_command->add_option("--args", parsed.explain.args, "As CNI_ARGS, e.g. \"IP=10.1.0.9\"");
  explain_command->callback(
      [&parsed] { parsed.run = [&parsed] { return explain(parsed.context, parsed.explain); }; });

  CLI::App* const crds_command = app.add_subcommand(
      "crds", "Print the definitions of PodPool and PodBlock, for kubectl apply");
  crds_command->footer(
      "All blocks of a family have one size in a cluster, and the API server enforces it, since\n"
      "of overlapping claims neither would be refused. Choose before the first block is claimed.\n"
      "Always YAML. Example:\n"
      "podlease crds --ipv4-block 25 | kubectl apply --server-side -f -");
  crds_command
      ->add_option("--ipv4-block", parsed.crds.ipv4_block,
                   "Prefix length of an IPv4 block, 16 to 30")
      ->capture_default_str();
  crds_command
      ->add_option("--ipv6-block", parsed.crds.ipv6_block,
                   "Prefix length of an IPv6 block, 64 to 126")
      ->capture_default_str();
  crds_command->callback([&parsed] { parsed.run = [&parsed] { return crds(parsed.crds); }; });

  app.add_subcommand("version", "Show the versions of podlease, its store and CNI")
      ->callback([&parsed] { parsed.run = [&parsed] { return version(parsed.context); }; });
}

void add_changing_commands(CLI::App& app, Parsed& parsed) {
  CLI::App* const release_command =
      app.add_subcommand("release", "End leases whose pods are gone for good");
  release_command->add_option("ADDRESS|POD|ID", parsed.release.word, kWord)->required();
  release_command->add_flag("--force", parsed.release.force,
                            "Also where the network namespace is alive");
  release_command->add_flag("--dry-run", parsed.release.dry_run, "Only say what would be released");
  release_command->callback(
      [&parsed] { parsed.run = [&parsed] { return release(parsed.context, parsed.release); }; });

  CLI::App* const gc_command = app.add_subcommand(
      "gc", "End leases whose pods are gone: for runtimes that lose DELs and never call GC");
  gc_command->footer(
      "Each ADD does a little of this by itself. A lease ends if it is of an earlier boot, or if "
      "its\n"
      "network namespace was found gone a minute ago already: run it twice, or on a timer. In "
      "doubt "
      "a\n"
      "lease is kept.\n"
      "Of the networks in mode cluster-pool it also verifies this node's blocks, finds those that "
      "the store\n"
      "has lost, and gives back those that are empty and not needed (conf/systemd has a timer); "
      "not "
      "with\n"
      "--network or --dry-run. Exit status 2 if the cluster did not let it.");
  gc_command->add_option("--network", parsed.gc.network, "Only the leases of this network");
  gc_command->add_flag("--dry-run", parsed.gc.dry_run,
                       "Only say which leases would end; with --cluster, what would become of "
                       "which blocks");
  add_conf_dir(*gc_command, parsed);
  CLI::Option* const of_cluster = gc_command->add_flag(
      "--cluster", parsed.of_cluster,
      "Instead: free the blocks of nodes that are gone, in the whole cluster. Two passes: a block "
      "is "
      "deleted, and freed once its Node was gone for the pool's reapGrace. Meant for a timer, "
      "every "
      "few minutes (conf/kubernetes/reaper.yaml); also counts for the status of the pools");
  CLI::Option* const node =
      gc_command
          ->add_option("--node", parsed.reap.dead_node, "With --dead: this Node's blocks only")
          ->needs(of_cluster);
  gc_command->add_flag("--dead", parsed.is_dead, "The node is known to be dead: free them at once")
      ->needs(node);
  for (CLI::Option* const option : add_cluster_options(*gc_command, parsed.cluster)) {
    option->needs(of_cluster);
  }
  gc_command->callback([&parsed] {
    parsed.run = [&parsed] {
      if (parsed.of_cluster) {
        if (parsed.is_dead == parsed.reap.dead_node.empty()) {
          throw Error(ErrorKind::kConfig, "--node and --dead go together",
                      "blocks of a node that may live are freed by its Node's absence alone");
        }
        parsed.reap.dry_run = parsed.gc.dry_run;
        return reap(parsed.context, parsed.cluster, parsed.reap);
      }
      parsed.gc.conf_dir = parsed.conf_dir;
      return gc(parsed.context, parsed.gc);
    };
  });

  CLI::App* const node_command = app.add_subcommand("node", "What concerns this node as a whole");
  node_command->require_subcommand(1);
  CLI::App* const node_release_command = node_command->add_subcommand(
      "release", "Give back all blocks of this node: before it is scaled away");
  node_release_command->footer(
      "For a node that was drained (kubectl drain), and stays cordoned: a pod that starts here "
      "claims a\n"
      "block again. Blocks that still have leases are kept, and so are those of a pool that is "
      "paused, also\n"
      "with --force: exit status 2. Asks the API server as the kubelet does, with --dry-run too.\n"
      "Where it is not run, podlease gc --cluster frees the blocks once the Node was gone for the "
      "pool's\n"
      "reapGrace.");
  node_release_command->add_flag("--force", parsed.node_release.force,
                                 "Also blocks with leases: their pods are gone for good");
  node_release_command->add_flag("--dry-run", parsed.node_release.dry_run,
                                 "Only say what would be given back");
  add_conf_dir(*node_release_command, parsed);
  node_release_command->callback([&parsed] {
    parsed.run = [&parsed] {
      parsed.node_release.conf_dir = parsed.conf_dir;
      return node_release(parsed.context, parsed.node_release);
    };
  });

  CLI::App* const adopt_command = app.add_subcommand(
      "adopt", "Take over what already holds addresses, as the first ADD of a network does");
  adopt_command->footer(
      "Reads the network configuration from standard input, as explain does. Sources: host-local's "
      "folder,\n"
      "libcni's cache, and the addresses inside the network namespaces. Example:\n"
      "podlease adopt --dry-run < /etc/cni/net.d/10-podnet.conflist");
  adopt_command->add_flag("--dry-run", parsed.adopt.dry_run,
                          "Only say what would be adopted, and why");
  adopt_command->callback(
      [&parsed] { parsed.run = [&parsed] { return adopt(parsed.context, parsed.adopt); }; });

  CLI::App* const export_command = app.add_subcommand(
      "export", "Write the leases where another plugin finds them: the way back to host-local");
  export_command->add_flag("--host-local", parsed.exports.host_local, "In host-local's format");
  export_command->add_option("--network", parsed.exports.network,
                             "The network (default: the only one)");
  export_command->add_option(
      "--to", parsed.exports.root,
      "host-local's dataDir (default: where the network was adopted from, else "
      "ipam.dataDir if there was one, else /var/lib/cni/networks)");
  export_command->add_flag("--dry-run", parsed.exports.dry_run, "Only say what would be written");
  export_command->callback([&parsed] {
    parsed.run = [&parsed] { return export_leases(parsed.context, parsed.exports); };
  });
}

// One that may be given again, each time with one value: what follows is the next argument.
CLI::Option* add_list(CLI::App& command, const std::string& name, std::vector<std::string>& values,
                      const std::string& about) {
  return command.add_option(name, values, about + "; may be given again")
      ->allow_extra_args(false)
      ->type_name("CIDR");
}

CLI::App* add_pool_verb(CLI::App& group, Parsed& parsed, PoolOptions::Verb verb,
                        const std::string& name, const std::string& about) {
  CLI::App* const command = group.add_subcommand(name, about);
  command->add_option("NAME", parsed.pool.name, "Name of the PodPool")->required();
  command->add_flag("--dry-run", parsed.pool.dry_run,
                    "Have the API server judge the change, and make none");
  add_cluster_options(*command, parsed.cluster);
  command->callback([&parsed, verb] {
    parsed.pool.verb = verb;
    parsed.run = [&parsed] { return pool(parsed.context, parsed.cluster, parsed.pool); };
  });
  return command;
}

void add_pool_commands(CLI::App& app, Parsed& parsed) {
  using Verb = PoolOptions::Verb;
  CLI::App* const group = app.add_subcommand("pool", "Change a pool of the cluster");
  group->require_subcommand(1);
  group->footer(
      "Each says in one line what it did, does nothing twice, and takes --dry-run.\n"
      "To move a cluster from one CIDR to another, nothing restarted at once:\n"
      "  podlease pool add default --cidr 172.21.0.0/16\n"
      "  podlease pool drain default --cidr 172.20.0.0/16\n"
      "  podlease migrate status\n"
      "  podlease pool remove default --cidr 172.20.0.0/16");

  CLI::App* const add = add_pool_verb(*group, parsed, Verb::kAdd, "add",
                                      "Make a pool, or add CIDRs to one that is there");
  add->footer(
      "Refuses CIDRs that overlap with another pool; and, unless --force says so, with what "
      "Nodes,\n"
      "CiliumNodes or ServiceCIDRs have. What may not be listed is warned of. The cluster CIDR of "
      "a\n"
      "controller-manager is no object: keep out of it yourself. Example:\n"
      "podlease pool add default --cidr 172.20.0.0/16 --cidr fd00:10:20::/56 --reserved "
      "172.20.0.0/24");
  add_list(*add, "--cidr", parsed.pool.cidrs, "A range of the pool")->required();
  add_list(*add, "--reserved", parsed.pool.reserved,
           "An address or a CIDR inside one of them that no pod gets")
      ->type_name("ADDRESS|CIDR");
  add->add_option("--reap-grace", parsed.pool.reap_grace,
                  "How long the blocks of a node that is gone stay taken (default: 6h)")
      ->type_name("DURATION");
  add->add_option("--node-selector", parsed.pool.node_selector,
                  "Labels of the nodes that use it (default: every node)")
      ->type_name("KEY=VALUE,...");
  add->add_flag("--force", parsed.pool.force,
                "Even where it overlaps with something that is no pool");

  CLI::App* const drain =
      add_pool_verb(*group, parsed, Verb::kDrain, "drain",
                    "Let a CIDR drain: nothing new is leased from it, pods keep what they have");
  add_list(*drain, "--cidr", parsed.pool.cidrs, "Which")->required();
  CLI::App* const activate = add_pool_verb(*group, parsed, Verb::kActivate, "activate",
                                           "Let nodes claim blocks of a CIDR again");
  add_list(*activate, "--cidr", parsed.pool.cidrs, "Which")->required();
  CLI::App* const remove = add_pool_verb(*group, parsed, Verb::kRemove, "remove",
                                         "Remove a drained CIDR, or a pool without blocks");
  remove->footer("Exit status 2: blocks are left, and nothing was removed.");
  add_list(*remove, "--cidr", parsed.pool.cidrs, "Which (default: the whole pool)");
  add_pool_verb(*group, parsed, Verb::kPause, "pause",
                "Let nothing be claimed, released or reaped while something is repaired");
  add_pool_verb(*group, parsed, Verb::kResume, "resume", "End the pause");
}

void add_migrate_commands(CLI::App& app, Parsed& parsed) {
  CLI::App* const group =
      app.add_subcommand("migrate", "Plan and follow a move of pods to other addresses");
  group->require_subcommand(1);

  CLI::App* const status = group->add_subcommand(
      "status", "Show which pods and blocks are left in the old space, and what to do next");
  status->footer(
      "The old space, without --from: the Draining CIDRs of pools, blocks whose pool or CIDR was "
      "removed\n"
      "and, once a pool has an Active CIDR, the Nodes' podCIDRs of its family. Pods of the host "
      "network and\n"
      "pods that ended do not count. Each line `next:` is a command that moves on. Exit status 0: "
      "nothing\n"
      "is left, and the old space can be given up; 2: something is. Changes nothing. Example:\n"
      "podlease migrate status --from 10.244.0.0/16");
  add_list(*status, "--from", parsed.migrate_from, "What pods are to leave (default: see below)");
  add_cluster_options(*status, parsed.cluster);
  status->callback([&parsed] {
    parsed.run = [&parsed] {
      return migrate_status(parsed.context, parsed.cluster, parsed.migrate_from);
    };
  });

  CLI::App* const plan = group->add_subcommand(
      "plan", "Check all that a move needs before its first step, and list the steps");
  plan->footer(
      "Checks the definitions, overlaps with all that has addresses, the pool's state and "
      "nodeSelector,\n"
      "the room for the pods that run now, and the reaper. Each line is ok, a warning (to be seen "
      "to first)\n"
      "or wrong (it would not work), with what to do about it below; then come the steps. Exit "
      "status 2 if\n"
      "something is wrong. Changes nothing. Example:\n"
      "podlease migrate plan --to 172.20.0.0/16");
  add_list(*plan, "--to", parsed.migrate_plan.to, "Where pods are to go")->required();
  plan->add_option("--pool", parsed.migrate_plan.pool, "The PodPool that has it, or is to have it")
      ->type_name("NAME")
      ->capture_default_str();
  add_cluster_options(*plan, parsed.cluster);
  plan->callback([&parsed] {
    parsed.run = [&parsed] {
      return migrate_plan(parsed.context, parsed.cluster, parsed.migrate_plan);
    };
  });
}

void add_cluster_commands(CLI::App& app, Parsed& parsed) {
  CLI::App* const pools_command =
      app.add_subcommand("pools", "Show the cluster's pools, and how much of them is taken");
  pools_command->footer(
      "A line for each CIDR of a pool, counted from the blocks themselves. Of all BLOCKS that it "
      "has room\n"
      "for, nodes have those, and CLAIMED is that share; at 100% no node gets another one. NODES "
      "have at\n"
      "least one of them. USED: of the addresses in claimed blocks, as of each block's last "
      "verification.\n"
      "In a PAUSED pool no block is claimed, given back or reaped. REAP-GRACE: the blocks of a "
      "node "
      "that is\n"
      "gone stay taken for so long. Orphans are blocks whose pool or CIDR was removed: they "
      "drain.");
  pools_command->add_option("NAME", parsed.pool_shown, "Only this pool");
  add_cluster_options(*pools_command, parsed.cluster);
  pools_command->callback([&parsed] {
    parsed.run = [&parsed] { return pools(parsed.context, parsed.cluster, parsed.pool_shown); };
  });

  CLI::App* const blocks_command =
      app.add_subcommand("blocks", "Show which node has which block of a pool");
  blocks_command->footer(
      "USED addresses of how many, and their SHARE, are as of when the node last VERIFIED that the "
      "block is\n"
      "its own: so long ago. STATE is\n"
      "  in use\n"
      "  draining    nothing new is leased from it: it was deleted, its CIDR is Draining, or its "
      "pool or\n"
      "              CIDR was removed\n"
      "  unverified  nothing new is leased from it before its node verifies it, for that was half "
      "of "
      "the\n"
      "              pool's reapGrace ago\n"
      "  node gone   its Node is gone, or is another machine by now: the reaper frees it after "
      "reapGrace");
  blocks_command->add_option("--pool", parsed.blocks.pool, "Only of this pool")->type_name("NAME");
  blocks_command->add_option("--node", parsed.blocks.node, "Only of this node")->type_name("NAME");
  add_cluster_options(*blocks_command, parsed.cluster);
  blocks_command->callback([&parsed] {
    parsed.run = [&parsed] { return blocks(parsed.context, parsed.cluster, parsed.blocks); };
  });

  add_pool_commands(app, parsed);
  add_migrate_commands(app, parsed);
}

void add_routes_command(CLI::App& app, Parsed& parsed) {
  CLI::App* const command = app.add_subcommand(
      "routes", "Show, or keep in the kernel, the routes to other nodes' blocks (cluster-pool)");
  command->footer(
      "For clusters whose nodes are on one network, and in which nobody else routes to the pods "
      "of\n"
      "other nodes: each block goes via the address that its node gives in it. Alone it prints the "
      "routes\n"
      "that this node should have; --apply prints what it changes. Works with the kubelet's\n"
      "credentials. podlease knows its routes by `proto 112`, keeps them in the main "
      "table\n"
      "and touches no others: one of somebody else to the same destination stays, and is told.\n"
      "While the API server does not answer, all routes stay as they are. Exit status 2 if some "
      "block\n"
      "is left without a route.\n"
      "As a service: conf/systemd/podlease-routes.service. Away with all:\n"
      "ip route flush proto 112; ip -6 route flush proto 112");
  command
      ->add_option("--node", parsed.routes.node,
                   "Name of this Node (default: the kubelet's, else $NODE_NAME, else the "
                   "host's)")
      ->type_name("NAME");
  command
      ->add_option("--kubeconfig", parsed.routes.kubeconfig,
                   "Who asks (default: /etc/cni/net.d/podlease.kubeconfig, else the "
                   "kubelet's)")
      ->type_name("FILE");
  command->add_flag("--apply", parsed.routes.apply,
                    "Add, replace and remove routes until the kernel has just these");
  command->add_flag("--dry-run", parsed.routes.dry_run, "Only say what --apply would change");
  command
      ->add_option_function<std::string>(
          "--watch",
          [&parsed](const std::string& text) {
            constexpr Milliseconds kUsual{30'000};
            constexpr Milliseconds kShortest{1'000};
            // CLI11 writes this where no interval is given.
            const std::optional<Milliseconds> interval =
                text.empty() || text == "true" ? kUsual : parse_duration(text);
            if (!interval || *interval < kShortest) {
              throw CLI::ValidationError("--watch", in_quotes(text) +
                                                        " is no duration of at least "
                                                        "1s, such as 30s");
            }
            parsed.routes.watch = interval;
          },
          "Again every INTERVAL (default: 30s) until a signal, telling only what changes")
      ->expected(0, 1)
      ->type_name("[INTERVAL]");
  command->callback(
      [&parsed] { parsed.run = [&parsed] { return routes(parsed.context, parsed.routes); }; });
}

}  // namespace

int run_command_line(int argc, char** argv) {
  Parsed parsed;
  CLI::App app(kAbout, "podlease");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  add_common_options(app, parsed.context);
  add_looking_commands(app, parsed);
  add_changing_commands(app, parsed);
  add_cluster_commands(app, parsed);
  add_routes_command(app, parsed);
  tell_common_options(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kFailed;
  }
  try {
    const int exit_status = parsed.run();
    std::cout.flush();
    return std::cout ? exit_status : kFailed;
  } catch (const Error& error) {
    std::cerr << "podlease: " << error.what() << '\n';
    if (!error.details().empty()) {
      std::cerr << "  " << error.details() << '\n';
    }
  } catch (const std::exception& exception) {
    std::cerr << "podlease: " << exception.what() << '\n';
  }
  return kFailed;
}

}  // namespace podlease::cmd
