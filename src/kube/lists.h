#ifndef PODLEASE_SRC_KUBE_LISTS_H_
#define PODLEASE_SRC_KUBE_LISTS_H_

#include "api_json.h"
#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"

// Objects as they stand in a list of the API, where those of its own kinds say neither kind nor
// version.
namespace podlease::kube {

[[nodiscard]] Node node_in(const Json& object);
[[nodiscard]] CiliumNode cilium_node_in(const Json& object);
[[nodiscard]] Pod pod_in(const Json& object);
[[nodiscard]] ServiceCidr service_cidr_in(const Json& object);
[[nodiscard]] PodPool pod_pool_in(const Json& object);
[[nodiscard]] PodBlock pod_block_in(const Json& object);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_LISTS_H_
