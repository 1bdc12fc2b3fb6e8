#ifndef PODLEASE_POOLS_NODE_OBJECTS_H_
#define PODLEASE_POOLS_NODE_OBJECTS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/kube/client.h"
#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"
#include "podlease/pools/api_budget.h"
#include "podlease/store/moment.h"
#include "podlease/store/object_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"

// The objects of this node in the cluster: what was last read of them, and reading them again.
namespace podlease::pools {

// What a machine says of itself, to tell its own Node from another's. Each may be empty: unknown.
struct Machine {
  std::string host_name;
  std::string node_name;  // $NODE_NAME
  std::string machine_id;
  std::string system_uuid;
  std::string boot_id;
};

// How reading one object went.
template <typename Object>
struct Reading {
  std::optional<Object> object;
  std::optional<Error> failure;  // why there is none
  bool gone = false;             // what was known of it holds no longer
};

struct Readings {
  std::string server;  // the host that was asked
  Reading<kube::Node> node;
  Reading<kube::CiliumNode> cilium_node;
  Reading<kube::PodPool> pool;
};

// What is asked for beside the Node.
struct Wanted {
  bool cilium_node = false;
  std::string pool;  // name; empty: none
};

// Whoever answers for the cluster.
class NodeReader {
 public:
  NodeReader() = default;
  NodeReader(const NodeReader&) = delete;
  NodeReader& operator=(const NodeReader&) = delete;
  virtual ~NodeReader() = default;
  // Within the time that the configuration allows. Never throws: failures are part of the reading.
  [[nodiscard]] virtual Readings read(const Wanted& wanted) const = 0;
};

// The Kubernetes API: finds the kubeconfig and this node's name, reads the Node, and refuses one
// that is another machine's.
class ApiNodeReader final : public NodeReader {
 public:
  // `machine` is only asked when something is read. `credentials` is a file that keeps what exec
  // plugins said. The budget must outlive it.
  ApiNodeReader(config::KubernetesConf conf, std::function<Machine()> machine,
                std::filesystem::path credentials, ApiBudget& budget);

  [[nodiscard]] Readings read(const Wanted& wanted) const override;

 private:
  config::KubernetesConf conf_;
  std::function<Machine()> machine_;
  std::filesystem::path credentials_;
  ApiBudget* budget_;
};

// A client of the server that a configuration means. Throws kConfig.
[[nodiscard]] kube::Client connect(const config::KubernetesConf& conf,
                                   const std::filesystem::path& credentials,
                                   const ApiBudget::Part& part);

// The kubeconfig a configuration means: its own, or the first that exists of the usual places.
// Throws kConfig if none does, naming them all.
[[nodiscard]] std::filesystem::path find_kubeconfig(const config::KubernetesConf& conf);

// Which Node this is: what the configuration says, else whom the kubeconfig makes us, else
// $NODE_NAME, else the host's name. Throws kConfig for credentials that cannot be read.
[[nodiscard]] std::string node_name_of(const config::KubernetesConf& conf,
                                       const kube::Kubeconfig& kubeconfig, const Machine& machine);

// Throws kConfig if all three ids of a Node are known, and none is this machine's: a cloned host
// name would have two hosts lease from one CIDR.
void refuse_foreign(const kube::Node& node, const Machine& machine);

// One of the objects, as remembered.
template <typename Object>
struct Remembered {
  std::optional<Object> object;
  std::optional<store::RemoteObject> record;  // nothing: it was never asked for
};

class NodeObjects {
 public:
  struct Options {
    store::Store::Options store;
    Milliseconds timeout{};  // of all API work
    Milliseconds refresh{};  // the age at which an object is read again
    std::string key;         // whose objects: what the configuration says of kubeconfig and Node
    bool with_cilium_node = false;
    std::string pool;       // the PodPool to know too; empty: none
    bool recording = true;  // false: what is read is known to this process alone
    // Whether anybody reads how sources come to their answers. An ADD says nothing of it, and what
    // it would say costs a tenth of it.
    bool telling = true;
  };

  struct View {
    Remembered<kube::Node> node;
    Remembered<kube::CiliumNode> cilium_node;
    Remembered<kube::PodPool> pool;
    bool stale = false;   // older than `refresh`
    bool recent = false;  // so young that asking again would tell the same
  };

  // All must outlive it.
  NodeObjects(Options options, const NodeReader& reader, const Clock& clock, const Log& log,
              std::function<std::string()> boot_id);

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] store::Moment moment() const;

  [[nodiscard]] View view(store::Transaction& transaction, const store::Moment& now) const;

  // Reads the objects again, or waits until another process has. `urgent`: there is nothing to go
  // by otherwise, so it throws kBusy where the other takes longer than it may.
  void refresh(bool urgent);

 private:
  void read_and_record();

  Options options_;
  const NodeReader* reader_;
  const Clock* clock_;
  const Log* log_;
  std::function<std::string()> boot_id_;
  // What this process has read.
  std::optional<store::RemoteObject> node_;
  std::optional<store::RemoteObject> cilium_node_;
  std::optional<store::RemoteObject> pool_;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_NODE_OBJECTS_H_
