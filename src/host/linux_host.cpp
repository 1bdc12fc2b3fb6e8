#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>

#include "netlink.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/host.h"

namespace podlease::host {

namespace {

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

}  // namespace

std::string LinuxHost::boot_id() const {
  constexpr auto kPath = "/proc/sys/kernel/random/boot_id";
  const auto text = read_file(kPath, 256);
  if (!text) {
    throw Error(ErrorKind::kIo, std::string(kPath) + " does not exist: is /proc mounted?");
  }
  return std::string(trimmed(*text));
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
  // Not blocking, should the path have become a FIFO in between.
  const UniqueFd fd(open(netns.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat file {};
  if (!fd || ioctl(fd.get(), NS_GET_NSTYPE) != CLONE_NEWNET || fstat(fd.get(), &file) != 0) {
    return kDoubtful;
  }
  return {.state = NetnsState::kAlive, .id = {.device = file.st_dev, .inode = file.st_ino}};
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
