#include "podlease/net/prefix.h"

#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/text.h"
#include "text.h"

namespace podlease::net {

std::optional<Prefix> Prefix::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const auto address = Address::parse(text.substr(0, slash));
  if (!address) {
    return std::nullopt;
  }
  const auto longest = static_cast<unsigned>(bit_width(address->family()));
  const auto length = parse_decimal(text.substr(slash + 1), longest);
  return length ? make(*address, static_cast<int>(*length)) : std::nullopt;
}

std::string Prefix::to_string() const {
  std::string text;
  append_text(text, address_);
  std::array<char, 3> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), length_).ptr;
  text += '/';
  text.append(digits.data(), end);
  return text;
}

std::string to_string(const std::vector<Prefix>& prefixes) {
  std::vector<std::string> texts;
  texts.reserve(prefixes.size());
  for (const Prefix& prefix : prefixes) {
    texts.push_back(prefix.to_string());
  }
  return join(texts, ", ");
}

}  // namespace podlease::net
