#ifndef PODLEASE_CMD_COMMAND_LINE_H_
#define PODLEASE_CMD_COMMAND_LINE_H_

namespace podlease::cmd {

// podlease without CNI_COMMAND: parses the arguments, runs the subcommand, prints its errors.
// Returns the exit status.
[[nodiscard]] int run_command_line(int argc, char** argv);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMAND_LINE_H_
