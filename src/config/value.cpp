#include "value.h"

#include <limits>

#include "podlease/base/text.h"

namespace podlease::config {
namespace {

constexpr std::size_t kLongestShown = 80;

std::string shown(const Json& json) {
  if (json.is_structured()) {
    return json.is_array() ? "(a list)" : "(an object)";
  }
  if (json.is_string()) {
    return in_quotes(json.get_ref<const std::string&>());
  }
  return json.dump().substr(0, kLongestShown);
}

}  // namespace

Error Value::error(std::string_view what, std::string details) const {
  std::string message = path_;
  if (json_ != nullptr) {
    message.append(" ").append(shown(*json_));
  }
  return Error(ErrorKind::kConfig, message.append(" ").append(what), std::move(details));
}

Error Value::wrong_type(std::string_view wanted) const {
  return error("must be " + std::string(wanted));
}

std::optional<std::string> Value::string() const {
  if (!present()) {
    return std::nullopt;
  }
  if (!json_->is_string()) {
    throw wrong_type("a string");
  }
  return json_->get<std::string>();
}

std::optional<bool> Value::boolean() const {
  if (!present()) {
    return std::nullopt;
  }
  if (!json_->is_boolean()) {
    throw wrong_type("true or false");
  }
  return json_->get<bool>();
}

std::optional<std::int64_t> Value::integer() const {
  if (!present()) {
    return std::nullopt;
  }
  if (!json_->is_number_integer() ||
      (json_->is_number_unsigned() &&
       json_->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})) {
    throw wrong_type("a whole number");
  }
  return json_->get<std::int64_t>();
}

std::vector<Value> Value::list() const {
  std::vector<Value> values;
  if (!present()) {
    return values;
  }
  if (!json_->is_array()) {
    throw wrong_type("a list");
  }
  values.reserve(json_->size());
  for (const Json& element : *json_) {
    values.emplace_back(&element, path_ + "[" + std::to_string(values.size()) + "]");
  }
  return values;
}

Value Value::member(std::string_view key) const {
  std::string path = path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  if (!present()) {
    return {nullptr, std::move(path)};
  }
  if (!json_->is_object()) {
    throw wrong_type("an object");
  }
  const Json* found = nullptr;
  for (const auto& [name, value] : json_->get_ref<const Json::object_t&>()) {
    if (equals_ignoring_case(name, key)) {
      found = &value;
    }
  }
  return {found, std::move(path)};
}

std::vector<std::string> Value::keys() const {
  std::vector<std::string> names;
  if (present() && json_->is_object()) {
    for (const auto& [name, value] : json_->get_ref<const Json::object_t&>()) {
      names.push_back(name);
    }
  }
  return names;
}

}  // namespace podlease::config
