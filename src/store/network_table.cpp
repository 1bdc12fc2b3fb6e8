#include "podlease/store/network_table.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "database.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

using net::Address;

// A pool of some thousands keeps addresses from coming back too soon; more would only make the
// store grow.
constexpr std::int64_t kManyFreed = 4096;

// Each lease that ends moves the queue's next position on and frees an address; `reused` counts
// those that were leased again since. An older podlease does not count them: then it is too many.
#define PODLEASE_FREED_COUNT "next_position - 1 - ifnull(reused, 0)"
#define PODLEASE_NETWORK_COLUMNS                                                      \
  "id, name, hints, handover, wires, space, examine, surveyed, " PODLEASE_FREED_COUNT \
  ", (SELECT count(*) FROM network WHERE ifnull(wires, '') = '')"

std::vector<std::string> to_wires(const std::string& text) {
  std::vector<std::string> wires;
  for (const std::string_view wire : split(text, ' ')) {
    if (!wire.empty()) {
      wires.emplace_back(wire);
    }
  }
  std::sort(wires.begin(), wires.end());
  return wires;
}

// What cannot be read of it is asked about again.
std::vector<net::Range> to_ranges(const std::string& text) {
  std::vector<net::Range> ranges;
  for (const std::string_view one : split(text, ' ')) {
    if (const std::optional<net::Range> range = net::Range::parse(one)) {
      ranges.push_back(*range);
    }
  }
  return ranges;
}

// A row in the order of the macro above; as if it had its space for itself.
Network read_network(const Database& database, Query& row) {
  Network network{.id = row.integer(), .name = row.text()};
  network.hints = decode(row.text()).value_or(std::vector<Address>{});
  network.handover = row.integer() == 0 ? Handover::kOwned : Handover::kShared;
  network.wires = to_wires(row.text());
  network.space = row.integer();
  network.examine = row.optional_address();
  network.surveyed = to_ranges(row.text());
  if (database.doubts_surveys()) {
    network.surveyed.clear();
  }
  network.freed = row.integer();
  network.unknown_wires = row.integer();
  network.reach = {network.id};
  return network;
}

bool have_wire_in_common(const std::set<std::string>& wires, const Network& other) {
  return std::any_of(other.wires.begin(), other.wires.end(),
                     [&](const std::string& wire) { return wires.contains(wire); });
}

}  // namespace

void Network::count(const Network& other) {
  for (const std::int64_t its : other.reach) {
    if (std::find(reach.begin(), reach.end(), its) == reach.end()) {
      reach.push_back(its);
    }
  }
}

bool Network::prefers_freed() const {
  return freed >= kManyFreed;
}

std::optional<Network> NetworkTable::find(const std::string& name) const {
  std::optional<Network> network;
  {
    Query row(*database_, "SELECT " PODLEASE_NETWORK_COLUMNS " FROM network WHERE name = ?");
    if (row.bind(name).next()) {
      network = read_network(*database_, row);
    }
  }
  if (!network || network->space == 0) {
    if (network) {
      network->space = network->id;
    }
    return network;
  }
  Query others(*database_,
               "SELECT id, " PODLEASE_FREED_COUNT " FROM network WHERE space = ? AND id <> ?");
  others.bind(network->space, network->id);
  while (others.next()) {
    network->reach.push_back(others.integer());
    network->freed += others.integer();
  }
  return network;
}

Network NetworkTable::ensure(const std::string& name) const {
  if (std::optional<Network> found = find(name)) {
    return *std::move(found);
  }
  Query(*database_,
        "INSERT INTO network(name, hints, next_position, handover) VALUES(?, x'', 1, 0)")
      .bind(name)
      .run();
  return *find(name);
}

std::vector<Network> NetworkTable::all() const {
  std::vector<Network> networks;
  std::map<std::int64_t, std::vector<std::size_t>> spaces;
  Query rows(*database_, "SELECT " PODLEASE_NETWORK_COLUMNS " FROM network ORDER BY name");
  while (rows.next()) {
    Network network = read_network(*database_, rows);
    network.space = network.space == 0 ? network.id : network.space;
    spaces[network.space].push_back(networks.size());
    networks.push_back(std::move(network));
  }
  for (const auto& [space, members] : spaces) {
    std::int64_t freed = 0;
    for (const std::size_t member : members) {
      freed += networks[member].freed;
    }
    for (const std::size_t member : members) {
      networks[member].freed = freed;
      for (const std::size_t other : members) {
        if (other != member) {
          networks[member].reach.push_back(networks[other].id);
        }
      }
    }
  }
  return networks;
}

void NetworkTable::set_hints(Network& network, std::vector<Address> hints) const {
  Query(*database_, "UPDATE network SET hints = CAST(? AS BLOB) WHERE id = ?")
      .bind(encode(hints), network.id)
      .run();
  network.hints = std::move(hints);
}

void NetworkTable::set_handover(Network& network, Handover handover) const {
  Query(*database_, "UPDATE network SET handover = ? WHERE id = ?")
      .bind(static_cast<std::int64_t>(handover), network.id)
      .run();
  network.handover = handover;
}

void NetworkTable::set_surveyed(Network& network, std::vector<net::Range> surveyed) const {
  std::vector<std::string> texts;
  texts.reserve(surveyed.size());
  for (const net::Range& range : surveyed) {
    texts.push_back(range.to_string());
  }
  Query(*database_, "UPDATE network SET surveyed = ? WHERE id = ?")
      .bind(join(texts, " "), network.id)
      .run();
  network.surveyed = std::move(surveyed);
}

void NetworkTable::set_wires(Network& network, const std::vector<std::string>& wires) const {
  std::set<std::string> all_wires(network.wires.begin(), network.wires.end());
  for (std::string wire : wires) {
    std::replace(wire.begin(), wire.end(), ' ', '?');  // it is what separates them
    all_wires.insert(std::move(wire));
  }
  if (all_wires.size() == network.wires.size()) {
    return;
  }
  const std::vector<std::string> sorted(all_wires.begin(), all_wires.end());
  Query(*database_, "UPDATE network SET wires = ? WHERE id = ?")
      .bind(join(sorted, " "), network.id)
      .run();
  // The networks of a space have been united before, so one step reaches all.
  std::set<std::int64_t> spaces{network.space};
  for (const Network& other : all()) {
    if (have_wire_in_common(all_wires, other)) {
      spaces.insert(other.space);
    }
  }
  const std::int64_t lowest = *spaces.begin();
  if (spaces.size() > 1) {
    for (const std::int64_t space : spaces) {
      Query(*database_, "UPDATE network SET space = ?1 WHERE space = ?2 OR id = ?2")
          .bind(lowest, space)
          .run();
    }
  }
  network = *find(network.name);
}

std::vector<Network> NetworkTable::sharing(const Network& network) const {
  std::vector<Network> others = all();
  std::erase_if(others, [&](const Network& other) {
    return other.space != network.space || other.id == network.id;
  });
  return others;
}

}  // namespace podlease::store
