#ifndef PODLEASE_BASE_FILE_H_
#define PODLEASE_BASE_FILE_H_

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace podlease {

// Owns a file descriptor and closes it.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset(std::exchange(other.fd_, -1));
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// All that can be read from `fd` until its end. Throws kIo; kDecode where there is more than
// `limit` bytes.
[[nodiscard]] std::string read_all(int fd, std::size_t limit);

// The whole file, or nothing if it does not exist. Throws kIo; kDecode where it is larger than
// `limit` bytes.
[[nodiscard]] std::optional<std::string> read_file(const std::filesystem::path& path,
                                                   std::size_t limit);

// Writes all of `data`, however many calls it takes. Returns 0, or the errno of the write that
// failed.
[[nodiscard]] int write_all(int fd, std::string_view data);

// Makes the names in `folder` durable. Throws kIo.
void sync_folder(const std::filesystem::path& folder);

}  // namespace podlease

#endif  // PODLEASE_BASE_FILE_H_
