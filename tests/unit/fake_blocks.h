#ifndef PODLEASE_TESTS_UNIT_FAKE_BLOCKS_H_
#define PODLEASE_TESTS_UNIT_FAKE_BLOCKS_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fakes.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/kube/client.h"
#include "podlease/pools/blocks.h"
#include "podlease/pools/cluster_pool_source.h"
#include "podlease/pools/node_objects.h"
#include "podlease/store/block_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"

// An API server that holds PodBlocks and may fail in every way, and machines that ask it. Their
// stores are real.
namespace podlease::fakes {

using kube::ApiError;

// kill -9: no part of podlease catches it.
struct Killed {};

// What becomes of a request.
struct Fault {
  enum class Kind {
    kNone,
    kRefused,     // not carried out, and said so
    kLost,        // never arrives
    kAnswerLost,  // carried out
    kLate,        // carried out when `deliver` is called
  };
  Kind kind = Kind::kNone;
  ApiError::Cause cause = ApiError::Cause::kTimeout;
};

class FakeServer {
 public:
  // Carried out without faults, as an administrator would.

  std::optional<kube::PodBlock> create(kube::PodBlock block) {
    if (blocks.contains(block.name)) {
      return std::nullopt;
    }
    block.uid = "uid-" + std::to_string(++last_uid_);
    block.resource_version = std::to_string(++last_version_);
    return blocks.emplace(block.name, block).first->second;
  }
  std::optional<kube::PodBlock> write_status(const kube::PodBlock& block) {
    kube::PodBlock* const there = find(block);
    if (there == nullptr) {
      return std::nullopt;
    }
    there->node_ips = block.node_ips;
    there->used = block.used;
    there->verified_at = block.verified_at;
    there->resource_version = std::to_string(++last_version_);
    return *there;
  }
  void remove(const kube::PodBlock& block) {
    kube::PodBlock* const there = find(block);
    if (there != nullptr) {
      if (there->finalizers.empty()) {
        blocks.erase(block.name);
      } else {
        there->deleted = "2026-11-23T00:00:00Z";
      }
    }
  }
  void let_go(const kube::PodBlock& block) {
    kube::PodBlock* const there = find(block);
    if (there != nullptr) {
      there->finalizers.clear();
      if (there->is_ending()) {
        blocks.erase(block.name);
      }
    }
  }
  // kubectl delete, which waits for the finalizer.
  void remove(const std::string& name) { remove(blocks.at(name)); }
  void remove_by_force(const std::string& name) { blocks.erase(name); }
  // Another node's.
  void put(const std::string& cidr, const std::string& node, const std::string& claim_id = "x",
           std::int64_t used = 0) {
    create({.name = pools::block_name(prefix(cidr)),
            .finalizers = {std::string(kube::kInUse)},
            .cidr = cidr,
            .pool = "default",
            .node_name = node,
            .node_uid = node + "-uid",
            .machine_id = node + "-machine",
            .claim_id = claim_id,
            .used = used});
  }

  [[nodiscard]] std::vector<kube::BlockBrief> list() const {
    std::vector<kube::BlockBrief> briefs;
    for (const auto& [name, block] : blocks) {
      briefs.push_back({.name = name,
                        .pool = block.pool,
                        .node = block.node_name,
                        .used = std::to_string(block.used)});
    }
    return briefs;
  }
  // What a list that may be old says from now on.
  void grow_old() { old_list_ = list(); }
  [[nodiscard]] std::vector<kube::BlockBrief> old_list() const {
    return old_list_ ? *old_list_ : list();
  }

  // Requests that were thought lost arrive.
  void deliver() {
    std::deque<std::function<void()>> late;
    late.swap(late_);
    for (const std::function<void()>& request : late) {
      request();
    }
  }
  void drop_late() { late_.clear(); }
  [[nodiscard]] std::size_t late() const { return late_.size(); }

  // The next requests of that verb end so.
  void fail(const std::string& verb, const std::vector<Fault>& faults) {
    for (const Fault& fault : faults) {
      script_[verb].push_back(fault);
    }
  }
  void fail(const std::string& verb, ApiError::Cause cause, std::size_t times = 1) {
    fail(verb, std::vector<Fault>(times, {.kind = Fault::Kind::kRefused, .cause = cause}));
  }
  void fail(const std::string& verb, Fault::Kind kind, std::size_t times = 1) {
    fail(verb, std::vector<Fault>(times, {.kind = kind}));
  }
  // All of them, until `work_again`.
  void break_down(ApiError::Cause cause = ApiError::Cause::kUnreachable) {
    broken_ = Fault{.kind = Fault::Kind::kLost, .cause = cause};
  }
  void work_again() {
    broken_.reset();
    script_.clear();
  }

  // One request of a machine.
  template <typename Work>
  std::invoke_result_t<Work> serve(const std::string& verb, const std::string& name,
                                   const Work& work) {
    requests.push_back(verb + (name.empty() ? "" : " ") + name);
    if (on_request) {
      on_request(verb, name);
    }
    const Fault fault = next_fault(verb);
    switch (fault.kind) {
      case Fault::Kind::kNone:
        return work();
      case Fault::Kind::kAnswerLost:
        static_cast<void>(work());
        break;
      case Fault::Kind::kLate:
        late_.push_back([work] { static_cast<void>(work()); });
        break;
      case Fault::Kind::kRefused:
      case Fault::Kind::kLost:
        break;
    }
    throw ApiError(fault.cause, verb + " " + name + ": failed");
  }

  std::map<std::string, kube::PodBlock> blocks;
  std::map<std::string, kube::PodPool> pools;
  std::vector<std::string> requests;
  // Before each; may throw.
  std::function<void(const std::string& verb, const std::string& name)> on_request;
  // Instead of what is scripted.
  std::function<Fault(const std::string& verb)> chance;

 private:
  kube::PodBlock* find(const kube::PodBlock& block) {
    const auto there = blocks.find(block.name);
    return there == blocks.end() || there->second.uid != block.uid ? nullptr : &there->second;
  }
  Fault next_fault(const std::string& verb) {
    if (broken_) {
      return *broken_;
    }
    std::deque<Fault>& next = script_[verb];
    if (next.empty()) {
      return chance ? chance(verb) : Fault{};
    }
    const Fault fault = next.front();
    next.pop_front();
    return fault;
  }

  int last_uid_ = 0;
  int last_version_ = 0;
  std::optional<std::vector<kube::BlockBrief>> old_list_;
  std::map<std::string, std::deque<Fault>> script_;
  std::optional<Fault> broken_;
  std::deque<std::function<void()>> late_;
};

// One machine's way to it. `step` is called before and after each request, and may throw.
class FakeBlocks final : public pools::BlockApi {
 public:
  FakeBlocks(FakeServer& server, std::function<void()> step)
      : server_(&server), step_(std::move(step)) {}

  std::vector<kube::BlockBrief> list(bool may_be_old) override {
    FakeServer* const server = server_;
    return ask("LIST", may_be_old ? "old" : "",
               [=] { return may_be_old ? server->old_list() : server->list(); });
  }
  std::optional<kube::PodPool> pool(const std::string& name) override {
    FakeServer* const server = server_;
    return ask("POOL", name, [=] { return found(server->pools, name); });
  }
  std::optional<kube::PodBlock> get(const std::string& name) override {
    FakeServer* const server = server_;
    return ask("GET", name, [=] { return found(server->blocks, name); });
  }
  std::optional<kube::PodBlock> create(const kube::PodBlock& block) override {
    FakeServer* const server = server_;
    return ask("CREATE", block.name, [=] { return server->create(block); });
  }
  std::optional<kube::PodBlock> write_status(const kube::PodBlock& block) override {
    FakeServer* const server = server_;
    return ask("STATUS", block.name, [=] { return server->write_status(block); });
  }
  void remove(const kube::PodBlock& block) override {
    FakeServer* const server = server_;
    ask("DELETE", block.name, [=] { return server->remove(block), true; });
  }
  void let_go(const kube::PodBlock& block) override {
    FakeServer* const server = server_;
    ask("LET GO", block.name, [=] { return server->let_go(block), true; });
  }

 private:
  template <typename Object>
  static std::optional<Object> found(const std::map<std::string, Object>& objects,
                                     const std::string& name) {
    const auto there = objects.find(name);
    return there == objects.end() ? std::nullopt : std::optional(there->second);
  }
  template <typename Work>
  std::invoke_result_t<Work> ask(const std::string& verb, const std::string& name,
                                 const Work& work) {
    step_();
    auto answer = server_->serve(verb, name, work);
    step_();
    return answer;
  }

  FakeServer* server_;
  std::function<void()> step_;
};

// A node: a store, a clock, and what is known of the Node. Each call is a process of its own.
class Machine final : public pools::NodeReader {
 public:
  static constexpr const char* kNetwork = "pods";
  static constexpr Milliseconds kRefresh{60'000};

  Machine(FakeServer& server, const std::string& name, unsigned seed = 1)
      : server_(&server), random_(seed), folder_(memory_folder()) {
    node.name = name;
    node.uid = name + "-uid";
    node.machine_id = name + "-machine";
    node.internal_ips = {"192.0.2.1"};
    static_cast<void>(rows());  // whoever claims has opened the store before
  }

  [[nodiscard]] pools::Readings read(const pools::Wanted& wanted) const override {
    pools::Readings readings{.server = "api.example"};
    if (cut_off) {
      readings.node.failure = Error(ErrorKind::kBusy, "cut off", "wait");
      readings.pool.failure = Error(ErrorKind::kBusy, "cut off", "wait");
      return readings;
    }
    readings.node.object = node;
    const auto there = server_->pools.find(wanted.pool);
    if (there == server_->pools.end()) {
      readings.pool = {
          .failure = Error(ErrorKind::kConfig, "PodPool " + wanted.pool + " does not exist"),
          .gone = true};
    } else {
      readings.pool.object = there->second;
    }
    return readings;
  }

  // Steps.

  // The process dies at the step of that number, counted from 1.
  void kill_at(int step) { steps_left_ = step; }
  void let_live() { steps_left_ = 0; }
  [[nodiscard]] bool was_spared() const { return steps_left_ > 0; }

  // Time.

  [[nodiscard]] store::Moment moment() const { return {.at = clock.now(), .boot_id = boot}; }
  void reboot() {
    clock.reboot();
    boot = "boot-" + std::to_string(++boots_);
  }

  // Blocks. Nothing that was done before is taken for what is asked now.

  [[nodiscard]] pools::Blocks blocks() const { return pools::Blocks(options(), clock, log_); }
  [[nodiscard]] pools::Owner owner() const { return pools::owner_of(node); }
  // As if no block that it has had a free address.
  void claim(const pools::Pool& pool, std::vector<net::Family> families = {net::Family::kIpv4},
             net::IntervalSet exclude = {}, const std::string& network = kNetwork) {
    std::vector<net::Prefix> known;
    for (const store::Block& block : rows()) {
      if (block.state == store::Block::State::kOwned) {
        known.push_back(block.cidr);
      }
    }
    claim_beside(std::move(known), pool, std::move(families), std::move(exclude), network);
  }
  void claim_beside(std::vector<net::Prefix> known, const pools::Pool& pool,
                    std::vector<net::Family> families = {net::Family::kIpv4},
                    net::IntervalSet exclude = {}, const std::string& network = kNetwork) {
    const pools::Owner us = owner();
    clock.pass(Milliseconds(1));
    blocks().claim({.network = network,
                    .pool = &pool,
                    .owner = &us,
                    .families = std::move(families),
                    .exclude = std::move(exclude),
                    .known = std::move(known)},
                   moment());
  }
  void find_forgotten(const pools::Pool& pool, const std::string& network = kNetwork) {
    const pools::Owner us = owner();
    clock.pass(Milliseconds(1));
    blocks().find_forgotten({.network = network,
                             .pool = &pool,
                             .owner = &us,
                             .families = {},
                             .exclude = {},
                             .known = {}});
  }
  void verify() {
    clock.pass(Milliseconds(1));
    blocks().verify(owner(), moment());
  }
  std::vector<std::string> give_back(const pools::Pool* pool,
                                     Milliseconds cooldown = Milliseconds(30'000)) {
    clock.pass(Milliseconds(1));
    return cidrs(blocks().give_back({{kNetwork, {.pool = pool, .cooldown = cooldown}}}));
  }
  std::vector<std::string> leave(bool even_in_use = false) {
    clock.pass(Milliseconds(1));
    std::set<std::string> paused;
    for (const store::Block& block : rows()) {
      if (blocks().is_paused(block.pool)) {
        paused.insert(block.pool);
      }
    }
    return cidrs(blocks().leave(owner(), even_in_use, paused));
  }

  // The store.

  template <typename Work>
  auto in_store(const Work& work) const {
    store::Store store = store::Store::open(store_options());
    store::Transaction transaction = store.begin();
    if constexpr (std::is_void_v<decltype(work(transaction))>) {
      work(transaction);
      transaction.commit();
    } else {
      auto result = work(transaction);
      transaction.commit();
      return result;
    }
  }
  [[nodiscard]] std::vector<store::Block> rows() const {
    return in_store(
        [](store::Transaction& transaction) { return store::BlockTable(transaction).all(); });
  }
  [[nodiscard]] std::optional<store::Block> row(const std::string& cidr,
                                                const std::string& network = kNetwork) const {
    return in_store([&](store::Transaction& transaction) {
      return store::BlockTable(transaction).find(network, prefix(cidr));
    });
  }
  // 172.20.0.0/26 owned
  [[nodiscard]] std::vector<std::string> states() const {
    std::vector<std::string> states;
    for (const store::Block& block : rows()) {
      states.push_back(block.cidr.to_string() + " " + std::string(to_string(block.state)) +
                       (block.ending ? " ending" : "") + (block.unexplored ? " unexplored" : ""));
    }
    return states;
  }
  void change(const std::string& cidr, const std::function<void(store::Block&)>& how) const {
    in_store([&](store::Transaction& transaction) {
      store::Block block = store::BlockTable(transaction).find(kNetwork, prefix(cidr)).value();
      how(block);
      store::BlockTable(transaction).set(block);
    });
  }
  // As if an ADD had looked through the machine.
  void explore() const {
    in_store([](store::Transaction& transaction) {
      for (store::Block& block : store::BlockTable(transaction).all()) {
        block.unexplored = false;
        store::BlockTable(transaction).set(block);
      }
    });
  }
  void lease(net::Address at, const std::string& network = kNetwork) const {
    in_store([&](store::Transaction& transaction) {
      store::LeaseTable(transaction)
          .insert(store::NetworkTable(transaction).ensure(network), lease_of(at, network));
    });
  }
  void end(net::Address at, const std::string& network = kNetwork) const {
    in_store([&](store::Transaction& transaction) {
      const store::Network known = store::NetworkTable(transaction).ensure(network);
      store::LeaseTable(transaction)
          .end(store::LeaseTable(transaction).at(known, at).value(), moment(), store::Ending::kDel);
    });
  }
  [[nodiscard]] static store::Lease lease_of(net::Address at, const std::string& network) {
    return {.key = {.network = network, .container_id = "c-" + at.to_string(), .ifname = "eth0"},
            .address = net::Prefix::host(at),
            .source = "test"};
  }
  void wipe() const {
    for (const auto& item : std::filesystem::directory_iterator(store_options().folder)) {
      std::filesystem::remove_all(item.path());
    }
    static_cast<void>(rows());
  }

  [[nodiscard]] store::Store::Options store_options() const {
    return {.folder = folder_.path() / "store", .registry = folder_.path() / "stores"};
  }
  [[nodiscard]] pools::Blocks::Options options() const {
    return {.store = store_options(),
            .timeout = Milliseconds(2'000),
            .refresh = kRefresh,
            .connect =
                [this] {
                  return std::make_unique<FakeBlocks>(*server_, [this] {
                    clock.pass(Milliseconds(1));
                    step();
                    if (cut_off) {
                      throw ApiError(ApiError::Cause::kUnreachable, "cut off");
                    }
                  });
                },
            .boot_id =
                [this] {
                  step();
                  return boot;
                },
            .random_below =
                [this](net::Uint128 limit) {
                  step();
                  return (net::Uint128{random_()} << 64U | random_()) % limit;
                }};
  }
  static std::vector<std::string> cidrs(const std::vector<store::Block>& blocks) {
    std::vector<std::string> texts;
    texts.reserve(blocks.size());
    for (const store::Block& block : blocks) {
      texts.push_back(block.cidr.to_string());
    }
    return texts;
  }

  kube::Node node;
  FakeClock clock;
  std::string boot = "boot-1";
  bool cut_off = false;  // from the API

 private:
  void step() const {
    if (steps_left_ > 0 && --steps_left_ == 0) {
      throw Killed();
    }
  }

  FakeServer* server_;
  mutable std::mt19937_64 random_;
  TempFolder folder_;
  Log log_{clock};
  mutable int steps_left_ = 0;
  int boots_ = 1;
};

// One process with a configuration.
class Process {
 public:
  explicit Process(Machine& machine, const std::string& ipam = "{}")
      : machine_(&machine),
        conf_(config::Document::parse(R"({"cniVersion":"1.0.0","name":"pods","ipam":)" +
                                      merged(ipam) + "}")
                  .net_conf("")),
        blocks_(machine.options(), machine.clock, log_),
        objects_({.store = machine.store_options(),
                  .timeout = Milliseconds(2'000),
                  .refresh = Machine::kRefresh,
                  .key = "node",
                  .pool = conf_.pool,
                  .recording = true},
                 machine, machine.clock, log_, [&machine] { return machine.boot; }),
        source_(conf_, objects_, blocks_) {
    machine.clock.pass(Milliseconds(1));
  }

  pools::Knowledge consult() {
    return machine_->in_store(
        [&](store::Transaction& transaction) { return consult(transaction); });
  }
  pools::Knowledge consult(store::Transaction& transaction) {
    return source_.consult(transaction, machine_->moment());
  }
  // As an ADD does: asks where that is called for.
  pools::Knowledge learn() {
    pools::Knowledge knowledge = consult();
    if (knowledge.stale) {
      source_.refresh(knowledge.offer() == nullptr);
      knowledge = consult();
    }
    return knowledge;
  }
  pools::ClusterPoolSource& source() { return source_; }
  [[nodiscard]] const config::NetConf& conf() const { return conf_; }

 private:
  static std::string merged(const std::string& ipam) {
    return R"({"type":"podlease","mode":"cluster-pool")" +
           (ipam == "{}" ? "}" : "," + ipam.substr(1));
  }

  Machine* machine_;
  config::NetConf conf_;
  Log log_{machine_->clock};
  pools::Blocks blocks_;
  pools::NodeObjects objects_;
  pools::ClusterPoolSource source_;
};

}  // namespace podlease::fakes

#endif  // PODLEASE_TESTS_UNIT_FAKE_BLOCKS_H_
