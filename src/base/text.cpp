#include "podlease/base/text.h"

#include <algorithm>

namespace podlease {
namespace {

constexpr std::string_view kSpace = " \t\r\n\v\f";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Control characters as \xNN.
void append_escaped(std::string& result, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  if (byte < 0x20 || byte == 0x7f) {
    result.append("\\x").append({kHex[byte >> 4U], kHex[byte & 0xfU]});
  } else {
    result += c;
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

std::string in_one_line(std::string_view text, std::size_t limit) {
  std::string result;
  for (const char c : text.substr(0, limit)) {
    append_escaped(result, c);
  }
  return text.size() > limit ? result + "…" : result;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 120;
  std::string result = "\"";
  for (const char c : text.substr(0, kLongest)) {
    if (c == '"' || c == '\\') {
      result += '\\';
    }
    append_escaped(result, c);
  }
  result += text.size() > kLongest ? "…\"" : "\"";
  return result;
}

}  // namespace podlease
