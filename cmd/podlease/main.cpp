#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <string>

#include "command_line.h"
#include "podlease/plugin/plugin.h"

namespace podlease::cmd {
namespace {

std::optional<std::string> read_environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

// A store opened in the place of a closed stdin, stdout or stderr would be written over. What is
// put there instead cannot be written, so that a result nobody can read is still noticed.
void occupy_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) {
      static_cast<void>(
          open("/dev/null", O_RDONLY | O_CLOEXEC));  // takes the lowest free number: fd
    }
  }
}

int run(int argc, char** argv) {
  occupy_standard_streams();
  static_cast<void>(
      signal(SIGPIPE, SIG_IGN));  // writing to a pipe nobody reads is an error like any other
  if (!read_environment("CNI_COMMAND").value_or("").empty()) {
    const host::LinuxHost host;
    const SystemClock clock;
    // There is nothing left to tidy up, and tearing the process down by hand costs a tenth of its
    // life.
    _exit(plugin::run({.getenv = read_environment, .host = &host, .clock = &clock}));
  }
  return run_command_line(argc, argv);
}

}  // namespace
}  // namespace podlease::cmd

int main(int argc, char** argv) {
  return podlease::cmd::run(argc, argv);
}
