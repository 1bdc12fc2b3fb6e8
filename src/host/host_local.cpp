#include "podlease/host/host_local.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "podlease/base/error.h"
#include "podlease/base/flock.h"
#include "podlease/base/text.h"

namespace podlease::host {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLineBreak = "\r\n";
constexpr std::string_view kCursorName = "last_reserved_ip";
constexpr std::string_view kLockName = "lock";

// Neither an address nor a cursor, so host-local and `read` pass it over.
constexpr std::string_view kTemporaryName = ".podlease-new";

// An entry is a container id and an interface name, some 80 bytes.
constexpr std::size_t kMaxFile = 4096;

// The file system's clock may lag behind the wall clock by a tick, and some keep whole seconds.
constexpr Milliseconds kSettling = std::chrono::seconds(2);

// Nothing if there is no such file or folder. To see that something changed, look at the change
// time: unlike the modification time it cannot be set back, as a restored backup would.
std::optional<struct stat> status_of(const fs::path& path, int flags = 0) {
  struct stat status {};
  if (fstatat(AT_FDCWD, path.c_str(), &status, flags) == 0) {
    return status;
  }
  // No folder has a name longer than the file system takes, or lies below a file.
  if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) {
    return std::nullopt;
  }
  throw io_error("stat " + path.string(), errno);
}

// host-local unmaps addresses before it uses them as names.
std::optional<net::Address> parse_address(std::string_view text) {
  const auto address = net::Address::parse(text);
  return address ? std::optional(address->unmapped()) : std::nullopt;
}

// The range set of the cursor a file of that name is: last_reserved_ip.N, or from before there were
// range sets, last_reserved_ip alone. For a while N was base64 of the range; those say nothing now.
std::optional<int> parse_cursor_name(std::string_view name) {
  if (!name.starts_with(kCursorName)) {
    return std::nullopt;
  }
  name.remove_prefix(kCursorName.size());
  if (name.empty()) {
    return 0;
  }
  int range_set = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 1, end, range_set);
  const bool valid = name.front() == '.' && error == std::errc{} && stop == end && range_set >= 0;
  return valid ? std::optional(range_set) : std::nullopt;
}

std::string cursor_name(int range_set) {
  return std::string(kCursorName) + "." + std::to_string(range_set);
}

HostLocalEntry parse_entry(net::Address address, std::string_view body) {
  body = trimmed(body);
  const std::size_t line_end = body.find_first_of(kLineBreak);
  HostLocalEntry entry{.address = address,
                       .container_id = std::string(trimmed(body.substr(0, line_end))),
                       .ifname = std::nullopt};
  if (line_end != std::string_view::npos) {
    entry.ifname = trimmed(body.substr(line_end));
  }
  return entry;
}

std::string format_entry(const HostLocalEntry& entry) {
  std::string body = entry.container_id;
  if (entry.ifname) {
    body.append(kLineBreak).append(*entry.ifname);
  }
  return body;
}

// Calls `visit` with the path and the name of everything in the folder.
template <typename Visit>
void for_each_item(const fs::path& folder, Visit visit) {
  try {
    for (const fs::directory_entry& item : fs::directory_iterator(folder)) {
      visit(item.path(), item.path().filename().string());
    }
  } catch (const fs::filesystem_error& error) {
    throw io_error("read folder " + folder.string(), error.code().value());
  }
}

// What a file is, if it is not a plain one; else empty.
std::string_view what_is_not_plain(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return {};
    case S_IFDIR:
      return "is a folder";
    case S_IFLNK:
      return "is a symbolic link";
    case S_IFIFO:
      return "is a FIFO";
    default:
      return "is not a plain file";
  }
}

// The body of a plain file; nothing if someone has removed it meanwhile, or if it is something
// else: then `skip` is told what. Whatever would block, never end or lead elsewhere is not read.
template <typename Skip>
std::optional<std::string> read_item(const fs::path& path, Skip skip) {
  // Looked at before it is opened, which with a device may have consequences; and again afterwards.
  const auto before = status_of(path, AT_SYMLINK_NOFOLLOW);
  if (!before) {
    return std::nullopt;
  }
  if (const auto what = what_is_not_plain(before->st_mode); !what.empty()) {
    skip(what);
    return std::nullopt;
  }
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT) {
    return std::nullopt;
  }
  struct stat opened {};
  if (!fd || fstat(fd.get(), &opened) != 0) {
    throw io_error("open " + path.string(), errno);
  }
  if (const auto what = what_is_not_plain(opened.st_mode); !what.empty()) {
    skip(what);
    return std::nullopt;
  }
  if (opened.st_size > static_cast<off_t>(kMaxFile)) {
    throw Error(ErrorKind::kDecode,
                path.string() + " is larger than " + std::to_string(kMaxFile) + " bytes");
  }
  return read_all(fd.get(), kMaxFile);
}

void sync(int fd, const fs::path& path) {
  if (fsync(fd) != 0) {
    throw io_error("fsync " + path.string(), errno);
  }
}

// With the folders above it, each as host-local makes it: 0755.
void make_folder(const fs::path& path) {
  if (status_of(path)) {
    return;
  }
  const fs::path parent = path.has_parent_path() ? path.parent_path() : ".";
  make_folder(parent);
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
    throw io_error("mkdir " + path.string(), errno);
  }
  sync_folder(parent);
}

// Puts the file in place whole and durable, or not at all; its name lasts only once the folder is
// synced.
void put_file(const fs::path& folder, const std::string& name, std::string_view body) {
  const fs::path temporary = folder / kTemporaryName;
  // Whatever a crash, or somebody, has left under that name is not written to.
  if (unlink(temporary.c_str()) != 0 && errno != ENOENT) {
    throw io_error("remove " + temporary.string(), errno);
  }
  const UniqueFd fd(
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) {
    throw io_error("create " + temporary.string(), errno);
  }
  if (const int error = write_all(fd.get(), body); error != 0) {
    throw io_error("write " + temporary.string(), error);
  }
  sync(fd.get(), temporary);
  const fs::path path = folder / name;
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    throw io_error("rename to " + path.string(), errno);
  }
}

// What host-local locks in a folder, and where that is.
std::pair<UniqueFd, fs::path> open_lock(const fs::path& folder) {
  fs::path path = folder / kLockName;
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == ENOENT) {
    path = folder;
    fd.reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  if (!fd) {
    throw io_error("open " + path.string(), errno);
  }
  return {std::move(fd), std::move(path)};
}

}  // namespace

std::optional<std::string> HostLocalFolder::stamp() const {
  const auto status = status_of(path_);
  if (!status) {
    return std::nullopt;
  }
  std::string text = std::to_string(status->st_dev);
  text.append(":").append(std::to_string(status->st_ino));
  text.append(":").append(std::to_string(status->st_ctim.tv_sec));
  text.append(".").append(std::to_string(status->st_ctim.tv_nsec));
  return text;
}

bool HostLocalFolder::settled(ClockReading now) const {
  const auto status = status_of(path_);
  if (!status) {
    return false;
  }
  const auto changed = std::chrono::seconds(status->st_ctim.tv_sec) +
                       std::chrono::nanoseconds(status->st_ctim.tv_nsec);
  return now.wall.time_since_epoch() - changed >= kSettling;
}

std::optional<std::string> HostLocalFolder::lock_file() const {
  struct statx status {};
  if (statx(AT_FDCWD, (path_ / kLockName).c_str(), AT_SYMLINK_NOFOLLOW,
            STATX_INO | STATX_CTIME | STATX_BTIME, &status) != 0) {
    return std::nullopt;
  }
  // An inode number may be used again. host-local never writes to the file, so that where the file
  // system does not know when it was made, its last change tells.
  const statx_timestamp& made =
      (status.stx_mask & STATX_BTIME) != 0 ? status.stx_btime : status.stx_ctime;
  return std::to_string(status.stx_ino) + ":" + std::to_string(made.tv_sec) + "." +
         std::to_string(made.tv_nsec);
}

void HostLocalFolder::prepare() const {
  make_folder(path_);
  const fs::path path = path_ / kLockName;
  if (!UniqueFd(
          open(path.c_str(), O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600))) {
    throw io_error("create " + path.string(), errno);
  }
}

UniqueFd HostLocalFolder::lock(Milliseconds timeout) const {
  auto [fd, path] = open_lock(path_);
  if (!flock_within(fd.get(), timeout, path.string())) {
    throw Error(
        ErrorKind::kBusy,
        path.string() + " was locked for " + std::to_string(timeout.count()) + " ms",
        "a host-local process works in that folder or hangs; see who: fuser -v " + path.string());
  }
  return std::move(fd);
}

std::optional<UniqueFd> HostLocalFolder::try_lock() const {
  auto [fd, path] = open_lock(path_);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      throw io_error("lock " + path.string(), errno);
    }
    return std::nullopt;
  }
  return std::move(fd);
}

HostLocalState HostLocalFolder::read() const {
  // Two spellings of one address, or of one range set, may both be there. The one host-local writes
  // today counts.
  std::map<net::Address, HostLocalEntry> entries;
  std::map<int, net::Address> cursors;
  HostLocalState state;
  for_each_item(path_, [&](const fs::path& path, const std::string& name) {
    const auto address = parse_address(name);
    const auto range_set = parse_cursor_name(name);
    if (!address && !range_set) {
      return;
    }
    const auto body = read_item(path, [&](std::string_view why) {
      state.skipped.push_back({.file = path, .why = std::string(why)});
    });
    if (!body) {
      return;
    }
    if (address) {
      auto entry = parse_entry(*address, *body);
      if (name == address->to_string()) {
        entries.insert_or_assign(*address, std::move(entry));
      } else {
        entries.try_emplace(*address, std::move(entry));
      }
    } else if (const auto last = parse_address(trimmed(*body))) {
      if (name == cursor_name(*range_set)) {
        cursors.insert_or_assign(*range_set, *last);
      } else {
        cursors.try_emplace(*range_set, *last);
      }
    }
  });
  std::sort(state.skipped.begin(), state.skipped.end(),
            [](const SkippedFile& a, const SkippedFile& b) { return a.file < b.file; });
  state.entries.reserve(entries.size());
  for (auto& [address, entry] : entries) {
    state.entries.push_back(std::move(entry));
  }
  for (const auto& [range_set, last] : cursors) {
    state.cursors.push_back({.range_set = range_set, .last_reserved = last});
  }
  return state;
}

std::optional<std::chrono::sys_time<Milliseconds>> HostLocalFolder::written_at(
    net::Address address) const {
  const auto status = status_of(path_ / address.to_string(), AT_SYMLINK_NOFOLLOW);
  if (!status || !S_ISREG(status->st_mode)) {
    return std::nullopt;
  }
  const auto written = std::chrono::seconds(status->st_mtim.tv_sec) +
                       std::chrono::nanoseconds(status->st_mtim.tv_nsec);
  return std::chrono::sys_time<Milliseconds>(std::chrono::floor<Milliseconds>(written));
}

// What stands there as it should is left alone, so that one change costs two syncs however many
// files there are.
void HostLocalFolder::write(const HostLocalState& state) const {
  make_folder(path_);
  std::map<std::string, std::string> wanted;
  for (const HostLocalEntry& entry : state.entries) {
    wanted.insert_or_assign(entry.address.to_string(), format_entry(entry));
  }
  for (const HostLocalCursor& cursor : state.cursors) {
    wanted.insert_or_assign(cursor_name(cursor.range_set), cursor.last_reserved.to_string());
  }
  bool is_changed = false;
  for (const auto& [name, body] : wanted) {
    const auto current = read_item(path_ / name, [](std::string_view /*why*/) {});
    if (current != body) {
      put_file(path_, name, body);
      is_changed = true;
    }
  }
  if (std::exchange(is_changed, false)) {
    sync_folder(path_);
  }
  for_each_item(path_, [&](const fs::path& path, const std::string& name) {
    const bool ours = name == kTemporaryName || parse_address(name) || parse_cursor_name(name);
    const auto status =
        ours && !wanted.contains(name) ? status_of(path, AT_SYMLINK_NOFOLLOW) : std::nullopt;
    if (status && !S_ISDIR(status->st_mode)) {
      if (unlink(path.c_str()) != 0) {
        throw io_error("remove " + path.string(), errno);
      }
      is_changed = true;
    }
  });
  if (is_changed) {
    sync_folder(path_);
  }
}

void HostLocalFolder::remove(net::Address address) const {
  const fs::path path = path_ / address.to_string();
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    throw io_error("remove " + path.string(), errno);
  }
}

}  // namespace podlease::host
