#ifndef PODLEASE_HOST_HOST_H_
#define PODLEASE_HOST_HOST_H_

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::host {

// The file of a network namespace on nsfs, or a folder: a quick key, not an identity. The kernel
// hands out the lowest free inode number, so a namespace that has ended and a new one may share it.
struct NetnsId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;  // 0: unknown

  friend auto operator<=>(const NetnsId&, const NetnsId&) = default;
};

enum class NetnsState {
  kAlive,   // the path is a network namespace
  kAbsent,  // its folder is there, and nothing of that name in it; below /proc: no such process
  kDoubt,   // anything else is there, or cannot be seen: conclude nothing
};

// What is at a path.
struct NetnsAt {
  NetnsState state = NetnsState::kDoubt;
  NetnsId id;  // only when alive
};

// From where this process looks at the machine. Two processes with another view each may see
// different files by one path, and different processes.
struct View {
  // Inode of the PID namespace whose processes /proc shows; 0: unknown.
  std::uint64_t pid_namespace = 0;
  bool is_initial = false;  // the machine's first one: it has every process

  friend bool operator==(const View&, const View&) = default;
};

// The namespaces that processes are in, from one walk over /proc. A process whose first thread has
// ended is looked at thread by thread.
struct Occupied {
  // One of the processes in each. Where the first thread of a process has ended, the id of another
  // thread: /proc/ID/ns/net is there for it, too.
  std::map<NetnsId, int> processes;
  // Every process was read, or belongs to a user that is not mapped here. Not so where processes
  // are hidden (hidepid), or where this one may not look at some of them.
  bool complete = false;
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
  // Where that is one end of a pair or the child of another interface (veth, macvlan, …) and the
  // other lies in this process's own network namespace: its index there. Else 0, also where it is
  // on an interface that was made inside (a bridge, a VLAN) of one that leads here.
  unsigned peer = 0;

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

// An interface of the host's own network namespace.
struct Interface {
  unsigned index = 0;
  std::string name;
  std::vector<std::string> other_names;  // `ip link property add altname`
  std::string kind;        // as `ip -d link` says it: bridge, vlan, veth, vrf, …; empty: hardware
  unsigned master = 0;     // index of its bridge, bond or VRF; 0: none
  unsigned parent = 0;     // index of the interface below it, or of its peer; 0: none
  unsigned vrf_table = 0;  // of a VRF: its routing table
  unsigned vlan = 0;       // of a VLAN on its parent: its id; 0: priority-tagged, or no VLAN
  bool peer_is_outside = false;  // `parent` is an index in another network namespace

  friend bool operator==(const Interface&, const Interface&) = default;
};

struct InterfaceAddress {
  net::Prefix address;  // with the mask of its link
  unsigned interface = 0;

  friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

struct NextHop {
  std::optional<net::Address> gateway;  // perhaps an IPv6 one for IPv4 (RFC 5549)
  unsigned interface = 0;               // 0: it leads nowhere (blackhole, unreachable)

  friend bool operator==(const NextHop&, const NextHop&) = default;
};

// A route to a network or a host: no local, broadcast, anycast or multicast ones, and none that the
// kernel made for one look-up.
struct HostRoute {
  net::Prefix destination;  // of a default route: length 0
  unsigned table = 0;       // RT_TABLE_MAIN (254), …
  // Without a gateway, and made by the kernel for an address of its interface or by anybody for the
  // network of one.
  bool is_connected = false;
  std::vector<NextHop> next_hops;      // several: multipath, or a group of nexthop objects
  std::optional<net::Address> source;  // the own address that it prefers, perhaps one of `lo`
  unsigned metric = 0;                 // of several to one destination, the smallest counts

  friend bool operator==(const HostRoute&, const HostRoute&) = default;
};

struct HostNetworks {
  std::vector<Interface> interfaces;        // by index
  std::vector<InterfaceAddress> addresses;  // also link-local ones, and of interfaces that are down
  std::vector<HostRoute> routes;            // of every table, also to fe80::/64

  // Nothing if there is none of that name, be it an alternative one, or index.
  [[nodiscard]] const Interface* find(std::string_view name) const;
  [[nodiscard]] const Interface* find(unsigned index) const;
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

  // Never throws.
  [[nodiscard]] virtual View view() const = 0;

  // Reports whether paths mean here what they mean to process 1, where that can be told. Never
  // throws.
  [[nodiscard]] virtual bool has_mounts_of_init() const = 0;

  // The folder that holds a namespace's name, as this process sees it, whether or not the name is
  // there; nothing where that folder is on procfs, or cannot be seen. Never throws.
  [[nodiscard]] virtual std::optional<NetnsId> folder_of(
      const std::filesystem::path& netns) const = 0;

  // Never throws: whatever cannot be seen is doubt.
  [[nodiscard]] virtual NetnsAt netns_at(const std::filesystem::path& netns) const = 0;

  // SO_NETNS_COOKIE of the namespace at a path, which is never used again within a boot; 0 if that
  // is not the namespace `netns`, cannot be entered, or the kernel (before 5.14) has none. Never
  // throws.
  [[nodiscard]] virtual std::uint64_t cookie_at(const std::string& path,
                                                const NetnsId& netns) const = 0;

  // Reports whether a namespace of that id is at a path: `netns_at` at a fraction of its cost, for
  // the common case. Never throws.
  [[nodiscard]] virtual bool is_at(const std::string& path, const NetnsId& netns) const {
    const NetnsAt found = netns_at(path);
    return found.state == NetnsState::kAlive && found.id == netns;
  }

  // The network namespaces in the folder where container runtimes and `ip netns` keep them by name
  // (/run/netns, which is also /var/run/netns), and in those where the names `beside` stand, such
  // as a rootless user's, unless others may make names there; by path. Names below /proc have no
  // folder. Never throws: what cannot be read is left out.
  [[nodiscard]] virtual std::vector<NamedNetns> named_namespaces(
      const std::vector<std::string>& beside) const = 0;

  // The addresses inside a namespace, without those of the loopback interface and without
  // fe80::/10. (IPv4 has link-local ones too, 169.254.0.0/16, but some networks give pods those.)
  // Nothing if it cannot be entered or is not the one with that id any more. Never throws.
  [[nodiscard]] virtual std::optional<std::vector<PodAddress>> addresses_in(
      const NamedNetns& netns) const = 0;

  // Walks /proc once. Never throws.
  [[nodiscard]] virtual Occupied occupied() const = 0;

  // When this boot began, by today's clock on the wall. Throws kIo.
  [[nodiscard]] virtual std::chrono::sys_time<Milliseconds> booted_at() const = 0;

  // One question to the kernel's routing tables, whatever their size: a look-up of the entry that
  // matches `address`. Nothing if pods may have it. Not seen: an IPv4 address while its interface
  // is down, and an IPv6 address while the kernel still looks for duplicates of it. Throws kIo if
  // the kernel does not answer.
  [[nodiscard]] virtual std::optional<AddressHolder> holder_of(net::Address address) const = 0;

  // All interfaces, addresses and routes of this machine's own network namespace. O(n) in the
  // routes. Throws kIo if the kernel does not answer.
  [[nodiscard]] virtual HostNetworks networks() const = 0;

  // Reports whether the neighbour table has an address as REACHABLE, on the interface of that name
  // or, with an empty name, on any. Never throws: not known is false.
  [[nodiscard]] virtual bool is_reachable_neighbour(net::Address address,
                                                    const std::string& interface) const = 0;
};

// The machine this process runs on, as seen from its own namespaces.
class LinuxHost final : public Host {
 public:
  [[nodiscard]] std::string boot_id() const override;
  [[nodiscard]] Names names() const override;
  [[nodiscard]] View view() const override;
  [[nodiscard]] bool has_mounts_of_init() const override;
  [[nodiscard]] std::optional<NetnsId> folder_of(const std::filesystem::path& netns) const override;
  [[nodiscard]] NetnsAt netns_at(const std::filesystem::path& netns) const override;
  [[nodiscard]] std::uint64_t cookie_at(const std::string& path,
                                        const NetnsId& netns) const override;
  [[nodiscard]] bool is_at(const std::string& path, const NetnsId& netns) const override;
  [[nodiscard]] std::vector<NamedNetns> named_namespaces(
      const std::vector<std::string>& beside) const override;
  [[nodiscard]] std::optional<std::vector<PodAddress>> addresses_in(
      const NamedNetns& netns) const override;
  [[nodiscard]] Occupied occupied() const override;
  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override;
  [[nodiscard]] std::optional<AddressHolder> holder_of(net::Address address) const override;
  [[nodiscard]] HostNetworks networks() const override;
  [[nodiscard]] bool is_reachable_neighbour(net::Address address,
                                            const std::string& interface) const override;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_HOST_H_
