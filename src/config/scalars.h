#ifndef PODLEASE_SRC_CONFIG_SCALARS_H_
#define PODLEASE_SRC_CONFIG_SCALARS_H_

#include <filesystem>
#include <string>
#include <string_view>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "value.h"

// Single values that several keys have: durations, paths, names and addresses. All throw kConfig.
namespace podlease::config {

// A duration in Go's notation; `otherwise` if it is absent.
[[nodiscard]] Milliseconds read_duration(const Value& value, Milliseconds otherwise);

// A path, or an empty one if it is absent. A control character is refused: the kernel would take
// what stands before a NUL for the whole path, and a line break would cut a message or the list of
// stores in two.
[[nodiscard]] std::filesystem::path read_path(const Value& value);
[[nodiscard]] std::filesystem::path read_absolute_path(const Value& value);

// The name of a Kubernetes object; other characters than a name may have would change the request.
// `kind` is for the message: "Node", "pool".
[[nodiscard]] std::string read_object_name(const Value& value, const std::string& otherwise,
                                           std::string_view kind);

// `text`, which stands in `value`, as Go's net.IP reads it: a v4-mapped IPv6 address is the IPv4
// address in it.
[[nodiscard]] net::Address read_address(const Value& value, std::string_view text);

// An address with or without a prefix length, which is dropped.
[[nodiscard]] net::Address read_address_or_prefix(const Value& value);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_SCALARS_H_
