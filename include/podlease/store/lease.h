#ifndef PODLEASE_STORE_LEASE_H_
#define PODLEASE_STORE_LEASE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::store {

// The pod an attachment belongs to, as the runtime told in CNI_ARGS; each may be empty.
struct Pod {
  std::string name_space;
  std::string name;
  std::string uid;

  friend bool operator==(const Pod&, const Pod&) = default;
};

// Where the holder of a lease was last seen alive: in which boot of this machine, in which network
// namespace.
struct Presence {
  std::string boot_id;             // empty: unknown, an adopted lease
  std::string netns;               // path; empty: unknown
  std::uint64_t netns_device = 0;  // of the namespace's file; both 0: unknown
  std::uint64_t netns_inode = 0;

  friend bool operator==(const Presence&, const Presence&) = default;
};

struct Lease {
  AttachmentKey
      key;  // an empty ifname matches any: adopted from an old host-local, which did not record it
  net::Prefix address;
  std::optional<net::Address> gateway;
  int range_set = 0;  // index in the configuration it was leased under
  Pod pod;
  Presence presence;
  std::chrono::sys_time<Milliseconds> created{};
  std::string source;  // where the range came from: static, host-local, …
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_LEASE_H_
