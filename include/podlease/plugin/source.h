#ifndef PODLEASE_PLUGIN_SOURCE_H_
#define PODLEASE_PLUGIN_SOURCE_H_

#include <memory>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host.h"
#include "podlease/pools/api_budget.h"
#include "podlease/pools/blocks.h"
#include "podlease/pools/cluster_pool_source.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/source.h"
#include "podlease/store/store.h"

namespace podlease::plugin {

// The source of addresses that a configuration means, with all that it works with; commands use it
// too.
class ConfiguredSource {
 public:
  struct World {
    const host::Host* host;
    const Clock* clock;
    const Log* log;
    store::Store::Options store;
    std::string node_name;  // $NODE_NAME
    std::string pod;        // NAMESPACE/NAME; empty: unknown
    bool recording = true;  // false: what the API says is not written to the store
    bool telling = false;   // true: `Knowledge` has all there is for people to read
  };

  // `document`, from which `conf` was read, both, and what `world` points to must outlive it.
  ConfiguredSource(const config::Document& document, const config::NetConf& conf,
                   const World& world);

  // What it asks the API with; null for fixed ranges.
  [[nodiscard]] pools::NodeObjects* objects() const { return objects_.get(); }
  [[nodiscard]] pools::Blocks* blocks() const { return blocks_.get(); }

  [[nodiscard]] pools::Source& operator*() const { return *source_; }
  [[nodiscard]] pools::Source* operator->() const { return source_.get(); }

 private:
  std::unique_ptr<pools::ApiBudget> budget_;
  std::unique_ptr<pools::NodeReader> reader_;
  std::unique_ptr<pools::NodeObjects> objects_;
  std::unique_ptr<pools::Blocks> blocks_;
  std::unique_ptr<pools::Source> source_;
};

}  // namespace podlease::plugin

#endif  // PODLEASE_PLUGIN_SOURCE_H_
