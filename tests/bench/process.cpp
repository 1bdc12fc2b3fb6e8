#include "process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace podlease::bench {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    result.push_back(text.data());
  }
  result.push_back(nullptr);
  return result;
}

std::string describe(const Call& call) {
  std::string text;
  for (const std::string& variable : call.environment) {
    text += variable + " ";
  }
  for (const std::string& word : call.command) {
    text += word + " ";
  }
  return text + "<" + call.input.string();
}

class FileActions {
 public:
  explicit FileActions(const Call& call) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, call.input.c_str(), O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, call.output.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
  }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }

  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

double milliseconds_since(Time start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

Process start(const Call& call) {
  std::vector<std::string> command = call.command;
  std::vector<std::string> environment = call.environment;
  const std::vector<char*> arguments = pointers(command);
  const std::vector<char*> variables = pointers(environment);
  const FileActions actions(call);
  Process process{.id = -1, .started = std::chrono::steady_clock::now()};
  const int failed = posix_spawnp(&process.id, arguments.front(), actions.get(), nullptr,
                                  arguments.data(), variables.data());
  if (failed != 0) {
    throw std::system_error(failed, std::generic_category(), "cannot run " + describe(call));
  }
  return process;
}

Outcome wait(const Process& process) {
  int status = 0;
  while (waitpid(process.id, &status, 0) < 0) {
    if (errno != EINTR) {
      throw std::system_error(errno, std::generic_category(), "waitpid");
    }
  }
  return {.milliseconds = milliseconds_since(process.started),
          .succeeded = WIFEXITED(status) && WEXITSTATUS(status) == 0};
}

double run(const Call& call) {
  const Outcome outcome = wait(start(call));
  if (!outcome.succeeded) {
    throw std::runtime_error("failed: " + describe(call) + "\n" + read_text(call.output));
  }
  return outcome.milliseconds;
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) {
    throw std::runtime_error("cannot read " + file.string());
  }
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

void write_text(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  if (!stream.flush()) {
    throw std::runtime_error("cannot write " + file.string());
  }
}

}  // namespace podlease::bench
