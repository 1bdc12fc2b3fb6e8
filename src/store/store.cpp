#include "podlease/store/store.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "database.h"
#include "folder_check.h"
#include "lock.h"
#include "podlease/base/file.h"
#include "podlease/store/registry.h"

namespace podlease::store {

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

namespace {

// An empty file is what a creator leaves that was killed, or found no space; unless there is a log.
bool has_store(const std::filesystem::path& folder) {
  struct stat file {};
  struct stat log {};
  return stat((folder / "podlease.db").c_str(), &file) == 0 &&
         (file.st_size > 0 ||
          (stat((folder / "podlease.db-wal").c_str(), &log) == 0 && log.st_size > 0));
}

// Nothing if there is neither store nor lock. A lock file that somebody removed is made again: the
// leases are still there, and a DEL must not take them for gone.
std::optional<FolderLock> lock_existing(const Store::Options& options) {
  refuse_unsafe_files(options.folder);
  return FolderLock::take(options.folder, options.lock_timeout, has_store(options.folder));
}

}  // namespace

Store Store::open(const Options& options, bool may_retry) {
  refuse_unsafe_folder(options.folder);
  refuse_unsafe_files(options.folder);
  std::optional<FolderLock> lock = FolderLock::take(options.folder, options.lock_timeout, true);
  if (!has_store(options.folder)) {
    refuse_shared_file_system(options.folder);
    sync_above(options.folder);
    if (!options.registry.empty()) {
      Registry(options.registry).add(options.folder);
    }
  }
  try {
    return Store(std::make_unique<Database>(options, std::move(*lock), Database::Use::kLease));
  } catch (const DamagedError&) {
    throw;
  } catch (const Error&) {
    // Somebody has moved the file aside between two of our looks: then a new one is made.
    if (has_store(options.folder) || !may_retry) {
      throw;
    }
  }
  return open(options, false);
}

Store Store::open(const Options& options) {
  return open(options, true);
}

std::optional<Store> Store::open_existing(const Options& options) {
  std::optional<FolderLock> lock = lock_existing(options);
  if (!lock || !has_store(options.folder)) {
    return std::nullopt;
  }
  return Store(std::make_unique<Database>(options, std::move(*lock), Database::Use::kLook));
}

Store Store::open_existing_or_empty(const Options& options) {
  std::optional<Store> store = open_existing(options);
  return store ? *std::move(store) : in_memory();
}

std::optional<Store> Store::open_for_release(const Options& options) {
  std::optional<FolderLock> lock = lock_existing(options);
  if (!lock || !has_store(options.folder)) {
    return std::nullopt;
  }
  return Store(std::make_unique<Database>(options, std::move(*lock), Database::Use::kRelease));
}

Store Store::in_memory() {
  return Store(std::make_unique<Database>());
}

void Store::close() noexcept {
  database_.reset();
}

Transaction Store::begin() {
  return Transaction(*database_);
}

std::string Store::schema_version() const {
  constexpr int kFactor = 1000;
  return std::to_string(database_->schema_version() / kFactor) + "." +
         std::to_string(database_->schema_version() % kFactor);
}

bool Store::is_newer() const {
  return database_->is_newer();
}

namespace {

// Another one each time: two damages may fall into one second.
std::string new_suffix(const std::filesystem::path& folder) {
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(SystemClock().now().wall.time_since_epoch());
  std::string suffix = ".damaged-" + std::to_string(seconds.count());
  for (int number = 2; std::filesystem::exists(folder / ("podlease.db" + suffix)); ++number) {
    suffix = ".damaged-" + std::to_string(seconds.count()) + "-" + std::to_string(number);
  }
  return suffix;
}

}  // namespace

bool set_aside_if_damaged(const Store::Options& options) {
  const std::optional<FolderLock> lock = lock_existing(options);
  if (!lock || !has_store(options.folder) || is_sound(options.folder)) {
    return false;
  }
  const std::string suffix = new_suffix(options.folder);
  // The log first: a file without it is an older store, a log without its file is nothing.
  for (const char* const name : {"podlease.db-shm", "podlease.db-wal", "podlease.db"}) {
    const std::filesystem::path file = options.folder / name;
    const std::string aside = file.string() + suffix;
    if (rename(file.c_str(), aside.c_str()) != 0 && errno != ENOENT) {
      throw io_error("move " + file.string() + " aside", errno);
    }
  }
  sync_folder(options.folder);
  static_cast<void>(
      write_all(STDERR_FILENO, "podlease: the store " + (options.folder / "podlease.db").string() +
                                   " was damaged; it was moved aside (" + suffix +
                                   "), and its leases are gathered from the machine again\n"));
  return true;
}

void probe_writable(const std::filesystem::path& folder) {
  refuse_unsafe_folder(folder);
  refuse_unsafe_files(folder);
  // The nearest folder that exists decides what is not there yet.
  std::filesystem::path nearest = folder;
  while (nearest.has_relative_path() && access(nearest.c_str(), F_OK) != 0 && errno == ENOENT) {
    nearest = nearest.parent_path();
  }
  if (access(nearest.c_str(), W_OK | X_OK) != 0) {
    throw io_error("write to folder " + nearest.string(), errno);
  }
  for (const char* const name : {"podlease.db", "podlease.db-wal", "lock"}) {
    const std::filesystem::path file = folder / name;
    if (access(file.c_str(), R_OK | W_OK) != 0 && errno != ENOENT) {
      throw io_error("write to " + file.string(), errno);
    }
  }
}

}  // namespace podlease::store
