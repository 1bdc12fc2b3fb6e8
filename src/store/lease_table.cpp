#include "podlease/store/lease_table.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "address_rows.h"
#include "codec.h"
#include "database.h"
#include "history.h"
#include "notes.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

using net::Address;
using net::Range;

#define PODLEASE_LEASE_COLUMNS                                                                \
  "l.container, l.ifname, l.address, l.prefix, l.gateway, l.range_set, l.pod_namespace,"      \
  " l.pod_name, l.pod_uid, l.boot, l.netns, l.netns_device, l.netns_inode, l.cookie, l.view," \
  " l.created, l.source"
#define PODLEASE_HOLDER_COLUMNS \
  "address, boot, netns, netns_device, netns_inode, cookie, view, created"
// A join costs more than a look-up, so the network's name is joined only where it is not known.
#define PODLEASE_WITH_NETWORK \
  PODLEASE_LEASE_COLUMNS ", n.name FROM lease l JOIN network n ON n.id = l.network"

// A podlease of schema 1.0 refreshes a lease without touching its cookie and view. So they are kept
// with a seal on the rest of the presence, and count only where it holds.
std::string seal_of(const Presence& presence) {
  return std::to_string(hash_of(presence.boot_id + "\n" + presence.netns + "\n" +
                                std::to_string(presence.netns_device) + "\n" +
                                std::to_string(presence.netns_inode)) &
                        0xffffffffU);
}

// PIDNS FOLDERDEVICE FOLDERINODE SEAL; empty if neither it nor the cookie is known.
std::string view_text(const Presence& presence) {
  const View& view = presence.view;
  if (presence.netns_cookie == 0 && view == View{}) {
    return {};
  }
  return std::to_string(view.pid_namespace) + " " + std::to_string(view.folder_device) + " " +
         std::to_string(view.folder_inode) + " " + seal_of(presence);
}

Presence read_presence(Query& row) {
  Presence presence{.boot_id = row.text(),
                    .netns = row.text(),
                    .netns_device = static_cast<std::uint64_t>(row.integer()),
                    .netns_inode = static_cast<std::uint64_t>(row.integer())};
  const auto cookie = static_cast<std::uint64_t>(row.integer());
  const std::string text = row.text();
  if (text.empty()) {
    return presence;
  }
  const std::vector<std::string_view> fields = split(text, ' ');
  constexpr std::size_t kFields = 4;
  if (fields.size() >= kFields && fields[3] == seal_of(presence)) {
    presence.netns_cookie = cookie;
    presence.view = {.pid_namespace = to_unsigned(fields[0]),
                     .folder_device = to_unsigned(fields[1]),
                     .folder_inode = to_unsigned(fields[2])};
  }
  return presence;
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

// Columns of a row in the order of the macro above.
// All but whether it is suspected.
Holder read_holder(Query& row) {
  const Address address = row.address();
  Presence presence = read_presence(row);
  return {.network = 0,
          .address = address,
          .presence = std::move(presence),
          .created = to_time(row.integer()),
          .suspected = false};
}

// Leases of one attachment come in the order they were made, which is this one but for adopted
// ones.
std::vector<Lease> by_range_set(std::vector<Lease> leases) {
  std::stable_sort(leases.begin(), leases.end(),
                   [](const Lease& a, const Lease& b) { return a.range_set < b.range_set; });
  return leases;
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
    case Ending::kMoved:
      return "moved";
    case Ending::kHostLocal:
      return "host-local";
  }
  return "unknown";
}

bool LeaseTable::has_any(const Network& network, const std::string& container_id,
                         const std::string& ifname) const {
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

std::vector<Lease> LeaseTable::of(const Network& network, const std::string& container_id,
                                  const std::string& ifname) const {
  Query rows(*database_, "SELECT " PODLEASE_LEASE_COLUMNS
                         " FROM lease l WHERE container = ? AND ifname IN (?, '') AND network = ?");
  return by_range_set(read_leases(rows.bind(container_id, ifname, network.id), &network));
}

std::vector<Lease> LeaseTable::of(const std::string& container_id,
                                  const std::string& ifname) const {
  Query rows(*database_,
             "SELECT " PODLEASE_WITH_NETWORK " WHERE l.container = ? AND l.ifname IN (?, '')");
  return by_range_set(read_leases(rows.bind(container_id, ifname)));
}

std::optional<Lease> LeaseTable::at(const Network& network, Address address) const {
  Query row(*database_,
            "SELECT " PODLEASE_LEASE_COLUMNS " FROM lease l WHERE network = ? AND address = ?");
  if (!row.bind(network.id, address).next()) {
    return std::nullopt;
  }
  return read_lease(row, &network);
}

std::vector<Lease> LeaseTable::all(const std::optional<Network>& network) const {
  if (network) {
    Query rows(*database_,
               "SELECT " PODLEASE_LEASE_COLUMNS " FROM lease l WHERE network = ? ORDER BY address");
    return read_leases(rows.bind(network->id), &*network);
  }
  Query rows(*database_, "SELECT " PODLEASE_WITH_NETWORK " ORDER BY n.name, l.address");
  return read_leases(rows);
}

std::optional<Lease> LeaseTable::at_in_space(const Network& network, Address address) const {
  std::optional<Lease> lease = at(network, address);
  for (std::size_t index = 1; !lease && index < network.reach.size(); ++index) {
    Query row(*database_, "SELECT " PODLEASE_WITH_NETWORK " WHERE l.network = ? AND l.address = ?");
    if (row.bind(network.reach[index], address).next()) {
      lease = read_lease(row);
    }
  }
  return lease;
}

bool LeaseTable::leased_elsewhere(const Network& network, Address address) const {
  return std::any_of(network.reach.begin(), network.reach.end(), [&](std::int64_t id) {
    return id != network.id && is_leased(*database_, id, address);
  });
}

std::string LeaseTable::change_mark() const {
  // The number of the last lease, for those that are made, and the positions, for those that end.
  Query row(*database_,
            "SELECT (SELECT ifnull(max(id), 0) FROM lease) || ' ' || ifnull(sum(next_position), 0)"
            " FROM network");
  row.next();
  return row.text();
}

std::uint64_t LeaseTable::count_in(const Network& network, const Range& range) const {
  return count_leased(*database_, network.id, range);
}

void LeaseTable::insert(const Network& network, const Lease& lease, Before before) const {
  database_->make_room();
  const Address address = lease.address.address();
  if (leased_elsewhere(network, address)) {
    throw Error(ErrorKind::kOther, "store " + database_->path() + ": " + address.to_string() +
                                       " is not free in " + network.name + ": network " +
                                       at_in_space(network, address).value_or(lease).key.network +
                                       " on the same wire has leased it");
  }
  Query(*database_,
        "INSERT INTO lease(network, container, ifname, address, prefix, gateway, range_set, "
        "pod_namespace, pod_name, pod_uid, boot, netns, netns_device, netns_inode, cookie, view,"
        " created, source)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .bind(network.id, lease.key.container_id, lease.key.ifname, address,
            std::int64_t{lease.address.length()}, lease.gateway, std::int64_t{lease.range_set},
            lease.pod.name_space, lease.pod.name, lease.pod.uid, lease.presence.boot_id,
            lease.presence.netns, static_cast<std::int64_t>(lease.presence.netns_device),
            static_cast<std::int64_t>(lease.presence.netns_inode),
            static_cast<std::int64_t>(lease.presence.netns_cookie), view_text(lease.presence),
            to_integer(lease.created), lease.source)
      .run();
  bool is_touched = false;
  for (const std::int64_t id : network.reach) {
    if (before == Before::kUntouched || !take_from_freed(*database_, id, lease)) {
      continue;
    }
    if (id == network.id) {
      is_touched = true;
    } else {
      untouch(*database_, id, address);  // from here on it is this network's
    }
  }
  if (!is_touched) {
    touch(*database_, network.id, address);
  }
}

void LeaseTable::end(const Lease& lease, const Moment& moment, Ending why) const {
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
                " RETURNING id, next_position - 1, space");
  network.bind(lease.key.network).next();
  const std::int64_t id = network.integer();
  const std::int64_t position = network.integer();
  const std::int64_t space = network.integer();
  note_in_history(*database_, id, position, lease, moment, why);
  const bool is_cool =
      why == Ending::kReclaim || why == Ending::kReboot || why == Ending::kTakeover;
  put_into_freed(*database_, id, lease, position, moment, is_cool);
  // CROSS: from the few networks to the address, never through all leases. The + keeps the id from
  // being compared as a number, for which the index, whose columns have no types, could not be
  // used.
  if (space != 0 && Query(*database_,
                          "SELECT 1 FROM network n CROSS JOIN lease l ON l.network = +n.id"
                          " WHERE n.space = ? AND l.address = ?")
                        .bind(space, address)
                        .next()) {
    forget_freed(*database_, id, address);  // the other network's lease goes on
  }
}

// + as in `end`: or all leases would be read.
void LeaseTable::refresh(const Lease& lease, const Lease& now) const {
  Query(*database_,
        "UPDATE lease SET container = ?, pod_namespace = ?, pod_name = ?, pod_uid = ?, boot = ?,"
        " netns = ?, netns_device = ?, netns_inode = ?, cookie = ?, view = ?"
        " WHERE network = (SELECT +id FROM network WHERE name = ?) AND address = ?")
      .bind(now.key.container_id, now.pod.name_space, now.pod.name, now.pod.uid,
            now.presence.boot_id, now.presence.netns,
            static_cast<std::int64_t>(now.presence.netns_device),
            static_cast<std::int64_t>(now.presence.netns_inode),
            static_cast<std::int64_t>(now.presence.netns_cookie), view_text(now.presence),
            lease.key.network, lease.address.address())
      .run();
}

std::vector<Holder> LeaseTable::sample(const Network& network) const {
  constexpr std::size_t kFew = 4;
  // By address, from where the last call stopped, and at the end from the beginning again.
  const Address lowest = Address::v4(0);
  const Address from = network.examine.value_or(lowest);
  std::vector<Holder> few;
  const auto look_from = [&](const Address& first, const std::optional<Address>& end) {
    Query rows(*database_, "SELECT " PODLEASE_HOLDER_COLUMNS
                           " FROM lease WHERE network = ? AND address >= ? ORDER BY address");
    rows.bind(network.id, first);
    while (few.size() < kFew && rows.next()) {
      Holder holder = read_holder(rows);
      if (end && holder.address >= *end) {
        break;
      }
      few.push_back(std::move(holder));
    }
  };
  look_from(from, std::nullopt);
  if (few.size() < kFew && from != lowest) {
    look_from(lowest, from);
  }
  if (few.size() == kFew) {
    Query(*database_, "UPDATE network SET examine = ? WHERE id = ?")
        .bind(few.back().address.next().value_or(lowest), network.id)
        .run();
  }
  for (Holder& holder : few) {
    holder.network = network.id;
    holder.suspected = find_note(*database_, "suspect", network.id, holder.address).has_value();
  }
  return few;
}

std::vector<Holder> LeaseTable::holders(const Network& network) const {
  std::vector<Holder> holders;
  for (const std::int64_t id : network.reach) {
    Query rows(*database_, "SELECT " PODLEASE_HOLDER_COLUMNS
                           ", EXISTS(SELECT 1 FROM note WHERE kind = 'suspect'"
                           " AND network = lease.network AND key = address)"
                           " FROM lease WHERE network = ? ORDER BY address");
    rows.bind(id);
    while (rows.next()) {
      holders.push_back(read_holder(rows));
      holders.back().network = id;
      holders.back().suspected = rows.integer() != 0;
    }
  }
  return holders;
}

}  // namespace podlease::store
