#include "podlease/pools/blocks.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <set>
#include <type_traits>
#include <utility>

#include "podlease/base/duration.h"
#include "podlease/base/text.h"
#include "podlease/pools/node_objects.h"
#include "podlease/store/address_table.h"
#include "podlease/store/block_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/registry.h"
#include "podlease/store/transaction.h"
#include "turn.h"

namespace podlease::pools {
namespace {

using kube::ApiError;
using kube::PodBlock;
using net::Family;
using net::Prefix;
using net::Uint128;
using store::Block;
using store::Moment;
using store::Store;
using store::Transaction;
using Cause = ApiError::Cause;
using State = Block::State;

// Before an empty block is given back.
constexpr Milliseconds kMinimumAge = std::chrono::minutes(5);
// What the one who asks takes beside the time that asking may take.
constexpr Milliseconds kSlack{1'000};
// So often another node may come first before the list is read anew.
constexpr int kMostConflicts = 8;

class ApiBlocks final : public BlockApi {
 public:
  ApiBlocks(const config::KubernetesConf& conf, const std::filesystem::path& credentials,
            ApiBudget& budget)
      : part_(budget), client_(connect(conf, credentials, part_)) {}

  std::vector<kube::BlockBrief> list(bool may_be_old) override {
    return client_.block_briefs(may_be_old);
  }
  std::optional<kube::PodPool> pool(const std::string& name) override {
    return client_.pod_pool(name);
  }
  std::optional<PodBlock> get(const std::string& name) override { return client_.pod_block(name); }
  std::optional<PodBlock> create(const PodBlock& block) override { return client_.create(block); }
  std::optional<PodBlock> write_status(const PodBlock& block) override {
    return client_.write_status(block);
  }
  void remove(const PodBlock& block) override { client_.remove(block); }
  void let_go(const PodBlock& block) override { client_.let_go(block); }

 private:
  ApiBudget::Part part_;
  kube::Client client_;
};

// Nobody answers, so nobody will for the next block.
bool is_silent(Cause cause) {
  return cause == Cause::kUnreachable || cause == Cause::kTimeout || cause == Cause::kServerTls ||
         cause == Cause::kIdentity || cause == Cause::kUnauthorized;
}

// A claim says of which network of a node it is.
std::string claim_prefix(const std::string& network) {
  return network + "/";
}

std::string hex(Uint128 number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr int kLength = 16;
  std::string text(kLength, '0');
  for (auto digit = text.rbegin(); digit != text.rend(); ++digit) {
    *digit = kDigits[static_cast<std::size_t>(number & 0xfU)];
    number >>= 4U;
  }
  return text;
}

// The address `offset` places into the set.
net::Address nth(const net::IntervalSet& set, Uint128 offset) {
  for (const net::Range& range : set.ranges()) {
    if (offset < range.size()) {
      return net::Address::from_bits(range.family(), range.first().bits() + offset);
    }
    offset -= range.size();
  }
  return set.ranges().back().last();
}

// What the pool has to say when nothing of it is left.
Error full(const Pool& pool, Family family, const std::vector<kube::BlockBrief>& briefs,
           const net::IntervalSet& exclude) {
  std::set<std::string> nodes;
  std::size_t blocks = 0;
  const kube::BlockBrief* emptiest = nullptr;
  const auto used = [](const kube::BlockBrief& brief) {
    return std::pair(brief.used.size(), brief.used);  // decimal numbers, by their length first
  };
  for (const kube::BlockBrief& brief : briefs) {
    const std::optional<Prefix> cidr = cidr_of_block(brief.name);
    if (!cidr || cidr->family() != family || pool.cidr_of(*cidr) == nullptr) {
      continue;
    }
    ++blocks;
    nodes.insert(brief.node);
    if (emptiest == nullptr || used(brief) < used(*emptiest)) {
      emptiest = &brief;
    }
  }
  const std::string what = "PodPool " + pool.name + " has no free " + std::string(name(family)) +
                           " block: no IP addresses available in range set of this node";
  const std::string next = "podlease pool add " + pool.name +
                           " --cidr CIDR makes room, podlease blocks shows who has what";
  if (blocks == 0 || pool.claimable(family, exclude).empty()) {
    return Error(ErrorKind::kExhausted, what,
                 "all its CIDRs of that family are Draining, reserved or excluded. " + next +
                     ", podlease pool activate ends a drain");
  }
  return Error(ErrorKind::kExhausted, what,
               std::to_string(blocks) + " blocks are used by " + std::to_string(nodes.size()) +
                   " nodes; the emptiest is " + emptiest->name + " of " + emptiest->node +
                   " with " + emptiest->used + " addresses used, as far as is known. " + next);
}

Error paused(const std::string& pool) {
  return Error(ErrorKind::kBusy, "PodPool " + pool + " is paused");
}

Moment never() {
  return {};
}

// The time since a block was verified; of another boot, nobody knows.
Milliseconds unverified_for(const Block& block, const Moment& now) {
  if (block.verified.boot_id.empty() || block.verified.boot_id != now.boot_id) {
    return Milliseconds::max();
  }
  // Either clock may have stood still: one in a machine that was suspended by its host, the other
  // where it was set back.
  const auto by_wall =
      std::chrono::duration_cast<Milliseconds>(now.at.wall - block.verified.at.wall);
  return std::max(by_wall, now.at.since_boot - block.verified.at.since_boot);
}

}  // namespace

ConnectBlocks connect_blocks(config::KubernetesConf conf, std::filesystem::path credentials,
                             ApiBudget& budget) {
  return [conf = std::move(conf), credentials = std::move(credentials),
          &budget]() -> std::unique_ptr<BlockApi> {
    return std::make_unique<ApiBlocks>(conf, credentials, budget);
  };
}

Uint128 random_below(Uint128 limit) {
  std::array<unsigned char, sizeof(Uint128)> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error(ErrorKind::kIo, "the kernel gives no random numbers");
  }
  Uint128 number = 0;
  for (const unsigned char byte : bytes) {
    number = number << 8U | byte;
  }
  return number % limit;  // the bias is as small as a pool is, seen against 2^128
}

bool Blocks::is_fresh(const Block& block, const Moment& now) {
  return unverified_for(block, now) < block.reap_grace / 2;
}

bool Blocks::is_due(const Block& block, const Moment& now) {
  return unverified_for(block, now) >= block.reap_grace / 4;
}

bool Blocks::may_ask(const Block& block, const Moment& now, Milliseconds refresh) {
  return block.failure.empty() || block.attempted.boot_id != now.boot_id ||
         store::elapsed(block.attempted, now) >= refresh;
}

std::vector<Block> Blocks::spare(Transaction& transaction, const std::vector<Block>& blocks,
                                 const Network& network, const Moment& now) {
  constexpr Uint128 kNeverLeased = 3;  // of a block: network, gateway, broadcast
  if (blocks.size() == 1 && network.pool != nullptr && may_serve(blocks.front(), *network.pool)) {
    return {};  // one always stays
  }
  const std::optional<store::Network> known =
      blocks.empty() ? std::nullopt : store::NetworkTable(transaction).find(blocks.front().network);
  const auto is_at_rest = [&](const Block& block) {
    return !known || store::AddressTable(transaction)
                         .is_at_rest(*known, block.cidr.range(), network.cooldown, now);
  };
  std::vector<Block> spare;
  std::vector<Block> empty;
  std::set<Family> with_room;  // has a block to lease from that stays
  for (const Block& block : blocks) {
    if (block.state != State::kOwned || block.unexplored) {
      continue;
    }
    const bool serves = network.pool != nullptr && may_serve(block, *network.pool);
    const std::uint64_t leases =
        known ? store::LeaseTable(transaction).count_in(*known, block.cidr.range()) : 0;
    if (leases > 0) {
      if (serves && block.cidr.range().size() > leases + kNeverLeased) {
        with_room.insert(block.cidr.family());
      }
    } else if (serves) {
      empty.push_back(block);
    } else if (is_at_rest(block)) {
      spare.push_back(block);
    }
  }
  for (const Block& block : empty) {
    // One of them stays where there is no other to lease from.
    if (!with_room.insert(block.cidr.family()).second &&
        store::elapsed(block.claimed, now) >= kMinimumAge && is_at_rest(block)) {
      spare.push_back(block);
    }
  }
  return spare;
}

bool Blocks::any_to_give_back(Transaction& transaction, const std::vector<Block>& blocks,
                              const Network& network, const Moment& now, Milliseconds refresh) {
  const std::vector<Block> found = spare(transaction, blocks, network, now);
  return std::any_of(found.begin(), found.end(),
                     [&](const Block& block) { return may_ask(block, now, refresh); });
}

bool Blocks::may_serve(const Block& block, const Pool& pool) {
  return block.state == State::kOwned && block.pool == pool.name && !block.ending &&
         pool.is_active(block.cidr);
}

// What one call does with blocks: it asks the API, and has the store open in between only.
class Blocks::Call {
 public:
  explicit Call(const Blocks& blocks) : blocks_(&blocks) {}

  // Claims.

  // Goes on with claims whose fate is not known. Throws if the API cannot tell.
  void resume(const Owner& owner) {
    for (const Block& block : all_blocks()) {
      if (block.state != State::kClaiming) {
        continue;
      }
      try {
        static_cast<void>(send(block, owner, true));
      } catch (const ApiError& error) {
        if (!kube::is_certainly_refused(error.cause())) {
          throw;
        }
        log(LogLevel::kWarning, error.what());
      }
    }
  }

  // Reports whether there is a block that whoever wants one did not know of: another process of
  // this node has got it meanwhile.
  [[nodiscard]] bool is_served(const Claim& wanted, Family family) const {
    const std::vector<Block> blocks = all_blocks();
    return std::any_of(blocks.begin(), blocks.end(), [&](const Block& block) {
      return block.network == wanted.network && block.cidr.family() == family &&
             may_serve(block, *wanted.pool) && is_fresh(block, moment()) &&
             std::find(wanted.known.begin(), wanted.known.end(), block.cidr) == wanted.known.end();
    });
  }

  void claim(const Claim& wanted, Family family) {
    const std::string& network = wanted.network;
    const Pool& pool = *wanted.pool;
    const Owner& owner = *wanted.owner;
    std::vector<kube::BlockBrief> briefs;
    net::IntervalSet free;
    for (const bool may_be_old : {true, false}) {
      briefs = api().list(may_be_old);
      const std::set<Family> adopted = adopt(wanted, briefs);
      if (adopted.contains(family)) {
        return;
      }
      free = pool.claimable(family, wanted.exclude);
      free.erase(taken(briefs, family, pool.block_length(family)));
      for (int conflicts = 0; conflicts < kMostConflicts && !free.empty(); ++conflicts) {
        const Block block = chosen(network, pool, free, family);
        set(block);
        if (send(block, owner, false)) {
          return;
        }
        free.erase(block.cidr.range());
      }
    }
    if (!free.empty()) {
      throw Error(
          ErrorKind::kBusy,
          "other nodes came first " + std::to_string(2 * kMostConflicts) + " times",
          "PodPool " + pool.name + " is almost full, or many nodes claim at once: try again");
    }
    tell_own_use(briefs);
    const Error error = full(pool, family, briefs, wanted.exclude);
    throw unreadable_
        ? Error(error.kind(), error.what(),
                error.details() + ". " + unreadable_->what() + "; " + unreadable_->details())
        : error;
  }

  // Finds what no store of this node knows any more, and what the cluster does not know any more.
  void find_forgotten(const Claim& wanted) {
    const std::vector<kube::BlockBrief> briefs = api().list(false);
    static_cast<void>(adopt(wanted, briefs));
    for (const Block& block : all_blocks()) {
      const std::string name = block_name(block.cidr);
      if (block.state == State::kOwned &&
          std::none_of(briefs.begin(), briefs.end(), [&](const kube::BlockBrief& brief) {
            return brief.name == name && brief.node == wanted.owner->node_name;
          })) {
        verify_one(block, *wanted.owner);
      }
    }
    if (unreadable_) {
      throw Error(*unreadable_);
    }
  }

  // Keeping.

  void verify(const Owner& owner, Milliseconds refresh) {
    std::vector<Block> blocks = all_blocks();
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const Moment now = moment();
      if (!needs_word(blocks[i], now) || !may_ask(blocks[i], now, refresh)) {
        continue;
      }
      try {
        go_on_with(blocks[i], owner);
      } catch (const Error& error) {
        const auto* const api_error = dynamic_cast<const ApiError*>(&error);
        const bool stop = api_error == nullptr || is_silent(api_error->cause());
        for (std::size_t k = i; k < (stop ? blocks.size() : i + 1); ++k) {
          if (blocks[k].state != State::kLost) {  // that one says whose it is
            note_failure(blocks[k], error);
          }
        }
        if (stop) {
          return;
        }
      }
    }
  }

  // Giving back.

  std::vector<Block> give_back(const Networks& networks, Milliseconds refresh) {
    const Moment now = moment();
    std::vector<Block> spare;
    in_store([&](Transaction& transaction) {
      for (const auto& [name, network] : networks) {
        const std::vector<Block> more =
            Blocks::spare(transaction, store::BlockTable(transaction).of(name), network, now);
        spare.insert(spare.end(), more.begin(), more.end());
      }
    });
    std::vector<Block> given;
    for (const Block& block : spare) {
      const Network& network = networks.at(block.network);
      if (!may_ask(block, now, refresh)) {
        continue;
      }
      try {
        const bool is_known = network.pool != nullptr && network.pool->name == block.pool;
        if (is_known ? network.pool->paused : is_paused(block.pool)) {
          throw paused(block.pool);
        }
        if (release(block, network.cooldown)) {
          given.push_back(block);
        }
      } catch (const Error& error) {
        note_failure(block, error);
      }
    }
    return given;
  }

  std::vector<Block> leave(const Owner& owner, bool even_in_use,
                           const std::set<std::string>& paused_pools) {
    resume(owner);
    std::vector<Block> given;
    for (const Block& block : all_blocks()) {
      if (block.state == State::kClaiming || (block.unexplored && !even_in_use)) {
        continue;
      }
      if (paused_pools.contains(block.pool)) {
        note_failure(block, paused(block.pool));
      } else if (begin_release(block, even_in_use)) {
        finish_release(block);
        given.push_back(block);
      }
    }
    return given;
  }

  // Reports whether nothing of the pool may be given back now. Asks once.
  bool is_paused(const std::string& pool) {
    const auto known = paused_.find(pool);
    if (known != paused_.end()) {
      return known->second;
    }
    const std::optional<kube::PodPool> object = api().pool(pool);
    return paused_.emplace(pool, object && object->paused).first->second;
  }

 private:
  // The outside.

  BlockApi& api() {
    if (!api_) {
      api_ = blocks_->options_.connect();
    }
    return *api_;
  }

  [[nodiscard]] Moment moment() const {
    return {.at = blocks_->clock_->now(), .boot_id = blocks_->options_.boot_id()};
  }

  void log(LogLevel level, const std::string& message) const {
    blocks_->log_->write(level, "blocks: " + message);
  }

  // One transaction of the store, committed if `work` returns.
  template <typename Work>
  // NOLINTNEXTLINE(modernize-use-nodiscard): most work has no result
  std::invoke_result_t<Work, Transaction&> in_store(const Work& work) const {
    Store store = Store::open(blocks_->options_.store);
    Transaction transaction = store.begin();
    if constexpr (std::is_void_v<decltype(work(transaction))>) {
      work(transaction);
      transaction.commit();
    } else {
      auto result = work(transaction);
      transaction.commit();
      return result;
    }
  }

  [[nodiscard]] std::vector<Block> all_blocks() const {
    return in_store([](Transaction& transaction) { return store::BlockTable(transaction).all(); });
  }

  void set(const Block& block) const {
    in_store([&](Transaction& transaction) { store::BlockTable(transaction).set(block); });
  }

  void forget(const Block& block) const {
    in_store([&](Transaction& transaction) { store::BlockTable(transaction).forget(block); });
  }

  // An ADD may have leased from it since it was last looked at.
  [[nodiscard]] bool forget_if_empty(const Block& block) const {
    return in_store([&](Transaction& transaction) {
      const bool is_empty = leased_in(transaction, block) == 0;
      if (is_empty) {
        store::BlockTable(transaction).forget(block);
      }
      return is_empty;
    });
  }

  // Likewise. Nothing is leased from it once it is said to be going.
  [[nodiscard]] bool begin_release(const Block& block, bool even_in_use) const {
    return in_store([&](Transaction& transaction) {
      std::optional<Block> there = store::BlockTable(transaction).find(block.network, block.cidr);
      if (!there || (leased_in(transaction, block) > 0 && !even_in_use)) {
        return false;
      }
      there->state = State::kReleasing;
      store::BlockTable(transaction).set(*there);
      return true;
    });
  }

  [[nodiscard]] static std::uint64_t leased_in(Transaction& transaction, const Block& block) {
    const std::optional<store::Network> network =
        store::NetworkTable(transaction).find(block.network);
    return network ? store::LeaseTable(transaction).count_in(*network, block.cidr.range()) : 0;
  }

  [[nodiscard]] std::uint64_t leased_in(const Block& block) const {
    return in_store([&](Transaction& transaction) { return leased_in(transaction, block); });
  }

  // Another process may have gone on with the block meanwhile.
  void note_failure(const Block& block, const Error& error) const {
    log(LogLevel::kWarning, error.what());
    in_store([&](Transaction& transaction) {
      if (std::optional<Block> there =
              store::BlockTable(transaction).find(block.network, block.cidr)) {
        there->attempted = moment();
        there->failure = error.what();
        store::BlockTable(transaction).set(*there);
      }
    });
  }

  // Claims.

  [[nodiscard]] Block chosen(const std::string& network, const Pool& pool,
                             const net::IntervalSet& free, Family family) const {
    const auto& random = blocks_->options_.random_below;
    const int length = pool.block_length(family);
    const Uint128 size = Uint128{1} << (net::bit_width(family) - length);
    const Uint128 index = random(free.size() / size);
    const Prefix cidr = *Prefix::make(nth(free, index * size), length);
    return {.network = network,
            .cidr = cidr,
            .pool = pool.name,
            .state = State::kClaiming,
            .claim_id = new_claim_id(network),
            .uid = {},
            // Pods of a store that was lost may have outlived their block too.
            .unexplored = true,
            .reap_grace = pool.reap_grace,
            .claimed = moment(),
            .verified = never(),
            .attempted = never(),
            .failure = {}};
  }

  [[nodiscard]] std::string new_claim_id(const std::string& network) const {
    return claim_prefix(network) + hex(blocks_->options_.random_below(~Uint128{0}));
  }

  // In whole blocks of that length, also where there are smaller ones.
  [[nodiscard]] net::IntervalSet taken(const std::vector<kube::BlockBrief>& briefs, Family family,
                                       int block_length) const {
    std::vector<net::Range> ranges;
    ranges.reserve(briefs.size());
    const auto add = [&](const Prefix& cidr) {
      if (cidr.family() == family) {
        const int length = std::min(cidr.length(), block_length);
        ranges.push_back(Prefix::make(cidr.address(), length)->range());
      }
    };
    for (const kube::BlockBrief& brief : briefs) {
      if (const std::optional<Prefix> cidr = cidr_of_block(brief.name)) {
        add(*cidr);
      }
    }
    for (const Block& block : all_blocks()) {
      add(block.cidr);
    }
    return net::IntervalSet(std::move(ranges));
  }

  // Sends a claim until the server has said whose the block is. Returns whether it is ours. `sent`:
  // it may have been before.
  bool send(const Block& block, const Owner& owner, bool sent) {
    constexpr int kMostTries = 3;
    const PodBlock object{.name = block_name(block.cidr),
                          .finalizers = {std::string(kube::kInUse)},
                          .cidr = block.cidr.to_string(),
                          .pool = block.pool,
                          .node_name = owner.node_name,
                          .node_uid = owner.node_uid,
                          .machine_id = owner.machine_id,
                          .claim_id = block.claim_id,
                          .node_ips = owner.node_ips,
                          .used = static_cast<std::int64_t>(sent ? leased_in(block) : 0),
                          .verified_at = to_rfc3339(moment().at.wall)};
    for (int tries = 0; tries < kMostTries; ++tries) {
      const Moment asked = moment();
      std::optional<PodBlock> there;
      try {
        there = api().create(object);
        if (!there) {
          sent = true;
          there = api().get(object.name);
        }
      } catch (const ApiError& error) {
        if (!sent && kube::is_certainly_refused(error.cause())) {
          forget(block);
        } else {
          note_failure(block, error);
        }
        throw;
      }
      if (there) {
        return settle(block, *there, owner, asked);
      }
      // It went away between the two answers.
    }
    throw Error(ErrorKind::kBusy, "PodBlock " + object.name + " comes and goes",
                "try again; podlease blocks shows who has what");
  }

  // A copy of this machine, with its store, knows the claim too, but is another node.
  [[nodiscard]] static bool is_ours(const PodBlock& there, const Block& block, const Owner& owner) {
    return there.claim_id == block.claim_id && there.node_name == owner.node_name;
  }

  // Takes note of whose the block is. Returns whether it is ours.
  // NOLINTNEXTLINE(modernize-use-nodiscard): that it is noted may be all that is wanted
  bool settle(Block block, const PodBlock& there, const Owner& owner, const Moment& asked) const {
    if (!is_ours(there, block, owner)) {
      if (!is_forgotten(there, block.network, owner)) {
        lose(block, there);
        return false;
      }
      block.claim_id = there.claim_id;
      block.unexplored = true;
    }
    own(block, there, asked);
    return true;
  }

  // As of when it was asked for: the answer may have taken long.
  void own(Block block, const PodBlock& object, const Moment& asked) const {
    block.state = State::kOwned;
    block.uid = object.uid;
    block.ending = object.is_ending();
    block.verified = asked;
    block.attempted = asked;
    block.failure.clear();
    set(block);
    log(LogLevel::kInfo,
        "network " + block.network + " has " + block.cidr.to_string() + " of " + block.pool);
  }

  // The block is another's. Nobody's addresses are taken away for that; but no more are given.
  void lose(Block block, const PodBlock& theirs) const {
    const std::string whose = "PodBlock " + theirs.name + " is node " + theirs.node_name + "'s";
    block.state = State::kLost;
    block.failure = whose;
    block.attempted = moment();
    const std::uint64_t leases = in_store([&](Transaction& transaction) {
      const std::uint64_t count = leased_in(transaction, block);
      if (count == 0) {
        store::BlockTable(transaction).forget(block);
      } else {
        store::BlockTable(transaction).set(block);
      }
      return count;
    });
    if (leases > 0) {
      log(LogLevel::kError, whose + " now, and " + std::to_string(leases) +
                                " addresses of it are leased here: podlease list shows whose they "
                                "are");
    }
  }

  // Of this node's blocks the list says what was true when they were verified last.
  void tell_own_use(std::vector<kube::BlockBrief>& briefs) const {
    in_store([&](Transaction& transaction) {
      for (const Block& block : store::BlockTable(transaction).all()) {
        for (kube::BlockBrief& brief : briefs) {
          if (brief.name == block_name(block.cidr)) {
            brief.used = std::to_string(leased_in(transaction, block));
          }
        }
      }
    });
  }

  // Blocks of this node that no store of it knows any more. Returns of which families there are
  // some to lease from.
  std::set<Family> adopt(const Claim& wanted, const std::vector<kube::BlockBrief>& briefs) {
    const std::string& network = wanted.network;
    const Pool& pool = *wanted.pool;
    const Owner& owner = *wanted.owner;
    std::optional<net::IntervalSet> known;
    std::set<Family> found;
    for (const kube::BlockBrief& brief : briefs) {
      const std::optional<Prefix> cidr = cidr_of_block(brief.name);
      if (!cidr || brief.node != owner.node_name) {
        continue;
      }
      if (!known) {
        known = known_here();
      }
      if (known->overlaps(cidr->range())) {
        continue;
      }
      const Moment asked = moment();
      const std::optional<PodBlock> there = api().get(brief.name);
      try {
        if (!there || !is_forgotten(*there, network, owner)) {
          continue;
        }
      } catch (const Error& error) {
        log(LogLevel::kError, std::string(error.what()) + "; " + error.details());
        unreadable_ = error;
        return found;
      }
      Block block{.network = network,
                  .cidr = *cidr,
                  .pool = there->pool,
                  .state = State::kOwned,
                  .claim_id = there->claim_id,
                  .uid = there->uid,
                  .ending = there->is_ending(),
                  .unexplored = true,
                  .reap_grace = pool.reap_grace,
                  .claimed = asked,
                  .verified = asked,
                  .attempted = asked,
                  .failure = {}};
      set(block);
      log(LogLevel::kWarning, "network " + network + " had " + block.cidr.to_string() +
                                  " before its store was lost: adopted");
      if (!block.ending && block.pool == pool.name && pool.is_active(*cidr)) {
        found.insert(cidr->family());
      }
    }
    return found;
  }

  // A claim of this network of this very machine, and of none of its other stores. Throws if one of
  // those cannot be read.
  [[nodiscard]] bool is_forgotten(const PodBlock& block, const std::string& network,
                                  const Owner& owner) const {
    const std::optional<Prefix> cidr = Prefix::parse(block.cidr);
    return block.node_name == owner.node_name && !owner.machine_id.empty() &&
           block.machine_id == owner.machine_id &&
           block.claim_id.starts_with(claim_prefix(network)) && cidr &&
           !net::IntervalSet(known_elsewhere()).overlaps(cidr->range());
  }

  // What this store has.
  [[nodiscard]] net::IntervalSet known_here() const {
    std::vector<net::Range> ranges;
    for (const Block& block : all_blocks()) {
      if (block.state != State::kLost) {
        ranges.push_back(block.cidr.range());
      }
    }
    return net::IntervalSet(std::move(ranges));
  }

  // What other stores of this node have.
  [[nodiscard]] std::vector<net::Range> known_elsewhere() const {
    std::vector<net::Range> ranges;
    Store::Options options = blocks_->options_.store;
    for (const std::filesystem::path& folder : store::Registry(options.registry).folders()) {
      if (folder == blocks_->options_.store.folder) {
        continue;
      }
      options.folder = folder;
      try {
        Store store = Store::open_existing_or_empty(options);
        for (const Block& block : store::BlockTable(store.begin()).all()) {
          ranges.push_back(block.cidr.range());
        }
      } catch (const Error& error) {
        throw Error(error.kind(),
                    "store " + folder.string() + " of this node cannot be read: " + error.what(),
                    "its blocks are not known, so no block that this node has forgotten is adopted "
                    "before it can be: mend it, or remove the folder if nothing uses it any more");
      }
    }
    return ranges;
  }

  // Keeping.

  [[nodiscard]] static bool needs_word(const Block& block, const Moment& now) {
    return block.state != State::kOwned || is_due(block, now);
  }

  void go_on_with(const Block& block, const Owner& owner) {
    switch (block.state) {
      case State::kClaiming:
        static_cast<void>(send(block, owner, true));
        return;
      case State::kOwned:
        verify_one(block, owner);
        return;
      case State::kReleasing:
        finish_release(block);
        return;
      case State::kLost:
        static_cast<void>(forget_if_empty(block));
        return;
    }
  }

  void verify_one(Block block, const Owner& owner) {
    const Moment asked = moment();
    const PodBlock report{.name = block_name(block.cidr),
                          .uid = block.uid,
                          .node_ips = owner.node_ips,
                          .used = static_cast<std::int64_t>(leased_in(block)),
                          .verified_at = to_rfc3339(asked.at.wall)};
    std::optional<PodBlock> there;
    try {
      there = api().write_status(report);
    } catch (const ApiError& error) {
      if (is_silent(error.cause())) {
        throw;
      }
      log(LogLevel::kWarning, error.what());  // but to read it may do
    }
    if (!there) {
      there = api().get(report.name);
    }
    if (!there) {
      if (forget_if_empty(block)) {
        return;
      }
      log(LogLevel::kError, "PodBlock " + report.name +
                                " is gone, and addresses of it are leased here: claimed anew");
      block.state = State::kClaiming;
      block.claim_id = new_claim_id(block.network);
      block.uid.clear();
      set(block);
      static_cast<void>(send(block, owner, true));
      return;
    }
    settle(block, *there, owner, asked);
  }

  // Giving back.

  // Nothing is leased from it once it is said to be going. Returns whether it went.
  bool release(const Block& block, Milliseconds cooldown) {
    const Moment now = moment();
    const bool begun = in_store([&](Transaction& transaction) {
      std::optional<Block> there = store::BlockTable(transaction).find(block.network, block.cidr);
      const std::optional<store::Network> network =
          store::NetworkTable(transaction).find(block.network);
      if (!there || there->state != State::kOwned ||
          (network && !store::AddressTable(transaction)
                           .is_at_rest(*network, block.cidr.range(), cooldown, now))) {
        return false;
      }
      there->state = State::kReleasing;
      store::BlockTable(transaction).set(*there);
      return true;
    });
    if (begun) {
      finish_release(block);
    }
    return begun;
  }

  void finish_release(const Block& block) {
    const PodBlock object{.name = block_name(block.cidr), .uid = block.uid};
    if (!block.uid.empty()) {
      api().remove(object);
      api().let_go(object);
    }
    forget(block);
    log(LogLevel::kInfo,
        "network " + block.network + " gave back " + block.cidr.to_string() + " of " + block.pool);
  }

  const Blocks* blocks_;
  std::unique_ptr<BlockApi> api_;
  std::map<std::string, bool> paused_;
  std::optional<Error> unreadable_;  // why nothing was adopted
};

Blocks::Blocks(Options options, const Clock& clock, const Log& log)
    : options_(std::move(options)), clock_(&clock), log_(&log) {}

std::optional<Outcome> Blocks::in_turn(const std::string& work, const Moment& asked,
                                       const std::function<void()>& action) {
  return take_turn({.lock = options_.store.folder / "claim.lock",
                    .work = work,
                    .patience = options_.timeout + kSlack,
                    .asked = asked,
                    .now =
                        [this] {
                          return Moment{clock_->now(), options_.boot_id()};
                        }},
                   [&]() -> std::optional<Error> {
                     try {
                       action();
                       return std::nullopt;
                     } catch (const Error& error) {
                       return error;
                     }
                   });
}

void Blocks::claim(const Claim& claim, const Moment& asked) {
  if (claim.owner->machine_id.empty()) {
    throw Error(ErrorKind::kConfig,
                "Node " + claim.owner->node_name + " reports no status.nodeInfo.machineID",
                "a block is claimed for a machine: give this one an /etc/machine-id "
                "(systemd-machine-id-setup) and restart the kubelet");
  }
  std::string work = "claim " + claim.network + " " + claim.pool->name;
  for (const Family family : claim.families) {
    work.append(" ").append(name(family));
  }
  const std::optional<Outcome> outcome = in_turn(work, asked, [&] {
    Call call(*this);
    call.resume(*claim.owner);
    for (const Family family : claim.families) {
      if (!call.is_served(claim, family)) {
        call.claim(claim, family);
      }
    }
  });
  if (!outcome) {
    throw Error(ErrorKind::kBusy, "another process claims a block of PodPool " + claim.pool->name,
                "it has not come back with an answer: try again");
  }
  if (outcome->failure && outcome->failure->kind() != ErrorKind::kExhausted) {
    throw Error(outcome->failure->kind(),
                "no address is free in this node's blocks of PodPool " + claim.pool->name +
                    ", and none can be claimed: " + outcome->failure->what(),
                outcome->failure->details());
  }
  if (outcome->failure) {
    throw Error(*outcome->failure);
  }
}

void Blocks::find_forgotten(const Claim& claim) {
  const std::optional<Outcome> outcome = in_turn(
      "find forgotten " + claim.network, {.at = clock_->now(), .boot_id = options_.boot_id()},
      [&] { Call(*this).find_forgotten(claim); });
  if (outcome && outcome->failure) {
    throw Error(*outcome->failure);
  }
}

void Blocks::verify(const Owner& owner, const Moment& asked) {
  log_failure(in_turn("verify", asked, [&] { Call(*this).verify(owner, options_.refresh); }));
}

void Blocks::log_failure(const std::optional<Outcome>& outcome) const {
  if (outcome && outcome->failure) {
    log_->write(LogLevel::kWarning, std::string("blocks: ") + outcome->failure->what());
  }
}

std::vector<Block> Blocks::give_back(const Networks& networks) {
  std::vector<Block> given;
  log_failure(in_turn("give back", {.at = clock_->now(), .boot_id = options_.boot_id()},
                      [&] { given = Call(*this).give_back(networks, options_.refresh); }));
  return given;
}

std::vector<Block> Blocks::leave(const Owner& owner, bool even_in_use,
                                 const std::set<std::string>& paused) {
  std::vector<Block> given;
  const std::optional<Outcome> outcome =
      in_turn("leave", {.at = clock_->now(), .boot_id = options_.boot_id()},
              [&] { given = Call(*this).leave(owner, even_in_use, paused); });
  if (outcome && outcome->failure) {
    throw Error(*outcome->failure);
  }
  return given;
}

bool Blocks::is_paused(const std::string& pool) const {
  return Call(*this).is_paused(pool);
}

}  // namespace podlease::pools
