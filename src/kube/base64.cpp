#include "base64.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace podlease::kube {
namespace {

// The 64 digits; their places are their values.
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrlDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

constexpr std::size_t kGroup = 4;  // digits, for three bytes

// Six bits each; `text` holds digits only. Bits that make no whole byte must be zero.
std::optional<std::string> decode_digits(std::string_view text, std::string_view digits) {
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::size_t value = digits.find(c);
    if (value == std::string_view::npos) {
      return std::nullopt;
    }
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes += static_cast<char>(bits >> held & 0xffU);
    }
  }
  const bool is_whole = text.size() % kGroup != 1 && (bits & ((1U << held) - 1)) == 0;
  return is_whole ? std::optional(bytes) : std::nullopt;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  std::string compact(text);
  std::erase_if(compact, [](char c) { return c == '\r' || c == '\n'; });
  std::string_view rest = compact;
  if (rest.size() % kGroup != 0) {
    return std::nullopt;
  }
  if (rest.ends_with("==")) {
    rest.remove_suffix(2);
  } else if (rest.ends_with("=")) {
    rest.remove_suffix(1);
  }
  return decode_digits(rest, kDigits);
}

std::optional<std::string> decode_base64url(std::string_view text) {
  return decode_digits(text, kUrlDigits);
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * kGroup);
  for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 3))) {
    const std::size_t count = std::min<std::size_t>(bytes.size(), 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8U | (i < count ? static_cast<unsigned char>(bytes[i]) : 0U);
    }
    for (std::size_t i = 0; i < kGroup; ++i) {
      text += i <= count ? kDigits[bits >> (6U * (3 - i)) & 0x3fU] : '=';
    }
  }
  return text;
}

}  // namespace podlease::kube
