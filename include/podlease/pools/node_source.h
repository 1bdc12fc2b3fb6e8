#ifndef PODLEASE_POOLS_NODE_SOURCE_H_
#define PODLEASE_POOLS_NODE_SOURCE_H_

#include <string>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/source.h"

namespace podlease::pools {

struct FoundCidr;

// Mode kubernetes, and ranges of mode static that name the node's CIDR: the addresses of the CIDRs
// that this node's objects say, less those that Cilium keeps for itself.
class NodeSource final : public Source {
 public:
  // All must outlive it; `document` is where `conf` was read from.
  NodeSource(const config::Document& document, const config::NetConf& conf, NodeObjects& objects)
      : document_(&document), conf_(&conf), objects_(&objects) {}

  [[nodiscard]] std::vector<net::Family> families() const override;
  [[nodiscard]] Knowledge consult(store::Transaction& transaction,
                                  const store::Moment& now) const override;
  void refresh(bool urgent) override { objects_->refresh(urgent); }

 private:
  // What the CIDRs that were found offer, or why they offer nothing.
  void offer_from(const NodeObjects::View& view, const std::vector<FoundCidr>& found_cidrs,
                  Knowledge& knowledge) const;

  const config::Document* document_;
  const config::NetConf* conf_;
  NodeObjects* objects_;
};

// Mode crd: the addresses of CiliumNode spec.ipam.pool, one by one. One with an owner is that pod's
// alone, and all it gets of the family.
class CrdSource final : public Source {
 public:
  // `pod` is NAMESPACE/NAME, or empty.
  CrdSource(const config::NetConf& conf, NodeObjects& objects, std::string pod)
      : conf_(&conf), objects_(&objects), pod_(std::move(pod)) {}

  [[nodiscard]] std::vector<net::Family> families() const override;
  [[nodiscard]] Knowledge consult(store::Transaction& transaction,
                                  const store::Moment& now) const override;
  void refresh(bool urgent) override { objects_->refresh(urgent); }

 private:
  const config::NetConf* conf_;
  NodeObjects* objects_;
  std::string pod_;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_NODE_SOURCE_H_
