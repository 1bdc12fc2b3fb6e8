#include "podlease/store/transaction.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <utility>

#include "database.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

using net::Address;
using net::Family;
using net::IntervalSet;
using net::Range;

// Rows of the queue that no range covers any more are walked for this many steps before `skipped`
// is asked or told.
constexpr int kFewSteps = 64;

#define PODLEASE_LEASE_COLUMNS                                                           \
  "l.container, l.ifname, l.address, l.prefix, l.gateway, l.range_set, l.pod_namespace," \
  " l.pod_name, l.pod_uid, l.boot, l.netns, l.netns_device, l.netns_inode, l.created, l.source"
#define PODLEASE_HOLDER_COLUMNS "address, boot, netns, netns_device, netns_inode, created"
// A join costs more than a look-up, so the network's name is joined only where it is not known.
#define PODLEASE_WITH_NETWORK \
  PODLEASE_LEASE_COLUMNS ", n.name FROM lease l JOIN network n ON n.id = l.network"

std::chrono::sys_time<Milliseconds> to_time(std::int64_t milliseconds) {
  return std::chrono::sys_time<Milliseconds>(Milliseconds(milliseconds));
}

std::int64_t to_integer(std::chrono::sys_time<Milliseconds> time) {
  return time.time_since_epoch().count();
}

Presence read_presence(Query& row) {
  return {.boot_id = row.text(),
          .netns = row.text(),
          .netns_device = static_cast<std::uint64_t>(row.integer()),
          .netns_inode = static_cast<std::uint64_t>(row.integer())};
}

// Columns of a row in the order of the macro above, braces evaluate from left to right.
Lease read_lease(Query& row, const Network* network = nullptr) {
  Lease lease{.key = {.network = network == nullptr ? "" : network->name,
                      .container_id = row.text(),
                      .ifname = row.text()},
              .address = net::Prefix::host(row.address())};
  const std::optional<net::Prefix> address =
      net::Prefix::make(lease.address.address(), static_cast<int>(row.integer()));
  if (!address) {
    throw Error(ErrorKind::kIo,
                "the store holds lease " + lease.address.to_string() + " with an impossible mask");
  }
  lease.address = *address;
  lease.gateway = row.optional_address();
  lease.range_set = static_cast<int>(row.integer());
  lease.pod = {row.text(), row.text(), row.text()};
  lease.presence = read_presence(row);
  lease.created = to_time(row.integer());
  lease.source = row.text();
  if (network == nullptr) {
    lease.key.network = row.text();
  }
  return lease;
}

std::vector<Lease> read_leases(Query& rows, const Network* network = nullptr) {
  std::vector<Lease> leases;
  while (rows.next()) {
    leases.push_back(read_lease(rows, network));
  }
  return leases;
}

std::int64_t to_number(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// Columns of a row in the order of the macro above.
// All but whether it is suspected.
Holder read_holder(Query& row) {
  const Address address = row.address();
  Presence presence = read_presence(row);
  return {.address = address,
          .presence = std::move(presence),
          .created = to_time(row.integer()),
          .suspected = false};
}

// Notes of all kinds are asked for and written by the same few statements: what an ADD pays for is
// that they are prepared.
constexpr const char* kFindNote =
    "SELECT value FROM note WHERE kind = ? AND network = ? AND key = ?";

// Not REPLACE: what a newer podlease keeps in columns of its own stays.
constexpr const char* kSetNote =
    "INSERT INTO note(kind, network, key, value) VALUES(?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = excluded.value";
constexpr const char* kForgetNote = "DELETE FROM note WHERE kind = ? AND network = ? AND key = ?";
constexpr std::int64_t kNoNetwork = 0;  // of notes that are about the machine

template <typename Key>
std::optional<std::string> find_note(Database& database, const std::string& kind,
                                     std::int64_t network, const Key& key) {
  Query row(database, kFindNote);
  return row.bind(kind, network, key).next() ? std::optional(row.text()) : std::nullopt;
}

template <typename Key>
void set_note(Database& database, const std::string& kind, std::int64_t network, const Key& key,
              const std::string& value) {
  Query(database, kSetNote).bind(kind, network, key, value).run();
}

template <typename Key>
void forget_note(Database& database, const std::string& kind, std::int64_t network,
                 const Key& key) {
  Query(database, kForgetNote).bind(kind, network, key).run();
}

// FNV-1a, 64 bits, of what the set holds of one family: the same addresses have the same
// fingerprint in every process.
std::int64_t fingerprint(Family family, const IntervalSet& set) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const Range& range : set.ranges()) {
    if (range.family() != family) {
      continue;
    }
    for (const char byte : encode({range.first(), range.last()})) {
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3U;
    }
  }
  return static_cast<std::int64_t>(hash);
}

}  // namespace

std::string_view to_string(Ending ending) {
  switch (ending) {
    case Ending::kDel:
      return "del";
    case Ending::kGc:
      return "gc";
    case Ending::kTakeover:
      return "takeover";
    case Ending::kReclaim:
      return "reclaim";
    case Ending::kReboot:
      return "reboot";
    case Ending::kRelease:
      return "release";
    case Ending::kHostLocal:
      return "host-local";
  }
  return "unknown";
}

Milliseconds elapsed(const Moment& then, const Moment& now) {
  if (then.boot_id == now.boot_id) {
    return now.at.since_boot - then.at.since_boot;
  }
  const auto passed = now.at.wall - then.at.wall;
  return passed < Milliseconds(0) ? Milliseconds::max() : std::max(passed, now.at.since_boot);
}

Transaction::Transaction(Database& database) : database_(&database) {
  Query(database, "BEGIN IMMEDIATE").run();
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  std::swap(database_, other.database_);
  return *this;
}

Transaction::~Transaction() {
  if (database_ != nullptr) {
    try {
      Query(*database_, "ROLLBACK").run();
    } catch (const Error&) {
      // SQLite has rolled back by itself, as it does on a full disk.
    }
  }
}

void Transaction::commit() {
  try {
    Query(*database_, "COMMIT").run();
  } catch (const Error&) {
    database_->commit_failed();
    throw;
  }
  std::exchange(database_, nullptr)->committed();
}

std::optional<Network> Transaction::find_network(const std::string& name) {
  Query row(*database_, "SELECT id, hints, handover, next_position FROM network WHERE name = ?");
  if (!row.bind(name).next()) {
    return std::nullopt;
  }
  Network network{.id = row.integer(), .name = name};
  network.hints = decode(row.text()).value_or(std::vector<Address>{});
  network.handover = row.integer() == 0 ? Handover::kOwned : Handover::kShared;
  network.next_position = row.integer();
  return network;
}

Network Transaction::ensure_network(const std::string& name) {
  if (std::optional<Network> found = find_network(name)) {
    return *std::move(found);
  }
  Query(*database_,
        "INSERT INTO network(name, hints, next_position, handover) VALUES(?, x'', 1, 0)")
      .bind(name)
      .run();
  return *find_network(name);
}

std::vector<Network> Transaction::networks() {
  std::vector<std::string> names;
  Query rows(*database_, "SELECT name FROM network ORDER BY name");
  while (rows.next()) {
    names.push_back(rows.text());
  }
  std::vector<Network> networks;
  networks.reserve(names.size());
  for (const std::string& name : names) {
    networks.push_back(*find_network(name));
  }
  return networks;
}

void Transaction::set_hints(Network& network, std::vector<Address> hints) {
  Query(*database_, "UPDATE network SET hints = CAST(? AS BLOB) WHERE id = ?")
      .bind(encode(hints), network.id)
      .run();
  network.hints = std::move(hints);
}

void Transaction::set_handover(Network& network, Handover handover) {
  Query(*database_, "UPDATE network SET handover = ? WHERE id = ?")
      .bind(static_cast<std::int64_t>(handover), network.id)
      .run();
  network.handover = handover;
}

bool Transaction::has_leases(const Network& network, const std::string& container_id,
                             const std::string& ifname) {
  // Without the interface in the question it is prepared in half the time, and a container has few.
  Query row(*database_, "SELECT ifname FROM lease WHERE container = ? AND network = ?");
  row.bind(container_id, network.id);
  while (row.next()) {
    const std::string its_ifname = row.text();
    if (its_ifname.empty() || its_ifname == ifname) {
      return true;
    }
  }
  return false;
}

namespace {

// Leases of one attachment come in the order they were made, which is this one but for adopted
// ones.
std::vector<Lease> by_range_set(std::vector<Lease> leases) {
  std::stable_sort(leases.begin(), leases.end(),
                   [](const Lease& a, const Lease& b) { return a.range_set < b.range_set; });
  return leases;
}

}  // namespace

std::vector<Lease> Transaction::leases_of(const Network& network, const std::string& container_id,
                                          const std::string& ifname) {
  Query rows(*database_, "SELECT " PODLEASE_LEASE_COLUMNS
                         " FROM lease l WHERE container = ? AND ifname IN (?, '') AND network = ?");
  return by_range_set(read_leases(rows.bind(container_id, ifname, network.id), &network));
}

std::vector<Lease> Transaction::leases_of(const std::string& container_id,
                                          const std::string& ifname) {
  Query rows(*database_,
             "SELECT " PODLEASE_WITH_NETWORK " WHERE l.container = ? AND l.ifname IN (?, '')");
  return by_range_set(read_leases(rows.bind(container_id, ifname)));
}

std::optional<Lease> Transaction::lease_at(const Network& network, Address address) {
  Query row(*database_,
            "SELECT " PODLEASE_LEASE_COLUMNS " FROM lease l WHERE network = ? AND address = ?");
  if (!row.bind(network.id, address).next()) {
    return std::nullopt;
  }
  return read_lease(row, &network);
}

std::vector<Lease> Transaction::leases(const std::optional<Network>& network) {
  if (network) {
    Query rows(*database_,
               "SELECT " PODLEASE_LEASE_COLUMNS " FROM lease l WHERE network = ? ORDER BY address");
    return read_leases(rows.bind(network->id), &*network);
  }
  Query rows(*database_, "SELECT " PODLEASE_WITH_NETWORK " ORDER BY n.name, l.address");
  return read_leases(rows);
}

void Transaction::insert(const Network& network, const Lease& lease, Before before) {
  database_->make_room();
  const Address address = lease.address.address();
  Query(*database_,
        "INSERT INTO lease(network, container, ifname, address, prefix, gateway, range_set, "
        "pod_namespace,"
        " pod_name, pod_uid, boot, netns, netns_device, netns_inode, created, source)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(network.id, lease.key.container_id, lease.key.ifname, address,
            std::int64_t{lease.address.length()}, lease.gateway, std::int64_t{lease.range_set},
            lease.pod.name_space, lease.pod.name, lease.pod.uid, lease.presence.boot_id,
            lease.presence.netns, static_cast<std::int64_t>(lease.presence.netns_device),
            static_cast<std::int64_t>(lease.presence.netns_inode), to_integer(lease.created),
            lease.source)
      .run();
  if (before == Before::kUntouched || !take_from_freed(network, lease)) {
    touch(network, address);
  }
}

bool Transaction::take_from_freed(const Network& network, const Lease& lease) {
  const Address address = lease.address.address();
  Query row(*database_,
            "DELETE FROM freed WHERE network = ? AND address = ? RETURNING pod_uid, ifname");
  if (!row.bind(network.id, address).next()) {
    return false;
  }
  const std::string pod_uid = row.text();
  const std::string ifname = row.text();
  if (!pod_uid.empty() && (pod_uid != lease.pod.uid || ifname != lease.key.ifname)) {
    std::vector<Address> left = addresses_of_pod(network, pod_uid, ifname);
    std::erase(left, address);
    set_addresses_of_pod(network, pod_uid, ifname, left);
  }
  return true;
}

void Transaction::release(const Lease& lease, const Moment& moment, Ending why) {
  const Address address = lease.address.address();
  // The holder too, not only the address: a lease read in an earlier transaction may have ended,
  // and the address be somebody else's by now.
  const int ended =
      Query(*database_,
            "DELETE FROM lease WHERE network = (SELECT id FROM network WHERE name = ?)"
            " AND address = ? AND container = ? AND ifname = ?")
          .bind(lease.key.network, address, lease.key.container_id, lease.key.ifname)
          .run();
  if (ended == 0) {
    throw Error(ErrorKind::kOther, "store " + database_->path() + " holds no lease " +
                                       address.to_string() + " of container " +
                                       lease.key.container_id + " in network " + lease.key.network);
  }
  if (database_->is_newer()) {
    // Of what a newer major knows, only the shape of the lease table is certain.
    return;
  }
  Query network(*database_,
                "UPDATE network SET next_position = next_position + 1 WHERE name = ?"
                " RETURNING id, next_position - 1");
  network.bind(lease.key.network).next();
  const std::int64_t id = network.integer();
  std::int64_t position = network.integer();
  note_in_history(id, position, lease, moment, why);
  const bool is_cool =
      why == Ending::kReclaim || why == Ending::kReboot || why == Ending::kTakeover;
  if (is_cool) {
    position = front_of_freed(id);
  }
  Query(
      *database_,
      "INSERT INTO freed(network, address, family, position, at, since_boot, boot, pod_uid, ifname)"
      " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(id, address, static_cast<std::int64_t>(address.family()), position,
            is_cool ? 0 : to_integer(moment.at.wall), is_cool ? 0 : moment.at.since_boot.count(),
            is_cool ? std::string() : moment.boot_id, lease.pod.uid, lease.key.ifname)
      .run();
}

std::int64_t Transaction::front_of_freed(std::int64_t network) {
  std::int64_t first = 1;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    Query row(*database_, "SELECT min(position) FROM freed WHERE network = ? AND family = ?");
    row.bind(network, static_cast<std::int64_t>(family)).next();
    first = std::min(first, row.integer());  // of an empty queue it is 0
  }
  // What is known of the queue's beginning does not hold any more.
  Query(*database_, "DELETE FROM note WHERE kind = 'skipped' AND network = ?").bind(network).run();
  return first - 1;
}

namespace {

constexpr std::int64_t kHistory = 4096;
constexpr char kSeparator = '\x1f';

// What separates fields cannot be part of one.
std::string field(std::string text) {
  std::replace(text.begin(), text.end(), kSeparator, '?');
  return text + kSeparator;
}

}  // namespace

void Transaction::note_in_history(std::int64_t network, std::int64_t number, const Lease& lease,
                                  const Moment& moment, Ending why) {
  if (!database_->has_room()) {
    return;
  }
  const std::string value =
      field(std::to_string(to_integer(moment.at.wall))) +
      field(std::to_string(to_integer(lease.created))) + field(std::string(to_string(why))) +
      field(lease.address.address().to_string()) + field(lease.key.container_id) +
      field(lease.key.ifname) + field(lease.pod.name_space) + field(lease.pod.name) +
      field(lease.pod.uid);
  set_note(*database_, "history", network, number % kHistory, value);
}

std::vector<PastLease> Transaction::history() {
  std::vector<PastLease> past;
  Query rows(
      *database_,
      "SELECT value, name FROM note JOIN network n ON n.id = network WHERE kind = 'history'");
  while (rows.next()) {
    const std::string value = rows.text();
    const std::string network = rows.text();
    const std::vector<std::string_view> fields = split(value, kSeparator);
    constexpr std::size_t kFields = 9;
    const std::optional<Address> address =
        fields.size() < kFields ? std::nullopt : Address::parse(fields[3]);
    if (!address) {
      throw Error(ErrorKind::kIo, "store " + database_->path() + " holds history that is none");
    }
    const auto text = [&](std::size_t index) { return std::string(fields[index]); };
    past.push_back({.key = {.network = network, .container_id = text(4), .ifname = text(5)},
                    .address = *address,
                    .pod = {.name_space = text(6), .name = text(7), .uid = text(8)},
                    .created = to_time(to_number(fields[1])),
                    .ended = to_time(to_number(fields[0])),
                    .why = text(2)});
  }
  std::stable_sort(past.begin(), past.end(),
                   [](const PastLease& a, const PastLease& b) { return a.ended > b.ended; });
  return past;
}

void Transaction::refresh(const Lease& lease, const Lease& now) {
  Query(*database_,
        "UPDATE lease SET container = ?, pod_namespace = ?, pod_name = ?, pod_uid = ?, boot = ?,"
        " netns = ?, netns_device = ?, netns_inode = ?"
        " WHERE network = (SELECT id FROM network WHERE name = ?) AND address = ?")
      .bind(now.key.container_id, now.pod.name_space, now.pod.name, now.pod.uid,
            now.presence.boot_id, now.presence.netns,
            static_cast<std::int64_t>(now.presence.netns_device),
            static_cast<std::int64_t>(now.presence.netns_inode), lease.key.network,
            lease.address.address())
      .run();
}

std::vector<Holder> Transaction::sample(const Network& network) {
  // Multiples of the golden ratio, less their whole part, fall evenly between 0 and 1, whatever the
  // step from one to the next.
  constexpr double kGoldenRatio = 0.6180339887498949;
  constexpr std::size_t kFew = 4;
  const std::int64_t newest = database_->last_inserted();
  const std::int64_t turn = newest + network.next_position;
  double share = static_cast<double>(turn) * kGoldenRatio;
  share -= std::floor(share);
  if (turn % 2 == 0) {
    share *= share * share * share;  // those left of long ago are few, and have low numbers
  }
  const auto first = static_cast<std::int64_t>(share * static_cast<double>(newest));
  std::vector<Holder> few;
  {
    Query rows(*database_, "SELECT network, " PODLEASE_HOLDER_COLUMNS " FROM lease WHERE id >= ?");
    rows.bind(first);
    while (few.size() < kFew && rows.next()) {
      if (rows.integer() == network.id) {
        few.push_back(read_holder(rows));
      }
    }
  }
  for (Holder& holder : few) {
    holder.suspected = find_note(*database_, "suspect", network.id, holder.address).has_value();
  }
  return few;
}

std::vector<Holder> Transaction::holders(const Network& network) {
  std::vector<Holder> holders;
  Query rows(*database_, "SELECT " PODLEASE_HOLDER_COLUMNS
                         ", EXISTS(SELECT 1 FROM note WHERE kind = 'suspect'"
                         " AND network = lease.network AND key = address)"
                         " FROM lease WHERE network = ? ORDER BY address");
  rows.bind(network.id);
  while (rows.next()) {
    holders.push_back(read_holder(rows));
    holders.back().suspected = rows.integer() != 0;
  }
  return holders;
}

std::vector<Address> Transaction::addresses_of_pod(const Network& network,
                                                   const std::string& pod_uid,
                                                   const std::string& ifname) {
  const std::optional<std::string> note =
      find_note(*database_, "pod", network.id, pod_uid + "\n" + ifname);
  return note ? decode(*note).value_or(std::vector<Address>{}) : std::vector<Address>{};
}

void Transaction::set_addresses_of_pod(const Network& network, const std::string& pod_uid,
                                       const std::string& ifname,
                                       const std::vector<net::Address>& addresses) {
  const std::string key = pod_uid + "\n" + ifname;
  if (addresses.empty()) {
    forget_note(*database_, "pod", network.id, key);
  } else {
    set_note(*database_, "pod", network.id, key, encode(addresses));
  }
}

namespace {

// What tells a lease from every other of its address, and from itself before it was refreshed.
std::string identity(const Lease& lease) {
  return std::to_string(to_integer(lease.created)) + " " +
         std::to_string(lease.presence.netns_device) + " " +
         std::to_string(lease.presence.netns_inode);
}

}  // namespace

std::optional<Suspicion> Transaction::suspicion(const Network& network, const Lease& lease) {
  const std::optional<std::string> note =
      find_note(*database_, "suspect", network.id, lease.address.address());
  if (!note) {
    return std::nullopt;
  }
  const std::vector<std::string_view> fields = split(*note, '\n');
  if (fields.size() != 3 || fields[0] != identity(lease)) {
    return std::nullopt;
  }
  return Suspicion{.boot_id = std::string(fields[1]),
                   .since_boot = Milliseconds(to_number(fields[2]))};
}

void Transaction::suspect(const Network& network, const Lease& lease, const Suspicion& suspicion) {
  set_note(*database_, "suspect", network.id, lease.address.address(),
           identity(lease) + "\n" + suspicion.boot_id + "\n" +
               std::to_string(suspicion.since_boot.count()));
}

void Transaction::trust(const Network& network, Address address) {
  forget_note(*database_, "suspect", network.id, address);
}

namespace {

constexpr const char* kTouchedAtOrBelow =
    "SELECT first, last FROM touched WHERE network = ? AND first <= ? ORDER BY first DESC LIMIT 1";

// The touched interval that begins nearest to `address`, at it or below.
std::optional<Range> touched_at_or_below(Database& database, const Network& network,
                                         Address address) {
  Query row(database, kTouchedAtOrBelow);
  if (!row.bind(network.id, address).next()) {
    return std::nullopt;
  }
  const Address first = row.address();
  return Range::make(first, row.address());
}

}  // namespace

void Transaction::touch(const Network& network, Address address) {
  const std::optional<Address> next = address.next();
  std::optional<Range> left = touched_at_or_below(*database_, network, next.value_or(address));
  std::optional<Range> right;
  if (left && next && left->first() == *next) {
    right = left;
    left = touched_at_or_below(*database_, network, address);
  }
  if (left && left->contains(address)) {
    return;
  }
  const bool extends_left = left && left->last().next() == address;
  const Address last = right ? right->last() : address;
  if (right) {
    Query(*database_, "DELETE FROM touched WHERE network = ? AND first = ?")
        .bind(network.id, right->first())
        .run();
  }
  if (extends_left) {
    Query(*database_, "UPDATE touched SET last = ? WHERE network = ? AND first = ?")
        .bind(last, network.id, left->first())
        .run();
  } else {
    Query(*database_, "INSERT INTO touched(network, first, last) VALUES(?, ?, ?)")
        .bind(network.id, address, last)
        .run();
  }
}

std::optional<Address> Transaction::first_untouched(const Network& network,
                                                    const IntervalSet& usable, Address from) {
  std::optional<Address> candidate = usable.first_at_or_after(from);
  while (candidate) {
    const std::optional<Range> touched = touched_at_or_below(*database_, network, *candidate);
    if (!touched || !touched->contains(*candidate)) {
      return candidate;
    }
    const std::optional<Address> beyond = touched->last().next();
    candidate = beyond ? usable.first_at_or_after(*beyond) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<Freed> Transaction::oldest_freed(const Network& network, Family family,
                                               const IntervalSet& usable,
                                               const IntervalSet& passed_over) {
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
    row.bind(network.id, family_number, unusable_up_to);
    while (row.next()) {
      const Address address = row.address();
      const std::int64_t position = row.integer();
      if (usable.contains(address)) {
        only_unusable = false;
        if (!passed_over.contains(address)) {
          found = freed_at(network, address);
          break;
        }
      } else if (only_unusable) {
        unusable_up_to = position;
        if (++steps == kFewSteps && !known) {
          known = fingerprint(family, usable);
          Query skip(*database_, kFindNote);
          if (skip.bind("skipped", network.id, *known).next()) {
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
        .bind(network.id, *known, unusable_up_to)
        .run();
    // Ranges are edited now and then; a handful of sets is all that is worth remembering: this one,
    // and those that spare the longest walk.
    Query(*database_,
          "DELETE FROM note WHERE kind = 'skipped' AND network = ?1 AND key <> ?2 AND key NOT IN"
          " (SELECT key FROM note WHERE kind = 'skipped' AND network = ?1"
          "  ORDER BY value DESC LIMIT 32)")
        .bind(network.id, *known)
        .run();
  }
  return found;
}

namespace {

Freed read_freed(Query& row) {
  return {.address = row.address(),
          .position = row.integer(),
          .at = to_time(row.integer()),
          .since_boot = Milliseconds(row.integer()),
          .boot_id = row.text()};
}

}  // namespace

std::optional<Freed> Transaction::freed_at(const Network& network, Address address) {
  Query row(*database_,
            "SELECT address, position, at, since_boot, boot FROM freed WHERE network = ? AND "
            "address = ?");
  if (!row.bind(network.id, address).next()) {
    return std::nullopt;
  }
  return read_freed(row);
}

std::size_t Transaction::freed_count(const Network& network) {
  Query row(*database_, "SELECT count(*) FROM freed WHERE network = ?");
  row.bind(network.id).next();
  return static_cast<std::size_t>(row.integer());
}

Usage Transaction::usage(const Network& network, const IntervalSet& usable) {
  Usage usage;
  for (const Range& range : usable.ranges()) {
    usage.leased += leased_in(network, range);
    Query free(*database_,
               "SELECT count(*) FROM freed WHERE network = ? AND address BETWEEN ? AND ?");
    free.bind(network.id, range.first(), range.last()).next();
    usage.freed += static_cast<std::uint64_t>(free.integer());
  }
  // What is touched is leased or freed, never anything else.
  usage.untouched = usable.size() - usage.leased - usage.freed;
  return usage;
}

std::vector<Freed> Transaction::freed(const Network& network, const IntervalSet& usable) {
  std::vector<Freed> found;
  Query rows(*database_,
             "SELECT address, position, at, since_boot, boot FROM freed WHERE network = ? ORDER BY "
             "position");
  rows.bind(network.id);
  while (rows.next()) {
    Freed freed = read_freed(rows);
    if (usable.contains(freed.address)) {
      found.push_back(std::move(freed));
    }
  }
  return found;
}

std::vector<Source> Transaction::sources(const Network& network) {
  std::vector<Source> sources;
  Query rows(*database_,
             "SELECT key, value FROM note WHERE kind = 'source' AND network = ? ORDER BY key");
  rows.bind(network.id);
  while (rows.next()) {
    sources.push_back({.folder = rows.text(), .stamp = rows.text()});
  }
  return sources;
}

void Transaction::set_source(const Network& network, const Source& source) {
  set_note(*database_, "source", network.id, source.folder, source.stamp);
}

namespace {

// Notes of kind `adopted`: folder and file in a line each, and what the file said, container and
// interface in a line each. The files of a folder are those from FOLDER\n on to FOLDER\v, which no
// folder inside it is among.
#define PODLEASE_ADOPTED_IN_FOLDER \
  " FROM note WHERE kind = 'adopted' AND network = ? AND key BETWEEN ? AND ?"

AdoptedFile read_adopted(const std::string& path, const std::string& content,
                         const std::string& store) {
  const std::optional<Address> address =
      Address::parse(std::string_view(path).substr(path.rfind('\n') + 1));
  const std::size_t line = content.rfind('\n');
  if (!address || line == std::string::npos) {
    throw Error(ErrorKind::kIo, "store " + store + " holds a note of " + path + " that is none");
  }
  return {.address = *address,
          .container_id = content.substr(0, line),
          .ifname = content.substr(line + 1)};
}

}  // namespace

std::vector<AdoptedFile> Transaction::adopted(const Network& network, const std::string& folder) {
  std::vector<AdoptedFile> files;
  Query rows(*database_, "SELECT key, value" PODLEASE_ADOPTED_IN_FOLDER);
  rows.bind(network.id, folder + "\n", folder + "\v");
  while (rows.next()) {
    const std::string path = rows.text();
    files.push_back(read_adopted(path, rows.text(), database_->path()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

void Transaction::set_adopted(const Network& network, const std::string& folder,
                              const std::vector<AdoptedFile>& files) {
  Query(*database_, "DELETE" PODLEASE_ADOPTED_IN_FOLDER)
      .bind(network.id, folder + "\n", folder + "\v")
      .run();
  for (const AdoptedFile& file : files) {
    set_note(*database_, "adopted", network.id, folder + "\n" + file.address.to_string(),
             file.container_id + "\n" + file.ifname);
  }
}

void Transaction::note_ended(const AttachmentKey& key) {
  Query(*database_,
        "INSERT OR IGNORE INTO note(kind, network, key, value) VALUES('ended', ?, ?, '')")
      .bind(key.network, key.container_id + "\n" + key.ifname)
      .run();
}

bool Transaction::has_ended(const AttachmentKey& key) {
  // A note without a network is of any. A file without an interface is matched by any of its
  // container's notes: those from CONTAINER\n on to CONTAINER\v.
  const std::string first = key.container_id + "\n" + key.ifname;
  Query row(
      *database_,
      "SELECT 1 FROM note WHERE kind = 'ended' AND network IN (?, '') AND key BETWEEN ? AND ?");
  return row.bind(key.network, first, key.ifname.empty() ? key.container_id + "\v" : first).next();
}

void Transaction::forget_ended(const std::string& network) {
  Query(*database_, "DELETE FROM note WHERE kind = 'ended' AND network = ?").bind(network).run();
}

std::optional<RemoteObject> Transaction::remote_object(const std::string& key) {
  const std::optional<std::string> note = find_note(*database_, "object", kNoNetwork, key);
  if (!note) {
    return std::nullopt;
  }
  const std::vector<std::string_view> fields = split(*note, kSeparator);
  constexpr std::size_t kFields = 10;
  if (fields.size() < kFields) {
    return std::nullopt;  // what cannot be made out is asked for again
  }
  const auto text = [&](std::size_t index) { return std::string(fields[index]); };
  return RemoteObject{.server = text(0),
                      .body = text(1),
                      .read = to_time(to_number(fields[2])),
                      .attempted = {.at = {.wall = to_time(to_number(fields[3])),
                                           .since_boot = Milliseconds(to_number(fields[4]))},
                                    .boot_id = text(5)},
                      .failure = text(6),
                      .advice = text(7),
                      .hopeless = fields[8] == "1",
                      .gone = fields[9] == "1"};
}

void Transaction::set_remote_object(const std::string& key, const RemoteObject& object) {
  const std::string value =
      field(object.server) + field(object.body) + field(std::to_string(to_integer(object.read))) +
      field(std::to_string(to_integer(object.attempted.at.wall))) +
      field(std::to_string(object.attempted.at.since_boot.count())) +
      field(object.attempted.boot_id) + field(object.failure) + field(object.advice) +
      field(object.hopeless ? "1" : "0") + field(object.gone ? "1" : "0");
  set_note(*database_, "object", kNoNetwork, key, value);
}

namespace {

// Notes of kind `block`: network and CIDR in a line each. Those of a network are from NETWORK\n on
// to NETWORK\v, which no other network's are among.
std::string block_key(const std::string& network, const net::Prefix& cidr) {
  return network + "\n" + cidr.to_string();
}

std::string moment_fields(const Moment& moment) {
  return field(std::to_string(to_integer(moment.at.wall))) +
         field(std::to_string(moment.at.since_boot.count())) + field(moment.boot_id);
}

Moment to_moment(std::span<const std::string_view> fields) {
  return {.at = {.wall = to_time(to_number(fields[0])),
                 .since_boot = Milliseconds(to_number(fields[1]))},
          .boot_id = std::string(fields[2])};
}

constexpr std::array<std::pair<Block::State, std::string_view>, 4> kBlockStates{
    {{Block::State::kClaiming, "claiming"},
     {Block::State::kOwned, "owned"},
     {Block::State::kReleasing, "releasing"},
     {Block::State::kLost, "lost"}}};

std::string block_value(const Block& block) {
  return field(block.pool) + field(std::string(to_string(block.state))) + field(block.claim_id) +
         field(block.uid) + field(block.ending ? "1" : "0") + field(block.unexplored ? "1" : "0") +
         field(std::to_string(block.reap_grace.count())) + moment_fields(block.claimed) +
         moment_fields(block.verified) + moment_fields(block.attempted) + field(block.failure);
}

Block read_block(const std::string& key, const std::string& value, const std::string& store) {
  const std::size_t line = key.find('\n');
  const std::optional<net::Prefix> cidr =
      line == std::string::npos ? std::nullopt
                                : net::Prefix::parse(std::string_view(key).substr(line + 1));
  const std::vector<std::string_view> fields = split(value, kSeparator);
  constexpr std::size_t kFields = 17;
  if (!cidr || fields.size() < kFields) {
    throw Error(ErrorKind::kIo,
                "store " + store + " holds a note of block " + in_quotes(key) + " that is none");
  }
  const std::span<const std::string_view> all(fields);
  const auto state = std::find_if(kBlockStates.begin(), kBlockStates.end(),
                                  [&](const auto& pair) { return pair.second == all[1]; });
  return {.network = key.substr(0, line),
          .cidr = *cidr,
          .pool = std::string(all[0]),
          // One of a newer podlease: whatever it is, nothing may be leased from it.
          .state = state == kBlockStates.end() ? Block::State::kLost : state->first,
          .claim_id = std::string(all[2]),
          .uid = std::string(all[3]),
          .ending = all[4] == "1",
          .unexplored = all[5] == "1",
          .reap_grace = Milliseconds(to_number(all[6])),
          .claimed = to_moment(all.subspan(7, 3)),
          .verified = to_moment(all.subspan(10, 3)),
          .attempted = to_moment(all.subspan(13, 3)),
          .failure = std::string(all[16])};
}

std::vector<Block> read_blocks(Query& rows, const std::string& store) {
  std::vector<Block> blocks;
  while (rows.next()) {
    const std::string key = rows.text();
    blocks.push_back(read_block(key, rows.text(), store));
  }
  std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) {
    return std::tie(a.network, a.cidr) < std::tie(b.network, b.cidr);
  });
  return blocks;
}

}  // namespace

std::string_view to_string(Block::State state) {
  for (const auto& [known, word] : kBlockStates) {
    if (known == state) {
      return word;
    }
  }
  return "unknown";
}

std::vector<Block> Transaction::blocks(const std::string& network) {
  Query rows(*database_,
             "SELECT key, value FROM note WHERE kind = 'block' AND network = 0 AND key BETWEEN ? "
             "AND ?");
  rows.bind(network + "\n", network + "\v");
  return read_blocks(rows, database_->path());
}

std::vector<Block> Transaction::blocks() {
  Query rows(*database_, "SELECT key, value FROM note WHERE kind = 'block' AND network = 0");
  return read_blocks(rows, database_->path());
}

std::optional<Block> Transaction::block(const std::string& network, const net::Prefix& cidr) {
  const std::string key = block_key(network, cidr);
  const std::optional<std::string> note = find_note(*database_, "block", kNoNetwork, key);
  return note ? std::optional(read_block(key, *note, database_->path())) : std::nullopt;
}

void Transaction::set_block(const Block& block) {
  set_note(*database_, "block", kNoNetwork, block_key(block.network, block.cidr),
           block_value(block));
}

void Transaction::forget_block(const Block& block) {
  forget_note(*database_, "block", kNoNetwork, block_key(block.network, block.cidr));
}

std::uint64_t Transaction::leased_in(const Network& network, const Range& range) {
  Query row(*database_, "SELECT count(*) FROM lease WHERE network = ? AND address BETWEEN ? AND ?");
  row.bind(network.id, range.first(), range.last()).next();
  return static_cast<std::uint64_t>(row.integer());
}

bool Transaction::is_at_rest(const Network& network, const Range& range, Milliseconds cooldown,
                             const Moment& now) {
  if (leased_in(network, range) > 0) {
    return false;
  }
  Query rows(*database_,
             "SELECT address, position, at, since_boot, boot FROM freed"
             " WHERE network = ? AND address BETWEEN ? AND ?");
  rows.bind(network.id, range.first(), range.last());
  while (rows.next()) {
    const Freed freed = read_freed(rows);
    if (elapsed(
            {.at = {.wall = freed.at, .since_boot = freed.since_boot}, .boot_id = freed.boot_id},
            now) < cooldown) {
      return false;
    }
  }
  return true;
}

void Transaction::verify() {
  for (const Network& network : networks()) {
    std::vector<Range> placed;
    for (const Lease& lease : leases(network)) {
      placed.push_back(Range::single(lease.address.address()));
    }
    Query freed(*database_, "SELECT address FROM freed WHERE network = ?");
    freed.bind(network.id);
    while (freed.next()) {
      placed.push_back(Range::single(freed.address()));
    }
    std::vector<Range> touched;
    Query rows(*database_, "SELECT first, last FROM touched WHERE network = ?");
    rows.bind(network.id);
    while (rows.next()) {
      const Address first = rows.address();
      touched.push_back(Range::make(first, rows.address()).value_or(Range::single(first)));
    }
    const std::size_t intervals = touched.size();
    const std::size_t count = placed.size();
    const IntervalSet all_placed(std::move(placed));
    const IntervalSet all_touched(std::move(touched));
    const auto demand = [&](bool holds, const char* what) {
      if (!holds) {
        throw Error(ErrorKind::kOther,
                    "store " + database_->path() + ", network " + network.name + ": " + what);
      }
    };
    demand(all_placed.size() == count, "an address is both leased and freed");
    demand(all_placed == all_touched, "what is touched is not what is leased or freed");
    demand(all_touched.ranges().size() == intervals, "touched intervals overlap or adjoin");
  }
}

}  // namespace podlease::store
