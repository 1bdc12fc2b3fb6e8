#ifndef PODLEASE_TESTS_FUZZ_SCRATCH_H_
#define PODLEASE_TESTS_FUZZ_SCRATCH_H_

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace podlease {

// A folder below $TMPDIR for as long as it lives. Nothing removes it after a crash; scripts/test
// does.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "podlease-fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      std::abort();
    }
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace podlease

#endif  // PODLEASE_TESTS_FUZZ_SCRATCH_H_
