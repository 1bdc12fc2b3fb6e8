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
#include "podlease/store/transaction.h"

// What podlease must do by the letter of the design, kept apart from how it does it.
//
// The model follows each call and holds the answer against what it knows. Where the design leaves
// a choice (whether a dead lease was reclaimed already, in which order), it knows only that a lease
// *may have ended*; the store is read every few events (`audit`), to find what ended in silence, or
// ended that must not.
namespace podlease::sim {

enum class Check {
  kOwners,    // no address with two live owners
  kLeases,    // no live pod without its lease, no lease that nobody asked for, the store is sound
  kRepeat,    // a repeated ADD gives the same addresses
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

// One ADD, as the model needs it.
struct Attempt {
  std::size_t network = 0;
  std::string container;
  std::string uid;  // of the pod; empty: not told
  NamespacePtr netns;
  std::optional<net::Address> requested;
  Milliseconds start{};    // true time
  host::NetnsSight own;    // of CNI_NETNS at the start
  bool disturbed = false;  // the reader left, the namespace ended or the disk filled meanwhile
  bool contested = false;  // others did something while it slept
  bool locked = false;     // somebody kept the lock
};

class Model {
 public:
  Model(const std::vector<Network>& networks, const SimHost& host, const SimClock& clock,
        const Caller& caller, std::set<Check> ignored);

  void added(const Attempt& attempt, const Answer& answer);
  void deleted(std::size_t network, const std::string& container, const Answer& answer,
               bool may_fail);
  void checked(std::size_t network, const std::string& container,
               const std::vector<net::Address>& previous, const Answer& answer);
  void status_told(std::size_t network, const Answer& answer);
  // `valid`: the containers named; nothing if the key was absent.
  void collected(std::size_t network, const std::optional<std::set<std::string>>& valid,
                 const Answer& answer);

  // What can be seen of the machine is different now: what was noted as gone counts anew.
  void sight_changed();

  // Reads the whole store and compares.
  void audit() { audit(nullptr); }

  // What an attachment was answered and still holds, by set; empty: nothing certain.
  [[nodiscard]] std::vector<net::Address> held(std::size_t network,
                                               const std::string& container) const;
  [[nodiscard]] std::size_t lease_count() const;
  [[nodiscard]] bool is_leased(std::size_t network, net::Address address) const;

 private:
  // An attachment with leases; the interface is the network's.
  struct Holding {
    std::string container;
    std::string uid;
    NamespacePtr netns;
    std::optional<host::NetnsId> recorded;  // the namespace's id, if ADD could see it
    int boot = 0;
    bool live = false;                       // its ADD answered success and no DEL came
    bool may_end = false;                    // podlease may have reclaimed it by now
    std::optional<Milliseconds> first_gone;  // when podlease can first have seen it gone
    std::optional<Milliseconds> noted;       // when it must have
    std::vector<std::optional<net::Address>> addresses;  // by set
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
  struct Book {  // of one network
    const Network* network = nullptr;
    std::unordered_map<std::string, HoldingPtr> holdings;  // by container
    std::map<net::Address, Leased> leased;
    std::unordered_map<net::Address, Freed> freed;
    // What the last sandbox of a pod was given, by its UID and set.
    std::unordered_map<std::string, std::vector<std::optional<net::Address>>> former;
    std::unordered_map<net::Address, std::string> last_uid;
  };

  void expect(bool holds, Check check, const std::string& what) const;
  [[nodiscard]] std::string describe(const Book& book, net::Address address) const;

  // What an ADD may have done to the leases of others.
  void suspect(const Attempt& attempt);
  void grant(const Attempt& attempt, const std::vector<net::Address>& addresses, bool answered);
  void judge(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_freed(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_order(const Attempt& attempt, std::size_t set, net::Address address) const;
  void judge_return(const Attempt& attempt, std::size_t set, net::Address address) const;
  void refused(const Attempt& attempt, const Answer& answer);
  void judge_exhausted(const Attempt& attempt) const;
  void judge_taken(const Attempt& attempt) const;
  void audit(const Attempt* unfinished);
  void compare(store::Transaction& transaction, const Attempt* unfinished);

  void end_address(Book& book, net::Address address, bool precise);
  void end_holding(Book& book, const HoldingPtr& holding, bool precise);

  [[nodiscard]] bool is_gone(const Holding& holding) const;  // its path shows so
  [[nodiscard]] bool visibly_gone(const Attempt& attempt, const Holding& holding) const;
  [[nodiscard]] bool surely_gone(const Attempt& attempt, const Holding& holding) const;
  [[nodiscard]] bool is_old(const Holding& holding) const { return holding.boot != host_->boots(); }
  // Whether an address of the set is surely free and cool at `when`.
  [[nodiscard]] bool is_cool(const Book& book, net::Address address, Milliseconds when) const;
  [[nodiscard]] bool in_need(const Book& book, Milliseconds when) const;
  [[nodiscard]] static bool was_last_of(const Book& book, const std::string& uid,
                                        net::Address address);
  [[nodiscard]] bool obtainable(const Attempt& attempt, const Book& book,
                                net::Address address) const;
  template <typename Action>  // bool(Address): whether to stop
  static bool any_address(const net::IntervalSet& usable, const Action& action);
  template <typename Action>
  static bool any_address(const Network& network, std::size_t set, const Action& action);

  const SimHost* host_;
  const SimClock* clock_;
  const Caller* caller_;
  std::set<Check> ignored_;
  std::vector<Book> books_;
  std::uint64_t positions_ = 0;
  std::uint64_t audits_ = 0;
};

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_MODEL_H_
