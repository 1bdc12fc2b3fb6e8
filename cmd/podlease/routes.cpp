#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <set>

#include "command.h"
#include "commands.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/host/route_table.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/pools/block_routes.h"
#include "podlease/pools/node_objects.h"

namespace podlease::cmd {
namespace {

using Kind = host::RouteChange::Kind;

struct RoutesOptions {
  std::filesystem::path kubeconfig;  // empty: the kubelet's
  std::string node;                  // empty: this machine's
  bool apply = false;                // otherwise they are only shown
  bool dry_run = false;
  std::optional<Milliseconds> watch;  // again and again, in this interval, until a signal
};

// Enough to list all blocks of a large cluster, in pages.
constexpr std::chrono::seconds kTimeout{10};

struct Wanted {
  std::string own_node;
  std::vector<pools::BlockRoute> blocks;
  std::vector<host::GatewayRoute> routes;  // one for each of `blocks`
  std::vector<std::string> problems;
};

struct Outcome {
  std::vector<host::RouteChange> changes;  // that were made, or would be
  std::vector<std::string> problems;
};

std::string own_node_of(const Context& context, const RoutesOptions& options,
                        const kube::Kubeconfig& kubeconfig) {
  config::KubernetesConf conf;
  conf.node_name = options.node;
  const char* const node_name = std::getenv("NODE_NAME");
  pools::Machine machine;
  machine.host_name = context.host.names().host_name;
  machine.node_name = node_name == nullptr ? "" : node_name;
  return pools::node_name_of(conf, kubeconfig, machine);
}

// The kubeconfig of --kubeconfig, or else the one that ADDs use.
kube::Kubeconfig kubeconfig_of(const RoutesOptions& options) {
  config::KubernetesConf conf;
  conf.kubeconfig = options.kubeconfig;
  std::filesystem::path path;
  try {
    path = pools::find_kubeconfig(conf);
  } catch (const Error& error) {
    // Its message is written for an ADD.
    throw Error(error.kind(), "there is no kubeconfig to ask the cluster with",
                "give --kubeconfig FILE; " + error.details());
  }
  return kube::read_kubeconfig(path);
}

// Asks the cluster for the blocks, and the kernel for the link to each node.
Wanted find_wanted(const Context& context, const RoutesOptions& options, host::RouteTable& table) {
  const kube::Kubeconfig kubeconfig = kubeconfig_of(options);
  Wanted wanted;
  wanted.own_node = own_node_of(context, options, kubeconfig);
  kube::Client client(kubeconfig,
                      {.deadline = std::chrono::steady_clock::now() + kTimeout, .credentials = {}});
  pools::BlockRoutes found = pools::routes_to_blocks(client.pod_blocks(), wanted.own_node);
  wanted.problems = std::move(found.problems);
  for (pools::BlockRoute& block : found.routes) {
    const std::optional<host::Link> link = table.link_to(block.gateway);
    if (!link) {
      wanted.problems.push_back("node " + block.node + " is at " + block.gateway.to_string() +
                                ", which is on no network that this node is connected to: no "
                                "route to " +
                                block.destination.to_string());
      continue;
    }
    wanted.routes.push_back(
        {.destination = block.destination, .gateway = block.gateway, .link = *link});
    wanted.blocks.push_back(std::move(block));
  }
  return wanted;
}

std::string conflict_over(const host::GatewayRoute& route) {
  return "somebody else has a route to " + route.destination.to_string() +
         ", which stays; to see it: ip route show " + route.destination.to_string();
}

// Makes the changes, or finds out which there would be. If one fails, the others are still made,
// except removals after which an address would have no route.
Outcome reconcile(const Wanted& wanted, host::RouteTable& table, bool really) {
  Outcome outcome;
  host::RouteChanges found = host::changes_to(wanted.routes, table.routes());
  for (const host::GatewayRoute& route : found.foreign) {
    outcome.problems.push_back(conflict_over(route));
  }
  std::vector<net::Prefix> missing;
  for (host::RouteChange& change : found.changes) {
    const net::Prefix destination = change.route.destination;
    const bool keeps_reach =
        change.kind == Kind::kRemove &&
        std::any_of(missing.begin(), missing.end(),
                    [&](const net::Prefix& other) { return other.overlaps(destination); });
    if (keeps_reach) {
      continue;
    }
    try {
      if (!really || table.apply(change)) {
        outcome.changes.push_back(std::move(change));
      } else {
        outcome.problems.push_back(conflict_over(change.route));
      }
    } catch (const Error& error) {
      outcome.problems.emplace_back(error.what());
      missing.push_back(destination);
    }
  }
  return outcome;
}

const char* word(Kind kind) {
  switch (kind) {
    case Kind::kAdd:
      return "add";
    case Kind::kReplace:
      return "replace";
    case Kind::kRemove:
      return "remove";
  }
  return "";
}

Json to_json(const host::GatewayRoute& route) {
  return {{"destination", route.destination.to_string()},
          {"gateway", route.gateway ? Json(route.gateway->to_string()) : Json(nullptr)},
          {"interface", route.link.name}};
}

std::string line_of(const host::GatewayRoute& route) {
  return route.to_string() + " proto " + std::to_string(host::kRouteProtocol);
}

std::string line_of(const host::RouteChange& change) {
  return word(change.kind) + (" " + line_of(change.route));
}

Json report_of(const Wanted& wanted, const Outcome& outcome) {
  Json routes = Json::array();
  for (std::size_t i = 0; i < wanted.routes.size(); ++i) {
    Json route = to_json(wanted.routes[i]);
    route["node"] = wanted.blocks[i].node;
    routes.push_back(std::move(route));
  }
  Json changes = Json::array();
  for (const host::RouteChange& change : outcome.changes) {
    Json item = {{"change", word(change.kind)}};
    item.update(to_json(change.route));
    changes.push_back(std::move(item));
  }
  std::vector<std::string> problems = wanted.problems;
  problems.insert(problems.end(), outcome.problems.begin(), outcome.problems.end());
  return {{"node", wanted.own_node},
          {"protocol", host::kRouteProtocol},
          {"routes", routes},
          {"changes", changes},
          {"problems", problems}};
}

void print_problems(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) {
    std::cerr << "podlease: warning: " << problem << '\n';
  }
}

int once(const Context& context, const RoutesOptions& options) {
  host::RouteTable table;
  const Wanted wanted = find_wanted(context, options, table);
  const Outcome outcome = reconcile(wanted, table, options.apply && !options.dry_run);
  if (context.json) {
    print(report_of(wanted, outcome));
  } else {
    if (options.apply || options.dry_run) {
      for (const host::RouteChange& change : outcome.changes) {
        std::cout << line_of(change) << '\n';
      }
    } else {
      for (const host::GatewayRoute& route : wanted.routes) {
        std::cout << line_of(route) << '\n';
      }
    }
    std::cout.flush();
    print_problems(wanted.problems);
    print_problems(outcome.problems);
  }
  return wanted.problems.empty() && outcome.problems.empty() ? kDone : kTrouble;
}

// Prints what changes from one round to the next, and nothing twice.
class Watch {
 public:
  Watch(const Context& context, const RoutesOptions& options)
      : context_(&context), options_(&options) {}

  void look() {
    try {
      // Read again in each round: interfaces, the kubeconfig and its certificates change meanwhile.
      host::RouteTable table;
      const Wanted wanted = find_wanted(*context_, *options_, table);
      const bool really = options_->apply && !options_->dry_run;
      tell(wanted, reconcile(wanted, table, really), really);
      if (!failure_.empty()) {
        say("it works again");
        failure_.clear();
      }
    } catch (const Error& error) {
      if (failure_.empty()) {
        say(std::string(error.what()) + "; the routes stay as they are");
      }
      failure_ = error.what();
    }
  }

 private:
  static void say(const std::string& line) { std::cerr << "podlease: " << line << std::endl; }

  void tell(const Wanted& wanted, const Outcome& outcome, bool really) {
    std::set<std::string> changes;
    for (const host::RouteChange& change : outcome.changes) {
      const std::string line = line_of(change);
      // A change that was made is printed each time; one that would be made is printed once.
      if (really || !changes_.contains(line)) {
        std::cout << line << std::endl;
      }
      changes.insert(line);
    }
    changes_ = std::move(changes);
    std::set<std::string> problems(wanted.problems.begin(), wanted.problems.end());
    problems.insert(outcome.problems.begin(), outcome.problems.end());
    for (const std::string& problem : problems) {
      if (!problems_.contains(problem)) {
        say("warning: " + problem);
      }
    }
    for (const std::string& problem : problems_) {
      if (!problems.contains(problem)) {
        say("solved: " + problem);
      }
    }
    problems_ = std::move(problems);
  }

  const Context* context_;
  const RoutesOptions* options_;
  std::set<std::string> changes_;
  std::set<std::string> problems_;
  std::string failure_;
};

// Runs until SIGINT or SIGTERM. Both signals are blocked during a round, so that no round is cut
// off.
int watch(const Context& context, const RoutesOptions& options) {
  sigset_t signals{};
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  if (const int error = pthread_sigmask(SIG_BLOCK, &signals, nullptr); error != 0) {
    throw io_error("block signals", error);
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*options.watch);
  const std::chrono::nanoseconds rest = *options.watch - seconds;
  const timespec interval{.tv_sec = seconds.count(), .tv_nsec = rest.count()};
  Watch rounds(context, options);
  do {
    rounds.look();
  } while (sigtimedwait(&signals, nullptr, &interval) < 0);
  return kDone;
}

int routes(const Context& context, const RoutesOptions& options) {
  return options.watch ? watch(context, options) : once(context, options);
}

}  // namespace

void declare_routes(Command& root) {
  Command command =
      root.add("routes",
               "Show the routes to other nodes' blocks, or keep them in the kernel (cluster-pool)");
  command.details(R"(
It is for clusters whose nodes are on one network and in which nothing else routes to the pods of
other nodes: the next hop to a block is the address that its node wrote into it. Without --apply it
prints the routes that this node should have; with --apply it makes them and prints what it changes.
It asks the API server with the kubelet's credentials. podlease marks its routes with `proto 112`,
keeps them in the main table and changes no others: a route of somebody else to the same destination
stays, and a warning names it. While the API server does not answer, all routes stay as they are.
Exit status 2 if a block is left without a route.
To run it as a service: conf/systemd/podlease-routes.service. To remove all of its routes:
ip route flush proto 112; ip -6 route flush proto 112)");
  const auto options = std::make_shared<RoutesOptions>();
  command
      .option("--node", options->node,
              "Name of this Node (default: as in the kubelet's credentials, else $NODE_NAME, else "
              "the host name)")
      .value_name("NAME");
  command
      .option("--kubeconfig", options->kubeconfig,
              "Use this kubeconfig (default: /etc/cni/net.d/podlease.kubeconfig, else the "
              "kubelet's)")
      .value_name("FILE");
  command.flag("--apply", options->apply,
               "Add, replace and remove routes until the kernel has exactly these");
  command.flag("--dry-run", options->dry_run, "Only say what --apply would change");
  constexpr Milliseconds kUsual{30'000};
  constexpr Milliseconds kShortest{1'000};
  command.interval("--watch", options->watch, kUsual, kShortest,
                   "Do it again every INTERVAL (default: 30s) until a signal, and print only what "
                   "changes");
  command.runs([options](const Context& context) { return routes(context, *options); });
}

}  // namespace podlease::cmd
