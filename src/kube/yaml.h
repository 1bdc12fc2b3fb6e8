#ifndef PODLEASE_SRC_KUBE_YAML_H_
#define PODLEASE_SRC_KUBE_YAML_H_

#include <string_view>

#include <nlohmann/json.hpp>

namespace podlease::kube {

// The first document of a YAML text, JSON among them, as a tree of objects, arrays, nulls and
// strings: every scalar is a string, for a name may be written 123 or true. Of two equal keys the
// last counts. Anchors and aliases, which make trees of any size out of a few bytes, and nesting of
// more than 32 are refused. Throws kConfig "WHAT, line N", quoting nothing.
[[nodiscard]] nlohmann::json parse_yaml(std::string_view text);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_YAML_H_
