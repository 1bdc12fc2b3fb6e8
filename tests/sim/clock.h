#ifndef PODLEASE_TESTS_SIM_CLOCK_H_
#define PODLEASE_TESTS_SIM_CLOCK_H_

#include <cstddef>
#include <cstdint>
#include <functional>

#include "podlease/base/clock.h"

// Chance and time of the simulation.
namespace podlease::sim {

// Reproducible, whatever the standard library: its distributions are not, so these are used.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // SplitMix64.
  std::uint64_t next() {
    std::uint64_t word = (state_ += 0x9e3779b97f4a7c15U);
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9U;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebU;
    return word ^ (word >> 31);
  }
  // Less than `bound`, which is not 0.
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  // From `low` to `high`, both inclusive.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::size_t>(high - low) + 1));
  }
  bool one_in(std::size_t count) { return below(count) == 0; }
  bool percent(std::size_t chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

// Called at each question podlease asks of the machine, so that the world can change, or the
// process die, in the middle of its work.
struct Hook {
  std::function<void()> on_question;
  void ask() const {
    if (on_question) {
      on_question();
    }
  }
};

class SimClock final : public Clock {
 public:
  explicit SimClock(const Hook& hook) : hook_(&hook) {}

  [[nodiscard]] ClockReading now() const override {
    hook_->ask();
    return now_;
  }
  void sleep(Milliseconds duration) const override {
    pass(duration);
    if (on_sleep) {
      on_sleep();
    }
  }

  void pass(Milliseconds duration) const {
    now_.wall += duration;
    now_.since_boot += duration;
    true_time_ += duration;
  }
  void set_wall(Milliseconds difference) { now_.wall += difference; }
  // Somebody sets it right, as an NTP client does some time after a boot.
  void correct_wall() { now_.wall = kBirth + true_time_; }
  // All stands still but the clocks. When this boot began, as computed from the clock on the wall
  // and the time that the kernel counts without suspends, moves with it.
  void suspend(Milliseconds duration) {
    pass(duration);
    suspended_ += duration;
  }
  // The machine is off for `off`; somebody may have set its clock meanwhile.
  void reboot(Milliseconds off, Milliseconds step) {
    now_.wall += off + step;
    true_time_ += off;
    now_.since_boot = Milliseconds(10'000);
    suspended_ = Milliseconds(0);
  }
  // The machine has no clock that runs while it is off.
  void reboot_in_1970(Milliseconds off) {
    reboot(off, Milliseconds(0));
    now_.wall = std::chrono::sys_time<Milliseconds>(now_.since_boot);
  }

  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const {
    return now_.wall - now_.since_boot + suspended_;
  }
  // What really passed since the node's life began; podlease has no such clock.
  [[nodiscard]] Milliseconds true_time() const { return true_time_; }
  [[nodiscard]] std::chrono::sys_time<Milliseconds> wall() const { return now_.wall; }
  [[nodiscard]] Milliseconds since_boot() const { return now_.since_boot; }

  std::function<void()> on_sleep;  // what others do meanwhile

 private:
  static constexpr std::chrono::sys_time<Milliseconds> kBirth{Milliseconds(1'750'000'000'000)};

  const Hook* hook_;
  mutable ClockReading now_{.wall = kBirth, .since_boot = Milliseconds(1'000'000)};
  mutable Milliseconds true_time_{0};
  Milliseconds suspended_{0};
};

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_CLOCK_H_
