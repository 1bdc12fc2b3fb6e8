#ifndef PODLEASE_KUBE_POOL_OBJECTS_H_
#define PODLEASE_KUBE_POOL_OBJECTS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// The objects of podlease.io/v1alpha1 (conf/kubernetes/crds.yaml). Values are as written: what they
// mean is judged where they are used.
namespace podlease::kube {

// LabelSelector of meta/v1; both parts must match. An empty one matches everything.
struct LabelSelector {
  struct Requirement {
    std::string key;
    std::string op;  // In, NotIn, Exists, DoesNotExist
    std::vector<std::string> values;

    friend bool operator==(const Requirement&, const Requirement&) = default;
  };
  std::map<std::string, std::string> match_labels;
  std::vector<Requirement> match_expressions;

  friend bool operator==(const LabelSelector&, const LabelSelector&) = default;
};

// An operator that is unknown matches nothing.
[[nodiscard]] bool matches(const LabelSelector& selector,
                           const std::map<std::string, std::string>& labels);

// A range of the cluster that nodes claim blocks of.
struct PodPool {
  struct Cidr {
    std::string cidr;
    bool draining = false;              // state: nothing new is leased or claimed there
    std::vector<std::string> reserved;  // addresses or CIDRs that are never leased

    friend bool operator==(const Cidr&, const Cidr&) = default;
  };
  struct Status {
    std::int64_t blocks = 0;    // claimed
    std::int64_t capacity = 0;  // how many could be claimed in all
    std::int64_t nodes = 0;     // that have some
    std::int64_t used = 0;      // addresses, as of each block's last word
    std::string updated_at;     // RFC 3339; empty: nobody has counted yet

    friend bool operator==(const Status&, const Status&) = default;
  };
  std::string name;
  std::string uid;
  std::string resource_version;
  std::vector<Cidr> cidrs;
  int ipv4_block = 0;  // prefix lengths of blocks; 0: not given
  int ipv6_block = 0;
  LabelSelector node_selector;
  std::string reap_grace;  // a duration as Go writes it
  bool paused = false;
  Status status;

  friend bool operator==(const PodPool&, const PodPool&) = default;
};

// A block of a pool, claimed by a node: the object's being there is the claim.
struct PodBlock {
  std::string name;
  std::string uid;
  std::string resource_version;
  std::string created;                  // RFC 3339; these two are the server's
  std::string deleted;                  // empty: nobody has
  std::vector<std::string> finalizers;  //
  std::string node_gone_since;          // the reaper's mark; empty: there is none
  std::string cidr;
  std::string pool;
  std::string node_name;
  std::string node_uid;
  std::string machine_id;
  std::string claim_id;
  std::vector<std::string> node_ips;  // status: where packets for the block go
  std::int64_t used = 0;              // status: addresses leased, as of `verified_at`
  std::string verified_at;            // status: RFC 3339; empty: never

  [[nodiscard]] bool is_ending() const { return !deleted.empty(); }

  friend bool operator==(const PodBlock&, const PodBlock&) = default;
};

// What holds a block's object until its node, or the reaper, has let go of it.
inline constexpr std::string_view kInUse = "podlease.io/in-use";

// The annotation by which the reaper notes since when it has seen a deleted block without its node.
inline constexpr const char* kNodeGoneSince = "podlease.io/node-gone-since";

// From the JSON of the API, or of `to_json`. Throws kDecode for what is not an object of that kind.
[[nodiscard]] PodPool parse_pod_pool(std::string_view json);
[[nodiscard]] PodBlock parse_pod_block(std::string_view json);

// As the API takes them to create them: without what the server says of them, but with the uid of a
// pool, so that it can be kept.
[[nodiscard]] std::string to_json(const PodPool& pool);
[[nodiscard]] std::string to_json(const PodBlock& block);

}  // namespace podlease::kube

#endif  // PODLEASE_KUBE_POOL_OBJECTS_H_
