#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "netlink.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/host.h"

namespace podlease::host {

namespace {

namespace fs = std::filesystem;

// Addresses reserved for documentation (RFC 5737, RFC 3849, RFC 9637): nobody's, so they are
// reached the way the world is. Two of each family, for some labs do use such networks.
constexpr std::array kSomewhereV4{net::Address::v4(0xcb007101),   // 203.0.113.1
                                  net::Address::v4(0xc6336401)};  // 198.51.100.1
constexpr std::array kSomewhereV6{net::Address::v6((net::Uint128{0x20010db8} << 96) + 1),
                                  net::Address::v6((net::Uint128{0x3fff0000} << 96) + 1)};

// The kernel gives `lo` this index in every network namespace.
constexpr unsigned kLoopbackIndex = 1;

// One socket serves all questions of the process.
RouteSocket& kernel() {
  static RouteSocket socket;
  return socket;
}

// The way to the world leads through a gateway, or else to every address alike.
std::optional<Route> way_out(net::Family family) {
  std::optional<Route> path;
  for (const auto somewhere : family == net::Family::kIpv4 ? kSomewhereV4 : kSomewhereV6) {
    path = kernel().path_to(somewhere);
    if (!path || path->gateway) {
      break;
    }
  }
  return path;
}

// Empty if the interface is gone by now, or was none.
std::string interface_name(unsigned index) {
  std::array<char, IF_NAMESIZE> name{};
  return if_indextoname(index, name.data()) == nullptr ? std::string() : name.data();
}

NetnsId id_of(const struct stat& file) {
  return {.device = file.st_dev, .inode = file.st_ino};
}

// A network namespace, opened.
struct OpenNetns {
  UniqueFd fd;
  NetnsId id;
};

// Nothing if the file is none, or cannot be opened.
std::optional<OpenNetns> open_netns(const fs::path& path) {
  // Not blocking, should the path have become a FIFO in between.
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat file {};
  if (!fd || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET || fstat(fd.get(), &file) != 0) {
    return std::nullopt;
  }
  return OpenNetns{.fd = std::move(fd), .id = id_of(file)};
}

// Calls `visit` with the path of everything in the folder. Returns what kept it from seeing all.
template <typename Visit>
std::error_code for_each_item(const fs::path& folder, Visit visit) {
  std::error_code error;
  fs::directory_iterator item(folder, error);
  for (; !error && item != fs::directory_iterator(); item.increment(error)) {
    visit(item->path());
  }
  return error;
}

// This thread is in the namespace as long as this lives. A process that could not come back would
// take another network for the host's, so it ends instead.
class Excursion {
 public:
  explicit Excursion(const UniqueFd& netns) : home_(open_netns("/proc/thread-self/ns/net")) {
    // Whoever may enter the other one may not always come back (in a user namespace that does not
    // own `home_`): this is seen by entering `home_` first.
    inside_ = home_ && enter(home_->fd) && enter(netns);
  }
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;
  ~Excursion() {
    if (inside_ && !enter(home_->fd)) {
      constexpr std::string_view kLastWords =
          "podlease: cannot return from the network namespace of a pod\n";
      static_cast<void>(write_all(STDERR_FILENO, kLastWords));
      std::abort();
    }
  }

  [[nodiscard]] bool inside() const { return inside_; }

 private:
  static bool enter(const UniqueFd& netns) { return setns(netns.get(), CLONE_NEWNET) == 0; }

  std::optional<OpenNetns> home_;
  bool inside_ = false;
};

// A socket that asks about that namespace, wherever the process is. Throws kIo.
std::optional<RouteSocket> socket_in(const UniqueFd& netns) {
  const Excursion excursion(netns);
  return excursion.inside() ? std::optional<RouteSocket>(std::in_place) : std::nullopt;
}

bool is_process_id(const fs::path& name) {
  const std::string& text = name.native();
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::string LinuxHost::boot_id() const {
  constexpr auto kPath = "/proc/sys/kernel/random/boot_id";
  const auto text = read_file(kPath, 256);
  if (!text) {
    throw Error(ErrorKind::kIo, std::string(kPath) + " does not exist: is /proc mounted?");
  }
  return std::string(trimmed(*text));
}

Names LinuxHost::names() const {
  const auto first_of = [](std::initializer_list<const char*> paths) {
    constexpr std::size_t kLongest = 4096;
    for (const char* const path : paths) {
      try {
        const std::optional<std::string> text = read_file(path, kLongest);
        if (text && !trimmed(*text).empty()) {
          return std::string(trimmed(*text));
        }
      } catch (const Error&) {
        // As good as absent.
      }
    }
    return std::string();
  };
  utsname uname_of_host{};
  return {.host_name = uname(&uname_of_host) == 0 ? uname_of_host.nodename : "",
          .machine_id = first_of({"/etc/machine-id", "/var/lib/dbus/machine-id"}),
          .system_uuid = first_of({"/sys/class/dmi/id/product_uuid"})};
}

NetnsSight LinuxHost::look_at(const std::filesystem::path& netns) const {
  constexpr NetnsSight kDoubtful{.state = NetnsState::kDoubt, .id = {}};
  // Whatever is not on nsfs is never opened: with a device, that alone may have consequences. A
  // path below a plain file (ENOTDIR) is doubt: nobody records such a path.
  struct statfs file_system {};
  if (statfs(netns.c_str(), &file_system) != 0) {
    const bool absent = errno == ENOENT && !netns.empty();
    return absent ? NetnsSight{.state = NetnsState::kAbsent, .id = {}} : kDoubtful;
  }
  if (file_system.f_type != NSFS_MAGIC) {
    return kDoubtful;
  }
  const auto opened = open_netns(netns);
  return opened ? NetnsSight{.state = NetnsState::kAlive, .id = opened->id} : kDoubtful;
}

bool LinuxHost::is_at(const std::string& path, const NetnsId& netns) const {
  struct stat file {};
  return stat(path.c_str(), &file) == 0 && id_of(file) == netns;
}

std::vector<NamedNetns> LinuxHost::named_namespaces() const {
  std::vector<fs::path> folders{"/run/netns"};
  const fs::path other = "/var/run/netns";
  std::error_code absent;
  if (!fs::equivalent(folders.front(), other, absent)) {
    folders.push_back(other);
  }
  std::vector<NamedNetns> found;
  for (const fs::path& folder : folders) {
    for_each_item(folder, [&](const fs::path& path) {
      const NetnsSight sight = look_at(path);
      if (sight.state == NetnsState::kAlive) {
        found.push_back({.path = path, .id = sight.id});
      }
    });
  }
  std::sort(found.begin(), found.end(),
            [](const NamedNetns& a, const NamedNetns& b) { return a.path < b.path; });
  return found;
}

std::optional<std::vector<PodAddress>> LinuxHost::addresses_in(const NamedNetns& netns) const {
  // To look first is not for the id alone: whatever is no namespace by now must not be opened.
  if (look_at(netns.path).state != NetnsState::kAlive) {
    return std::nullopt;
  }
  const auto opened = open_netns(netns.path);
  if (!opened || opened->id != netns.id) {
    return std::nullopt;
  }
  try {
    auto socket = socket_in(opened->fd);
    if (!socket) {
      return std::nullopt;
    }
    // Sorted, and each once: what changes while it is read may be told twice.
    std::set<std::pair<net::Prefix, unsigned>> assigned;
    for (const auto family : {net::Family::kIpv4, net::Family::kIpv6}) {
      for (const Assigned& item : socket->addresses(family)) {
        if (item.interface != kLoopbackIndex && !item.address.address().is_link_local_v6()) {
          assigned.emplace(item.address, item.interface);
        }
      }
    }
    const auto names = socket->interface_names();
    std::vector<PodAddress> addresses;
    for (const auto& [address, interface] : assigned) {
      const auto name = names.find(interface);
      addresses.push_back(
          {.address = address, .interface = name == names.end() ? "" : name->second});
    }
    return addresses;
  } catch (const Error&) {
    return std::nullopt;  // the kernel would not tell
  }
}

std::optional<bool> LinuxHost::is_inhabited(const NetnsId& netns) const {
  bool found = false;
  bool saw_first = false;
  bool saw_all = true;
  // Each thread has namespaces of its own, and the others go on where the first one has ended. One
  // that ended meanwhile is in no namespace.
  const auto look_into = [&](const fs::path& process) {
    const auto error = for_each_item(process / "task", [&](const fs::path& thread) {
      struct stat file {};
      if (stat((thread / "ns/net").c_str(), &file) == 0) {
        found = found || id_of(file) == netns;
      } else if (errno != ENOENT && errno != ESRCH) {
        saw_all = false;
      }
    });
    const bool ended =
        error == std::errc::no_such_file_or_directory || error == std::errc::no_such_process;
    saw_all = saw_all && (!error || ended);
  };
  const auto error = for_each_item("/proc", [&](const fs::path& path) {
    if (!found && is_process_id(path.filename())) {
      saw_first = saw_first || path.filename() == "1";
      look_into(path);
    }
  });
  if (found) {
    return true;
  }
  // Process 1 always lives. Where it is not shown, other users' processes are hidden (hidepid, see
  // proc(5)).
  return !error && saw_first && saw_all ? std::optional(false) : std::nullopt;
}

std::chrono::sys_time<Milliseconds> LinuxHost::booted_at() const {
  const Instant now = SystemClock().now();
  return now.wall - now.since_boot;
}

std::optional<AddressHolder> LinuxHost::holder_of(net::Address address) const {
  const auto entry = kernel().host_entry(address);
  if (!entry) {
    return std::nullopt;
  }
  // The others are RTN_LOCAL, and RTN_BROADCAST and RTN_ANYCAST, which come with an interface's
  // addresses.
  return AddressHolder{.kind = entry->type == RTN_UNICAST ? AddressHolder::Kind::kRoute
                                                          : AddressHolder::Kind::kInterface,
                       .interface = interface_name(entry->interface)};
}

std::vector<RoutedNetwork> LinuxHost::routed_networks(net::Family family) const {
  const std::map<unsigned, std::string> names = kernel().interface_names();
  std::vector<RoutedNetwork> networks;
  for (const Route& route : kernel().routes(family)) {
    const bool is_network = route.type == RTN_UNICAST || route.type == RTN_BLACKHOLE ||
                            route.type == RTN_UNREACHABLE || route.type == RTN_PROHIBIT;
    const int length = route.destination.length();
    if (!is_network || length == 0 || length == net::bit_width(family) ||
        route.destination.address().is_link_local_v6()) {
      continue;
    }
    const auto name = names.find(route.interface);
    RoutedNetwork network{.destination = route.destination,
                          .interface = name == names.end() ? "" : name->second};
    if (std::find(networks.begin(), networks.end(), network) == networks.end()) {
      networks.push_back(std::move(network));
    }
  }
  return networks;
}

std::optional<Uplink> LinuxHost::uplink(net::Family family) const {
  const auto path = way_out(family);
  if (!path || path->type != RTN_UNICAST || path->interface == kLoopbackIndex || !path->source) {
    return std::nullopt;
  }
  const auto address = kernel().assigned(*path->source, path->interface);
  return Uplink{.address = address.value_or(net::Prefix::host(*path->source)),
                .gateway = path->gateway,
                .interface = interface_name(path->interface)};
}

}  // namespace podlease::host
