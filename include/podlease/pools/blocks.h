#ifndef PODLEASE_POOLS_BLOCKS_H_
#define PODLEASE_POOLS_BLOCKS_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/kube/client.h"
#include "podlease/kube/pool_objects.h"
#include "podlease/net/address.h"
#include "podlease/pools/api_budget.h"
#include "podlease/pools/pool.h"
#include "podlease/store/block_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"

// The blocks of this node: claimed, kept, and given back (DESIGN, section 7; cluster-pool).
//
// A block is claimed by creating an object that is named after it, so etcd decides between nodes.
// What was sent is written into the store before, and what came of it after, so that kill -9
// between any two steps leaves something to go on from:
//
// The model checker explores this in tests/model.
//
//   (none) -> claiming -> owned -> releasing -> (none)
//                |          |
//                |          +-> claiming   its object is gone: claimed anew, with its leases
//                +-------------> lost      another node has it; it ends with its last lease here
//
// - A CREATE whose fate is unknown is sent again, the same one, until the server has said whose the
//   block is. To believe "there is none" would be to leak it, should the first one land yet.
// - All that a node has is found again by its name in the list of blocks, whatever its store lost.
// - Nothing is leased from a block, found again or new, before the machine was looked through for
//   holders of its addresses: pods may outlive both the store and their block.
// - A block is leased from for half of the pool's reapGrace after it was last asked for, and not
//   over a boot, so that no node still leases what the reaper has given to another.
// - A claim says of which network it is: two networks of one node never share a block.
// - No API is asked while the store's lock is held.
namespace podlease::pools {

struct Outcome;

// A number from 0 to `limit` - 1, of the kernel's.
[[nodiscard]] net::Uint128 random_below(net::Uint128 limit);

// Whom blocks of this node are made out to.
struct Owner {
  std::string node_name;
  std::string node_uid;
  std::string machine_id;  // as the Node says
  std::vector<std::string> node_ips;
};

// The cluster's blocks, as far as a node has to do with them. All throw kube::ApiError, and kConfig
// where there is no kubeconfig.
class BlockApi {
 public:
  BlockApi() = default;
  BlockApi(const BlockApi&) = delete;
  BlockApi& operator=(const BlockApi&) = delete;
  virtual ~BlockApi() = default;

  // These as kube::Client has them.
  [[nodiscard]] virtual std::vector<kube::BlockBrief> list(bool may_be_old) = 0;
  [[nodiscard]] virtual std::optional<kube::PodPool> pool(const std::string& name) = 0;
  [[nodiscard]] virtual std::optional<kube::PodBlock> get(const std::string& name) = 0;
  [[nodiscard]] virtual std::optional<kube::PodBlock> create(const kube::PodBlock& block) = 0;
  [[nodiscard]] virtual std::optional<kube::PodBlock> write_status(const kube::PodBlock& block) = 0;
  virtual void remove(const kube::PodBlock& block) = 0;
  virtual void let_go(const kube::PodBlock& block) = 0;
};

// The API that a configuration means, each time within what is left of the budget, which must
// outlive it.
using ConnectBlocks = std::function<std::unique_ptr<BlockApi>()>;
[[nodiscard]] ConnectBlocks connect_blocks(config::KubernetesConf conf,
                                           std::filesystem::path credentials, ApiBudget& budget);

class Blocks {
 public:
  struct Options {
    store::Store::Options store;
    Milliseconds timeout{};  // of all API work in one call
    Milliseconds refresh{};  // so long a failed attempt to verify a block is not repeated
    ConnectBlocks connect;
    std::function<std::string()> boot_id;
    std::function<net::Uint128(net::Uint128)> random_below;
  };

  // All must outlive it.
  Blocks(Options options, const Clock& clock, const Log& log);

  // Who wants a block, and of what.
  struct Claim {
    std::string network;
    const Pool* pool;
    const Owner* owner;
    std::vector<net::Family> families;  // one of each
    net::IntervalSet exclude;           // never leased, so no block is claimed for it
    std::vector<net::Prefix> known;     // blocks that had no free address when that was asked for
  };

  // Gets what is wanted, or waits until another process has: a block of each family that is not
  // among the known ones. Throws kExhausted if the pool has none left, kBusy or kConfig if the
  // cluster does not let us.
  void claim(const Claim& claim, const store::Moment& asked);

  // Adopts blocks of this node and network that none of its stores knows any more, whatever the
  // families; `claim` does so too before it claims. Throws as `claim` does, and, at its end, if one
  // of those stores could not be read: then nothing was adopted, for it may be that store's.
  void find_forgotten(const Claim& claim);

  // Asks the cluster about the blocks that are due, and goes on with what was begun. Failures are
  // recorded with the blocks. What another process did after `asked` is as good, here and above.
  void verify(const Owner& owner, const store::Moment& asked);

  // What a network of the store draws from today.
  struct Network {
    const Pool* pool = nullptr;  // null: something else than a pool
    Milliseconds cooldown{};
  };
  using Networks = std::map<std::string, Network>;  // by name

  // Gives back the blocks of these networks that are empty, cool and not needed. Failures are
  // recorded and logged. Returns the blocks that were given back.
  // NOLINTNEXTLINE(modernize-use-nodiscard): that they are back is what most callers want
  std::vector<store::Block> give_back(const Networks& networks);

  // All of them, also the last: this node leaves. `even_in_use`: also those that have leases. Those
  // of pools that are paused, as `is_paused` tells, stay. Returns what was given back. Throws what
  // keeps it from giving back the others.
  [[nodiscard]] std::vector<store::Block> leave(const Owner& owner, bool even_in_use,
                                                const std::set<std::string>& paused);

  // Asks whether nothing of this pool may be claimed or given back now.
  [[nodiscard]] bool is_paused(const std::string& pool) const;

  // By what is known, without asking anybody.

  // Verified so lately that addresses may be leased from it.
  [[nodiscard]] static bool is_fresh(const store::Block& block, const store::Moment& now);
  // Verified so long ago that it should be again.
  [[nodiscard]] static bool is_due(const store::Block& block, const store::Moment& now);
  // Reports whether asking about it is worth while now: not if that failed a moment ago.
  [[nodiscard]] static bool may_ask(const store::Block& block, const store::Moment& now,
                                    Milliseconds refresh);
  // Those that a network does not need: empty and cool ones, of a CIDR that is not Active, or so
  // that another one with room stays. All are of that network.
  [[nodiscard]] static std::vector<store::Block> spare(store::Transaction& transaction,
                                                       const std::vector<store::Block>& blocks,
                                                       const Network& network,
                                                       const store::Moment& now);
  // Reports whether one of those is worth asking the cluster about now.
  [[nodiscard]] static bool any_to_give_back(store::Transaction& transaction,
                                             const std::vector<store::Block>& blocks,
                                             const Network& network, const store::Moment& now,
                                             Milliseconds refresh);
  // Reports whether a network that draws from `pool` may lease from a block, once it is fresh.
  [[nodiscard]] static bool may_serve(const store::Block& block, const Pool& pool);

 private:
  class Call;

  [[nodiscard]] std::optional<Outcome> in_turn(const std::string& work, const store::Moment& asked,
                                               const std::function<void()>& action);
  void log_failure(const std::optional<Outcome>& outcome) const;

  Options options_;
  const Clock* clock_;
  const Log* log_;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_BLOCKS_H_
