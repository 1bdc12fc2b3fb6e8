#include "checks.h"

#include <algorithm>
#include <iostream>

namespace podlease::cmd {
namespace {

const char* word(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kNote:
      return "note";
    case Health::kWarning:
      return "warning";
    case Health::kWrong:
      return "wrong";
  }
  return "";
}

}  // namespace

int status_of(const Checks& checks) {
  const bool is_wrong = std::any_of(checks.begin(), checks.end(), [](const Check& check) {
    return check.health == Health::kWrong;
  });
  return is_wrong ? kTrouble : kDone;
}

Json to_json(const Checks& checks) {
  Json document = Json::array();
  for (const Check& check : checks) {
    document.push_back({{"health", word(check.health)},
                        {"subject", check.subject},
                        {"finding", check.finding},
                        {"remedy", check.remedy}});
  }
  return document;
}

void print(const Checks& checks) {
  constexpr std::size_t kWidest = 9;
  for (const Check& check : checks) {
    std::string health = word(check.health);
    health.resize(kWidest, ' ');
    std::cout << health << check.subject << ": " << check.finding << '\n';
    if (!check.remedy.empty()) {
      std::cout << std::string(kWidest, ' ') << check.remedy << '\n';
    }
  }
}

}  // namespace podlease::cmd
