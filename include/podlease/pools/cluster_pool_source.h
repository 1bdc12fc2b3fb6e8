#ifndef PODLEASE_POOLS_CLUSTER_POOL_SOURCE_H_
#define PODLEASE_POOLS_CLUSTER_POOL_SOURCE_H_

#include <optional>
#include <string>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/pools/blocks.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/pool.h"
#include "podlease/pools/source.h"

namespace podlease::pools {

// Mode cluster-pool: the addresses of the blocks that this node has of a PodPool, the fullest block
// first, so that others empty.
class ClusterPoolSource final : public Source {
 public:
  // All must outlive it; `objects` knows the pool of `conf`.
  ClusterPoolSource(const config::NetConf& conf, NodeObjects& objects, Blocks& blocks)
      : conf_(&conf), objects_(&objects), blocks_(&blocks) {}

  [[nodiscard]] std::vector<net::Family> families() const override;
  [[nodiscard]] Knowledge consult(store::Transaction& transaction,
                                  const store::Moment& now) const override;
  void refresh(bool urgent) override;
  void grow(const std::vector<net::Family>& families, const store::Moment& asked) override;
  bool explored(store::Transaction& transaction) override;
  void tidy() override;
  void keep() override;

 private:
  // The blocks of the network, with what the pool says of them today.
  [[nodiscard]] std::vector<store::Block> blocks_as_of(const NodeObjects::View& view,
                                                       store::Transaction& transaction) const;
  // Reports whether the cluster should be asked about one of them.
  [[nodiscard]] bool any_is_due(const std::vector<store::Block>& blocks,
                                store::Transaction& transaction, const store::Moment& now) const;
  // `knowledge` with the offer that the pool and the blocks make.
  [[nodiscard]] Knowledge offer_of(store::Transaction& transaction, const store::Moment& now,
                                   const NodeObjects::View& view,
                                   const std::vector<store::Block>& blocks,
                                   Knowledge knowledge) const;
  [[nodiscard]] Error unverified_error(const std::vector<store::Block>& blocks,
                                       net::Family family) const;

  const config::NetConf* conf_;
  NodeObjects* objects_;
  Blocks* blocks_;
  // As of the last answer of `consult`.
  mutable std::optional<Pool> pool_;
  mutable std::optional<Owner> owner_;
  mutable std::vector<store::Block> unexplored_;
  mutable std::vector<net::Prefix> offered_;  // blocks
  mutable bool blocks_due_ = false;
  mutable bool untidy_ = false;
};

// Whom blocks of a node are made out to.
[[nodiscard]] Owner owner_of(const kube::Node& node);

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_CLUSTER_POOL_SOURCE_H_
