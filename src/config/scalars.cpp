#include "scalars.h"

#include <algorithm>
#include <optional>

#include "podlease/base/duration.h"
#include "podlease/net/prefix.h"

namespace podlease::config {

Milliseconds read_duration(const Value& value, Milliseconds otherwise) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    return otherwise;
  }
  const std::optional<Milliseconds> duration = parse_duration(*text);
  if (!duration) {
    throw value.error("is not a duration, such as 30s or 2m");
  }
  return *duration;
}

std::filesystem::path read_path(const Value& value) {
  const std::string text = value.string().value_or("");
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    throw value.error("contains a control character");
  }
  return text;
}

std::filesystem::path read_absolute_path(const Value& value) {
  std::filesystem::path path = read_path(value);
  if (!path.empty() && !path.is_absolute()) {
    throw value.error("is not an absolute path");
  }
  return path;
}

std::string read_object_name(const Value& value, const std::string& otherwise,
                             std::string_view kind) {
  std::string name = value.string().value_or(otherwise);
  if (std::any_of(name.begin(), name.end(), [](char c) {
        return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.';
      })) {
    throw value.error("is not a valid " + std::string(kind) + " name",
                      "use only lower-case letters, digits, '-' and '.'");
  }
  return name;
}

net::Address read_address(const Value& value, std::string_view text) {
  const std::optional<net::Address> address = net::Address::parse(text);
  if (!address) {
    throw value.error("is not an IP address");
  }
  return address->unmapped();
}

net::Address read_address_or_prefix(const Value& value) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    throw value.error("is null, not an IP address");
  }
  const std::size_t slash = text->find('/');
  if (slash != std::string::npos && !net::Prefix::parse(*text)) {
    throw value.error("is neither an IP address nor one with a prefix length");
  }
  return read_address(value, std::string_view(*text).substr(0, slash));
}

}  // namespace podlease::config
