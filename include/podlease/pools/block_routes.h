#ifndef PODLEASE_POOLS_BLOCK_ROUTES_H_
#define PODLEASE_POOLS_BLOCK_ROUTES_H_

#include <string>
#include <vector>

#include "podlease/kube/pool_objects.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

// Which way the blocks of other nodes are, as their objects say. Nothing here asks anybody.
namespace podlease::pools {

struct BlockRoute {
  net::Prefix destination;
  net::Address gateway;  // the node's own; IPv6 for IPv4 where it has no other
  std::string node;

  friend bool operator==(const BlockRoute&, const BlockRoute&) = default;
};

struct BlockRoutes {
  std::vector<BlockRoute> routes;     // by destination, IPv4 first
  std::vector<std::string> problems;  // why some blocks are without: a line each
};

// To the blocks of all nodes but `own_node`. A block whose deletion has begun has its route until
// its node lets go of it: pods may still be in it. All blocks of a node go to the addresses that
// its block verified last has.
[[nodiscard]] BlockRoutes routes_to_blocks(const std::vector<kube::PodBlock>& blocks,
                                           const std::string& own_node);

// The fewest prefixes that hold just these addresses, in order.
[[nodiscard]] std::vector<net::Prefix> aggregate(std::vector<net::Prefix> prefixes);

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_BLOCK_ROUTES_H_
