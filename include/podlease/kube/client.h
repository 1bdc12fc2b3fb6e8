#ifndef PODLEASE_KUBE_CLIENT_H_
#define PODLEASE_KUBE_CLIENT_H_

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"

// One client of one API server, for a process that asks it a few questions and ends.
namespace podlease::kube {

// When all API work of this call must be over; one for all requests of a call.
using Deadline = std::chrono::steady_clock::time_point;

// Why the API server gave no answer that can be used. Of kind kBusy, except kIdentity and
// kRejected, which no waiting will mend: kConfig.
class ApiError : public Error {
 public:
  enum class Cause {
    kUnreachable,   // no address, no connection, cut in the middle
    kTimeout,       // the deadline came first
    kServerTls,     // its certificate is wrong, or it speaks no TLS we do
    kIdentity,      // our certificate, token or exec plugin cannot be used
    kUnauthorized,  // 401
    kForbidden,     // 403
    kConflict,      // 409
    kThrottled,     // 429, also after waiting as it asked
    kServer,        // 5xx
    kNotInstalled,  // 404 for a whole kind of podlease's own: its definition is missing
    kRejected,      // any other 4xx, and redirects
    kBadAnswer,     // too large, not HTTP, not JSON, not the object
  };

  ApiError(Cause cause, const std::string& message, std::string details = {});

  [[nodiscard]] Cause cause() const { return cause_; }

 private:
  Cause cause_;
};

// Reports whether a request that failed so has certainly changed nothing. After any other failure
// it may have been carried out, or may be yet.
[[nodiscard]] bool is_certainly_refused(ApiError::Cause cause);

// Of a block, what a list of all blocks is worth reading for.
struct BlockBrief {
  std::string name;
  std::string pool;  // these three as printed by kubectl get podblocks
  std::string node;
  std::string used;
};

// A part of a pool's spec that is to be changed.
struct PoolChange {
  std::optional<std::vector<PodPool::Cidr>> cidrs;
  std::optional<bool> paused;
};

// Answers larger than this are not read to their end.
inline constexpr std::size_t kLargestAnswer = 8U << 20U;

class Client {
 public:
  struct Options {
    Deadline deadline;
    // Where what an exec plugin printed is kept until it ends, mode 0600; empty: nowhere.
    std::filesystem::path credentials;
    // The server judges each change, answers as if it had made it, and makes none.
    bool dry_run = false;
  };

  // Connects with its first request, and keeps the connection.
  Client(Kubeconfig kubeconfig, Options options);
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Nothing: the API says that there is no such object (404), or of a CiliumNode that it does not
  // know the kind. Throw ApiError; each message names the object, the server and the cause.
  [[nodiscard]] std::optional<Node> node(const std::string& name);
  [[nodiscard]] std::optional<CiliumNode> cilium_node(const std::string& name);
  [[nodiscard]] std::optional<PodPool> pod_pool(const std::string& name);
  [[nodiscard]] std::optional<PodBlock> pod_block(const std::string& name);

  // All there are, in pages; of an optional kind that the API does not know, none.
  [[nodiscard]] std::vector<Node> nodes();
  [[nodiscard]] std::vector<CiliumNode> cilium_nodes();
  [[nodiscard]] std::vector<ServiceCidr> service_cidrs();
  [[nodiscard]] std::vector<Pod> pods();
  // Names of those that start jobs, in all namespaces.
  [[nodiscard]] std::vector<std::string> cron_jobs();
  [[nodiscard]] std::vector<PodPool> pod_pools();
  [[nodiscard]] std::vector<PodBlock> pod_blocks();
  // One request. `may_be_old`: out of the server's memory, which may lag behind.
  [[nodiscard]] std::vector<BlockBrief> block_briefs(bool may_be_old);

  // Creates the object. Returns it as the server has it; nothing if there is one of that name.
  [[nodiscard]] std::optional<PodBlock> create(const PodBlock& block);
  [[nodiscard]] std::optional<PodPool> create(const PodPool& pool);
  // Writes the status of a block, and takes the reaper's mark from it. Returns it as the server has
  // it; nothing if there is none of that name and uid.
  [[nodiscard]] std::optional<PodBlock> write_status(const PodBlock& block);
  // Deletes the block of that uid; its finalizers hold it. With a resource version only as it was
  // then: kConflict otherwise. Nothing of that uid there is success.
  void remove(const PodBlock& block);
  // Lets go of the block of that uid: takes its finalizers away. With a resource version as for
  // `remove`. Nothing of that uid there is success.
  void let_go(const PodBlock& block);
  // Sets the reaper's mark on a block that is as it was read, or takes it away. Throws kConflict if
  // it is not.
  void mark(const PodBlock& block, const std::string& node_gone_since);
  // Throws kConflict if the pool is not as it was read any more.
  [[nodiscard]] PodPool change(const PodPool& pool, const PoolChange& change);
  void write_status(const PodPool& pool);
  void remove(const PodPool& pool);

  // The server's clock when it last answered, in seconds since 1970; nothing if it did not say.
  [[nodiscard]] std::optional<std::int64_t> server_time() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podlease::kube

#endif  // PODLEASE_KUBE_CLIENT_H_
