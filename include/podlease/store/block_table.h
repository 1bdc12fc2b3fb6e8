#ifndef PODLEASE_STORE_BLOCK_TABLE_H_
#define PODLEASE_STORE_BLOCK_TABLE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/net/prefix.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// A block of addresses that this node has of a pool of the cluster, or is about to have. It belongs
// to one network.
struct Block {
  enum class State {
    kClaiming,   // asked for; whether it is ours is not known yet
    kOwned,      // ours, as of `verified`
    kReleasing,  // being given back: never leased from again
    kLost,       // another node's, although leases of ours may still be in it
  };
  std::string network;  // its name
  net::Prefix cidr;
  std::string pool;
  State state = State::kClaiming;
  std::string claim_id;
  std::string uid;            // of the object; empty: not known yet
  bool ending = false;        // somebody has deleted the object: it drains
  bool unexplored = false;    // of a lost store: who has addresses of it is not known yet
  Milliseconds reap_grace{};  // of the pool, as last read
  Moment claimed;             // since when there is this record
  Moment verified;            // when the cluster last said that it is ours
  Moment attempted;           // when it was last asked about it
  std::string failure;        // what came of that; empty: it went well
};

// claiming, owned, releasing, lost.
[[nodiscard]] std::string_view to_string(Block::State state);

class BlockTable {
 public:
  explicit BlockTable(const Transaction& transaction) : database_(&transaction.database()) {}

  // Of one network or of all, by network and address.
  [[nodiscard]] std::vector<Block> of(const std::string& network) const;
  [[nodiscard]] std::vector<Block> all() const;
  [[nodiscard]] std::optional<Block> find(const std::string& network,
                                          const net::Prefix& cidr) const;
  void set(const Block& block) const;
  void forget(const Block& block) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_BLOCK_TABLE_H_
