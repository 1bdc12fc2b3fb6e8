#ifndef PODLEASE_CNI_VERSION_H_
#define PODLEASE_CNI_VERSION_H_

#include <array>
#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "podlease/cni/verb.h"

namespace podlease::cni {

// A version of the CNI specification that podlease speaks. Ordered.
class Version {
 public:
  // Nothing for a version we do not speak. An empty text is 0.1.0, the version that had no such
  // key.
  [[nodiscard]] static std::optional<Version> parse(std::string_view text);
  [[nodiscard]] static constexpr Version newest() { return Version(kSpoken.size() - 1); }

  [[nodiscard]] constexpr std::string_view to_string() const { return kSpoken.at(index_); }

  // The first version that has the verb: CHECK 0.4.0, GC and STATUS 1.1.0.
  [[nodiscard]] static Version first_with(Verb verb);

  friend constexpr auto operator<=>(const Version&, const Version&) = default;

  // Ascending.
  static constexpr std::array<std::string_view, 7> kSpoken{"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                                           "0.4.0", "1.0.0", "1.1.0"};

 private:
  constexpr explicit Version(std::size_t index) : index_(index) {}

  std::size_t index_;
};

// The version of the configuration for this verb. Throws kVersion if we do not speak it, or if it
// has no such verb. DEL must always succeed, so there what we do not speak counts as the newest.
[[nodiscard]] Version negotiate(std::string_view cni_version, Verb verb);

// The answer to VERSION (specification 1.1.0, "VERSION: probe plugin version support").
[[nodiscard]] std::string version_answer();

}  // namespace podlease::cni

#endif  // PODLEASE_CNI_VERSION_H_
