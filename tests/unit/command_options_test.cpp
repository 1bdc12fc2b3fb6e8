// How commands declare their options, and what the arguments make of them.

#include "command_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace podlease::cmd {

struct Context {};  // nothing here looks inside

namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What became of a list of arguments.
struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

// A tree of commands like ours: `look`, `print` which stands alone, and `group act`.
struct Tree {
  std::string format = "table";
  Milliseconds timeout{10s};
  bool deep = false;
  bool dead = false;
  int size = 26;
  std::string name;
  std::string node;
  std::filesystem::path folder = "/etc";
  std::vector<std::string> ranges;
  std::optional<Milliseconds> watch;

  Outcome run(std::vector<const char*> arguments) {
    CommandLine line("tool", "It is a tool.");
    declare(line.root());
    line.add_to_details("See the root.");
    arguments.insert(arguments.begin(), "tool");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const auto parsed = line.parse(static_cast<int>(arguments.size()), arguments.data());
    Outcome outcome{.out = testing::internal::GetCapturedStdout(),
                    .err = testing::internal::GetCapturedStderr()};
    const int* const status = std::get_if<int>(&parsed);
    outcome.status = status != nullptr ? *status : std::get<Action>(parsed)(Context{});
    return outcome;
  }

 private:
  void declare(Command root) {
    root.details("Details of the root.");
    root.choice("-o,--output", format, {"table", "json"}, "Print so");

    Command look = root.add("look", "Look at something");
    look.details("\nDetails of look.");
    look.option("NAME", name, "The name").required();
    look.option("--range", ranges, "A range").value_name("CIDR");
    look.option("--folder", folder, "A folder").value_name("DIR").shows_default();
    look.option("--timeout", timeout, "Wait so long");
    look.interval("--watch", watch, 30s, 1s, "Again and again");
    const Option of_node = look.option("--node", node, "A node");
    look.flag("--dead", dead, "It is dead").needs(of_node);
    look.runs([](const Context& /*context*/) { return 7; });

    Command alone = root.add("print", "Print something");
    alone.stands_alone();
    alone.option("--size", size, "The size").shows_default();
    alone.runs([this](const Context& /*context*/) { return size; });

    Command group = root.add("group", "Several commands");
    group.is_group();
    group.details("Details of the group.");
    Command act = group.add("act", "Act");
    act.flag("--deep", deep, "Act deeply");
    act.runs([this](const Context& /*context*/) { return deep ? 9 : 8; });
  }
};

TEST(CommandLineTest, RunsTheCommandThatTheArgumentsName) {
  EXPECT_EQ(Tree().run({"look", "a"}).status, 7);
  EXPECT_EQ(Tree().run({"group", "act"}).status, 8);
  EXPECT_EQ(Tree().run({"group", "act", "--deep"}).status, 9);
  EXPECT_EQ(Tree().run({"print", "--size", "31"}).status, 31);
}

TEST(CommandLineTest, PassesValuesToWhereTheyWereDeclared) {
  Tree tree;
  tree.run({"look", "a", "--folder", "/tmp", "--timeout", "1m30s", "--node", "n", "--dead"});
  EXPECT_EQ(tree.name, "a");
  EXPECT_EQ(tree.folder, "/tmp");
  EXPECT_EQ(tree.timeout, 90s);
  EXPECT_EQ(tree.node, "n");
  EXPECT_TRUE(tree.dead);
}

TEST(CommandLineTest, UnderstandsTheOptionsOfTheRootBehindEachCommand) {
  for (const std::vector<const char*>& arguments :
       std::vector<std::vector<const char*>>{{"-o", "json", "group", "act"},
                                             {"group", "-o", "json", "act"},
                                             {"group", "act", "--output", "json"}}) {
    Tree tree;
    EXPECT_EQ(tree.run(arguments).status, 8);
    EXPECT_EQ(tree.format, "json");
  }
}

TEST(CommandLineTest, TakesOneValueForEachUseOfAList) {
  Tree tree;
  EXPECT_EQ(tree.run({"look", "--range", "10.0.0.0/8", "--range", "fd00::/64", "a"}).status, 7);
  EXPECT_THAT(tree.ranges, ElementsAre("10.0.0.0/8", "fd00::/64"));
  EXPECT_EQ(tree.name, "a") << "what follows a range is the next argument";
}

TEST(CommandLineTest, TakesTheUsualIntervalWhereNoneIsGiven) {
  const std::vector<std::pair<std::vector<const char*>, std::optional<Milliseconds>>> cases{
      {{"look", "a"}, std::nullopt},
      {{"look", "a", "--watch"}, 30s},
      {{"look", "a", "--watch", "1s"}, 1s},
      {{"look", "--watch=2m", "a"}, 2min}};
  for (const auto& [arguments, interval] : cases) {
    Tree tree;
    EXPECT_EQ(tree.run(arguments).status, 7) << arguments.back();
    EXPECT_EQ(tree.watch, interval) << arguments.back();
  }
}

TEST(CommandLineTest, RefusesWhatIsNotADuration) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases{
      {{"look", "a", "--timeout", "soon"}, R"(--timeout: "soon" is not a duration, such as 30s)"},
      {{"look", "a", "--watch", "soon"}, R"("soon" is not a duration of at least 1s, such as 30s)"},
      {{"look", "a", "--watch", "999ms"}, R"("999ms" is not a duration of at least 1s)"}};
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = Tree().run(arguments);
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_THAT(outcome.out, IsEmpty());
  }
}

TEST(CommandLineTest, RefusesWhatIsMissingOrUnknown) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> cases{
      {{}, "subcommand is required"},      {{"group"}, "subcommand is required"},
      {{"look"}, "NAME is required"},      {{"look", "a", "--dead"}, "--dead requires --node"},
      {{"look", "a", "--deep"}, "--deep"}, {{"-o", "yaml", "look", "a"}, "yaml"}};
  for (const auto& [arguments, message] : cases) {
    const Outcome outcome = Tree().run(arguments);
    EXPECT_EQ(outcome.status, 1) << message;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
}

TEST(CommandLineTest, HelpOfACommandHasItsOwnDetailsOnly) {
  const Outcome look = Tree().run({"look", "--help"});
  EXPECT_EQ(look.status, 0);
  EXPECT_THAT(look.out, HasSubstr("\n\nDetails of look.\nSee the root.\n"));
  EXPECT_THAT(look.out, Not(HasSubstr("\n\n\nDetails of look.")));
  EXPECT_THAT(look.out, HasSubstr("--folder DIR=/etc"));
  EXPECT_THAT(look.out, HasSubstr("--timeout DURATION"));
  EXPECT_THAT(look.out, HasSubstr("--watch [INTERVAL]"));
  EXPECT_THAT(look.out, Not(HasSubstr("Details of the root.")));
  const Outcome act = Tree().run({"group", "act", "--help"});
  EXPECT_THAT(act.out, HasSubstr("See the root."));
  EXPECT_THAT(act.out, Not(HasSubstr("Details of the group.")));
}

TEST(CommandLineTest, HelpOfTheRootListsTheCommands) {
  const Outcome root = Tree().run({"--help"});
  EXPECT_EQ(root.status, 0);
  EXPECT_THAT(root.out, HasSubstr("It is a tool."));
  EXPECT_THAT(root.out, HasSubstr("Details of the root."));
  EXPECT_THAT(root.out, HasSubstr("Look at something"));
  EXPECT_THAT(root.out, Not(HasSubstr("See the root.")));
}

TEST(CommandLineTest, ACommandThatStandsAloneDoesNotMentionTheRoot) {
  const Outcome alone = Tree().run({"print", "--help"});
  EXPECT_THAT(alone.out, HasSubstr("--size INT=26"));
  EXPECT_THAT(alone.out, Not(HasSubstr("See the root.")));
}

}  // namespace
}  // namespace podlease::cmd
