#include "api_json.h"

namespace podlease::kube {

Error wrong(const std::string& kind, const std::string& what) {
  return Error(ErrorKind::kDecode, "not the JSON of a " + kind + ": " + what);
}

Json parse_object(std::string_view text, const std::string& kind,
                  const Json::parser_callback_t& is_wanted) {
  constexpr bool kThrows = false;
  Json json = Json::parse(text, is_wanted, kThrows);
  // The parser takes a NUL for the end, whatever follows.
  if (json.is_discarded() || text.find('\0') != std::string_view::npos) {
    throw wrong(kind, "no JSON, or not all of it");
  }
  if (!json.is_object()) {
    throw wrong(kind, "no object");
  }
  return json;
}

void check_kind(const Json& object, const std::string& kind, bool is_version) {
  if (string_in(object, "kind") != kind || !is_version) {
    throw wrong(kind, "it is of another kind or version");
  }
  if (string_in(member(object, "metadata"), "name").empty()) {
    throw wrong(kind, "it has no metadata.name");
  }
}

const Json& member(const Json& json, const char* name) {
  static const Json null;
  if (!json.is_object()) {
    return null;
  }
  const auto found = json.find(name);
  return found == json.end() ? null : *found;
}

std::string string_in(const Json& json, const char* name) {
  const Json& value = member(json, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::optional<std::int64_t> integer_in(const Json& json, const char* name) {
  const Json& value = member(json, name);
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}

bool true_in(const Json& json, const char* name) {
  const Json& value = member(json, name);
  return value.is_boolean() && value.get<bool>();
}

std::vector<std::string> strings_in(const Json& json, const char* name) {
  std::vector<std::string> strings;
  const Json& list = member(json, name);
  if (!list.is_array()) {
    return strings;
  }
  for (const Json& item : list) {
    if (!item.is_string()) {
      return {};
    }
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::map<std::string, std::string> map_in(const Json& json, const char* name) {
  std::map<std::string, std::string> map;
  const Json& written = member(json, name);
  if (!written.is_object()) {
    return map;
  }
  for (const auto& [key, value] : written.items()) {
    if (value.is_string()) {
      map.emplace(key, value.get<std::string>());
    }
  }
  return map;
}

Json metadata_of(const std::string& name, const std::string& uid) {
  Json metadata = Json::object();
  put(metadata, "name", name);
  put(metadata, "uid", uid);
  return metadata;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace podlease::kube
