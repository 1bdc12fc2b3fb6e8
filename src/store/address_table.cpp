#include "podlease/store/address_table.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "address_rows.h"
#include "codec.h"
#include "database.h"
#include "notes.h"

namespace podlease::store {
namespace {

using net::Address;
using net::Family;
using net::IntervalSet;
using net::Range;

// Walks over what is of no use are this long before it is asked or told how far they were known to
// go: over rows of the queue that no range covers any more, and over touched intervals.
constexpr int kFewSteps = 64;

// Of what the set holds of one family: the same addresses have the same fingerprint in every
// process.
std::int64_t fingerprint(Family family, const IntervalSet& set) {
  std::uint64_t hash = kEmptyHash;
  for (const Range& range : set.ranges()) {
    if (range.family() == family) {
      hash = hash_of(encode({range.first(), range.last()}), hash);
    }
  }
  return static_cast<std::int64_t>(hash);
}

// Ranges are edited now and then; a handful of sets is all that is worth remembering: this one, and
// those that spare the longest walk.
void forget_other_sets(Database& database, const std::string& kind, std::int64_t network,
                       std::int64_t key) {
  Query(database,
        "DELETE FROM note WHERE kind = ?1 AND network = ?2 AND key <> ?3 AND key NOT IN"
        " (SELECT key FROM note WHERE kind = ?1 AND network = ?2 ORDER BY value DESC LIMIT 32)")
      .bind(kind, network, key)
      .run();
}

Freed read_freed(Query& row) {
  return {.address = row.address(),
          .position = row.integer(),
          .at = to_time(row.integer()),
          .since_boot = Milliseconds(row.integer()),
          .boot_id = row.text(),
          .pod_uid = row.text()};
}

std::optional<Freed> freed_in(Database& database, std::int64_t network, Address address) {
  Query row(
      database,
      "SELECT address, position, at, since_boot, boot, pod_uid FROM freed WHERE network = ? AND "
      "address = ?");
  return row.bind(network, address).next() ? std::optional(read_freed(row)) : std::nullopt;
}

// Notes of kind `touched`: the fingerprint of a set of usable addresses -> two addresses. None of
// the set from the first on to before the second is untouched, in no network of the reach.
class KnownTouched {
 public:
  KnownTouched(Database& database, const Network& network, Family family, const IntervalSet& usable)
      : database_(&database), network_(network.id), key_(fingerprint(family, usable)) {
    for (const std::int64_t id : network.reach) {
      key_ = static_cast<std::int64_t>(
          hash_of(std::to_string(id) + "\n", static_cast<std::uint64_t>(key_)));
    }
    Query row(database, kFindNote);
    if (row.bind("touched", network_, key_).next()) {
      if (const auto found = decode(row.text()); found && found->size() == 2) {
        begin_ = found->front();
        end_ = found->back();
      }
    }
  }

  [[nodiscard]] bool holds(Address address) const {
    return begin_ && *begin_ <= address && address < *end_;
  }
  [[nodiscard]] std::optional<Address> end() const { return end_; }

  // Nothing from `from` on to before `found` is untouched.
  void note(Address from, Address found) const {
    if (begin_ && from > *end_) {
      return;  // it says nothing of what lies between
    }
    set_note(*database_, "touched", network_, key_,
             encode({begin_ ? std::min(*begin_, from) : from, found}));
    forget_other_sets(*database_, "touched", network_, key_);
  }

 private:
  Database* database_;
  std::int64_t network_;
  std::int64_t key_;
  std::optional<Address> begin_;
  std::optional<Address> end_;
};

// The last address of the set that is of the family of `from`; itself if there is none.
Address last_of(const IntervalSet& set, Address from) {
  Address last = from;
  for (const Range& range : set.ranges()) {
    if (range.family() == from.family()) {
      last = range.last();
    }
  }
  return last;
}

// Those of `usable` that are leased in any of the networks.
IntervalSet leased_of(Database& database, const std::vector<std::int64_t>& networks,
                      const IntervalSet& usable) {
  std::vector<Range> leased;
  for (const std::int64_t network : networks) {
    Query rows(database, "SELECT address FROM lease WHERE network = ?");
    rows.bind(network);
    while (rows.next()) {
      const Address address = rows.address();
      if (usable.contains(address)) {
        leased.push_back(Range::single(address));
      }
    }
  }
  return IntervalSet(std::move(leased));
}

// In the order of one network's queue.
std::vector<Freed> freed_of(Database& database, std::int64_t network, const IntervalSet& usable) {
  std::vector<Freed> found;
  Query rows(database,
             "SELECT address, position, at, since_boot, boot, pod_uid FROM freed WHERE network = ? "
             "ORDER BY "
             "position");
  rows.bind(network);
  while (rows.next()) {
    Freed freed = read_freed(rows);
    if (usable.contains(freed.address)) {
      found.push_back(std::move(freed));
    }
  }
  return found;
}

}  // namespace

std::optional<Address> AddressTable::first_untouched(const Network& network,
                                                     const IntervalSet& usable,
                                                     Address from) const {
  std::optional<Address> candidate = usable.first_at_or_after(from);
  std::optional<KnownTouched> known;
  int steps = 0;
  // How many networks in a row have nothing to say against it.
  std::size_t agreed = 0;
  for (std::size_t index = 0; candidate && agreed < network.reach.size(); ++index) {
    const std::int64_t id = network.reach[index % network.reach.size()];
    const std::optional<Range> touched = touched_at_or_below(*database_, id, *candidate);
    if (!touched || !touched->contains(*candidate)) {
      ++agreed;
      continue;
    }
    std::optional<Address> beyond = touched->last().next();
    // What is usable may have holes without number, each of which parts two intervals.
    if (++steps == kFewSteps) {
      known.emplace(*database_, network, from.family(), usable);
      if (known->holds(*candidate)) {
        beyond = std::max(beyond, known->end());
      }
    }
    candidate = beyond ? usable.first_at_or_after(*beyond) : std::nullopt;
    // Intervals do not adjoin, but beyond a hole in what is usable there may be another one.
    agreed = candidate == beyond && !known ? 1 : 0;
  }
  if (known && steps >= 2 * kFewSteps) {
    known->note(from, candidate.value_or(last_of(usable, from)));
  }
  return candidate;
}

// Within one boot whatever was done to the clock on the wall does not count.
bool AddressTable::is_later(const Freed& a, const Freed& b) const {
  if (a.boot_id == b.boot_id && !a.boot_id.empty()) {
    return a.since_boot > b.since_boot;
  }
  const bool is_new = !boot_id_.empty() && a.boot_id == boot_id_;
  const bool is_other_new = !boot_id_.empty() && b.boot_id == boot_id_;
  return is_new != is_other_new ? is_new : a.at > b.at;
}

// What is freed in one network, but leased or freed later in another that is counted with it.
bool AddressTable::is_stale(const Network& network, std::int64_t where, const Freed& freed) const {
  return std::any_of(network.reach.begin(), network.reach.end(), [&](std::int64_t id) {
    if (id == where) {
      return false;
    }
    if (is_leased(*database_, id, freed.address)) {
      return true;
    }
    const std::optional<Freed> there = freed_in(*database_, id, freed.address);
    return there && (is_later(*there, freed) || (!is_later(freed, *there) && id < where));
  });
}

std::optional<Freed> AddressTable::oldest_freed(const Network& network, Family family,
                                                const IntervalSet& usable,
                                                const IntervalSet& passed_over) const {
  std::optional<Freed> oldest;
  for (const std::int64_t id : network.reach) {
    std::optional<Freed> found = oldest_in(id, family, usable, passed_over);
    while (found && network.reach.size() > 1 && is_stale(network, id, *found)) {
      forget_freed(*database_, id, found->address);
      found = oldest_in(id, family, usable, passed_over);
    }
    // Positions of different queues do not compare.
    if (found && (!oldest || is_later(*oldest, *found))) {
      oldest = std::move(found);
    }
  }
  return oldest;
}

std::optional<Freed> AddressTable::oldest_in(std::int64_t network, Family family,
                                             const IntervalSet& usable,
                                             const IntervalSet& passed_over) const {
  const auto family_number = static_cast<std::int64_t>(family);
  std::optional<std::int64_t> known;  // fingerprint, once `skipped` was asked
  // Every row up to here is not usable.
  std::int64_t unusable_up_to = std::numeric_limits<std::int64_t>::min();
  bool only_unusable = true;
  int steps = 0;
  std::optional<Freed> found;
  for (bool again = true; again && !found;) {
    again = false;
    Query row(
        *database_,
        "SELECT address, position FROM freed WHERE network = ? AND family = ? AND position > ?"
        " ORDER BY position");
    row.bind(network, family_number, unusable_up_to);
    while (row.next()) {
      const Address address = row.address();
      const std::int64_t position = row.integer();
      if (usable.contains(address)) {
        only_unusable = false;
        if (!passed_over.contains(address)) {
          found = freed_in(*database_, network, address);
          break;
        }
      } else if (only_unusable) {
        unusable_up_to = position;
        if (++steps == kFewSteps && !known) {
          known = fingerprint(family, usable);
          Query skip(*database_, kFindNote);
          if (skip.bind("skipped", network, *known).next()) {
            unusable_up_to = std::max(unusable_up_to, skip.integer());
            steps = 0;
            again = true;
            break;
          }
        }
      }
    }
  }
  if (known && steps >= kFewSteps) {
    Query(*database_,
          "INSERT INTO note(kind, network, key, value) VALUES('skipped', ?, ?, ?)"
          " ON CONFLICT DO UPDATE SET value = excluded.value")
        .bind(network, *known, unusable_up_to)
        .run();
    forget_other_sets(*database_, "skipped", network, *known);
  }
  return found;
}

std::optional<Freed> AddressTable::freed_at(const Network& network, Address address) const {
  std::optional<Freed> latest = freed_in(*database_, network.id, address);
  for (const std::int64_t id : network.reach) {
    if (id == network.id) {
      continue;
    }
    if (is_leased(*database_, id, address)) {
      return std::nullopt;
    }
    std::optional<Freed> there = freed_in(*database_, id, address);
    if (there && (!latest || is_later(*there, *latest))) {
      latest = std::move(there);
    }
  }
  const bool is_own = network.reach.size() == 1;
  return is_own || !is_leased(*database_, network.id, address) ? latest : std::nullopt;
}

std::size_t AddressTable::freed_count(const Network& network) const {
  Query row(*database_, "SELECT count(*) FROM freed WHERE network = ?");
  row.bind(network.id).next();
  return static_cast<std::size_t>(row.integer());
}

std::vector<Freed> AddressTable::freed(const Network& network, const IntervalSet& usable) const {
  if (network.reach.size() == 1) {
    return freed_of(*database_, network.id, usable);
  }
  const IntervalSet leased = leased_of(*database_, network.reach, usable);
  std::map<Address, Freed> latest;
  for (const std::int64_t id : network.reach) {
    for (Freed& freed : freed_of(*database_, id, usable)) {
      const auto [there, is_first] = latest.try_emplace(freed.address, freed);
      if (!is_first && there->second.at < freed.at) {
        there->second = std::move(freed);
      }
    }
  }
  std::vector<Freed> found;
  for (auto& [address, freed] : latest) {
    if (!leased.contains(address)) {
      found.push_back(std::move(freed));
    }
  }
  std::sort(found.begin(), found.end(), [](const Freed& a, const Freed& b) {
    return std::tie(a.at, a.position, a.address) < std::tie(b.at, b.position, b.address);
  });
  return found;
}

Usage AddressTable::usage(const Network& network, const IntervalSet& usable) const {
  Usage usage;
  if (network.reach.size() > 1) {
    usage.leased = static_cast<std::uint64_t>(leased_of(*database_, network.reach, usable).size());
    usage.freed = freed(network, usable).size();
  } else {
    for (const Range& range : usable.ranges()) {
      usage.leased += count_leased(*database_, network.id, range);
      Query free(*database_,
                 "SELECT count(*) FROM freed WHERE network = ? AND address BETWEEN ? AND ?");
      free.bind(network.id, range.first(), range.last()).next();
      usage.freed += static_cast<std::uint64_t>(free.integer());
    }
  }
  // What is touched is leased or freed, never anything else.
  usage.untouched = usable.size() - usage.leased - usage.freed;
  return usage;
}

bool AddressTable::is_at_rest(const Network& network, const Range& range, Milliseconds cooldown,
                              const Moment& now) const {
  return std::all_of(network.reach.begin(), network.reach.end(), [&](std::int64_t id) {
    if (count_leased(*database_, id, range) > 0) {
      return false;
    }
    Query rows(*database_,
               "SELECT address, position, at, since_boot, boot, pod_uid FROM freed"
               " WHERE network = ? AND address BETWEEN ? AND ?");
    rows.bind(id, range.first(), range.last());
    while (rows.next()) {
      const Freed freed = read_freed(rows);
      if (elapsed(
              {.at = {.wall = freed.at, .since_boot = freed.since_boot}, .boot_id = freed.boot_id},
              now) < cooldown) {
        return false;
      }
    }
    return true;
  });
}

}  // namespace podlease::store
