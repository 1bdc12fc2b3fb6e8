#ifndef PODLEASE_SRC_KUBE_API_JSON_H_
#define PODLEASE_SRC_KUBE_API_JSON_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"

// The JSON of the API's objects, read leniently: what has another type than the API gives it counts
// as absent.
namespace podlease::kube {

using Json = nlohmann::json;

// Throws kDecode: what was read is no `kind`.
[[nodiscard]] Error wrong(const std::string& kind, const std::string& what);

// The whole object. `is_wanted`, as nlohmann's parser takes it, may leave parts of it out. Throws
// kDecode if it is none.
[[nodiscard]] Json parse_object(std::string_view text, const std::string& kind,
                                const Json::parser_callback_t& is_wanted = nullptr);

// Throws kDecode unless it is named and of that kind.
void check_kind(const Json& object, const std::string& kind, bool is_version);

// The member, or null for what is absent or below something else than an object.
[[nodiscard]] const Json& member(const Json& json, const char* name);
[[nodiscard]] std::string string_in(const Json& json, const char* name);
[[nodiscard]] std::optional<std::int64_t> integer_in(const Json& json, const char* name);
[[nodiscard]] bool true_in(const Json& json, const char* name);
// A list that holds anything else is not the API's list of strings.
[[nodiscard]] std::vector<std::string> strings_in(const Json& json, const char* name);
// The members that are strings.
[[nodiscard]] std::map<std::string, std::string> map_in(const Json& json, const char* name);

// Fields that are empty are left out, as the API does.
template <typename Value>
void put(Json& object, const char* name, const Value& value) {
  if (!value.empty()) {
    object[name] = value;
  }
}

[[nodiscard]] Json metadata_of(const std::string& name, const std::string& uid);

// What was read may be no UTF-8: the parser checks that, a caller that made the struct does not.
[[nodiscard]] std::string dump(const Json& json);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_API_JSON_H_
