#include "podlease/base/text.h"

#include <algorithm>

namespace podlease {
namespace {

constexpr std::string_view kSpace = " \t\r\n\v\f";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

void append_hex(std::string& result, unsigned char byte) {
  constexpr std::string_view kHex = "0123456789abcdef";
  result.append("\\x").append({kHex[byte >> 4U], kHex[byte & 0xfU]});
}

// Control characters as \xNN: those of ASCII, and U+0080 to U+009F, which some terminals obey too.
void append_escaped(std::string& result, std::string_view text, std::string_view also_escaped) {
  constexpr unsigned char kFirstOfTwo = 0xc2;  // in UTF-8, of U+0080 to U+00BF
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const auto next = static_cast<unsigned char>(at + 1 < text.size() ? text[at + 1] : 0);
    if (byte == kFirstOfTwo && next >= 0x80 && next < 0xa0) {
      append_hex(result, next);
      ++at;
    } else if (byte < 0x20 || byte == 0x7f) {
      append_hex(result, byte);
    } else {
      if (also_escaped.find(text[at]) != std::string_view::npos) {
        result += '\\';
      }
      result += text[at];
    }
  }
}

}  // namespace

std::string to_lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t at = 0; (at = text.find(separator, start)) != std::string_view::npos;
       start = at + 1) {
    parts.push_back(text.substr(start, at - start));
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  std::size_t start = 0;
  while ((start = text.find_first_not_of(kSpace, start)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(kSpace, start), text.size());
    found.push_back(text.substr(start, end - start));
    start = end;
  }
  return found;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string text;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) {
      text += separator;
    }
    text += part;
  }
  return text;
}

std::string counted(std::uint64_t count, std::string_view one, std::string_view many) {
  return std::to_string(count) + " " + std::string(count == 1 ? one : many);
}

std::string in_one_line(std::string_view text, std::size_t limit) {
  std::string result;
  append_escaped(result, text.substr(0, limit), "");
  return text.size() > limit ? result + "…" : result;
}

std::string printable(std::string_view text) {
  return in_one_line(text, std::string_view::npos);
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  std::string result = "\"";
  append_escaped(result, text.substr(0, kLongest), "\"\\");
  result += text.size() > kLongest ? "…\"" : "\"";
  return result;
}

}  // namespace podlease
