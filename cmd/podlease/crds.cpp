#include <algorithm>
#include <cctype>
#include <iostream>
#include <string>
#include <string_view>

#include "command.h"
#include "commands.h"
#include "crds_text.h"
#include "podlease/base/error.h"

namespace podlease::cmd {
namespace {

struct CrdsOptions {
  int ipv4_block = 26;  // prefix lengths
  int ipv6_block = 122;
};

// The sizes in crds.yaml. Neither number means anything else there, so that each can be replaced
// wherever it stands: in enums, defaults, rules, messages and descriptions, which all stay true.
constexpr std::string_view kIpv4Block = "26";
constexpr std::string_view kIpv6Block = "122";

void demand(const std::string& family, int length, int shortest, int longest) {
  if (length < shortest || length > longest) {
    throw Error(
        ErrorKind::kOther, "an " + family + " block cannot be a /" + std::to_string(length),
        "its prefix length must be " + std::to_string(shortest) + " to " + std::to_string(longest));
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

int crds(const CrdsOptions& options) {
  // With shorter prefixes a pool of usual size would have only a few blocks, and with longer ones a
  // block would have only a few addresses.
  demand("IPv4", options.ipv4_block, 16, 30);
  demand("IPv6", options.ipv6_block, 64, 126);
  std::cout << with_sizes(kCrdsText, options);
  return kDone;
}

}  // namespace

void declare_crds(Command& root) {
  Command command =
      root.add("crds", "Print the definitions of PodPool and PodBlock, for kubectl apply");
  command.details(R"(
All blocks of a family have one size in a cluster, and the API server enforces that: claims of
different sizes could overlap, and it would refuse neither. Choose the sizes before the first block
is claimed. The output is always YAML. Example:
podlease crds --ipv4-block 25 | kubectl apply --server-side -f -)");
  command.stands_alone();
  const auto options = std::make_shared<CrdsOptions>();
  command.option("--ipv4-block", options->ipv4_block, "Prefix length of an IPv4 block, 16 to 30")
      .shows_default();
  command.option("--ipv6-block", options->ipv6_block, "Prefix length of an IPv6 block, 64 to 126")
      .shows_default();
  command.runs([options](const Context& /*context*/) { return crds(*options); });
}

}  // namespace podlease::cmd
