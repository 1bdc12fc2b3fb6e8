#include <algorithm>
#include <cctype>
#include <iostream>
#include <string>
#include <string_view>

#include "command.h"
#include "crds_text.h"
#include "podlease/base/error.h"

namespace podlease::cmd {
namespace {

// The sizes in crds.yaml. Neither number means anything else there, so that each can be replaced
// wherever it stands: in enums, defaults, rules, messages and descriptions, which all stay true.
constexpr std::string_view kIpv4Block = "26";
constexpr std::string_view kIpv6Block = "122";

void demand(const std::string& family, int length, int shortest, int longest) {
  if (length < shortest || length > longest) {
    throw Error(ErrorKind::kOther, "an " + family + " block cannot be a /" + std::to_string(length),
                "its prefix length has to be " + std::to_string(shortest) + " to " +
                    std::to_string(longest));
  }
}

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

std::string with_sizes(std::string_view text, const CrdsOptions& options) {
  std::string result;
  while (!text.empty()) {
    const bool number = is_digit(text.front());
    const auto end =
        std::find_if(text.begin(), text.end(), [number](char c) { return is_digit(c) != number; });
    const std::string_view part = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(part.size());
    if (part == kIpv4Block) {
      result += std::to_string(options.ipv4_block);
    } else if (part == kIpv6Block) {
      result += std::to_string(options.ipv6_block);
    } else {
      result += part;
    }
  }
  return result;
}

}  // namespace

int crds(const CrdsOptions& options) {
  // Shorter ones would leave a pool of usual size a few blocks, longer ones a block a few
  // addresses.
  demand("IPv4", options.ipv4_block, 16, 30);
  demand("IPv6", options.ipv6_block, 64, 126);
  std::cout << with_sizes(kCrdsText, options);
  return kDone;
}

}  // namespace podlease::cmd
