// A small model of the rules of leasing, with plain sets instead of SQL, is held against the code
// for thousands of random steps. They draw from fixed seeds, so that a failure repeats.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <iterator>
#include <random>
#include <set>
#include <thread>

#include "ipam_node.h"
#include "podlease/net/interval_set.h"
#include "podlease/store/address_table.h"

namespace podlease::ipam {
namespace {

// The rules once more, in the plainest terms: sets and lists, walked from end to end.
class Model {
 public:
  struct Lease {
    std::string container;
    std::string boot;  // empty: adopted
    std::string netns;
    std::uint64_t inode = 0;
    std::chrono::sys_time<Milliseconds> created{};
    int set = 0;  // index in the configuration it was leased under
  };
  struct Freed {
    net::Address address;
    ClockReading at;
    std::string boot;
  };
  struct Answer {
    std::optional<ErrorKind> refused;
    std::string granted;
    Milliseconds wait{0};
  };

  std::map<net::Address, Lease> leased;
  std::deque<Freed> freed;  // oldest first
  std::vector<net::Address> hints;
  std::map<net::Address, std::string> files;  // of host-local, as last seen
  std::map<std::string, std::vector<net::Address>> held;

  [[nodiscard]] bool is_touched(net::Address address) const {
    return leased.contains(address) ||
           std::any_of(freed.begin(), freed.end(),
                       [&](const Freed& entry) { return entry.address == address; });
  }

  void lease(net::Address address, Lease lease) {
    std::erase_if(freed, [&](const Freed& entry) { return entry.address == address; });
    held[lease.container].push_back(address);
    leased[address] = std::move(lease);
  }
  void release(net::Address address, const Node& node) {
    std::vector<net::Address>& of_container = held[leased.at(address).container];
    std::erase(of_container, address);
    if (of_container.empty()) {
      held.erase(leased.at(address).container);
    }
    leased.erase(address);
    freed.push_back({.address = address, .at = node.clock.now(), .boot = node.host.boot});
  }
  // By range set, then by address.
  [[nodiscard]] std::vector<net::Address> by_set(std::vector<net::Address> addresses) const {
    std::sort(addresses.begin(), addresses.end(), [&](net::Address a, net::Address b) {
      return std::pair(leased.at(a).set, a) < std::pair(leased.at(b).set, b);
    });
    return addresses;
  }
  void del(const std::string& container, const Node& node) {
    const auto found = held.find(container);
    const std::vector<net::Address> addresses =
        found == held.end() ? std::vector<net::Address>{} : by_set(found->second);
    for (const net::Address address : addresses) {
      release(address, node);
    }
  }
  void collect(const std::set<std::string>& valid, const Node& node) {
    std::vector<net::Address> ended;
    std::set<std::string> judged;  // attachments end whole
    for (const auto& [address, lease] : leased) {
      // In doubt a lease is kept. Of an adopted one no namespace was ever recorded.
      if (valid.contains(lease.container) || !judged.insert(lease.container).second ||
          (!is_gone(lease, node) && !lease.netns.empty())) {
        continue;
      }
      const std::vector<net::Address> all = by_set(held.at(lease.container));
      ended.insert(ended.end(), all.begin(), all.end());
    }
    for (const net::Address address : ended) {
      release(address, node);
    }
  }
  // Files of host-local that are not there any more.
  void follow(const std::set<net::Address>& there, const Node& node) {
    std::vector<net::Address> vanished;
    for (const auto& [address, container] : files) {
      if (!there.contains(address)) {
        vanished.push_back(address);
      }
    }
    for (const net::Address address : vanished) {
      const auto found = leased.find(address);
      if (found != leased.end() && found->second.container == files[address]) {
        release(address, node);
      }
      files.erase(address);
    }
  }

  // Does what an ADD does, if it is not refused. After a wait it is to be asked again.
  Answer add(const AddRequest& request, const pools::Offer& offer, const Node& node) {
    const Model before = *this;
    Answer answer = try_add(request, offer, node);
    if (answer.refused || answer.wait > 0ms) {
      *this = before;
    }
    return answer;
  }

 private:
  static bool is_gone(const Lease& lease, const Node& node) {
    return !lease.boot.empty() && lease.boot != node.host.boot;
  }
  // All that it has, which is cool at once.
  void end_of_dead(const std::string& container, const Node& node) {
    for (const net::Address address : by_set(held.at(container))) {
      release(address, node);
      freed.pop_back();
      freed.push_front({.address = address, .at = {}, .boot = ""});
    }
  }
  // Ends the oldest lease of an earlier boot. Returns false if there is none.
  bool reclaim_in(const pools::PoolRangeSet& set, const Node& node) {
    auto oldest = leased.end();
    for (auto at = leased.begin(); at != leased.end(); ++at) {
      const pools::PoolRange* const range = set.range_of(at->first);
      if (range != nullptr && range->usable.contains(at->first) && is_gone(at->second, node) &&
          (oldest == leased.end() || at->second.created <= oldest->second.created)) {
        oldest = at;
      }
    }
    if (oldest == leased.end()) {
      return false;
    }
    end_of_dead(std::string(oldest->second.container), node);
    return true;
  }
  static bool is_host_held(net::Address address, const Node& node) {
    return node.host.holders.contains(address);
  }
  static Milliseconds age(const Freed& entry, const Node& node) {
    if (entry.boot == node.host.boot) {
      return node.clock.now().since_boot - entry.at.since_boot;
    }
    const Milliseconds passed = node.clock.now().wall - entry.at.wall;
    return passed < 0ms ? Milliseconds::max() : std::max(passed, node.clock.now().since_boot);
  }

  [[nodiscard]] std::optional<net::Address> untouched(const pools::PoolRange& range,
                                                      net::Address from, const Node& node) const {
    for (std::optional<net::Address> at = from; at && *at <= range.range.last(); at = at->next()) {
      if (range.usable.contains(*at) && !is_touched(*at) && !is_host_held(*at, node)) {
        return at;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] const Freed* oldest(const pools::PoolRange& range, const Node& node) const {
    for (const Freed& entry : freed) {
      if (range.usable.contains(entry.address) && !is_host_held(entry.address, node)) {
        return &entry;
      }
    }
    return nullptr;
  }

  struct Choice {
    std::optional<net::Address> address;
    Reason reason = Reason::kUntouched;
    Milliseconds wait{0};
  };
  Choice choose(const pools::PoolRangeSet& set, Milliseconds cooldown, const Node& node) {
    const auto hint = std::find_if(hints.begin(), hints.end(), [&](net::Address address) {
      return set.range_of(address) != nullptr;
    });
    if (hint != hints.end()) {
      bool reached = false;
      for (const pools::PoolRange& range : set.ranges) {
        const bool here = range.range.contains(*hint);
        reached = reached || here;
        if (const auto found = untouched(range, here ? *hint : range.range.first(), node);
            reached && found) {
          return {.address = found};
        }
      }
      std::erase(hints, net::Address(*hint));
    }
    const Freed* pressed = nullptr;
    for (const pools::PoolRange& range : set.ranges) {
      if (const auto found = untouched(range, range.range.first(), node)) {
        return {.address = found};
      }
      const Freed* const entry = oldest(range, node);
      if (entry != nullptr && age(*entry, node) >= cooldown) {
        return {.address = entry->address, .reason = Reason::kCooled};
      }
      // Entries are in one list, so of two the one at the lower index is older.
      const auto index = [&](const Freed* one) {
        return std::find_if(freed.begin(), freed.end(),
                            [&](const Freed& other) { return &other == one; }) -
               freed.begin();
      };
      if (entry != nullptr && (pressed == nullptr || index(entry) < index(pressed))) {
        pressed = entry;
      }
    }
    if (pressed == nullptr) {
      return {};
    }
    if (age(*pressed, node) < 1s) {
      return {.wait = 1s - age(*pressed, node)};
    }
    return {.address = pressed->address, .reason = Reason::kPressed};
  }

  // What the attachment had in its last namespace comes first.
  Choice choose_again(const pools::PoolRangeSet& set, const std::vector<net::Address>& former,
                      Milliseconds cooldown, const Node& node) {
    for (const net::Address address : former) {
      const pools::PoolRange* const range = set.range_of(address);
      if (range != nullptr && range->usable.contains(address) && !is_host_held(address, node) &&
          !leased.contains(address)) {
        return {.address = address, .reason = Reason::kReturned};
      }
    }
    Choice choice = choose(set, cooldown, node);
    while (!choice.address && reclaim_in(set, node)) {
      choice = choose(set, cooldown, node);
    }
    return choice;
  }
  // An attachment in its own namespace, or in doubt: it keeps what it has, and gets an address of
  // each family that it lacks, where there is one.
  Answer keep(const AddRequest& request, const pools::Offer& offer, const Lease& lease_of_request,
              const Node& node) {
    const std::string& container = request.key.container_id;
    std::vector<std::pair<net::Address, Reason>> all;
    for (const net::Address address : by_set(held.at(container))) {
      all.emplace_back(address, Reason::kHeld);
      const Lease before = leased[address];
      leased[address] = lease_of_request;
      leased[address].created = before.created;
      leased[address].set = before.set;
    }
    const auto has_family = [&](net::Family family) {
      return std::any_of(all.begin(), all.end(),
                         [&](const auto& one) { return one.first.family() == family; });
    };
    std::vector<net::Address> open;
    for (const RequestedAddress& requested : request.requested) {
      if (has_family(requested.address.family()) &&
          std::none_of(all.begin(), all.end(),
                       [&](const auto& one) { return one.first == requested.address; })) {
        return {.refused = ErrorKind::kAddressTaken, .granted = ""};
      }
      open.push_back(requested.address);
    }
    for (std::size_t index = 0; index < offer.sets.size(); ++index) {
      const pools::PoolRangeSet& set = offer.sets[index];
      if (has_family(set.family)) {
        continue;
      }
      Choice choice;
      const auto wish = std::find_if(open.begin(), open.end(), [&](net::Address address) {
        return set.range_of(address) != nullptr;
      });
      if (wish != open.end()) {
        const net::Address address = *wish;
        if (!set.range_of(address)->usable.contains(address)) {
          return {.refused = ErrorKind::kConfig, .granted = ""};
        }
        if (leased.contains(address) && is_gone(leased.at(address), node)) {
          end_of_dead(std::string(leased.at(address).container), node);
        }
        if (leased.contains(address) || is_host_held(address, node)) {
          return {.refused = ErrorKind::kAddressTaken, .granted = ""};
        }
        choice = {.address = address, .reason = Reason::kRequested};
      } else {
        choice = choose_again(set, {}, request.cooldown, node);
      }
      if (choice.address) {
        lease(*choice.address, lease_of_request);
        leased[*choice.address].set = static_cast<int>(index);
        all.emplace_back(*choice.address, choice.reason);
      }
    }
    std::stable_sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
      return leased.at(a.first).set < leased.at(b.first).set;
    });
    std::vector<std::string> granted;
    granted.reserve(all.size());
    for (const auto& [address, reason] : all) {
      granted.push_back(address.to_string() + " " + std::string(text_of(reason)));
    }
    return {.refused = std::nullopt, .granted = join(granted, ", ")};
  }

  Answer try_add(const AddRequest& request, const pools::Offer& offer, const Node& node) {
    const Lease lease_of_request{.container = request.key.container_id,
                                 .boot = node.host.boot,
                                 .netns = request.netns,
                                 .inode = node.host.namespaces.at(request.netns).id.inode,
                                 .created = node.clock.now().wall};
    std::vector<net::Address> former;
    if (const auto found = held.find(request.key.container_id); found != held.end()) {
      if (!is_gone(leased.at(found->second.front()), node)) {
        return keep(request, offer, lease_of_request, node);
      }
      former = by_set(found->second);
      end_of_dead(std::string(request.key.container_id), node);
    }
    std::vector<std::string> granted;
    std::vector<net::Address> open;
    for (const RequestedAddress& requested : request.requested) {
      open.push_back(requested.address);
    }
    Answer answer;
    for (const pools::PoolRangeSet& set : offer.sets) {
      const auto wish = std::find_if(open.begin(), open.end(), [&](net::Address address) {
        return set.range_of(address) != nullptr;
      });
      if (wish != open.end()) {
        const net::Address address = *wish;
        open.erase(wish);
        if (!set.range_of(address)->usable.contains(address)) {
          return {.refused = ErrorKind::kConfig};
        }
        if (leased.contains(address)) {
          if (!is_gone(leased.at(address), node)) {
            return {.refused = ErrorKind::kAddressTaken};
          }
          end_of_dead(std::string(leased.at(address).container), node);
        }
        if (is_host_held(address, node)) {
          return {.refused = ErrorKind::kAddressTaken};
        }
        lease(address, lease_of_request);
        leased[address].set = static_cast<int>(&set - offer.sets.data());
        granted.push_back(address.to_string() + " requested");
        continue;
      }
      Choice choice = choose_again(set, former, request.cooldown, node);
      if (choice.wait > 0ms) {
        answer.wait = std::max(answer.wait, choice.wait);
      } else if (!choice.address) {
        return {.refused = ErrorKind::kExhausted};
      } else {
        lease(*choice.address, lease_of_request);
        leased[*choice.address].set = static_cast<int>(&set - offer.sets.data());
        granted.push_back(choice.address->to_string() + " " + std::string(text_of(choice.reason)));
      }
    }
    if (!open.empty()) {
      return {.refused = ErrorKind::kConfig};
    }
    answer.granted = join(granted, ", ");
    return answer;
  }
};

// Random steps of a node's life, each held against the model.
class Life {
 public:
  explicit Life(std::uint32_t seed) : random_(seed) {
    node_.host.sees_processes = false;
    edit();
    adopt();
  }

  void step() {
    const int kind = number(0, 99);
    if (kind < 38) {
      add_new();
    } else if (kind < 46) {
      add_again();
    } else if (kind < 56) {
      add_requested();
    } else if (kind < 76) {
      del();
    } else if (kind < 82) {
      lose();
    } else if (kind < 89) {
      edit();
    } else if (kind < 95) {
      pass_time();
    } else if (kind < 96) {
      collect();
    } else if (kind < 97) {
      hold();
    } else if (kind < 98) {
      vanish();
    } else if (kind < 99) {
      add_in_vain();
    } else if (number(0, 3) == 0) {
      reboot();
    }
  }

  // What must hold after every step. Returns what was done last.
  void check(bool thoroughly) {
    SCOPED_TRACE(last_);
    std::optional<store::Store> store = node_.open();
    ASSERT_TRUE(store);
    store::Transaction transaction = store->begin();
    ASSERT_NO_THROW(store::verify(transaction));
    const store::Network network = store::NetworkTable(transaction).find("net").value();
    std::map<std::string, std::string> leased;
    for (const store::Lease& lease : store::LeaseTable(transaction).all(network)) {
      ASSERT_TRUE(
          leased.emplace(lease.address.address().to_string(), lease.key.container_id).second)
          << lease.address.to_string() << " is leased twice";
    }
    std::map<std::string, std::string> expected;
    for (const auto& [address, lease] : model_.leased) {
      expected.emplace(address.to_string(), lease.container);
    }
    ASSERT_EQ(leased, expected);
    if (thoroughly) {
      check_places(transaction, network);
    }
  }

  // In the end everything comes back.
  void end() {
    while (!model_.held.empty()) {
      last_ = "the last DELs";
      const std::string container = model_.held.begin()->first;
      model_.del(container, node_);
      node_.del(container);
    }
    check(true);
    node_.host.holders.clear();
    node_.clock.pass(1h);
    node_.offer = everything();
    std::set<net::Address> leased;
    std::size_t usable = 0;
    for (const pools::PoolRangeSet& set : node_.offer.sets) {
      for (const pools::PoolRange& range : set.ranges) {
        usable += static_cast<std::size_t>(range.usable.size());
      }
    }
    pools::Offer whole = node_.offer;
    for (std::size_t set = 0; set < whole.sets.size(); ++set) {
      node_.offer.sets = {whole.sets[set]};
      for (int i = 0;; ++i) {
        const std::string container = "end" + std::to_string(set) + "-" + std::to_string(i);
        std::vector<Granted> granted;
        if (const Thrown refused = thrown_by([&] { granted = node_.grant(request_of(container)); });
            refused.kind) {
          ASSERT_EQ(refused.kind, ErrorKind::kExhausted) << refused.message;
          break;
        }
        ASSERT_TRUE(leased.insert(granted.front().lease.address.address()).second);
      }
    }
    ASSERT_EQ(leased.size(), usable) << "addresses were lost for good";
  }

  [[nodiscard]] const std::map<std::string, int>& tally() const { return tally_; }

 private:
  int number(int from, int to) { return std::uniform_int_distribution<int>(from, to)(random_); }
  bool one_in(int count) { return number(1, count) == 1; }

  struct Subnet {
    net::Prefix prefix;
    int size;  // of addresses that may be leased: the second up to this
  };
  static const std::vector<Subnet>& subnets() {
    static const std::vector<Subnet> all{{fakes::prefix("10.1.0.0/25"), 126},
                                         {fakes::prefix("10.2.0.0/27"), 30},
                                         {fakes::prefix("fd00::/123"), 31}};
    return all;
  }
  static net::Address nth(const Subnet& subnet, int n) {
    return net::Address::from_bits(subnet.prefix.family(),
                                   subnet.prefix.first().bits() + static_cast<unsigned>(n));
  }
  net::Address any_address() {
    const Subnet& subnet = subnets()[static_cast<std::size_t>(number(0, 2))];
    return nth(subnet, number(1, subnet.size));
  }

  static pools::Offer everything() {
    pools::Offer offer;
    for (const Subnet& subnet : subnets()) {
      const net::Range range = *net::Range::make(nth(subnet, 1), nth(subnet, subnet.size));
      offer.sets.push_back({.family = subnet.prefix.family(),
                            .ranges = {{.name = "all",
                                        .source = "static",
                                        .range = range,
                                        .usable = net::IntervalSet({range}),
                                        .subnet = subnet.prefix,
                                        .answer_length = subnet.prefix.length(),
                                        .gateway = std::nullopt}}});
    }
    return offer;
  }

  // One to three sets of ranges that do not overlap, out of random pieces of the subnets.
  void edit() {
    pools::Offer offer;
    net::IntervalSet exclude;
    for (int i = number(0, 4); i > 0; --i) {
      exclude.insert(net::Range::single(any_address()));
    }
    const auto set_of = [&](net::Family family) -> pools::PoolRangeSet& {
      std::vector<pools::PoolRangeSet*> fitting;
      for (pools::PoolRangeSet& set : offer.sets) {
        if (set.family == family) {
          fitting.push_back(&set);
        }
      }
      if (fitting.empty() || (offer.sets.size() < 3 && one_in(4))) {
        return offer.sets.emplace_back();
      }
      return *fitting[static_cast<std::size_t>(number(0, static_cast<int>(fitting.size()) - 1))];
    };
    while (offer.sets.empty()) {
      for (const Subnet& subnet : subnets()) {
        for (int from = 1; from <= subnet.size;) {
          const int to = one_in(3) ? subnet.size : std::min(subnet.size, from + number(0, 60));
          if (one_in(2)) {
            const net::Range range = *net::Range::make(nth(subnet, from), nth(subnet, to));
            const net::Address gateway = nth(subnet, number(1, subnet.size));
            exclude.insert(net::Range::single(gateway));
            std::vector<pools::PoolRange>& ranges = set_of(subnet.prefix.family()).ranges;
            ranges.insert(one_in(2) ? ranges.begin() : ranges.end(),
                          {.name = "random",
                           .range = range,
                           .usable = net::IntervalSet({range}),
                           .subnet = subnet.prefix,
                           .answer_length = subnet.prefix.length() - number(0, 3),
                           .gateway = gateway});
          }
          from = to + 1;
        }
      }
    }
    for (pools::PoolRangeSet& set : offer.sets) {
      for (pools::PoolRange& range : set.ranges) {
        range.usable.erase(exclude);
      }
    }
    node_.offer = std::move(offer);
    const std::vector<Milliseconds> cooldowns{0ms, 500ms, 30s, 30s, 10min};
    node_.cooldown =
        cooldowns[static_cast<std::size_t>(number(0, static_cast<int>(cooldowns.size()) - 1))];
    last_ = "edit";
  }

  void adopt() {
    node_.host_local_file("lock", "");
    for (int i = 0; i < 20; ++i) {
      const net::Address address = any_address();
      const std::string container = "old" + std::to_string(i);
      if (!there_.contains(address)) {
        node_.host_local_file(address.to_string(), container + "\r\neth0");
        there_.insert(address);
        model_.files[address] = container;
      }
    }
    for (const auto& [address, container] : model_.files) {
      Model::Lease lease{.container = container,
                         .boot = node_.host.boot,
                         .netns = "",
                         .inode = 0,
                         .created = node_.clock.now().wall};
      for (std::size_t set = 0; set < node_.offer.sets.size(); ++set) {
        if (node_.offer.sets[set].range_of(address) != nullptr) {
          lease.set = static_cast<int>(set);
        }
      }
      model_.lease(address, lease);
    }
    for (int set = 0; set < 2; ++set) {
      const net::Address last = any_address();
      node_.host_local_file("last_reserved_ip." + std::to_string(set), last.to_string());
      // Behind the last address of a range the next range begins, and behind the last range the
      // whole starts anew.
      std::optional<net::Address> hint;
      for (const pools::PoolRangeSet& set_of_ranges : node_.offer.sets) {
        const std::vector<pools::PoolRange>& ranges = set_of_ranges.ranges;
        for (std::size_t i = 0; i < ranges.size(); ++i) {
          if (ranges[i].range.contains(last) && last != ranges[i].range.last()) {
            hint = last.next();
          } else if (ranges[i].range.contains(last) && i + 1 < ranges.size()) {
            hint = ranges[i + 1].range.first();
          }
        }
      }
      if (hint) {
        model_.hints.push_back(*hint);
      }
    }
    node_.adopt();
    last_ = "adopt";
  }

  void perform(const AddRequest& request) {
    const std::map<std::string, host::NetnsAt> before = node_.host.namespaces;
    node_.host.start(request.netns);
    std::string got;
    // The model first: it sees the time before the wait.
    Model::Answer expected;
    {
      const ClockReading start = node_.clock.now();
      expected = model_.add(request, node_.offer, node_);
      if (expected.wait > 0ms) {
        ++tally_["waited"];
        node_.clock.pass(expected.wait);
        expected = model_.add(request, node_.offer, node_);
        if (expected.wait > 0ms) {
          expected = {.refused = ErrorKind::kBusy, .granted = ""};
        }
        node_.clock.pass(start.since_boot - node_.clock.now().since_boot);
      }
    }
    std::vector<Granted> granted;
    const Thrown refused =
        thrown_by([&] { granted = node_.leases().add(request, *fixed(node_.offer), always); });
    for (const Granted& grant : granted) {
      got += (got.empty() ? "" : ", ") + grant.lease.address.address().to_string() + " " +
             std::string(text_of(grant.reason));
      ++tally_[std::string(text_of(grant.reason))];
      const pools::PoolRange* const range = node_.offer.range_of(grant.lease.address.address());
      if (grant.reason != Reason::kHeld) {
        ASSERT_NE(range, nullptr);
        EXPECT_EQ(grant.lease.gateway, range->gateway);
        EXPECT_EQ(grant.lease.address.length(), range->answer_length);
      }
    }
    if (refused.kind) {
      ++tally_["refused " + std::to_string(static_cast<int>(*refused.kind))];
      node_.host.namespaces = before;  // the lease of a former one stays in doubt
    }
    EXPECT_EQ(got, expected.granted) << last_ << ": " << refused.message;
    EXPECT_EQ(refused.kind, expected.refused) << last_ << ": " << refused.message;
  }

  // Not every process can be read, so that what is gone within a boot is doubt here. tests/sim is
  // about the rest.
  static std::string netns_of(const std::string& container) {
    return "/run/pods/" + container + "/netns";
  }
  [[nodiscard]] AddRequest request_of(const std::string& container) const {
    AddRequest request = node_.request(container);
    request.netns = netns_of(container);
    return request;
  }

  std::string new_container() { return "c" + std::to_string(next_container_++); }
  std::string any_container() {
    if (model_.held.empty()) {
      return "nobody";
    }
    auto at = model_.held.begin();
    std::advance(at, number(0, static_cast<int>(model_.held.size()) - 1));
    return at->first;
  }

  void add_new() {
    const std::string container = new_container();
    last_ = "ADD " + container;
    perform(request_of(container));
  }
  void add_again() {
    const std::string container = any_container();
    if (container == "nobody") {
      return;
    }
    last_ = "ADD again " + container;
    AddRequest request = request_of(container);
    if (one_in(3)) {
      request.requested.push_back({.address = any_address(), .path = "test"});
    }
    perform(request);
  }
  void add_requested() {
    const std::string container = new_container();
    AddRequest request = request_of(container);
    for (int i = number(1, 2); i > 0; --i) {
      const net::Address address = any_address();
      if (request.requested.empty() || request.requested[0].address != address) {
        request.requested.push_back({.address = address, .path = "test"});
      }
    }
    last_ = "ADD " + container + " " + request.requested[0].address.to_string();
    perform(request);
  }
  void add_in_vain() {
    last_ = "ADD nobody waits for";
    const AddRequest request = request_of(new_container());
    node_.host.start(request.netns);
    EXPECT_TRUE(thrown_by([&] {
                  static_cast<void>(
                      node_.leases().add(request, *fixed(node_.offer), [] { return false; }));
                }).kind);
  }
  void del() {
    for (int i = one_in(10) ? number(5, 30) : 1; i > 0; --i) {
      const std::string container = one_in(10) ? "nobody" : any_container();
      last_ = "DEL " + container;
      model_.del(container, node_);
      node_.del(container);
    }
  }
  void lose() {
    const std::string container = any_container();
    last_ = "lose " + container;
    node_.host.end(netns_of(container));
  }
  void pass_time() {
    const std::vector<Milliseconds> steps{1ms, 300ms, 999ms, 1s, 7s, 29s, 30s, 2min, 1h};
    node_.clock.pass(
        steps[static_cast<std::size_t>(number(0, static_cast<int>(steps.size()) - 1))]);
    if (one_in(5)) {
      node_.clock.set_wall(Milliseconds(number(-7'200'000, 7'200'000)));
    }
    last_ = "time passes";
  }
  void reboot() {
    node_.host.reboot();
    node_.clock.reboot(Milliseconds(number(-60'000, 120'000)));
    last_ = "reboot";
    ++tally_["reboot"];
  }
  void collect() {
    std::set<std::string> valid;
    std::vector<AttachmentKey> keys;
    for (const auto& [container, addresses] : model_.held) {
      if (!one_in(3)) {
        valid.insert(container);
        keys.push_back({.network = "net", .container_id = container, .ifname = "eth0"});
      }
    }
    model_.collect(valid, node_);
    node_.leases().gc("net", keys);
    last_ = "GC";
  }
  void hold() {
    node_.host.holders.clear();
    for (int i = number(0, 5); i > 0; --i) {
      node_.host.hold(any_address());
    }
    last_ = "host addresses";
  }
  void vanish() {
    if (there_.empty()) {
      return;
    }
    auto at = there_.begin();
    std::advance(at, number(0, static_cast<int>(there_.size()) - 1));
    // The folder's stamp tells changes apart that are a tick of the file system's clock apart.
    std::this_thread::sleep_for(10ms);
    fs::remove(node_.host_local() / at->to_string());
    there_.erase(at);
    node_.adopt();
    model_.follow(there_, node_);
    last_ = "vanished file";
    ++tally_["vanished"];
  }

  void check_places(store::Transaction& transaction, const store::Network& network) {
    std::vector<std::string> freed;
    net::IntervalSet all;
    for (const Subnet& subnet : subnets()) {
      all.insert(subnet.prefix.range());
    }
    for (const store::Freed& entry : store::AddressTable(transaction).freed(network, all)) {
      freed.push_back(entry.address.to_string());
    }
    std::vector<std::string> expected;
    for (const Model::Freed& entry : model_.freed) {
      expected.push_back(entry.address.to_string());
    }
    ASSERT_EQ(freed, expected);
    for (const pools::PoolRangeSet& set : node_.offer.sets) {
      for (const pools::PoolRange& range : set.ranges) {
        std::set<net::Address> untouched;
        std::optional<net::Address> at = range.range.first();
        while (
            at &&
            (at = store::AddressTable(transaction).first_untouched(network, range.usable, *at))) {
          untouched.insert(*at);
          at = at->next();
        }
        for (at = range.range.first(); at && *at <= range.range.last(); at = at->next()) {
          if (range.usable.contains(*at)) {
            const int places = (model_.leased.contains(*at) ? 1 : 0) +
                               (store::AddressTable(transaction).freed_at(network, *at) ? 1 : 0) +
                               (untouched.contains(*at) ? 1 : 0);
            ASSERT_EQ(places, 1) << at->to_string();
          } else {
            ASSERT_FALSE(untouched.contains(*at)) << at->to_string();
          }
        }
      }
    }
  }

  std::mt19937 random_;
  Node node_{fakes::memory_folder()};
  Model model_;
  std::set<net::Address> there_;  // files in host-local's folder
  int next_container_ = 0;
  std::string last_;
  std::map<std::string, int> tally_;
};

class LifeTest : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(LifeTest, FollowsTheModelAndLosesNoAddress) {
  constexpr int kSteps = 700;
  Life life(GetParam());
  for (int step = 0; step < kSteps && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + ", step " + std::to_string(step));
    life.step();
    life.check(step % 10 == 0);
  }
  if (!HasFailure()) {
    life.end();
  }
  std::string tally;
  for (const auto& [what, count] : life.tally()) {
    tally += what + " " + std::to_string(count) + ", ";
  }
  RecordProperty("steps", tally);
}

// PODLEASE_LIVES=500 lives that many: for a long soak.
std::uint32_t lives() {
  const char* const wanted = std::getenv("PODLEASE_LIVES");
  return wanted == nullptr ? 8U : static_cast<std::uint32_t>(std::stoul(wanted));
}

INSTANTIATE_TEST_SUITE_P(Seeds, LifeTest, ::testing::Range(1U, 1U + lives()));

}  // namespace
}  // namespace podlease::ipam
