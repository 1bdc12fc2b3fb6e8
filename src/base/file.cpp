#include "podlease/base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "podlease/base/error.h"

namespace podlease {
namespace {

std::string read_all(int fd, std::size_t limit, const std::string& source) {
  std::string data;
  std::array<char, 16384> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
  while (true) {
    const ssize_t count = read(fd, chunk.data(), chunk.size());
    if (count == 0) {
      return data;
    }
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      throw io_error("read " + source, errno);
    }
    data.append(chunk.data(), static_cast<std::size_t>(count));
    if (data.size() > limit) {
      throw Error(ErrorKind::kDecode,
                  source + " is larger than " + std::to_string(limit) + " bytes");
    }
  }
}

}  // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) {
    close(fd_);
  }
  fd_ = fd;
}

std::string read_all(int fd, std::size_t limit) {
  return read_all(fd, limit, fd == STDIN_FILENO ? "standard input" : "file descriptor");
}

std::optional<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) {
      return std::nullopt;
    }
    throw io_error("open " + path.string(), errno);
  }
  return read_all(fd.get(), limit, path.string());
}

int write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t count = write(fd, data.data(), data.size());
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return errno;
    }
    data.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

void sync_folder(const std::filesystem::path& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) {
    throw io_error("sync " + folder.string(), errno);
  }
}

}  // namespace podlease
