#include <chrono>
#include <utility>

#include "checks.h"
#include "command.h"
#include "knowledge.h"
#include "network_configs.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/kube/kubeconfig.h"
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
    check.finding = identity.common_name + " ended on " + to_rfc3339(ends);
    check.remedy = "the kubelet renews its own: is it running, and its clock right?";
  } else if (left < 24h) {
    check.health = Health::kNote;
    check.remedy = "the kubelet renews its own when a fifth of its life is left";
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
                        .remedy = "the host name is taken for it: set kubernetes.nodeName where "
                                  "the Node has another"});
    }
  } catch (const Error& error) {
    checks.push_back(wrong("kubeconfig", error));
  }
}

void check_ranges(const Context& context, const pools::Knowledge& knowledge, Checks& checks) {
  for (const pools::Look& look : knowledge.looks) {
    checks.push_back({.health = Health::kOk,
                      .subject = look.used ? "range" : "no range",
                      .finding = look.place + (look.value.empty() ? "" : " " + look.value) + ": " +
                                 look.outcome});
  }
  for (const std::string& warning : warnings_of(context, knowledge)) {
    checks.push_back({.health = Health::kNote, .subject = "warning", .finding = warning});
  }
  if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
    checks.push_back(wrong("ranges", *error));
  }
}

// What an ADD with this configuration would meet.
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
    if (!conf.is_fixed()) {
      check_kubeconfig(conf, context.clock, checks);
    }
    const plugin::ConfiguredSource source = context.source(document, conf, folder);
    source->refresh(true);
    check_ranges(context, context.leases(folder).consult(*source), checks);
  } catch (const Error& error) {
    checks.push_back(wrong("configuration", error));
  }
  return checks;
}

// Which file a runtime takes: of several it is the first.
Checks check_file(const NetworkConfig& network, bool first) {
  Check check{.health = Health::kOk, .subject = "file", .finding = network.file.string()};
  if (network.error) {
    check = wrong("file",
                  Error(network.error->kind(), network.file.string() + ": " + network.error->what(),
                        "a runtime passes it over, or stops at it"));
  } else if (!network.document) {
    check.finding += " does not use podlease";
    if (first) {
      check.health = Health::kNote;
      check.remedy = "it is the first, and runtimes use the first: podlease is not called";
    }
  }
  return {check};
}

}  // namespace

int doctor(const Context& context, const std::filesystem::path& conf_dir) {
  Checks checks;
  const auto append = [&](const Checks& more) {
    checks.insert(checks.end(), more.begin(), more.end());
  };
  bool in_use = false;
  bool first = true;
  for (const NetworkConfig& network : read_network_configs(conf_dir)) {
    append(check_file(network, std::exchange(first, false)));
    if (network.document) {
      in_use = true;
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

}  // namespace podlease::cmd
