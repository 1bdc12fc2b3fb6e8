#ifndef PODLEASE_CNI_VERB_H_
#define PODLEASE_CNI_VERB_H_

#include <optional>
#include <string_view>

namespace podlease::cni {

enum class Verb { kAdd, kDel, kCheck, kGc, kStatus, kVersion };

// As CNI_COMMAND spells it: ADD, DEL, …
[[nodiscard]] std::string_view name(Verb verb);
[[nodiscard]] std::optional<Verb> parse_verb(std::string_view text);

}  // namespace podlease::cni

#endif  // PODLEASE_CNI_VERB_H_
