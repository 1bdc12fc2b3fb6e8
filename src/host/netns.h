#ifndef PODLEASE_HOST_NETNS_H_
#define PODLEASE_HOST_NETNS_H_

#include <sys/stat.h>

#include <filesystem>
#include <optional>

#include "podlease/base/file.h"
#include "podlease/host/host.h"

namespace podlease::host {

// The magic links of this, and not of /proc/self, are of the thread that asks.
inline constexpr auto kOwnNetns = "/proc/thread-self/ns/net";

[[nodiscard]] NetnsId id_of(const struct stat& file);

// A network namespace, opened.
struct OpenNetns {
  UniqueFd fd;
  NetnsId id;
};

// Nothing if the file is none, or cannot be opened. Whatever is not on nsfs is not opened: with a
// device, that alone may have consequences.
[[nodiscard]] std::optional<OpenNetns> open_netns(const std::filesystem::path& path);

// This thread is in the namespace as long as this lives. A process that could not come back would
// take another network for the host's, so it ends instead.
class Excursion {
 public:
  explicit Excursion(const UniqueFd& netns);
  Excursion(const Excursion&) = delete;
  Excursion& operator=(const Excursion&) = delete;
  ~Excursion();

  [[nodiscard]] bool inside() const { return inside_; }

 private:
  std::optional<OpenNetns> home_;
  bool inside_ = false;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_NETNS_H_
