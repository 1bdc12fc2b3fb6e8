#ifndef PODLEASE_STORE_POD_TABLE_H_
#define PODLEASE_STORE_POD_TABLE_H_

#include <string>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// The addresses that a pod's interface had last, leased to it or free: when somebody else gets one,
// LeaseTable takes it out. A network for which nothing is noted has what another one that it counts
// has.
class PodTable {
 public:
  explicit PodTable(const Transaction& transaction) : database_(&transaction.database()) {}

  [[nodiscard]] std::vector<net::Address> addresses(const Network& network,
                                                    const std::string& pod_uid,
                                                    const std::string& ifname) const;
  void set_addresses(const Network& network, const std::string& pod_uid, const std::string& ifname,
                     const std::vector<net::Address>& addresses) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_POD_TABLE_H_
