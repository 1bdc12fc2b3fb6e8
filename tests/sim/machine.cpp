#include "machine.h"

#include <algorithm>

namespace podlease::sim {
namespace {

// In the order of `Folder`.
constexpr std::array<std::string_view, kFolders.size()> kRoots{
    "/run/netns/", "/var/run/docker/netns/", "/run/user/1000/netns/", "/proc/"};

}  // namespace

std::string path_of(Folder folder, const std::string& name) {
  return std::string(kRoots.at(static_cast<std::size_t>(folder))) + name +
         (folder == Folder::kProc ? "/ns/net" : "");
}

std::optional<Folder> folder_of(std::string_view path) {
  for (const Folder folder : kFolders) {
    if (path.starts_with(kRoots.at(static_cast<std::size_t>(folder)))) {
      return folder;
    }
  }
  return std::nullopt;
}

std::string SimHost::boot_id() const {
  hook_->ask();
  return "boot-" + std::to_string(boots_);
}

host::NetnsSight SimHost::look_at(const std::filesystem::path& netns) const {
  hook_->ask();
  return sight(netns.native());
}

host::NetnsSight SimHost::sight(const std::string& path) const {
  const std::optional<Folder> folder = folder_of(path);
  if (!folder) {
    return {.state = host::NetnsState::kAbsent, .id = {}};
  }
  switch (visibility.at(static_cast<std::size_t>(*folder))) {
    case Visibility::kDenied:
      return {.state = host::NetnsState::kDoubt, .id = {}};
    case Visibility::kEmpty:
      return {.state = host::NetnsState::kAbsent, .id = {}};
    case Visibility::kSeen:
      break;
  }
  const auto entry = entries_.find(path);
  if (entry == entries_.end()) {
    return {.state = host::NetnsState::kAbsent, .id = {}};
  }
  if (entry->second.plain_file) {
    return {.state = host::NetnsState::kDoubt, .id = {}};
  }
  return {.state = host::NetnsState::kAlive, .id = entry->second.id};
}

std::vector<host::NamedNetns> SimHost::named_namespaces() const {
  hook_->ask();
  std::vector<host::NamedNetns> named;
  for (const auto& [path, entry] : entries_) {
    if (folder_of(path) == Folder::kRunNetns && sight(path).state == host::NetnsState::kAlive) {
      named.push_back({.path = path, .id = entry.id});
    }
  }
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return named;
}

// No store is lost in this life, so nobody has reason to enter a namespace.
std::optional<std::vector<host::PodAddress>> SimHost::addresses_in(
    const host::NamedNetns& /*netns*/) const {
  return std::nullopt;
}

std::optional<bool> SimHost::is_inhabited(const host::NetnsId& netns) const {
  hook_->ask();
  return sees_processes ? std::optional(inhabited(netns)) : std::nullopt;
}

bool SimHost::inhabited(const host::NetnsId& netns) const {
  return alive_.contains(netns);
}

std::chrono::sys_time<Milliseconds> SimHost::booted_at() const {
  const Instant now = clock_->now();
  return now.wall - now.since_boot;
}

std::optional<host::AddressHolder> SimHost::holder_of(net::Address address) const {
  hook_->ask();
  if (!held.contains(address)) {
    return std::nullopt;
  }
  return host::AddressHolder{.kind = host::AddressHolder::Kind::kRoute, .interface = "veth7"};
}

std::optional<host::Uplink> SimHost::uplink(net::Family /*family*/) const {
  hook_->ask();
  return std::nullopt;
}

NamespacePtr SimHost::start(Folder folder, const std::string& name, bool reuse_inode) {
  auto started = std::make_shared<Namespace>();
  started->folder = folder;
  started->path = path_of(folder, name);
  if (reuse_inode && !ended_.empty()) {
    started->id = ended_.back();
    ended_.pop_back();
  } else {
    started->id = {.device = 4, .inode = next_inode_++};
  }
  entries_[started->path] = {.plain_file = false, .id = started->id};
  alive_.insert(started->id);
  return started;
}

void SimHost::end(Namespace& netns, bool leave_file) {
  if (!netns.alive) {
    return;
  }
  netns.alive = false;
  alive_.erase(netns.id);
  ended_.push_back(netns.id);
  if (ended_.size() > 64) {
    ended_.erase(ended_.begin());
  }
  const auto entry = entries_.find(netns.path);
  if (entry != entries_.end() && entry->second.id == netns.id) {
    if (leave_file) {
      entry->second = {.plain_file = true, .id = {}};
    } else {
      entries_.erase(entry);
    }
  }
}

void SimHost::orphan(const Namespace& netns) {
  entries_.erase(netns.path);
}

void SimHost::remove_file(const std::string& path) {
  const auto entry = entries_.find(path);
  if (entry != entries_.end() && entry->second.plain_file) {
    entries_.erase(entry);
  }
}

void SimHost::reboot() {
  ++boots_;
  entries_.clear();
  alive_.clear();
  ended_.clear();
  next_inode_ = 4'026'532'000;  // the same numbers again
}

}  // namespace podlease::sim
