#include "podlease/store/registry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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

}  // namespace

void Registry::add(const std::filesystem::path& folder) const {
  const std::string text = read_list(file_);
  const std::vector<std::filesystem::path> known = listed(text);
  const bool is_known = std::find(known.begin(), known.end(), folder) != known.end();
  create_folder(file_.parent_path());
  // O_APPEND and one write a line: processes that add at once do not cut into each other's.
  const int flags = is_known ? O_RDONLY : O_WRONLY | O_APPEND | O_CREAT;
  const UniqueFd fd(open(file_.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd) {
    throw io_error("open " + file_.string(), errno);
  }
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
}

std::vector<std::filesystem::path> Registry::folders() const {
  return listed(read_list(file_));
}

}  // namespace podlease::store
