#include "presence.h"

#include <filesystem>

namespace podlease::ipam {

store::Presence presence_of(const host::Host& host, const std::string& netns) {
  store::Presence presence{.boot_id = host.boot_id(), .netns = netns};
  const host::NetnsSight sight = host.look_at(netns);
  if (sight.state == host::NetnsState::kAlive) {
    presence.netns_device = sight.id.device;
    presence.netns_inode = sight.id.inode;
  }
  return presence;
}

bool is_alive(const store::Lease& lease, const host::Host& host) {
  const store::Presence& presence = lease.presence;
  // Inode numbers start anew with a boot, and so may give an old number to a new namespace.
  if (presence.netns_inode == 0 || presence.boot_id != host.boot_id()) {
    return false;
  }
  const host::NetnsSight sight = host.look_at(presence.netns);
  return sight.state == host::NetnsState::kAlive &&
         sight.id == host::NetnsId{.device = presence.netns_device, .inode = presence.netns_inode};
}

bool has_left(const store::Lease& lease, const host::Host& host) {
  const store::Presence& presence = lease.presence;
  if (presence.netns_inode == 0) {
    return false;
  }
  const host::NetnsSight sight = host.look_at(presence.netns);
  switch (sight.state) {
    case host::NetnsState::kAbsent:
      return true;
    case host::NetnsState::kAlive:
      return sight.id !=
             host::NetnsId{.device = presence.netns_device, .inode = presence.netns_inode};
    case host::NetnsState::kDoubt:
      return false;
  }
  return false;
}

bool is_gone(const store::Lease& lease, const host::Host& host, const store::Presence& witness) {
  const store::Presence& presence = lease.presence;
  if (presence.boot_id.empty()) {
    return false;
  }
  if (presence.boot_id != witness.boot_id) {
    return true;
  }
  // The process whose entry under /proc this was may end before its namespace does.
  if (presence.netns.starts_with("/proc/")) {
    return false;
  }
  const std::filesystem::path folder = std::filesystem::path(presence.netns).parent_path();
  if (witness.netns_inode == 0 || std::filesystem::path(witness.netns).parent_path() != folder) {
    return false;
  }
  return has_left(lease, host);
}

}  // namespace podlease::ipam
