#include "main_plugin_checks.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <system_error>

#include "podlease/base/text.h"
#include "podlease/ipam/wiring.h"
#include "podlease/plugin/plugin.h"

namespace podlease::cmd {
namespace {

// Where runtimes look unless they are told otherwise, and where distributions put the plugins.
constexpr std::string_view kUsualFolders = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni";

Check check_program(const std::string& type) {
  const char* const given = std::getenv("CNI_PATH");
  const std::string_view folders = given == nullptr ? kUsualFolders : given;
  std::vector<std::string> looked_in;
  for (const std::string_view folder : split(folders, ':')) {
    std::error_code absent;
    const std::filesystem::path program = std::filesystem::path(folder) / type;
    if (std::filesystem::is_regular_file(program, absent)) {
      return {.health = Health::kOk, .subject = "main plugin", .finding = program.string()};
    }
    looked_in.emplace_back(folder);
  }
  return {.health = Health::kNote,
          .subject = "main plugin",
          .finding = type + " is in none of " + join(looked_in, ", "),
          .remedy =
              "install the CNI plugins (Debian: containernetworking-plugins) where the runtime "
              "looks for them, or say where that is: CNI_PATH"};
}

// Of plugins that attach pods to an interface which must be there already.
void check_link(const config::MainPlugin& plugin, const std::string& link,
                const host::HostNetworks& networks, Checks& checks) {
  const bool has_default = plugin.type == "macvlan" || plugin.type == "ipvlan";
  const bool is_attached = has_default || plugin.type == "vlan" || plugin.type == "host-device";
  if (!is_attached || plugin.in_container || (link.empty() && !has_default)) {
    return;
  }
  if (link.empty()) {
    checks.push_back({.health = Health::kWrong,
                      .subject = "master",
                      .finding = plugin.type + " is given no master, and this host has no default "
                                               "route to take the interface of",
                      .remedy = "give \"master\""});
  } else if (networks.find(link) == nullptr) {
    checks.push_back(
        {.health = Health::kWrong,
         .subject = "master",
         .finding = "this host has no interface " + link + " to attach pods to by " + plugin.type,
         .remedy = "ip link shows those it has"});
  }
}

// The bridge plugin gives the bridge the gateway's address, and refuses a bridge that has another
// IPv4 address unless it may replace that.
void check_bridge(const config::MainPlugin& plugin, const std::string& link,
                  const host::HostNetworks& networks, const pools::Offer& offer, Checks& checks) {
  const host::Interface* const bridge = networks.find(link);
  if (!plugin.is_bridge() || !plugin.is_gateway || plugin.force_address || bridge == nullptr) {
    return;
  }
  std::set<std::string> gateways;
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const pools::PoolRange& range : set.ranges) {
      if (range.gateway && set.family == net::Family::kIpv4) {
        gateways.insert(range.gateway->to_string() + "/" + std::to_string(range.answer_length));
      }
    }
  }
  for (const host::InterfaceAddress& one : networks.addresses) {
    const bool is_its_own =
        one.interface == bridge->index && one.address.address().family() == net::Family::kIpv4;
    if (is_its_own && !gateways.empty() && !gateways.contains(one.address.to_string())) {
      checks.push_back({.health = Health::kWrong,
                        .subject = "bridge",
                        .finding = link + " has the address " + one.address.to_string() +
                                   ", and the gateway is " + *gateways.begin() +
                                   ": the bridge plugin refuses every pod",
                        .remedy = "remove that address, name another bridge, or set forceAddress"});
    }
  }
}

}  // namespace

Checks check_main_plugin(const config::NetConf& conf, const host::HostNetworks& networks,
                         const pools::Offer* offer) {
  const config::MainPlugin& plugin = conf.main_plugin;
  if (plugin.type.empty()) {
    return {};
  }
  Checks checks{check_program(plugin.type)};
  const std::string link = ipam::link_of(plugin::wiring_of(conf), networks);
  check_link(plugin, link, networks, checks);
  if (offer != nullptr) {
    check_bridge(plugin, link, networks, *offer, checks);
  }
  return checks;
}

}  // namespace podlease::cmd
