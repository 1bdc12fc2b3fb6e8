#include "podlease/base/duration.h"

#include <array>
#include <charconv>
#include <cmath>

namespace podlease {
namespace {

struct Unit {
  std::string_view name;
  double milliseconds;
};

// Longest name first: "ms" must not be read as "m".
constexpr std::array<Unit, 7> kUnits{{{"ns", 1e-6},
                                      {"us", 1e-3},
                                      {"\xc2\xb5s", 1e-3},
                                      {"ms", 1},
                                      {"s", 1e3},
                                      {"m", 60e3},
                                      {"h", 3600e3}}};

constexpr double kLongest = 100.0 * 365 * 24 * 3600e3;

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") {
    return std::chrono::milliseconds(0);
  }
  if (text.empty()) {
    return std::nullopt;
  }
  double total = 0;
  while (!text.empty()) {
    const std::size_t digits = text.find_first_not_of("0123456789.");
    double value = 0;
    const char* const end = text.data() + (digits == std::string_view::npos ? text.size() : digits);
    const auto parsed = std::from_chars(text.data(), end, value, std::chars_format::fixed);
    if (parsed.ec != std::errc{} || parsed.ptr != end) {
      return std::nullopt;
    }
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const Unit* unit = nullptr;
    for (const Unit& candidate : kUnits) {
      if (text.starts_with(candidate.name)) {
        unit = &candidate;
        break;
      }
    }
    if (unit == nullptr) {
      return std::nullopt;
    }
    text.remove_prefix(unit->name.size());
    total += value * unit->milliseconds;
    if (total > kLongest) {
      return std::nullopt;
    }
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::floor(total)));
}

std::string format_duration(std::chrono::milliseconds duration) {
  const std::int64_t total = duration.count();
  if (total < 1000 && total > 0) {
    return std::to_string(total) + "ms";
  }
  const std::int64_t hours = total / 3'600'000;
  const std::int64_t minutes = total / 60'000 % 60;
  const std::int64_t seconds = total / 1000 % 60;
  std::string text;
  if (hours > 0) {
    text += std::to_string(hours) + "h";
  }
  if (minutes > 0) {
    text += std::to_string(minutes) + "m";
  }
  if (seconds > 0 || text.empty()) {
    text += std::to_string(seconds) + "s";
  }
  return text;
}

}  // namespace podlease
