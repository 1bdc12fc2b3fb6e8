#include "podlease/base/duration.h"

#include <array>
#include <cstdint>

namespace podlease {
namespace {

struct Unit {
  std::string_view name;
  std::int64_t nanoseconds;
};

// "ms" before "m", which it also starts with.
constexpr std::array<Unit, 7> kUnits{{{"ns", 1},
                                      {"us", 1'000},
                                      {"\xc2\xb5s", 1'000},
                                      {"ms", 1'000'000},
                                      {"s", 1'000'000'000},
                                      {"m", 60'000'000'000},
                                      {"h", 3'600'000'000'000}}};

constexpr std::int64_t kLongest = 876'000 * kUnits.back().nanoseconds;  // 100 years of 365 days

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view take_digits(std::string_view& text) {
  std::size_t count = 0;
  while (count < text.size() && is_digit(text[count])) {
    ++count;
  }
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

const Unit* take_unit(std::string_view& text) {
  for (const Unit& unit : kUnits) {
    if (text.starts_with(unit.name)) {
      text.remove_prefix(unit.name.size());
      return &unit;
    }
  }
  return nullptr;
}

// Whole numbers throughout: as a binary fraction, 1.001 s would be a little less than 1001 ms.
std::optional<std::int64_t> in_nanoseconds(std::string_view whole, std::string_view fraction,
                                           std::int64_t unit) {
  std::int64_t count = 0;
  for (const char c : whole) {
    const int digit = c - '0';
    if (count > (kLongest / unit - digit) / 10) {
      return std::nullopt;
    }
    count = count * 10 + digit;
  }
  std::int64_t total = count * unit;
  std::int64_t place = unit;
  for (const char c : fraction) {
    place /= 10;
    total += (c - '0') * place;
  }
  return total;
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") {
    return std::chrono::milliseconds(0);
  }
  if (text.empty()) {
    return std::nullopt;
  }
  std::int64_t total = 0;
  while (!text.empty()) {
    const std::string_view whole = take_digits(text);
    std::string_view fraction;
    if (text.starts_with('.')) {
      text.remove_prefix(1);
      fraction = take_digits(text);
    }
    if (whole.empty() && fraction.empty()) {
      return std::nullopt;
    }
    const Unit* const unit = take_unit(text);
    if (unit == nullptr) {
      return std::nullopt;
    }
    const auto part = in_nanoseconds(whole, fraction, unit->nanoseconds);
    if (!part || *part > kLongest - total) {
      return std::nullopt;
    }
    total += *part;
  }
  return std::chrono::milliseconds(total / 1'000'000);
}

std::string format_duration(std::chrono::milliseconds duration) {
  const std::int64_t total = duration.count();
  if (total < 1000 && total > 0) {
    return std::to_string(total) + "ms";
  }
  const std::int64_t hours = total / 3'600'000;
  const std::int64_t minutes = total / 60'000 % 60;
  const std::int64_t seconds = total / 1000 % 60;
  std::string fraction;
  if (total % 1000 != 0) {
    fraction = std::to_string(1000 + total % 1000);
    fraction.front() = '.';
    fraction.erase(fraction.find_last_not_of('0') + 1);
  }
  std::string text;
  if (hours > 0) {
    text += std::to_string(hours) + "h";
  }
  if (minutes > 0) {
    text += std::to_string(minutes) + "m";
  }
  if (seconds > 0 || !fraction.empty() || text.empty()) {
    text += std::to_string(seconds) + fraction + "s";
  }
  return text;
}

}  // namespace podlease
