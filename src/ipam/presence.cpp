#include "presence.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

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
  if (presence.netns.empty() || presence.boot_id != host.boot_id()) {
    return false;
  }
  const host::NetnsSight sight = host.look_at(presence.netns);
  // It could not be seen at its ADD, and is there now: then it is the one.
  const bool was_seen = presence.netns_inode != 0;
  return sight.state == host::NetnsState::kAlive &&
         (!was_seen || sight.id == host::NetnsId{.device = presence.netns_device,
                                                 .inode = presence.netns_inode});
}

namespace {

// The process whose entry this is may end before its namespace does.
bool is_of_process(const store::Presence& presence) {
  return presence.netns.starts_with("/proc/");
}

std::string_view folder_of(const store::Presence& presence) {
  return std::string_view(presence.netns).substr(0, presence.netns.rfind('/') + 1);
}

host::NetnsId id_of(const store::Presence& presence) {
  return {.device = presence.netns_device, .inode = presence.netns_inode};
}

}  // namespace

void Sight::trust_folder_of(const store::Presence& presence) {
  if (presence.netns_inode != 0 && !is_of_process(presence)) {
    const std::string_view folder = folder_of(presence);
    if (!trusted_.contains(folder)) {
      trusted_.emplace(folder);
    }
  }
}

Sight::Look Sight::look_for(const store::Presence& presence) {
  if (presence.boot_id != boot_id_ || presence.netns_inode == 0) {
    return Look::kUnclear;
  }
  if (host_->is_at(presence.netns, id_of(presence))) {
    trust_folder_of(presence);
    return Look::kThere;
  }
  const host::NetnsSight sight = host_->look_at(presence.netns);
  switch (sight.state) {
    case host::NetnsState::kAlive:
      // Of whichever pod: the folder can be seen.
      trust_folder_of(presence);
      return Look::kElsewhere;
    case host::NetnsState::kAbsent:
      return Look::kElsewhere;
    case host::NetnsState::kDoubt:
      return Look::kUnclear;
  }
  return Look::kUnclear;
}

// By another name, too: /var/run is /run.
bool Sight::trusts(std::string_view folder) const {
  if (trusted_.contains(folder)) {
    return true;
  }
  std::error_code unknown;
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(folder, unknown);
  return !unknown && std::any_of(trusted_.begin(), trusted_.end(), [&](const std::string& trusted) {
    std::error_code error;
    return std::filesystem::weakly_canonical(trusted, error) == canonical && !error;
  });
}

Fate Sight::conclude(const store::Presence& presence, Look look) const {
  if (presence.boot_id.empty()) {
    return Fate::kDoubt;
  }
  if (presence.boot_id != boot_id_) {
    return Fate::kEarlierBoot;
  }
  switch (look) {
    case Look::kThere:
      return Fate::kAlive;
    case Look::kElsewhere:
      return trusts(folder_of(presence)) ? Fate::kGone : Fate::kDoubt;
    case Look::kUnclear:
      return Fate::kDoubt;
  }
  return Fate::kDoubt;
}

Fate Sight::fate_of(const store::Presence& presence) {
  return conclude(presence, look_for(presence));
}

std::vector<Fate> Sight::fates_of(const std::vector<store::Holder>& holders) {
  std::vector<Look> looks;
  looks.reserve(holders.size());
  for (const store::Holder& holder : holders) {
    looks.push_back(look_for(holder.presence));
  }
  std::vector<Fate> fates;
  fates.reserve(holders.size());
  for (std::size_t index = 0; index < holders.size(); ++index) {
    const store::Presence& presence = holders[index].presence;
    Fate fate = conclude(presence, looks[index]);
    if (fate == Fate::kDoubt && looks[index] == Look::kElsewhere && is_of_process(presence) &&
        host_->is_inhabited(id_of(presence)) == false) {
      fate = Fate::kGone;
    }
    fates.push_back(fate);
  }
  return fates;
}

}  // namespace podlease::ipam
