#include "podlease/net/address.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "text.h"

namespace podlease::net {

namespace {

constexpr std::size_t kGroups = 8;
constexpr std::size_t kGroupBits = 16;

// The longest text: eight groups of four digits and seven colons. An embedded dotted quad is only
// printed in v4-mapped addresses, which are shorter.
constexpr std::size_t kMaxText = 39;

// All of `text` as an unsigned number. Unlike strtoul, from_chars takes no sign, white space or 0x.
std::optional<unsigned> parse_number(std::string_view text, int base) {
  unsigned value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (error != std::errc{} || stop != end) {
    return std::nullopt;
  }
  return value;
}

// Removes and returns what stands before the first `separator`, and the separator with it. Without
// one, that is all of `text`, which then becomes nothing at all rather than an empty field: a
// trailing separator must not go unseen.
std::string_view take_field(std::optional<std::string_view>& text, char separator) {
  const std::string_view whole = *text;
  const std::size_t at = whole.find(separator);
  if (at == std::string_view::npos) {
    text.reset();
    return whole;
  }
  text = whole.substr(at + 1);
  return whole.substr(0, at);
}

std::optional<std::uint32_t> parse_dotted_quad(std::string_view text) {
  std::optional<std::string_view> rest = text;
  std::uint32_t bits = 0;
  for (int octets = 0; octets < 4; ++octets) {
    if (!rest) {
      return std::nullopt;
    }
    const auto octet = parse_decimal(take_field(rest, '.'), 255);
    if (!octet) {
      return std::nullopt;
    }
    bits = bits << 8 | *octet;
  }
  return rest ? std::nullopt : std::optional(bits);
}

// One side of "::", or all of an address without it: groups right-aligned in `bits`.
struct Groups {
  Uint128 bits = 0;
  std::size_t count = 0;
};

// No text is no groups. A dotted quad counts as two groups and is allowed as the last field only
// (RFC 4291, section 2.2, form 3).
std::optional<Groups> parse_groups(std::string_view text, bool quad_allowed) {
  Groups groups;
  if (text.empty()) {
    return groups;
  }
  std::optional<std::string_view> rest = text;
  while (rest) {
    const std::string_view field = take_field(rest, ':');
    if (quad_allowed && !rest && field.find('.') != std::string_view::npos) {
      const auto quad = parse_dotted_quad(field);
      if (!quad) {
        return std::nullopt;
      }
      groups.bits = groups.bits << (2 * kGroupBits) | *quad;
      groups.count += 2;
    } else {
      const auto group = field.size() > 4 ? std::nullopt : parse_number(field, 16);
      if (!group) {
        return std::nullopt;
      }
      groups.bits = groups.bits << kGroupBits | *group;
      ++groups.count;
    }
    if (groups.count > kGroups) {
      return std::nullopt;
    }
  }
  return groups;
}

std::optional<Uint128> parse_v6_bits(std::string_view text) {
  const std::size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    const auto all = parse_groups(text, true);
    return all && all->count == kGroups ? std::optional(all->bits) : std::nullopt;
  }
  // A second "::" leaves an empty field in the tail, which is no group.
  const auto head = parse_groups(text.substr(0, gap), false);
  const auto tail = parse_groups(text.substr(gap + 2), true);
  // "::" stands for one group of zeros or more, never for none.
  if (!head || !tail || head->count + tail->count >= kGroups) {
    return std::nullopt;
  }
  if (head->count == 0) {
    return tail->bits;
  }
  return head->bits << ((kGroups - head->count) * kGroupBits) | tail->bits;
}

char* write_number(char* out, unsigned value, int base) {
  constexpr std::size_t kLongest = 4;  // ffff; a decimal octet takes three
  return std::to_chars(out, out + kLongest, value, base).ptr;
}

char* write_dotted_quad(char* out, std::uint32_t bits) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out = write_number(out, bits >> shift & 0xff, 10);
    if (shift != 0) {
      *out++ = '.';
    }
  }
  return out;
}

// Groups from `begin` up to but not including `end`; unless set, none, behind the last.
struct ZeroRun {
  std::size_t begin = kGroups;
  std::size_t end = kGroups;
};

// What "::" replaces: the longest run of zero groups, the first of equals, and never a single group
// (RFC 5952, sections 4.2.2 and 4.2.3).
ZeroRun longest_zero_run(const std::array<unsigned, kGroups>& groups) {
  ZeroRun longest;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < kGroups; ++i) {
    if (groups[i] != 0) {
      begin = i + 1;
    } else if (i + 1 - begin > std::max<std::size_t>(1, longest.end - longest.begin)) {
      longest = {begin, i + 1};
    }
  }
  return longest;
}

char* write_groups(char* out, Uint128 bits) {
  std::array<unsigned, kGroups> groups{};
  for (auto group = groups.rbegin(); group != groups.rend(); ++group) {
    *group = static_cast<unsigned>(bits & 0xffff);
    bits >>= kGroupBits;
  }
  const ZeroRun gap = longest_zero_run(groups);
  for (std::size_t i = 0; i < kGroups; ++i) {
    if (i == gap.begin) {
      *out++ = ':';
      *out++ = ':';
      i = gap.end;
      if (i == kGroups) {
        break;
      }
    } else if (i != 0) {
      *out++ = ':';
    }
    out = write_number(out, groups[i], 16);
  }
  return out;
}

}  // namespace

std::optional<unsigned> parse_decimal(std::string_view text, unsigned max) {
  if (text.size() > 1 && text.front() == '0') {
    return std::nullopt;
  }
  const auto value = parse_number(text, 10);
  return value && *value <= max ? value : std::nullopt;
}

void append_text(std::string& out, const Address& address) {
  std::array<char, kMaxText> buffer{};
  char* const begin = buffer.data();
  char* end = begin;
  if (address.is_v4()) {
    end = write_dotted_quad(end, static_cast<std::uint32_t>(address.bits()));
  } else if (address.is_v4_mapped()) {
    // RFC 5952, section 5. The deprecated v4-compatible ::/96 stays in hexadecimal, as in Go and
    // unlike inet_ntop.
    constexpr std::string_view kMappedPrefix = "::ffff:";
    end = std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), end);
    end = write_dotted_quad(end, static_cast<std::uint32_t>(address.bits()));
  } else {
    end = write_groups(end, address.bits());
  }
  out.append(begin, end);
}

std::string_view name(Family family) {
  return family == Family::kIpv4 ? "ipv4" : "ipv6";
}

std::optional<Address> Address::parse(std::string_view text) {
  if (text.find(':') == std::string_view::npos) {
    const auto bits = parse_dotted_quad(text);
    return bits ? std::optional(v4(*bits)) : std::nullopt;
  }
  const auto bits = parse_v6_bits(text);
  return bits ? std::optional(v6(*bits)) : std::nullopt;
}

std::string Address::to_string() const {
  std::string text;
  append_text(text, *this);
  return text;
}

}  // namespace podlease::net
