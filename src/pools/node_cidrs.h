#ifndef PODLEASE_SRC_POOLS_NODE_CIDRS_H_
#define PODLEASE_SRC_POOLS_NODE_CIDRS_H_

#include <optional>
#include <string>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/kube/objects.h"
#include "podlease/pools/source.h"

// What a Node and a CiliumNode say of the node's own CIDRs. Nothing here asks anybody.
namespace podlease::pools {

// Where a CIDR came from, as leases record it: node spec, node annotation, CiliumNode.
struct FoundCidr {
  config::NodeCidr cidr;
  std::string source;
};

struct NodeCidrs {
  // At most one per family. The order is that of the sources, and within a source that in which the
  // CIDRs are written there: it is the order of an answer.
  std::vector<FoundCidr> found;
  std::vector<Look> looks;
  std::vector<std::string> warnings;
};

// Looks through `sources` in order and takes each family from the first source that has it; within
// a source the first CIDR of a family counts. Either object may be missing. A value that is not a
// CIDR is passed over with a warning.
[[nodiscard]] NodeCidrs find_node_cidrs(const std::vector<config::CidrSource>& sources,
                                        const std::string& pool, const kube::Node* node,
                                        const kube::CiliumNode* cilium_node);

// The addresses that Cilium keeps for itself, by the annotations of the Node; what cannot be read
// is added to `warnings`.
[[nodiscard]] std::vector<Landmark> cilium_addresses(const kube::Node& node,
                                                     std::vector<std::string>& warnings);

}  // namespace podlease::pools

#endif  // PODLEASE_SRC_POOLS_NODE_CIDRS_H_
