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

// A store that got the descriptor of a closed stdin, stdout or stderr would be overwritten. The
// file opened instead cannot be written, so that printing a result that nobody can read still
// fails.
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
      signal(SIGPIPE, SIG_IGN));  // so that writing to a pipe that nobody reads is an error
  if (!read_environment("CNI_COMMAND").value_or("").empty()) {
    const host::LinuxHost host;
    const SystemClock clock;
    // Nothing is left to clean up, and destructors of static objects would take a tenth of the
    // process's time.
    _exit(plugin::run({.getenv = read_environment, .host = &host, .clock = &clock}));
  }
  return run_command_line(argc, argv);
}

}  // namespace
}  // namespace podlease::cmd

int main(int argc, char** argv) {
  return podlease::cmd::run(argc, argv);
}
