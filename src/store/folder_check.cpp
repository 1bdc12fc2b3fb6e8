#include "folder_check.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/store/store.h"

namespace podlease::store {
namespace {

// From linux/magic.h and the kernel's sources; not every C library has them all.
constexpr std::array<std::pair<std::uint32_t, const char*>, 8> kShared{{{0x00006969U, "nfs"},
                                                                        {0x0000517BU, "smb"},
                                                                        {0xFF534D42U, "cifs"},
                                                                        {0xFE534D42U, "smb2"},
                                                                        {0x01021997U, "9p"},
                                                                        {0x00C36400U, "ceph"},
                                                                        {0x7461636FU, "ocfs2"},
                                                                        {0x01161970U, "gfs2"}}};
constexpr std::uint32_t kFuse = 0x65735546U;

constexpr const char* kWayOut =
    "set ipam.dataDir to a folder on a local file system; a tmpfs will do, for leases need not "
    "survive a boot";

// A second descriptor must not get a lock that the first one holds.
bool keeps_locks(const std::filesystem::path& folder) {
  const std::string probe = (folder / (".lock-probe-" + std::to_string(getpid()))).string();
  const UniqueFd first(
      open(probe.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR));
  const UniqueFd second(open(probe.c_str(), O_RDWR | O_CLOEXEC));
  unlink(probe.c_str());
  return first && second && flock(first.get(), LOCK_EX | LOCK_NB) == 0 &&
         flock(second.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace

void refuse_unsafe_folder(const std::filesystem::path& folder) {
  struct stat status {};
  if (stat(folder.c_str(), &status) != 0) {
    return;  // not there yet, or whoever opens what is in it says what is wrong
  }
  const std::string what = "folder " + folder.string();
  if (status.st_uid != geteuid()) {
    throw Error(ErrorKind::kIo,
                what + " belongs to user " + std::to_string(status.st_uid) +
                    ", and podlease runs as user " + std::to_string(geteuid()),
                status.st_uid == 0
                    ? "run podlease as root, or choose another ipam.dataDir"
                    : "whoever owns the folder could replace the leases: chown it, or choose "
                      "another ipam.dataDir");
  }
  const bool by_others = (status.st_mode & S_IWOTH) != 0;
  const bool by_group = (status.st_mode & S_IWGRP) != 0 && status.st_gid != getegid();
  if (by_others || by_group) {
    throw Error(
        ErrorKind::kIo,
        what + " is writable by " +
            (by_others ? std::string("everybody") : "group " + std::to_string(status.st_gid)),
        "others could replace the leases: chmod go-w " + folder.string());
  }
}

void refuse_unsafe_files(const std::filesystem::path& folder) {
  for (const char* const name : {"lock", "podlease.db", "podlease.db-wal"}) {
    const std::filesystem::path file = folder / name;
    struct stat status {};
    if (lstat(file.c_str(), &status) != 0) {
      continue;
    }
    if (!S_ISREG(status.st_mode)) {
      throw Error(ErrorKind::kIo,
                  file.string() +
                      (S_ISLNK(status.st_mode) ? " is a symbolic link" : " is not a plain file"),
                  "podlease does not follow it: remove it, once you know who made it");
    }
    if (status.st_uid != geteuid()) {
      throw Error(ErrorKind::kIo,
                  file.string() + " belongs to user " + std::to_string(status.st_uid),
                  "podlease does not trust it: chown it, once you know who made it");
    }
  }
}

std::optional<std::string> shared_file_system(const std::filesystem::path& folder) {
  struct statfs status {};
  if (statfs(folder.c_str(), &status) != 0) {
    return std::nullopt;
  }
  for (const auto& [magic, name] : kShared) {
    if (static_cast<std::uint32_t>(status.f_type) == magic) {
      return name;
    }
  }
  return std::nullopt;
}

void refuse_shared_file_system(const std::filesystem::path& folder) {
  if (const std::optional<std::string> shared = shared_file_system(folder)) {
    throw Error(ErrorKind::kIo,
                "folder " + folder.string() + " is on " + *shared +
                    ", which other machines may share: no store is made there",
                kWayOut);
  }
  struct statfs status {};
  if (statfs(folder.c_str(), &status) == 0 && static_cast<std::uint32_t>(status.f_type) == kFuse &&
      !keeps_locks(folder)) {
    throw Error(ErrorKind::kIo,
                "folder " + folder.string() +
                    " is on a FUSE file system that does not keep locks: no store is made there",
                kWayOut);
  }
}

}  // namespace podlease::store
