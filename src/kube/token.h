#ifndef PODLEASE_SRC_KUBE_TOKEN_H_
#define PODLEASE_SRC_KUBE_TOKEN_H_

#include <string>
#include <string_view>

#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// The bearer token of the kubeconfig, as it is now: of its file, or else as written. Empty: it has
// none. Throws ApiError (kIdentity) for a file that cannot be read or holds no token.
[[nodiscard]] std::string read_token(const User& user);

// Reports whether it can stand in a header: visible ASCII only.
[[nodiscard]] bool is_token(std::string_view text);

// The node that a service account token is bound to. Empty: none, or no such token. Nothing is
// verified: whoever is asked with the token does that.
[[nodiscard]] std::string node_of_token(std::string_view token);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_TOKEN_H_
