#include "machine.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace podlease::sim {
namespace {

// In the order of `Folder`.
constexpr std::array<std::string_view, kFolders.size()> kRoots{
    "/run/netns/", "/var/run/netns/", "/var/run/docker/netns/", "/run/user/1000/netns/", "/proc/"};
constexpr std::size_t kPerMount = 3;  // folders that are not below /proc, aliases counted once
constexpr std::uint64_t kFirstPidNamespace = 4'026'533'000;
constexpr int kFirstProcess = 300;
constexpr int kLastProcess = 1'500;  // then their numbers come again

}  // namespace

std::string path_of(Folder folder, const std::string& name) {
  return std::string(kRoots.at(static_cast<std::size_t>(folder))) + name +
         (folder == Folder::kProc ? "/ns/net" : "");
}

bool have_common_wire(const std::set<std::string>& some, const std::set<std::string>& others) {
  return some.contains("?") || others.contains("?") ||
         std::any_of(some.begin(), some.end(),
                     [&](const std::string& wire) { return others.contains(wire); });
}

SimHost::SimHost(const Hook& hook, const SimClock& clock) : hook_(&hook), clock_(&clock) {
  views.push_back({.what = "the host"});
  pid_namespaces_[0] = kInitialPidNamespace;
}

// ---- What shows

std::size_t SimHost::instance_of(Folder folder, std::size_t mounts) const {
  const std::size_t number = folder == Folder::kRunNetns || folder == Folder::kVarRunNetns ? 0
                             : folder == Folder::kDocker                                   ? 1
                                                                                           : 2;
  return mounts * kPerMount + number;
}

std::optional<SimHost::FolderAt> SimHost::resolve(const std::string& path, std::size_t view) const {
  for (const Folder folder : kFolders) {
    const std::string_view root = kRoots.at(static_cast<std::size_t>(folder));
    if (folder != Folder::kProc && path.starts_with(root)) {
      // An alias shows what its folder shows.
      const Folder shown = folder == Folder::kVarRunNetns ? Folder::kRunNetns : folder;
      return FolderAt{.visibility = &views[view].visibility.at(static_cast<std::size_t>(shown)),
                      .instance = instance_of(folder, views[view].mounts),
                      .name = path.substr(root.size())};
    }
  }
  return std::nullopt;
}

int SimHost::number_of(int process, std::size_t pid_namespace) const {
  const Process& state = processes_.at(process);
  return pid_namespace == 0 ? process : state.pid_namespace == pid_namespace ? state.number : 0;
}

const Process* SimHost::process_at(const std::string& path, std::size_t view) const {
  const std::string_view root = kRoots.back();
  int number = 0;
  std::from_chars(path.data() + root.size(), path.data() + path.size(), number);
  const std::size_t pid_namespace = views[view].pid_namespace;
  if (pid_namespace != 0) {
    const auto inner = inner_.find({pid_namespace, number});
    number = inner == inner_.end() ? 0 : inner->second;
  }
  const auto found = processes_.find(number);
  return found == processes_.end() ? nullptr : &found->second;
}

NamespacePtr SimHost::at(const std::string& path, std::size_t view) const {
  if (path.starts_with(kRoots.back())) {
    const Process* const process = process_at(path, view);
    return process == nullptr ? nullptr : process->netns;
  }
  const std::optional<FolderAt> folder = resolve(path, view);
  if (!folder || *folder->visibility != Visibility::kSeen || folder->instance >= folders_.size()) {
    return nullptr;
  }
  const auto& entries = folders_[folder->instance].entries;
  const auto entry = entries.find(folder->name);
  return entry == entries.end() ? nullptr : entry->second.netns;
}

host::NetnsAt SimHost::sight(const std::string& path, std::size_t view) const {
  if (const NamespacePtr found = at(path, view)) {
    return {.state = host::NetnsState::kAlive, .id = found->id};
  }
  const host::NetnsAt absent{.state = host::NetnsState::kAbsent, .id = {}};
  const host::NetnsAt doubt{.state = host::NetnsState::kDoubt, .id = {}};
  if (path.starts_with(kRoots.back())) {
    return absent;
  }
  const std::optional<FolderAt> folder = resolve(path, view);
  if (!folder || *folder->visibility == Visibility::kDenied) {
    return doubt;
  }
  if (*folder->visibility == Visibility::kHidden || folder->instance >= folders_.size()) {
    return absent;
  }
  return folders_[folder->instance].entries.contains(folder->name) ? doubt : absent;
}

std::optional<host::NetnsId> SimHost::folder_seen(const std::string& path, std::size_t view) const {
  const std::optional<FolderAt> folder = resolve(path, view);
  if (!folder || *folder->visibility == Visibility::kDenied) {
    return std::nullopt;
  }
  if (*folder->visibility == Visibility::kHidden || folder->instance >= folders_.size()) {
    return host::NetnsId{.device = 99, .inode = 1 + folder->instance};
  }
  return folders_[folder->instance].id;
}

std::uint64_t SimHost::pid_namespace_id(std::size_t view) const {
  return pid_namespaces_.at(views[view].pid_namespace);
}

bool SimHost::occupied_as_seen(const Namespace& netns, std::size_t view) const {
  return std::any_of(netns.processes.begin(), netns.processes.end(), [&](int process) {
    return is_read(process, views[view]) && number_of(process, views[view].pid_namespace) != 0;
  });
}

bool SimHost::is_read(int process, const Viewpoint& from) {
  return from.reads_all_processes || process % 3 != 0;
}

NamespacePtr SimHost::numbered(const host::NetnsId& id) const {
  const auto found = alive_.find(id);
  return found == alive_.end() ? nullptr : found->second;
}

bool SimHost::lives_provably(const Namespace& netns) const {
  return !netns.processes.empty() || !netns.names.empty() || (netns.descriptors > 0 && netns.talks);
}

bool SimHost::is_routed(net::Address address) const {
  const auto [from, to] = plugged_.equal_range(address);
  return std::any_of(from, to, [](const auto& one) {
    const auto& [netns, interface] = one.second;
    const auto found = netns->interfaces.find(interface);
    return netns->alive() && found != netns->interfaces.end() && found->second.link.has_host_routes;
  });
}

bool SimHost::is_held(net::Address address) const {
  return held.contains(address) || is_routed(address) ||
         std::any_of(gateways_.begin(), gateways_.end(), [&](const auto& gateway) {
           return gateway.first.second.address() == address;
         });
}

bool SimHost::was_held_lately(net::Address address, const std::string& device) const {
  constexpr Milliseconds kMinute{61'000};
  const auto is_late = [&](Milliseconds since) { return clock_->true_time() - since < kMinute; };
  const auto is_elsewhere = [&](const std::pair<std::string, net::Prefix>& gateway) {
    return !gateway.first.empty() && gateway.first != device &&
           gateway.second.masked().contains(address);
  };
  const auto found = given_up_.find(address);
  return is_held(address) || (found != given_up_.end() && is_late(found->second)) ||
         std::any_of(gateways_.begin(), gateways_.end(),
                     [&](const auto& one) { return is_elsewhere(one.first); }) ||
         std::any_of(disconnected_.begin(), disconnected_.end(), [&](const auto& one) {
           return is_late(one.second) && is_elsewhere(one.first);
         });
}

void SimHost::give_up(net::Address address) {
  held.erase(address);
  given_up_[address] = clock_->true_time();
}

NamespacePtr SimHost::other_with(net::Address address, const std::set<std::string>& wires,
                                 const std::string& container) const {
  const auto [from, to] = plugged_.equal_range(address);
  for (auto one = from; one != to; ++one) {
    const auto& [other, interface] = one->second;
    const auto inside = other->interfaces.find(interface);
    if (!lives_provably(*other) || inside == other->interfaces.end() ||
        inside->second.container == container) {
      continue;
    }
    if (have_common_wire(inside->second.link.wires, wires)) {
      return other;
    }
  }
  return nullptr;
}

// ---- What happens

host::NetnsId SimHost::next_id() {
  host::NetnsId id{.device = 4, .inode = kHostNetns.inode + 160};
  for (const auto& [used, netns] : alive_) {  // in order
    if (used.inode != id.inode) {
      break;
    }
    ++id.inode;
  }
  return id;
}

int SimHost::spawn(const NamespacePtr& netns, std::size_t pid_namespace) {
  do {
    next_process_ = next_process_ >= kLastProcess ? kFirstProcess : next_process_ + 1;
  } while (processes_.contains(next_process_));
  int number = next_process_;
  if (pid_namespace != 0) {
    number = 2;
    while (inner_.contains({pid_namespace, number})) {
      ++number;
    }
    inner_[{pid_namespace, number}] = next_process_;
  }
  processes_[next_process_] = {.pid_namespace = pid_namespace, .number = number, .netns = netns};
  netns->processes.insert(next_process_);
  return number;
}

void SimHost::kill(int process) {
  const auto found = processes_.find(process);
  const NamespacePtr netns = found->second.netns;
  if (found->second.pid_namespace != 0) {
    inner_.erase({found->second.pid_namespace, found->second.number});
  }
  processes_.erase(found);
  netns->processes.erase(process);
}

void SimHost::bury(Namespace& netns) {
  if (netns.alive() || numbered(netns.id).get() != &netns) {
    return;
  }
  while (!netns.interfaces.empty()) {
    unplug(netns, netns.interfaces.begin()->first);
  }
  alive_.erase(netns.id);
}

NamespacePtr SimHost::start(Folder folder, const std::string& name, std::size_t view) {
  auto started = std::make_shared<Namespace>();
  started->cookie = next_cookie_++;
  started->id = next_id();
  started->folder = folder;
  started->view = view;
  alive_[started->id] = started;
  if (folder == Folder::kProc) {
    started->path = path_of(folder, std::to_string(spawn(started, views[view].pid_namespace)));
    return started;
  }
  started->path = path_of(folder, name);
  const std::size_t instance = instance_of(folder, views[view].mounts);
  while (folders_.size() <= instance) {
    folders_.push_back({.id = {.device = 25, .inode = next_folder_++}, .entries = {}});
  }
  Entry& entry = folders_[instance].entries[name];
  const NamespacePtr before = std::exchange(entry.netns, started);
  entry.plain_file = false;
  started->names.emplace(folders_[instance].id, name);
  if (before) {
    before->names.erase({folders_[instance].id, name});
    bury(*before);
  }
  return started;
}

void SimHost::add_process(const NamespacePtr& netns, std::size_t view) {
  static_cast<void>(spawn(netns, views[view].pid_namespace));
}

bool SimHost::end_process(Namespace& netns) {
  if (netns.processes.empty()) {
    return false;
  }
  kill(*netns.processes.rbegin());
  bury(netns);
  return true;
}

bool SimHost::remove_name(Namespace& netns) {
  if (at(netns.path, netns.view).get() != &netns) {
    // Perhaps only hidden just now.
    if (netns.names.empty()) {
      return false;
    }
  }
  if (netns.folder == Folder::kProc) {
    const Process* const process = process_at(netns.path, netns.view);
    const auto found = std::find_if(netns.processes.begin(), netns.processes.end(),
                                    [&](int number) { return &processes_.at(number) == process; });
    if (found == netns.processes.end()) {
      return false;
    }
    kill(*found);
  } else {
    const std::set<std::pair<host::NetnsId, std::string>> names = netns.names;
    for (const auto& [folder, name] : names) {
      for (FolderInstance& instance : folders_) {
        if (instance.id == folder) {
          instance.entries.erase(name);
        }
      }
    }
    netns.names.clear();
  }
  bury(netns);
  return true;
}

void SimHost::end(Namespace& netns, bool leave_file) {
  if (!netns.alive()) {
    return;
  }
  const std::set<std::pair<host::NetnsId, std::string>> names = netns.names;
  for (const auto& [folder, name] : names) {
    for (FolderInstance& instance : folders_) {
      if (instance.id == folder && leave_file) {
        instance.entries[name] = {.plain_file = true, .netns = nullptr};
      } else if (instance.id == folder) {
        instance.entries.erase(name);
      }
    }
  }
  netns.names.clear();
  netns.descriptors = 0;
  while (!netns.processes.empty()) {
    kill(*netns.processes.begin());
  }
  bury(netns);
}

void SimHost::remove_file(const Namespace& netns) {
  const std::optional<FolderAt> folder = resolve(netns.path, netns.view);
  if (!folder || folder->instance >= folders_.size()) {
    return;
  }
  auto& entries = folders_[folder->instance].entries;
  const auto entry = entries.find(folder->name);
  if (entry != entries.end() && entry->second.plain_file) {
    entries.erase(entry);
  }
}

void SimHost::plug(const NamespacePtr& netns, const InPod& interface) {
  unplug(*netns, interface.interface);
  netns->interfaces[interface.interface] = interface;
  netns->interfaces[interface.interface].peer = next_index_++;
  for (const net::Prefix& address : interface.addresses) {
    plugged_.emplace(address.address(), std::pair{netns, interface.interface});
  }
  for (const net::Prefix& gateway : interface.link.gateways) {
    ++gateways_[{interface.link.device, gateway}];
  }
  if (interface.link.device.starts_with("cni")) {
    bridges_.insert(interface.link.device);
  }
}

void SimHost::supersede(const NamespacePtr& next, const InPod& interface) {
  for (const NamespacePtr& netns : living()) {
    const auto other = netns->interfaces.find(interface.interface);
    if (netns == next || other == netns->interfaces.end()) {
      continue;
    }
    const bool is_hidden = netns->names.empty() && netns->processes.empty();
    const bool is_of_pod = !interface.uid.empty() && other->second.uid == interface.uid;
    const bool has_same = std::any_of(
        other->second.addresses.begin(), other->second.addresses.end(), [&](const auto& one) {
          return std::any_of(
              interface.addresses.begin(), interface.addresses.end(),
              [&](const net::Prefix& same) { return same.address() == one.address(); });
        });
    if (other->second.container == interface.container ? has_same || is_hidden
                                                       : has_same && is_hidden && is_of_pod) {
      unplug(*netns, interface.interface);
    }
  }
}

std::vector<NamespacePtr> SimHost::living() const {
  std::vector<NamespacePtr> all;
  for (const auto& [id, netns] : alive_) {
    all.push_back(netns);
  }
  return all;
}

void SimHost::unplug(Namespace& netns, const std::string& interface) {
  const auto found = netns.interfaces.find(interface);
  if (found == netns.interfaces.end()) {
    return;
  }
  for (const net::Prefix& address : found->second.addresses) {
    if (found->second.link.has_host_routes) {
      given_up_[address.address()] = clock_->true_time();
    }
    const auto [from, to] = plugged_.equal_range(address.address());
    const auto own = std::find_if(from, to, [&](const auto& one) {
      return one.second.first.get() == &netns && one.second.second == interface;
    });
    if (own != to) {
      plugged_.erase(own);
    }
  }
  for (const net::Prefix& gateway : found->second.link.gateways) {
    const auto own = gateways_.find({found->second.link.device, gateway});
    if (own != gateways_.end() && --own->second == 0) {
      disconnected_[own->first] = clock_->true_time();
      given_up_[gateway.address()] = clock_->true_time();
      gateways_.erase(own);
    }
  }
  netns.interfaces.erase(found);
}

void SimHost::reboot() {
  ++boots_;
  const std::map<host::NetnsId, NamespacePtr> all = std::exchange(alive_, {});
  for (const auto& [id, netns] : all) {
    netns->names.clear();
    netns->processes.clear();
    netns->descriptors = 0;
    netns->interfaces.clear();
  }
  plugged_.clear();
  processes_.clear();
  inner_.clear();
  for (FolderInstance& folder : folders_) {
    folder.entries.clear();
  }
  pid_namespaces_ = {{0, kInitialPidNamespace}};
  next_pid_namespace_ = kFirstPidNamespace + static_cast<std::uint64_t>(boots_);
  for (const Viewpoint& view : views) {
    if (!pid_namespaces_.contains(view.pid_namespace)) {
      pid_namespaces_[view.pid_namespace] = next_pid_namespace_++;
    }
  }
  next_cookie_ = 4'096;  // the same numbers again
  next_process_ = kFirstProcess;
  bridges_.clear();
  gateways_.clear();
}

std::size_t SimHost::add_view(Viewpoint viewpoint) {
  if (!pid_namespaces_.contains(viewpoint.pid_namespace)) {
    pid_namespaces_[viewpoint.pid_namespace] = next_pid_namespace_++;
  }
  views.push_back(std::move(viewpoint));
  return views.size() - 1;
}

void SimHost::restart_container(std::size_t view) {
  const std::size_t mounts = views[view].mounts;
  const std::size_t pid_namespace = views[view].pid_namespace;
  const std::map<host::NetnsId, NamespacePtr> all = alive_;
  for (const auto& [id, netns] : all) {
    if (netns->view == view) {
      end(*netns, false);
    }
  }
  if (mounts != 0) {
    for (std::size_t i = 0; i < kPerMount && mounts * kPerMount + i < folders_.size(); ++i) {
      folders_[mounts * kPerMount + i] = {.id = {.device = 25, .inode = next_folder_++},
                                          .entries = {}};
    }
  }
  if (pid_namespace != 0) {
    pid_namespaces_[pid_namespace] = next_pid_namespace_++;
  }
}

}  // namespace podlease::sim
