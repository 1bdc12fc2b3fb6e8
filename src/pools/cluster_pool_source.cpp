#include "podlease/pools/cluster_pool_source.h"

#include <algorithm>
#include <utility>

#include "podlease/base/duration.h"
#include "podlease/base/rfc3339.h"
#include "podlease/base/text.h"
#include "podlease/net/special_block.h"
#include "podlease/store/block_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"
#include "remembered.h"

namespace podlease::pools {
namespace {

using config::PrefixMode;
using net::Address;
using net::Family;
using net::Prefix;
using store::Block;
using State = Block::State;

// The first of a subnet, unless there is to be none.
std::optional<Address> default_gateway(const Prefix& subnet, const config::NetConf& conf) {
  if (conf.gateway_none) {
    return std::nullopt;
  }
  return conf.gateway && conf.gateway->family() == subnet.family() ? conf.gateway
                                                                   : subnet.first().next();
}

// What is nobody's of a subnet: its network address, of IPv4 its broadcast address, its gateway.
net::IntervalSet never_of(const Prefix& subnet, const std::optional<Address>& gateway) {
  std::vector<net::Range> never{net::Range::single(subnet.first())};
  if (subnet.family() == Family::kIpv4) {
    never.push_back(net::Range::single(subnet.last()));
  }
  if (gateway) {
    never.push_back(net::Range::single(*gateway));
  }
  return net::IntervalSet(std::move(never));
}

// A block as it is leased from. `entry` is the CIDR of the pool that it lies in; there may be none
// any more.
PoolRange range_of(const Block& block, const PoolCidr* entry, const config::NetConf& conf) {
  const std::string origin = "PodPool " + block.pool + " " + block.cidr.to_string();
  PoolRange range{.name = origin,
                  .source = origin,
                  .range = block.cidr.range(),
                  .usable = net::IntervalSet({block.cidr.range()}),
                  .subnet = block.cidr,
                  .answer_length = block.cidr.length(),
                  .gateway = std::nullopt};
  if (conf.prefix == PrefixMode::kHost) {
    range.answer_length = net::bit_width(block.cidr.family());
  } else {
    if (conf.prefix == PrefixMode::kPool && entry != nullptr) {
      range.subnet = entry->cidr;
      range.answer_length = entry->cidr.length();
    }
    range.gateway = default_gateway(range.subnet, conf);
    range.usable.erase(never_of(range.subnet, range.gateway));
  }
  if (entry != nullptr) {
    range.usable.erase(entry->reserved);
  }
  range.usable.erase(conf.exclude);
  return range;
}

std::uint64_t leased_in(store::Transaction& transaction, const Block& block) {
  const std::optional<store::Network> network =
      store::NetworkTable(transaction).find(block.network);
  return network ? store::LeaseTable(transaction).count_in(*network, block.cidr.range()) : 0;
}

// Throws kConfig for a CIDR in which no pod can have an address. Only leasing is refused: the
// blocks of such a pool can still be given back and reaped.
void refuse_special_blocks(const Pool& pool) {
  for (const PoolCidr& entry : pool.cidrs) {
    const auto overlap = net::overlap_with_special_block(entry.cidr.range());
    if (overlap && !entry.draining) {
      throw Error(ErrorKind::kConfig,
                  "PodPool " + pool.name + " " + entry.cidr.to_string() + " " + *overlap,
                  "podlease pool drain " + pool.name + " --cidr " + entry.cidr.to_string());
    }
  }
}

// What of the cluster a pool must not meet; whoever leases there would cut it off.
void refuse_overlap(const Pool& pool, const kube::Node& node, const config::NetConf& conf) {
  std::vector<std::string> own = node.pod_cidrs;
  own.push_back(node.pod_cidr);
  for (const PoolCidr& entry : pool.cidrs) {
    const std::string what = "PodPool " + pool.name + " " + entry.cidr.to_string();
    for (const std::string& text : own) {
      const std::optional<Prefix> cidr = Prefix::parse(text);
      if (cidr && cidr->overlaps(entry.cidr)) {
        throw Error(ErrorKind::kConfig,
                    std::string(what)
                        .append(" meets the podCIDR ")
                        .append(text)
                        .append(" of Node " + node.name),
                    "kube-controller-manager gives out that one: a pool lies outside every "
                    "--cluster-cidr");
      }
    }
    for (const std::string& text : node.internal_ips) {
      const std::optional<Address> address = Address::parse(text);
      if (address && entry.cidr.contains(*address) && conf.prefix != PrefixMode::kPool) {
        throw Error(ErrorKind::kConfig,
                    std::string(what)
                        .append(" contains ")
                        .append(text)
                        .append(", the address of Node " + node.name),
                    "pods there would cut the node off: use another CIDR, or ipam.prefix "
                    "\"pool\" where pods and nodes share one network");
      }
    }
  }
}

std::string ago(const store::Moment& then, const store::Moment& now) {
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(store::elapsed(then, now));
  return format_duration(age) + " ago";
}

// How it stands to a block, for people.
std::string describe(const Block& block, std::uint64_t leases, const store::Moment& now) {
  std::string text = std::to_string(leases) + " leases, claimed " + ago(block.claimed, now);
  if (!block.verified.boot_id.empty()) {
    text += ", verified " + ago(block.verified, now);
  }
  return text;
}

// Whose addresses may be given to others by now.
std::string affected(const Block& block, const std::vector<store::Lease>& leases) {
  std::vector<std::string> pods;
  for (const store::Lease& lease : leases) {
    if (block.cidr.contains(lease.address.address())) {
      const std::string pod = lease.pod.text();
      pods.push_back(lease.address.address().to_string() + " (" +
                     (pod.empty() ? "container " + lease.key.container_id : pod) + ")");
    }
  }
  return "block " + block.cidr.to_string() + " was lost, " + block.failure +
         "; restart the pods that have addresses of it: " + join(pods, ", ");
}

std::string outcome_of(const Block& block, const Pool& pool, bool is_fresh) {
  if (block.state != State::kOwned) {
    return "not used: " + std::string(to_string(block.state)) +
           (block.failure.empty() ? "" : ", " + block.failure);
  }
  if (block.pool != pool.name) {
    return "drains: it is of PodPool " + block.pool;
  }
  if (block.ending) {
    return "drains: its PodBlock was deleted";
  }
  if (pool.cidr_of(block.cidr) == nullptr) {
    return "drains: its CIDR is not in the pool any more";
  }
  if (!pool.is_active(block.cidr)) {
    return "drains: its CIDR is Draining";
  }
  if (!is_fresh) {
    return "not used: not verified lately" +
           (block.failure.empty() ? std::string() : ", " + block.failure);
  }
  return "used for " + std::string(name(block.cidr.family()));
}

// Blocks of nodes that are gone come back by a job that also counts; whether it runs shows in that.
void warn_of_reaper(const kube::PodPool& pool, const store::Moment& now,
                    std::vector<std::string>& warnings) {
  constexpr auto kSilent = std::chrono::hours(2);
  const std::optional<std::int64_t> counted = parse_rfc3339(pool.status.updated_at);
  if (!counted ||
      now.at.wall - std::chrono::sys_seconds(std::chrono::seconds(*counted)) > kSilent) {
    warnings.push_back("nothing reaps PodPool " + pool.name +
                       (counted ? " since " + pool.status.updated_at : std::string()) +
                       ": blocks of nodes that are gone stay taken; run podlease gc --cluster from "
                       "time to time: conf/kubernetes/reaper.yaml");
  }
}

Error paused(const Pool& pool) {
  return Error(ErrorKind::kBusy,
               "PodPool " + pool.name + " is paused, and this node has no free address of it left",
               "podlease pool resume " + pool.name + ", once it is repaired");
}

}  // namespace

Owner owner_of(const kube::Node& node) {
  return {.node_name = node.name,
          .node_uid = node.uid,
          .machine_id = node.machine_id,
          .node_ips = node.internal_ips};
}

std::vector<Family> ClusterPoolSource::families() const {
  return families_of(*conf_);
}

Knowledge ClusterPoolSource::consult(store::Transaction& transaction,
                                     const store::Moment& now) const {
  const NodeObjects::View view = objects_->view(transaction, now);
  pool_.reset();
  owner_.reset();
  unexplored_.clear();
  offered_.clear();
  blocks_due_ = false;
  untidy_ = false;
  Knowledge knowledge{
      .answer = not_known_yet(), .stale = view.stale || !view.recent, .offers_blocks = true};
  const bool telling = objects_->options().telling;
  if (telling) {
    tell_of(view, now, knowledge);
  }
  if (view.node.object) {
    owner_ = owner_of(*view.node.object);
  }
  const std::vector<Block> blocks = blocks_as_of(view, transaction);
  blocks_due_ = any_is_due(blocks, transaction, now);
  for (const Block& block : blocks) {
    if (telling && block.state == State::kLost) {
      if (const auto network = store::NetworkTable(transaction).find(block.network)) {
        knowledge.warnings.push_back(affected(block, store::LeaseTable(transaction).all(network)));
      }
    }
  }
  if (!view.pool.object) {
    if (const std::optional<Error> obstacle = obstacle_in(view.pool)) {
      knowledge.answer = *obstacle;
    }
    return knowledge;
  }
  try {
    pool_ = read_pool(*view.pool.object);
    refuse_special_blocks(*pool_);
    if (view.node.object) {
      refuse_overlap(*pool_, *view.node.object, *conf_);
    }
  } catch (const Error& error) {
    knowledge.answer = error;
    return knowledge;
  }
  if (view.node.object && !kube::matches(pool_->node_selector, view.node.object->labels)) {
    knowledge.answer = Error(ErrorKind::kConfig,
                             "PodPool " + pool_->name + " is not for Node " + owner_->node_name +
                                 ": its spec.nodeSelector does not match",
                             "label the Node, change the selector, or set ipam.pool to another");
    return knowledge;
  }
  if (telling) {
    warn_of_reaper(*view.pool.object, now, knowledge.warnings);
  }
  // Also those of families that are not asked for: what is said to be explored has to be.
  for (const Block& block : blocks) {
    if (block.unexplored) {
      unexplored_.push_back(block);
      knowledge.unexplored.push_back(
          {.family = block.cidr.family(),
           .ranges = {range_of(block, pool_->cidr_of(block.cidr), *conf_)}});
    }
  }
  untidy_ =
      Blocks::any_to_give_back(transaction, blocks, {.pool = &*pool_, .cooldown = conf_->cooldown},
                               now, objects_->options().refresh);
  return offer_of(transaction, now, view, blocks, std::move(knowledge));
}

std::vector<Block> ClusterPoolSource::blocks_as_of(const NodeObjects::View& view,
                                                   store::Transaction& transaction) const {
  std::vector<Block> blocks = store::BlockTable(transaction).of(conf_->essentials.name);
  if (view.pool.object) {
    for (Block& block : blocks) {
      if (block.pool == view.pool.object->name) {
        block.reap_grace = reap_grace_of(*view.pool.object).value_or(block.reap_grace);
      }
    }
  }
  return blocks;
}

bool ClusterPoolSource::any_is_due(const std::vector<Block>& blocks,
                                   store::Transaction& transaction,
                                   const store::Moment& now) const {
  return std::any_of(blocks.begin(), blocks.end(), [&](const Block& block) {
    const bool is_over = block.state == State::kLost && leased_in(transaction, block) == 0;
    const bool is_begun = block.state == State::kClaiming || block.state == State::kReleasing;
    const bool is_old = block.state == State::kOwned && Blocks::is_due(block, now);
    return (is_over || is_begun || is_old) &&
           Blocks::may_ask(block, now, objects_->options().refresh);
  });
}

Knowledge ClusterPoolSource::offer_of(store::Transaction& transaction, const store::Moment& now,
                                      const NodeObjects::View& view,
                                      const std::vector<Block>& blocks, Knowledge knowledge) const {
  struct Candidate {
    PoolRange range;
    std::uint64_t leases;
  };
  Offer offer{.may_grow = owner_.has_value()};
  if (const auto server = Address::parse(view.pool.record ? view.pool.record->server : "")) {
    offer.beyond.push_back({.address = *server, .what = "the Kubernetes API server"});
  }
  const std::vector<Family> wanted = conf_->families.empty() ? pool_->families() : conf_->families;
  for (const Family family : wanted) {
    const std::string label(name(family));
    const std::vector<Family> in_pool = pool_->families();
    if (std::find(in_pool.begin(), in_pool.end(), family) == in_pool.end()) {
      knowledge.answer =
          Error(ErrorKind::kConfig, "PodPool " + pool_->name + " has no CIDR of " + label,
                "podlease pool add " + pool_->name +
                    " --cidr CIDR adds one, or leave the family out of ipam.families");
      return knowledge;
    }
    std::vector<Candidate> candidates;
    bool unverified = false;
    for (const Block& block : blocks) {
      if (block.cidr.family() != family) {
        continue;
      }
      const PoolCidr* const entry = pool_->cidr_of(block.cidr);
      const bool is_fresh = Blocks::is_fresh(block, now);
      const bool may_serve = Blocks::may_serve(block, *pool_);
      // With one block there is none to prefer.
      const bool telling = objects_->options().telling;
      const std::uint64_t leases = telling || blocks.size() > 1 ? leased_in(transaction, block) : 0;
      if (telling) {
        knowledge.looks.push_back({.place = "block " + block.cidr.to_string(),
                                   .value = describe(block, leases, now),
                                   .outcome = outcome_of(block, *pool_, is_fresh),
                                   .used = may_serve && is_fresh});
      }
      unverified = unverified || (may_serve && !is_fresh);
      if (may_serve && is_fresh) {
        candidates.push_back({.range = range_of(block, entry, *conf_), .leases = leases});
        offered_.push_back(block.cidr);
      }
    }
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const auto& a, const auto& b) { return a.leases > b.leases; });
    PoolRangeSet set{.family = family, .ranges = {}};
    for (Candidate& candidate : candidates) {
      set.ranges.push_back(std::move(candidate.range));
    }
    if (set.ranges.empty() && unverified) {
      knowledge.stale = blocks_due_;
      knowledge.answer = unverified_error(blocks, family);
      return knowledge;
    }
    if (set.ranges.empty() && pool_->paused) {
      knowledge.answer = paused(*pool_);
      return knowledge;
    }
    if (set.ranges.empty() && !offer.may_grow) {
      knowledge.answer = obstacle_in(view.node).value_or(not_known_yet());
      return knowledge;
    }
    offer.sets.push_back(std::move(set));
  }
  knowledge.stale = view.stale || blocks_due_;
  knowledge.answer = std::move(offer);
  return knowledge;
}

Error ClusterPoolSource::unverified_error(const std::vector<Block>& blocks, Family family) const {
  std::vector<std::string> names;
  std::string failure;
  for (const Block& block : blocks) {
    if (block.cidr.family() == family && block.state == State::kOwned) {
      names.push_back(block.cidr.to_string());
      failure = block.failure.empty() ? failure : block.failure;
    }
  }
  return Error(
      ErrorKind::kBusy,
      "block " + join(names, ", ") + " was not verified lately: another node may have it by now",
      (failure.empty() ? "the next ADD asks the Kubernetes API" : failure) +
          ". Pods that run keep their addresses");
}

void ClusterPoolSource::refresh(bool urgent) {
  objects_->refresh(urgent);
  if (!objects_->options().recording) {
    return;
  }
  {
    // The pool's reapGrace may be another by now.
    store::Store store = store::Store::open(objects_->options().store);
    store::Transaction transaction = store.begin();
    const store::Moment now = objects_->moment();
    const NodeObjects::View view = objects_->view(transaction, now);
    if (view.node.object) {
      owner_ = owner_of(*view.node.object);
    }
    const std::vector<Block> blocks = blocks_as_of(view, transaction);
    for (const Block& block : blocks) {
      if (store::BlockTable(transaction).find(block.network, block.cidr)->reap_grace !=
          block.reap_grace) {
        store::BlockTable(transaction).set(block);
      }
    }
    blocks_due_ = any_is_due(blocks, transaction, now);
    transaction.commit();
  }
  if (blocks_due_ && owner_) {
    blocks_->verify(*owner_, objects_->moment());
  }
}

void ClusterPoolSource::grow(const std::vector<Family>& families, const store::Moment& asked) {
  if (pool_ && pool_->paused) {
    throw paused(*pool_);
  }
  if (pool_ && owner_) {
    blocks_->claim({.network = conf_->essentials.name,
                    .pool = &*pool_,
                    .owner = &*owner_,
                    .families = families,
                    .exclude = conf_->exclude,
                    .known = offered_},
                   asked);
  }
}

bool ClusterPoolSource::explored(store::Transaction& transaction) {
  bool news = false;
  for (const Block& block : unexplored_) {
    std::optional<Block> there = store::BlockTable(transaction).find(block.network, block.cidr);
    if (there && there->unexplored && there->claim_id == block.claim_id) {
      there->unexplored = false;
      store::BlockTable(transaction).set(*there);
      news = true;
    }
  }
  return news;
}

void ClusterPoolSource::keep() {
  if (pool_ && owner_) {
    blocks_->find_forgotten({.network = conf_->essentials.name,
                             .pool = &*pool_,
                             .owner = &*owner_,
                             .families = {},
                             .exclude = {},
                             .known = {}});
  }
  tidy();
}

void ClusterPoolSource::tidy() {
  if (untidy_) {
    blocks_->give_back({{conf_->essentials.name, {.pool = &*pool_, .cooldown = conf_->cooldown}}});
  }
}

}  // namespace podlease::pools
