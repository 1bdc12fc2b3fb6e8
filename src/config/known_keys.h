#ifndef PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_
#define PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "value.h"

namespace podlease::config {

// The keys of `object` that are not among `known`. A key that is one edit, or only `_` and `-`,
// away from a known key of six letters or more is a typing error: to ignore it would surprise its
// author, so kConfig is thrown, naming both.
[[nodiscard]] std::vector<std::string> unknown_keys(const Value& object,
                                                    std::span<const std::string_view> known);

// A warning that `key` of `object` is ignored.
[[nodiscard]] std::string ignored_key_warning(const Value& object, std::string_view key);

// The same for a key of `ipam` itself. If another IPAM plugin has its addresses from that key, the
// warning says so, and that podlease does not: `origin` says where it has them from.
[[nodiscard]] std::string ignored_ipam_key_warning(std::string_view key, std::string_view origin);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_
