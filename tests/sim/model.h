#ifndef PODLEASE_TESTS_SIM_MODEL_H_
#define PODLEASE_TESTS_SIM_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "caller.h"
#include "machine.h"
#include "network.h"
#include "podlease/base/clock.h"
#include "podlease/host/host.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/store/lease.h"
#include "podlease/store/transaction.h"

// What podlease must do by the letter of the design, kept apart from how it does it.
//
// The model follows each call and holds the answer against what it knows. Where the design leaves
// a choice (whether a dead lease was reclaimed already, in which order), it knows only that a lease
// *may have ended*; the store is read every few events (`audit`), to find what ended in silence, or
// ended that must not.
//
// There is a book for each name of each network: book 2n is for the first name of network n, book
// 2n + 1 for the second one.
namespace podlease::sim {

enum class Check {
  kOwners,    // no address with two live owners
  kLeases,    // no live pod without its lease, no lease that nobody asked for, the store is sound
  kRepeat,    // a repeated ADD gives the same addresses, or what still fits today
  kReturn,    // a pod gets its former address back
  kTakeover,  // a pod takes over only from a sandbox of its own that has ended
  kWhole,     // an answer has an address of each range set
  kRange,     // inside a range, not excluded, gateway, network, broadcast or the host's
  kCooldown,  // freed a second ago: never; less than the cool-down ago: only if nothing else is
              // free
  kOrder,     // untouched ones first, then the one freed longest ago
  kEarly,     // what may still live is not reclaimed, nor a gone one before its grace is over
  kLeak,      // exhausted only if it is
  kCodes,     // error codes and the shape of answers
  kGc,        // GC frees what it should and nothing else
};
[[nodiscard]] std::optional<Check> parse_check(std::string_view name);
[[nodiscard]] std::string_view name(Check check);

// podlease broke a rule.
class Violation : public std::runtime_error {
 public:
  Violation(Check check, const std::string& what)
      : std::runtime_error(std::string(name(check)) + ": " + what) {}
};

// A namespace as the caller of an ADD saw it.
struct Seen {
  host::NetnsAt at;
  std::uint64_t cookie = 0;  // 0: none
  std::uint64_t pid_namespace = 0;
  std::optional<host::NetnsId> folder;
};

// One ADD, as the model needs it.
struct Attempt {
  std::size_t book = 0;
  std::string container;
  std::string uid;  // of the pod; empty: not told
  NamespacePtr netns;
  std::optional<net::Address> requested;
  Milliseconds start{};    // true time
  std::size_t view = 0;    // from where
  Seen own;                // CNI_NETNS at the start
  bool disturbed = false;  // the reader left, the namespace ended or the disk filled meanwhile
  bool contested = false;  // others did something while it slept
  bool locked = false;     // somebody kept the lock
};

class Model {
 public:
  Model(const std::vector<Network>& networks, const SimHost& host, const SimClock& clock,
        const Caller& caller, std::set<Check> ignored);

  void added(const Attempt& attempt, const Answer& answer);
  // `sandbox` as for the ADD; of its own `attempt` only book, container, uid and netns count.
  void deleted(const Attempt& attempt, const Answer& answer, bool may_fail);
  void checked(std::size_t index, const std::string& container,
               const std::vector<net::Address>& previous, const Answer& answer);
  void status_told(std::size_t index, const Answer& answer);
  // `valid`: the containers named; nothing if the key was absent.
  void collected(std::size_t index, std::size_t view,
                 const std::optional<std::set<std::string>>& valid, const Answer& answer);
  // `podlease gc`, of all networks; `refusal` is empty if it ran.
  void swept(std::size_t view, const std::string& refusal);

  // What can be seen of the machine is different now: what was noted as gone counts anew.
  void sight_changed();

  // A call sleeps, and others come meanwhile: what it did to the store so far is open.
  void set_in_flight(bool in_flight) { in_flight_ = in_flight; }

  // Reads the whole store and compares.
  void audit() { audit(nullptr); }

  // What an attachment was answered and still holds; empty: nothing certain.
  [[nodiscard]] std::vector<net::Address> held(std::size_t index,
                                               const std::string& container) const;
  // What it holds is of its namespace of today.
  [[nodiscard]] bool holds_in(std::size_t index, const std::string& container,
                              const Namespace& netns) const;
  // Somebody holds a lease for that interface there.
  [[nodiscard]] bool has_holder(const Namespace& netns, const std::string& ifname) const;
  [[nodiscard]] std::size_t lease_count() const;
  // Under any name of the network.
  [[nodiscard]] bool is_leased(std::size_t network, net::Address address) const;

 private:
  // An attachment with leases; the interface is the network's.
  struct Holding {
    std::size_t book = 0;
    std::string container;
    std::string uid;
    NamespacePtr netns;
    Seen recorded;
    int boot = 0;
    std::set<std::string> wires;
    bool nameless = false;                     // known by its namespace alone
    std::string ifname;                        // of such a one: the interface that it was found by
    bool live = false;                         // its ADD answered success and no DEL came
    bool may_end = false;                      // podlease may have reclaimed it by now
    std::optional<Milliseconds> first_missed;  // when podlease can first have seen it gone
    std::optional<Milliseconds> noted;         // when it must have
    std::vector<std::optional<net::Address>> addresses;  // by set

    [[nodiscard]] bool was_seen() const { return recorded.at.state == host::NetnsState::kAlive; }
  };
  using HoldingPtr = std::shared_ptr<Holding>;
  struct Leased {
    HoldingPtr holder;
    std::size_t set = 0;
    std::uint64_t seen = 0;  // the last audit that found it
  };
  struct Freed {
    Milliseconds at{};  // at the latest
    int boot = 0;
    std::uint64_t position = 0;
    bool precise = false;  // ended by a DEL at just that time
    std::string uid;
    std::string container;
  };
  struct Book {  // of one name of a network
    const Network* network = nullptr;
    std::size_t index = 0;
    std::unordered_map<std::string, HoldingPtr> holdings;  // by container
    std::map<net::Address, Leased> leased;
    std::unordered_map<net::Address, Freed> freed;
    std::set<std::string> wires;  // all on which it ever was
    // When an ADD last found it exhausted by itself.
    // When an ADD was told so that saw these processes and this folder.
    std::map<std::pair<std::uint64_t, std::optional<host::NetnsId>>, Milliseconds> exhausted;

    [[nodiscard]] const std::string& name() const { return network->name(index % Network::kNames); }
  };
  // What the last sandbox of a pod was given, by set.
  using Former = std::unordered_map<std::string, std::vector<std::optional<net::Address>>>;

  void expect(bool holds, Check check, const std::string& what) const;
  [[nodiscard]] std::string describe(const Holding& holding) const;
  [[nodiscard]] std::string describe(const Book& book, net::Address address) const;

  // model.cpp: what a call does to the books.
  void suspect(const Attempt& attempt);
  void forget_note_if_in_doubt(const Attempt& attempt, Holding& holding) const;
  void grant(const Attempt& attempt, const std::vector<net::Prefix>& addresses, bool answered);
  [[nodiscard]] HoldingPtr held_before(const Attempt& attempt,
                                       const std::vector<net::Prefix>& addresses);
  void settle(const Attempt& attempt, const HoldingPtr& holding, bool answered);
  void park(Book& book, const HoldingPtr& holding);
  void end_others_with(const Book& book, net::Address address, const HoldingPtr& holding);
  void end_address(Book& book, net::Address address, bool precise);
  void end_holding(Book& book, const HoldingPtr& holding, bool precise);
  // Whether it ended is open, but it did so whole or not at all.
  void may_have_ended(const std::vector<HoldingPtr>& unsure);

  // model_judge.cpp: what an answer says of it.
  void judge(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_holder(const Attempt& attempt, const Book& holders, net::Address address) const;
  void judge_freed(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_order(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_return(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_kept(const Attempt& attempt, const Holding& holding,
                  const std::vector<net::Prefix>& addresses) const;
  void refused(const Attempt& attempt, const Answer& answer);
  [[nodiscard]] bool is_taken_for_another_machine(const std::string& message) const;
  [[nodiscard]] static bool stands_in_the_way(const Book& book, const Holding& holding,
                                              const Answer& answer);
  [[nodiscard]] bool was_exhausted_for(const Attempt& attempt, Book& book) const;
  void refused_by_configuration(const Attempt& attempt, const std::string& what) const;
  void judge_exhausted(const Attempt& attempt) const;
  void judge_taken(const Attempt& attempt) const;

  // model_store.cpp: what the store says.
  void audit(const Attempt* unfinished);
  void compare(store::Transaction& transaction, const Attempt* unfinished);
  void complete(const Attempt& unfinished, const std::vector<store::Lease>& leases);
  void compare(const store::Lease& lease, Book& book, bool unfinished);
  [[nodiscard]] bool adopt(const store::Lease& lease, Book& book);
  void find_missing(Book& book);
  void read_freed(store::Transaction& transaction, Book& book, const Attempt* unfinished);

  // What is true of a holder, and what can be told of it from a view.
  [[nodiscard]] bool is_old(const Holding& holding) const { return holding.boot != host_->boots(); }
  [[nodiscard]] bool lives(const Holding& holding) const;
  // No name and no process shows it anywhere.
  [[nodiscard]] static bool is_hidden(const Holding& holding) {
    return holding.netns->names.empty() && holding.netns->processes.empty();
  }
  // A neighbour answers for the address, on whichever interface: podlease does not give it away
  // then, for the bridge of its network may have been renamed.
  [[nodiscard]] bool is_heard_of(net::Address address) const {
    return host_->is_reachable_neighbour(address, {});
  }
  // A name or a process shows it there.
  [[nodiscard]] bool shows_alive(const Holding& holding, std::size_t view) const;
  // Its name would show, and does not.
  [[nodiscard]] bool shows_missing(const Holding& holding, std::size_t view) const;
  [[nodiscard]] bool is_provably_gone(const Holding& holding, std::size_t view) const;
  [[nodiscard]] bool is_known_to_be_renumbered(const Holding& holding, std::size_t view) const;
  [[nodiscard]] bool may_be_gone(const Holding& holding, std::size_t view) const;
  [[nodiscard]] bool is_provably_old(const Holding& holding, std::size_t view) const;
  // From the view of this attempt, whose own namespace may be the witness.
  // Without cookies any process with its number lets it off for another minute, and such come and
  // go unseen by the model: of those it does not know when they must have been reclaimed.
  [[nodiscard]] bool is_overdue(const Holding& holding, std::size_t view, Milliseconds now) const;
  [[nodiscard]] bool is_surely_gone(const Attempt& attempt, const Holding& holding) const;
  // Nothing of it lives, and with several views of the machine, each of which may lack a name in
  // turn, or without cookies, the model does not know who missed it first: there the grace is not
  // checked.
  [[nodiscard]] bool has_ended_unseen(const Holding& holding) const {
    return !is_old(holding) && !holding.netns->alive() &&
           (host_->views.size() > 1 || holding.recorded.cookie == 0);
  }
  [[nodiscard]] bool has_witness(const Book& book, std::size_t view, const Namespace* own) const;

  // Two books whose addresses podlease must, or may, keep apart.
  [[nodiscard]] bool share_wire(const Book& book, const Holding& holding) const;
  [[nodiscard]] bool may_share_wire(const Book& book, const Book& other) const;
  void find_wires();
  [[nodiscard]] bool is_alone(const Book& book) const;
  [[nodiscard]] const Freed* freed_last(const Book& book, net::Address address) const;
  [[nodiscard]] bool is_leased_on_wire(const Book& book, net::Address address) const;
  // Whether an address of the set is surely free and cool at `when`.
  [[nodiscard]] bool is_cool(const Book& book, net::Address address, Milliseconds when) const;
  [[nodiscard]] bool in_need(const Book& book, Milliseconds when) const;
  [[nodiscard]] bool was_last_of(const Book& book, const std::string& uid,
                                 net::Address address) const;
  [[nodiscard]] bool obtainable(const Attempt& attempt, net::Address address) const;
  template <typename Action>  // bool(Address): whether to stop
  static bool any_address(const net::IntervalSet& usable, const Action& action);
  template <typename Action>
  static bool any_address(const Network& network, std::size_t set, const Action& action);

  const SimHost* host_;
  const SimClock* clock_;
  const Caller* caller_;
  std::set<Check> ignored_;
  std::vector<Book> books_;
  std::vector<Former> former_;  // by network
  // Who was given an address last: the pod's UID, and the network.
  std::unordered_map<net::Address, std::pair<std::string, std::size_t>> last_uid_;
  // Of attachments that ended, the last one with its number.
  std::map<host::NetnsId, NamespacePtr> ended_netns_;
  std::set<std::pair<const Network*, const Network*>> may_share_;
  std::uint64_t positions_ = 0;
  std::uint64_t audits_ = 0;
  std::uint64_t nameless_ = 0;
  bool in_flight_ = false;
};

template <typename Action>
bool Model::any_address(const net::IntervalSet& usable, const Action& action) {
  for (const net::Range& range : usable.ranges()) {
    std::optional<net::Address> address = range.first();
    for (; address && *address <= range.last(); address = address->next()) {
      if (action(*address)) {
        return true;
      }
    }
  }
  return false;
}

template <typename Action>
bool Model::any_address(const Network& network, std::size_t set, const Action& action) {
  for (const net::IntervalSet& usable : network.usable(set)) {
    if (any_address(usable, action)) {
      return true;
    }
  }
  return false;
}

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_MODEL_H_
