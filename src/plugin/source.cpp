#include "podlease/plugin/source.h"

#include <algorithm>
#include <utility>

#include "podlease/pools/cluster_pool_source.h"
#include "podlease/pools/former_blocks.h"
#include "podlease/pools/node_source.h"
#include "podlease/pools/static_source.h"

namespace podlease::plugin {
namespace {

bool reads_cilium_node(const config::NetConf& conf) {
  const std::vector<config::CidrSource>& sources = conf.kubernetes.sources;
  return conf.mode == config::Mode::kCrd ||
         std::find(sources.begin(), sources.end(), config::CidrSource::kCiliumNode) !=
             sources.end();
}

}  // namespace

ConfiguredSource::ConfiguredSource(const config::Document& document, const config::NetConf& conf,
                                   const World& world) {
  if (conf.is_fixed()) {
    source_ = std::make_unique<pools::StaticSource>(conf);
    return;
  }
  const host::Host& host = *world.host;
  const std::filesystem::path credentials =
      world.recording ? world.store.folder / "credentials" : std::filesystem::path();
  budget_ = std::make_unique<pools::ApiBudget>(conf.kubernetes.timeout);
  reader_ = std::make_unique<pools::ApiNodeReader>(
      conf.kubernetes,
      [&host, node_name = world.node_name] {
        const host::Names names = host.names();
        return pools::Machine{.host_name = names.host_name,
                              .node_name = node_name,
                              .machine_id = names.machine_id,
                              .system_uuid = names.system_uuid,
                              .boot_id = host.boot_id()};
      },
      credentials, *budget_);
  objects_ = std::make_unique<pools::NodeObjects>(
      pools::NodeObjects::Options{
          .store = world.store,
          .timeout = conf.kubernetes.timeout,
          .refresh = conf.kubernetes.refresh,
          .key = conf.kubernetes.kubeconfig.string() + " " + conf.kubernetes.node_name,
          .with_cilium_node = reads_cilium_node(conf),
          .pool = conf.mode == config::Mode::kClusterPool ? conf.pool : std::string(),
          .recording = world.recording,
          .telling = world.telling},
      *reader_, *world.clock, *world.log, [&host] { return host.boot_id(); });
  blocks_ = std::make_unique<pools::Blocks>(
      pools::Blocks::Options{
          .store = world.store,
          .timeout = conf.kubernetes.timeout,
          .refresh = conf.kubernetes.refresh,
          .connect = pools::connect_blocks(conf.kubernetes, credentials, *budget_),
          .boot_id = [&host] { return host.boot_id(); },
          .random_below = pools::random_below},
      *world.clock, *world.log);
  if (conf.mode == config::Mode::kClusterPool) {
    source_ = std::make_unique<pools::ClusterPoolSource>(conf, *objects_, *blocks_);
    return;
  }
  std::unique_ptr<pools::Source> source;
  if (conf.mode == config::Mode::kCrd) {
    source = std::make_unique<pools::CrdSource>(conf, *objects_, world.pod);
  } else {
    source = std::make_unique<pools::NodeSource>(document, conf, *objects_);
  }
  source_ = std::make_unique<pools::FormerBlocks>(std::move(source), conf.essentials.name,
                                                  conf.cooldown, conf.kubernetes.refresh, *blocks_);
}

}  // namespace podlease::plugin
