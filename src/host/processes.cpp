// What /proc shows of processes, and which /proc that is.

#include "processes.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "netns.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/host/host.h"

namespace podlease::host {

namespace {

// The first namespaces of a machine have inode numbers of their own (PROC_PID_INIT_INO and
// PROC_USER_INIT_INO in the kernel's proc_ns.h); all later ones get higher numbers.
constexpr std::uint64_t kInitialPidNamespace = 0xeffffffc;
constexpr std::uint64_t kInitialUserNamespace = 0xeffffffd;

// 0 if it is not a file of nsfs, or cannot be seen.
std::uint64_t namespace_at(const char* path) {
  struct statfs file_system {};
  struct stat file {};
  const bool is_namespace =
      statfs(path, &file_system) == 0 && file_system.f_type == NSFS_MAGIC && stat(path, &file) == 0;
  return is_namespace ? file.st_ino : 0;
}

std::optional<std::string> text_of(const char* path) {
  constexpr std::size_t kLongest = 65536;
  try {
    return read_file(path, kLongest);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Reports whether /proc is of the PID namespace that this process is in, and not of one above it:
// there a process has an id for each namespace down to its own.
bool is_of_own_pid_namespace() {
  const auto status = text_of("/proc/self/status");
  if (!status) {
    return false;
  }
  for (const std::string_view line : split(*status, '\n')) {
    constexpr std::string_view kIds = "NSpid:";
    if (line.starts_with(kIds)) {
      return words(line.substr(kIds.size())).size() == 1;
    }
  }
  return false;
}

// Calls `visit` with the name of each process or thread in the folder, without a NUL inside it.
// Reports whether it saw all; else errno says why not. It allocates nothing.
template <typename Visit>
bool for_each_task(int folder, Visit visit) {
  // As much as the C library would read at a time.
  alignas(dirent64) std::array<char, 32768> buffer;  // NOLINT(*-member-init): the kernel fills it
  while (true) {
    const ssize_t size = getdents64(folder, buffer.data(), buffer.size());
    if (size <= 0) {
      return size == 0;
    }
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      unsigned short length = 0;
      std::memcpy(&length, &buffer.at(at + offsetof(dirent64, d_reclen)), sizeof length);
      const char* const name = &buffer.at(at + offsetof(dirent64, d_name));
      if (is_process_id(name)) {
        visit(name);
      }
      at += length;
    }
  }
}

// "NAME/REST", which ends with this; cut where a process id cannot be that long.
class TaskPath {
 public:
  TaskPath(const char* name, const char* rest) {
    std::size_t size = 0;
    for (const char* const part : {name, rest}) {
      const std::size_t room = text_.size() - 1 - size;
      const std::size_t length = std::min(std::strlen(part), room);
      std::memcpy(text_.data() + size, part, length);
      size += length;
    }
  }
  [[nodiscard]] const char* get() const { return text_.data(); }

 private:
  std::array<char, 48> text_{};
};

bool has_ended(int error) {
  return error == ENOENT || error == ESRCH;
}

int number_of(const char* name) {
  int number = 0;
  std::from_chars(name, name + std::strlen(name), number);
  return number;
}

// One walk over a folder /proc.
class Walk {
 public:
  explicit Walk(int proc) : proc_(proc) {
    if (namespace_at("/proc/self/ns/user") != kInitialUserNamespace) {
      if (const auto text = text_of("/proc/sys/kernel/overflowuid")) {
        const std::string_view number = trimmed(*text);
        uid_t uid = 0;
        const auto [end, error] =
            std::from_chars(number.data(), number.data() + number.size(), uid);
        unmapped_ = error == std::errc{} ? std::optional(uid) : std::nullopt;
      }
    }
  }

  Occupied result() && {
    bool saw_first = false;
    const bool saw_all = for_each_task(proc_, [&](const char* name) {
      saw_first = saw_first || std::string_view(name) == "1";
      look_at_process(name);
    });
    // Process 1 always lives. Where it is not shown, other users' processes are hidden (hidepid,
    // see proc(5)).
    found_.complete = saw_all && saw_first && !missed_;
    return std::move(found_);
  }

 private:
  void look_at_process(const char* name) {
    const Seen seen = look_at_task(proc_, name);
    if (seen != Seen::kNowhere) {
      missed_ = missed_ || seen == Seen::kHidden;
      return;
    }
    // Either the process has ended, or its first thread has, and others go on.
    const UniqueFd threads(
        openat(proc_, TaskPath(name, "/task").get(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!threads) {
      missed_ = missed_ || !has_ended(errno);
      return;
    }
    const bool saw_all = for_each_task(threads.get(), [&](const char* thread) {
      missed_ = missed_ || look_at_task(threads.get(), thread) == Seen::kHidden;
    });
    missed_ = missed_ || (!saw_all && !has_ended(errno));
  }

  enum class Seen {
    kSomewhere,  // in a namespace, or of a user who is not mapped
    kNowhere,    // it has ended
    kHidden,
  };
  Seen look_at_task(int folder, const char* name) {
    // The kernel says EACCES of one that ends in this moment, too, so that is asked twice.
    constexpr int kAttempts = 2;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      struct stat file {};
      if (fstatat(folder, TaskPath(name, "/ns/net").get(), &file, 0) == 0) {
        note(id_of(file), name);
        return Seen::kSomewhere;
      }
      if (has_ended(errno)) {
        return Seen::kNowhere;
      }
      if (fstatat(folder, name, &file, 0) != 0 && has_ended(errno)) {
        return Seen::kNowhere;
      }
      if (unmapped_ && file.st_uid == *unmapped_) {
        return Seen::kSomewhere;
      }
    }
    return Seen::kHidden;
  }

  void note(const NetnsId& id, const char* name) {
    // Most processes are in the namespace of the one before them.
    if (id != last_) {
      found_.processes.try_emplace(id, number_of(name));
      last_ = id;
    }
  }

  int proc_;
  std::optional<uid_t> unmapped_;  // the uid that such users are shown as
  Occupied found_;
  NetnsId last_;
  bool missed_ = false;
};

}  // namespace

bool is_process_id(std::string_view name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

View LinuxHost::view() const {
  std::uint64_t inode = namespace_at("/proc/1/ns/pid");
  // Not every user may look at process 1.
  if (inode == 0 && is_of_own_pid_namespace()) {
    inode = namespace_at("/proc/self/ns/pid");
  }
  return {.pid_namespace = inode, .is_initial = inode == kInitialPidNamespace};
}

bool LinuxHost::has_mounts_of_init() const {
  const std::uint64_t inode = namespace_at("/proc/1/ns/mnt");
  return inode != 0 && inode == namespace_at("/proc/self/ns/mnt");
}

Occupied LinuxHost::occupied() const {
  const UniqueFd proc(open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return proc ? Walk(proc.get()).result() : Occupied{};
}

}  // namespace podlease::host
