#ifndef PODLEASE_SRC_CONFIG_VALUE_H_
#define PODLEASE_SRC_CONFIG_VALUE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"

namespace podlease::config {

// Insertion order is kept: of two keys that differ in case only, the later one counts, as in Go.
using Json = nlohmann::ordered_json;

// A place in the configuration: what stands there, and its path for messages. Absent and null are
// the same. The document must outlive it.
class Value {
 public:
  Value(const Json* json, std::string path)
      : json_(json != nullptr && json->is_null() ? nullptr : json), path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool present() const { return json_ != nullptr; }

  // Must be present.
  [[nodiscard]] const Json& json() const { return *json_; }

  // Each throws kConfig if something else stands here.
  [[nodiscard]] std::optional<std::string> string() const;
  [[nodiscard]] std::optional<bool> boolean() const;
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  // Members that are null included, so that the caller can refuse them.
  [[nodiscard]] std::vector<Value> list() const;
  // The member whose key is `key` in any case; absent if there is none.
  [[nodiscard]] Value member(std::string_view key) const;
  // The keys, in order. Empty when absent.
  [[nodiscard]] std::vector<std::string> keys() const;

  // kConfig "PATH VALUE WHAT"; the value as JSON, cut short.
  [[nodiscard]] Error error(std::string_view what, std::string details = {}) const;

 private:
  [[nodiscard]] Error wrong_type(std::string_view wanted) const;

  const Json* json_;
  std::string path_;
};

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_VALUE_H_
