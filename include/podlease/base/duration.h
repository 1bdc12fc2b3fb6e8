#ifndef PODLEASE_BASE_DURATION_H_
#define PODLEASE_BASE_DURATION_H_

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace podlease {

// Durations as Go writes them: 90s, 2m, 1h30m, 250ms, 0; never negative, at most 100 years. What is
// finer than a millisecond is dropped.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

// The shortest such text: 1h30m, 45s, 250ms, 0s.
[[nodiscard]] std::string format_duration(std::chrono::milliseconds duration);

}  // namespace podlease

#endif  // PODLEASE_BASE_DURATION_H_
