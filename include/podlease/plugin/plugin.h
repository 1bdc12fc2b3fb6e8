#ifndef PODLEASE_PLUGIN_PLUGIN_H_
#define PODLEASE_PLUGIN_PLUGIN_H_

#include <filesystem>
#include <string>
#include <string_view>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/cni/request.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"

// The six verbs of the CNI specification, from environment and stdin to stdout.
namespace podlease::plugin {

// All the plugin touches of the world outside; tests put their own in its place.
struct World {
  cni::Getenv getenv;
  int input = 0;   // where the network configuration is read from
  int output = 1;  // where the one JSON document is written to
  const host::Host* host = nullptr;
  const Clock* clock = nullptr;
  ipam::Places places;
  std::filesystem::path data_dir{config::kDefaultDataDir};  // where the configuration names none
};

// Serves one request. Returns the exit status: 0, or 1 after an error document. Never throws.
[[nodiscard]] int run(const World& world);

// On which wire a network is, as area ipam takes it.
[[nodiscard]] ipam::Wiring wiring_of(const config::NetConf& conf);

// What an ADD for this configuration asks of area ipam; `explain` uses it too.
[[nodiscard]] ipam::AddRequest add_request(const cni::Request& request, const cni::Args& args,
                                           const config::NetConf& conf);

}  // namespace podlease::plugin

#endif  // PODLEASE_PLUGIN_PLUGIN_H_
