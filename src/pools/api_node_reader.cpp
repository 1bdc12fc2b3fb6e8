#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <string_view>
#include <utility>

#include "podlease/base/text.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/pools/node_objects.h"

namespace podlease::pools {
namespace {

// Podlease's own, then where kubeadm and most distributions, k3s, RKE2 and MicroK8s keep the
// kubelet's.
constexpr std::array<std::string_view, 6> kUsualPlaces{
    "/etc/cni/net.d/podlease.kubeconfig",
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "/var/snap/microk8s/current/credentials/kubelet.config"};

// `what` is the object, for messages; `read` asks for it.
template <typename Object, typename Read>
Reading<Object> read_object(const std::string& what, const std::string& advice, const Read& read) {
  Reading<Object> reading;
  try {
    reading.object = read();
    if (!reading.object) {
      reading.failure.emplace(ErrorKind::kBusy, what + " does not exist", advice);
      reading.gone = true;
    }
  } catch (const Error& error) {
    reading.failure = error;
  }
  return reading;
}

}  // namespace

std::filesystem::path find_kubeconfig(const config::KubernetesConf& conf) {
  if (!conf.kubeconfig.empty()) {
    return conf.kubeconfig;
  }
  for (const std::string_view place : kUsualPlaces) {
    std::error_code unseen;
    if (std::filesystem::exists(place, unseen)) {
      return place;
    }
  }
  std::vector<std::string> places;
  places.reserve(kUsualPlaces.size());
  for (const std::string_view place : kUsualPlaces) {
    places.emplace_back(place);
  }
  throw Error(ErrorKind::kConfig,
              "no kubeconfig to ask the cluster with, and no IP ranges specified",
              "give ipam.kubernetes.kubeconfig, or in mode static ipam.ranges; looked for " +
                  join(places, ", "));
}

std::string node_name_of(const config::KubernetesConf& conf, const kube::Kubeconfig& kubeconfig,
                         const Machine& machine) {
  if (!conf.node_name.empty()) {
    return conf.node_name;
  }
  const kube::Identity identity = kube::identity_of(kubeconfig);
  if (!identity.node_name.empty()) {
    return identity.node_name;
  }
  return machine.node_name.empty() ? to_lower(machine.host_name) : machine.node_name;
}

kube::Client connect(const config::KubernetesConf& conf, const std::filesystem::path& credentials,
                     const ApiBudget::Part& part) {
  return {kube::read_kubeconfig(find_kubeconfig(conf)),
          {.deadline = part.deadline(), .credentials = credentials}};
}

void refuse_foreign(const kube::Node& node, const Machine& machine) {
  const std::array<std::pair<const std::string*, const std::string*>, 3> ids{
      {{&node.machine_id, &machine.machine_id},
       {&node.system_uuid, &machine.system_uuid},
       {&node.boot_id, &machine.boot_id}}};
  const bool foreign = std::all_of(ids.begin(), ids.end(), [](const auto& pair) {
    const auto& [theirs, ours] = pair;
    return !theirs->empty() && !ours->empty() && !equals_ignoring_case(*theirs, *ours);
  });
  if (foreign) {
    throw Error(ErrorKind::kConfig,
                "Node " + node.name + " is another machine: its machineID is " + node.machine_id +
                    ", this host's is " + machine.machine_id,
                "systemUUID and bootID differ too. Two hosts of one name would lease from one "
                "podCIDR: give this one a name, or a kubeconfig, of its own");
  }
}

ApiNodeReader::ApiNodeReader(config::KubernetesConf conf, std::function<Machine()> machine,
                             std::filesystem::path credentials, ApiBudget& budget)
    : conf_(std::move(conf)),
      machine_(std::move(machine)),
      credentials_(std::move(credentials)),
      budget_(&budget) {}

Readings ApiNodeReader::read(const Wanted& wanted) const {
  const ApiBudget::Part part(*budget_);
  Readings readings;
  try {
    const Machine machine = machine_();
    kube::Kubeconfig kubeconfig = kube::read_kubeconfig(find_kubeconfig(conf_));
    const std::string name = node_name_of(conf_, kubeconfig, machine);
    readings.server = kubeconfig.server.host;
    const std::string server = " on " + kubeconfig.server.url;
    kube::Client client(std::move(kubeconfig),
                        {.deadline = part.deadline(), .credentials = credentials_});
    readings.node = read_object<kube::Node>(
        "Node " + name + server,
        "without it nobody knows whose its podCIDR is: no new leases until it is there again. "
        "Restart the kubelet if it was deleted; set kubernetes.nodeName if it has another name",
        [&] { return client.node(name); });
    if (readings.node.object) {
      try {
        refuse_foreign(*readings.node.object, machine);
      } catch (const Error& error) {
        readings.node = {.object = std::nullopt, .failure = error, .gone = true};
      }
    }
    if (wanted.cilium_node) {
      readings.cilium_node = read_object<kube::CiliumNode>(
          "CiliumNode " + name + server, "Cilium's agent makes it when it starts on this node",
          [&] { return client.cilium_node(name); });
    }
    if (!wanted.pool.empty()) {
      readings.pool = read_object<kube::PodPool>(
          "PodPool " + wanted.pool + server,
          "make it: podlease pool add " + wanted.pool + " --cidr CIDR, or set ipam.pool",
          [&] { return client.pod_pool(wanted.pool); });
    }
  } catch (const Error& error) {
    readings.node.failure = error;
    readings.cilium_node.failure = error;
    readings.pool.failure = error;
  }
  return readings;
}

}  // namespace podlease::pools
