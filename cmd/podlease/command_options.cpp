#include "command_options.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <CLI/CLI.hpp>

#include "podlease/base/duration.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"

// scripts/check sees to it that no other file includes CLI11.
namespace podlease::cmd {
namespace {

Milliseconds duration_of(const char* option, const std::string& text) {
  const std::optional<Milliseconds> duration = parse_duration(text);
  if (!duration) {
    throw CLI::ValidationError(option, in_quotes(text) + " is not a duration, such as 30s");
  }
  return *duration;
}

Milliseconds interval_of(const char* option, const std::string& text, Milliseconds usual,
                         Milliseconds shortest) {
  // CLI11 passes "true" where no value was given.
  const std::optional<Milliseconds> interval =
      text.empty() || text == "true" ? usual : parse_duration(text);
  if (!interval || *interval < shortest) {
    throw CLI::ValidationError(option, in_quotes(text) + " is not a duration of at least " +
                                           format_duration(shortest) + ", such as 30s");
  }
  return *interval;
}

void append_line(CLI::App& command, const std::string& line) {
  const std::string details = command.get_footer();
  command.footer(details + (details.empty() ? "" : "\n") + line);
}

bool has_command(const CLI::App& root, const std::string& name) {
  const std::vector<const CLI::App*> commands =
      root.get_subcommands(std::function<bool(const CLI::App*)>());
  return std::any_of(commands.begin(), commands.end(),
                     [&](const CLI::App* command) { return command->check_name(name); });
}

}  // namespace

Option& Option::required() {
  option_->required();
  return *this;
}

Option& Option::shows_default() {
  option_->capture_default_str();
  return *this;
}

Option& Option::value_name(const char* name) {
  option_->type_name(name);
  return *this;
}

Option& Option::existing_folder() {
  option_->check([](const std::string& folder) {
    std::error_code unknown;
    return std::filesystem::is_directory(folder, unknown) ? "" : folder + " is not a folder";
  });
  return *this;
}

Option& Option::needs(const Option& other) {
  option_->needs(other.option_);
  return *this;
}

Command Command::add(const char* name, const char* about) {
  CLI::App* const command = app_->add_subcommand(name, about);
  command->footer("");  // CLI11 would inherit it
  return {command, line_};
}

void Command::is_group() {
  app_->require_subcommand(1);
}

void Command::details(const char* text) {
  app_->footer(*text == '\n' ? text + 1 : text);
}

void Command::stands_alone() {
  line_->standing_alone_.push_back(app_);
}

void Command::runs(Action action) {
  app_->callback([line = line_, action = std::move(action)] { line->chosen_ = action; });
}

Option Command::option(const char* names, std::string& value, const char* help) {
  return Option(app_->add_option(names, value, help));
}

Option Command::option(const char* names, std::filesystem::path& value, const char* help) {
  return Option(app_->add_option(names, value, help));
}

Option Command::option(const char* names, int& value, const char* help) {
  return Option(app_->add_option(names, value, help));
}

Option Command::option(const char* names, std::vector<std::string>& values, const char* help) {
  return Option(app_->add_option(names, values, help)->allow_extra_args(false));
}

Option Command::option(const char* names, Milliseconds& value, const char* help) {
  return Option(
      app_->add_option_function<std::string>(
              names, [names, &value](const std::string& text) { value = duration_of(names, text); },
              help)
          ->type_name("DURATION"));
}

Option Command::flag(const char* names, bool& value, const char* help) {
  return Option(app_->add_flag(names, value, help));
}

Option Command::choice(const char* names, std::string& value, std::vector<std::string> choices,
                       const char* help) {
  return Option(app_->add_option(names, value, help)->check(CLI::IsMember(std::move(choices))));
}

Option Command::interval(const char* names, std::optional<Milliseconds>& value, Milliseconds usual,
                         Milliseconds shortest, const char* help) {
  return Option(app_->add_option_function<std::string>(
                        names,
                        [=, &value](const std::string& text) {
                          value = interval_of(names, text, usual, shortest);
                        },
                        help)
                    ->expected(0, 1)
                    ->type_name("[INTERVAL]"));
}

CommandLine::CommandLine(const char* name, const char* about)
    : app_(std::make_unique<CLI::App>(about, name)) {
  app_->require_subcommand(1);
  app_->fallthrough();  // the root's options are understood behind a command too
}

CommandLine::~CommandLine() = default;

void CommandLine::version(const char* text) {
  app_->set_version_flag("--version", text, "Show the version");
}

void CommandLine::add_to_details(const char* text) {
  std::vector<CLI::App*> commands = app_->get_subcommands(std::function<bool(CLI::App*)>());
  while (!commands.empty()) {
    CLI::App* const command = commands.back();
    commands.pop_back();
    if (std::find(standing_alone_.begin(), standing_alone_.end(), command) ==
        standing_alone_.end()) {
      append_line(*command, text);
    }
    const std::vector<CLI::App*> below = command->get_subcommands(std::function<bool(CLI::App*)>());
    commands.insert(commands.end(), below.begin(), below.end());
  }
}

std::variant<int, Action> CommandLine::parse(int argc, const char* const* argv) {
  // CLI11 would only say that a command is required.
  if (argc > 1 && *argv[1] != '-' && !has_command(*app_, argv[1])) {
    static_cast<void>(write_all(
        STDERR_FILENO,
        "podlease: there is no command " + in_quotes(argv[1]) + "; podlease --help lists them\n"));
    return 1;
  }
  try {
    app_->parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app_->exit(error) == 0 ? 0 : 1;
  }
  return chosen_;
}

}  // namespace podlease::cmd
