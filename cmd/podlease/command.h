#ifndef PODLEASE_CMD_COMMAND_H_
#define PODLEASE_CMD_COMMAND_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/plugin/source.h"
#include "podlease/store/lease.h"
#include "podlease/store/store.h"

namespace podlease::cmd {

using Json = nlohmann::ordered_json;

// Exit statuses of the command line.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kTrouble = 2;  // done, and what was found needs attention

// What all subcommands share: the common options, and the machine.
struct Context {
  host::LinuxHost host;
  SystemClock clock;
  Log log{clock};
  ipam::Places places;
  std::filesystem::path data_dir;  // empty: every store ever used on this node
  Milliseconds lock_timeout{30'000};
  bool json = false;  // for programs; tables are for people

  // The stores to look at.
  [[nodiscard]] std::vector<std::filesystem::path> data_dirs() const;
  // The one of a network: --data-dir, or else what its configuration says. Must outlive the answer.
  [[nodiscard]] const std::filesystem::path& data_dir_of(const config::NetConf& conf) const {
    return data_dir.empty() ? conf.essentials.data_dir : data_dir;
  }
  [[nodiscard]] store::Store::Options store_options(const std::filesystem::path& folder) const;
  [[nodiscard]] ipam::Leases leases(const std::filesystem::path& folder) const;
  // The source that a configuration means. It may ask the API, and writes nothing down unless it
  // is `recording`.
  [[nodiscard]] plugin::ConfiguredSource source(const config::Document& document,
                                                const config::NetConf& conf,
                                                const std::filesystem::path& folder,
                                                const std::string& pod = {},
                                                bool recording = false) const;
};

struct StoredLease {
  std::filesystem::path data_dir;
  store::Lease lease;
};

// A copy of all leases; store and lock are free again when it returns.
[[nodiscard]] std::vector<StoredLease> read_leases(const Context& context);

// Those meant by a word an operator typed: an address, a pod (NAME or NAMESPACE/NAME), or the
// beginning of a container id, at least four characters of it.
[[nodiscard]] std::vector<StoredLease> find_leases(const Context& context, const std::string& word);

[[nodiscard]] Json to_json(const StoredLease& stored);
// NAMESPACE/NAME, or - where the runtime told nothing.
[[nodiscard]] std::string pod_of(const store::Lease& lease);

void print(const Json& document);

// Reports whether a word an operator typed, as find_leases takes it, means this one; an empty word
// means all.
[[nodiscard]] bool is_meant(const std::string& word, const net::Address& address,
                            const AttachmentKey& key, const store::Pod& pod);

// More of a configuration than anybody has.
inline constexpr std::size_t kLargestInput = 16 << 20;

// The subcommands, one source file each. Each returns the exit status, or throws Error.

struct AdoptOptions {
  bool dry_run = false;
};
[[nodiscard]] int adopt(const Context& context, const AdoptOptions& options);

[[nodiscard]] int audit(const Context& context);

struct CrdsOptions {
  int ipv4_block = 26;  // prefix lengths
  int ipv6_block = 122;
};
[[nodiscard]] int crds(const CrdsOptions& options);

// `conf_dir` holds the runtime's network configurations.
[[nodiscard]] int doctor(const Context& context, const std::filesystem::path& conf_dir);

struct ExplainOptions {
  std::string container_id = "explain";
  std::string ifname = "eth0";
  std::string netns;
  std::string args;  // as CNI_ARGS
};
[[nodiscard]] int explain(const Context& context, const ExplainOptions& options);

struct ExportOptions {
  bool host_local = false;
  std::string network;         // empty: the only one
  std::filesystem::path root;  // host-local's dataDir; empty: its default
  bool dry_run = false;
};
[[nodiscard]] int export_leases(const Context& context, const ExportOptions& options);

// Leases, and the blocks of the networks that `conf_dir` configures.
struct GcOptions {
  std::string network;  // empty: all
  std::filesystem::path conf_dir;
  bool dry_run = false;
};
[[nodiscard]] int gc(const Context& context, const GcOptions& options);

// `word` as find_leases takes it; empty: everything.
[[nodiscard]] int history(const Context& context, const std::string& word);

struct ListOptions {
  std::string network;     // empty: all
  std::string name_space;  // empty: all
};
[[nodiscard]] int list(const Context& context, const ListOptions& options);

// Gives back all blocks of this node.
struct NodeReleaseOptions {
  std::filesystem::path conf_dir;
  bool force = false;  // also those with leases
  bool dry_run = false;
};
[[nodiscard]] int node_release(const Context& context, const NodeReleaseOptions& options);

struct ReleaseOptions {
  std::string word;  // as find_leases takes it
  bool force = false;
  bool dry_run = false;
};
[[nodiscard]] int release(const Context& context, const ReleaseOptions& options);

// Routes to the blocks of other nodes.
struct RoutesOptions {
  std::filesystem::path kubeconfig;  // empty: the kubelet's
  std::string node;                  // which is not another one; empty: this machine's
  bool apply = false;                // otherwise they are only shown
  bool dry_run = false;
  std::optional<Milliseconds> watch;  // again and again, in this interval, until a signal
};
[[nodiscard]] int routes(const Context& context, const RoutesOptions& options);

[[nodiscard]] int show(const Context& context, const std::string& word);

// `conf_dir` as for doctor.
[[nodiscard]] int status(const Context& context, const std::filesystem::path& conf_dir);

[[nodiscard]] int version(const Context& context);

// Those that look at the whole cluster, from anywhere.

struct ClusterOptions {
  std::filesystem::path kubeconfig;  // empty: the usual places
  Milliseconds timeout{10'000};      // of all API work
};

// What becomes of the blocks of nodes that are gone.
struct ReapOptions {
  std::string dead_node;  // known to be dead: its blocks are freed at once; empty: none is
  bool dry_run = false;
};
[[nodiscard]] int reap(const Context& context, const ClusterOptions& cluster,
                       const ReapOptions& options);

// `name`: only this one; empty: all.
[[nodiscard]] int pools(const Context& context, const ClusterOptions& options,
                        const std::string& name);

struct BlocksOptions {
  std::string pool;  // empty: all
  std::string node;  // empty: all
};
[[nodiscard]] int blocks(const Context& context, const ClusterOptions& options,
                         const BlocksOptions& wanted);

struct PoolOptions {
  enum class Verb { kAdd, kDrain, kActivate, kRemove, kPause, kResume };
  Verb verb = Verb::kAdd;
  std::string name;
  std::vector<std::string> cidrs;     // add: one or more; drain, activate: one; remove: one or none
  std::vector<std::string> reserved;  // each in one of `cidrs`
  std::string reap_grace;             // as Go writes it; empty: the definitions' default
  std::string node_selector;          // k=v,...; empty: every node
  bool force = false;                 // whatever else has these addresses, but not another pool
  bool dry_run = false;
};
[[nodiscard]] int pool(const Context& context, const ClusterOptions& options,
                       const PoolOptions& wanted);

// `from`: the CIDRs that are to be left; empty: those that the cluster itself says are.
[[nodiscard]] int migrate_status(const Context& context, const ClusterOptions& options,
                                 const std::vector<std::string>& from);

struct MigratePlanOptions {
  std::vector<std::string> to;
  std::string pool = "default";
};
[[nodiscard]] int migrate_plan(const Context& context, const ClusterOptions& options,
                               const MigratePlanOptions& wanted);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMAND_H_
