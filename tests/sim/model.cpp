#include "model.h"

#include <algorithm>
#include <array>

#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/store/lease.h"
#include "podlease/store/store.h"

namespace podlease::sim {
namespace {

using net::Address;

constexpr Milliseconds kGrace{60'000};
constexpr Milliseconds kSecond{1'000};

constexpr std::array kNames{
    std::pair{Check::kOwners, std::string_view("owners")},
    std::pair{Check::kLeases, std::string_view("leases")},
    std::pair{Check::kRepeat, std::string_view("repeat")},
    std::pair{Check::kReturn, std::string_view("return")},
    std::pair{Check::kTakeover, std::string_view("takeover")},
    std::pair{Check::kWhole, std::string_view("whole")},
    std::pair{Check::kRange, std::string_view("range")},
    std::pair{Check::kCooldown, std::string_view("cooldown")},
    std::pair{Check::kOrder, std::string_view("order")},
    std::pair{Check::kEarly, std::string_view("early")},
    std::pair{Check::kLeak, std::string_view("leak")},
    std::pair{Check::kCodes, std::string_view("codes")},
    std::pair{Check::kGc, std::string_view("gc")},
};

const net::IntervalSet& everything() {
  static const net::IntervalSet all({*net::Range::parse("0.0.0.0/0"), *net::Range::parse("::/0")});
  return all;
}

}  // namespace

std::optional<Check> parse_check(std::string_view name) {
  for (const auto& [check, text] : kNames) {
    if (text == name) {
      return check;
    }
  }
  return std::nullopt;
}

std::string_view name(Check check) {
  for (const auto& [one, text] : kNames) {
    if (one == check) {
      return text;
    }
  }
  return "?";
}

Model::Model(const std::vector<Network>& networks, const SimHost& host, const SimClock& clock,
             const Caller& caller, std::set<Check> ignored)
    : host_(&host), clock_(&clock), caller_(&caller), ignored_(std::move(ignored)) {
  for (const Network& network : networks) {
    books_.push_back({.network = &network,
                      .holdings = {},
                      .leased = {},
                      .freed = {},
                      .former = {},
                      .last_uid = {}});
  }
}

void Model::expect(bool holds, Check check, const std::string& what) const {
  if (!holds && !ignored_.contains(check)) {
    throw Violation(check, what);
  }
}

std::string Model::describe(const Book& book, Address address) const {
  std::string text = book.network->name() + " " + address.to_string();
  const auto leased = book.leased.find(address);
  if (leased != book.leased.end()) {
    const Holding& holder = *leased->second.holder;
    text += ", leased to " + holder.container + " (uid " + holder.uid + ", " + holder.netns->path +
            (holder.netns->alive ? " alive" : " ended") + ", boot " + std::to_string(holder.boot) +
            (holder.live ? ", live" : "") + (holder.may_end ? ", may have ended" : "");
    if (holder.first_gone) {
      text += ", seen gone at " + std::to_string(holder.first_gone->count());
    }
    if (holder.noted) {
      text += ", noted at " + std::to_string(holder.noted->count());
    }
    text += ")";
  }
  const auto freed = book.freed.find(address);
  if (freed != book.freed.end()) {
    text += ", freed " + std::to_string((clock_->true_time() - freed->second.at).count()) +
            " ms ago by " + freed->second.container + " (uid " + freed->second.uid + ", boot " +
            std::to_string(freed->second.boot) + (freed->second.precise ? "" : ", or earlier") +
            ")";
  }
  return text;
}

template <typename Action>
bool Model::any_address(const net::IntervalSet& usable, const Action& action) {
  for (const net::Range& range : usable.ranges()) {
    std::optional<Address> address = range.first();
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
  const std::vector<net::IntervalSet>& ranges = network.usable(set);
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const net::IntervalSet& usable) { return any_address(usable, action); });
}

// DESIGN 5.6: absent, or another namespace by now.
bool Model::is_gone(const Holding& holding) const {
  const host::NetnsSight sight = host_->sight(holding.netns->path);
  return sight.state == host::NetnsState::kAbsent ||
         (sight.state == host::NetnsState::kAlive && holding.recorded &&
          sight.id != *holding.recorded);
}

// And this ADD sees a live namespace in the same folder. For /proc: no process is in it.
bool Model::visibly_gone(const Attempt& attempt, const Holding& holding) const {
  if (holding.netns->folder == Folder::kProc) {
    return host_->sees_processes && holding.recorded && is_gone(holding) &&
           !host_->inhabited(*holding.recorded);
  }
  return attempt.own.state == host::NetnsState::kAlive &&
         attempt.netns->folder == holding.netns->folder && is_gone(holding);
}

bool Model::is_cool(const Book& book, Address address, Milliseconds when) const {
  if (host_->held.contains(address) || book.leased.contains(address)) {
    return false;
  }
  const auto freed = book.freed.find(address);
  return freed == book.freed.end() || (freed->second.boot == host_->boots() &&
                                       when - freed->second.at >= book.network->cooldown());
}

bool Model::in_need(const Book& book, Milliseconds when) const {
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    if (!any_address(*book.network, set,
                     [&](Address address) { return is_cool(book, address, when); })) {
      return true;
    }
  }
  return false;
}

void Model::suspect(const Attempt& attempt) {
  const Milliseconds end = clock_->true_time();
  std::optional<bool> need;
  // Folders in which this ADD can see a live namespace: its own, and that of any lease.
  std::set<Folder> seen;
  const auto see = [&](const Namespace& netns) {
    if (!seen.contains(netns.folder) &&
        host_->sight(netns.path).state == host::NetnsState::kAlive) {
      seen.insert(netns.folder);
    }
  };
  see(*attempt.netns);
  for (const Book& book : books_) {
    for (const auto& [container, holding] : book.holdings) {
      see(*holding->netns);
    }
  }
  for (Book& book : books_) {
    const bool here = &book == &books_[attempt.network];
    for (const auto& [container, holding] : book.holdings) {
      Holding& other = *holding;
      if ((here && container == attempt.container) || other.may_end) {
        continue;
      }
      const bool own_pod = here && !attempt.uid.empty() && other.uid == attempt.uid;
      const bool proc = other.netns->folder == Folder::kProc;
      if (is_old(other) || (proc && !other.netns->alive)) {
        if (here && !own_pod && !need) {
          need = in_need(book, attempt.start);
        }
        other.may_end = own_pod || (here && *need);
        if (proc && other.noted && other.recorded && host_->inhabited(*other.recorded)) {
          other.noted.reset();  // another namespace with its number
        }
        continue;
      }
      if (other.netns->alive) {
        continue;
      }
      if (own_pod) {
        other.may_end = true;
      } else if (seen.contains(other.netns->folder) && is_gone(other)) {
        if (!other.first_gone) {
          other.first_gone = attempt.start;
        } else if (end - *other.first_gone >= kGrace) {
          other.may_end = true;
        }
        // An address that is asked for needs no grace.
        other.may_end = other.may_end || (here && attempt.requested &&
                                          std::find(other.addresses.begin(), other.addresses.end(),
                                                    attempt.requested) != other.addresses.end());
      }
    }
  }
}

void Model::added(const Attempt& attempt, const Answer& answer) {
  suspect(attempt);
  if (answer.crashed) {
    audit(&attempt);
    return;
  }
  if (!answer.succeeded()) {
    refused(attempt, answer);
    return;
  }
  std::vector<Address> addresses;
  for (const net::Prefix& address : answer.addresses()) {
    addresses.push_back(address.address());
  }
  grant(attempt, addresses, true);
}

void Model::grant(const Attempt& attempt, const std::vector<Address>& addresses, bool answered) {
  Book& book = books_[attempt.network];
  const Network& network = *book.network;
  expect(addresses.size() == network.set_count(), Check::kWhole,
         attempt.container + " got " + std::to_string(addresses.size()) + " addresses from " +
             std::to_string(network.set_count()) + " range sets");
  if (addresses.size() != network.set_count()) {
    return;
  }
  // By value: a former holding of this container may end on the way.
  const auto former = book.holdings.find(attempt.container);
  HoldingPtr holding = former == book.holdings.end() ? nullptr : former->second;
  if (!holding) {
    holding = std::make_shared<Holding>();
    holding->container = attempt.container;
    holding->addresses.resize(network.set_count());
  }
  for (std::size_t set = 0; set < addresses.size(); ++set) {
    const Address address = addresses[set];
    std::optional<Address>& own = holding->addresses[set];
    if (own == address) {
      continue;
    }
    if (own) {
      expect(holding->may_end, Check::kRepeat,
             attempt.container + " holds " + describe(book, *own) + " and was given " +
                 describe(book, address));
      end_address(book, *own, false);
    }
    expect(address.family() == network.family(set), Check::kCodes,
           attempt.container + " got " + address.to_string() + " from range set " +
               std::to_string(set));
    judge(attempt, set, address);
  }
  // Judged by the state before any of it; now it counts.
  for (std::size_t set = 0; set < addresses.size(); ++set) {
    const Address address = addresses[set];
    if (book.leased.contains(address) && book.leased[address].holder != holding) {
      book.leased[address].holder->may_end = true;  // whole, as all of an attachment ends together
      end_address(book, address, false);
    }
    book.freed.erase(address);
    book.leased[address] = {.holder = holding, .set = set, .seen = 0};
    holding->addresses[set] = address;
    book.last_uid[address] = attempt.uid;
  }
  if (!attempt.uid.empty()) {
    book.former[attempt.uid] = {holding->addresses};
  }
  holding->uid = attempt.uid;
  holding->netns = attempt.netns;
  holding->recorded =
      attempt.own.state == host::NetnsState::kAlive ? std::optional(attempt.own.id) : std::nullopt;
  holding->boot = host_->boots();
  holding->live = answered;
  holding->may_end = false;
  holding->first_gone.reset();
  holding->noted.reset();
  book.holdings[attempt.container] = holding;
}

// A new lease of `address`.
void Model::judge(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.network];
  const std::string to = " was given to " + attempt.container + " (uid " + attempt.uid + ")";
  const auto leased = book.leased.find(address);
  const bool asked_for = attempt.requested == address;
  if (leased != book.leased.end() && leased->second.holder->container != attempt.container) {
    const Holding& other = *leased->second.holder;
    const bool own_pod = !attempt.uid.empty() && other.uid == attempt.uid;
    if (other.netns->alive && own_pod) {
      expect(false, Check::kTakeover, describe(book, address) + to);
      return;
    }
    expect(!(other.live && other.netns->alive), Check::kOwners, describe(book, address) + to);
    expect(!other.netns->alive, Check::kEarly, describe(book, address) + to);
    if (is_old(other)) {
      expect(asked_for || own_pod || other.may_end, Check::kEarly,
             describe(book, address) + to + " though others were free");
    } else {
      expect(other.may_end || (asked_for && visibly_gone(attempt, other)), Check::kEarly,
             describe(book, address) + to);
    }
  }
  expect(book.network->may_lease(set, address), Check::kRange,
         describe(book, address) + to + ", outside of " + book.network->describe());
  expect(!host_->held.contains(address), Check::kRange,
         describe(book, address) + to + ", the host's");
  const std::optional<std::size_t> wanted_of =
      attempt.requested ? book.network->set_of(*attempt.requested) : std::nullopt;
  if (wanted_of == set) {
    expect(asked_for, Check::kCodes,
           describe(book, address) + to + " who asked for " + attempt.requested->to_string());
    return;
  }
  if (leased == book.leased.end()) {
    judge_freed(attempt, set, address);
  }
  if (!attempt.requested && !attempt.contested) {
    judge_return(attempt, set, address);
  }
}

// An address that was free: is it the right one?
void Model::judge_freed(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.network];
  const Milliseconds end = clock_->true_time();
  const Milliseconds cooldown = book.network->cooldown();
  const auto found = book.freed.find(address);
  if (found != book.freed.end()) {
    const Freed& freed = found->second;
    const bool own =
        (!attempt.uid.empty() && freed.uid == attempt.uid) || freed.container == attempt.container;
    if (!freed.precise || own) {
      return;
    }
    if (freed.boot == host_->boots() && cooldown > Milliseconds(0)) {
      expect(end - freed.at >= kSecond, Check::kCooldown,
             describe(book, address) + " was given to " + attempt.container);
      if (end - freed.at < cooldown) {
        std::optional<Address> better;
        static_cast<void>(any_address(*book.network, set, [&](Address one) {
          if (one != address && is_cool(book, one, attempt.start)) {
            better = one;
          }
          return better.has_value();
        }));
        expect(!better, Check::kCooldown,
               describe(book, address) + " was given to " + attempt.container + " although " +
                   (better ? describe(book, *better) : "") + " is free");
      }
    }
  }
  if (end == attempt.start && !attempt.contested) {
    judge_order(attempt, set, address);
  }
}

void Model::judge_order(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.network];
  const Milliseconds now = attempt.start;
  const auto found = book.freed.find(address);
  const Freed* const freed = found == book.freed.end() ? nullptr : &found->second;
  const bool pressed = freed != nullptr && (freed->boot != host_->boots() ||
                                            now - freed->at < book.network->cooldown());
  const auto complain = [&](Address better) {
    expect(false, Check::kOrder,
           describe(book, address) + " was given to " + attempt.container + " before " +
               describe(book, better));
    return false;
  };
  for (const net::IntervalSet& range : book.network->usable(set)) {
    const bool own_range = range.contains(address);
    static_cast<void>(any_address(range, [&](Address other) {
      if (other == address || host_->held.contains(other) || book.leased.contains(other)) {
        return false;
      }
      const auto there = book.freed.find(other);
      if (there == book.freed.end()) {  // untouched
        return (!own_range || freed != nullptr || other < address) && !pressed && complain(other);
      }
      if (freed == nullptr) {
        return !own_range && is_cool(book, other, now) && complain(other);
      }
      // Of two freed ones the older comes first. Over a boot only the wall clock knows, which may
      // have been set.
      const bool older = there->second.precise && there->second.position < freed->position &&
                         there->second.boot == host_->boots() && freed->boot == host_->boots();
      return older && (own_range || pressed) && complain(other);
    }));
    if (own_range && !pressed) {
      return;
    }
  }
}

// What the pod's last sandbox had, if nobody else had it since.
void Model::judge_return(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.network];
  const auto former = book.former.find(attempt.uid);
  if (former == book.former.end() || !former->second.at(set)) {
    return;
  }
  const Address own = *former->second.at(set);
  if (own == address || !was_last_of(book, attempt.uid, own) ||
      !book.network->may_lease(set, own) || host_->held.contains(own)) {
    return;
  }
  const auto leased = book.leased.find(own);
  bool returns = book.freed.contains(own);
  if (leased != book.leased.end()) {
    const Holding& holder = *leased->second.holder;
    returns =
        holder.container != attempt.container &&
        (is_old(holder) || (holder.netns->folder != Folder::kProc && surely_gone(attempt, holder)));
  }
  expect(!returns, Check::kReturn,
         attempt.container + " (uid " + attempt.uid + ") was given " + describe(book, address) +
             " and had before: " + describe(book, own));
}

void Model::refused(const Attempt& attempt, const Answer& answer) {
  Book& book = books_[attempt.network];
  const std::string what =
      attempt.container + " (uid " + attempt.uid + ") was answered " + answer.in_short();
  if (attempt.disturbed) {
    // What it had for a moment and gave back may count as the pod's former address or not.
    book.former.erase(attempt.uid);
    audit(&attempt);
    return;
  }
  const auto holding = book.holdings.find(attempt.container);
  const bool holds = holding != book.holdings.end();
  switch (answer.code()) {
    case 7:
      expect(attempt.requested.has_value(), Check::kCodes, what);
      if (attempt.requested) {
        const std::optional<std::size_t> set = book.network->set_of(*attempt.requested);
        expect(!set || !book.network->may_lease(*set, *attempt.requested) ||
                   host_->held.contains(*attempt.requested),
               Check::kCodes, what);
      }
      break;
    case 11:
      expect(attempt.locked || attempt.contested, Check::kCodes, what);
      break;
    case 100:
      expect(answer.output.find("no IP addresses available in range set") != std::string::npos,
             Check::kCodes, what);
      expect(!holds || holding->second->may_end ||
                 std::any_of(holding->second->addresses.begin(), holding->second->addresses.end(),
                             [](const auto& address) { return !address; }),
             Check::kRepeat, what);
      judge_exhausted(attempt);
      for (const auto& [container, other] : book.holdings) {
        if (!is_old(*other) && !other->netns->alive && !other->noted &&
            visibly_gone(attempt, *other)) {
          other->noted = clock_->true_time();
        }
      }
      break;
    case 101:
      expect(attempt.requested.has_value(), Check::kCodes, what);
      if (attempt.requested && !holds) {
        judge_taken(attempt);
      }
      break;
    default:
      expect(false, Check::kCodes, what);
  }
}

// An ADD that is told 100 could not have been served.
void Model::judge_exhausted(const Attempt& attempt) const {
  const Book& book = books_[attempt.network];
  if (attempt.requested || attempt.contested) {
    return;
  }
  std::string obtainable_ones;
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    const bool some = any_address(*book.network, set, [&](Address address) {
      if (!obtainable(attempt, book, address)) {
        return false;
      }
      obtainable_ones += " " + describe(book, address) + ";";
      return true;
    });
    if (!some) {
      return;
    }
  }
  expect(false, Check::kLeak,
         attempt.container + " (uid " + attempt.uid +
             ") was told that a range set is exhausted, at " +
             std::to_string(attempt.start.count()) + "; but:" + obtainable_ones);
}

// Whether that is beyond doubt. Of a namespace that no ADD ever saw, its path may never have been
// one that podlease can see.
bool Model::surely_gone(const Attempt& attempt, const Holding& holding) const {
  return holding.recorded && visibly_gone(attempt, holding);
}

// Whether the last sandbox of the pod was given the address, and nobody else since.
bool Model::was_last_of(const Book& book, const std::string& uid, Address address) {
  const auto former = book.former.find(uid);
  const auto last = book.last_uid.find(address);
  return former != book.former.end() && last != book.last_uid.end() && last->second == uid &&
         std::find(former->second.begin(), former->second.end(), address) != former->second.end();
}

bool Model::obtainable(const Attempt& attempt, const Book& book, Address address) const {
  if (host_->held.contains(address)) {
    return false;
  }
  const auto leased = book.leased.find(address);
  if (leased == book.leased.end()) {
    return true;
  }
  const Holding& other = *leased->second.holder;
  if (other.container == attempt.container || is_old(other)) {
    return true;
  }
  if (other.netns->alive || !surely_gone(attempt, other)) {
    return false;
  }
  return (was_last_of(book, attempt.uid, address) && other.netns->folder != Folder::kProc) ||
         (other.noted && attempt.start - *other.noted >= kGrace + kSecond);
}

// An ADD that is told 101 asked for an address that somebody has.
void Model::judge_taken(const Attempt& attempt) const {
  const Book& book = books_[attempt.network];
  if (host_->held.contains(*attempt.requested)) {
    return;
  }
  const auto leased = book.leased.find(*attempt.requested);
  const bool by_another = leased != book.leased.end();
  expect(by_another, Check::kCodes,
         attempt.container + " was told that somebody has " + describe(book, *attempt.requested));
  if (by_another) {
    const Holding& other = *leased->second.holder;
    const bool own_pod = was_last_of(book, attempt.uid, *attempt.requested) &&
                         other.netns->folder != Folder::kProc && surely_gone(attempt, other);
    expect(!is_old(other) && !own_pod, Check::kLeak,
           attempt.container + " (uid " + attempt.uid + ") was refused " +
               describe(book, *attempt.requested));
  }
}

void Model::deleted(std::size_t network, const std::string& container, const Answer& answer,
                    bool may_fail) {
  Book& book = books_[network];
  const auto found = book.holdings.find(container);
  if (answer.crashed || (may_fail && !answer.succeeded())) {
    if (!answer.crashed) {
      expect(answer.code() == 5 || answer.code() == 11, Check::kCodes,
             "DEL of " + container + " was answered " + answer.in_short());
    }
    // Whether it came to pass: all of it, or nothing.
    if (found != book.holdings.end()) {
      const HoldingPtr holding = found->second;
      const bool could_end = holding->may_end;
      holding->may_end = true;
      audit();
      if (book.holdings.contains(container)) {
        holding->may_end = could_end;
        expect(could_end || std::all_of(holding->addresses.begin(), holding->addresses.end(),
                                        [](const auto& address) { return address.has_value(); }),
               Check::kLeases, "half a DEL of " + container);
      }
    }
    return;
  }
  expect(answer.succeeded() && answer.output.empty(), Check::kCodes,
         "DEL of " + container + " was answered " + answer.in_short());
  if (found != book.holdings.end()) {
    const HoldingPtr holding = found->second;
    end_holding(book, holding, !holding->may_end);
  }
}

void Model::checked(std::size_t network, const std::string& container,
                    const std::vector<Address>& previous, const Answer& answer) {
  const Book& book = books_[network];
  const std::string what = "CHECK of " + container + " was answered " + answer.in_short();
  const auto found = book.holdings.find(container);
  if (found == book.holdings.end()) {
    expect(answer.code() == 3, Check::kCodes, what + ", without a lease");
    return;
  }
  if (found->second->may_end) {
    expect(answer.succeeded() || answer.code() == 3 || answer.code() == 999, Check::kCodes, what);
    return;
  }
  const bool same = std::all_of(
      found->second->addresses.begin(), found->second->addresses.end(), [&](const auto& address) {
        return !address || std::find(previous.begin(), previous.end(), *address) != previous.end();
      });
  expect(same ? answer.succeeded() : answer.code() == 999, same ? Check::kLeases : Check::kCodes,
         what);
}

void Model::status_told(std::size_t network, const Answer& answer) {
  const Book& book = books_[network];
  if (answer.code() != 50) {
    expect(answer.succeeded(), Check::kCodes, "STATUS was answered " + answer.in_short());
    return;
  }
  bool all_free = true;
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    all_free = all_free && any_address(*book.network, set, [&](Address address) {
                 const auto leased = book.leased.find(address);
                 return !host_->held.contains(address) &&
                        (leased == book.leased.end() || is_old(*leased->second.holder));
               });
  }
  expect(book.network->status_fails_when_exhausted && !all_free, Check::kCodes,
         "STATUS was answered " + answer.in_short());
}

void Model::collected(std::size_t network, const std::optional<std::set<std::string>>& valid,
                      const Answer& answer) {
  Book& book = books_[network];
  if (!answer.crashed) {
    expect(answer.succeeded(), Check::kCodes, "GC was answered " + answer.in_short());
  }
  std::vector<std::pair<HoldingPtr, bool>> unsure;  // and whether it could have ended before
  std::vector<HoldingPtr> ended;
  for (const auto& [container, holding] : book.holdings) {
    if (!valid || valid->contains(container)) {
      continue;
    }
    const host::NetnsSight sight = host_->sight(holding->netns->path);
    const bool seems_alive = !is_old(*holding) && sight.state == host::NetnsState::kAlive &&
                             holding->recorded == sight.id;
    if (seems_alive) {
      continue;  // kept, and the audit sees to it
    }
    const bool dead =
        is_old(*holding) || (holding->recorded && !holding->netns->alive && is_gone(*holding) &&
                             holding->netns->folder != Folder::kProc);
    if (dead && !answer.crashed) {
      ended.push_back(holding);
    } else {
      unsure.emplace_back(holding, holding->may_end);
      holding->may_end = true;
    }
  }
  for (const HoldingPtr& holding : ended) {
    end_holding(book, holding, false);
  }
  try {
    audit();
  } catch (const Violation& violation) {
    expect(false, Check::kGc, std::string("after GC: ") + violation.what());
  }
  for (const auto& [holding, could_end] : unsure) {
    holding->may_end = could_end;
  }
}

void Model::sight_changed() {
  for (Book& book : books_) {
    for (const auto& [container, holding] : book.holdings) {
      holding->noted.reset();
    }
  }
}

void Model::end_address(Book& book, Address address, bool precise) {
  const auto leased = book.leased.find(address);
  if (leased == book.leased.end()) {
    return;
  }
  const HoldingPtr holding = leased->second.holder;
  holding->addresses[leased->second.set].reset();
  book.leased.erase(leased);
  book.freed[address] = {.at = clock_->true_time(),
                         .boot = host_->boots(),
                         .position = ++positions_,
                         .precise = precise,
                         .uid = holding->uid,
                         .container = holding->container};
  if (std::none_of(holding->addresses.begin(), holding->addresses.end(),
                   [](const auto& one) { return one.has_value(); })) {
    const auto found = book.holdings.find(holding->container);
    if (found != book.holdings.end() && found->second == holding) {
      book.holdings.erase(found);
    }
  }
}

void Model::end_holding(Book& book, const HoldingPtr& holding, bool precise) {
  const std::vector<std::optional<Address>> addresses = holding->addresses;
  for (const std::optional<Address>& address : addresses) {
    if (address) {
      end_address(book, *address, precise);
    }
  }
}

void Model::audit(const Attempt* unfinished) {
  std::optional<store::Store> store =
      store::Store::open_existing({.folder = caller_->data_dir(),
                                   .registry = caller_->places().registry,
                                   .lock_timeout = Milliseconds(10'000)});
  if (!store) {
    expect(lease_count() == 0, Check::kLeases, "the store is gone");
    return;
  }
  store::Transaction transaction = store->begin();
  compare(transaction, unfinished);
}

void Model::compare(store::Transaction& transaction, const Attempt* unfinished) {
  ++audits_;
  try {
    transaction.verify();
  } catch (const std::exception& error) {
    expect(false, Check::kLeases, error.what());
  }
  const std::vector<store::Lease> leases = transaction.leases();

  // A call that was cut short either did all of its work or none.
  if (unfinished != nullptr) {
    Book& book = books_[unfinished->network];
    std::vector<Address> granted;
    bool fresh = false;  // the store has the attachment's new namespace
    for (const store::Lease& lease : leases) {
      if (lease.key.network == book.network->name() &&
          lease.key.container_id == unfinished->container) {
        granted.push_back(lease.address.address());
        fresh = lease.presence.netns == unfinished->netns->path &&
                lease.presence.boot_id == "boot-" + std::to_string(host_->boots());
      }
    }
    const auto before = book.holdings.find(unfinished->container);
    const bool held_before = before != book.holdings.end();
    if (!granted.empty() && (!held_before || fresh)) {
      // In the order of the sets.
      std::sort(granted.begin(), granted.end(), [&](Address a, Address b) {
        return book.network->set_of(a).value_or(0) < book.network->set_of(b).value_or(0);
      });
      if (held_before) {  // which may drain, so that no set says where they belong
        const std::vector<std::optional<Address>> old = before->second->addresses;
        for (std::size_t set = 0; set < old.size(); ++set) {
          const auto same = std::find(granted.begin(), granted.end(), old[set]);
          if (old[set] && same != granted.end() && set < granted.size()) {
            std::iter_swap(same, granted.begin() + static_cast<std::ptrdiff_t>(set));
          }
        }
      }
      const bool live = held_before && before->second->live && !is_old(*before->second);
      grant(*unfinished, granted, live);
    }
  }

  std::size_t index = 0;
  for (const store::Lease& lease : leases) {
    while (index < books_.size() && books_[index].network->name() != lease.key.network) {
      ++index;
    }
    if (index == books_.size()) {  // they are not in our order
      index = 0;
      while (index < books_.size() && books_[index].network->name() != lease.key.network) {
        ++index;
      }
      expect(index < books_.size(), Check::kLeases, "a lease of network " + lease.key.network);
    }
    Book& book = books_[index];
    const Address address = lease.address.address();
    const auto leased = book.leased.find(address);
    expect(leased != book.leased.end() &&
               leased->second.holder->container == lease.key.container_id &&
               lease.key.ifname == book.network->ifname(),
           Check::kLeases,
           "the store says that " + lease.key.container_id + " " + lease.key.ifname + " has " +
               describe(book, address));
    if (leased == book.leased.end()) {
      continue;
    }
    leased->second.seen = audits_;
    const Holding& holder = *leased->second.holder;
    expect(lease.pod.uid == holder.uid &&
               (is_old(holder) || unfinished != nullptr ||
                (lease.presence.netns == holder.netns->path &&
                 lease.presence.boot_id == "boot-" + std::to_string(holder.boot))),
           Check::kLeases,
           "the store knows another pod or namespace of " + describe(book, address) + ": uid " +
               lease.pod.uid + ", " + lease.presence.netns + ", " + lease.presence.boot_id);
  }
  for (Book& book : books_) {
    std::vector<Address> missing;
    for (const auto& [address, leased] : book.leased) {
      if (leased.seen != audits_) {
        missing.push_back(address);
      }
    }
    for (const Address address : missing) {
      const Holding& holder = *book.leased[address].holder;
      expect(!(holder.live && holder.netns->alive) || holder.may_end, Check::kLeases,
             "a live pod's lease ended: " + describe(book, address));
      expect(holder.may_end, Check::kEarly, "a lease ended: " + describe(book, address));
      end_address(book, address, false);
    }
    const std::optional<store::Network> network = transaction.find_network(book.network->name());
    if (network) {
      // What was freed since the call that failed began, it may have leased and freed again.
      const Milliseconds start =
          unfinished == nullptr
              ? Milliseconds::max()
              : clock_->now().since_boot - (clock_->true_time() - unfinished->start);
      for (const store::Freed& freed : transaction.freed(*network, everything())) {
        const bool known = book.freed.contains(freed.address);
        const bool again =
            freed.since_boot >= start && freed.boot_id == "boot-" + std::to_string(host_->boots());
        if (!book.leased.contains(freed.address) && (!known || again)) {
          book.freed[freed.address] = {.at = clock_->true_time(),
                                       .boot = host_->boots(),
                                       .position = ++positions_,
                                       .precise = false,
                                       .uid = {},
                                       .container = {}};
          book.last_uid.erase(freed.address);  // whose it was last is open
        }
      }
    }
  }
}

std::vector<Address> Model::held(std::size_t network, const std::string& container) const {
  std::vector<Address> addresses;
  const auto found = books_[network].holdings.find(container);
  if (found != books_[network].holdings.end()) {
    for (const std::optional<Address>& address : found->second->addresses) {
      if (address) {
        addresses.push_back(*address);
      }
    }
  }
  return addresses;
}

std::size_t Model::lease_count() const {
  std::size_t count = 0;
  for (const Book& book : books_) {
    count += book.leased.size();
  }
  return count;
}

bool Model::is_leased(std::size_t network, Address address) const {
  return books_[network].leased.contains(address);
}

}  // namespace podlease::sim
