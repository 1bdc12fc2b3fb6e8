#ifndef PODLEASE_STORE_VERIFY_H_
#define PODLEASE_STORE_VERIFY_H_

#include "podlease/store/transaction.h"

namespace podlease::store {

// Throws kOther if an address is not in exactly one place: for tests and `doctor`. O(n).
void verify(const Transaction& transaction);

}  // namespace podlease::store

#endif  // PODLEASE_STORE_VERIFY_H_
