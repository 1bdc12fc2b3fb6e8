#include "podlease/cni/version.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::cni {

std::optional<Version> Version::parse(std::string_view text) {
  if (text.empty()) {
    text = "0.1.0";
  }
  const auto* const found = std::find(kSpoken.begin(), kSpoken.end(), text);
  if (found == kSpoken.end()) {
    return std::nullopt;
  }
  return Version(static_cast<std::size_t>(found - kSpoken.begin()));
}

Version Version::first_with(Verb verb) {
  switch (verb) {
    case Verb::kGc:
    case Verb::kStatus:
      return *parse("1.1.0");
    case Verb::kCheck:
      return *parse("0.4.0");
    case Verb::kAdd:
    case Verb::kDel:
    case Verb::kVersion:
      break;
  }
  return *parse("0.1.0");
}

Version negotiate(std::string_view cni_version, Verb verb) {
  const std::optional<Version> version = Version::parse(cni_version);
  if (verb == Verb::kDel) {
    return version.value_or(Version::newest());
  }
  if (!version) {
    throw Error(
        ErrorKind::kVersion, "cniVersion " + in_quotes(cni_version) + " is not supported",
        "podlease speaks " + join({Version::kSpoken.begin(), Version::kSpoken.end()}, ", "));
  }
  if (*version < Version::first_with(verb)) {
    throw Error(
        ErrorKind::kVersion,
        "cniVersion " + in_quotes(version->to_string()) + " has no " + std::string(name(verb)),
        "the configuration must say " + std::string(Version::first_with(verb).to_string()) +
            " or newer");
  }
  return *version;
}

std::string version_answer() {
  nlohmann::ordered_json answer;
  answer["cniVersion"] = Version::newest().to_string();
  answer["supportedVersions"] = Version::kSpoken;
  return answer.dump() + "\n";
}

}  // namespace podlease::cni
