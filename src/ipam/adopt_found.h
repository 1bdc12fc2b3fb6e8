#ifndef PODLEASE_SRC_IPAM_ADOPT_FOUND_H_
#define PODLEASE_SRC_IPAM_ADOPT_FOUND_H_

#include <vector>

#include "inventory.h"
#include "podlease/ipam/leases.h"
#include "podlease/net/address.h"
#include "podlease/pools/source.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// What became of what the inventory found.
struct Adopted {
  std::vector<Found> found;
  // Addresses that a living pod has and that are leased to another holder, which may live too, so
  // that the pod has no lease. They are not to count as surveyed: once that holder has ended, the
  // machine has to be asked again before anybody gets them.
  std::vector<net::Address> unsettled;
};

// Leases what the inventory found and no folder of host-local knew, after a lease of the same
// address has ended whose holder had ended.
[[nodiscard]] Adopted adopt_found(store::Transaction& transaction, const store::Network& network,
                                  const pools::Offer& offer, const store::Moment& now,
                                  const Inventory& inventory);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_ADOPT_FOUND_H_
