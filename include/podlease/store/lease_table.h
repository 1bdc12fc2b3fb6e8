#ifndef PODLEASE_STORE_LEASE_TABLE_H_
#define PODLEASE_STORE_LEASE_TABLE_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/range.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// Who has an address, as far as it tells whether he lives.
struct Holder {
  std::int64_t network = 0;  // id
  net::Address address;
  Presence presence;
  std::chrono::sys_time<Milliseconds> created{};  // the lease
  bool suspected = false;
};

class LeaseTable {
 public:
  explicit LeaseTable(const Transaction& transaction) : database_(&transaction.database()) {}

  // Reports whether the attachment holds anything: `of` at a fraction of its cost.
  [[nodiscard]] bool has_any(const Network& network, const std::string& container_id,
                             const std::string& ifname) const;
  // Leases of one attachment, in range-set order. A lease with an empty ifname belongs to any.
  [[nodiscard]] std::vector<Lease> of(const Network& network, const std::string& container_id,
                                      const std::string& ifname) const;
  // The same in whichever network.
  [[nodiscard]] std::vector<Lease> of(const std::string& container_id,
                                      const std::string& ifname) const;
  [[nodiscard]] std::optional<Lease> at(const Network& network, net::Address address) const;
  // The network's own or else one of any network that it counts.
  [[nodiscard]] std::optional<Lease> at_in_space(const Network& network,
                                                 net::Address address) const;
  // Reports whether another network that it counts has leased the address.
  [[nodiscard]] bool leased_elsewhere(const Network& network, net::Address address) const;
  // All leases, of one network or of every one, by network and address. O(n).
  [[nodiscard]] std::vector<Lease> all(const std::optional<Network>& network = std::nullopt) const;
  // Another text after each lease that was made or ended, in whichever network. O(networks).
  [[nodiscard]] std::string change_mark() const;
  // How many addresses of `range` are leased in the network. O(n) in their number.
  [[nodiscard]] std::uint64_t count_in(const Network& network, const net::Range& range) const;

  // Leases an address that is free; throws kOther if another network that this one counts has it.
  // What the caller knows of the address saves looking.
  enum class Before { kUnknown, kUntouched };
  void insert(const Network& network, const Lease& lease, Before before = Before::kUnknown) const;
  // Ends a lease: the address goes to the end of the freed queue to cool, or to its front, cool, if
  // its holder was dead for long already; unless another network of its space leases it too. Notes
  // it in the history, unless the disk is full.
  void end(const Lease& lease, const Moment& moment, Ending why) const;
  // Refreshes who holds the lease: container, pod and presence are those of `now`.
  void refresh(const Lease& lease, const Lease& now) const;

  // A few leases of the network: those that were looked at longest ago, and they count as looked
  // at.
  [[nodiscard]] std::vector<Holder> sample(const Network& network) const;
  // Those of all leases of the network and of those that it counts: `all` at a fraction of its
  // cost. By network, and in one by address. O(n).
  [[nodiscard]] std::vector<Holder> holders(const Network& network) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_LEASE_TABLE_H_
