#include "host_lab.h"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <utility>

#include "podlease/base/clock.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"

namespace podlease::host::lab {

net::Address address(std::string_view text) {
  return net::Address::parse(text).value();
}

void put(const fs::path& path, std::string_view body) {
  std::ofstream(path, std::ios::binary) << body;
}

std::string body_of(const fs::path& path) {
  return read_file(path, 1 << 20).value_or("(none)");
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(folder)) {
    names.push_back(item.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Thrown thrown_by(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {.kind = error.kind(), .message = error.what()};
  }
  return {};
}

void in_child(const std::function<void()>& facts) {
  const auto failures = [] {
    return testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
  };
  const int failures_before = failures();
  static_cast<void>(std::fflush(nullptr));
  const pid_t child = fork();
  ASSERT_GE(child, 0) << std::strerror(errno);
  if (child == 0) {
    try {
      facts();
    } catch (const std::exception& error) {
      ADD_FAILURE() << "uncaught: " << error.what();
    }
    static_cast<void>(std::fflush(nullptr));
    _exit(failures() == failures_before ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "see the failures of the child above";
}

void become_root_of_own_namespaces(int flags) {
  const uid_t uid = getuid();
  if (uid == 0) {
    ASSERT_EQ(unshare(flags), 0) << std::strerror(errno);
    return;
  }
  const gid_t gid = getgid();
  ASSERT_EQ(unshare(CLONE_NEWUSER | flags), 0)
      << std::strerror(errno) << ": neither root nor allowed to make user namespaces";
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  put("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
  ASSERT_EQ(getuid(), 0U);
}

bool become_nobody() {
  constexpr unsigned kNobody = 65534;
  return setgroups(0, nullptr) == 0 && setgid(kNobody) == 0 && setuid(kNobody) == 0;
}

void ip(const std::string& commands) {
  constexpr std::string_view kIpv6 = "-6 ";
  std::string v4;
  std::string v6;
  std::istringstream lines(commands);
  for (std::string text; std::getline(lines, text);) {
    const std::string_view line = trimmed(text);
    if (line.starts_with(kIpv6)) {
      v6.append(line.substr(kIpv6.size())).append("\n");
    } else {
      v4.append(line).append("\n");
    }
  }
  for (const auto& [tool, batch] : {std::pair("ip -batch -", v4), {"ip -6 -batch -", v6}}) {
    FILE* const pipe = popen(tool, "w");
    ASSERT_NE(pipe, nullptr);
    EXPECT_GE(std::fputs(batch.c_str(), pipe), 0);
    ASSERT_EQ(pclose(pipe), 0) << tool << " failed, given:\n" << batch;
  }
}

void await_addresses(const std::string& commands) {
  std::vector<std::string> awaited;
  for (const std::string_view line : split(commands, '\n')) {
    if (!trimmed(line).starts_with("addr add ")) {
      continue;
    }
    for (const std::string_view word : words(line)) {
      const auto address = net::Address::parse(word.substr(0, word.find('/')));
      if (address && address->is_v6()) {
        std::ostringstream entry;  // as in /proc/net/ipv6_route: in full, and the length 128
        entry << std::hex << std::setfill('0');
        entry << std::setw(16) << static_cast<std::uint64_t>(address->bits() >> 64);
        entry << std::setw(16) << static_cast<std::uint64_t>(address->bits()) << " 80 ";
        awaited.push_back(entry.str());
      }
    }
  }
  const auto missing = [](const std::string& entry) {
    return body_of("/proc/net/ipv6_route").find(entry) == std::string::npos;
  };
  for (int attempt = 0; std::any_of(awaited.begin(), awaited.end(), missing); ++attempt) {
    ASSERT_LT(attempt, 1000) << "IPv6 addresses without routes";
    SystemClock().sleep(Milliseconds(10));
  }
}

void in_own_network(const std::string& commands, const std::function<void()>& facts) {
  in_child([&] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET));
    ASSERT_NO_FATAL_FAILURE(ip(kCable + commands));
    ASSERT_NO_FATAL_FAILURE(await_addresses(commands));
    facts();
  });
}

void name_own_namespace(const fs::path& name) {
  put(name, "");
  ASSERT_EQ(mount("/proc/self/ns/net", name.c_str(), nullptr, MS_BIND, nullptr), 0)
      << std::strerror(errno);
}

void with_own_mounts(int flags, const std::function<void()>& facts) {
  in_child([&] {
    ASSERT_NO_FATAL_FAILURE(become_root_of_own_namespaces(CLONE_NEWNET | CLONE_NEWNS | flags));
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    facts();
  });
}

void mount_empty(const fs::path& folder) {
  ASSERT_EQ(mount("none", folder.c_str(), "tmpfs", 0, nullptr), 0) << std::strerror(errno);
}

NamedNetns make_pod(const fs::path& name, const std::string& commands) {
  const UniqueFd home(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  ip(kCable + commands);
  await_addresses(commands);
  name_own_namespace(name);
  EXPECT_EQ(setns(home.get(), CLONE_NEWNET), 0) << std::strerror(errno);
  return {.path = name, .id = LinuxHost().netns_at(name).id};
}

void with_own_processes(const std::function<void()>& facts) {
  with_own_mounts(CLONE_NEWPID, [&] {
    in_child([&] {  // the first process of the new namespace
      ASSERT_EQ(mount("proc", "/proc", "proc", 0, nullptr), 0) << std::strerror(errno);
      facts();
    });
  });
}

void await(std::string_view what, const std::function<bool()>& happened) {
  for (int attempt = 0; !happened(); ++attempt) {
    ASSERT_LT(attempt, 1000) << what << " never happened";
    SystemClock().sleep(Milliseconds(10));
  }
}

net::Prefix prefix(std::string_view text) {
  return net::Prefix::parse(text).value();
}

bool has_kind(const std::string& command) {
  return std::system(("ip " + command + " 2>/dev/null").c_str()) == 0;
}

Inhabitant::Inhabitant(const std::function<void()>& enter, const std::function<void()>& stay) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) {
    throw io_error("pipe", errno);
  }
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  pid_ = fork();
  if (pid_ == 0) {
    enter();
    if (write(writer.get(), "x", 1) == 1) {
      stay();
    }
    _exit(0);
  }
  writer.reset();
  char byte = 0;
  if (read(reader.get(), &byte, 1) != 1) {
    throw Error(ErrorKind::kOther, "the other process did not get there");
  }
}

Inhabitant::~Inhabitant() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

bool Inhabitant::is_zombie() const {
  return body_of(path() / "stat").find(") Z ") != std::string::npos;
}

}  // namespace podlease::host::lab
