#include "cluster_view.h"

#include <algorithm>
#include <array>
#include <limits>

#include "podlease/base/duration.h"
#include "podlease/base/rfc3339.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

void add(std::vector<Space>& spaces, const std::string& object, const char* field,
         const std::string& text) {
  const std::optional<net::Prefix> cidr = net::Prefix::parse(text);
  const std::optional<net::Range> range =
      cidr ? std::optional(cidr->range()) : net::Range::parse(text);
  if (range) {
    spaces.push_back({.object = object, .field = field, .range = *range, .text = text});
  }
}

std::string age_text(std::int64_t seconds) {
  return format_duration(std::chrono::seconds(seconds));
}

// Why no new address is leased from a block. Empty: new addresses are leased from it.
std::string why_draining(const kube::PodBlock& block, const net::Prefix& cidr,
                         const pools::Pool* pool) {
  if (pool == nullptr) {
    return "PodPool " + block.pool + " is gone";
  }
  const pools::PoolCidr* const entry = pool->cidr_of(cidr);
  if (entry == nullptr) {
    return "no CIDR of PodPool " + block.pool + " contains it any more";
  }
  if (entry->draining) {
    return entry->cidr.to_string() + " of PodPool " + block.pool + " is Draining";
  }
  return block.is_ending() ? "it was deleted" : "";
}

}  // namespace

Pools read_pools(const std::vector<kube::PodPool>& objects) {
  Pools pools;
  for (const kube::PodPool& object : objects) {
    pools.emplace(object.name, pools::read_pool(object));
  }
  return pools;
}

void add_spaces(std::vector<Space>& spaces, const kube::Node& node) {
  const std::string object = "Node " + node.name;
  for (const std::string& cidr : node.pod_cidrs) {
    add(spaces, object, "spec.podCIDRs", cidr);
  }
  if (node.pod_cidrs.empty()) {
    add(spaces, object, "spec.podCIDR", node.pod_cidr);
  }
  for (const std::string& address : node.internal_ips) {
    add(spaces, object, "status.addresses", address);
  }
}

void add_spaces(std::vector<Space>& spaces, const kube::CiliumNode& node) {
  const std::string object = "CiliumNode " + node.name;
  for (const std::string& cidr : node.pod_cidrs) {
    add(spaces, object, "spec.ipam.podCIDRs", cidr);
  }
  for (const kube::CiliumNode::Allocated& allocated : node.allocated) {
    for (const std::string& cidr : allocated.cidrs) {
      add(spaces, object, "spec.ipam.pools.allocated", cidr);
    }
  }
  for (const auto& [address, owner] : node.pool) {
    add(spaces, object, "spec.ipam.pool", address);
  }
}

void add_spaces(std::vector<Space>& spaces, const kube::ServiceCidr& service) {
  for (const std::string& cidr : service.cidrs) {
    add(spaces, "ServiceCIDR " + service.name, "spec.cidrs", cidr);
  }
}

void add_spaces(std::vector<Space>& spaces, const kube::PodPool& pool) {
  for (const kube::PodPool::Cidr& entry : pool.cidrs) {
    const std::size_t before = spaces.size();
    add(spaces, "PodPool " + pool.name, "spec.cidrs", entry.cidr);
    if (spaces.size() > before) {
      spaces.back().pool = pool.name;
      spaces.back().draining = entry.draining;
    }
  }
}

std::string describe_overlap(const std::string& pool, const net::Prefix& cidr, const Space& space) {
  return "PodPool " + pool + " spec.cidrs " + cidr.to_string() + " overlaps " + space.object + " " +
         space.field + " " + space.text;
}

net::Uint128 BlockView::size() const {
  return cidr.range().size();
}

std::optional<BlockView> view_of(const kube::PodBlock& block, const Pools& pools,
                                 const pools::Nodes* nodes, std::int64_t now) {
  const std::optional<net::Prefix> cidr = net::Prefix::parse(block.cidr);
  if (!cidr) {
    return std::nullopt;
  }
  const auto found = pools.find(block.pool);
  const pools::Pool* const pool = found == pools.end() ? nullptr : &found->second;
  BlockView view{.block = &block,
                 .cidr = *cidr,
                 .orphaned = pool == nullptr || pool->cidr_of(*cidr) == nullptr};
  if (const auto verified = parse_rfc3339(block.verified_at)) {
    view.verified = std::max<std::int64_t>(now - *verified, 0);
  }
  using State = BlockView::State;
  if (nodes != nullptr && pools::is_node_gone(block, *nodes)) {
    view.state = State::kNodeGone;
    view.why = "Node " + block.node_name + " no longer exists, or is another machine now";
    return view;
  }
  view.why = why_draining(block, *cidr, pool);
  if (!view.why.empty()) {
    view.state = State::kDraining;
    return view;
  }
  // A claim that was not verified yet is as good as verified when it was made.
  const std::optional<std::int64_t> last =
      block.verified_at.empty() ? parse_rfc3339(block.created) : parse_rfc3339(block.verified_at);
  const Milliseconds grace = pool == nullptr ? pools::kReapGrace : pool->reap_grace;
  const std::int64_t lasts = std::chrono::duration_cast<std::chrono::seconds>(grace).count() / 2;
  if (!last || now - *last > lasts) {
    view.state = State::kUnverified;
    view.why = "its node leases nothing new from it until it has verified it, which is due every " +
               age_text(lasts);
  }
  return view;
}

std::vector<CidrUse> count_use(const pools::Pool& pool, const std::vector<kube::PodBlock>& blocks) {
  std::vector<CidrUse> uses;
  for (const pools::PoolCidr& entry : pool.cidrs) {
    CidrUse use{.entry = &entry, .capacity = pools::capacity_of(pool, entry)};
    for (const kube::PodBlock& block : blocks) {
      const std::optional<net::Prefix> cidr = net::Prefix::parse(block.cidr);
      if (block.pool == pool.name && cidr && entry.cidr.contains(cidr->range())) {
        ++use.blocks;
        use.used += static_cast<std::uint64_t>(std::max<std::int64_t>(block.used, 0));
        use.nodes.insert(block.node_name);
      }
    }
    uses.push_back(std::move(use));
  }
  return uses;
}

std::string workload_of(const kube::Pod& pod) {
  if (pod.owner.empty()) {
    return "Pod/" + pod.name;
  }
  // The alphabet of rand.SafeEncodeString in k8s.io/apimachinery. It has no vowels, so that a hash
  // is never a word.
  constexpr std::string_view kHash = "bcdfghjklmnpqrstvwxz2456789";
  constexpr std::string_view kReplicaSet = "ReplicaSet/";
  constexpr std::size_t kShortest = 6;  // of a 32 bit number, with few exceptions in thousands
  constexpr std::size_t kLongest = 10;
  const std::size_t dash = pod.owner.rfind('-');
  if (!pod.owner.starts_with(kReplicaSet) || dash == std::string::npos) {
    return pod.owner;
  }
  const std::string_view hash = std::string_view(pod.owner).substr(dash + 1);
  if (hash.size() < kShortest || hash.size() > kLongest ||
      hash.find_first_not_of(kHash) != std::string_view::npos) {
    return pod.owner;
  }
  return "Deployment/" + pod.owner.substr(kReplicaSet.size(), dash - kReplicaSet.size());
}

std::string restart_command(const std::string& name_space, const std::string& workload) {
  const std::size_t slash = workload.find('/');
  const std::string kind = workload.substr(0, slash);
  const std::string name = slash == std::string::npos ? "" : workload.substr(slash + 1);
  const std::string kubectl = "kubectl -n " + name_space;
  if (kind == "Deployment" || kind == "StatefulSet" || kind == "DaemonSet") {
    return kubectl + " rollout restart " + to_lower(kind) + "/" + name;
  }
  if (kind == "Pod") {
    return kubectl + " delete pod " + name + "  # nothing recreates it";
  }
  if (kind == "Job") {
    return kubectl + " wait --for=condition=complete --timeout=-1s job/" + name;
  }
  if (kind == "Node") {
    return "move the static pod's manifest out of the kubelet's folder on " + name + " and back";
  }
  return kubectl + " delete pod POD, one after the other, for the pods of " + workload +
         ", which recreates them";
}

bool has_address(const kube::Pod& pod) {
  return !pod.host_network && !pod.ended && !pod.addresses.empty();
}

std::map<std::string, std::uint64_t> blocks_needed(const std::vector<kube::Pod>& pods,
                                                   net::Family family, int block_length) {
  std::map<std::string, std::uint64_t> needed;
  for (const kube::Pod& pod : pods) {
    if (has_address(pod)) {
      ++needed[pod.node_name];  // a pod with an address of either family will ask for one of this
                                // family
    }
  }
  const int bits = std::min(net::bit_width(family) - block_length, 62);
  const std::uint64_t size = std::uint64_t{1} << bits;
  for (auto& [node, count] : needed) {
    count = (count + size - 1) / size;
  }
  return needed;
}

std::string count_text(net::Uint128 count) {
  constexpr net::Uint128 kLongest = 10'000'000'000;
  if (count < kLongest) {
    return std::to_string(static_cast<std::uint64_t>(count));
  }
  int power = 0;
  for (net::Uint128 rest = count; rest > 1; rest >>= 1) {
    ++power;
  }
  return (count == net::Uint128{1} << power ? "2^" : "over 2^") + std::to_string(power);
}

std::int64_t clipped(net::Uint128 count) {
  constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
  return count > net::Uint128{static_cast<std::uint64_t>(kLargest)}
             ? kLargest
             : static_cast<std::int64_t>(count);
}

unsigned percent(net::Uint128 part, net::Uint128 whole) {
  constexpr net::Uint128 kHundred = 100;
  if (part == 0 || whole == 0) {
    return 0;
  }
  // Numbers too large to be multiplied are divided first: their last digits do not matter.
  if (whole > ~net::Uint128{0} / kHundred) {
    constexpr int kEnough = 7;  // bits
    return percent(std::max<net::Uint128>(part >> kEnough, 1), whole >> kEnough);
  }
  return static_cast<unsigned>((std::min(part, whole) * kHundred + whole - 1) / whole);
}

std::string bar(net::Uint128 part, net::Uint128 whole) {
  constexpr std::array<const char*, 8> kEighths{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  constexpr unsigned kWidth = 10;
  constexpr unsigned kParts = 8;
  constexpr unsigned kHundred = 100;
  const unsigned filled = (percent(part, whole) * kWidth * kParts + kHundred - 1) / kHundred;
  std::string text;
  for (unsigned i = 0; i < kWidth; ++i) {
    const unsigned here = filled <= i * kParts ? 0 : filled - i * kParts;
    text += here >= kParts ? "█" : kEighths[here];
  }
  return text;
}

}  // namespace podlease::cmd
