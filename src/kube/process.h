#ifndef PODLEASE_SRC_KUBE_PROCESS_H_
#define PODLEASE_SRC_KUBE_PROCESS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "podlease/kube/client.h"

namespace podlease::kube {

struct Command {
  std::string program;  // without a slash: looked for in $PATH
  std::vector<std::string> args;
  std::vector<std::string> environment;  // NAME=VALUE, all of it
};

struct Outcome {
  std::string exit;      // how it ended: empty is well, else "exit status 1", "signal 9"
  std::string output;    // all of stdout
  std::string messages;  // the end of stderr
};

inline constexpr std::size_t kLargestOutput = 1U << 20U;
inline constexpr std::size_t kLargestMessages = 4096;

// Runs the command, with nothing to read, in a process group of its own; whatever of the group is
// left when the command has ended, or when the deadline comes, is killed. Throws ApiError:
// kTimeout; kIdentity if it cannot be started or prints more than kLargestOutput.
[[nodiscard]] Outcome run(const Command& command, Deadline deadline);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_PROCESS_H_
