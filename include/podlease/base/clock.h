#ifndef PODLEASE_BASE_CLOCK_H_
#define PODLEASE_BASE_CLOCK_H_

#include <chrono>
#include <string>

namespace podlease {

using Milliseconds = std::chrono::milliseconds;

// Two readings taken together. `wall` is for people and may be set back or forward; `since_boot`
// only grows while the machine runs (suspend included) and starts again at a boot, so it is
// compared within one boot only.
struct ClockReading {
  std::chrono::sys_time<Milliseconds> wall;
  Milliseconds since_boot;
};

// Where time comes from; tests put their own in its place.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual ClockReading now() const = 0;
  virtual void sleep(Milliseconds duration) const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] ClockReading now() const override;
  void sleep(Milliseconds duration) const override;
};

// 2026-11-23T03:27:45Z, always UTC.
[[nodiscard]] std::string to_rfc3339(std::chrono::sys_time<Milliseconds> time);

}  // namespace podlease

#endif  // PODLEASE_BASE_CLOCK_H_
