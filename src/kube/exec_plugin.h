#ifndef PODLEASE_SRC_KUBE_EXEC_PLUGIN_H_
#define PODLEASE_SRC_KUBE_EXEC_PLUGIN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"

// Credential plugins as client-go runs them: client.authentication.k8s.io, v1 and v1beta1.
namespace podlease::kube {

struct Credential {
  std::string token;                 // empty: none
  std::string certificate;           // PEM; empty: none
  std::string key;                   // PEM; with `certificate`
  std::optional<std::int64_t> ends;  // in seconds since 1970; nothing: the plugin does not say
};

// Runs the plugin. Throws ApiError: kIdentity if it gives no credential, kTimeout.
[[nodiscard]] Credential run_plugin(const ExecPlugin& plugin, const Server& server,
                                    Deadline deadline);

// What a plugin of that version printed. Throws kDecode that says what is wrong, and quotes none of
// it.
[[nodiscard]] Credential parse_exec_credential(std::string_view text,
                                               const std::string& api_version);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_EXEC_PLUGIN_H_
