#ifndef PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_
#define PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "value.h"

namespace podlease::config {

// Looks for keys of `object` that are not among `known`. One that is a single edit, or only `_` and
// `-`, away from a known key of six letters or more is a typing error, and ignoring it would
// surprise: throws kConfig naming both. Any other is added to `warnings`.
void judge_keys(const Value& object, std::span<const std::string_view> known,
                std::vector<std::string>& warnings);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_KNOWN_KEYS_H_
