#ifndef PODLEASE_SRC_STORE_HISTORY_H_
#define PODLEASE_SRC_STORE_HISTORY_H_

#include <cstdint>

#include "database.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"

namespace podlease::store {

// Notes that a lease of the network has ended, unless the disk is full. `number` grows with each of
// them; the note takes the place of one that is some thousands older.
void note_in_history(Database& database, std::int64_t network, std::int64_t number,
                     const Lease& lease, const Moment& moment, Ending why);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_HISTORY_H_
