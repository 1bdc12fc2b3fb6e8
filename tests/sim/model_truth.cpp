#include <algorithm>

#include "model.h"

// What is true, and what can be told of it from a view.
namespace podlease::sim {
namespace {

using net::Address;

bool is_below_proc(const Namespace& netns) {
  return netns.folder == Folder::kProc;
}

}  // namespace

// ---- Holders

bool Model::lives(const Holding& holding) const {
  if (is_old(holding) || !host_->lives_provably(*holding.netns)) {
    return false;
  }
  // What only a descriptor holds is proven by its neighbours, and those know addresses.
  return !is_hidden(holding) ||
         std::any_of(holding.addresses.begin(), holding.addresses.end(),
                     [&](const auto& address) { return address && is_heard_of(*address); });
}

bool Model::shows_alive(const Holding& holding, std::size_t view) const {
  return !is_old(holding) &&
         (host_->at(holding.netns->path, view) == holding.netns ||
          (holding.was_seen() && host_->occupied_as_seen(*holding.netns, view)));
}

bool Model::shows_missing(const Holding& holding, std::size_t view) const {
  if (is_old(holding) || !holding.was_seen()) {
    return false;
  }
  const bool sees_its_processes = host_->views[view].pid_namespace == 0 ||
                                  host_->pid_namespace_id(view) == holding.recorded.pid_namespace;
  const std::string& path = holding.netns->path;
  if (!sees_its_processes || (!is_below_proc(*holding.netns) &&
                              host_->folder_seen(path, view) != holding.recorded.folder)) {
    return false;
  }
  const host::NetnsAt there = host_->sight(path, view);
  if (there.state != host::NetnsState::kAlive) {
    return there.state == host::NetnsState::kAbsent;
  }
  const NamespacePtr other = host_->at(path, view);
  return there.id != holding.recorded.at.id ||
         (other != holding.netns && holding.recorded.cookie != 0 && host_->has_cookies(view));
}

// But for a witness, where one is needed.
bool Model::is_provably_gone(const Holding& holding, std::size_t view) const {
  if (!shows_missing(holding, view) || !host_->views[view].reads_all_processes ||
      host_->occupied_as_seen(*holding.netns, view)) {
    return false;
  }
  // Another one has its number.
  const NamespacePtr other = host_->numbered(holding.recorded.at.id);
  return !other || other == holding.netns ||
         (holding.recorded.cookie != 0 && host_->has_cookies(view)) ||
         !host_->occupied_as_seen(*other, view);
}

// The later namespace with its number is recorded, by a name that still stands.
bool Model::is_known_to_be_renumbered(const Holding& holding, std::size_t view) const {
  const NamespacePtr other = host_->numbered(holding.recorded.at.id);
  return other && other != holding.netns && shows_missing(holding, view) &&
         host_->views[view].reads_all_processes && !host_->occupied_as_seen(*holding.netns, view) &&
         std::any_of(books_.begin(), books_.end(), [&](const Book& book) {
           return std::any_of(book.holdings.begin(), book.holdings.end(), [&](const auto& one) {
             return one.second->netns == other && host_->at(other->path, view) == other;
           });
         });
}

bool Model::may_be_gone(const Holding& holding, std::size_t view) const {
  return is_provably_gone(holding, view) || is_known_to_be_renumbered(holding, view);
}

bool Model::is_provably_old(const Holding& holding, std::size_t view) const {
  // Of another PID namespace, only the clocks tell whether it was before this boot, and those are
  // set.
  const bool was_initial = holding.recorded.pid_namespace == host_->pid_namespace_id(0);
  return is_old(holding) && (holding.recorded.pid_namespace == 0 ||
                             (was_initial && host_->views[view].pid_namespace == 0));
}

bool Model::has_witness(const Book& book, std::size_t view, const Namespace* own) const {
  if (host_->views[view].pid_namespace == 0 ||
      (own != nullptr && host_->occupied_as_seen(*own, view))) {
    return true;
  }
  return std::any_of(book.holdings.begin(), book.holdings.end(), [&](const auto& one) {
    const Holding& other = *one.second;
    return !is_old(other) && other.was_seen() &&
           other.recorded.pid_namespace == host_->pid_namespace_id(view) &&
           host_->occupied_as_seen(*other.netns, view) &&
           // Or a later one may have its number.
           ((other.recorded.cookie != 0 && host_->has_cookies(view)) ||
            host_->at(other.netns->path, view) == other.netns);
  });
}

bool Model::is_overdue(const Holding& holding, std::size_t view, Milliseconds now) const {
  constexpr Milliseconds kGraceAndMore{61'000};
  return holding.noted && now - *holding.noted >= kGraceAndMore && holding.recorded.cookie != 0 &&
         host_->has_cookies(view) &&
         std::none_of(holding.addresses.begin(), holding.addresses.end(),
                      [&](const auto& address) { return address && is_heard_of(*address); });
}

bool Model::is_surely_gone(const Attempt& attempt, const Holding& holding) const {
  return is_provably_gone(holding, attempt.view) &&
         has_witness(
             books_[attempt.book], attempt.view,
             attempt.own.at.state == host::NetnsState::kAlive ? attempt.netns.get() : nullptr);
}

// ---- Wires

bool Model::share_wire(const Book& book, const Holding& holding) const {
  return holding.book == book.index || have_common_wire(book.network->link().wires, holding.wires);
}

bool Model::may_share_wire(const Book& book, const Book& other) const {
  return book.network == other.network || may_share_.contains({book.network, other.network});
}

// A network is on all wires that it was ever known to be on, under whatever name. This costs more
// than what it is asked for, so it is found out once for each call.
void Model::find_wires() {
  std::map<const Network*, std::set<std::string>> wires;
  for (const Book& book : books_) {
    wires[book.network].insert(book.wires.begin(), book.wires.end());
    wires[book.network].merge(std::set(book.network->link().wires));
  }
  may_share_.clear();
  for (const auto& [one, its_wires] : wires) {
    for (const auto& [other, other_wires] : wires) {
      if (have_common_wire(its_wires, other_wires)) {
        may_share_.emplace(one, other);
      }
    }
  }
}

// Nothing but its own leases says what is free and untouched.
bool Model::is_alone(const Book& book) const {
  return std::all_of(books_.begin(), books_.end(), [&](const Book& other) {
    return other.network == book.network
               ? other.wires.empty() || other.wires == book.network->link().wires
               : !may_share_wire(book, other);
  });
}

const Model::Freed* Model::freed_last(const Book& book, Address address) const {
  const Freed* last = nullptr;
  for (const Book& other : books_) {
    const auto found = other.freed.find(address);
    if (found != other.freed.end() && may_share_wire(book, other) &&
        (last == nullptr || found->second.position > last->position)) {
      last = &found->second;
    }
  }
  return last;
}

bool Model::is_leased_on_wire(const Book& book, Address address) const {
  return std::any_of(books_.begin(), books_.end(), [&](const Book& other) {
    return other.leased.contains(address) && may_share_wire(book, other);
  });
}

bool Model::is_cool(const Book& book, Address address, Milliseconds when) const {
  if (host_->was_held_lately(address, book.network->link().device) ||
      is_leased_on_wire(book, address)) {
    return false;
  }
  const Freed* const freed = freed_last(book, address);
  return freed == nullptr ||
         (freed->boot == host_->boots() && when - freed->at >= book.network->cooldown());
}

bool Model::in_need(const Book& book, Milliseconds when) const {
  for (std::size_t set = 0; set < book.network->set_count(); ++set) {
    if (book.network->has_set(set) && !any_address(*book.network, set, [&](Address address) {
          return is_cool(book, address, when);
        })) {
      return true;
    }
  }
  return false;
}

}  // namespace podlease::sim
