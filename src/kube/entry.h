#ifndef PODLEASE_SRC_KUBE_ENTRY_H_
#define PODLEASE_SRC_KUBE_ENTRY_H_

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"

namespace podlease::kube {

// A map in a kubeconfig, with its path for messages. An absent one has no fields. File and tree
// must outlive it. What has the wrong type throws kConfig; null is absent.
class Entry {
 public:
  Entry(const std::filesystem::path& file, std::string path, const nlohmann::json& json);

  [[nodiscard]] const std::filesystem::path& file() const { return *file_; }
  [[nodiscard]] bool present() const { return !json_->is_null(); }

  // Reports whether the field is there and not empty, whatever its type.
  [[nodiscard]] bool says(std::string_view field) const;

  [[nodiscard]] std::string text(std::string_view field) const;  // empty: absent
  [[nodiscard]] std::string required_text(std::string_view field) const;
  [[nodiscard]] bool flag(std::string_view field) const;  // false: absent
  [[nodiscard]] Entry object(std::string_view field) const;
  [[nodiscard]] const nlohmann::json& list(std::string_view field) const;  // empty: absent

  [[nodiscard]] std::string path_of(std::string_view field) const;

  // kConfig "FILE: PATH WHAT", without the value, which may be a secret.
  [[nodiscard]] Error problem(std::string_view field, std::string_view what,
                              std::string_view details = {}) const;
  // kConfig "FILE: PATH VALUE WHAT", of a text.
  [[nodiscard]] Error error(std::string_view field, std::string_view what,
                            std::string_view details = {}) const;

 private:
  [[nodiscard]] const nlohmann::json& member(std::string_view field) const;

  const std::filesystem::path* file_;
  std::string path_;
  const nlohmann::json* json_;
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_ENTRY_H_
