#ifndef PODLEASE_CNI_REQUEST_H_
#define PODLEASE_CNI_REQUEST_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "podlease/base/attachment.h"
#include "podlease/cni/verb.h"

namespace podlease::cni {

// Looks up an environment variable; nothing if it is not set.
using Getenv = std::function<std::optional<std::string>(const char*)>;

// The environment half of a request (specification 1.1.0, "Parameters"); the other half is the JSON
// on stdin.
struct Request {
  Verb verb = Verb::kVersion;
  std::string container_id;
  std::string netns;  // path; may be empty for DEL
  std::string ifname;
  std::string args;  // CNI_ARGS as it came: KEY=VALUE;KEY=VALUE
};

// Reads and checks the variables the verb needs. Throws kEnvironment that names every missing one,
// or the malformed one.
[[nodiscard]] Request read_request(const Getenv& getenv);

// What runtimes say of the pod in CNI_ARGS, and the address asked for there.
struct Args {
  std::string ip;  // as written; empty: none
  std::string pod_namespace;
  std::string pod_name;
  std::string pod_uid;

  // NAMESPACE/NAME; empty: unknown.
  [[nodiscard]] std::string pod() const { return pod_text(pod_namespace, pod_name); }
};

// Throws kEnvironment for a part that is not KEY=VALUE, and for unknown keys unless IgnoreUnknown
// is true.
[[nodiscard]] Args parse_args(std::string_view cni_args);

}  // namespace podlease::cni

#endif  // PODLEASE_CNI_REQUEST_H_
