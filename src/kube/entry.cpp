#include "entry.h"

#include <utility>

#include "podlease/base/text.h"

namespace podlease::kube {
namespace {

using Json = nlohmann::json;

Error error_at(const std::filesystem::path& file, const std::string& place, std::string_view what,
               std::string_view details) {
  constexpr std::size_t kLongestPlace = 400;
  return Error(ErrorKind::kConfig,
               file.string() + ": " + in_one_line(place, kLongestPlace) + " " + std::string(what),
               std::string(details));
}

}  // namespace

Entry::Entry(const std::filesystem::path& file, std::string path, const Json& json)
    : file_(&file), path_(std::move(path)), json_(&json) {
  if (!json.is_object() && !json.is_null()) {
    throw error_at(file, path_, "is not a map", {});
  }
}

bool Entry::says(std::string_view field) const {
  const Json& value = member(field);
  return value.is_string() ? !value.get_ref<const std::string&>().empty() : !value.empty();
}

std::string Entry::text(std::string_view field) const {
  const Json& value = member(field);
  if (value.is_null()) {
    return {};
  }
  if (!value.is_string()) {
    throw problem(field, "is not a string");
  }
  return value.get<std::string>();
}

std::string Entry::required_text(std::string_view field) const {
  std::string value = text(field);
  if (value.empty()) {
    throw problem(field, "is missing");
  }
  return value;
}

bool Entry::flag(std::string_view field) const {
  const std::string value = to_lower(text(field));
  if (value != "true" && value != "false" && !value.empty()) {
    throw error(field, "is neither true nor false");
  }
  return value == "true";
}

Entry Entry::object(std::string_view field) const {
  return {*file_, path_of(field), member(field)};
}

const Json& Entry::list(std::string_view field) const {
  static const Json empty = Json::array();
  const Json& value = member(field);
  if (!value.is_array() && !value.is_null()) {
    throw problem(field, "is not a list");
  }
  return value.is_null() ? empty : value;
}

std::string Entry::path_of(std::string_view field) const {
  return path_.empty() ? std::string(field) : path_ + "." + std::string(field);
}

Error Entry::problem(std::string_view field, std::string_view what,
                     std::string_view details) const {
  return error_at(*file_, path_of(field), what, details);
}

Error Entry::error(std::string_view field, std::string_view what, std::string_view details) const {
  return error_at(*file_, path_of(field) + " " + in_quotes(text(field)), what, details);
}

const Json& Entry::member(std::string_view field) const {
  static const Json absent;
  const auto found = json_->find(field);
  return found == json_->end() ? absent : *found;
}

}  // namespace podlease::kube
