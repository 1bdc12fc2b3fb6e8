#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "checks.h"
#include "command.h"
#include "commands.h"
#include "knowledge.h"
#include "main_plugin_checks.h"
#include "network_configs.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/cni/request.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/plugin/plugin.h"
#include "podlease/store/store.h"

namespace podlease::cmd {
namespace {

Check wrong(const std::string& subject, const Error& error) {
  return {.health = Health::kWrong,
          .subject = subject,
          .finding = error.what(),
          .remedy = error.details()};
}

void check_store(const std::filesystem::path& folder, Checks& checks) {
  try {
    store::probe_writable(folder);
    checks.push_back({.health = Health::kOk, .subject = "store", .finding = folder.string()});
  } catch (const Error& error) {
    checks.push_back(wrong("store", error));
  }
}

// A log that cannot be written fails no pod, so that nobody else would notice.
void check_log(const config::LogConf& log, Checks& checks) {
  std::error_code unknown;
  const std::filesystem::path folder = std::filesystem::path(log.file).parent_path();
  if (!log.file.empty() && !std::filesystem::is_directory(folder, unknown)) {
    checks.push_back(
        {.health = Health::kNote,
         .subject = "log",
         .finding = log.file.string() + " cannot be written: there is no folder " + folder.string(),
         .remedy = "make the folder; until then nothing is logged"});
  }
}

void check_certificate(const kube::Identity& identity, const Clock& clock, Checks& checks) {
  using namespace std::chrono_literals;
  if (!identity.certificate_ends) {
    return;
  }
  const std::chrono::sys_seconds ends{std::chrono::seconds(*identity.certificate_ends)};
  const auto left = std::chrono::duration_cast<Milliseconds>(ends - clock.now().wall);
  Check check{.health = Health::kOk,
              .subject = "certificate",
              .finding = identity.common_name + ", valid until " + to_rfc3339(ends)};
  if (left <= 0s) {
    check.health = Health::kWrong;
    check.finding = identity.common_name + " expired on " + to_rfc3339(ends);
    check.remedy = "the kubelet renews its own: check that it runs, and that the clock is right";
  } else if (left < 24h) {
    check.health = Health::kNote;
    check.remedy = "the kubelet renews its own when a fifth of its lifetime is left";
  }
  checks.push_back(std::move(check));
}

void check_kubeconfig(const config::NetConf& conf, const Clock& clock, Checks& checks) {
  try {
    const kube::Kubeconfig kubeconfig =
        kube::read_kubeconfig(pools::find_kubeconfig(conf.kubernetes));
    checks.push_back({.health = Health::kOk,
                      .subject = "kubeconfig",
                      .finding = kubeconfig.path.string() + ", server " + kubeconfig.server.url});
    const kube::Identity identity = kube::identity_of(kubeconfig);
    check_certificate(identity, clock, checks);
    if (identity.node_name.empty() && conf.kubernetes.node_name.empty()) {
      checks.push_back({.health = Health::kNote,
                        .subject = "identity",
                        .finding = "the kubeconfig does not say which Node this is",
                        .remedy = "podlease uses the host name: set kubernetes.nodeName if "
                                  "the Node has another name"});
    }
  } catch (const Error& error) {
    checks.push_back(wrong("kubeconfig", error));
  }
}

void check_ranges(const Context& context, const pools::Knowledge& knowledge,
                  const ipam::Wiring& wiring, Checks& checks) {
  for (const pools::Look& look : knowledge.looks) {
    checks.push_back({.health = Health::kOk,
                      .subject = look.used ? "range" : "no range",
                      .finding = look.place + (look.value.empty() ? "" : " " + look.value) + ": " +
                                 look.outcome});
  }
  for (const std::string& warning : warnings_of(context, knowledge, wiring)) {
    checks.push_back({.health = Health::kNote, .subject = "warning", .finding = warning});
  }
  if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
    checks.push_back(wrong("ranges", *error));
  }
}

// What the host itself holds of the ranges.
void check_host(const ipam::Leases& leases, const std::string& network,
                const pools::Knowledge& knowledge, const ipam::Wiring& wiring, Checks& checks) {
  if (knowledge.offer() == nullptr) {
    return;
  }
  for (const std::string& line : leases.warnings(network)) {
    checks.push_back({.health = Health::kNote, .subject = "warning", .finding = line});
  }
  try {
    for (const std::string& line : leases.held_by_host(wiring, *knowledge.offer())) {
      checks.push_back({.health = Health::kNote, .subject = "held by host", .finding = line});
    }
  } catch (const Error& error) {
    checks.push_back(wrong("ranges", error));
  }
}

// Leases that are kept although nothing proves that their pods live.
void check_leases(const Context& context, const std::filesystem::path& folder,
                  const std::string& network, Checks& checks) {
  std::vector<store::Lease> leases;
  for (StoredLease& stored : read_leases(context)) {
    if (stored.data_dir == folder) {
      leases.push_back(std::move(stored.lease));
    }
  }
  std::map<std::string, std::size_t> doubts;
  const std::vector<ipam::Presumed> presumed = context.leases(folder).presume(leases);
  for (std::size_t index = 0; index < leases.size(); ++index) {
    if (leases[index].key.network == network &&
        presumed[index].life == ipam::Presumed::Life::kDoubt) {
      ++doubts[presumed[index].settles];
    }
  }
  for (const auto& [settles, count] : doubts) {
    checks.push_back({.health = Health::kNote,
                      .subject = "leases",
                      .finding = counted(count, "lease is", "leases are") +
                                 " in doubt: nothing proves that their pods live, or have ended",
                      .remedy = settles});
  }
}

// Whether one would succeed now.
void rehearse_add(const ipam::Leases& leases, const config::NetConf& conf, pools::Source& source,
                  Checks& checks) {
  const cni::Request request{
      .verb = cni::Verb::kAdd, .container_id = "doctor", .netns = {}, .ifname = "eth0", .args = {}};
  try {
    std::vector<std::string> addresses;
    for (const ipam::Granted& granted :
         leases.rehearse(plugin::add_request(request, cni::parse_args(""), conf), source)) {
      addresses.push_back(granted.lease.address.to_string());
    }
    checks.push_back({.health = Health::kOk,
                      .subject = "next pod",
                      .finding = "would get " + join(addresses, ", ")});
  } catch (const Error& error) {
    if (std::any_of(checks.begin(), checks.end(),
                    [&](const Check& check) { return check.finding == error.what(); })) {
      return;
    }
    checks.push_back(wrong("next pod", error));
    if (error.kind() == ErrorKind::kBusy) {
      checks.back().health = Health::kNote;
    }
  }
}

// Checks what an ADD with this configuration needs.
Checks check_network(const Context& context, const config::Document& document) {
  Checks checks;
  try {
    const config::NetConf conf = document.net_conf("");
    const std::filesystem::path& folder = context.data_dir_of(conf);
    checks.push_back({.health = Health::kOk,
                      .subject = "configuration",
                      .finding = "network " + conf.essentials.name + ", mode " +
                                 std::string(config::to_string(conf.mode))});
    for (const std::string& warning : conf.warnings) {
      checks.push_back({.health = Health::kNote, .subject = "warning", .finding = warning});
    }
    check_store(folder, checks);
    check_log(conf.essentials.log, checks);
    if (!conf.is_fixed()) {
      check_kubeconfig(conf, context.clock, checks);
    }
    const plugin::ConfiguredSource source = context.source(document, conf, folder);
    source->refresh(true);
    const pools::Knowledge knowledge = context.leases(folder).consult(*source);
    const ipam::Wiring wiring = plugin::wiring_of(conf);
    check_ranges(context, knowledge, wiring, checks);
    for (Check& check : check_main_plugin(conf, context.host.networks(), knowledge.offer())) {
      checks.push_back(std::move(check));
    }
    check_host(context.leases(folder), conf.essentials.name, knowledge, wiring, checks);
    check_leases(context, folder, conf.essentials.name, checks);
    rehearse_add(context.leases(folder), conf, *source, checks);
  } catch (const Error& error) {
    checks.push_back(wrong("configuration", error));
  }
  return checks;
}

// A runtime uses the first of several files.
Checks check_file(const NetworkConfig& network, bool first) {
  Check check{.health = Health::kOk, .subject = "file", .finding = network.file.string()};
  if (network.error) {
    check = wrong("file",
                  Error(network.error->kind(), network.file.string() + ": " + network.error->what(),
                        "a runtime ignores it, or fails because of it"));
  } else if (!network.document) {
    check.finding += " does not use podlease";
    if (first) {
      check.health = Health::kNote;
      check.remedy = "it is the first, and runtimes use the first: podlease is not called";
    }
    if (!network.unseen_networks.empty()) {
      check.health = Health::kNote;
      check.finding = network.file.string() + " has Multus use network " +
                      join(network.unseen_networks, ", ") + ", which no file here describes";
      check.remedy = "if it is a NetworkAttachmentDefinition: podlease explain < its spec.config";
    }
  } else if (network.same_as) {
    check.finding += " has the same as " + network.same_as->string();
  }
  return {check};
}

int doctor(const Context& context, const std::filesystem::path& conf_dir) {
  Checks checks;
  const auto append = [&](const Checks& more) {
    checks.insert(checks.end(), more.begin(), more.end());
  };
  bool in_use = false;
  bool first = true;
  for (const NetworkConfig& network : read_network_configs(conf_dir)) {
    append(check_file(network, std::exchange(first, false)));
    in_use = in_use || network.document;
    if (network.document && !network.same_as) {
      append(check_network(context, *network.document));
    }
  }
  if (!in_use) {
    checks.push_back({.health = Health::kWrong,
                      .subject = "file",
                      .finding = conf_dir.string() + " holds no configuration that uses podlease",
                      .remedy = "put \"ipam\": {\"type\": \"podlease\"} into one, or give the "
                                "runtime's folder: --conf-dir"});
  }

  if (context.json) {
    print(to_json(checks));
  } else {
    print(checks);
  }
  return status_of(checks);
}

}  // namespace

void declare_doctor(Command& root) {
  Command command = root.add(
      "doctor", "Check all that an ADD on this node needs, and say how to repair what is wrong");
  command.details(R"(
For each network configuration of this node that uses podlease, be it by way of Multus, it checks
whether the configuration is valid, whether the store and the log can be written, whether the main
plugin, and the interface it attaches pods to, are there, whether there is a kubeconfig, who this
node is to the API server, whether the server answers, which ranges follow, what of them the host
itself holds, which leases are in doubt, and which address the next pod would get. In mode cluster-pool it also checks
whether the pool exists, whether this node may lease from its blocks, and whether a job frees the
blocks of nodes that no longer exist.
Each line is ok, a note (worth knowing) or wrong; the line below it says what to do. It changes
nothing. Exit status 2 if something is wrong.)");
  const auto conf_dir = std::make_shared<std::filesystem::path>();
  declare_conf_dir(command, *conf_dir);
  command.runs([conf_dir](const Context& context) { return doctor(context, *conf_dir); });
}

}  // namespace podlease::cmd
