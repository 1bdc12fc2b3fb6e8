#include "podlease/store/verify.h"

#include <string>
#include <utility>
#include <vector>

#include "database.h"
#include "podlease/base/error.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/range.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"

namespace podlease::store {

using net::Address;
using net::IntervalSet;
using net::Range;

void verify(const Transaction& transaction) {
  Database& database = transaction.database();
  for (const Network& network : NetworkTable(transaction).all()) {
    std::vector<Range> placed;
    for (const Lease& lease : LeaseTable(transaction).all(network)) {
      placed.push_back(Range::single(lease.address.address()));
    }
    Query freed(database, "SELECT address FROM freed WHERE network = ?");
    freed.bind(network.id);
    while (freed.next()) {
      placed.push_back(Range::single(freed.address()));
    }
    std::vector<Range> touched;
    Query rows(database, "SELECT first, last FROM touched WHERE network = ?");
    rows.bind(network.id);
    while (rows.next()) {
      const Address first = rows.address();
      touched.push_back(Range::make(first, rows.address()).value_or(Range::single(first)));
    }
    const std::size_t intervals = touched.size();
    const std::size_t count = placed.size();
    const IntervalSet all_placed(std::move(placed));
    const IntervalSet all_touched(std::move(touched));
    const auto demand = [&](bool holds, const char* what) {
      if (!holds) {
        throw Error(ErrorKind::kOther,
                    "store " + database.path() + ", network " + network.name + ": " + what);
      }
    };
    demand(all_placed.size() == count, "an address is both leased and freed");
    demand(all_placed == all_touched, "what is touched is not what is leased or freed");
    demand(all_touched.ranges().size() == intervals, "touched intervals overlap or adjoin");
  }
}

}  // namespace podlease::store
