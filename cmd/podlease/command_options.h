#ifndef PODLEASE_CMD_COMMAND_OPTIONS_H_
#define PODLEASE_CMD_COMMAND_OPTIONS_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "podlease/base/clock.h"

// How a command declares its options and its help without CLI11's headers. Each file that includes
// those headers adds eight static objects to the start of every process, including those that a pod
// waits for. For the same reason no command registers itself before main: command_line.cpp calls
// each declaration, and only where CNI_COMMAND is unset.
namespace CLI {  // NOLINT(readability-identifier-naming): CLI11 is called so
class App;
class Option;
}  // namespace CLI

namespace podlease::cmd {

struct Context;
class CommandLine;

// What a command does once all arguments are known. Returns the exit status.
using Action = std::function<int(const Context&)>;

// An option that was declared. The methods say what only some options need.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option& required();
  Option& shows_default();
  // What the help calls the value, such as DIR.
  Option& value_name(const char* name);
  // The value, where one is given, has to be a folder that is there.
  Option& existing_folder();
  // The other option has to be given too.
  Option& needs(const Option& other);

 private:
  CLI::Option* option_;
};

// A command, or a group of commands. The values that its methods take by reference must live until
// the action has run, which is easiest if the action owns them by a shared pointer.
class Command {
 public:
  // The command below this one that is called `name`; `about` is its line in the list of commands.
  Command add(const char* name, const char* about);
  // One of the commands below has to be given.
  void is_group();
  // What its help says after the options. A line break at the beginning is left out, so that raw
  // strings can begin at the left margin.
  void details(const char* text);
  // It uses no store, and its help does not mention the options of the root.
  void stands_alone();
  void runs(Action action);

  // An option; a name without dashes is an argument known by its place.
  Option option(const char* names, std::string& value, const char* help);
  Option option(const char* names, std::filesystem::path& value, const char* help);
  Option option(const char* names, int& value, const char* help);
  // It may be given several times, each time with one value.
  Option option(const char* names, std::vector<std::string>& values, const char* help);
  Option option(const char* names, Milliseconds& value, const char* help);
  Option flag(const char* names, bool& value, const char* help);
  Option choice(const char* names, std::string& value, std::vector<std::string> choices,
                const char* help);
  // A duration of at least `shortest`, which is `usual` if the option is given without a value.
  Option interval(const char* names, std::optional<Milliseconds>& value, Milliseconds usual,
                  Milliseconds shortest, const char* help);

 private:
  friend class CommandLine;
  Command(CLI::App* app, CommandLine* line) : app_(app), line_(line) {}

  CLI::App* app_;
  CommandLine* line_;
};

// All commands, below a root whose options every command understands.
class CommandLine {
 public:
  CommandLine(const char* name, const char* about);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  [[nodiscard]] Command root() { return {app_.get(), this}; }
  // What --version prints.
  void version(const char* text);
  // The last line in the help of each command that is not the root and does not stand alone.
  void add_to_details(const char* text);
  // The action that the arguments mean. Where they ask for help, or are wrong, that is printed, and
  // the answer is the exit status: 0 for help, 1 for a complaint.
  [[nodiscard]] std::variant<int, Action> parse(int argc, const char* const* argv);

 private:
  friend class Command;
  std::unique_ptr<CLI::App> app_;
  std::vector<const CLI::App*> standing_alone_;
  Action chosen_;
};

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMAND_OPTIONS_H_
