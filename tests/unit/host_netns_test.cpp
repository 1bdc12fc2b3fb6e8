// What is at the path of a network namespace, in which folder, and whether it is still the same
// one.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host_lab.h"
#include "netns.h"
#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "support.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using lab::await;
using lab::become_nobody;
using lab::become_root_of_own_namespaces;
using lab::in_child;
using lab::Inhabitant;
using lab::ip;
using lab::kCable;
using lab::make_pod;
using lab::mount_empty;
using lab::name_own_namespace;
using lab::put;
using lab::with_own_mounts;
using lab::with_own_processes;
using support::TempFolder;

NetnsState state_at(const fs::path& path) {
  return LinuxHost().netns_at(path).state;
}

NetnsId id_at(const fs::path& path) {
  struct stat file {};
  EXPECT_EQ(stat(path.c_str(), &file), 0) << path;
  return id_of(file);
}

// An id that no process has: of a child that was waited for.
std::string ended_process() {
  const pid_t child = fork();
  if (child == 0) {
    _exit(0);
  }
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
  return std::to_string(child);
}

// --- netns_at ---

TEST(NetnsAtTest, SeesALiveNetworkNamespace) {
  const NetnsAt found = LinuxHost().netns_at("/proc/self/ns/net");
  EXPECT_EQ(found.state, NetnsState::kAlive);
  EXPECT_EQ(found.id, id_at("/proc/self/ns/net"));
}

TEST(NetnsAtTest, KnowsAMountedNamespaceAndAnotherOneApart) {
  const TempFolder folder;
  const fs::path name = folder.path() / "netns";
  const NetnsId outside = id_at("/proc/self/ns/net");
  with_own_mounts(0, [&] {
    ASSERT_NO_FATAL_FAILURE(name_own_namespace(name));
    const NetnsAt found = LinuxHost().netns_at(name);
    EXPECT_EQ(found.state, NetnsState::kAlive);
    EXPECT_EQ(found.id, id_at("/proc/self/ns/net"));
    EXPECT_NE(found.id, outside);
    ASSERT_EQ(umount(name.c_str()), 0);
    EXPECT_EQ(state_at(name), NetnsState::kDoubt) << "a plain file again";
    fs::remove(name);
    EXPECT_EQ(state_at(name), NetnsState::kAbsent);
  });
}

TEST(NetnsAtTest, IsAbsentOnlyWhereItWouldBeSeen) {
  const TempFolder folder;
  const fs::path& path = folder.path();
  fs::create_directory(path / "folder");
  put(path / "plain", "");
  ASSERT_EQ(mkfifo((path / "fifo").c_str(), 0600), 0);
  fs::create_symlink("nowhere", path / "dangling");
  fs::create_symlink("dangling", path / "dangling-twice");
  fs::create_symlink("loop", path / "loop");
  fs::create_symlink("/proc/self/ns/net", path / "link");
  fs::create_symlink("folder", path / "to-folder");
  fs::create_symlink("plain", path / "to-plain");
  fs::create_symlink("/proc", path / "proc");
  const fs::path gone = "/proc/" + ended_process();
  fs::create_symlink(gone / "ns/net", path / "to-gone");
  struct Case {
    fs::path netns;
    NetnsState state;
  };
  const std::vector<Case> table = {
      {path / "link", NetnsState::kAlive},
      {path / "none", NetnsState::kAbsent},
      {path / "folder/none", NetnsState::kAbsent},
      {path / "to-folder/none", NetnsState::kAbsent},
      {path / "folder/../none", NetnsState::kAbsent},
      // The folder is not there: another view of the machine, or a volume that is not mounted.
      {path / "none/none", NetnsState::kDoubt},
      {path / "none/../none", NetnsState::kDoubt},
      {path / "dangling/none", NetnsState::kDoubt},
      {path / "loop/none", NetnsState::kDoubt},
      {path / "plain/none", NetnsState::kDoubt},
      {path / "to-plain/none", NetnsState::kDoubt},
      {path / "dangling", NetnsState::kDoubt},
      {path / "dangling-twice", NetnsState::kDoubt},
      {path / "to-gone", NetnsState::kDoubt},
      {path / "loop", NetnsState::kDoubt},
      {path / "none/", NetnsState::kDoubt},
      {path / "none/.", NetnsState::kDoubt},
      {path / "none/..", NetnsState::kDoubt},
      {"", NetnsState::kDoubt},
      {".", NetnsState::kDoubt},
      {"/", NetnsState::kDoubt},
      {path, NetnsState::kDoubt},
      {path / "plain", NetnsState::kDoubt},
      {path / "to-plain", NetnsState::kDoubt},
      {path / "fifo", NetnsState::kDoubt},
      {path / std::string(300, 'x'), NetnsState::kDoubt},
      {path / std::string(300, 'x') / "none", NetnsState::kDoubt},
      {"/dev/null", NetnsState::kDoubt},
      // Below /proc: no such process.
      {gone / "ns/net", NetnsState::kAbsent},
      {path / "proc" / gone.filename() / "ns/net", NetnsState::kAbsent},
      {gone / "task" / gone.filename() / "ns/net", NetnsState::kAbsent},
      {fs::path("/proc/self/task") / gone.filename() / "ns/net", NetnsState::kAbsent},
      {gone / "fd/7", NetnsState::kAbsent},
      {"/proc/self/fd/4000", NetnsState::kAbsent},
      {"/proc/0/ns/net", NetnsState::kAbsent},
      {"/proc/self/ns/mnt", NetnsState::kDoubt},
      {"/proc/self/ns/user", NetnsState::kDoubt},
      {"/proc/self/status", NetnsState::kDoubt},
      {"/proc/none/ns/net", NetnsState::kDoubt},
      {"/proc/self/none/net", NetnsState::kDoubt},
      {"/proc/self/root/none/none", NetnsState::kDoubt},
  };
  for (const Case& row : table) {
    EXPECT_EQ(state_at(row.netns), row.state) << row.netns;
  }
}

TEST(NetnsAtTest, TakesARelativePathFromWhereTheProcessIs) {
  const TempFolder folder;
  in_child([&] {
    fs::current_path(folder.path());
    EXPECT_EQ(state_at("none"), NetnsState::kAbsent);
    EXPECT_EQ(state_at("none/none"), NetnsState::kDoubt);
    EXPECT_EQ(LinuxHost().folder_of("none"), id_at(folder.path()));
  });
}

TEST(NetnsAtTest, OfAProcessThatHasEndedButWasNotWaitedForIsAbsent) {
  const Inhabitant process([] {}, [] { _exit(0); });
  await("its end", [&] { return process.is_zombie(); });
  EXPECT_EQ(state_at(process.path() / "ns/net"), NetnsState::kAbsent);
  EXPECT_EQ(state_at(process.path() / "status"), NetnsState::kDoubt);
}

TEST(NetnsAtTest, DoubtsProcessesWhereNotAllAreShown) {
  with_own_processes([] {
    const fs::path gone = fs::path("/proc") / ended_process() / "ns/net";
    EXPECT_EQ(state_at(gone), NetnsState::kAbsent);
    ASSERT_EQ(mount("proc", "/proc", "proc", 0, "hidepid=2"), 0) << std::strerror(errno);
    EXPECT_EQ(state_at(gone), NetnsState::kAbsent) << "root sees all";
    in_child([&] {
      if (!become_nobody()) {
        return;  // root of a user namespace with one user
      }
      EXPECT_EQ(state_at(gone), NetnsState::kDoubt);
      EXPECT_EQ(state_at("/proc/1/ns/net"), NetnsState::kDoubt);
    });
  });
}

TEST(NetnsAtTest, DoubtsAFolderOfProcessesThatIsNone) {
  with_own_mounts(0, [] {
    ASSERT_NO_FATAL_FAILURE(mount_empty("/proc"));
    EXPECT_EQ(state_at("/proc/7/ns/net"), NetnsState::kDoubt);
    EXPECT_EQ(state_at("/proc/self/ns/net"), NetnsState::kDoubt);
  });
}

// To open a device may have consequences: a watchdog starts, a tape rewinds.
TEST(NetnsAtTest, DoesNotEvenOpenWhatIsNotANamespace) {
  const TempFolder folder;
  const fs::path plain = folder.path() / "plain";
  put(plain, "");
  const UniqueFd opened(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(opened.get(), plain.c_str(), IN_OPEN), 0);
  EXPECT_EQ(state_at(plain), NetnsState::kDoubt);
  EXPECT_EQ(LinuxHost().cookie_at(plain, id_at(plain)), 0U);
  std::array<char, 256> event{};
  EXPECT_EQ(read(opened.get(), event.data(), event.size()), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(NetnsAtTest, DoubtsWhatItMayNotSee) {
  const TempFolder folder;
  fs::create_directory(folder.path() / "netns");
  fs::permissions(folder.path(), fs::perms::none);
  in_child([&] {
    if (getuid() == 0) {
      ASSERT_EQ(setuid(65534), 0);
    }
    EXPECT_EQ(state_at(folder.path() / "none"), NetnsState::kDoubt);
    EXPECT_EQ(state_at(folder.path() / "netns/none"), NetnsState::kDoubt);
    EXPECT_EQ(LinuxHost().folder_of(folder.path() / "netns/none"), std::nullopt);
  });
}

// --- folder_of ---

TEST(FolderOfTest, IsWhereTheNameIsByWhateverPath) {
  const TempFolder folder;
  const fs::path netns = folder.path() / "netns";
  fs::create_directory(netns);
  fs::create_directory_symlink("netns", folder.path() / "link");
  put(netns / "a", "");
  fs::create_symlink("/proc/self/ns/net", netns / "to-process");
  const LinuxHost host;
  const auto expected = std::optional(id_at(netns));
  EXPECT_EQ(host.folder_of(netns / "a"), expected);
  EXPECT_EQ(host.folder_of(netns / "none"), expected) << "whether or not the name is there";
  EXPECT_EQ(host.folder_of(folder.path() / "link/a"), expected);
  EXPECT_EQ(host.folder_of(netns / "../netns/a"), expected);
  EXPECT_EQ(host.folder_of(netns / "to-process"), expected);
  EXPECT_EQ(host.folder_of("/none"), id_at("/"));
  const std::string root = "/proc/self/root" + netns.string();
  EXPECT_EQ(host.folder_of(root + "/a"), expected) << "this one is not on procfs";
}

TEST(FolderOfTest, IsNoneBelowProcOrWhereItCannotBeSeen) {
  const TempFolder folder;
  put(folder.path() / "plain", "");
  fs::create_symlink("/proc/self/ns", folder.path() / "process");
  fs::create_symlink("loop", folder.path() / "loop");
  for (const auto& path : std::vector<fs::path>{
           "/proc/self/ns/net", "/proc/1/ns/net", "/proc/0/ns/net", "/proc/self/fd/3",
           folder.path() / "process/net", folder.path() / "none/a", folder.path() / "plain/a",
           folder.path() / "loop/a", "", ".", "..", folder.path() / ""}) {
    EXPECT_EQ(LinuxHost().folder_of(path), std::nullopt) << path;
  }
}

TEST(FolderOfTest, TellsTwoViewsOfOnePathApart) {
  const TempFolder folder;
  const fs::path netns = folder.path() / "netns";
  fs::create_directory(netns);
  const auto outside = LinuxHost().folder_of(netns / "a");
  with_own_mounts(0, [&] {
    EXPECT_EQ(LinuxHost().folder_of(netns / "a"), outside);
    ASSERT_NO_FATAL_FAILURE(mount_empty(netns));
    const auto inside = LinuxHost().folder_of(netns / "a");
    EXPECT_TRUE(inside);
    EXPECT_NE(inside, outside);
  });
}

// --- cookie_at ---

// As a socket inside says it, or 0.
std::uint64_t cookie_inside() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  constexpr int kNetnsCookie = 71;
  return getsockopt(fd.get(), SOL_SOCKET, kNetnsCookie, &cookie, &size) == 0 ? cookie : 0;
}

// Whether this kernel is one before 5.14: it then has none, and that is all that can be tested.
bool has_cookies() {
  if (cookie_inside() != 0) {
    return true;
  }
  std::cerr << "not tried: this kernel has no cookies\n";
  EXPECT_EQ(LinuxHost().cookie_at("/proc/self/ns/net", id_at("/proc/self/ns/net")), 0U);
  return false;
}

TEST(CookieAtTest, IsWhatASocketInsideSays) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    if (!has_cookies()) {
      return;
    }
    const LinuxHost host;
    const NetnsId own = id_at("/proc/self/ns/net");
    const std::uint64_t expected = cookie_inside();
    EXPECT_EQ(host.cookie_at("/proc/self/ns/net", own), expected);
    ASSERT_NO_FATAL_FAILURE(name_own_namespace(folder.path() / "own"));
    EXPECT_EQ(host.cookie_at(folder.path() / "own", own), expected);
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    const std::uint64_t cookie = host.cookie_at(pod.path, pod.id);
    EXPECT_NE(cookie, 0U);
    EXPECT_NE(cookie, expected);
    EXPECT_EQ(host.cookie_at(pod.path, pod.id), cookie) << "it changes";
    EXPECT_EQ(id_at("/proc/self/ns/net"), own) << "it did not come back";
    fs::create_symlink("pod", folder.path() / "link");
    EXPECT_EQ(host.cookie_at(folder.path() / "link", pod.id), cookie);
    const UniqueFd inside(open(pod.path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(setns(inside.get(), CLONE_NEWNET), 0);
    EXPECT_EQ(cookie_inside(), cookie);
    EXPECT_EQ(host.cookie_at(pod.path, pod.id), cookie) << "from inside";
    EXPECT_EQ(host.cookie_at(folder.path() / "own", own), expected);
  });
}

TEST(CookieAtTest, IsZeroOfWhatIsNotThatNamespace) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    const LinuxHost host;
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    const NamedNetns other = make_pod(folder.path() / "other", "");
    const NetnsId own = id_at("/proc/self/ns/net");
    put(folder.path() / "plain", "");
    ASSERT_EQ(mkfifo((folder.path() / "fifo").c_str(), 0600), 0);
    for (const NetnsId& id : {pod.id, own}) {
      for (const auto* name : {"other", "none", "plain", "fifo", "plain/none"}) {
        EXPECT_EQ(host.cookie_at(folder.path() / name, id), 0U) << name;
      }
      EXPECT_EQ(host.cookie_at("", id), 0U);
    }
    EXPECT_EQ(host.cookie_at(pod.path, own), 0U);
    EXPECT_EQ(host.cookie_at(pod.path, {}), 0U);
    EXPECT_EQ(host.cookie_at("/proc/self/ns/mnt", id_at("/proc/self/ns/mnt")), 0U);
    EXPECT_EQ(id_at("/proc/self/ns/net"), own);
  });
}

TEST(CookieAtTest, IsZeroWhereItMayNotEnter) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    const NamedNetns pod = make_pod(folder.path() / "pod", "");
    fs::permissions(folder.path(), fs::perms::all);
    if (getuid() != 0 || setuid(65534) != 0) {
      return;  // root of a user namespace with one user
    }
    EXPECT_EQ(LinuxHost().cookie_at(pod.path, pod.id), 0U);
    const NetnsId own = id_at("/proc/thread-self/ns/net");
    EXPECT_EQ(LinuxHost().cookie_at("/proc/self/ns/net", own), cookie_inside())
        << "its own it need not enter";
  });
}

// A namespace without anything in it.
NamedNetns make_bare(const fs::path& name) {
  const UniqueFd home(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  name_own_namespace(name);
  EXPECT_EQ(setns(home.get(), CLONE_NEWNET), 0) << std::strerror(errno);
  return {.path = name, .id = LinuxHost().netns_at(name).id};
}

// As with `ip netns add x; ip netns del x; ip netns add y`, where y has the inode of x.
TEST(CookieAtTest, TellsNamespacesOfOneInodeApart) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    if (!has_cookies()) {
      return;
    }
    const LinuxHost host;
    const fs::path& path = folder.path();
    std::map<NetnsId, std::uint64_t> ended;
    for (int i = 0; i < 30; ++i) {
      const NamedNetns netns = make_bare(path / std::to_string(i));
      const std::uint64_t cookie = host.cookie_at(netns.path, netns.id);
      EXPECT_NE(cookie, 0U);
      ended.emplace(netns.id, cookie);
    }
    for (int i = 0; i < 30; ++i) {
      ASSERT_EQ(umount((path / std::to_string(i)).c_str()), 0);
    }
    // The kernel clears up a little later, and others on this machine may take the numbers.
    bool was_reused = false;
    await("a namespace with the inode of an ended one", [&] {
      for (int i = 0; i < 30; ++i) {
        const NamedNetns netns = make_bare(path / std::to_string(i));
        if (const auto same = ended.find(netns.id); same != ended.end()) {
          was_reused = true;
          EXPECT_TRUE(host.is_at(netns.path, same->first));
          EXPECT_NE(host.cookie_at(netns.path, netns.id), 0U);
          EXPECT_NE(host.cookie_at(netns.path, netns.id), same->second);
        }
      }
      for (int i = 0; i < 30; ++i) {
        EXPECT_EQ(umount((path / std::to_string(i)).c_str()), 0);
      }
      return was_reused;
    });
  });
}

// In a user namespace one may enter what it owns, but not come back to where one was.
TEST(CookieAtTest, DoesNotGoWhereThereIsNoWayBack) {
  in_child([] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    if (unshare(CLONE_NEWUSER) != 0) {
      std::cerr << "not tried: user namespaces are not allowed here\n";
      return;
    }
    const Inhabitant pod([] { ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno); });
    const fs::path path = pod.path() / "ns/net";
    const NetnsId own = id_at("/proc/self/ns/net");
    EXPECT_EQ(LinuxHost().cookie_at(path, id_at(path)), 0U);
    EXPECT_EQ(id_at("/proc/self/ns/net"), own);
  });
}

// --- peers of the interfaces inside ---

// "ADDRESS INTERFACE PEER" of each, where PEER is the name of an interface here.
std::vector<std::string> peers_in(const NamedNetns& netns) {
  const auto addresses = LinuxHost().addresses_in(netns);
  const HostNetworks networks = LinuxHost().networks();
  std::vector<std::string> lines;
  for (const PodAddress& item : addresses.value_or(std::vector<PodAddress>{})) {
    const Interface* const peer = networks.find(item.peer);
    lines.push_back(item.address.to_string() + " " + item.interface + " " +
                    (item.peer == 0    ? "none"
                     : peer == nullptr ? "unknown"
                                       : peer->name));
  }
  return lines;
}

// Moves an interface of this process's namespace into the pod's, and gives it an address there.
void give(const NamedNetns& pod, const std::string& interface, const std::string& address) {
  const UniqueFd inside(open(pod.path.c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd home(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  ip("link set " + interface + " netns " + pod.path.string() + "\n");
  ASSERT_EQ(setns(inside.get(), CLONE_NEWNET), 0);
  ip("addr add " + address + " dev " + interface + "\nlink set " + interface + " up\n");
  ASSERT_EQ(setns(home.get(), CLONE_NEWNET), 0);
}

TEST(PeerTest, IsWhereTheOtherEndIs) {
  const TempFolder folder;
  with_own_mounts(0, [&] {
    ASSERT_NO_FATAL_FAILURE(ip(kCable));
    const NamedNetns pod = make_pod(folder.path() / "pod", R"(addr add 10.1.0.5/24 dev up0
)");
    const NamedNetns other = make_pod(folder.path() / "other", "");
    // Such indices as the pod has, too: they are not to be taken for these here.
    ip("link add wire0 type veth peer name eth0\nlink add wire1 type veth peer name eth1\n"
       "link add link up0 name mac0 type macvlan mode bridge\n");
    ASSERT_NO_FATAL_FAILURE(give(pod, "eth0", "10.2.0.5/24"));
    ASSERT_NO_FATAL_FAILURE(give(pod, "mac0", "10.3.0.5/24"));
    ASSERT_NO_FATAL_FAILURE(give(pod, "eth1", "10.4.0.5/24"));
    ASSERT_NO_FATAL_FAILURE(give(other, "wire1", "10.5.0.5/24"));
    EXPECT_THAT(peers_in(pod),
                ::testing::ElementsAre("10.1.0.5/24 up0 none", "10.2.0.5/24 eth0 wire0",
                                       "10.3.0.5/24 mac0 up0", "10.4.0.5/24 eth1 none"));
    EXPECT_THAT(peers_in(other), ::testing::ElementsAre("10.5.0.5/24 wire1 none"));
  });
}

TEST(PeerTest, IsInTheProcesssOwnNamespaceToo) {
  with_own_mounts(0, [] {
    ASSERT_NO_FATAL_FAILURE(ip(std::string(kCable) + "addr add 10.1.0.5/24 dev up0\n"));
    const NamedNetns own{.path = "/proc/self/ns/net", .id = id_at("/proc/self/ns/net")};
    EXPECT_THAT(peers_in(own), ::testing::ElementsAre("10.1.0.5/24 up0 up1"));
  });
}

}  // namespace
}  // namespace podlease::host
