#include "model.h"

#include <algorithm>
#include <array>

#include "podlease/net/range.h"

// What each call does to the books. What must hold of an answer is in model_judge.cpp, what the
// store must say in model_store.cpp.
namespace podlease::sim {
namespace {

using net::Address;

constexpr Milliseconds kGrace{60'000};

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
    for (std::size_t which = 0; which < Network::kNames; ++which) {
      Book book;
      book.network = &network;
      book.index = books_.size();
      books_.push_back(std::move(book));
    }
  }
  former_.resize(networks.size());
}

void Model::expect(bool holds, Check check, const std::string& what) const {
  if (!holds && !ignored_.contains(check)) {
    throw Violation(check, what);
  }
}

std::string Model::describe(const Holding& holding) const {
  const Namespace& netns = *holding.netns;
  std::string text =
      holding.container + " (uid " + holding.uid + ", netns " + std::to_string(netns.cookie) + " " +
      netns.path + " " + std::to_string(netns.id.inode) + " of " + host_->views[netns.view].what +
      " with " + std::to_string(netns.names.size()) + " names, " +
      std::to_string(netns.processes.size()) + " processes, " + std::to_string(netns.descriptors) +
      " descriptors" + (netns.talks ? ", talks" : "") + ", boot " + std::to_string(holding.boot) +
      (holding.was_seen() ? "" : ", never seen") +
      (holding.recorded.cookie == 0 ? ", no cookie" : "") + (holding.live ? ", live" : "") +
      (holding.nameless ? ", nameless" : "") + (holding.may_end ? ", may have ended" : "");
  if (holding.first_missed) {
    text += ", missed at " + std::to_string(holding.first_missed->count());
  }
  if (holding.noted) {
    text += ", noted at " + std::to_string(holding.noted->count());
  }
  return text + ")";
}

std::string Model::describe(const Book& book, Address address) const {
  std::string text = book.name() + " " + address.to_string();
  for (const Book& other : books_) {
    const auto leased = other.leased.find(address);
    if (leased != other.leased.end() && may_share_wire(book, other)) {
      text += ", leased to " + describe(*leased->second.holder) + " in " + other.name();
    }
    const auto freed = other.freed.find(address);
    if (freed != other.freed.end() && may_share_wire(book, other)) {
      text += ", freed " + std::to_string((clock_->true_time() - freed->second.at).count()) +
              " ms ago in " + other.name() + " by " + freed->second.container + " (uid " +
              freed->second.uid + ", boot " + std::to_string(freed->second.boot) +
              (freed->second.precise ? "" : ", or earlier") + ")";
    }
  }
  return text + (host_->is_held(address) ? ", held by the host" : "");
}

// ---- Calls

// What an ADD may have done to the leases of others.
void Model::suspect(const Attempt& attempt) {
  const Milliseconds end = clock_->true_time();
  const Book& own = books_[attempt.book];
  std::optional<bool> need;
  for (Book& book : books_) {
    const bool here = may_share_wire(own, book);
    for (const auto& [container, holding] : book.holdings) {
      Holding& other = *holding;
      if (book.index == own.index && container == attempt.container) {
        continue;
      }
      if (!is_old(other)) {
        forget_note_if_in_doubt(attempt, other);
      }
      if (other.may_end) {
        continue;
      }
      const bool own_pod =
          book.network == own.network && !attempt.uid.empty() && other.uid == attempt.uid;
      if (is_old(other)) {
        if (here && !own_pod && !need) {
          need = in_need(own, attempt.start);
        }
        other.may_end = own_pod || (here && *need);
        continue;
      }
      if (shows_missing(other, attempt.view)) {
        other.first_missed = other.first_missed.value_or(attempt.start);
      }
      // Without cookies the caller's own namespace may show that the number is another's now.
      const bool is_renumbered = host_->numbered(other.recorded.at.id) == attempt.netns &&
                                 shows_missing(other, attempt.view) &&
                                 host_->views[attempt.view].reads_all_processes;
      if (!is_renumbered && !may_be_gone(other, attempt.view)) {
        continue;
      }
      // Its neighbours count before an address is reclaimed, and not for its own pod.
      other.may_end = own_pod || (here && !lives(other) && other.first_missed &&
                                  end - *other.first_missed >= kGrace);
    }
  }
}

// Who looks at a suspect and finds its number in use, or cannot prove that nothing lives in it,
// lets it off: its grace begins anew.
void Model::forget_note_if_in_doubt(const Attempt& attempt, Holding& holding) const {
  const host::NetnsAt there = host_->sight(holding.netns->path, attempt.view);
  const bool seems_there =
      there.state == host::NetnsState::kAlive && there.id == holding.recorded.at.id;
  const NamespacePtr numbered = host_->numbered(holding.recorded.at.id);
  const bool number_runs = numbered && host_->occupied_as_seen(*numbered, attempt.view);
  // Without cookies whoever is in a namespace of that number counts as its holder.
  const bool knows_numbers_only = holding.recorded.cookie == 0 || !host_->has_cookies(attempt.view);
  if ((number_runs && knows_numbers_only) ||
      ((seems_there || number_runs || shows_missing(holding, attempt.view)) &&
       !is_surely_gone(attempt, holding))) {
    holding.noted.reset();
  }
}

void Model::added(const Attempt& attempt, const Answer& answer) {
  find_wires();
  suspect(attempt);
  if (answer.crashed) {
    audit(&attempt);
    return;
  }
  if (!answer.succeeded()) {
    refused(attempt, answer);
    return;
  }
  grant(attempt, answer.addresses(), true);
}

// What the attachment holds, as far as it goes on. Nothing: all that it was given is new.
Model::HoldingPtr Model::held_before(const Attempt& attempt,
                                     const std::vector<net::Prefix>& addresses) {
  Book& book = books_[attempt.book];
  const auto found = book.holdings.find(attempt.container);
  if (found == book.holdings.end()) {
    return nullptr;
  }
  const HoldingPtr holding = found->second;
  judge_kept(attempt, *holding, addresses);
  for (const std::optional<Address>& own : std::vector(holding->addresses)) {
    const bool kept = own && std::any_of(addresses.begin(), addresses.end(),
                                         [&](const auto& one) { return one.address() == *own; });
    if (kept || !own) {
      continue;
    }
    // What only a descriptor holds nobody can show, and the container's runtime says that another
    // namespace is its own now.
    if (lives(*holding) && holding->netns != attempt.netns && !is_hidden(*holding)) {
      park(book, holding);  // its old namespace lives on, and nothing of it may be given away
      return nullptr;
    }
    end_address(book, *own, false);
  }
  return book.holdings.contains(attempt.container) ? holding : nullptr;
}

// Its container has another namespace now.
void Model::park(Book& book, const HoldingPtr& holding) {
  book.holdings.erase(holding->container);
  holding->nameless = true;
  holding->container = "former " + holding->container + " " + std::to_string(++nameless_);
  book.holdings[holding->container] = holding;
}

void Model::grant(const Attempt& attempt, const std::vector<net::Prefix>& addresses,
                  bool answered) {
  Book& book = books_[attempt.book];
  const Network& network = *book.network;
  HoldingPtr holding = held_before(attempt, addresses);
  if (!holding) {
    expect(addresses.size() == network.sets_configured(), Check::kWhole,
           attempt.container + " got " + std::to_string(addresses.size()) + " addresses from " +
               std::to_string(network.sets_configured()) + " range sets");
    holding = std::make_shared<Holding>();
    holding->book = book.index;
    holding->container = attempt.container;
    holding->addresses.resize(network.set_count());
  }
  std::vector<std::pair<std::size_t, Address>> fresh;
  for (const net::Prefix& prefix : addresses) {
    const Address address = prefix.address();
    const std::optional<std::size_t> set = network.home_of(address);
    if (set && holding->addresses[*set] == address) {
      continue;
    }
    expect(set && network.has_set(*set) && !holding->addresses[*set], Check::kRange,
           describe(book, address) + " was given to " + attempt.container +
               " from no range set, or a second one from its set");
    if (!set) {
      continue;
    }
    judge(attempt, *set, address);
    expect(network.mask_of(*set, address) == prefix.length(), Check::kRange,
           describe(book, address) + " was given to " + attempt.container + " with mask " +
               std::to_string(prefix.length()));
    fresh.emplace_back(*set, address);
  }
  // Judged by the state before any of it; now it counts.
  for (const auto& [set, address] : fresh) {
    end_others_with(book, address, holding);
    for (Book& other : books_) {
      if (other.network == book.network ||
          have_common_wire(other.network->link().wires, network.link().wires)) {
        other.freed.erase(address);
      }
    }
    book.leased[address] = {.holder = holding, .set = set, .seen = 0};
    holding->addresses[set] = address;
    last_uid_[address] = {attempt.uid, book.index / Network::kNames};
  }
  settle(attempt, holding, answered);
}

void Model::end_others_with(const Book& book, Address address, const HoldingPtr& holding) {
  for (Book& other : books_) {
    const auto leased = other.leased.find(address);
    if (leased != other.leased.end() && leased->second.holder != holding &&
        share_wire(book, *leased->second.holder)) {
      leased->second.holder->may_end = true;  // whole, as all of an attachment ends together
      end_address(other, address, false);
    }
  }
}

void Model::settle(const Attempt& attempt, const HoldingPtr& holding, bool answered) {
  Book& book = books_[attempt.book];
  if (!attempt.uid.empty()) {
    former_[book.index / Network::kNames][attempt.uid] = holding->addresses;
  }
  const std::set<std::string>& wires = book.network->link().wires;
  book.wires.insert(wires.begin(), wires.end());
  holding->wires = wires;
  holding->uid = attempt.uid;
  // Who does not see the namespace forgets nothing of what was seen of it.
  const bool knows_more = attempt.own.at.state != host::NetnsState::kAlive &&
                          holding->boot == host_->boots() && holding->netns != nullptr &&
                          holding->was_seen() && holding->netns->path == attempt.netns->path;
  holding->netns = attempt.netns;
  if (!knows_more) {
    holding->recorded = attempt.own;
  }
  holding->boot = host_->boots();
  holding->live = answered;
  holding->may_end = false;
  holding->first_missed.reset();
  holding->noted.reset();
  book.holdings[attempt.container] = holding;
}

// Any of them, also together with others.
void Model::may_have_ended(const std::vector<HoldingPtr>& unsure) {
  std::vector<bool> could_end;
  could_end.reserve(unsure.size());
  for (const HoldingPtr& one : unsure) {
    could_end.push_back(one->may_end);
    one->may_end = true;
  }
  audit();
  for (std::size_t index = 0; index < unsure.size(); ++index) {
    const HoldingPtr& one = unsure[index];
    const auto& holdings = books_[one->book].holdings;
    const auto found = holdings.find(one->container);
    if (found != holdings.end() && found->second == one && !in_flight_) {
      one->may_end = could_end[index];
    }
  }
}

void Model::deleted(const Attempt& attempt, const Answer& answer, bool may_fail) {
  Book& book = books_[attempt.book];
  const std::string what = "DEL of " + attempt.container + " was answered " + answer.in_short();
  // What is known by its namespace alone is found by that, and what was attached under the
  // network's other name by its pod's UID.
  std::vector<HoldingPtr> unsure;
  HoldingPtr holding;
  for (Book& other : books_) {
    for (const auto& [container, one] : other.holdings) {
      const bool is_it = &other == &book && container == attempt.container;
      if (is_it) {
        holding = one;
      } else if (one->nameless ? one->netns == attempt.netns
                               : container == attempt.container && other.network == book.network) {
        unsure.push_back(one);
      }
    }
  }
  if (answer.crashed || !answer.succeeded()) {
    expect(answer.crashed || (may_fail && (answer.code() == 5 || answer.code() == 11)),
           Check::kCodes, what);
    if (holding) {
      unsure.push_back(holding);
    }
  } else {
    expect(answer.output.empty(), Check::kCodes, what);
    if (holding && may_fail) {
      // Not checked: a full disk, where the configuration names another store than the lease's. The
      // DEL succeeds, and what it could not end there is left to be reclaimed.
      unsure.push_back(holding);
    } else if (holding) {
      end_holding(book, holding, !holding->may_end);
    }
  }
  if (!unsure.empty()) {
    may_have_ended(unsure);
  }
}

void Model::checked(std::size_t index, const std::string& container,
                    const std::vector<Address>& previous, const Answer& answer) {
  const Book& book = books_[index];
  const std::string what = "CHECK of " + container + " was answered " + answer.in_short();
  if (answer.code() == 7 && is_taken_for_another_machine(what)) {
    return;
  }
  const auto found = book.holdings.find(container);
  if (found == book.holdings.end()) {
    const bool nameless = std::any_of(book.holdings.begin(), book.holdings.end(),
                                      [](const auto& one) { return one.second->nameless; });
    expect(answer.code() == 3 || nameless, Check::kCodes, what + ", without a lease");
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

void Model::status_told(std::size_t index, const Answer& answer) {
  find_wires();
  const Book& book = books_[index];
  if (answer.code() == 7) {
    Attempt asked;
    asked.book = index;
    refused_by_configuration(asked, "STATUS was answered " + answer.in_short());
    return;
  }
  if (answer.code() != 50) {
    expect(answer.succeeded(), Check::kCodes, "STATUS was answered " + answer.in_short());
    return;
  }
  bool all_free = true;
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    all_free = all_free && (!book.network->has_set(set) ||
                            any_address(*book.network, set, [&](Address address) {
                              return !host_->is_held(address) && !is_leased_on_wire(book, address);
                            }));
  }
  expect(book.network->status_fails_when_exhausted && !all_free, Check::kCodes,
         "STATUS was answered " + answer.in_short());
}

void Model::collected(std::size_t index, std::size_t view,
                      const std::optional<std::set<std::string>>& valid, const Answer& answer) {
  Book& book = books_[index];
  if (answer.code() == 7 && is_taken_for_another_machine(answer.in_short())) {
    audit();
    return;
  }
  if (!answer.crashed) {
    expect(answer.succeeded(), Check::kCodes, "GC was answered " + answer.in_short());
  }
  std::vector<std::pair<HoldingPtr, bool>> unsure;  // and whether it could have ended before
  std::vector<HoldingPtr> ended;
  for (const auto& [container, holding] : book.holdings) {
    if (!valid || valid->contains(container)) {
      continue;
    }
    const bool gone = may_be_gone(*holding, view);
    const bool dead = is_provably_old(*holding, view) ||
                      (is_provably_gone(*holding, view) && has_witness(book, view, nullptr) &&
                       holding->was_seen());
    if (dead && !answer.crashed && !holding->nameless) {
      ended.push_back(holding);
    } else if (dead || gone || is_old(*holding) ||
               (!holding->was_seen() && !shows_alive(*holding, view))) {
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

void Model::swept(std::size_t view, const std::string& refusal) {
  if (!refusal.empty()) {
    expect(is_taken_for_another_machine(refusal), Check::kCodes, "podlease gc: " + refusal);
    audit();
    return;
  }
  const Milliseconds now = clock_->true_time();
  std::vector<HoldingPtr> due;
  for (Book& book : books_) {
    for (const auto& [container, holding] : book.holdings) {
      Holding& one = *holding;
      if (shows_missing(one, view)) {
        one.first_missed = one.first_missed.value_or(now);
      }
      const bool gone = may_be_gone(one, view) && !lives(one);
      one.may_end = one.may_end || is_old(one) ||
                    (gone && one.first_missed && now - *one.first_missed >= kGrace);
      if (gone && is_provably_gone(one, view) && has_witness(book, view, nullptr)) {
        if (is_overdue(one, view, now)) {
          due.push_back(holding);
        }
        one.noted = one.noted.value_or(now);
      }
    }
  }
  audit();
  for (const HoldingPtr& holding : due) {
    const auto found = books_[holding->book].holdings.find(holding->container);
    expect(found == books_[holding->book].holdings.end() || found->second != holding, Check::kLeak,
           "podlease gc from " + host_->views[view].what + " left " + describe(*holding));
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
  if (holding->netns) {
    ended_netns_[holding->netns->id] = holding->netns;
  }
  const std::vector<std::optional<Address>> addresses = holding->addresses;
  for (const std::optional<Address>& address : addresses) {
    if (address) {
      end_address(book, *address, precise);
    }
  }
}

// ---- What the life asks

std::vector<Address> Model::held(std::size_t index, const std::string& container) const {
  std::vector<Address> addresses;
  const auto found = books_[index].holdings.find(container);
  if (found != books_[index].holdings.end()) {
    for (const std::optional<Address>& address : found->second->addresses) {
      if (address) {
        addresses.push_back(*address);
      }
    }
  }
  return addresses;
}

bool Model::holds_in(std::size_t index, const std::string& container,
                     const Namespace& netns) const {
  const auto found = books_[index].holdings.find(container);
  return found != books_[index].holdings.end() && found->second->netns.get() == &netns;
}

bool Model::has_holder(const Namespace& netns, const std::string& ifname) const {
  return std::any_of(books_.begin(), books_.end(), [&](const Book& book) {
    return book.network->ifname() == ifname &&
           std::any_of(book.holdings.begin(), book.holdings.end(),
                       [&](const auto& one) { return one.second->netns.get() == &netns; });
  });
}

std::size_t Model::lease_count() const {
  std::size_t count = 0;
  for (const Book& book : books_) {
    count += book.leased.size();
  }
  return count;
}

bool Model::is_leased(std::size_t network, Address address) const {
  return is_leased_on_wire(books_[network * Network::kNames], address);
}

}  // namespace podlease::sim
