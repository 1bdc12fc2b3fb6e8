#ifndef PODLEASE_BASE_TEXT_H_
#define PODLEASE_BASE_TEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace podlease {

// ASCII only; other bytes stay as they are.
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b);

// Without the ASCII white space around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
// The words between runs of ASCII white space.
[[nodiscard]] std::vector<std::string_view> words(std::string_view text);

[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);

// "1 lease", "2 leases": a number and what it counts.
[[nodiscard]] std::string counted(std::uint64_t count, std::string_view one, std::string_view many);

// `text` without line breaks or other control characters, which are escaped, and cut after `limit`
// bytes: a message that stays one line whatever it quotes.
[[nodiscard]] std::string in_one_line(std::string_view text, std::size_t limit);

// The same, of whatever length: what a person is shown of a text that somebody else wrote.
[[nodiscard]] std::string printable(std::string_view text);

// `text` in double quotes for an error message: control characters and quotes escaped, cut after
// 120 bytes.
[[nodiscard]] std::string in_quotes(std::string_view text);

}  // namespace podlease

#endif  // PODLEASE_BASE_TEXT_H_
