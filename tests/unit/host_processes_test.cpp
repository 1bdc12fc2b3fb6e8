// Which processes /proc shows, in which network namespaces they are, and whether those are all.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "host_lab.h"
#include "netns.h"
#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "processes.h"
#include "support.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using lab::await;
using lab::become_nobody;
using lab::in_child;
using lab::Inhabitant;
using lab::make_pod;
using lab::mount_empty;
using lab::put;
using lab::with_own_processes;
using support::TempFolder;

NetnsId id_at(const fs::path& path) {
  struct stat file {};
  EXPECT_EQ(stat(path.c_str(), &file), 0) << path << ": " << std::strerror(errno);
  return id_of(file);
}

// The id of the process found in a namespace, or 0.
int occupant_of(const NetnsId& netns) {
  const Occupied occupied = LinuxHost().occupied();
  const auto found = occupied.processes.find(netns);
  return found == occupied.processes.end() ? 0 : found->second;
}

// "yes", "no", or "perhaps" where the walk did not see all and found nobody.
std::string is_occupied(const NetnsId& netns) {
  const Occupied occupied = LinuxHost().occupied();
  if (occupied.processes.contains(netns)) {
    return "yes";
  }
  return occupied.complete ? "no" : "perhaps";
}

void enter(const fs::path& netns) {
  const UniqueFd inside(open(netns.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(setns(inside.get(), CLONE_NEWNET), 0) << std::strerror(errno);
}

// A thread of this process goes into the namespace and stays there.
void send_thread_to(const fs::path& netns) {
  support::Pipe there;
  std::thread([&, writer = there.write_end.get()] {
    enter(netns);
    EXPECT_EQ(write(writer, "x", 1), 1);
    while (true) {
      pause();
    }
  }).detach();
  char byte = 0;
  ASSERT_EQ(read(there.read_end.get(), &byte, 1), 1);
}

void end_this_thread() {
  syscall(SYS_exit, 0);
}

// --- occupied ---

TEST(OccupiedTest, HasEachNamespaceThatAProcessIsIn) {
  const TempFolder folder;
  with_own_processes([&] {
    const NetnsId own = id_at("/proc/self/ns/net");
    const NetnsId pod = make_pod(folder.path() / "pod", "").id;
    EXPECT_EQ(LinuxHost().occupied().processes.size(), 1U);
    EXPECT_EQ(occupant_of(own), 1);
    EXPECT_EQ(is_occupied(own), "yes");
    EXPECT_EQ(is_occupied(pod), "no") << "a name is no process";
    {
      const Inhabitant process([&] { enter(folder.path() / "pod"); });
      EXPECT_EQ(occupant_of(pod), process.pid());
      EXPECT_EQ(is_occupied(pod), "yes");
      EXPECT_EQ(is_occupied({.device = pod.device + 1, .inode = pod.inode}), "no");
      EXPECT_EQ(is_occupied(id_at("/proc/self/ns/mnt")), "no");
    }
    EXPECT_EQ(is_occupied(pod), "no");
  });
}

TEST(OccupiedTest, LooksAtThreadsWhereTheFirstOneHasEnded) {
  const TempFolder folder;
  with_own_processes([&] {
    const fs::path name = folder.path() / "pod";
    const NetnsId pod = make_pod(name, "").id;
    {
      const Inhabitant process([&] { enter(name); }, [] { _exit(0); });
      await("its end", [&] { return process.is_zombie(); });
      EXPECT_EQ(is_occupied(pod), "no") << "a process that ended is nowhere";
    }
    {
      const Inhabitant process([&] { send_thread_to(name); }, end_this_thread);
      await("the end of its first thread", [&] { return process.is_zombie(); });
      EXPECT_EQ(is_occupied(pod), "yes");
      const int occupant = occupant_of(pod);
      EXPECT_NE(occupant, process.pid());
      const fs::path thread = fs::path("/proc") / std::to_string(occupant) / "ns/net";
      EXPECT_EQ(id_at(thread), pod) << "one look at it must do next time";
    }
    {
      const Inhabitant process([&] { send_thread_to(name); });
      EXPECT_EQ(is_occupied(pod), "no") << "this would cost a look at every thread";
      EXPECT_TRUE(LinuxHost().occupied().complete);
    }
    EXPECT_EQ(is_occupied(pod), "no");
  });
}

TEST(OccupiedTest, SeesProcessesOfInnerNamespaces) {
  const TempFolder folder;
  with_own_processes([&] {
    const fs::path name = folder.path() / "pod";
    const NetnsId pod = make_pod(name, "").id;
    const Inhabitant process([&] {
      enter(name);
      ASSERT_EQ(unshare(CLONE_NEWUSER | CLONE_NEWNS), 0) << std::strerror(errno);
      ASSERT_EQ(unshare(CLONE_NEWPID), 0) << std::strerror(errno);
    });
    EXPECT_EQ(occupant_of(pod), process.pid());
    EXPECT_TRUE(LinuxHost().occupied().complete);
  });
}

TEST(OccupiedTest, IsNotCompleteWhereProcessesAreHidden) {
  const TempFolder folder;
  with_own_processes([&] {
    const NetnsId pod = make_pod(folder.path() / "pod", "").id;
    for (const auto* options : {"hidepid=0", "hidepid=1", "hidepid=2", "hidepid=4"}) {
      in_child([&] {
        ASSERT_EQ(mount("proc", "/proc", "proc", 0, options), 0) << std::strerror(errno);
        EXPECT_EQ(is_occupied(pod), "no") << options << ": root sees all";
        if (!become_nobody()) {
          return;  // root of a user namespace with one user
        }
        EXPECT_EQ(is_occupied(pod), "perhaps") << options;
        EXPECT_FALSE(LinuxHost().occupied().complete);
      });
    }
    ASSERT_NO_FATAL_FAILURE(mount_empty("/proc"));
    EXPECT_EQ(is_occupied(pod), "perhaps") << "no processes at all";
    ASSERT_EQ(mkdir("/proc/7", 0755), 0);
    EXPECT_EQ(is_occupied(pod), "perhaps");
    ASSERT_EQ(umount("/proc"), 0);
  });
}

// Maps the users and groups of a child's new user namespace to those of this one.
bool map_users(pid_t child, const std::string& map) {
  const fs::path process = fs::path("/proc") / std::to_string(child);
  const UniqueFd users(open((process / "uid_map").c_str(), O_WRONLY | O_CLOEXEC));
  const UniqueFd groups(open((process / "gid_map").c_str(), O_WRONLY | O_CLOEXEC));
  return users && groups && write_all(users.get(), map) == 0 && write_all(groups.get(), map) == 0;
}

// Runs `facts` as root of a user namespace in which root outside is a user that is not mapped, and
// 7 outside is 7.
void in_user_namespace(const std::function<void()>& facts) {
  support::Pipe unshared;
  support::Pipe mapped;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    char byte = 0;
    const bool made = unshare(CLONE_NEWUSER) == 0 && write(unshared.write_end.get(), "x", 1) == 1 &&
                      read(mapped.read_end.get(), &byte, 1) == 1 && setgroups(0, nullptr) == 0 &&
                      setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0;
    EXPECT_TRUE(made) << std::strerror(errno);
    if (made) {
      facts();
    }
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  unshared.write_end.reset();
  char byte = 0;
  ASSERT_EQ(read(unshared.read_end.get(), &byte, 1), 1) << "no user namespace";
  ASSERT_TRUE(map_users(child, "0 1000 1\n7 7 1\n"));
  ASSERT_EQ(write(mapped.write_end.get(), "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "see the failures of the child above";
}

TEST(OccupiedTest, InAUserNamespaceDoesWithoutUsersThatAreNotMapped) {
  if (getuid() != 0) {
    GTEST_SKIP() << "only root may map two users";
  }
  const TempFolder folder;
  with_own_processes([&] {
    const NetnsId pod = make_pod(folder.path() / "pod", "").id;
    in_user_namespace([&] {
      EXPECT_EQ(is_occupied(pod), "no") << "process 1 is root's, who is not mapped";
      EXPECT_EQ(is_occupied(id_at("/proc/self/ns/net")), "yes");
    });
    const Inhabitant other([] { ASSERT_EQ(setresuid(7, 7, 7), 0); });
    in_user_namespace([&] {
      EXPECT_EQ(is_occupied(pod), "perhaps") << "a process of user 7, who is mapped, is unread";
    });
    in_child([&] {
      ASSERT_TRUE(become_nobody());
      EXPECT_EQ(is_occupied(pod), "perhaps") << "who is not in a user namespace is not excused";
    });
  });
}

TEST(OccupiedTest, StaysCompleteWhileProcessesComeAndGo) {
  const TempFolder folder;
  with_own_processes([&] {
    const fs::path name = folder.path() / "pod";
    const NetnsId pod = make_pod(name, "").id;
    const Inhabitant churn([] {},
                           [] {
                             while (true) {
                               const pid_t child = fork();
                               if (child == 0) {
                                 std::thread([] {}).join();
                                 end_this_thread();
                               }
                               waitpid(child, nullptr, 0);
                             }
                           });
    const Inhabitant process([&] { enter(name); });
    for (int i = 0; i < 1000; ++i) {
      const Occupied occupied = LinuxHost().occupied();
      ASSERT_TRUE(occupied.complete);
      ASSERT_TRUE(occupied.processes.contains(pod));
    }
  });
}

TEST(OccupiedTest, IsQuickWithThousandsOfProcesses) {
  constexpr int kProcesses = 2000;
  with_own_processes([&] {
    std::vector<pid_t> children;
    for (int i = 0; i < kProcesses; ++i) {
      const pid_t child = vfork();  // shares all memory, which makes it cheap
      if (child == 0) {
        _exit(0);
      }
      ASSERT_GT(child, 0) << std::strerror(errno);
      children.push_back(child);  // a zombie, the dearer kind
    }
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(LinuxHost().occupied().complete);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    for (const pid_t child : children) {
      waitpid(child, nullptr, 0);
    }
  });
}

// --- view ---

TEST(ViewTest, IsThatOfTheMachineOrOfTheContainer) {
  const View outside = LinuxHost().view();
  EXPECT_EQ(outside.is_initial, outside.pid_namespace == 4026531836);
  with_own_processes([&] {
    const View inside = LinuxHost().view();
    EXPECT_EQ(inside.pid_namespace, id_at("/proc/self/ns/pid").inode);
    EXPECT_NE(inside.pid_namespace, outside.pid_namespace);
    EXPECT_FALSE(inside.is_initial);
    // Also for whoever may not look at process 1.
    in_child([&] {
      if (become_nobody()) {
        EXPECT_EQ(LinuxHost().view().pid_namespace, inside.pid_namespace);
      }
    });
    ASSERT_NO_FATAL_FAILURE(mount_empty("/proc"));
    EXPECT_EQ(LinuxHost().view().pid_namespace, 0U);
    EXPECT_FALSE(LinuxHost().view().is_initial);
    fs::create_directories("/proc/1/ns");
    put("/proc/1/ns/pid", "");
    EXPECT_EQ(LinuxHost().view().pid_namespace, 0U) << "a file that is no namespace";
  });
}

TEST(ViewTest, IsThatOfTheProcThatIsMountedAndNotOfTheProcess) {
  with_own_processes([&] {
    const View outer = LinuxHost().view();
    in_child([&] {
      ASSERT_EQ(unshare(CLONE_NEWPID), 0);
      in_child([&] {  // process 1 of the inner one, which still looks at /proc of the outer one
        EXPECT_EQ(LinuxHost().view().pid_namespace, outer.pid_namespace);
        if (become_nobody()) {
          EXPECT_EQ(LinuxHost().view().pid_namespace, 0U)
              << "process 1 may not be looked at, and /proc/self would say the inner one";
        }
      });
    });
  });
}

TEST(ViewTest, IsUnknownWhereProcDoesNotShowTheProcess) {
  with_own_processes([&] {
    support::Pipe there;
    // A process of an inner namespace mounts its /proc where this one sees it.
    const TempFolder folder;
    const pid_t inner = fork();
    ASSERT_GE(inner, 0);
    if (inner == 0) {
      if (unshare(CLONE_NEWPID) == 0 && fork() == 0) {
        const bool mounted = mount("proc", folder.path().c_str(), "proc", 0, nullptr) == 0;
        if (write(there.write_end.get(), mounted ? "x" : "-", 1) == 1) {
          pause();
        }
      }
      waitpid(-1, nullptr, 0);
      _exit(0);
    }
    char byte = 0;
    ASSERT_EQ(read(there.read_end.get(), &byte, 1), 1);
    ASSERT_EQ(byte, 'x');
    ASSERT_EQ(mount(folder.path().c_str(), "/proc", nullptr, MS_BIND, nullptr), 0);
    const View view = LinuxHost().view();
    EXPECT_EQ(view.pid_namespace, id_at("/proc/1/ns/pid").inode) << "of what /proc shows";
    if (become_nobody()) {
      EXPECT_EQ(LinuxHost().view().pid_namespace, 0U) << "there is no /proc/self";
    }
  });
}

TEST(ProcessIdTest, IsDigitsOnly) {
  for (const auto* name : {"1", "0", "4194304"}) {
    EXPECT_TRUE(is_process_id(name)) << name;
  }
  for (const auto* name : {"", "self", "1a", "-1", "+1", "1 ", "."}) {
    EXPECT_FALSE(is_process_id(name)) << name;
  }
}

}  // namespace
}  // namespace podlease::host
