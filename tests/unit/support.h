#ifndef PODLEASE_TESTS_UNIT_SUPPORT_H_
#define PODLEASE_TESTS_UNIT_SUPPORT_H_

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

#include "podlease/base/error.h"
#include "podlease/base/file.h"

// What the tests of every area need. It knows area base only.
namespace podlease::support {

// The error `function` ends with; any other exception than ours fails the test by itself.
template <typename Function>
std::optional<Error> error_of(const Function& function) {
  try {
    function();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

inline std::string all_of(const Error& error) {
  return std::string(error.what()) + " | " + error.details();
}

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw io_error("pipe", errno);
    }
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
  }
  UniqueFd read_end;
  UniqueFd write_end;
};

// A folder that ends with the test, also where the test took its permissions away.
class TempFolder {
 public:
  TempFolder() : TempFolder(std::filesystem::temp_directory_path()) {}
  explicit TempFolder(const std::filesystem::path& parent) {
    std::string name = (parent / "podlease-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw io_error("mkdtemp " + name, errno);
    }
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace podlease::support

#endif  // PODLEASE_TESTS_UNIT_SUPPORT_H_
