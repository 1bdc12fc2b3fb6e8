#ifndef PODLEASE_HOST_HOST_H_
#define PODLEASE_HOST_HOST_H_

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

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

// Facts of this machine, read from the kernel each time. Tests put a made-up machine in its place.
class Host {
 public:
  virtual ~Host() = default;

  // /proc/sys/kernel/random/boot_id: another one after each boot. Throws kIo.
  [[nodiscard]] virtual std::string boot_id() const = 0;

  // Never throws: whatever cannot be seen is doubt.
  [[nodiscard]] virtual NetnsSight look_at(const std::filesystem::path& netns) const = 0;

  // One question to the kernel's routing tables, whatever their size: a look-up of the entry that
  // matches `address`. Nothing if pods may have it. Not seen: an IPv4 address while its interface
  // is down, and an IPv6 address while the kernel still looks for duplicates of it. Throws kIo if
  // the kernel does not answer.
  [[nodiscard]] virtual std::optional<AddressHolder> holder_of(net::Address address) const = 0;

  // By the default route of the family; nothing without one. Throws kIo if the kernel does not
  // answer.
  [[nodiscard]] virtual std::optional<Uplink> uplink(net::Family family) const = 0;
};

// The machine this process runs on, as seen from its own namespaces.
class LinuxHost final : public Host {
 public:
  [[nodiscard]] std::string boot_id() const override;
  [[nodiscard]] NetnsSight look_at(const std::filesystem::path& netns) const override;
  [[nodiscard]] std::optional<AddressHolder> holder_of(net::Address address) const override;
  [[nodiscard]] std::optional<Uplink> uplink(net::Family family) const override;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_HOST_H_
