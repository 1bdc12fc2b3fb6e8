#ifndef PODLEASE_SRC_CONFIG_KUBERNETES_H_
#define PODLEASE_SRC_CONFIG_KUBERNETES_H_

#include <array>
#include <string_view>

#include "podlease/config/net_conf.h"
#include "value.h"

namespace podlease::config {

inline constexpr std::array<std::string_view, 5> kKubernetesKeys{"kubeconfig", "nodeName",
                                                                 "timeout", "refresh", "sources"};

// Reads `ipam.kubernetes`. Throws kConfig.
[[nodiscard]] KubernetesConf read_kubernetes(const Value& value);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_KUBERNETES_H_
