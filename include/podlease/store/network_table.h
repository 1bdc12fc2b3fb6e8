#ifndef PODLEASE_STORE_NETWORK_TABLE_H_
#define PODLEASE_STORE_NETWORK_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/range.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// How a network stands to a folder of host-local.
enum class Handover {
  kOwned = 0,   // podlease leases alone; host-local must not
  kShared = 1,  // exported: either may be called next, so both are kept in step
};

// A network's name is not the wire that its addresses are on. Networks that are known to be on one
// wire share a space: an address is free in one of them only if it is free in all, and one that was
// leased in any of them was leased in all.
struct Network {
  std::int64_t id = 0;
  std::string name;
  std::vector<net::Address> hints;
  Handover handover = Handover::kOwned;
  std::vector<std::string> wires;  // sorted; empty: unknown
  std::int64_t unknown_wires = 0;  // of how many networks of the store they are unknown
  std::int64_t space = 0;          // the lowest id of the networks it shares addresses with
  // The ids of all networks whose addresses count as its own: its own first, then those of its
  // space, then those it was told to count besides.
  std::vector<std::int64_t> reach;
  std::int64_t freed = 0;               // how many addresses of its space are, about
  std::optional<net::Address> examine;  // the next lease that `LeaseTable::sample` looks at
  // Of these the machine was asked who holds them. Empty: it is not known of which.
  std::vector<net::Range> surveyed;

  // Counts another network's addresses as its own for as long as this value lives: one whose wire
  // is unknown may be on this one.
  void count(const Network& other);

  // Reports whether so many addresses are freed that those that are cool are to be leased before
  // any that never was: what the store says of a network must not grow with the leases it ever had.
  [[nodiscard]] bool prefers_freed() const;
};

class NetworkTable {
 public:
  explicit NetworkTable(const Transaction& transaction) : database_(&transaction.database()) {}

  [[nodiscard]] std::optional<Network> find(const std::string& name) const;
  // Makes it if there is none.
  [[nodiscard]] Network ensure(const std::string& name) const;
  // By name. O(n).
  [[nodiscard]] std::vector<Network> all() const;
  void set_hints(Network& network, std::vector<net::Address> hints) const;
  void set_handover(Network& network, Handover handover) const;
  void set_surveyed(Network& network, std::vector<net::Range> surveyed) const;

  // Adds wires to those that the network is known to be on. Networks that share one, also by way of
  // others, have one space from then on. Leases stay as they are, so two of them may then have one
  // address.
  void set_wires(Network& network, const std::vector<std::string>& wires) const;
  // The other networks of its space.
  [[nodiscard]] std::vector<Network> sharing(const Network& network) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_NETWORK_TABLE_H_
