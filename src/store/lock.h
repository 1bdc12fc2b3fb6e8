#ifndef PODLEASE_SRC_STORE_LOCK_H_
#define PODLEASE_SRC_STORE_LOCK_H_

#include <cstdint>
#include <filesystem>
#include <optional>

#include "podlease/base/clock.h"
#include "podlease/base/file.h"

namespace podlease::store {

// What one holder of the lock leaves for the next. Kept in the lock file, never synced: after a
// power cut it may be old, but what it says of a log that still exists was true. Times are in
// nanoseconds since 1970.
struct LockNotes {
  std::uint64_t log_inode = 0;   // the write-ahead log whose name is known to be durable
  std::int64_t log_birth = 0;    // an inode number alone may be used again
  std::int64_t log_frames = 0;   // how long that log was after the last commit
  std::int64_t log_changed = 0;  // after the last commit; unlike what `cp -p` keeps, nobody can
  std::int64_t db_changed = 0;   // set these (ctime)

  friend bool operator==(const LockNotes&, const LockNotes&) = default;
};

// Makes what is missing of `folder`, readable by its owner only. Throws kIo.
void create_folder(const std::filesystem::path& folder);

// Makes the name of `folder`, and of every folder above it, durable. Whoever made them may have
// been killed before it did that, so it is not for the maker alone to do. Throws kIo.
void sync_above(const std::filesystem::path& folder);

// The lock of a store's folder: flock(2) on `<folder>/lock`, which also says who holds it.
class FolderLock {
 public:
  // Waits at most `timeout`. With `create`, folder and file are made where missing (0700, 0600);
  // without, nothing is returned if there is no lock file. Throws kBusy naming the holder, or kIo.
  [[nodiscard]] static std::optional<FolderLock> take(const std::filesystem::path& folder,
                                                      Milliseconds timeout, bool create);

  [[nodiscard]] const LockNotes& notes() const { return notes_; }
  void set_notes(const LockNotes& notes);

 private:
  explicit FolderLock(UniqueFd fd) : fd_(std::move(fd)) {}

  void sign();

  UniqueFd fd_;
  LockNotes notes_;
};

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_LOCK_H_
