// Nodes that share a pool, with whatever may happen to them: kill -9 between any two steps, and
// long random lives. What must hold always is checked after each event, what must come true in the
// end after the faults have ended.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fake_blocks.h"
#include "fakes.h"
#include "podlease/pools/pool.h"
#include "podlease/store/verify.h"

namespace podlease::pools {
namespace {

using fakes::Fault;
using fakes::Killed;
using fakes::Machine;
using fakes::prefix;
using fakes::Process;
using kube::ApiError;
using net::Address;
using net::Family;
using store::Block;
using ::testing::IsEmpty;
using State = Block::State;
using Machines = std::vector<std::unique_ptr<Machine>>;

constexpr Milliseconds kMinute{60'000};
constexpr Milliseconds kHour = 60 * kMinute;

kube::PodPool small_pool() {
  return {.name = "default",
          .cidrs = {{.cidr = "172.20.0.0/24"}, {.cidr = "172.20.2.0/25"}},
          .ipv4_block = 26,
          .ipv6_block = 122};
}

// Blocks with six addresses each, and few of them, so that nodes come into each other's way.
kube::PodPool scarce_pool() {
  const auto reserved = [](const std::string& network) {
    std::vector<std::string> parts;
    for (const char* const part : {"8/29", "16/28", "32/27", "72/29", "80/28", "96/27"}) {
      parts.push_back(network + part);
    }
    return parts;
  };
  kube::PodPool pool = small_pool();
  pool.cidrs = {{.cidr = "172.20.0.0/25", .reserved = reserved("172.20.0.")},
                {.cidr = "172.20.2.0/25", .reserved = reserved("172.20.2.")}};
  return pool;
}

// The blocks that a machine may lease from now.
std::vector<net::Range> usable(Machine& machine) {
  Process process(machine);
  const Knowledge knowledge = process.consult();
  std::vector<net::Range> ranges;
  if (const Offer* const offer = knowledge.offer()) {
    for (const PoolRangeSet& set : offer->sets) {
      for (const PoolRange& range : set.ranges) {
        ranges.push_back(range.range);
      }
    }
  }
  return ranges;
}

std::optional<net::Range> overlap(const std::vector<net::Range>& ours,
                                  const std::vector<net::Range>& theirs) {
  for (const net::Range& one : ours) {
    for (const net::Range& other : theirs) {
      if (one.overlaps(other)) {
        return one;
      }
    }
  }
  return std::nullopt;
}

// What has to be once nothing fails any more: rows and objects tell the same.
void expect_settled(const fakes::FakeServer& server, const Machines& machines) {
  std::set<std::string> known;
  for (const auto& machine : machines) {
    for (const Block& row : machine->rows()) {
      const std::string name = block_name(row.cidr);
      const std::string what = machine->node.name + " " + row.cidr.to_string() + " " +
                               std::string(to_string(row.state)) + " " + row.failure;
      EXPECT_TRUE(row.state == State::kOwned || row.state == State::kLost) << what;
      if (row.state == State::kOwned) {
        const auto object = server.blocks.find(name);
        ASSERT_NE(object, server.blocks.end()) << what;
        EXPECT_EQ(object->second.claim_id, row.claim_id) << what;
        EXPECT_EQ(object->second.uid, row.uid) << what;
        EXPECT_EQ(object->second.is_ending(), row.ending) << what;
        EXPECT_TRUE(known.insert(name).second) << what << " is owned twice";
      }
    }
  }
  for (const auto& [name, object] : server.blocks) {
    EXPECT_TRUE(known.contains(name)) << name << " of " << object.node_name << " is nobody's";
  }
}

// kill -9.

struct Scene {
  std::string name;
  std::function<void(fakes::FakeServer&, Machine&, const Pool&)> before;
  std::function<void(Machine&, const Pool&)> work;
};

// NOLINTNEXTLINE(readability-identifier-naming): GoogleTest looks for it by this name
void PrintTo(const Scene& scene, std::ostream* out) {
  *out << scene.name;
}

class KillTest : public ::testing::TestWithParam<Scene> {};

std::vector<Scene> scenes() {
  const auto nothing = [](fakes::FakeServer&, Machine&, const Pool&) {};
  const auto with_lease = [](fakes::FakeServer&, Machine& worker, const Pool& pool) {
    worker.claim(pool);
    worker.explore();
    worker.lease(worker.rows().at(0).cidr.last());
  };
  const auto claim = [](Machine& worker, const Pool& pool) { worker.claim(pool); };
  const auto verify = [](Machine& worker, const Pool&) {
    worker.clock.pass(2 * kHour);
    worker.verify();
  };
  return {
      {"Claim", nothing, claim},
      {"ClaimAfterConflicts",
       [](fakes::FakeServer& server, Machine&, const Pool&) {
         server.grow_old();
         for (const char* const cidr : {"172.20.0.0/26", "172.20.0.64/26", "172.20.2.0/26"}) {
           server.put(cidr, "rival", "pods/x");
           server.blocks.at(block_name(prefix(cidr))).machine_id = "rival-machine";
         }
       },
       claim},
      {"ClaimInDoubt",
       [](fakes::FakeServer& server, Machine& worker, const Pool& pool) {
         server.fail("CREATE", Fault::Kind::kLate);
         EXPECT_THROW(worker.claim(pool), Error);
       },
       claim},
      {"Adopt",
       [=](fakes::FakeServer& server, Machine& worker, const Pool& pool) {
         with_lease(server, worker, pool);
         worker.wipe();
       },
       claim},
      {"Verify", with_lease, verify},
      {"ClaimAnew",
       [=](fakes::FakeServer& server, Machine& worker, const Pool& pool) {
         with_lease(server, worker, pool);
         server.blocks.clear();
         worker.clock.pass(kReapGrace);  // nobody takes it away before
       },
       verify},
      {"LetGoOfADeletedOne",
       [](fakes::FakeServer& server, Machine& worker, const Pool& pool) {
         worker.claim(pool);
         worker.explore();
         server.remove(server.blocks.begin()->first);
       },
       verify},
      {"GiveBack",
       [](fakes::FakeServer&, Machine& worker, const Pool& pool) {
         worker.claim(pool);
         worker.claim(pool);
         worker.claim(pool);
         worker.explore();
         worker.clock.pass(10 * kMinute);
       },
       [](Machine& worker, const Pool& pool) { worker.give_back(&pool); }},
      {"Leave",
       [=](fakes::FakeServer& server, Machine& worker, const Pool& pool) {
         with_lease(server, worker, pool);
         server.fail("CREATE", Fault::Kind::kAnswerLost);
         EXPECT_THROW(worker.claim(pool), Error);
       },
       [](Machine& worker, const Pool&) { worker.leave(); }},
  };
}

TEST_P(KillTest, LeavesSomethingToGoOnFrom) {
  constexpr int kMostSteps = 300;
  const Scene scene = GetParam();
  bool spared = false;
  for (int step = 1; !spared; ++step) {
    ASSERT_LT(step, kMostSteps);
    for (const bool rival_is_fast : {false, true}) {
      SCOPED_TRACE("killed at step " + std::to_string(step));
      fakes::FakeServer server;
      server.pools["default"] = small_pool();
      const Pool pool = read_pool(server.pools["default"]);
      Machines machines;
      machines.push_back(std::make_unique<Machine>(server, "worker", 7));
      machines.push_back(std::make_unique<Machine>(server, "rival", 8));
      Machine& worker = *machines[0];
      Machine& rival = *machines[1];
      for (const auto& machine : machines) {
        Process process(*machine);
        static_cast<void>(process.learn());
      }
      scene.before(server, worker, pool);
      worker.kill_at(step);
      try {
        scene.work(worker, pool);
      } catch (const Killed&) {
      }
      spared = worker.was_spared();
      worker.let_live();
      if (rival_is_fast) {  // it takes all that there is
        EXPECT_THROW(
            while (true) { rival.claim(pool); }, Error);
      }
      EXPECT_EQ(overlap(usable(worker), usable(rival)), std::nullopt);
      server.deliver();
      EXPECT_EQ(overlap(usable(worker), usable(rival)), std::nullopt);
      for (const auto& machine : machines) {
        machine->clock.pass(2 * Machine::kRefresh);
        machine->verify();
        machine->find_forgotten(pool);
        EXPECT_EQ(overlap(usable(worker), usable(rival)), std::nullopt);
      }
      expect_settled(server, machines);
      // Nothing is in the way of the next claim.
      if (!rival_is_fast) {
        EXPECT_NO_THROW(worker.claim(pool));
      }
      for (const auto& machine : machines) {
        static_cast<void>(machine->leave(true));
        EXPECT_THAT(machine->rows(), IsEmpty());
      }
      EXPECT_TRUE(server.blocks.empty());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Scenes, KillTest, ::testing::ValuesIn(scenes()),
                         [](const auto& scene) { return scene.param.name; });

// Random lives.

class World {
 public:
  explicit World(unsigned seed) : random_(seed) {
    server_.pools["default"] = scarce_pool();
    const unsigned count = 3 + seed % 2;
    for (unsigned i = 0; i < count; ++i) {
      machines_.push_back(
          std::make_unique<Machine>(server_, "node-" + std::to_string(i), seed * 100 + i));
    }
    pods_.resize(count);
    usable_.resize(count);
    server_.on_request = [this](const std::string& /*verb*/, const std::string& name) {
      heard_[name] = now_;
      if (at_work_ && pick(6) == 0) {
        const std::size_t i = *std::exchange(at_work_, std::nullopt);
        add_meanwhile(i);
        at_work_ = i;
      }
    };
    server_.chance = [this](const std::string& /*verb*/) { return chance(); };
  }

  void live(int events) {
    for (int event = 0; event < events && !::testing::Test::HasFailure(); ++event) {
      SCOPED_TRACE("event " + std::to_string(event));
      happen();
    }
  }

  // Faults end; everything has to come to rest.
  void settle() {
    faults_ = 0;
    server_.work_again();
    server_.deliver();
    for (const auto& machine : machines_) {
      machine->cut_off = false;
      machine->let_live();
    }
    server_.pools["default"] = scarce_pool();
    for (int round = 0; round < 3; ++round) {
      pass(kHour);
      for (std::size_t i = 0; i < machines_.size(); ++i) {
        look_after(i);
        add(i);
        look_after(i);
        machines_[i]->verify();
      }
    }
    expect_settled(server_, machines_);
    for (std::size_t i = 0; i < machines_.size(); ++i) {
      for (const auto& pod : std::map(pods_[i])) {
        end(i, pod.first);
      }
      machines_[i]->in_store([](store::Transaction& transaction) { store::verify(transaction); });
    }
    pass(kHour);
    for (const auto& machine : machines_) {
      machine->verify();
      static_cast<void>(machine->leave(true));
      EXPECT_THAT(machine->rows(), IsEmpty());
    }
    EXPECT_TRUE(server_.blocks.empty());
  }

  [[nodiscard]] int leased() const { return leased_; }

 private:
  enum class Pod { kPlain, kReaped };  // whose block may be given to others while it runs

  unsigned pick(unsigned limit) { return static_cast<unsigned>(random_() % limit); }

  Fault chance() {
    using Kind = Fault::Kind;
    using Cause = ApiError::Cause;
    if (pick(100) >= faults_) {
      return {};
    }
    switch (pick(6)) {
      case 0:
        return {.kind = Kind::kLost};
      case 1:
        return {.kind = Kind::kAnswerLost};
      case 2:
        return {.kind = Kind::kLate};
      case 3:
        return {.kind = Kind::kAnswerLost, .cause = Cause::kServer};
      case 4:
        return {.kind = Kind::kRefused, .cause = Cause::kThrottled};
      default:
        return {.kind = Kind::kRefused, .cause = Cause::kForbidden};
    }
  }

  void pass(Milliseconds time) {
    now_ += time;
    for (const auto& machine : machines_) {
      machine->clock.pass(time);
    }
  }

  void happen() {
    const std::size_t i = pick(static_cast<unsigned>(machines_.size()));
    Machine& machine = *machines_[i];
    const unsigned what = pick(200);
    if (what < 70) {
      if (pick(8) == 0) {
        machine.kill_at(static_cast<int>(1 + pick(40)));
      }
      add(i);
      machine.let_live();
    } else if (what < 120) {
      if (!pods_[i].empty()) {
        end(i, std::next(pods_[i].begin(), pick(static_cast<unsigned>(pods_[i].size())))->first);
      }
    } else if (what < 135) {
      pass(Milliseconds(1'000) * (1 + pick(600)));
    } else if (what < 139) {
      pass(kMinute * (10 + pick(400)));
    } else if (what < 150) {
      if (pick(4) == 0) {
        machine.kill_at(static_cast<int>(1 + pick(40)));
      }
      look_after(i);
      machine.let_live();
    } else if (what < 157) {
      server_.deliver();
    } else if (what < 160) {
      server_.drop_late();
    } else if (what < 165) {
      server_.grow_old();
    } else if (what < 168) {
      for (const auto& pod : std::map(pods_[i])) {  // all at once
        end(i, pod.first);
      }
    } else if (what < 171) {
      machine.wipe();
    } else if (what < 174) {
      for (const auto& pod : std::map(pods_[i])) {
        end(i, pod.first);
      }
      machine.reboot();
    } else if (what < 178) {
      disturb_clock(i);
    } else if (what < 182) {
      edit_pool();
    } else if (what < 186) {
      if (!server_.blocks.empty()) {
        server_.remove(
            std::next(server_.blocks.begin(), pick(static_cast<unsigned>(server_.blocks.size())))
                ->first);
      }
    } else if (what < 190) {
      machine.cut_off = pick(2) == 0;
    } else if (what < 191) {
      machine.node.uid += "'";
    } else if (what < 194) {
      faults_ = pick(2) == 0 ? 5 + pick(20) : 0;
    } else {
      reap();
    }
  }

  // Of a machine one clock or the other may be wrong, never both.
  void disturb_clock(std::size_t i) {
    if (i % 2 == 0) {
      const Milliseconds time = kMinute * (1 + pick(300));
      for (std::size_t k = 0; k < machines_.size(); ++k) {
        if (k != i) {
          machines_[k]->clock.pass(time);
        }
      }
      now_ += time;
      machines_[i]->clock.set_wall(time);  // its host has suspended it
    } else {
      machines_[i]->clock.set_wall(kMinute * pick(1'000) - kMinute * pick(1'000));
    }
  }

  void edit_pool() {
    kube::PodPool& pool = server_.pools["default"];
    switch (pick(4)) {
      case 0:
        pool.paused = !pool.paused && pick(3) == 0;
        break;
      case 1:
        pool.cidrs[0].reserved.push_back("172.20.0." + std::to_string(pick(128)));
        break;
      default:
        pool.cidrs[pick(2)].draining = pick(5) == 0;
        break;
    }
  }

  // Blocks whose node nobody has heard of for the grace are free.
  void reap() {
    std::vector<std::string> reaped;
    for (const auto& [name, object] : server_.blocks) {
      const auto heard = heard_.find(name);
      if (heard != heard_.end() && now_ - heard->second >= kReapGrace) {
        const net::Prefix cidr = *cidr_of_block(name);
        for (auto& pods : pods_) {
          for (auto& [at, pod] : pods) {
            pod = cidr.contains(at) ? Pod::kReaped : pod;
          }
        }
        reaped.push_back(name);
      }
    }
    for (const std::string& name : reaped) {
      server_.remove_by_force(name);
    }
  }

  // What `podlease gc` does.
  void look_after(std::size_t i) {
    Machine& machine = *machines_[i];
    at_work_ = i;
    try {
      Process process(machine);
      static_cast<void>(process.learn());
      process.source().tidy();
      machine.find_forgotten(read_pool(server_.pools["default"]));
    } catch (const Error&) {
    } catch (const Killed&) {
    }
    at_work_.reset();
    check(i);
  }

  // An ADD, as area ipam goes about it.
  void add(std::size_t i) {
    Machine& machine = *machines_[i];
    at_work_ = i;
    try {
      Process process(machine);
      static_cast<void>(process.learn());
      for (int tries = 0; tries < 3; ++tries) {
        std::optional<Address> got;
        const bool may_grow = machine.in_store(
            [&](store::Transaction& transaction) { return choose(i, process, transaction, got); });
        if (got) {
          take(i, *got);
          if (pick(3) == 0) {
            process.source().tidy();
          }
          break;
        }
        if (!may_grow) {
          break;
        }
        process.source().grow({Family::kIpv4}, machine.moment());
      }
    } catch (const Error&) {
    } catch (const Killed&) {
    }
    at_work_.reset();
    check(i);
  }

  // Another ADD of that machine, which finds an address without asking.
  void add_meanwhile(std::size_t i) {
    Process process(*machines_[i]);
    std::optional<Address> got;
    machines_[i]->in_store([&](store::Transaction& transaction) {
      static_cast<void>(choose(i, process, transaction, got));
    });
    if (got) {
      take(i, *got);
    }
  }

  // Returns whether the offer may grow.
  bool choose(std::size_t i, Process& process, store::Transaction& transaction,
              std::optional<Address>& got) {
    const store::Network network = store::NetworkTable(transaction).ensure(Machine::kNetwork);
    const Knowledge knowledge = process.consult(transaction);
    const Offer* const offer = knowledge.offer();
    if (offer == nullptr) {
      return false;
    }
    if (!knowledge.unexplored.empty() && process.source().explored(transaction)) {
      for (const PoolRangeSet& set : knowledge.unexplored) {
        for (const auto& [at, pod] : pods_[i]) {
          if (set.range_of(at) != nullptr && !store::LeaseTable(transaction).at(network, at)) {
            store::LeaseTable(transaction)
                .insert(network, Machine::lease_of(at, Machine::kNetwork));
          }
        }
      }
    }
    for (const PoolRangeSet& set : offer->sets) {
      for (const PoolRange& range : set.ranges) {
        for (const net::Range& part : range.usable.ranges()) {
          for (std::optional<Address> at = part.first(); at && *at <= part.last();
               at = at->next()) {
            if (!store::LeaseTable(transaction).at(network, *at)) {
              store::LeaseTable(transaction)
                  .insert(network, Machine::lease_of(*at, Machine::kNetwork));
              got = at;
              return true;
            }
          }
        }
      }
    }
    return offer->may_grow;
  }

  void take(std::size_t i, Address at) {
    ++leased_;
    for (std::size_t k = 0; k < pods_.size(); ++k) {
      const auto there = pods_[k].find(at);
      EXPECT_TRUE(there == pods_[k].end() || (k != i && there->second == Pod::kReaped))
          << at.to_string() << " of node-" << k << " was leased by node-" << i;
    }
    pods_[i].insert_or_assign(at, Pod::kPlain);
  }

  void end(std::size_t i, Address at) {
    Machine& machine = *machines_[i];
    machine.in_store([&](store::Transaction& transaction) {
      const store::Network network = store::NetworkTable(transaction).ensure(Machine::kNetwork);
      if (const auto lease = store::LeaseTable(transaction).at(network, at)) {
        store::LeaseTable(transaction).end(*lease, machine.moment(), store::Ending::kDel);
      }
    });
    pods_[i].erase(at);
  }

  // No two machines may lease from one block.
  void check(std::size_t i) {
    usable_[i] = usable(*machines_[i]);
    for (std::size_t k = 0; k < machines_.size(); ++k) {
      if (k != i && overlap(usable_[i], usable_[k])) {
        usable_[k] = usable(*machines_[k]);  // it may be old by now
        const std::optional<net::Range> both = overlap(usable_[i], usable_[k]);
        EXPECT_FALSE(both) << both->to_string() << " is node-" << i << "'s and node-" << k << "'s";
      }
    }
  }

  std::mt19937 random_;
  fakes::FakeServer server_;
  Machines machines_;
  std::vector<std::map<Address, Pod>> pods_;     // what runs, whatever the stores say
  std::vector<std::vector<net::Range>> usable_;  // as of each machine's last event
  std::map<std::string, Milliseconds> heard_;    // when a block was last asked about
  std::optional<std::size_t> at_work_;           // a process of that machine
  Milliseconds now_{0};
  unsigned faults_ = 0;  // percent
  int leased_ = 0;
};

class LifeTest : public ::testing::TestWithParam<unsigned> {};

TEST_P(LifeTest, NoAddressIsLeasedTwiceAndAllComesToRest) {
  constexpr int kEvents = 1'500;
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  World world(GetParam());
  world.live(kEvents);
  if (!HasFailure()) {
    world.settle();
  }
  EXPECT_GT(world.leased(), kEvents / 20);
}

INSTANTIATE_TEST_SUITE_P(Seeds, LifeTest, ::testing::Range(1U, 9U));

}  // namespace
}  // namespace podlease::pools
