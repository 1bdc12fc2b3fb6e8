#ifndef PODLEASE_STORE_REGISTRY_H_
#define PODLEASE_STORE_REGISTRY_H_

#include <filesystem>
#include <utility>
#include <vector>

namespace podlease::store {

// The list of every folder on this node that ever held a store, one path a line, by which a DEL
// whose configuration no longer says where its lease is finds it. It lies at a fixed place,
// whatever `dataDir` says.
class Registry {
 public:
  explicit Registry(std::filesystem::path file) : file_(std::move(file)) {}

  // Durable once it returns. Where the caller may not write the list, as a user without rights on
  // the host, it stays as it is. Throws kIo.
  void add(const std::filesystem::path& folder) const;
  // Takes folders that are gone off the list, where it can be written. For commands.
  void forget_gone() const;
  // Those that are there, in the order they were added. An unreadable list counts as empty: DEL
  // goes on without it.
  [[nodiscard]] std::vector<std::filesystem::path> folders() const;

 private:
  std::filesystem::path file_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_REGISTRY_H_
