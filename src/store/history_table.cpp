#include "podlease/store/history_table.h"

#include <algorithm>

#include "codec.h"
#include "database.h"
#include "history.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

constexpr std::int64_t kHistory = 4096;
// A row of a table with row ids has room for some 980 bytes before it takes a page of its own
// besides. The longest names that Kubernetes and containerd allow need 520.
constexpr std::size_t kLongestHistory = 900;

// What is kept of the names of a lease that has ended.
struct Past {
  std::string container_id;
  Pod pod;
};

// What nobody asks for goes first: the pod's UID, and the end of the container's id. Then of the
// pod's namespace and name the longer one loses its end.
Past shortened(const Lease& lease, std::size_t room) {
  constexpr std::size_t kShortestId = 16;
  constexpr std::size_t kSeparators = 5;
  Past past{.container_id = lease.key.container_id, .pod = lease.pod};
  const auto excess = [&] {
    const std::size_t size = past.container_id.size() + lease.key.ifname.size() +
                             past.pod.name_space.size() + past.pod.name.size() +
                             past.pod.uid.size() + kSeparators;
    return size - std::min(size, room);
  };
  if (excess() > 0) {
    past.pod.uid.clear();
  }
  if (past.container_id.size() > kShortestId) {
    past.container_id.resize(std::max(
        kShortestId, past.container_id.size() - std::min(past.container_id.size(), excess())));
  }
  while (excess() > 0) {
    std::string& longer =
        past.pod.name.size() >= past.pod.name_space.size() ? past.pod.name : past.pod.name_space;
    if (longer.empty()) {
      break;
    }
    longer.pop_back();
  }
  return past;
}

}  // namespace

using net::Address;

void note_in_history(Database& database, std::int64_t network, std::int64_t number,
                     const Lease& lease, const Moment& moment, Ending why) {
  if (!database.has_room()) {
    return;
  }
  const std::string fixed = field(std::to_string(to_integer(moment.at.wall))) +
                            field(std::to_string(to_integer(lease.created))) +
                            field(std::string(to_string(why))) +
                            field(lease.address.address().to_string());
  const Past past = shortened(lease, kLongestHistory - std::min(kLongestHistory, fixed.size()));
  Query(database, "INSERT OR REPLACE INTO past(id, network, value) VALUES(?, ?, ?)")
      .bind(network * kHistory + number % kHistory, network,
            fixed + field(past.container_id) + field(lease.key.ifname) +
                field(past.pod.name_space) + field(past.pod.name) + field(past.pod.uid))
      .run();
}

std::vector<PastLease> HistoryTable::all() const {
  std::vector<PastLease> past;
  Query rows(
      *database_,
      // What a podlease with schema 1.0 noted, before or since, is among the notes.
      "SELECT value, name FROM past JOIN network n ON n.id = past.network UNION ALL"
      " SELECT value, name FROM note JOIN network n ON n.id = note.network WHERE kind = 'history'");
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

}  // namespace podlease::store
