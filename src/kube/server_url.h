#ifndef PODLEASE_SRC_KUBE_SERVER_URL_H_
#define PODLEASE_SRC_KUBE_SERVER_URL_H_

#include <string>

#include "podlease/kube/kubeconfig.h"

namespace podlease::kube {

// `url`, `host`, `port` and `base_path` of a server. Throws kConfig that says what the URL is not,
// without quoting it.
[[nodiscard]] Server parse_server_url(const std::string& url);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_SERVER_URL_H_
