#include "cluster.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/pools/node_objects.h"

namespace podlease::cmd {
namespace {

using Cause = kube::ApiError::Cause;

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_there(const std::filesystem::path& path) {
  std::error_code unseen;
  return std::filesystem::exists(path, unseen);
}

}  // namespace

std::array<Option, 2> declare_cluster_options(Command& command, ClusterOptions& options) {
  return {command
              .option("--kubeconfig", options.kubeconfig,
                      "Use this kubeconfig to find the cluster (default: the first file of "
                      "$KUBECONFIG that exists, ~/.kube/config, or the kubelet's)")
              .value_name("FILE"),
          command.option("--timeout", options.timeout,
                         "Wait at most this long for all requests together (default: 10s)")};
}

std::filesystem::path find_cluster_kubeconfig(const std::filesystem::path& given) {
  if (!given.empty()) {
    return given;
  }
  const std::string listed = environment("KUBECONFIG");
  for (const std::string_view entry : split(listed, ':')) {
    if (!entry.empty() && is_there(entry)) {
      return entry;
    }
  }
  if (!listed.empty()) {
    throw Error(ErrorKind::kConfig, "KUBECONFIG names no file that exists: " + in_quotes(listed),
                "correct it, unset it, or give --kubeconfig FILE");
  }
  const std::filesystem::path home = environment("HOME");
  if (!home.empty() && is_there(home / ".kube/config")) {
    return home / ".kube/config";
  }
  try {
    return pools::find_kubeconfig({});
  } catch (const Error&) {
    throw Error(
        ErrorKind::kConfig, "there is no kubeconfig to find the cluster by",
        "give --kubeconfig FILE, or set KUBECONFIG; there is none at ~/.kube/config or where the "
        "kubelet keeps its own");
  }
}

namespace {

// A pod has no kubeconfig, but it has everything that a kubeconfig would hold.
kube::Kubeconfig find_cluster(const std::filesystem::path& given) {
  const std::filesystem::path account = "/var/run/secrets/kubernetes.io/serviceaccount";
  const std::string host = environment("KUBERNETES_SERVICE_HOST");
  if (given.empty() && environment("KUBECONFIG").empty() && !host.empty() &&
      exists(account / "token")) {
    return kube::in_cluster(host, environment("KUBERNETES_SERVICE_PORT"), account);
  }
  return kube::read_kubeconfig(find_cluster_kubeconfig(given));
}

}  // namespace

Cluster::Cluster(const ClusterOptions& options, bool dry_run)
    : client_(find_cluster(options.kubeconfig),
              {.deadline = std::chrono::steady_clock::now() + options.timeout,
               .credentials = {},
               .dry_run = dry_run}) {}

kube::ApiError Cluster::explained(const kube::ApiError& error, const char* verb,
                                  const char* resource) {
  if (error.cause() != Cause::kForbidden) {
    return error;
  }
  const std::string role = std::string("podlease-") + verb + "-" + resource;
  return {error.cause(),
          std::string("not allowed to ") + verb + " " + resource + ": " + error.what(),
          "an administrator can allow it: kubectl create clusterrole " + role + " --verb=" + verb +
              " --resource=" + resource + " && kubectl create clusterrolebinding " + role +
              " --clusterrole=" + role + " --user=NAME"};
}

template <typename Object>
std::optional<std::vector<Object>> Cluster::list_if_allowed(
    const char* resource, const std::string& why, std::vector<Object> (kube::Client::*list)()) {
  try {
    return (client_.*list)();
  } catch (const kube::ApiError& error) {
    if (error.cause() != Cause::kForbidden) {
      throw;
    }
  }
  warn(std::string("not allowed to list ") + resource + ", so " + why);
  return std::nullopt;
}

std::vector<kube::PodPool> Cluster::pools() {
  return ask("list", "podpools.podlease.io",
             [](kube::Client& client) { return client.pod_pools(); });
}

std::vector<kube::PodBlock> Cluster::blocks() {
  return ask("list", "podblocks.podlease.io",
             [](kube::Client& client) { return client.pod_blocks(); });
}

std::vector<kube::Pod> Cluster::pods() {
  return ask("list", "pods", [](kube::Client& client) { return client.pods(); });
}

kube::PodPool Cluster::pool(const std::string& name) {
  std::vector<std::string> names;
  for (kube::PodPool& pool : pools()) {
    if (pool.name == name) {
      return std::move(pool);
    }
    names.push_back(pool.name);
  }
  throw Error(ErrorKind::kConfig, "there is no PodPool " + in_quotes(name),
              (names.empty() ? "the cluster has none" : "there are: " + join(names, ", ")) +
                  "; to create it: podlease pool add " + name + " --cidr CIDR");
}

std::optional<std::vector<kube::Node>> Cluster::nodes(const std::string& why) {
  return list_if_allowed("nodes", why, &kube::Client::nodes);
}

std::vector<Space> Cluster::spaces(const std::vector<kube::PodPool>& pools) {
  std::vector<Space> spaces;
  const auto add = [&](const auto& objects) {
    for (const auto& object : objects) {
      add_spaces(spaces, object);
    }
  };
  add(pools);
  if (const auto all = nodes("their podCIDRs and addresses were not compared")) {
    add(*all);
  }
  if (const auto all = list_if_allowed("ciliumnodes.cilium.io", "their CIDRs were not compared",
                                       &kube::Client::cilium_nodes)) {
    add(*all);
  }
  if (const auto all = list_if_allowed("servicecidrs.networking.k8s.io",
                                       "the Services' addresses were not compared",
                                       &kube::Client::service_cidrs)) {
    add(*all);
    if (all->empty()) {
      warn(
          "this cluster has no ServiceCIDR objects (Kubernetes before 1.33): compare with the API "
          "server's --service-cluster-ip-range yourself");
    }
  }
  return spaces;
}

std::int64_t Cluster::now() const {
  using std::chrono::system_clock;
  return client_.server_time().value_or(system_clock::to_time_t(system_clock::now()));
}

void Cluster::print_warnings() const {
  for (const std::string& warning : warnings_) {
    std::cerr << "podlease: warning: " << warning << '\n';
  }
}

net::Prefix parse_cidr(const std::string& text) {
  const std::optional<net::Prefix> cidr = net::Prefix::parse(text);
  if (!cidr) {
    throw Error(ErrorKind::kConfig, in_quotes(text) + " is not a CIDR",
                "give one such as 172.20.0.0/16 or fd00:10::/48");
  }
  if (cidr->has_host_bits()) {
    throw Error(ErrorKind::kConfig, in_quotes(text) + " has bits set beyond its length",
                "did you mean " + cidr->masked().to_string() + "?");
  }
  return *cidr;
}

std::string share_text(net::Uint128 part, net::Uint128 whole) {
  constexpr unsigned kTight = 70;
  constexpr unsigned kFull = 90;
  constexpr std::size_t kWidest = 4;
  const unsigned share = percent(part, whole);
  std::string text = std::to_string(share) + "%";
  if (isatty(STDOUT_FILENO) == 0) {
    return text;
  }
  text.insert(0, kWidest - std::min(kWidest, text.size()), ' ');
  const char* const colour = share >= kFull    ? "\033[31m"
                             : share >= kTight ? "\033[33m"
                                               : "\033[32m";
  return colour + bar(part, whole) + "\033[0m " + text;
}

}  // namespace podlease::cmd
