#ifndef PODLEASE_IPAM_NETWORKS_H_
#define PODLEASE_IPAM_NETWORKS_H_

#include <vector>

#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// The networks whose leases in this store count, by name: all but those whose `dataDir` was changed
// and that went on in another store. That store has copies of their leases, and DELs end those.
[[nodiscard]] std::vector<store::Network> networks_of(store::Transaction& transaction);

}  // namespace podlease::ipam

#endif  // PODLEASE_IPAM_NETWORKS_H_
