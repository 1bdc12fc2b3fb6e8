#ifndef PODLEASE_SRC_KUBE_TIME_LEFT_H_
#define PODLEASE_SRC_KUBE_TIME_LEFT_H_

#include <algorithm>
#include <chrono>
#include <limits>

#include "podlease/base/clock.h"
#include "podlease/kube/client.h"

namespace podlease::kube {

[[nodiscard]] inline bool is_over(Deadline deadline) {
  return std::chrono::steady_clock::now() >= deadline;
}

// Never negative, and rounded up, so that waiting for it does not end a moment too early.
[[nodiscard]] inline Milliseconds time_left(Deadline deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - std::chrono::steady_clock::now());
  return std::max(left, Milliseconds::zero());
}

// For poll(2).
[[nodiscard]] inline int poll_time(Milliseconds time) {
  constexpr Milliseconds kLongest{std::numeric_limits<int>::max()};
  return static_cast<int>(std::clamp(time, Milliseconds::zero(), kLongest).count());
}

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_TIME_LEFT_H_
