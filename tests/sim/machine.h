#ifndef PODLEASE_TESTS_SIM_MACHINE_H_
#define PODLEASE_TESTS_SIM_MACHINE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/host/host.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

// A made-up node: its clocks, its network namespaces, and what of them podlease can see. It knows
// both the truth and what shows of it.
namespace podlease::sim {

// Reproducible, whatever the standard library: its distributions are not, so these are used.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  // SplitMix64.
  std::uint64_t next() {
    std::uint64_t word = (state_ += 0x9e3779b97f4a7c15U);
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9U;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebU;
    return word ^ (word >> 31);
  }
  // Less than `bound`, which is not 0.
  std::size_t below(std::size_t bound) { return static_cast<std::size_t>(next() % bound); }
  // From `low` to `high`, both inclusive.
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::size_t>(high - low) + 1));
  }
  bool one_in(std::size_t count) { return below(count) == 0; }
  bool percent(std::size_t chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

// Called at each question podlease asks of the machine, so that the world can change, or the
// process die, in the middle of its work.
struct Hook {
  std::function<void()> on_question;
  void ask() const {
    if (on_question) {
      on_question();
    }
  }
};

class SimClock final : public Clock {
 public:
  explicit SimClock(const Hook& hook) : hook_(&hook) {}

  [[nodiscard]] Instant now() const override {
    hook_->ask();
    return now_;
  }
  void sleep(Milliseconds duration) const override {
    pass(duration);
    if (on_sleep) {
      on_sleep();
    }
  }

  void pass(Milliseconds duration) const {
    now_.wall += duration;
    now_.since_boot += duration;
    true_time_ += duration;
  }
  void set_wall(Milliseconds difference) { now_.wall += difference; }
  // The machine is off for `off`; somebody may have set its clock meanwhile.
  void reboot(Milliseconds off, Milliseconds step) {
    now_.wall += off + step;
    true_time_ += off;
    now_.since_boot = Milliseconds(10'000);
  }

  // What really passed since the node's life began; podlease has no such clock.
  [[nodiscard]] Milliseconds true_time() const { return true_time_; }

  std::function<void()> on_sleep;  // what others do meanwhile

 private:
  const Hook* hook_;
  mutable Instant now_{.wall = std::chrono::sys_time<Milliseconds>(Milliseconds(1'750'000'000'000)),
                       .since_boot = Milliseconds(1'000'000)};
  mutable Milliseconds true_time_{0};
};

// Where a runtime keeps its namespaces by name.
enum class Folder { kRunNetns, kDocker, kRootless, kProc };
inline constexpr std::array kFolders{Folder::kRunNetns, Folder::kDocker, Folder::kRootless,
                                     Folder::kProc};

enum class Visibility {
  kSeen,
  kDenied,  // EACCES
  kEmpty,   // the folder of another mount namespace: nothing of what is in it shows
};

// A network namespace, as it truly is.
struct Namespace {
  Folder folder = Folder::kRunNetns;
  std::string path;
  host::NetnsId id;
  bool alive = true;  // a process is in it, or a name keeps it
};
using NamespacePtr = std::shared_ptr<Namespace>;

class SimHost final : public host::Host {
 public:
  SimHost(const Hook& hook, const SimClock& clock) : hook_(&hook), clock_(&clock) {}

  [[nodiscard]] std::string boot_id() const override;
  [[nodiscard]] host::Names names() const override { return {}; }
  [[nodiscard]] host::NetnsSight look_at(const std::filesystem::path& netns) const override;
  [[nodiscard]] std::vector<host::NamedNetns> named_namespaces() const override;
  [[nodiscard]] std::optional<std::vector<host::PodAddress>> addresses_in(
      const host::NamedNetns& netns) const override;
  [[nodiscard]] std::optional<bool> is_inhabited(const host::NetnsId& netns) const override;
  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override;
  [[nodiscard]] std::optional<host::AddressHolder> holder_of(net::Address address) const override;
  [[nodiscard]] std::vector<host::RoutedNetwork> routed_networks(
      net::Family /*family*/) const override {
    return {};
  }
  [[nodiscard]] std::optional<host::Uplink> uplink(net::Family family) const override;

  // A new namespace called `name`. `reuse_inode`: with the number of one that has ended.
  NamespacePtr start(Folder folder, const std::string& name, bool reuse_inode);
  // It ends; `leave_file`: its name stays behind as a plain file.
  void end(Namespace& netns, bool leave_file);
  // The process behind a /proc path ends, and others still live in the namespace.
  void orphan(const Namespace& netns);
  void remove_file(const std::string& path);
  void reboot();

  // What podlease would see now.
  [[nodiscard]] host::NetnsSight sight(const std::string& path) const;
  [[nodiscard]] bool inhabited(const host::NetnsId& netns) const;
  [[nodiscard]] int boots() const { return boots_; }

  std::array<Visibility, kFolders.size()> visibility{};  // of each folder
  bool sees_processes = true;
  std::set<net::Address> held;  // by the host itself

 private:
  struct Entry {
    bool plain_file = false;
    host::NetnsId id;
  };

  const Hook* hook_;
  const SimClock* clock_;
  std::unordered_map<std::string, Entry> entries_;  // by path
  std::set<host::NetnsId> alive_;
  std::vector<host::NetnsId> ended_;  // whose numbers may come again
  std::uint64_t next_inode_ = 4'026'532'000;
  int boots_ = 1;
};

[[nodiscard]] std::string path_of(Folder folder, const std::string& name);
// Nothing for a path that none of the folders holds.
[[nodiscard]] std::optional<Folder> folder_of(std::string_view path);

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_MACHINE_H_
