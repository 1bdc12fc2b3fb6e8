#ifndef PODLEASE_SRC_STORE_CODEC_H_
#define PODLEASE_SRC_STORE_CODEC_H_

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "podlease/base/clock.h"
#include "podlease/store/moment.h"

// How values are spelt in columns and notes.
namespace podlease::store {

[[nodiscard]] std::chrono::sys_time<Milliseconds> to_time(std::int64_t milliseconds);
[[nodiscard]] std::int64_t to_integer(std::chrono::sys_time<Milliseconds> time);
// 0 for what is no number.
[[nodiscard]] std::int64_t to_number(std::string_view text);
[[nodiscard]] std::uint64_t to_unsigned(std::string_view text);

// FNV-1a, 64 bits: the same in every process. `hash` is that of what comes before.
constexpr std::uint64_t kEmptyHash = 0xcbf29ce484222325U;
[[nodiscard]] std::uint64_t hash_of(std::string_view bytes, std::uint64_t hash = kEmptyHash);

// Ends each field of a note that has several.
constexpr char kSeparator = '\x1f';
// What separates fields cannot be part of one.
[[nodiscard]] std::string field(std::string text);
// Three fields.
[[nodiscard]] std::string moment_fields(const Moment& moment);
[[nodiscard]] Moment to_moment(std::span<const std::string_view> fields);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_CODEC_H_
