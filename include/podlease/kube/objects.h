#ifndef PODLEASE_KUBE_OBJECTS_H_
#define PODLEASE_KUBE_OBJECTS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

// The few objects podlease reads, and of them the few fields. Values are as written: what they mean
// is judged where they are used. Fields of another type than the API's count as absent.
namespace podlease::kube {

// v1 Node.
struct Node {
  std::string name;
  std::string uid;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string pod_cidr;                // spec.podCIDR
  std::vector<std::string> pod_cidrs;  // spec.podCIDRs
  // Of status.nodeInfo; each may be empty.
  std::string machine_id;
  std::string system_uuid;
  std::string boot_id;
  std::vector<std::string> internal_ips;  // status.addresses of type InternalIP
  bool ready = false;                     // condition Ready; not kept by `to_json`

  friend bool operator==(const Node&, const Node&) = default;
};

// cilium.io/v2 CiliumNode.
struct CiliumNode {
  struct Allocated {
    std::string pool;
    std::vector<std::string> cidrs;

    friend bool operator==(const Allocated&, const Allocated&) = default;
  };
  std::string name;
  std::string uid;
  std::vector<std::string> pod_cidrs;       // spec.ipam.podCIDRs
  std::vector<Allocated> allocated;         // spec.ipam.pools.allocated
  std::map<std::string, std::string> pool;  // spec.ipam.pool: address to owner, which may be empty

  friend bool operator==(const CiliumNode&, const CiliumNode&) = default;
};

// v1 Pod.
struct Pod {
  std::string name_space;
  std::string name;
  std::string node_name;
  std::string owner;  // KIND/NAME of its controller; empty: none
  bool host_network = false;
  bool ended = false;                  // phase Succeeded or Failed
  std::vector<std::string> addresses;  // status.podIPs
};

// networking.k8s.io ServiceCIDR.
struct ServiceCidr {
  std::string name;
  std::vector<std::string> cidrs;
};

// From the JSON of the API, or of `to_json`. Throws kDecode for what is not an object of that kind.
[[nodiscard]] Node parse_node(std::string_view json);
[[nodiscard]] CiliumNode parse_cilium_node(std::string_view json);

// The same object, less what is not in the struct: short enough to keep.
[[nodiscard]] std::string to_json(const Node& node);
[[nodiscard]] std::string to_json(const CiliumNode& node);

}  // namespace podlease::kube

#endif  // PODLEASE_KUBE_OBJECTS_H_
