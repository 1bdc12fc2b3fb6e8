#ifndef PODLEASE_BASE_RFC3339_H_
#define PODLEASE_BASE_RFC3339_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace podlease {

// 2026-11-23T03:27:45Z, or with a fraction, which is dropped, and an offset: RFC 3339, section 5.6.
// In seconds since 1970.
[[nodiscard]] std::optional<std::int64_t> parse_rfc3339(std::string_view text);

}  // namespace podlease

#endif  // PODLEASE_BASE_RFC3339_H_
