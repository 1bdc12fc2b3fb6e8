#include "podlease/store/moment.h"

#include <algorithm>

namespace podlease::store {

Milliseconds elapsed(const Moment& then, const Moment& now) {
  if (then.boot_id == now.boot_id) {
    return now.at.since_boot - then.at.since_boot;
  }
  const auto passed = now.at.wall - then.at.wall;
  return passed < Milliseconds(0) ? Milliseconds::max() : std::max(passed, now.at.since_boot);
}

}  // namespace podlease::store
