#include "podlease/cni/verb.h"

#include <array>

namespace podlease::cni {

std::string_view name(Verb verb) {
  switch (verb) {
    case Verb::kAdd:
      return "ADD";
    case Verb::kDel:
      return "DEL";
    case Verb::kCheck:
      return "CHECK";
    case Verb::kGc:
      return "GC";
    case Verb::kStatus:
      return "STATUS";
    case Verb::kVersion:
      return "VERSION";
  }
  return "";
}

std::optional<Verb> parse_verb(std::string_view text) {
  constexpr std::array kVerbs{Verb::kAdd, Verb::kDel,    Verb::kCheck,
                              Verb::kGc,  Verb::kStatus, Verb::kVersion};
  for (const Verb verb : kVerbs) {
    if (text == name(verb)) {
      return verb;
    }
  }
  return std::nullopt;
}

}  // namespace podlease::cni
