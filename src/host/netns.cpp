// Network namespaces by their paths.

#include "netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "netlink.h"
#include "podlease/base/error.h"
#include "processes.h"

namespace podlease::host {

namespace {

namespace fs = std::filesystem;

// Of kernel 5.14; the C library may be older.
constexpr int kNetnsCookie = 71;  // SO_NETNS_COOKIE

bool enter(const UniqueFd& netns) {
  return setns(netns.get(), CLONE_NEWNET) == 0;
}

bool is_on_procfs(const fs::path& path) {
  struct statfs file_system {};
  return statfs(path.c_str(), &file_system) == 0 && file_system.f_type == PROC_SUPER_MAGIC;
}

// Reports whether a path has a name as its last component, and not "", "." or "..".
bool has_name(const fs::path& path) {
  const fs::path name = path.filename();
  return !name.empty() && name != "." && name != "..";
}

fs::path folder_in(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

// What keeps a path from being found: its first component that is not there, in `folder`.
struct Missing {
  fs::path folder;
  fs::path component;  // all of the path up to it
};

// Nothing if something is there, or it cannot be seen what is missing.
std::optional<Missing> missing_in(const fs::path& path) {
  fs::path component = path;
  while (has_name(component)) {
    fs::path folder = folder_in(component);
    struct stat file {};
    if (stat(folder.c_str(), &file) == 0) {
      return S_ISDIR(file.st_mode) ? std::optional(Missing{std::move(folder), std::move(component)})
                                   : std::nullopt;
    }
    if (errno != ENOENT && errno != ESRCH) {
      return std::nullopt;
    }
    component = std::move(folder);
  }
  return std::nullopt;
}

// A path that the kernel does not find. Absent is only what would be seen if it were there.
NetnsState state_of_missing(const fs::path& path) {
  const auto missing = missing_in(path);
  if (!missing) {
    return NetnsState::kDoubt;
  }
  const bool is_last = missing->component == path;
  const bool is_process = is_on_procfs(missing->folder);
  struct stat link {};
  if (lstat(missing->component.c_str(), &link) == 0) {
    // A symbolic link that leads nowhere. A process that has ended, but was not waited for, keeps
    // its links to namespaces, and they lead nowhere.
    return is_process && is_last ? NetnsState::kAbsent : NetnsState::kDoubt;
  }
  if (errno != ENOENT && errno != ESRCH) {
    return NetnsState::kDoubt;
  }
  if (is_last) {
    return NetnsState::kAbsent;
  }
  // Process 1 always lives. Where it is not shown, other users' processes are hidden (hidepid, see
  // proc(5)), and perhaps this one.
  const bool is_shown =
      missing->folder.filename() == "task" || lstat((missing->folder / "1").c_str(), &link) == 0;
  return is_process && is_process_id(missing->component.filename().native()) && is_shown
             ? NetnsState::kAbsent
             : NetnsState::kDoubt;
}

// 0 where the kernel has none.
std::uint64_t cookie_of_own_namespace() {
  // The least of all sockets: no module is loaded for it, and it needs no address.
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (!fd || getsockopt(fd.get(), SOL_SOCKET, kNetnsCookie, &cookie, &size) != 0 ||
      size != sizeof cookie) {
    return 0;
  }
  return cookie;
}

bool is_own(const NetnsId& netns) {
  struct stat file {};
  return stat(kOwnNetns, &file) == 0 && id_of(file) == netns;
}

// Where others may make names, they could name any namespace, and so have addresses kept.
bool is_made_by_us_alone(const fs::path& folder) {
  struct stat file {};
  return stat(folder.c_str(), &file) == 0 && (file.st_uid == 0 || file.st_uid == geteuid()) &&
         (file.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// A socket that asks about that namespace, wherever the process is. Throws kIo.
std::optional<RouteSocket> socket_in(const UniqueFd& netns) {
  const Excursion excursion(netns);
  return excursion.inside() ? std::optional<RouteSocket>(std::in_place) : std::nullopt;
}

// By index, the interfaces of a namespace, each with the index of its peer in this process's own.
struct PodInterface {
  std::string name;
  unsigned peer = 0;
};
std::map<unsigned, PodInterface> interfaces_in(RouteSocket& socket, bool is_own_namespace) {
  const std::vector<LinkEntry> links = socket.links();
  // Asked only now, for by telling of an interface whose peer is elsewhere the kernel gives the
  // other namespace an id.
  const UniqueFd home(open(kOwnNetns, O_RDONLY | O_CLOEXEC));
  const std::optional<int> home_id = home ? socket.id_of_namespace(home.get()) : std::nullopt;
  std::map<unsigned, PodInterface> interfaces;
  for (const LinkEntry& link : links) {
    const bool leads_here =
        link.parent_namespace ? home_id == link.parent_namespace : is_own_namespace;
    interfaces.emplace(
        link.interface.index,
        PodInterface{.name = link.interface.name, .peer = leads_here ? link.interface.parent : 0});
  }
  return interfaces;
}

}  // namespace

NetnsId id_of(const struct stat& file) {
  return {.device = file.st_dev, .inode = file.st_ino};
}

std::optional<OpenNetns> open_netns(const fs::path& path) {
  struct statfs file_system {};
  if (statfs(path.c_str(), &file_system) != 0 || file_system.f_type != NSFS_MAGIC) {
    return std::nullopt;
  }
  // Not blocking, should the path have become a FIFO in between.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat file {};
  if (!fd || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET || fstat(fd.get(), &file) != 0) {
    return std::nullopt;
  }
  return OpenNetns{.fd = std::move(fd), .id = id_of(file)};
}

Excursion::Excursion(const UniqueFd& netns) : home_(open_netns(kOwnNetns)) {
  // Whoever may enter the other one may not always come back (in a user namespace that does not
  // own `home_`): this is seen by entering `home_` first.
  inside_ = home_ && enter(home_->fd) && enter(netns);
}

Excursion::~Excursion() {
  if (inside_ && !enter(home_->fd)) {
    constexpr std::string_view kLastWords =
        "podlease: cannot return from the network namespace of a pod\n";
    static_cast<void>(write_all(STDERR_FILENO, kLastWords));
    std::abort();
  }
}

std::optional<NetnsId> LinuxHost::folder_of(const fs::path& netns) const {
  if (!has_name(netns)) {
    return std::nullopt;
  }
  const fs::path folder = folder_in(netns);
  struct stat file {};
  if (stat(folder.c_str(), &file) != 0 || !S_ISDIR(file.st_mode) || is_on_procfs(folder)) {
    return std::nullopt;
  }
  return id_of(file);
}

NetnsAt LinuxHost::netns_at(const fs::path& netns) const {
  struct statfs file_system {};
  if (statfs(netns.c_str(), &file_system) != 0) {
    const bool is_missing = errno == ENOENT || errno == ESRCH;
    return {.state = is_missing ? state_of_missing(netns) : NetnsState::kDoubt, .id = {}};
  }
  const auto opened = open_netns(netns);
  return opened ? NetnsAt{.state = NetnsState::kAlive, .id = opened->id} : NetnsAt{};
}

std::uint64_t LinuxHost::cookie_at(const std::string& path, const NetnsId& netns) const {
  if (is_own(netns)) {
    // As good as opening it: this process keeps its own namespace alive, so that no other one has
    // its inode.
    return is_at(path, netns) ? cookie_of_own_namespace() : 0;
  }
  const auto opened = open_netns(path);
  if (!opened || opened->id != netns) {
    return 0;
  }
  const Excursion excursion(opened->fd);
  return excursion.inside() ? cookie_of_own_namespace() : 0;
}

bool LinuxHost::is_at(const std::string& path, const NetnsId& netns) const {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 && id_of(file) == netns;
}

std::vector<NamedNetns> LinuxHost::named_namespaces(const std::vector<std::string>& beside) const {
  std::vector<fs::path> folders;
  std::set<NetnsId> known;
  const auto add = [&](const fs::path& netns) {
    const std::optional<NetnsId> folder = folder_of(netns);
    if (folder && known.insert(*folder).second) {
      folders.push_back(netns.parent_path());
    }
  };
  add("/run/netns/any");
  add("/var/run/netns/any");
  for (const std::string& netns : beside) {
    if (is_made_by_us_alone(fs::path(netns).parent_path())) {
      add(netns);
    }
  }
  std::vector<NamedNetns> found;
  for (const fs::path& folder : folders) {
    std::error_code error;
    fs::directory_iterator item(folder, error);
    for (; !error && item != fs::directory_iterator(); item.increment(error)) {
      if (const auto opened = open_netns(item->path())) {
        found.push_back({.path = item->path(), .id = opened->id});
      }
    }
  }
  std::sort(found.begin(), found.end(),
            [](const NamedNetns& a, const NamedNetns& b) { return a.path < b.path; });
  return found;
}

std::optional<std::vector<PodAddress>> LinuxHost::addresses_in(const NamedNetns& netns) const {
  const auto opened = open_netns(netns.path);
  if (!opened || opened->id != netns.id) {
    return std::nullopt;
  }
  try {
    auto socket = socket_in(opened->fd);
    if (!socket) {
      return std::nullopt;
    }
    // Sorted, and each once.
    std::set<std::pair<net::Prefix, unsigned>> assigned;
    for (const auto family : {net::Family::kIpv4, net::Family::kIpv6}) {
      for (const InterfaceAddress& item : socket->addresses(family)) {
        if (item.interface != kLoopbackIndex && !item.address.address().is_link_local_v6()) {
          assigned.emplace(item.address, item.interface);
        }
      }
    }
    std::vector<PodAddress> addresses;
    if (assigned.empty()) {
      return addresses;
    }
    std::map<unsigned, PodInterface> interfaces = interfaces_in(*socket, is_own(netns.id));
    for (const auto& [address, index] : assigned) {
      const PodInterface& interface = interfaces[index];  // empty, if it is gone by now
      addresses.push_back(
          {.address = address, .interface = interface.name, .peer = interface.peer});
    }
    return addresses;
  } catch (const Error&) {
    return std::nullopt;  // the kernel would not tell
  }
}

}  // namespace podlease::host
