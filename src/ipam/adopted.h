#ifndef PODLEASE_SRC_IPAM_ADOPTED_H_
#define PODLEASE_SRC_IPAM_ADOPTED_H_

#include <string>
#include <string_view>
#include <vector>

#include "podlease/ipam/leases.h"
#include "podlease/store/lease.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

// Leases that podlease did not make: their holders were found on the machine (FACTS, section 2).
namespace podlease::ipam {

// What a lease's `source` says of one that was adopted, and from where.
inline constexpr std::string_view kFromHostLocal = "host-local";
inline constexpr std::string_view kFromCache = "libcni cache";
inline constexpr std::string_view kFromNamespace = "namespace";

[[nodiscard]] bool was_adopted(const store::Lease& lease);

// The container id of a lease whose holder is only known by the namespace it lives in: that
// namespace's device and inode.
[[nodiscard]] std::string id_by_netns(const store::Presence& presence);

// What was adopted of an interface in the namespace `presence`, without a container id. With a
// network, of that one only. Empty where that namespace cannot be seen.
[[nodiscard]] std::vector<store::Lease> adopted_in(const store::Presence& presence,
                                                   const std::string& ifname,
                                                   store::Transaction& transaction,
                                                   const store::Network& network);
[[nodiscard]] std::vector<store::Lease> adopted_in(const store::Presence& presence,
                                                   const std::string& ifname,
                                                   store::Transaction& transaction);

// Puts `more` behind `all`.
void append(std::vector<Found>& all, std::vector<Found> more);

// container ID IFNAME (pod NAMESPACE/NAME), for messages.
[[nodiscard]] std::string describe(const store::Lease& lease);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_ADOPTED_H_
