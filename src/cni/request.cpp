#include "podlease/cni/request.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::cni {
namespace {

// Linux: IFNAMSIZ less the final NUL.
constexpr std::size_t kLongestIfname = 15;

struct Variable {
  const char* name;
  bool required;
};

// Which variables each verb must be given (specification 1.1.0, section 2).
std::array<Variable, 4> variables_of(Verb verb) {
  const bool attachment = verb == Verb::kAdd || verb == Verb::kDel || verb == Verb::kCheck;
  return {{{"CNI_CONTAINERID", attachment},
           {"CNI_NETNS", attachment && verb != Verb::kDel},
           {"CNI_IFNAME", attachment},
           {"CNI_PATH", verb != Verb::kVersion}}};
}

// The characters that Go's unicode.IsSpace calls a space beyond ASCII, as libcni judges the name.
constexpr std::array<std::string_view, 19> kUnicodeSpaces{
    "\u0085", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003",
    "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
    "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

// The first byte of a UTF-8 sequence is never the second or third of another one, so that looking
// for the bytes finds characters only.
bool has_space(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }) ||
         std::any_of(kUnicodeSpaces.begin(), kUnicodeSpaces.end(), [&](std::string_view space) {
           return text.find(space) != std::string_view::npos;
         });
}

void check_ifname(const std::string& ifname) {
  const auto bad = [&](const std::string& why) {
    throw Error(ErrorKind::kEnvironment, "CNI_IFNAME " + in_quotes(ifname) + " " + why);
  };
  if (ifname.size() > kLongestIfname) {
    bad("is longer than " + std::to_string(kLongestIfname) + " bytes");
  }
  if (ifname == "." || ifname == "..") {
    bad("is not an interface name");
  }
  if (ifname.find_first_of("/:") != std::string::npos || has_space(ifname)) {
    bad("contains a slash, a colon or white space");
  }
}

}  // namespace

Request read_request(const Getenv& getenv) {
  const std::string command = getenv("CNI_COMMAND").value_or("");
  const std::optional<Verb> verb = parse_verb(command);
  if (!verb) {
    throw Error(ErrorKind::kEnvironment, "unknown CNI_COMMAND " + in_quotes(command));
  }

  std::vector<std::string> missing;
  for (const Variable& variable : variables_of(*verb)) {
    if (variable.required && getenv(variable.name).value_or("").empty()) {
      missing.emplace_back(variable.name);
    }
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kEnvironment,
                "required env variables [" + join(missing, ",") + "] missing");
  }

  Request request{.verb = *verb,
                  .container_id = getenv("CNI_CONTAINERID").value_or(""),
                  .netns = getenv("CNI_NETNS").value_or(""),
                  .ifname = getenv("CNI_IFNAME").value_or(""),
                  .args = getenv("CNI_ARGS").value_or("")};
  if (variables_of(*verb)[0].required) {
    if (!is_valid_name(request.container_id)) {
      throw Error(
          ErrorKind::kEnvironment,
          "CNI_CONTAINERID " + in_quotes(request.container_id) + " is not a valid container id",
          "it must start with a letter or a digit, and contain only letters, digits, '_', '.' and "
          "'-'");
    }
    check_ifname(request.ifname);
  }
  return request;
}

Args parse_args(std::string_view cni_args) {
  Args args;
  std::vector<std::string> unknown;
  bool ignore_unknown = false;
  if (cni_args.empty()) {
    return args;
  }
  for (const std::string_view part : split(cni_args, ';')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || part.find('=', equals + 1) != std::string_view::npos) {
      throw Error(ErrorKind::kEnvironment, "CNI_ARGS: invalid pair " + in_quotes(part),
                  "CNI_ARGS is KEY=VALUE;KEY=VALUE");
    }
    const std::string_view key = part.substr(0, equals);
    const std::string value(part.substr(equals + 1));
    if (key == "IP") {
      args.ip = value;
    } else if (key == "K8S_POD_NAMESPACE") {
      args.pod_namespace = value;
    } else if (key == "K8S_POD_NAME") {
      args.pod_name = value;
    } else if (key == "K8S_POD_UID") {
      args.pod_uid = value;
    } else if (key == "IgnoreUnknown") {
      const std::string flag = to_lower(value);
      if (flag != "1" && flag != "true" && flag != "0" && flag != "false") {
        throw Error(ErrorKind::kEnvironment,
                    "CNI_ARGS: IgnoreUnknown " + in_quotes(value) + " must be true or false");
      }
      ignore_unknown = flag == "1" || flag == "true";
    } else if (!key.starts_with("K8S_")) {
      unknown.emplace_back(part);
    }
  }
  if (!unknown.empty() && !ignore_unknown) {
    throw Error(ErrorKind::kEnvironment, "CNI_ARGS: unknown args " + in_quotes(join(unknown, " ")),
                "add IgnoreUnknown=1 to ignore them");
  }
  return args;
}

}  // namespace podlease::cni
