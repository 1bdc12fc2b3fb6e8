#ifndef PODLEASE_TESTS_UNIT_FAKES_H_
#define PODLEASE_TESTS_UNIT_FAKES_H_

#include <stdlib.h>

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "support.h"

// A made-up machine and a made-up time for the tests of areas ipam and plugin. Everything else
// there is real.
namespace podlease::fakes {

// A bad literal in a test ends it with std::bad_optional_access, which GoogleTest reports.
inline net::Address address(std::string_view text) {
  return net::Address::parse(text).value();
}
inline net::Range range(std::string_view text) {
  return net::Range::parse(text).value();
}
inline net::Prefix prefix(std::string_view text) {
  return net::Prefix::parse(text).value();
}

using support::TempFolder;

// With the folders above it.
inline void put(const std::filesystem::path& path, std::string_view body) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << body;
}
// As if it had been written then.
inline void set_written(const std::filesystem::path& path,
                        std::chrono::sys_time<Milliseconds> time) {
  std::filesystem::last_write_time(path, std::chrono::file_clock::from_sys(time));
}
// "(none)" if there is no such file.
inline std::string body_of(const std::filesystem::path& path) {
  return read_file(path, 1 << 24).value_or("(none)");
}
// Where writing costs no disk: for long runs.
inline std::filesystem::path memory_folder() {
  const std::filesystem::path shared_memory = "/dev/shm";
  return std::filesystem::is_directory(shared_memory) ? shared_memory
                                                      : std::filesystem::temp_directory_path();
}
// Every file below `folder` with its content.
inline std::map<std::string, std::string> contents_of(const std::filesystem::path& folder) {
  std::map<std::string, std::string> contents;
  if (std::filesystem::exists(folder)) {
    for (const auto& item : std::filesystem::recursive_directory_iterator(folder)) {
      contents[item.path().string()] = item.is_regular_file() ? body_of(item.path()) : "(folder)";
    }
  }
  return contents;
}

// The names of what is in one of them only, or differs.
inline std::vector<std::string> changes(const std::map<std::string, std::string>& before,
                                        const std::map<std::string, std::string>& after) {
  std::vector<std::string> names;
  for (const auto& [name, body] : before) {
    const auto found = after.find(name);
    if (found == after.end() || found->second != body) {
      names.push_back(name);
    }
  }
  for (const auto& [name, body] : after) {
    if (!before.contains(name)) {
      names.push_back(name);
    }
  }
  return names;
}

// Time that passes only when told to; a sleep takes no time outside.
class FakeClock final : public Clock {
 public:
  [[nodiscard]] ClockReading now() const override { return now_; }
  void sleep(Milliseconds duration) const override {
    slept_ += duration;
    ++sleeps_;
    pass(duration);
    if (on_sleep) {
      on_sleep();
    }
  }

  void pass(Milliseconds duration) const {
    now_.wall += duration;
    now_.since_boot += duration;
  }
  // Somebody sets the clock on the wall.
  void set_wall(Milliseconds difference) { now_.wall += difference; }
  void reboot(Milliseconds difference = Milliseconds(60'000)) {
    now_.wall += difference;
    now_.since_boot = Milliseconds(20'000);
  }

  [[nodiscard]] int sleeps() const { return sleeps_; }
  [[nodiscard]] Milliseconds slept() const { return slept_; }

  std::function<void()> on_sleep;  // what others do meanwhile

 private:
  // The true date: files of host-local carry the kernel's.
  mutable ClockReading now_{.wall = SystemClock().now().wall,
                            .since_boot = Milliseconds(1'000'000)};
  mutable int sleeps_ = 0;
  mutable Milliseconds slept_{0};
};

class FakeHost final : public host::Host {
 public:
  [[nodiscard]] std::string boot_id() const override { return boot; }
  [[nodiscard]] host::Names names() const override { return own_names; }
  [[nodiscard]] host::View view() const override { return own_view; }
  [[nodiscard]] bool has_mounts_of_init() const override { return own_mounts_are_inits; }
  [[nodiscard]] std::optional<host::NetnsId> folder_of(
      const std::filesystem::path& netns) const override {
    const std::string folder = netns.parent_path().string();
    if (folder.starts_with("/proc/") || hidden_folders.contains(folder)) {
      return std::nullopt;
    }
    const auto other = folders.find(folder);
    return other != folders.end()
               ? other->second
               : host::NetnsId{.device = 25, .inode = std::hash<std::string>{}(folder) >> 8 | 1};
  }
  [[nodiscard]] host::NetnsAt netns_at(const std::filesystem::path& netns) const override {
    if (on_look) {
      on_look(netns);
    }
    if (hidden_folders.contains(netns.parent_path().string())) {
      return {.state = host::NetnsState::kDoubt, .id = {}};
    }
    const auto found = namespaces.find(netns.string());
    return found == namespaces.end() ? host::NetnsAt{.state = host::NetnsState::kAbsent, .id = {}}
                                     : found->second;
  }
  [[nodiscard]] std::uint64_t cookie_at(const std::string& /*path*/,
                                        const host::NetnsId& netns) const override {
    const auto found = cookies.find(netns);
    return found == cookies.end() ? 0 : found->second;
  }
  [[nodiscard]] std::vector<host::NamedNetns> named_namespaces(
      const std::vector<std::string>& beside) const override {
    std::set<std::string> shown{"/run/netns"};
    for (const std::string& path : beside) {
      shown.insert(std::filesystem::path(path).parent_path().string());
    }
    std::vector<host::NamedNetns> named;
    for (const auto& [path, sight] : namespaces) {
      const std::string folder = std::filesystem::path(path).parent_path().string();
      if (sight.state == host::NetnsState::kAlive && shown.contains(folder) &&
          !folder.starts_with("/proc/")) {
        named.push_back({.path = path, .id = sight.id});
      }
    }
    return named;
  }
  [[nodiscard]] std::optional<std::vector<host::PodAddress>> addresses_in(
      const host::NamedNetns& netns) const override {
    const auto found = inside.find(netns.path.string());
    return found == inside.end() ? std::vector<host::PodAddress>{} : found->second;
  }
  [[nodiscard]] host::Occupied occupied() const override {
    ++walks;
    host::Occupied occupied{.processes = {}, .complete = sees_processes};
    int process = 1000;
    for (const host::NetnsId& netns : inhabited) {
      occupied.processes[netns] = process++;
    }
    return occupied;
  }
  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override { return booted; }
  [[nodiscard]] std::optional<host::AddressHolder> holder_of(net::Address address) const override {
    const auto found = holders.find(address);
    return found == holders.end() ? std::nullopt : std::optional(found->second);
  }
  [[nodiscard]] host::HostNetworks networks() const override { return own_networks; }
  [[nodiscard]] bool is_reachable_neighbour(net::Address address,
                                            const std::string& interface) const override {
    const auto found = neighbours.find(address);
    return found != neighbours.end() && (interface.empty() || interface == found->second);
  }

  // A namespace that never was before.
  void start(const std::string& netns) { start_as(netns, {.device = 4, .inode = next_inode_++}); }
  // One that the kernel gave the number of another, which has ended.
  void start_as(const std::string& netns, const host::NetnsId& id) {
    namespaces[netns] = {.state = host::NetnsState::kAlive, .id = id};
    cookies[id] = next_cookie_++;
  }
  [[nodiscard]] host::NetnsId id_of(const std::string& netns) const {
    return namespaces.at(netns).id;
  }
  void end(const std::string& netns) {
    namespaces.erase(netns);
    inside.erase(netns);
  }
  void hide(const std::string& netns) {
    namespaces[netns] = {.state = host::NetnsState::kDoubt, .id = {}};
  }
  void hold(net::Address address,
            host::AddressHolder::Kind kind = host::AddressHolder::Kind::kInterface) {
    holders[address] = {.kind = kind, .interface = "eth7"};
  }
  // An interface with an address, and a default route if there is a gateway.
  void set_uplink(std::string_view own, std::string_view gateway) {
    const net::Prefix at = prefix(own);
    constexpr unsigned kIndex = 2;
    if (own_networks.interfaces.empty()) {
      own_networks.interfaces.push_back({.index = kIndex, .name = "eth0", .kind = {}});
    }
    own_networks.addresses.push_back({.address = at, .interface = kIndex});
    own_networks.routes.push_back({.destination = at.masked(),
                                   .table = 254,
                                   .is_connected = true,
                                   .next_hops = {{.gateway = {}, .interface = kIndex}}});
    own_networks.routes.push_back(
        {.destination = net::Prefix::make(net::Address::from_bits(at.family(), 0), 0).value(),
         .table = 254,
         .is_connected = false,
         .next_hops = {{.gateway = gateway.empty() ? std::nullopt : net::Address::parse(gateway),
                        .interface = kIndex}}});
  }
  // All namespaces are gone.
  void reboot() {
    boot = "boot-" + std::to_string(++boots_);
    namespaces.clear();
    inside.clear();
    inhabited.clear();
    cookies.clear();
  }

  std::string boot = "boot-1";
  host::Names own_names;
  host::View own_view{.pid_namespace = 4026531836, .is_initial = true};
  bool own_mounts_are_inits = true;
  std::map<std::string, host::NetnsAt> namespaces;              // others are absent
  std::map<std::string, host::NetnsId> folders;                 // of names, where not the usual one
  std::set<std::string> hidden_folders;                         // cannot be seen
  std::map<host::NetnsId, std::uint64_t> cookies;               // of namespaces that are there
  std::map<std::string, std::vector<host::PodAddress>> inside;  // by path of the namespace
  std::set<host::NetnsId> inhabited;                            // by some process
  bool sees_processes = true;
  mutable int walks = 0;  // over /proc
  std::chrono::sys_time<Milliseconds> booted{};
  std::map<net::Address, host::AddressHolder> holders;
  host::HostNetworks own_networks;
  std::map<net::Address, std::string> neighbours;             // reachable, on which interface
  std::function<void(const std::filesystem::path&)> on_look;  // before each look

 private:
  std::uint64_t next_inode_ = 4'026'532'000;
  std::uint64_t next_cookie_ = 5'000;
  int boots_ = 1;
};

// The kind of the Error that `action` throws, its message and details.
struct Thrown {
  std::optional<ErrorKind> kind;  // nothing: it threw none
  std::string message;
  std::string details;
};
inline Thrown thrown_by(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {.kind = error.kind(), .message = error.what(), .details = error.details()};
  }
  return {};
}

}  // namespace podlease::fakes

#endif  // PODLEASE_TESTS_UNIT_FAKES_H_
