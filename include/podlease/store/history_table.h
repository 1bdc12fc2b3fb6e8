#ifndef PODLEASE_STORE_HISTORY_TABLE_H_
#define PODLEASE_STORE_HISTORY_TABLE_H_

#include <chrono>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/store/lease.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// A lease that has ended: who had this address when.
struct PastLease {
  AttachmentKey key;
  net::Address address;
  Pod pod;
  std::chrono::sys_time<Milliseconds> created{};
  std::chrono::sys_time<Milliseconds> ended{};
  std::string why;  // as to_string says it; of a newer podlease perhaps another word
};

class HistoryTable {
 public:
  explicit HistoryTable(const Transaction& transaction) : database_(&transaction.database()) {}

  // The last leases that ended, latest first: some thousands are kept of each network. O(n).
  [[nodiscard]] std::vector<PastLease> all() const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_HISTORY_TABLE_H_
