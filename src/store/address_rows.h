#ifndef PODLEASE_SRC_STORE_ADDRESS_ROWS_H_
#define PODLEASE_SRC_STORE_ADDRESS_ROWS_H_

#include <cstdint>
#include <optional>

#include "database.h"
#include "podlease/net/address.h"
#include "podlease/net/range.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"

// The states of addresses by row, and how they change when a lease begins and when it ends: what
// AddressTable and LeaseTable share.
namespace podlease::store {

// The touched interval that begins nearest to `address`, at it or below.
[[nodiscard]] std::optional<net::Range> touched_at_or_below(Database& database,
                                                            std::int64_t network,
                                                            net::Address address);

[[nodiscard]] std::uint64_t count_leased(Database& database, std::int64_t network,
                                         const net::Range& range);

// The address is leased now, for the first time or again.
void touch(Database& database, std::int64_t network, net::Address address);

// The address was never leased in this network: for one that another network of its space leases,
// where it is found from then on.
void untouch(Database& database, std::int64_t network, net::Address address);

[[nodiscard]] bool is_leased(Database& database, std::int64_t network, net::Address address);

// Takes the address out of the freed queue for a lease of it, and from the pod that had it last.
// Returns false if it is not there.
[[nodiscard]] bool take_from_freed(Database& database, std::int64_t network, const Lease& lease);

// Forgets that an address was freed in a network, and leased there before.
void forget_freed(Database& database, std::int64_t network, net::Address address);

// Puts the address of a lease that has ended into the queue: at `position` to cool, or at its
// front, cool.
void put_into_freed(Database& database, std::int64_t network, const Lease& lease,
                    std::int64_t position, const Moment& moment, bool is_cool);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_ADDRESS_ROWS_H_
