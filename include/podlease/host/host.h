#ifndef PODLEASE_HOST_HOST_H_
#define PODLEASE_HOST_HOST_H_

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::host {

// What identifies a network namespace while it lives: its file on nsfs. An inode number may be used
// again after the namespace has ended.
struct NetnsId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;

  friend auto operator<=>(const NetnsId&, const NetnsId&) = default;
};

enum class NetnsState {
  kAlive,   // the path is a network namespace
  kAbsent,  // nothing is there
  kDoubt,   // something else is there, or it cannot be seen: conclude nothing
};

struct NetnsSight {
  NetnsState state = NetnsState::kDoubt;
  NetnsId id;  // only when alive
};

// A network namespace that somebody keeps by name.
struct NamedNetns {
  std::filesystem::path path;
  NetnsId id;

  friend bool operator==(const NamedNetns&, const NamedNetns&) = default;
};

// An address of an interface inside a pod's network namespace.
struct PodAddress {
  net::Prefix address;
  std::string interface;

  friend bool operator==(const PodAddress&, const PodAddress&) = default;
};

// Why an address cannot be a pod's: the host itself uses it.
struct AddressHolder {
  enum class Kind {
    kInterface,  // assigned to an interface of the host
    kRoute,      // target of a host route (/32, /128): some pod, or a peer, has it
  };
  Kind kind;
  std::string interface;
};

// How this machine reaches the world: what other nodes know it by.
struct Uplink {
  net::Prefix address;  // its own address, with the mask of its link
  std::optional<net::Address> gateway;
  std::string interface;
};

// A network that this host has a route to.
struct RoutedNetwork {
  net::Prefix destination;
  std::string interface;  // empty: it leads nowhere (blackhole, unreachable)

  friend bool operator==(const RoutedNetwork&, const RoutedNetwork&) = default;
};

// By what this machine is known. Each may be empty: there is none, or it cannot be read.
struct Names {
  std::string host_name;    // uname -n
  std::string machine_id;   // /etc/machine-id
  std::string system_uuid;  // the firmware's; the kubelet reports these two in nodeInfo
};

// Facts of this machine, read from the kernel each time. Tests put a made-up machine in its place.
class Host {
 public:
  virtual ~Host() = default;

  // /proc/sys/kernel/random/boot_id: another one after each boot. Throws kIo.
  [[nodiscard]] virtual std::string boot_id() const = 0;

  // Never throws: what cannot be read is empty.
  [[nodiscard]] virtual Names names() const = 0;

  // Never throws: whatever cannot be seen is doubt.
  [[nodiscard]] virtual NetnsSight look_at(const std::filesystem::path& netns) const = 0;

  // Reports whether that very namespace is at a path: `look_at` at a fraction of its cost, for the
  // common case. Never throws.
  [[nodiscard]] virtual bool is_at(const std::string& path, const NetnsId& netns) const {
    const NetnsSight sight = look_at(path);
    return sight.state == NetnsState::kAlive && sight.id == netns;
  }

  // The network namespaces in the folders where container runtimes and `ip netns` keep them by name
  // (/run/netns, which is also /var/run/netns; those of rootless users are not looked for), by
  // path. Never throws: what cannot be read is left out.
  [[nodiscard]] virtual std::vector<NamedNetns> named_namespaces() const = 0;

  // The addresses inside a namespace, without those of the loopback interface and without
  // fe80::/10. (IPv4 has link-local ones too, 169.254.0.0/16, but some networks give pods those.)
  // Nothing if it cannot be entered or is not the one with that id any more. Never throws.
  [[nodiscard]] virtual std::optional<std::vector<PodAddress>> addresses_in(
      const NamedNetns& netns) const = 0;

  // Reports whether some process of this machine is in the namespace, with any of its threads;
  // nothing if not every process could be looked at. Walks /proc, which shows no processes outside
  // the PID namespace it was mounted in. Never throws.
  [[nodiscard]] virtual std::optional<bool> is_inhabited(const NetnsId& netns) const = 0;

  // When this boot began, by today's clock on the wall. Throws kIo.
  [[nodiscard]] virtual std::chrono::sys_time<Milliseconds> booted_at() const = 0;

  // One question to the kernel's routing tables, whatever their size: a look-up of the entry that
  // matches `address`. Nothing if pods may have it. Not seen: an IPv4 address while its interface
  // is down, and an IPv6 address while the kernel still looks for duplicates of it. Throws kIo if
  // the kernel does not answer.
  [[nodiscard]] virtual std::optional<AddressHolder> holder_of(net::Address address) const = 0;

  // Those in the routing tables, without default routes, single addresses, multicast and
  // link-local ones. O(n) in the routes. Throws kIo if the kernel does not answer.
  [[nodiscard]] virtual std::vector<RoutedNetwork> routed_networks(net::Family family) const = 0;

  // By the default route of the family; nothing without one. Throws kIo if the kernel does not
  // answer.
  [[nodiscard]] virtual std::optional<Uplink> uplink(net::Family family) const = 0;
};

// The machine this process runs on, as seen from its own namespaces.
class LinuxHost final : public Host {
 public:
  [[nodiscard]] std::string boot_id() const override;
  [[nodiscard]] Names names() const override;
  [[nodiscard]] NetnsSight look_at(const std::filesystem::path& netns) const override;
  [[nodiscard]] bool is_at(const std::string& path, const NetnsId& netns) const override;
  [[nodiscard]] std::vector<NamedNetns> named_namespaces() const override;
  [[nodiscard]] std::optional<std::vector<PodAddress>> addresses_in(
      const NamedNetns& netns) const override;
  [[nodiscard]] std::optional<bool> is_inhabited(const NetnsId& netns) const override;
  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override;
  [[nodiscard]] std::optional<AddressHolder> holder_of(net::Address address) const override;
  [[nodiscard]] std::vector<RoutedNetwork> routed_networks(net::Family family) const override;
  [[nodiscard]] std::optional<Uplink> uplink(net::Family family) const override;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_HOST_H_
