#include "podlease/base/attachment.h"

#include <algorithm>

namespace podlease {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

bool is_valid_name(std::string_view name) {
  return !name.empty() && is_alphanumeric(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

std::string pod_text(const std::string& name_space, const std::string& name) {
  return name.empty() ? "" : name_space + "/" + name;
}

}  // namespace podlease
