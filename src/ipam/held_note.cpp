#include "held_note.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace podlease::ipam {
namespace {

constexpr std::string_view kVersion = "held-1 ";

// Takes the next line off `text`, without its end; nothing if no line is complete.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

std::optional<std::size_t> parse_count(std::string_view text) {
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return count;
}

std::optional<HeldRange> parse_held(std::string_view line) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos || blank + 1 == line.size()) {
    return std::nullopt;
  }
  const std::optional<net::Range> range = net::Range::parse(line.substr(0, blank));
  if (!range) {
    return std::nullopt;
  }
  return HeldRange{.range = *range, .what = std::string(line.substr(blank + 1))};
}

// 64-bit FNV-1a. Each item is preceded by its length or is of a fixed one, so that no two sequences
// of items are the same bytes.
class Digest {
 public:
  void add(std::uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
      add_byte(static_cast<unsigned char>(number >> shift));
    }
  }
  void add(std::string_view text) {
    add(std::uint64_t{text.size()});
    for (const char c : text) {
      add_byte(static_cast<unsigned char>(c));
    }
  }
  void add(net::Address address) {
    add_byte(static_cast<unsigned char>(address.family()));
    add(static_cast<std::uint64_t>(address.bits() >> 64));
    add(static_cast<std::uint64_t>(address.bits()));
  }
  void add(const net::Range& range) {
    add(range.first());
    add(range.last());
  }

  [[nodiscard]] std::string to_string() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (int shift = 60; shift >= 0; shift -= 4) {
      text.push_back(kDigits[(state_ >> shift) & 0xf]);
    }
    return text;
  }

 private:
  void add_byte(unsigned char byte) { state_ = (state_ ^ byte) * 0x100000001b3U; }

  std::uint64_t state_ = 0xcbf29ce484222325U;
};

void add_wiring(Digest& digest, const Wiring& wiring) {
  digest.add(wiring.type);
  digest.add(wiring.device);
  digest.add(wiring.vlan);
  digest.add((wiring.is_gateway ? 1U : 0U) + (wiring.in_container ? 2U : 0U) +
             (wiring.from_node ? 4U : 0U));
}

void add_range(Digest& digest, const pools::PoolRange& range) {
  digest.add(range.range);
  digest.add(range.subnet.range());
  digest.add(range.gateway ? 1U : 0U);
  if (range.gateway) {
    digest.add(*range.gateway);
  }
  digest.add(std::uint64_t{range.usable.ranges().size()});
  for (const net::Range& usable : range.usable.ranges()) {
    digest.add(usable);
  }
}

}  // namespace

std::string encode(const std::vector<HeldRange>& held) {
  std::string text(kVersion);
  text.append(std::to_string(held.size())).append("\n");
  for (const HeldRange& one : held) {
    std::string what = one.what;
    std::replace(what.begin(), what.end(), '\n', ' ');
    text.append(one.range.to_string()).append(" ").append(what).append("\n");
  }
  return text;
}

std::optional<std::vector<HeldRange>> decode(std::string_view text) {
  const std::optional<std::string_view> head = take_line(text);
  if (!head || !head->starts_with(kVersion)) {
    return std::nullopt;
  }
  const std::optional<std::size_t> count = parse_count(head->substr(kVersion.size()));
  if (!count) {
    return std::nullopt;
  }
  std::vector<HeldRange> held;
  while (const std::optional<std::string_view> line = take_line(text)) {
    std::optional<HeldRange> one = parse_held(*line);
    if (!one) {
      return std::nullopt;
    }
    held.push_back(*std::move(one));
  }
  if (!text.empty() || held.size() != *count) {
    return std::nullopt;
  }
  return held;
}

std::string fingerprint(const Wiring& wiring, const pools::Offer& offer) {
  Digest digest;
  add_wiring(digest, wiring);
  digest.add(std::uint64_t{offer.sets.size()});
  for (const pools::PoolRangeSet& set : offer.sets) {
    digest.add(std::uint64_t{set.ranges.size()});
    for (const pools::PoolRange& range : set.ranges) {
      add_range(digest, range);
    }
  }
  digest.add(std::uint64_t{offer.beyond.size()});
  for (const pools::Landmark& known : offer.beyond) {
    digest.add(known.address);
  }
  return digest.to_string();
}

}  // namespace podlease::ipam
