#ifndef PODLEASE_STORE_ADDRESS_TABLE_H_
#define PODLEASE_STORE_ADDRESS_TABLE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/range.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// A free address that was leased before.
struct Freed {
  net::Address address;
  std::int64_t position = 0;
  std::chrono::sys_time<Milliseconds> at{};
  Milliseconds since_boot{};  // comparable within one boot
  std::string boot_id;
  std::string pod_uid;  // of whom it was; empty: unknown
};

struct Usage {
  std::uint64_t leased = 0;
  std::uint64_t freed = 0;
  net::Uint128 untouched = 0;
};

// In which state the addresses are that a network counts (`Network::reach`): never leased, or
// freed. LeaseTable changes it.
class AddressTable {
 public:
  // With the id of the machine's boot what was freed since counts as later than what was freed
  // before, whatever was done to the clock meanwhile.
  explicit AddressTable(const Transaction& transaction, std::string boot_id = {})
      : database_(&transaction.database()), boot_id_(std::move(boot_id)) {}

  // The lowest address of `usable` that was never leased and is not below `from`; of the family of
  // `from`.
  [[nodiscard]] std::optional<net::Address> first_untouched(const Network& network,
                                                            const net::IntervalSet& usable,
                                                            net::Address from) const;
  // The address of `usable` that was freed longest ago, less those in `passed_over`. What lies
  // before it in the queue and is not usable is walked once for each set of usable addresses, and
  // remembered.
  [[nodiscard]] std::optional<Freed> oldest_freed(const Network& network, net::Family family,
                                                  const net::IntervalSet& usable,
                                                  const net::IntervalSet& passed_over) const;
  // Nothing if it is leased, or never was.
  [[nodiscard]] std::optional<Freed> freed_at(const Network& network, net::Address address) const;
  // All addresses that were freed in this very network, whatever the ranges. O(n).
  [[nodiscard]] std::size_t freed_count(const Network& network) const;
  // Freed addresses of `usable`, oldest first. O(n).
  [[nodiscard]] std::vector<Freed> freed(const Network& network,
                                         const net::IntervalSet& usable) const;
  // How much of `usable` is in which state. O(n).
  [[nodiscard]] Usage usage(const Network& network, const net::IntervalSet& usable) const;
  // Reports whether no address of `range` is leased, nor was within the cool-down. O(n) in those
  // that ever were.
  [[nodiscard]] bool is_at_rest(const Network& network, const net::Range& range,
                                Milliseconds cooldown, const Moment& now) const;

 private:
  [[nodiscard]] std::optional<Freed> oldest_in(std::int64_t network, net::Family family,
                                               const net::IntervalSet& usable,
                                               const net::IntervalSet& passed_over) const;
  [[nodiscard]] bool is_later(const Freed& a, const Freed& b) const;
  [[nodiscard]] bool is_stale(const Network& network, std::int64_t where, const Freed& freed) const;

  Database* database_;
  std::string boot_id_;  // empty: unknown
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_ADDRESS_TABLE_H_
