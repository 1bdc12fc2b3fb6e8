#ifndef PODLEASE_SRC_KUBE_RESOLVER_H_
#define PODLEASE_SRC_KUBE_RESOLVER_H_

#include <string>
#include <vector>

#include "podlease/kube/client.h"
#include "podlease/net/address.h"

namespace podlease::kube {

// The addresses of a host, in the order in which they are best tried (RFC 6724); of an address,
// that one. /etc/hosts, then DNS by /etc/resolv.conf: c-ares, because the C library would have to
// load code that is not in a static executable. `name_servers`, if not empty, are asked instead of
// the host's: ADDRESS:PORT,… Throws ApiError: kUnreachable, kTimeout.
[[nodiscard]] std::vector<net::Address> resolve(const std::string& host, Deadline deadline,
                                                const std::string& name_servers = {});

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_RESOLVER_H_
