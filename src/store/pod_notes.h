#ifndef PODLEASE_SRC_STORE_POD_NOTES_H_
#define PODLEASE_SRC_STORE_POD_NOTES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "database.h"
#include "podlease/net/address.h"

// The addresses that a pod's interface had last in a network.
namespace podlease::store {

[[nodiscard]] std::vector<net::Address> find_pod_note(Database& database, std::int64_t network,
                                                      const std::string& pod_uid,
                                                      const std::string& ifname);
// Without addresses there is no note.
void set_pod_note(Database& database, std::int64_t network, const std::string& pod_uid,
                  const std::string& ifname, const std::vector<net::Address>& addresses);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_POD_NOTES_H_
