#ifndef PODLEASE_STORE_MOMENT_H_
#define PODLEASE_STORE_MOMENT_H_

#include <string>

#include "podlease/base/clock.h"

namespace podlease::store {

// A moment, and the boot of this machine it is in.
struct Moment {
  ClockReading at;
  std::string boot_id;
};

// The time since a moment. Over a reboot at least for as long as this boot, whatever has been done
// to the clock on the wall; if that was set back, as long as can be.
[[nodiscard]] Milliseconds elapsed(const Moment& then, const Moment& now);

}  // namespace podlease::store

#endif  // PODLEASE_STORE_MOMENT_H_
