#include <cstdlib>
#include <iostream>

#include "command.h"
#include "commands.h"
#include "knowledge.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/cni/answer.h"
#include "podlease/cni/request.h"
#include "podlease/config/net_conf.h"
#include "podlease/plugin/plugin.h"

namespace podlease::cmd {
namespace {

struct ExplainOptions {
  std::string container_id = "explain";
  std::string ifname = "eth0";
  std::string netns;
  std::string args;  // as CNI_ARGS
};

const char* why(ipam::Reason reason) {
  switch (reason) {
    case ipam::Reason::kHeld:
      return "the attachment holds it already";
    case ipam::Reason::kReturned:
      return "the former sandbox of this pod had it";
    case ipam::Reason::kRequested:
      return "this address was requested";
    case ipam::Reason::kUntouched:
      return "it is the first that was never leased";
    case ipam::Reason::kCooled:
      return "it was freed longest ago, and has cooled down";
    case ipam::Reason::kPressed:
      return "nothing else is left, so the oldest freed address is used although it is cooling";
  }
  return "";
}

std::string to_text(net::Uint128 count) {
  constexpr net::Uint128 kMany = net::Uint128{1} << 63;
  return count >= kMany ? "2^63 or more" : std::to_string(static_cast<std::uint64_t>(count));
}

Json describe(const pools::PoolRangeSet& set, const std::optional<ipam::Standing>& standing) {
  Json json;
  for (const pools::PoolRange& range : set.ranges) {
    json["ranges"].push_back({{"from", range.name},
                              {"source", range.source},
                              {"range", range.range.to_string()},
                              {"subnet", range.subnet.to_string()},
                              {"gateway", range.gateway ? range.gateway->to_string() : "none"},
                              {"notLeased", to_text(range.range.size() - range.usable.size())}});
  }
  if (standing) {
    json["leased"] = standing->leased;
    json["free"] = to_text(standing->free());
    json["cooling"] = standing->cooling;
  }
  return json;
}

void print_set(const Json& set, std::size_t index) {
  std::cout << "range set " << index << '\n';
  for (const Json& range : set["ranges"]) {
    std::cout << "  " << range["range"].get<std::string>() << "  from "
              << range["from"].get<std::string>() << ", subnet "
              << range["subnet"].get<std::string>() << ", gateway "
              << range["gateway"].get<std::string>() << ", "
              << range["notLeased"].get<std::string>() << " kept out (gateway, ipam.exclude)\n";
  }
  if (set.contains("leased")) {
    std::cout << "  " << set["leased"] << " leased, " << set["free"].get<std::string>() << " free, "
              << set["cooling"] << " cooling\n";
  }
}

// What a source knows now. It asks the API server where an ADD would.
pools::Knowledge ask(const ipam::Leases& leases, pools::Source& source) {
  pools::Knowledge knowledge = leases.consult(source);
  if (knowledge.stale) {
    source.refresh(true);
    knowledge = leases.consult(source);
  }
  return knowledge;
}

void print_report(const Json& report) {
  std::cout << "network " << report["network"].get<std::string>() << ", store "
            << report["dataDir"].get<std::string>() << ", mode "
            << report["mode"].get<std::string>() << ", cool-down "
            << report["cooldown"].get<std::string>() << '\n';
  for (const Json& excluded : report["excluded"]) {
    std::cout << "excluded: " << excluded.get<std::string>() << '\n';
  }
  print_knowledge(report, "");
  for (std::size_t index = 0; index < report["rangeSets"].size(); ++index) {
    print_set(report["rangeSets"][index], index);
  }
  for (const Json& answer : report["answer"]) {
    std::cout << "an ADD now gets " << answer["address"].get<std::string>() << ", gateway "
              << answer["gateway"].get<std::string>() << ": " << answer["why"].get<std::string>()
              << '\n';
  }
  if (report.contains("error")) {
    std::cout << "an ADD now fails with code " << report["error"]["code"] << ": "
              << report["error"]["msg"].get<std::string>() << "\n  "
              << report["error"]["details"].get<std::string>() << '\n';
  }
}

int explain(const Context& context, const ExplainOptions& options) {
  const config::Document document =
      config::Document::parse_file(read_all(STDIN_FILENO, kLargestInput));
  const cni::Args args = cni::parse_args(options.args);
  const config::NetConf conf = document.net_conf(args.ip);
  const std::filesystem::path& data_dir = conf.essentials.data_dir;
  const ipam::Leases leases(context.host, context.clock, context.log, context.places, data_dir,
                            context.lock_timeout);
  const plugin::ConfiguredSource source = context.source(document, conf, data_dir, args.pod());
  const pools::Knowledge knowledge = ask(leases, *source);

  Json report{{"network", conf.essentials.name}, {"mode", config::to_string(conf.mode)},
              {"dataDir", data_dir.string()},    {"cooldown", format_duration(conf.cooldown)},
              {"excluded", Json::array()},       {"rangeSets", Json::array()},
              {"warnings", conf.warnings},       {"answer", Json::array()}};
  for (const net::Range& range : conf.exclude.ranges()) {
    report["excluded"].push_back(range.to_string());
  }
  report_knowledge(context, knowledge, plugin::wiring_of(conf), report);
  if (knowledge.offer() != nullptr) {
    for (const pools::PoolRangeSet& set : knowledge.offer()->sets) {
      report["rangeSets"].push_back(describe(
          set, leases.standing(conf.essentials.name, plugin::wiring_of(conf), set, conf.cooldown)));
    }
  }
  int status = kDone;
  try {
    report_held(leases, conf.essentials.name, knowledge, plugin::wiring_of(conf), report);
    const cni::Request request{.verb = cni::Verb::kAdd,
                               .container_id = options.container_id,
                               .netns = options.netns,
                               .ifname = options.ifname,
                               .args = options.args};
    for (const ipam::Granted& granted :
         leases.rehearse(plugin::add_request(request, args, conf), *source)) {
      report["answer"].push_back(
          {{"address", granted.lease.address.to_string()},
           {"gateway", granted.lease.gateway ? granted.lease.gateway->to_string() : "none"},
           {"why", why(granted.reason)}});
    }
  } catch (const Error& error) {
    report["error"] = {{"code", cni::error_code(error.kind())},
                       {"msg", error.what()},
                       {"details", error.details()}};
    status = kFailed;
  }
  if (context.json) {
    print(report);
  } else {
    print_report(report);
  }
  return status;
}

}  // namespace

void declare_explain(Command& root) {
  Command command =
      root.add("explain", "Say which address an ADD would get, and why, without changing anything");
  command.details(R"(
It reads the network configuration that a runtime would send, a configuration list, or that of
Multus with its delegates, from standard input. It also says what of the ranges the host itself
holds. Example: podlease explain < /etc/cni/net.d/10-podnet.conflist)");
  const auto options = std::make_shared<ExplainOptions>();
  command.option("--container-id", options->container_id, "Container id, as in CNI_CONTAINERID")
      .shows_default();
  command.option("--ifname", options->ifname, "Name of the interface, as in CNI_IFNAME")
      .shows_default();
  command.option("--netns", options->netns, "Path of the network namespace, as in CNI_NETNS");
  command.option("--args", options->args, R"(Arguments as in CNI_ARGS, such as "IP=10.1.0.9")");
  command.runs([options](const Context& context) { return explain(context, *options); });
}

}  // namespace podlease::cmd
