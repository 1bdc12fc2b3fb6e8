#ifndef PODLEASE_STORE_SUSPICION_TABLE_H_
#define PODLEASE_STORE_SUSPICION_TABLE_H_

#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/store/lease.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// Since when the holder of a lease is missed.
struct Suspicion {
  std::string boot_id;
  Milliseconds since_boot{};
  int process = 0;  // it is none: this process was found in the holder's namespace then
};

// Suspicions are of exactly one lease: one that was made or refreshed since is under none.
class SuspicionTable {
 public:
  explicit SuspicionTable(const Transaction& transaction) : database_(&transaction.database()) {}

  [[nodiscard]] std::optional<Suspicion> of(const Network& network, const Lease& lease) const;
  void set(const Network& network, const Lease& lease, const Suspicion& suspicion) const;
  void forget(const Network& network, net::Address address) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_SUSPICION_TABLE_H_
