#include "regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "podlease/base/error.h"
#include "podlease/base/file.h"

namespace podlease::kube {

std::string read_regular_file(const std::filesystem::path& path) {
  constexpr std::size_t kLargest = 1U << 20U;
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0) {
    throw io_error("open", errno);
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kIo, "it is not a regular file");
  }
  if (status.st_size > static_cast<off_t>(kLargest)) {
    throw Error(ErrorKind::kDecode, "it is larger than " + std::to_string(kLargest) + " bytes");
  }
  return read_all(fd.get(), kLargest);
}

}  // namespace podlease::kube
