#ifndef PODLEASE_CMD_CHECKS_H_
#define PODLEASE_CMD_CHECKS_H_

#include <string>
#include <vector>

#include "command.h"

// What a command has checked, and what it found out about each thing.
namespace podlease::cmd {

enum class Health {
  kOk,
  kNote,     // worth knowing
  kWarning,  // worth fixing first: otherwise it may go wrong
  kWrong,    // does not work
};

struct Check {
  Health health = Health::kOk;
  std::string subject;
  std::string finding;
  std::string remedy{};  // may be empty
};

using Checks = std::vector<Check>;

// kTrouble if something is wrong.
[[nodiscard]] int status_of(const Checks& checks);

[[nodiscard]] Json to_json(const Checks& checks);

// For people.
void print(const Checks& checks);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_CHECKS_H_
