#include "lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/flock.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

// The file holds lines of fixed width, so that a short write never mixes with an older, longer
// text. A podlease of before writes the first two only.
constexpr const char* kPidFormat = "%10d\n";
constexpr off_t kNotesOffset = 11;
constexpr std::size_t kFileSize = 128;
// How often the file may vanish between two of our steps before we take it for a path that leads
// nowhere, such as a symbolic link to a disk that is not mounted.
constexpr int kMostAttempts = 100;

void write_at(int fd, off_t offset, std::string_view text) {
  // Who holds the lock is advice to people; a full disk must not stop a DEL for it.
  static_cast<void>(!pwrite(fd, text.data(), text.size(), offset));
}

std::string read_start(int fd) {
  std::array<char, kFileSize> buffer{};
  const ssize_t count = pread(fd, buffer.data(), buffer.size(), 0);
  return {buffer.data(), static_cast<std::size_t>(count < 0 ? 0 : count)};
}

template <typename Number>
Number number_at(const std::vector<std::string_view>& fields, std::size_t index) {
  Number value = 0;
  if (index < fields.size()) {
    std::from_chars(fields[index].data(), fields[index].data() + fields[index].size(), value);
  }
  return value;
}

Error timed_out(int fd, const std::filesystem::path& path, Milliseconds timeout) {
  const std::string text = read_start(fd);
  const auto pid = number_at<int>(words(text), 0);
  std::string holder = "an unknown process";
  if (pid > 0) {
    holder = "process " + std::to_string(pid);
    try {
      const auto command = read_file("/proc/" + std::to_string(pid) + "/comm", 64);
      holder += command ? " (" + std::string(trimmed(*command)) + ")" : " (which has ended since)";
    } catch (const Error&) {
      // Its name was only a courtesy.
    }
  }
  return Error(ErrorKind::kBusy,
               "timed out after " + format_duration(timeout) + " waiting for the store's lock " +
                   path.string() + ", which " + holder + " holds",
               "try again; if the holder is stopped or stuck, end it: the lock ends with it");
}

// Reports whether the file that `fd` is open on is still the one at `path`.
bool still_there(int fd, const std::filesystem::path& path) {
  struct stat opened {};
  struct stat there {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &there) == 0 &&
         opened.st_ino == there.st_ino && opened.st_dev == there.st_dev;
}

// Reports whether opening a path failed in a way that tells that nothing can be there.
bool leads_nowhere(int error_number) {
  return error_number == ENOENT || error_number == ENOTDIR || error_number == ELOOP ||
         error_number == ENAMETOOLONG;
}

}  // namespace

void create_folder(const std::filesystem::path& folder) {
  if (folder.empty()) {
    return;
  }
  bool made = mkdir(folder.c_str(), 0700) == 0;
  if (!made && errno == ENOENT && folder.has_relative_path()) {
    create_folder(folder.parent_path());
    made = mkdir(folder.c_str(), 0700) == 0;
  }
  if (!made) {
    if (errno == EEXIST) {
      return;
    }
    throw io_error("create folder " + folder.string(), errno);
  }
}

void sync_above(const std::filesystem::path& folder) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  UniqueFd at(open(folder.c_str(), kFlags));
  struct stat here {};
  struct stat above {};
  while (at && fstat(at.get(), &here) == 0) {
    UniqueFd parent(openat(at.get(), "..", kFlags));
    // At the root, or where another file system is mounted, there is no name to make durable.
    if (!parent || fstat(parent.get(), &above) != 0 || here.st_dev != above.st_dev ||
        here.st_ino == above.st_ino) {
      return;
    }
    if (fsync(parent.get()) != 0) {
      throw io_error("sync a folder above " + folder.string(), errno);
    }
    at = std::move(parent);
  }
}

std::optional<FolderLock> FolderLock::take(const std::filesystem::path& folder,
                                           Milliseconds timeout, bool create) {
  const std::filesystem::path path = folder / "lock";
  const SystemClock clock;
  const Milliseconds deadline = clock.now().since_boot + timeout;
  for (int attempt = 1;; ++attempt) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | (create ? O_CREAT : 0), 0600));
    if (!fd) {
      if (!create && leads_nowhere(errno)) {
        return std::nullopt;
      }
      if (errno != ENOENT || attempt >= kMostAttempts) {
        throw io_error("open " + path.string(), errno);
      }
      create_folder(folder);
      continue;
    }
    if (!flock_within(fd.get(), deadline - clock.now().since_boot, path.native())) {
      throw timed_out(fd.get(), path, timeout);
    }
    // Somebody may have removed the folder while we waited; the lock of a removed file guards
    // nothing.
    if (still_there(fd.get(), path)) {
      FolderLock lock(std::move(fd));
      lock.sign();
      return lock;
    }
  }
}

void FolderLock::sign() {
  const std::string text = read_start(fd_.get());
  const auto fields = words(text);
  notes_ = {.log_inode = number_at<std::uint64_t>(fields, 1),
            .log_birth = number_at<std::int64_t>(fields, 2),
            .log_frames = number_at<std::int64_t>(fields, 3),
            .log_changed = number_at<std::int64_t>(fields, 4),
            .db_changed = number_at<std::int64_t>(fields, 5)};
  std::array<char, kFileSize> line{};
  const int length = std::snprintf(line.data(), line.size(), kPidFormat, getpid());
  write_at(fd_.get(), 0, {line.data(), static_cast<std::size_t>(length)});
}

void FolderLock::set_notes(const LockNotes& notes) {
  if (notes == notes_) {
    return;
  }
  notes_ = notes;
  std::array<char, kFileSize> line{};
  const int length = std::snprintf(
      line.data(), line.size(),
      "%20" PRIu64 " %20" PRId64 " %10" PRId64 "\n%20" PRId64 " %20" PRId64 "\n", notes.log_inode,
      notes.log_birth, notes.log_frames, notes.log_changed, notes.db_changed);
  write_at(fd_.get(), kNotesOffset, {line.data(), static_cast<std::size_t>(length)});
}

}  // namespace podlease::store
