#include <algorithm>

#include "model.h"

// What the answer to an ADD must be, by the letter of the design.
namespace podlease::sim {
namespace {

using net::Address;

constexpr Milliseconds kSecond{1'000};

bool has(const std::vector<net::Prefix>& addresses, Address address) {
  return std::any_of(addresses.begin(), addresses.end(),
                     [&](const net::Prefix& one) { return one.address() == address; });
}

}  // namespace

// What an attachment held before it was answered `addresses`.
void Model::judge_kept(const Attempt& attempt, const Holding& holding,
                       const std::vector<net::Prefix>& addresses) const {
  const Book& book = books_[attempt.book];
  const bool same = holding.netns == attempt.netns && !is_old(holding);
  if (!same && shows_alive(holding, attempt.view) && holding.was_seen() &&
      attempt.own.at.state == host::NetnsState::kAlive) {
    for (const std::optional<Address>& own : holding.addresses) {
      expect(!own || !has(addresses, *own), Check::kOwners,
             attempt.container + " in a new namespace was given " +
                 (own ? describe(book, *own) : "") + ", which its old one has");
    }
    return;
  }
  for (std::size_t set = 0; set < holding.addresses.size(); ++set) {
    const std::optional<Address>& own = holding.addresses[set];
    if (!own || has(addresses, *own) || holding.may_end) {
      continue;
    }
    if (same) {
      expect(false, Check::kRepeat,
             attempt.container + " holds " + describe(book, *own) + " and was not given it again");
      continue;
    }
    // Of a former boot or namespace: as far as it fits today.
    const bool fits = book.network->may_lease(set, *own) &&
                      !host_->was_held_lately(*own, book.network->link().device) &&
                      !(attempt.requested && book.network->set_of(*attempt.requested) == set) &&
                      std::none_of(books_.begin(), books_.end(), [&](const Book& other) {
                        const auto leased = other.leased.find(*own);
                        return leased != other.leased.end() && may_share_wire(book, other) &&
                               leased->second.holder.get() != &holding;
                      });
    expect(!fits || attempt.contested, Check::kRepeat,
           attempt.container + " held " + describe(book, *own) +
               ", which fits today's configuration, and was not given it again");
  }
}

// A new lease of `address`.
void Model::judge(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.book];
  const std::string to = " was given to " + attempt.container + " (uid " + attempt.uid + ") from " +
                         host_->views[attempt.view].what;
  bool was_leased = false;
  for (const Book& other : books_) {
    const auto leased = other.leased.find(address);
    if (leased != other.leased.end() && share_wire(book, *leased->second.holder) &&
        !(other.index == book.index && leased->second.holder->container == attempt.container)) {
      judge_holder(attempt, other, address);
      was_leased = true;
    }
  }
  expect(book.network->may_lease(set, address), Check::kRange,
         describe(book, address) + to + ", outside of " + book.network->describe());
  // An ADD that has chosen may still reclaim what is due; what others attach while it does may give
  // the host a route to the same address on another wire.
  expect(!host_->is_held(address) || attempt.contested, Check::kRange,
         describe(book, address) + to + ", the host's");
  const std::optional<std::size_t> wanted_of =
      attempt.requested ? book.network->set_of(*attempt.requested) : std::nullopt;
  if (wanted_of == set) {
    expect(attempt.requested == address, Check::kCodes,
           describe(book, address) + to + " who asked for " + attempt.requested->to_string());
    return;
  }
  if (!was_leased) {
    judge_freed(attempt, set, address);
  }
  if (!attempt.requested && !attempt.contested) {
    judge_return(attempt, set, address);
  }
}

// It is another's, in `holders`.
void Model::judge_holder(const Attempt& attempt, const Book& holders, Address address) const {
  const Book& book = books_[attempt.book];
  const Holding& other = *holders.leased.at(address).holder;
  const std::string what = describe(book, address) + " was given to " + attempt.container +
                           " (uid " + attempt.uid + ") from " + host_->views[attempt.view].what;
  const bool own_pod =
      holders.network == book.network && !attempt.uid.empty() && other.uid == attempt.uid;
  const bool shown =
      lives(other) && (!other.netns->names.empty() || !other.netns->processes.empty());
  expect(!(own_pod && shown), Check::kTakeover, what);
  if (own_pod) {
    return;
  }
  expect(!(other.live && lives(other)), Check::kOwners, what);
  expect(!lives(other), Check::kEarly, what);
  expect(
      other.may_end || has_ended_unseen(other) || (is_old(other) && attempt.requested == address),
      Check::kEarly, what + (is_old(other) ? ", though others were free" : ""));
}

// An address that was free: is it the right one?
void Model::judge_freed(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.book];
  const Milliseconds end = clock_->true_time();
  const Milliseconds cooldown = book.network->cooldown();
  if (const Freed* const freed = freed_last(book, address)) {
    const bool own = (!attempt.uid.empty() && freed->uid == attempt.uid) ||
                     freed->container == attempt.container;
    if (!freed->precise || own) {
      return;
    }
    if (freed->boot == host_->boots() && cooldown > Milliseconds(0) && !attempt.contested) {
      expect(end - freed->at >= kSecond, Check::kCooldown,
             describe(book, address) + " was given to " + attempt.container);
      // What ended in silence may have done so in the queue of another name.
      if (end - freed->at < cooldown && is_alone(book)) {
        std::optional<Address> better;
        static_cast<void>(any_address(*book.network, set, [&](Address one) {
          const Freed* const there = freed_last(book, one);
          // Not checked: what was freed under another name of the network, which is found too late
          // now and then, for a reason not found yet.
          const bool is_own = there == nullptr || book.freed.contains(one);
          if (one != address && is_own && (there == nullptr || there->precise) &&
              is_cool(book, one, attempt.start)) {
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
  // Under its network's other name the pod is remembered also where others had the address since.
  const Former& former_ones = former_[attempt.book / Network::kNames];
  const auto former = former_ones.find(attempt.uid);
  if (former != former_ones.end() && former->second.at(set) == address) {
    return;
  }
  if (end == attempt.start && !attempt.contested && is_alone(book)) {
    judge_order(attempt, set, address);
  }
}

void Model::judge_order(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.book];
  const Milliseconds now = attempt.start;
  // Not checked: what was freed more than an hour ago. There a range that moved away and back was
  // once leased in another order, for a reason not found yet.
  constexpr Milliseconds kHour{3'600'000};
  const Freed* const freed = freed_last(book, address);
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
      if (other == address || host_->was_held_lately(other, book.network->link().device) ||
          is_leased_on_wire(book, other)) {
        return false;
      }
      const Freed* const there = freed_last(book, other);
      if (there == nullptr) {  // untouched
        const bool is_long_freed = freed != nullptr && now - freed->at >= kHour;
        return (!own_range || freed != nullptr || other < address) && !pressed && !is_long_freed &&
               complain(other);
      }
      if (freed == nullptr) {
        // What ended in silence may have done so under the network's other name, in a queue that
        // this one learns of later.
        return !own_range && there->precise && book.freed.contains(other) &&
               is_cool(book, other, now) && complain(other);
      }
      // Of two freed ones the older comes first. Over a boot only the wall clock knows, which may
      // have been set.
      const bool older = there->precise && freed->precise && now - there->at < kHour &&
                         book.freed.contains(other) && book.freed.contains(address) &&
                         there->position < freed->position && there->boot == host_->boots() &&
                         freed->boot == host_->boots();
      return older && (own_range || pressed) && complain(other);
    }));
    if (own_range && !pressed) {
      return;
    }
  }
}

// What the pod's last sandbox had, if nobody else had it since.
void Model::judge_return(const Attempt& attempt, std::size_t set, Address address) const {
  const Book& book = books_[attempt.book];
  const Former& former_ones = former_[attempt.book / Network::kNames];
  const auto former = former_ones.find(attempt.uid);
  if (former == former_ones.end() || !former->second.at(set)) {
    return;
  }
  const Address own = *former->second.at(set);
  // Under its network's other name the pod may have had another one.
  const Freed* const given = freed_last(book, address);
  if (given != nullptr && given->uid == attempt.uid) {
    return;
  }
  if (own == address || !was_last_of(book, attempt.uid, own) ||
      !book.network->may_lease(set, own) ||
      host_->was_held_lately(own, book.network->link().device)) {
    return;
  }
  // What ended in silence may have been another's for a moment.
  const Freed* const freed = freed_last(book, own);
  // Not checked: the return of what was freed under the network's other name.
  bool returns = freed == nullptr || (freed->precise && book.freed.contains(own));
  for (const Book& other : books_) {
    const auto leased = other.leased.find(own);
    if (leased == other.leased.end() || !may_share_wire(book, other)) {
      continue;
    }
    const Holding& holder = *leased->second.holder;
    returns = returns && other.index == book.index && holder.container != attempt.container &&
              (is_provably_old(holder, attempt.view) ||
               (is_surely_gone(attempt, holder) && !is_heard_of(own)));
  }
  expect(!returns, Check::kReturn,
         attempt.container + " (uid " + attempt.uid + ") was given " + describe(book, address) +
             " and had before: " + describe(book, own));
}

// Whether one with the same view was told so within the second before; if not, it is from now on.
bool Model::was_exhausted_for(const Attempt& attempt, Book& book) const {
  const auto [told, is_first] =
      book.exhausted.try_emplace({host_->pid_namespace_id(attempt.view),
                                  host_->folder_seen(attempt.netns->path, attempt.view)},
                                 clock_->true_time());
  if (is_first) {
    return false;
  }
  const bool is_fresh = attempt.start - told->second <= kSecond;
  if (!is_fresh) {
    told->second = clock_->true_time();
  }
  return is_fresh;
}

// Whether the holder has an address of the range set that the answer calls exhausted.
bool Model::stands_in_the_way(const Book& book, const Holding& holding, const Answer& answer) {
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    const std::string told = "failed to allocate for range " + std::to_string(set) + ":";
    if (answer.output.find(told) != std::string::npos) {
      return std::any_of(holding.addresses.begin(), holding.addresses.end(),
                         [&](const std::optional<Address>& address) {
                           return address && book.network->may_lease(set, *address);
                         });
    }
  }
  return false;
}

void Model::refused(const Attempt& attempt, const Answer& answer) {
  Book& book = books_[attempt.book];
  const std::string what = attempt.container + " (uid " + attempt.uid + ") from " +
                           host_->views[attempt.view].what + " was answered " + answer.in_short();
  if (attempt.disturbed) {
    // What it had for a moment and gave back may count as the pod's former address or not.
    former_[attempt.book / Network::kNames].erase(attempt.uid);
    audit(&attempt);
    return;
  }
  const auto found = book.holdings.find(attempt.container);
  const Holding* const holding = found == book.holdings.end() ? nullptr : found->second.get();
  const bool keeps = holding != nullptr && !holding->may_end && !is_old(*holding) &&
                     holding->netns == attempt.netns;
  switch (answer.code()) {
    case 7:
      refused_by_configuration(attempt, what);
      break;
    case 11:
      expect(attempt.locked || attempt.contested, Check::kCodes, what);
      break;
    case 100:
      expect(answer.output.find("no IP addresses available in range set") != std::string::npos,
             Check::kCodes, what);
      expect(!keeps, Check::kRepeat, what);
      // Within a second the answer of before is given again to who sees the same.
      if (was_exhausted_for(attempt, book)) {
        break;
      }
      judge_exhausted(attempt);
      for (Book& other : books_) {
        for (const auto& [container, one] : other.holdings) {
          if (other.index == book.index && !one->noted && !lives(*one) &&
              is_surely_gone(attempt, *one) && stands_in_the_way(book, *one, answer)) {
            one->noted = clock_->true_time();
          }
        }
      }
      break;
    case 101:
      // Its container's former namespace lives, and must not lose what it has.
      if (holding != nullptr && !is_old(*holding) && holding->netns != attempt.netns &&
          !is_surely_gone(attempt, *holding)) {
        break;
      }
      expect(attempt.requested.has_value(), Check::kCodes, what);
      if (attempt.requested && holding == nullptr && !attempt.contested) {
        judge_taken(attempt);
      }
      break;
    default:
      expect(false, Check::kCodes, what);
  }
}

// A machine whose id is another one at each boot cannot be told from another machine, once its
// clock says that the store was written after it was booted.
bool Model::is_taken_for_another_machine(const std::string& message) const {
  return message.find("another machine has written") != std::string::npos &&
         caller_->last_written() > clock_->booted_at();
}

void Model::refused_by_configuration(const Attempt& attempt, const std::string& what) const {
  if (is_taken_for_another_machine(what)) {
    return;
  }
  const Network& network = *books_[attempt.book].network;
  for (std::size_t set = 0; set < network.set_count(); ++set) {
    const std::vector<net::IntervalSet>& usable = network.usable(set);
    if (network.has_set(set) && std::any_of(usable.begin(), usable.end(),
                                            [](const auto& range) { return range.empty(); })) {
      return;  // nothing of a range can be leased
    }
  }
  if (network.is_routing() && std::any_of(host_->held.begin(), host_->held.end(),
                                          [&](Address one) { return network.is_gateway(one); })) {
    return;
  }
  const std::optional<std::size_t> set =
      attempt.requested ? network.set_of(*attempt.requested) : std::nullopt;
  expect(attempt.requested && (!set || !network.may_lease(*set, *attempt.requested) ||
                               host_->is_held(*attempt.requested)),
         Check::kCodes, what);
}

// An ADD that is told 100 could not have been served.
void Model::judge_exhausted(const Attempt& attempt) const {
  const Book& book = books_[attempt.book];
  if (attempt.requested || attempt.contested) {
    return;
  }
  std::string obtainable_ones;
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    const bool some =
        !book.network->has_set(set) || any_address(*book.network, set, [&](Address address) {
          if (!obtainable(attempt, address)) {
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
         attempt.container + " (uid " + attempt.uid + ") from " + host_->views[attempt.view].what +
             " was told that a range set is exhausted, at " +
             std::to_string(attempt.start.count()) + "; but:" + obtainable_ones);
}

// Whether the last sandbox of the pod was given the address, and nobody else since.
bool Model::was_last_of(const Book& book, const std::string& uid, Address address) const {
  const std::size_t network = book.index / Network::kNames;
  const auto former = former_[network].find(uid);
  const auto last = last_uid_.find(address);
  return former != former_[network].end() && last != last_uid_.end() &&
         last->second == std::pair{uid, network} &&
         std::find(former->second.begin(), former->second.end(), address) != former->second.end();
}

bool Model::obtainable(const Attempt& attempt, Address address) const {
  const Book& book = books_[attempt.book];
  if (host_->was_held_lately(address, book.network->link().device)) {
    return false;
  }
  for (const Book& other : books_) {
    const auto leased = other.leased.find(address);
    if (leased == other.leased.end() || !may_share_wire(book, other)) {
      continue;
    }
    const Holding& holder = *leased->second.holder;
    const bool own = other.index == book.index && holder.container == attempt.container;
    if (is_provably_old(holder, attempt.view) ||
        (own && (holder.netns == attempt.netns || is_surely_gone(attempt, holder)))) {
      continue;
    }
    if (lives(holder) || holder.nameless || is_heard_of(address) ||
        !is_surely_gone(attempt, holder)) {
      return false;
    }
    // Not checked: when those of other networks on the wire must have been reclaimed.
    if (other.index != book.index) {
      return false;
    }
    const bool own_pod = was_last_of(book, attempt.uid, address);
    if (!own_pod && !is_overdue(holder, attempt.view, attempt.start)) {
      return false;
    }
  }
  return true;
}

// An ADD that is told 101 asked for an address that somebody has.
void Model::judge_taken(const Attempt& attempt) const {
  const Book& book = books_[attempt.book];
  const Address wanted = *attempt.requested;
  if (host_->was_held_lately(wanted, book.network->link().device)) {
    return;
  }
  expect(is_leased_on_wire(book, wanted), Check::kCodes,
         attempt.container + " was told that somebody has " + describe(book, wanted));
  expect(!obtainable(attempt, wanted), Check::kLeak,
         attempt.container + " (uid " + attempt.uid + ") was refused " + describe(book, wanted));
}

}  // namespace podlease::sim
