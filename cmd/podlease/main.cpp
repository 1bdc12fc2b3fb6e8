#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "command.h"
#include "podlease/base/error.h"
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

constexpr const char* kAbout = R"(podlease leases IP addresses to pods.

With CNI_COMMAND set it is a CNI IPAM plugin, started by the container runtime: put
"ipam": {"type": "podlease", ...} into a network configuration. Without, it shows and mends
what was leased on this node.)";

constexpr const char* kFooter =
    R"(Exit status: 0 done, 1 failed, 2 done and something needs attention.
Debug an attachment by hand: podlease explain < configuration.json)";

int run_command(int argc, char** argv) {
  Context context;
  CLI::App app(kAbout, "podlease");
  app.footer(kFooter);
  app.require_subcommand(1);
  app.fallthrough();
  context.add_options(app);
  add_list(app, context);
  add_show(app, context);
  add_status(app, context);
  add_explain(app, context);
  add_release(app, context);
  add_export(app, context);
  add_version(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kFailed;
  }
  try {
    const int status = context.run();
    std::cout.flush();
    return std::cout ? status : kFailed;
  } catch (const Error& error) {
    std::cerr << "podlease: " << error.what() << '\n';
    if (!error.details().empty()) {
      std::cerr << "  " << error.details() << '\n';
    }
  } catch (const std::exception& exception) {
    std::cerr << "podlease: " << exception.what() << '\n';
  }
  return kFailed;
}

int run(int argc, char** argv) {
  occupy_standard_streams();
  signal(SIGPIPE, SIG_IGN);  // writing to a pipe nobody reads is an error like any other
  if (!read_environment("CNI_COMMAND").value_or("").empty()) {
    const host::LinuxHost host;
    const SystemClock clock;
    return plugin::run({.getenv = read_environment, .host = &host, .clock = &clock});
  }
  return run_command(argc, argv);
}

}  // namespace
}  // namespace podlease::cmd

int main(int argc, char** argv) {
  return podlease::cmd::run(argc, argv);
}
