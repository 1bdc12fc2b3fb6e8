#ifndef PODLEASE_STORE_LEASE_H_
#define PODLEASE_STORE_LEASE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

  // NAMESPACE/NAME; empty: unknown.
  [[nodiscard]] std::string text() const { return pod_text(name_space, name); }

  friend bool operator==(const Pod&, const Pod&) = default;
};

// What whoever recorded a lease saw of the machine; all 0: unknown. Who judges the lease later must
// see the same.
struct View {
  std::uint64_t pid_namespace = 0;  // inode, of the PID namespace whose processes it saw
  std::uint64_t folder_device = 0;  // of the folder of a namespace's path outside /proc
  std::uint64_t folder_inode = 0;

  friend bool operator==(const View&, const View&) = default;
};

// Where the holder of a lease was last seen alive: in which boot of this machine, in which network
// namespace.
struct Presence {
  std::string boot_id;             // empty: unknown, an adopted lease
  std::string netns;               // path; empty: unknown
  std::uint64_t netns_device = 0;  // of the namespace's file; both 0: unknown
  std::uint64_t netns_inode = 0;
  std::uint64_t netns_cookie = 0;  // SO_NETNS_COOKIE: no other namespace of this boot ever has it
  View view;

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

// Why a lease ended.
enum class Ending {
  kDel,        // the runtime's DEL
  kGc,         // the runtime's GC did not name it
  kTakeover,   // the same pod's next sandbox has the address now
  kReclaim,    // its namespace was gone, and stayed gone for the grace
  kReboot,     // it was of an earlier boot, and its address was needed
  kRelease,    // an operator's `podlease release`
  kMoved,      // its network went on in another store of this node, and it ended there
  kHostLocal,  // host-local's file of it vanished
};

[[nodiscard]] std::string_view to_string(Ending ending);

}  // namespace podlease::store

#endif  // PODLEASE_STORE_LEASE_H_
