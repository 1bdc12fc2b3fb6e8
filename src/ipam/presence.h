#ifndef PODLEASE_SRC_IPAM_PRESENCE_H_
#define PODLEASE_SRC_IPAM_PRESENCE_H_

#include <string>

#include "podlease/host/host.h"
#include "podlease/store/lease.h"

namespace podlease::ipam {

// What is recorded of an attachment in namespace `netns`, in this boot, now.
[[nodiscard]] store::Presence presence_of(const host::Host& host, const std::string& netns);

// Reports whether the very namespace that the lease was last seen in, in this boot, is there now.
[[nodiscard]] bool is_alive(const store::Lease& lease, const host::Host& host);

// Reports whether the namespace of a lease is not at its path any more: nothing is there, or
// another namespace. That its holder has ended is another matter.
[[nodiscard]] bool has_left(const store::Lease& lease, const host::Host& host);

// Reports whether the holder of a lease has certainly ended: it is of an earlier boot, or its
// namespace is gone from a folder in which `witness`, a namespace known to be alive, can be seen.
// Anything less is doubt, and doubt is false.
[[nodiscard]] bool is_gone(const store::Lease& lease, const host::Host& host,
                           const store::Presence& witness);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_PRESENCE_H_
