#ifndef PODLEASE_CMD_REAP_H_
#define PODLEASE_CMD_REAP_H_

#include <string>

#include "cluster.h"
#include "command.h"

namespace podlease::cmd {

struct ReapOptions {
  ClusterOptions cluster;
  std::string dead_node;  // known to be dead: its blocks are freed at once; may be empty
  bool dry_run = false;
};

// Frees the blocks of nodes that no longer exist, in the whole cluster.
[[nodiscard]] int reap(const Context& context, const ReapOptions& options);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_REAP_H_
