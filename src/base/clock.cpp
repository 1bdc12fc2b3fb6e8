#include "podlease/base/clock.h"

#include <time.h>

#include <array>
#include <cerrno>

namespace podlease {
namespace {

Milliseconds read_clock(clockid_t id) {
  timespec time{};
  clock_gettime(id, &time);
  return std::chrono::seconds(time.tv_sec) + Milliseconds(time.tv_nsec / 1'000'000);
}

}  // namespace

ClockReading SystemClock::now() const {
  return {.wall = std::chrono::sys_time<Milliseconds>(read_clock(CLOCK_REALTIME)),
          .since_boot = read_clock(CLOCK_BOOTTIME)};
}

void SystemClock::sleep(Milliseconds duration) const {
  timespec left{.tv_sec = duration.count() / 1000, .tv_nsec = duration.count() % 1000 * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

std::string to_rfc3339(std::chrono::sys_time<Milliseconds> time) {
  const std::time_t seconds =
      std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

}  // namespace podlease
