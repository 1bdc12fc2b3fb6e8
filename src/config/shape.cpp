#include "shape.h"

#include <cstddef>
#include <string>
#include <vector>

#include "podlease/base/error.h"

namespace podlease::config {
namespace {

// As deep as Go's decoder goes.
constexpr std::size_t kDeepest = 10'000;
// In one object. The parser keeps the keys in order and looks through all of them for each new one,
// so many more would take minutes.
constexpr std::size_t kMostKeys = 10'000;

}  // namespace

// A callback of the parser could count too, but makes nlohmann's parser walk a list again after
// each of its elements.
void check_shape(std::string_view text) {
  // One entry for each object or list around the current place: the number of keys so far of an
  // object, 0 of a list.
  std::vector<std::size_t> keys;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (keys.size() >= kDeepest) {
        throw Error(ErrorKind::kDecode, "the network configuration is nested too deeply");
      }
      keys.push_back(c == '{' ? 1 : 0);
    } else if (keys.empty()) {
      continue;
    } else if (c == ']' || c == '}') {
      keys.pop_back();
    } else if (c == ',' && keys.back() > 0 && ++keys.back() > kMostKeys) {
      throw Error(ErrorKind::kDecode, "the network configuration has an object of more than " +
                                          std::to_string(kMostKeys) + " keys");
    }
  }
}

}  // namespace podlease::config
