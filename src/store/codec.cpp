#include "codec.h"

#include <algorithm>
#include <charconv>

namespace podlease::store {

std::chrono::sys_time<Milliseconds> to_time(std::int64_t milliseconds) {
  return std::chrono::sys_time<Milliseconds>(Milliseconds(milliseconds));
}

std::int64_t to_integer(std::chrono::sys_time<Milliseconds> time) {
  return time.time_since_epoch().count();
}

std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::uint64_t to_unsigned(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::uint64_t hash_of(std::string_view bytes, std::uint64_t hash) {
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
  }
  return hash;
}

std::string field(std::string text) {
  std::replace(text.begin(), text.end(), kSeparator, '?');
  return text + kSeparator;
}

std::string moment_fields(const Moment& moment) {
  return field(std::to_string(to_integer(moment.at.wall))) +
         field(std::to_string(moment.at.since_boot.count())) + field(moment.boot_id);
}

Moment to_moment(std::span<const std::string_view> fields) {
  return {.at = {.wall = to_time(to_number(fields[0])),
                 .since_boot = Milliseconds(to_number(fields[1]))},
          .boot_id = std::string(fields[2])};
}

}  // namespace podlease::store
