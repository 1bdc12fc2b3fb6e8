#include "podlease/store/registry.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>
#include <string_view>

#include "lock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

constexpr std::size_t kLargest = 1 << 20;

// Empty where it cannot be read.
std::string read_list(const std::filesystem::path& file) {
  try {
    return read_file(file, kLargest).value_or("");
  } catch (const Error&) {
    return {};
  }
}

// Each folder once, though processes that add at once may both have written it.
std::vector<std::filesystem::path> listed(std::string_view text) {
  std::vector<std::filesystem::path> folders;
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with('/') && std::find(folders.begin(), folders.end(), line) == folders.end()) {
      folders.emplace_back(line);
    }
  }
  return folders;
}

// Certainly: neither it nor anything in its place. What cannot be seen now may be mounted later.
bool is_gone(const std::filesystem::path& folder) {
  struct stat status {};
  return lstat(folder.c_str(), &status) != 0 && errno == ENOENT;
}

bool may_not_write(int error) {
  return error == EACCES || error == EPERM || error == EROFS;
}

// The list, which nobody else changes while the descriptor lives; errno says why there is none. A
// list that was replaced while its lock was waited for is opened anew.
UniqueFd open_locked(const std::filesystem::path& file, int flags) {
  while (true) {
    UniqueFd fd(open(file.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    struct stat opened {};
    struct stat there {};
    if (!fd || flock(fd.get(), LOCK_EX) != 0 || fstat(fd.get(), &opened) != 0) {
      return {};
    }
    if (stat(file.c_str(), &there) == 0 && there.st_ino == opened.st_ino &&
        there.st_dev == opened.st_dev) {
      return fd;
    }
  }
}

// Under the list's lock. It is only tidying.
void rewrite_without_gone(const std::filesystem::path& file) {
  std::string left;
  for (const std::filesystem::path& folder : listed(read_list(file))) {
    left += is_gone(folder) ? std::string() : folder.native() + "\n";
  }
  const std::filesystem::path fresh = file.string() + ".new";
  const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                         S_IRUSR | S_IWUSR));
  if (fd && write_all(fd.get(), left) == 0 && fsync(fd.get()) == 0) {
    static_cast<void>(rename(fresh.c_str(), file.c_str()));
  }
}

}  // namespace

void Registry::forget_gone() const {
  const std::vector<std::filesystem::path> all = listed(read_list(file_));
  if (std::none_of(all.begin(), all.end(), is_gone)) {
    return;
  }
  const UniqueFd list = open_locked(file_, O_RDONLY);
  if (!list) {
    return;  // it is only tidying
  }
  rewrite_without_gone(file_);
}

void Registry::add(const std::filesystem::path& folder) const {
  std::error_code unseen;
  if (!std::filesystem::is_directory(file_.parent_path(), unseen)) {
    try {
      create_folder(file_.parent_path());
    } catch (const Error&) {
      if (may_not_write(errno)) {
        return;
      }
      throw;
    }
  }
  const UniqueFd fd = open_locked(file_, O_WRONLY | O_APPEND | O_CREAT);
  if (!fd && may_not_write(errno)) {
    return;
  }
  if (!fd) {
    throw io_error("open " + file_.string(), errno);
  }
  const std::string text = read_list(file_);
  const std::vector<std::filesystem::path> known = listed(text);
  const bool is_known = std::find(known.begin(), known.end(), folder) != known.end();
  // A full disk may have left half a line, which must not become the start of this one.
  const bool torn = !text.empty() && text.back() != '\n';
  std::string line = torn ? "\n" : "";
  line.append(folder.native()).append("\n");
  const int failed = is_known ? 0 : write_all(fd.get(), line);
  // A known one too: who wrote it may have been killed before it was durable.
  if (failed != 0 || fsync(fd.get()) != 0) {
    throw io_error("write " + file_.string(), failed != 0 ? failed : errno);
  }
  sync_folder(file_.parent_path());
  sync_above(file_.parent_path());
  if (std::any_of(known.begin(), known.end(), is_gone)) {
    rewrite_without_gone(file_);
  }
}

std::vector<std::filesystem::path> Registry::folders() const {
  std::vector<std::filesystem::path> folders = listed(read_list(file_));
  std::erase_if(folders, is_gone);
  return folders;
}

}  // namespace podlease::store
