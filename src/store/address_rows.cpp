#include "address_rows.h"

#include <algorithm>
#include <string>
#include <vector>

#include "codec.h"
#include "pod_notes.h"

namespace podlease::store {

using net::Address;
using net::Family;
using net::Range;

std::optional<Range> touched_at_or_below(Database& database, std::int64_t network,
                                         Address address) {
  Query row(database,
            "SELECT first, last FROM touched WHERE network = ? AND first <= ?"
            " ORDER BY first DESC LIMIT 1");
  if (!row.bind(network, address).next()) {
    return std::nullopt;
  }
  const Address first = row.address();
  return Range::make(first, row.address());
}

std::uint64_t count_leased(Database& database, std::int64_t network, const Range& range) {
  Query row(database, "SELECT count(*) FROM lease WHERE network = ? AND address BETWEEN ? AND ?");
  row.bind(network, range.first(), range.last()).next();
  return static_cast<std::uint64_t>(row.integer());
}

void touch(Database& database, std::int64_t network, Address address) {
  const std::optional<Address> next = address.next();
  std::optional<Range> left = touched_at_or_below(database, network, next.value_or(address));
  std::optional<Range> right;
  if (left && next && left->first() == *next) {
    right = left;
    left = touched_at_or_below(database, network, address);
  }
  if (left && left->contains(address)) {
    return;
  }
  const bool extends_left = left && left->last().next() == address;
  const Address last = right ? right->last() : address;
  if (right) {
    Query(database, "DELETE FROM touched WHERE network = ? AND first = ?")
        .bind(network, right->first())
        .run();
  }
  if (extends_left) {
    Query(database, "UPDATE touched SET last = ? WHERE network = ? AND first = ?")
        .bind(last, network, left->first())
        .run();
  } else {
    Query(database, "INSERT INTO touched(network, first, last) VALUES(?, ?, ?)")
        .bind(network, address, last)
        .run();
  }
}

void untouch(Database& database, std::int64_t network, Address address) {
  const std::optional<Range> touched = touched_at_or_below(database, network, address);
  if (!touched || !touched->contains(address)) {
    return;
  }
  // Whoever counts this network has not necessarily the one that took the address.
  Query(database, "DELETE FROM note WHERE kind = 'touched'").run();
  if (touched->first() == address) {
    Query(database, "DELETE FROM touched WHERE network = ? AND first = ?")
        .bind(network, address)
        .run();
  } else {
    Query(database, "UPDATE touched SET last = ? WHERE network = ? AND first = ?")
        .bind(*address.previous(), network, touched->first())
        .run();
  }
  if (touched->last() != address) {
    Query(database, "INSERT INTO touched(network, first, last) VALUES(?, ?, ?)")
        .bind(network, *address.next(), touched->last())
        .run();
  }
}

bool is_leased(Database& database, std::int64_t network, Address address) {
  return Query(database, "SELECT 1 FROM lease WHERE network = ? AND address = ?")
      .bind(network, address)
      .next();
}

namespace {

void count_reused(Database& database, std::int64_t network) {
  Query(database, "UPDATE network SET reused = ifnull(reused, 0) + 1 WHERE id = ?")
      .bind(network)
      .run();
}

}  // namespace

bool take_from_freed(Database& database, std::int64_t network, const Lease& lease) {
  const Address address = lease.address.address();
  Query row(database,
            "DELETE FROM freed WHERE network = ? AND address = ? RETURNING pod_uid, ifname");
  if (!row.bind(network, address).next()) {
    return false;
  }
  const std::string pod_uid = row.text();
  const std::string ifname = row.text();
  if (!pod_uid.empty() && (pod_uid != lease.pod.uid || ifname != lease.key.ifname)) {
    std::vector<Address> left = find_pod_note(database, network, pod_uid, ifname);
    std::erase(left, address);
    set_pod_note(database, network, pod_uid, ifname, left);
  }
  count_reused(database, network);
  return true;
}

void forget_freed(Database& database, std::int64_t network, Address address) {
  if (Query(database, "DELETE FROM freed WHERE network = ? AND address = ?")
          .bind(network, address)
          .run() > 0) {
    count_reused(database, network);
  }
  untouch(database, network, address);
}

namespace {

std::int64_t front_of_freed(Database& database, std::int64_t network) {
  std::int64_t first = 1;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    Query row(database, "SELECT min(position) FROM freed WHERE network = ? AND family = ?");
    row.bind(network, static_cast<std::int64_t>(family)).next();
    first = std::min(first, row.integer());  // of an empty queue it is 0
  }
  // What is known of the queue's beginning does not hold any more.
  Query(database, "DELETE FROM note WHERE kind = 'skipped' AND network = ?").bind(network).run();
  return first - 1;
}

}  // namespace

void put_into_freed(Database& database, std::int64_t network, const Lease& lease,
                    std::int64_t position, const Moment& moment, bool is_cool) {
  const Address address = lease.address.address();
  Query(
      database,
      "INSERT INTO freed(network, address, family, position, at, since_boot, boot, pod_uid, ifname)"
      " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(network, address, static_cast<std::int64_t>(address.family()),
            is_cool ? front_of_freed(database, network) : position,
            is_cool ? 0 : to_integer(moment.at.wall), is_cool ? 0 : moment.at.since_boot.count(),
            is_cool ? std::string() : moment.boot_id, lease.pod.uid, lease.key.ifname)
      .run();
}

}  // namespace podlease::store
