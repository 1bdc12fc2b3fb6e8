#include "podlease/store/pod_table.h"

#include <optional>

#include "database.h"
#include "notes.h"
#include "pod_notes.h"

namespace podlease::store {

using net::Address;

std::vector<Address> find_pod_note(Database& database, std::int64_t network,
                                   const std::string& pod_uid, const std::string& ifname) {
  const std::optional<std::string> note =
      find_note(database, "pod", network, pod_uid + "\n" + ifname);
  return note ? decode(*note).value_or(std::vector<Address>{}) : std::vector<Address>{};
}

void set_pod_note(Database& database, std::int64_t network, const std::string& pod_uid,
                  const std::string& ifname, const std::vector<Address>& addresses) {
  const std::string key = pod_uid + "\n" + ifname;
  if (addresses.empty()) {
    forget_note(database, "pod", network, key);
  } else {
    set_note(database, "pod", network, key, encode(addresses));
  }
}

std::vector<Address> PodTable::addresses(const Network& network, const std::string& pod_uid,
                                         const std::string& ifname) const {
  for (const std::int64_t id : network.reach) {
    std::vector<Address> noted = find_pod_note(*database_, id, pod_uid, ifname);
    if (!noted.empty()) {
      return noted;
    }
  }
  return {};
}

void PodTable::set_addresses(const Network& network, const std::string& pod_uid,
                             const std::string& ifname,
                             const std::vector<Address>& addresses) const {
  set_pod_note(*database_, network.id, pod_uid, ifname, addresses);
}

}  // namespace podlease::store
