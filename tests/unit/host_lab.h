#ifndef PODLEASE_TESTS_UNIT_HOST_LAB_H_
#define PODLEASE_TESTS_UNIT_HOST_LAB_H_

#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/host/host.h"
#include "podlease/net/address.h"

// What the tests of area host need: child processes in namespaces of their own, in which `ip` sets
// up interfaces and routes.
namespace podlease::host::lab {

namespace fs = std::filesystem;

[[nodiscard]] net::Address address(std::string_view text);
[[nodiscard]] net::Prefix prefix(std::string_view text);

void put(const fs::path& path, std::string_view body);
[[nodiscard]] std::string body_of(const fs::path& path);
[[nodiscard]] std::vector<std::string> names_in(const fs::path& folder);

// The kind of the Error that `action` throws, and its message; kOther and nothing if it throws
// none.
struct Thrown {
  ErrorKind kind = ErrorKind::kOther;
  std::string message;
};
Thrown thrown_by(const std::function<void()>& action);

// Runs `facts` in a child process, so that what it does to itself ends with it. Its failures are
// printed by the child and counted here.
void in_child(const std::function<void()>& facts);

void become_root_of_own_namespaces(int flags);

// Of root's groups neither: from group 0, hidepid hides nothing. Reports whether it could.
[[nodiscard]] bool become_nobody();

// `commands` are those of the `ip` tool, one a line; where only the family tells them apart, that
// of IPv6 starts with "-6 ".
void ip(const std::string& commands);

// Reports whether the kernel has that kind of interface: `command` is one of `ip` that makes one.
[[nodiscard]] bool has_kind(const std::string& command);

// An IPv6 address gets its routes a little after it was added, even without duplicate detection.
// This waits for those of the addresses that `commands` added, and of their peers.
void await_addresses(const std::string& commands);

void await(std::string_view what, const std::function<bool()>& happened);

// What most facts need: a cable from up0 to up1, both up, so that routes can be live.
inline constexpr auto kCable = R"(link set lo up
link add up0 type veth peer name up1
link set up0 up
link set up1 up
)";

void in_own_network(const std::string& commands, const std::function<void()>& facts);

// Gives the file `name` to the namespace this process is in.
void name_own_namespace(const fs::path& name);

// Runs `facts` in a child with network, mount and further namespaces of its own.
void with_own_mounts(int flags, const std::function<void()>& facts);

// Runs `facts` where all processes are its own, and /proc shows them.
void with_own_processes(const std::function<void()>& facts);

void mount_empty(const fs::path& folder);

// A namespace beside that of the process, with the cable and what `commands` make there.
NamedNetns make_pod(const fs::path& name, const std::string& commands);

// Another process, in namespaces of its own, from when it is there until it is killed.
class Inhabitant {
 public:
  // `enter` is run by the process before it counts as being there; `stay` keeps it.
  explicit Inhabitant(
      const std::function<void()>& enter, const std::function<void()>& stay = [] { pause(); });
  Inhabitant(const Inhabitant&) = delete;
  Inhabitant& operator=(const Inhabitant&) = delete;
  ~Inhabitant();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] fs::path path() const { return "/proc/" + std::to_string(pid_); }
  // Reports whether its first thread has ended, but was not waited for.
  [[nodiscard]] bool is_zombie() const;

 private:
  pid_t pid_ = -1;
};

}  // namespace podlease::host::lab

#endif  // PODLEASE_TESTS_UNIT_HOST_LAB_H_
