#include "podlease/net/range.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "podlease/net/prefix.h"
#include "text.h"

namespace podlease::net {

std::optional<Range> Range::parse(std::string_view text) {
  if (const std::size_t dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = Address::parse(text.substr(0, dash));
    const auto last = Address::parse(text.substr(dash + 1));
    return first && last ? make(*first, *last) : std::nullopt;
  }
  if (text.find('/') != std::string_view::npos) {
    const auto prefix = Prefix::parse(text);
    // 10.0.0.5/24 could mean the network or the tail of it from .5 on; better to ask than to guess.
    return prefix && !prefix->has_host_bits() ? std::optional(prefix->range()) : std::nullopt;
  }
  const auto address = Address::parse(text);
  return address ? std::optional(single(*address)) : std::nullopt;
}

std::string Range::to_string() const {
  std::string text;
  append_text(text, first_);
  if (last_ != first_) {
    text += '-';
    append_text(text, last_);
  }
  return text;
}

}  // namespace podlease::net
