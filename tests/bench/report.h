#ifndef PODLEASE_TESTS_BENCH_REPORT_H_
#define PODLEASE_TESTS_BENCH_REPORT_H_

#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace podlease::bench {

// Throws std::logic_error for no samples.
[[nodiscard]] double median(std::vector<double> samples);

// What DESIGN, section 9, wants held.
struct Floor {
  enum class Kind { kAtMost, kAtLeast, kExactly };
  Kind kind;
  double bound;
};

[[nodiscard]] constexpr Floor at_most(double bound) {
  return {.kind = Floor::Kind::kAtMost, .bound = bound};
}
[[nodiscard]] constexpr Floor at_least(double bound) {
  return {.kind = Floor::Kind::kAtLeast, .bound = bound};
}
[[nodiscard]] constexpr Floor exactly(double bound) {
  return {.kind = Floor::Kind::kExactly, .bound = bound};
}

struct Figure {
  std::string what;
  double value = 0;
  std::string unit;
  std::string against = {};                 // what `other` is; empty: nothing
  std::optional<double> other = {};         // in the same unit
  std::optional<double> ratio = {};         // of the two, the way round that the floor counts
  std::optional<Floor> floor = {};          // of the ratio, without one of the value
  std::optional<double> disk_latency = {};  // milliseconds of a 4 KiB append with fdatasync, then
};

// Reports whether the floor is held; nothing if there is none.
[[nodiscard]] std::optional<bool> holds(const Figure& figure);

struct Section {
  std::string title;
  std::vector<Figure> figures = {};
};

// What was measured, where, and what came out.
struct Report {
  std::vector<std::pair<std::string, std::string>> circumstances = {};
  std::vector<Section> sections = {};
};

void print_table(const Report& report, std::ostream& out);
void print_json(const Report& report, std::ostream& out);

}  // namespace podlease::bench

#endif  // PODLEASE_TESTS_BENCH_REPORT_H_
