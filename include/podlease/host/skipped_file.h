#ifndef PODLEASE_HOST_SKIPPED_FILE_H_
#define PODLEASE_HOST_SKIPPED_FILE_H_

#include <filesystem>
#include <string>

namespace podlease::host {

// A file that tells nothing, and why: half written, not a plain file, unreadable.
struct SkippedFile {
  std::filesystem::path file;
  std::string why;

  friend bool operator==(const SkippedFile&, const SkippedFile&) = default;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_SKIPPED_FILE_H_
