#ifndef PODLEASE_CMD_POOL_CHANGE_H_
#define PODLEASE_CMD_POOL_CHANGE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cluster.h"
#include "podlease/base/error.h"

// What the commands below `podlease pool` share. A pool is read, judged, and written as it was
// read: a conflict means that somebody else changed it meanwhile, and
// the whole command is tried once more.
namespace podlease::cmd {

struct PoolOptions {
  ClusterOptions cluster;
  std::string name;
  std::vector<std::string> cidrs;     // add: one or more; drain, activate: one; remove: one or none
  std::vector<std::string> reserved;  // each in one of `cidrs`
  std::string reap_grace;             // as Go writes it; empty: the definitions' default
  std::string node_selector;          // k=v,...; empty: every node
  bool force = false;                 // even if something has these addresses that is not a pool
  bool dry_run = false;
};

// The options of a command, read.
struct PoolRequest {
  const PoolOptions* options = nullptr;
  std::vector<net::Prefix> cidrs;                            // without duplicates
  std::map<net::Prefix, std::vector<std::string>> reserved;  // by the CIDR that each lies in
  kube::LabelSelector node_selector;

  [[nodiscard]] const std::string& name() const { return options->name; }
  // "PodPool NAME was paused", or with --dry-run "would be paused".
  // `count` says how many things the subject is.
  [[nodiscard]] std::string did(const std::string& subject, const std::string& what,
                                std::size_t count = 1) const {
    const char* const verb = count == 1 ? " was " : " were ";
    return subject + (options->dry_run ? " would be " : verb) + what;
  }
};

// The result of a command.
struct PoolOutcome {
  std::string message;  // one line
  bool changed = false;
  std::map<std::string, std::uint64_t> left;  // blocks that keep it from being removed, by node
};

// Throws kConfig for options that are malformed.
[[nodiscard]] PoolRequest read_request(const PoolOptions& options);

// An error in what an operator typed.
[[nodiscard]] Error wrong(const std::string& message, const std::string& details);

// The entry of a CIDR; null if the pool has none.
[[nodiscard]] kube::PodPool::Cidr* entry_of(kube::PodPool& pool, const net::Prefix& cidr);

void write(Cluster& cluster, const kube::PodPool& pool, const kube::PoolChange& change);

[[nodiscard]] PoolOutcome add_to_pool(Cluster& cluster, const PoolRequest& request);
[[nodiscard]] PoolOutcome remove_from_pool(Cluster& cluster, const PoolRequest& request);
[[nodiscard]] PoolOutcome set_state(Cluster& cluster, const PoolRequest& request, bool draining);
[[nodiscard]] PoolOutcome set_paused(Cluster& cluster, const PoolRequest& request, bool paused);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_POOL_CHANGE_H_
