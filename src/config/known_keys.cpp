#include "known_keys.h"

#include <algorithm>

#include "podlease/base/text.h"

namespace podlease::config {
namespace {

constexpr std::size_t kShortestJudged = 6;

std::string without_separators(std::string_view text) {
  std::string result;
  std::copy_if(text.begin(), text.end(), std::back_inserter(result),
               [](char c) { return c != '_' && c != '-'; });
  return result;
}

// Reports whether one letter added, left out, replaced or swapped with its neighbour turns one into
// the other.
bool one_edit_apart(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) {
    std::swap(a, b);
  }
  if (b.size() - a.size() > 1) {
    return false;
  }
  const std::size_t same =
      static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  const std::string_view rest_a = a.substr(same);
  const std::string_view rest_b = b.substr(same);
  if (rest_a.size() < rest_b.size()) {
    return rest_a == rest_b.substr(1);
  }
  if (rest_a.empty()) {
    return false;
  }
  const bool replaced = rest_a.substr(1) == rest_b.substr(1);
  const bool swapped = rest_a.size() >= 2 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0] &&
                       rest_a.substr(2) == rest_b.substr(2);
  return replaced || swapped;
}

bool is_typing_error(const std::string& key, std::string_view known) {
  const std::string a = to_lower(key);
  const std::string b = to_lower(known);
  return b.size() >= kShortestJudged && (one_edit_apart(a, b) || without_separators(a) == b);
}

}  // namespace

void judge_keys(const Value& object, std::span<const std::string_view> known,
                std::vector<std::string>& warnings) {
  for (const std::string& key : object.keys()) {
    if (std::any_of(known.begin(), known.end(),
                    [&](std::string_view k) { return equals_ignoring_case(key, k); })) {
      continue;
    }
    const auto meant = std::find_if(known.begin(), known.end(),
                                    [&](std::string_view k) { return is_typing_error(key, k); });
    const std::string where = object.path().empty() ? "the configuration" : object.path();
    if (meant != known.end()) {
      throw Error(ErrorKind::kConfig,
                  where + " has key " + in_quotes(key) + "; is " + in_quotes(*meant) + " meant?",
                  "rename it, or remove it if it is not");
    }
    warnings.push_back(where + " has key " + in_quotes(key) +
                       ", which podlease does not know and ignores");
  }
}

}  // namespace podlease::config
