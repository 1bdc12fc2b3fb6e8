// Measures podlease: the program behind scripts/bench. What is compared takes turns, always in the
// same order and in one run, so that whatever else the machine does falls on both alike; what is
// told are medians and their ratios. Nothing fails for being slow.

#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "api_server.h"
#include "podlease/base/file.h"
#include "process.h"
#include "report.h"
#include "subject.h"

namespace podlease::bench {
namespace {

struct Settings {
  std::filesystem::path podlease;
  std::filesystem::path host_local;
  std::filesystem::path other;  // another podlease, to be compared with instead; empty: none
  std::filesystem::path tools;  // the folder of `noop` and `peak`
  std::filesystem::path folder;
  std::filesystem::path netns;
  std::filesystem::path answers;
  bool is_quick = false;
  bool wants_json = false;
};

// Tells on stderr what is being done, and since how many seconds anything is.
void say(const std::string& text) {
  static const Time start = std::chrono::steady_clock::now();
  std::cerr << "bench: " << std::setw(3) << std::lround(milliseconds_since(start) / 1000) << " s  "
            << text << std::endl;
}

// Appends 4 KiB to a file and makes that durable: what a commit costs at least.
class Disk {
 public:
  explicit Disk(const std::filesystem::path& folder)
      : fd_(open((folder / "latency").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
    block_.fill('x');
  }

  [[nodiscard]] double probe() const {
    const Time start = std::chrono::steady_clock::now();
    if (write(fd_.get(), block_.data(), block_.size()) != static_cast<ssize_t>(block_.size()) ||
        fdatasync(fd_.get()) != 0) {
      throw std::system_error(errno, std::generic_category(), "cannot probe the disk");
    }
    return milliseconds_since(start);
  }

 private:
  UniqueFd fd_;
  std::array<char, 4096> block_{};
};

// Milliseconds of each call.
struct Times {
  std::vector<double> add;
  std::vector<double> del;
};

struct Rounds {
  std::vector<double> disk;
  std::vector<double> noop;
  std::vector<Times> of;  // each subject
};

struct Burst {
  double milliseconds = 0;
  std::size_t failed = 0;
  std::size_t twice = 0;  // addresses given more than once
};

class Bench {
 public:
  explicit Bench(Settings settings) : settings_(std::move(settings)), disk_(settings_.folder) {}

  [[nodiscard]] Report run() {
    describe();
    starts();
    leases();
    if (!compares()) {
      flatness();
    }
    host_scope();
    crowds();
    work();
    sizes();
    return std::move(report_);
  }

 private:
  [[nodiscard]] bool compares() const { return !settings_.other.empty(); }
  [[nodiscard]] std::string peer() const { return compares() ? "other" : "host-local"; }
  // `full` many, or as few as tell that all of it works.
  [[nodiscard]] int times(int full, int quick) const { return settings_.is_quick ? quick : full; }

  Section& section(const std::string& title) {
    say(title);
    return report_.sections.emplace_back(Section{.title = title});
  }

  [[nodiscard]] Subject subject(const std::string& name, const Filling& filling) {
    const bool is_peer = name == peer();
    const Plugin plugin = is_peer && !compares() ? Plugin::kHostLocal : Plugin::kPodlease;
    const std::filesystem::path& program = !is_peer     ? settings_.podlease
                                           : compares() ? settings_.other
                                                        : settings_.host_local;
    Subject made(name, plugin, program, settings_.folder / std::to_string(++folders_), filling,
                 settings_.netns, settings_.answers);
    if (plugin == Plugin::kPodlease) {
      // Folds the log of the filling into the file, which is the work of nobody that is measured.
      const std::string id = next_container_id();
      bench::run(made.call("ADD", id));
      bench::run(made.call("DEL", id));
    }
    return made;
  }

  // Runs a program that is no plugin.
  [[nodiscard]] Call plain(const std::filesystem::path& program) const {
    return {.command = {program.string()},
            .environment = {},
            .input = "/dev/null",
            .output = settings_.answers / "last"};
  }

  // Two builds of podlease are so alike that who goes first would tell: they change places.
  [[nodiscard]] std::size_t whose(std::size_t turn, int round, std::size_t count) const {
    return compares() && round % 2 != 0 ? count - 1 - turn : turn;
  }

  // In each round the disk, the no-op, then ADD and DEL of each subject. Two rounds come before
  // those that count, unless these are so few that a call must take long.
  [[nodiscard]] Rounds alternate(const std::vector<Subject>& subjects, int rounds) {
    const Call noop = plain(settings_.tools / "noop");
    Rounds result{.disk = {}, .noop = {}, .of = std::vector<Times>(subjects.size())};
    for (int round = rounds < 10 ? 0 : -2; round < rounds; ++round) {
      const double disk = disk_.probe();
      const double nothing = bench::run(noop);
      if (round >= 0) {
        result.disk.push_back(disk);
        result.noop.push_back(nothing);
      }
      for (std::size_t turn = 0; turn < subjects.size(); ++turn) {
        const std::size_t index = whose(turn, round, subjects.size());
        const std::string id = next_container_id();
        const double add = bench::run(subjects[index].call("ADD", id));
        const double del = bench::run(subjects[index].call("DEL", id));
        if (round >= 0) {
          result.of[index].add.push_back(add);
          result.of[index].del.push_back(del);
        }
      }
    }
    return result;
  }

  void describe() {
    utsname system{};
    uname(&system);
    std::array<double, 1> load{};
    const bool has_load = getloadavg(load.data(), 1) == 1;
    std::ostringstream machine;
    machine << std::thread::hardware_concurrency() << " CPUs, Linux " << system.release;
    if (has_load) {
      machine << ", load " << load.front() << (load.front() > 0.5 ? " (busy: expect noise)" : "");
    }
    report_.circumstances = {
        {"machine", machine.str()},
        {"folder", settings_.folder.string()},
        {"podlease", settings_.podlease.string()},
        {peer(), (compares() ? settings_.other : settings_.host_local).string()},
        {"run", settings_.is_quick ? "quick: few repeats" : "full"}};
  }

  void starts() {
    Section& section = this->section("Start: VERSION, against a static program that does nothing");
    std::vector<Subject> subjects;
    subjects.push_back(subject("podlease", {}));
    subjects.push_back(subject(peer(), {}));
    const Call noop = plain(settings_.tools / "noop");
    std::vector<double> noops;
    std::array<std::vector<double>, 2> samples;
    for (int round = 0; round < times(300, 60); ++round) {
      noops.push_back(bench::run(noop));
      for (std::size_t turn = 0; turn < subjects.size(); ++turn) {
        const std::size_t index = whose(turn, round, subjects.size());
        samples.at(index).push_back(bench::run(subjects[index].call("VERSION", "none")));
      }
    }
    section.figures.push_back(against_noop("VERSION", samples[0], noops));
    section.figures.push_back(against_peer("VERSION", samples[0], samples[1]));
  }

  [[nodiscard]] static Figure against_noop(const std::string& what, const std::vector<double>& own,
                                           const std::vector<double>& noop) {
    return {.what = what,
            .value = median(own),
            .unit = "ms",
            .against = "no-op",
            .other = median(noop),
            .ratio = median(own) / median(noop)};
  }

  // How many times as fast podlease is; as slow, where its peer is another podlease.
  [[nodiscard]] Figure against_peer(const std::string& what, const std::vector<double>& own,
                                    const std::vector<double>& other) const {
    const double ratio = median(own) / median(other);
    return {.what = what,
            .value = median(own),
            .unit = "ms",
            .against = peer(),
            .other = median(other),
            .ratio = compares() ? ratio : 1 / ratio};
  }

  void leases() {
    struct Level {
      std::string name;
      Filling filling;
      int rounds;
      std::optional<double> floor;  // how many times as fast as host-local
      bool is_for_quick = true;
    };
    constexpr std::uint64_t kNearlyFull = 65'000;
    const int usual = times(150, 25);
    std::vector<Level> levels{
        {.name = "no leases", .filling = {}, .rounds = usual, .floor = 3},
        {.name = "100 leases", .filling = {.leased = 100}, .rounds = usual, .floor = 4},
        {.name = "250 leases", .filling = {.leased = 250}, .rounds = usual, .floor = 5},
        {.name = "1,000 leases",
         .filling = {.leased = 1000},
         .rounds = compares() ? usual : times(60, 10),
         .floor = {}},
        {.name = "10,000 leases",
         .filling = {.leased = 10'000},
         .rounds = compares() ? usual : 15,
         .floor = 80,
         .is_for_quick = false},
        {.name = "65,000 leases in a /16",
         .filling = {.leased = kNearlyFull, .freed = kUsableIn16 - kNearlyFull},
         .rounds = compares() ? usual : 5,
         .floor = 400,
         .is_for_quick = false}};
    if (compares()) {
      levels.push_back({.name = "65,000 freed addresses",
                        .filling = {.leased = 100, .freed = kUsableIn16 - 100},
                        .rounds = usual,
                        .floor = {}});
    }
    Section& section = this->section("ADD and DEL, durable, against " + peer() +
                                     (compares() ? " (ratio: ours / other)"
                                                 : ", which syncs nothing (ratio: how many times "
                                                   "as fast)"));
    for (const Level& level : levels) {
      if (settings_.is_quick && !level.is_for_quick) {
        continue;
      }
      say("  " + level.name);
      std::vector<Subject> subjects;
      subjects.push_back(subject("podlease", level.filling));
      subjects.push_back(subject(peer(), level.filling));
      const Rounds rounds = alternate(subjects, level.rounds);
      for (const auto& [verb, times_of] :
           {std::pair("ADD, ", &Times::add), std::pair("DEL, ", &Times::del)}) {
        const std::vector<double>& own = rounds.of[0].*times_of;
        const std::string what = verb + level.name;
        // Few rounds tell nothing of a difference this small, and `flatness` tells it anyway.
        if (level.rounds == usual) {
          Figure figure = against_noop(what, own, rounds.noop);
          figure.floor = at_most(2.6);
          figure.disk_latency = median(rounds.disk);
          section.figures.push_back(std::move(figure));
        }
        Figure figure = against_peer(what, own, rounds.of[1].*times_of);
        if (level.floor && !compares()) {
          figure.floor = at_least(*level.floor);
        }
        figure.disk_latency = median(rounds.disk);
        section.figures.push_back(std::move(figure));
      }
    }
  }

  // Against itself with 100 leases, all in turn.
  void flatness() {
    struct Level {
      std::string name;
      Filling filling;
      bool has_floor = false;
      bool is_for_quick = true;
    };
    constexpr const char* kV4 = "10.0.0.0/8";
    constexpr const char* kV6 = "fd00:10::/64";
    const std::vector<Level> levels{
        {.name = "100 leases", .filling = {.subnet = kV4, .leased = 100}},
        {.name = "100,000 leases", .filling = {.subnet = kV4, .leased = 100'000}},
        {.name = "1,000,000 leases",
         .filling = {.subnet = kV4, .leased = 1'000'000},
         .has_floor = true,
         .is_for_quick = false},
        {.name = "100,000 IPv6 leases",
         .filling = {.subnet = kV6, .leased = 100'000},
         .is_for_quick = false},
        {.name = "1,000,000 IPv6 leases",
         .filling = {.subnet = kV6, .leased = 1'000'000},
         .has_floor = true,
         .is_for_quick = false},
        {.name = "65,000 freed addresses",
         .filling = {.leased = 100, .freed = kUsableIn16 - 100},
         .has_floor = true}};
    Section& section = this->section("Flat: against podlease itself with 100 leases");
    std::vector<Subject> subjects;
    std::vector<const Level*> taken;
    for (const Level& level : levels) {
      if (level.is_for_quick || !settings_.is_quick) {
        say("  filling in " + level.name);
        subjects.push_back(subject("podlease", level.filling));
        taken.push_back(&level);
      }
    }
    say("  measuring");
    const Rounds rounds = alternate(subjects, times(150, 25));
    for (const auto& [verb, times_of] :
         {std::pair("ADD, ", &Times::add), std::pair("DEL, ", &Times::del)}) {
      const double base = median(rounds.of[0].*times_of);
      for (std::size_t index = 1; index < subjects.size(); ++index) {
        const double value = median(rounds.of[index].*times_of);
        Figure figure{.what = verb + taken[index]->name,
                      .value = value,
                      .unit = "ms",
                      .against = "100 leases",
                      .other = base,
                      .ratio = value / base,
                      .disk_latency = median(rounds.disk)};
        if (taken[index]->has_floor && times_of == &Times::add) {
          figure.floor = at_most(1.10);
        }
        section.figures.push_back(std::move(figure));
      }
    }
    for (std::size_t index = 0; index < subjects.size(); ++index) {
      section.figures.push_back(memory("peak memory, " + taken[index]->name, subjects[index]));
    }
  }

  // The Node's podCIDR, against the same range in the configuration.
  void host_scope() {
    Section& section = this->section("The Node's podCIDR, against static ranges");
    const Filling fixed{.leased = 100};
    const ApiServer api(settings_.folder, fixed.subnet);
    const Filling warm{.leased = 100, .kubeconfig = api.kubeconfig()};
    const Filling cold{.leased = 100, .kubeconfig = api.kubeconfig(), .refresh = "0s"};
    std::vector<Subject> subjects;
    for (const Filling& filling : {fixed, warm, cold}) {
      subjects.push_back(subject("podlease", filling));
    }
    const Rounds rounds = alternate(subjects, times(150, 25));
    const double base = median(rounds.of[0].add);
    const auto figure = [&](const std::string& what, std::size_t index) {
      const double value = median(rounds.of[index].add);
      return Figure{.what = what,
                    .value = value,
                    .unit = "ms",
                    .against = "static",
                    .other = base,
                    .ratio = value / base,
                    .disk_latency = median(rounds.disk)};
    };
    section.figures.push_back(figure("ADD, the Node remembered", 1));
    section.figures.back().floor = at_most(1.10);
    section.figures.push_back(figure("ADD that reads the Node, TLS on loopback", 2));
  }

  void crowds() {
    const int count = times(500, 200);
    const std::string many = std::to_string(count) + " ADDs ";
    Section& section = this->section("Many at once on one store");
    std::map<std::string, std::vector<double>> at_once;
    std::map<std::string, std::vector<double>> in_turn;
    std::size_t failed = 0;
    std::size_t twice = 0;
    std::vector<double> disk;
    for (int round = 0; round < times(3, 1); ++round) {
      for (const std::string& name : {std::string("podlease"), peer()}) {
        for (const bool is_at_once : {true, false}) {
          disk.push_back(disk_.probe());
          const Burst burst = this->burst(subject(name, {}), count, is_at_once);
          (is_at_once ? at_once : in_turn)[name].push_back(burst.milliseconds);
          if (name == "podlease") {
            failed += burst.failed;
            twice += burst.twice;
          }
        }
      }
    }
    const double own = median(at_once["podlease"]);
    const double other = median(at_once[peer()]);
    const double own_in_turn = median(in_turn["podlease"]);
    section.figures = {{.what = many + "at once",
                        .value = own,
                        .unit = "ms",
                        .against = "one after another",
                        .other = own_in_turn,
                        .ratio = own / own_in_turn,
                        .floor = at_most(1),
                        .disk_latency = median(disk)},
                       {.what = many + "at once",
                        .value = own,
                        .unit = "ms",
                        .against = peer(),
                        .other = other,
                        .ratio = own / other,
                        .floor = compares() ? std::nullopt : std::optional(at_most(0.25)),
                        .disk_latency = median(disk)},
                       {.what = many + "one after another",
                        .value = own_in_turn,
                        .unit = "ms",
                        .against = peer(),
                        .other = median(in_turn[peer()]),
                        .ratio = own_in_turn / median(in_turn[peer()]),
                        .disk_latency = median(disk)},
                       {.what = "ADDs that failed",
                        .value = static_cast<double>(failed),
                        .unit = "",
                        .floor = exactly(0)},
                       {.what = "addresses given twice",
                        .value = static_cast<double>(twice),
                        .unit = "",
                        .floor = exactly(0)}};
    rush(section, median(disk));
  }

  [[nodiscard]] Burst burst(const Subject& subject, int count, bool at_once) const {
    const std::string first = next_container_id();
    bench::run(subject.call("ADD", first));  // makes the store
    bench::run(subject.call("DEL", first));
    std::vector<Call> calls;
    for (int number = 0; number < count; ++number) {
      calls.push_back(subject.call("ADD", next_container_id()));
      calls.back().output = settings_.answers / std::to_string(number);
    }
    std::vector<bool> succeeded;
    const Time start = std::chrono::steady_clock::now();
    if (at_once) {
      std::vector<Process> processes;
      processes.reserve(calls.size());
      for (const Call& call : calls) {
        processes.push_back(bench::start(call));
      }
      for (const Process& process : processes) {
        succeeded.push_back(wait(process).succeeded);
      }
    } else {
      for (const Call& call : calls) {
        succeeded.push_back(wait(bench::start(call)).succeeded);
      }
    }
    Burst result{.milliseconds = milliseconds_since(start)};
    std::set<std::string> addresses;
    for (std::size_t number = 0; number < calls.size(); ++number) {
      if (!succeeded[number]) {
        ++result.failed;
        say("failed: " + read_text(calls[number].output));
        continue;
      }
      const auto answer = nlohmann::json::parse(read_text(calls[number].output));
      const auto address = answer.at("ips").at(0).at("address").get<std::string>();
      result.twice += addresses.insert(address).second ? 0U : 1U;
    }
    return result;
  }

  // Does nobody wait for long, however many others push in?
  void rush(Section& section, double disk_latency) {
    struct Worker {
      double longest = 0;
      int calls = 0;
      int failed = 0;
    };
    constexpr std::size_t kWorkers = 64;
    const std::chrono::seconds duration(times(4, 1));
    std::map<std::string, Worker> all;
    for (const std::string& name : {std::string("podlease"), peer()}) {
      const Subject subject = this->subject(name, {});
      std::vector<Worker> workers(kWorkers);
      std::vector<std::thread> threads;
      const Time end = std::chrono::steady_clock::now() + duration;
      for (std::size_t index = 0; index < kWorkers; ++index) {
        threads.emplace_back([&, index] {
          Worker& worker = workers[index];
          while (std::chrono::steady_clock::now() < end) {
            const std::string id = next_container_id();
            for (const char* const verb : {"ADD", "DEL"}) {
              Call call = subject.call(verb, id);
              call.output = settings_.answers / ("worker" + std::to_string(index));
              try {
                const Outcome outcome = wait(bench::start(call));
                worker.longest = std::max(worker.longest, outcome.milliseconds);
                worker.failed += outcome.succeeded ? 0 : 1;
              } catch (const std::exception&) {
                ++worker.failed;
              }
              ++worker.calls;
            }
          }
        });
      }
      for (std::thread& thread : threads) {
        thread.join();
      }
      Worker& sum = all[name];
      for (const Worker& worker : workers) {
        sum.longest = std::max(sum.longest, worker.longest);
        sum.calls += worker.calls;
        sum.failed += worker.failed;
      }
    }
    const Worker& own = all["podlease"];
    const Worker& other = all[peer()];
    const std::string what =
        "64 workers, " + std::to_string(duration.count()) + " s of ADD and DEL: ";
    section.figures.push_back({.what = what + "longest call",
                               .value = own.longest,
                               .unit = "ms",
                               .against = peer(),
                               .other = other.longest,
                               .floor = at_most(500),
                               .disk_latency = disk_latency});
    section.figures.push_back({.what = what + "calls",
                               .value = static_cast<double>(own.calls),
                               .unit = "",
                               .against = peer(),
                               .other = other.calls});
    section.figures.push_back({.what = what + "failed",
                               .value = static_cast<double>(own.failed),
                               .unit = "",
                               .against = peer(),
                               .other = other.failed,
                               .floor = exactly(0)});
  }

  // What is counted rather than timed, so that the machine's mood has no part in it.
  void work() {
    Section& section = this->section("Work, counted on a store with 100 leases");
    const Subject own = subject("podlease", {.leased = 100});
    const Subject other = subject(peer(), {.leased = 100});
    using Counts = std::map<std::string, std::vector<double>>;
    const auto count = [&](const Subject& subject) {
      Counts counts;
      for (int round = 0; round < times(20, 3); ++round) {
        const std::string id = next_container_id();
        for (const char* const step : {"ADD", "ADD again", "CHECK", "STATUS", "DEL", "DEL again"}) {
          const std::string verb = std::string(step).substr(0, std::string(step).find(' '));
          counts[step].push_back(syncs(subject.call(verb, id)));
        }
      }
      return counts;
    };
    Counts owns = count(own);
    Counts others;
    if (compares()) {
      others = count(other);
    }
    for (const auto& [step, samples] : owns) {
      const bool changes = step == "ADD" || step == "DEL";
      Figure figure{.what = "syncs of " + step,
                    .value = median(samples),
                    .unit = "",
                    .floor = exactly(changes ? 1 : 0)};
      // Now and then a call folds the log into the file, and syncs for that too.
      figure.against = compares() ? peer() : "mean, with checkpoints";
      figure.other = compares() ? median(others[step]) : mean(samples);
      section.figures.push_back(std::move(figure));
    }
    const int adds = times(20, 3);
    const auto count_instructions = [&](const Subject& subject) {
      std::vector<double> samples;
      samples.reserve(static_cast<std::size_t>(adds));
      for (int round = 0; round < adds; ++round) {
        samples.push_back(instructions(subject.call("ADD", next_container_id())));
      }
      return mean(samples);
    };
    Figure figure{.what = "instructions of ADD, mean of " + std::to_string(adds),
                  .value = count_instructions(own),
                  .unit = "",
                  .floor = at_most(550'000)};
    if (compares()) {
      figure.against = peer();
      figure.other = count_instructions(other);
      figure.ratio = figure.value / *figure.other;
      figure.floor.reset();
    }
    section.figures.push_back(figure);
  }

  [[nodiscard]] static double mean(const std::vector<double>& samples) {
    return std::accumulate(samples.begin(), samples.end(), 0.0) /
           static_cast<double>(samples.size());
  }

  [[nodiscard]] static Call under(const std::vector<std::string>& tool, Call call) {
    call.command.insert(call.command.begin(), tool.begin(), tool.end());
    return call;
  }

  [[nodiscard]] double syncs(const Call& call) const {
    const std::filesystem::path log = settings_.answers / "strace";
    bench::run(under({"strace", "-f", "-c", "-o", log.string(), "-e",
                      "trace=fsync,fdatasync,sync,syncfs,sync_file_range,msync", "--"},
                     call));
    // % time, seconds, usecs/call, calls, errors if there are any, name.
    std::istringstream lines(read_text(log));
    double sum = 0;
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::vector<std::string> row;
      for (std::string word; words >> word;) {
        row.push_back(word);
      }
      if (row.size() >= 5 && row.back().find("sync") != std::string::npos) {
        sum += std::stod(row[3]);
      }
    }
    return sum;
  }

  [[nodiscard]] double instructions(const Call& call) const {
    const std::filesystem::path log = settings_.answers / "callgrind";
    bench::run(under({"valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--vgdb=no",
                      "--log-file=" + log.string()},
                     call));
    const std::string text = read_text(log);
    constexpr std::string_view kMark = "Collected :";
    const std::size_t at = text.find(kMark);
    if (at == std::string::npos) {
      throw std::runtime_error("callgrind did not count: " + text);
    }
    return std::stod(text.substr(at + kMark.size()));
  }

  // The larger of an ADD's and its DEL's.
  [[nodiscard]] double peak(const Subject& subject) const {
    const std::filesystem::path file = settings_.answers / "peak";
    const std::string id = next_container_id();
    double largest = 0;
    for (const char* const verb : {"ADD", "DEL"}) {
      bench::run(
          under({(settings_.tools / "peak").string(), file.string()}, subject.call(verb, id)));
      largest = std::max(largest, std::stod(read_text(file)));
    }
    return largest;
  }

  [[nodiscard]] Figure memory(const std::string& what, const Subject& subject) const {
    return {.what = what, .value = peak(subject), .unit = "KiB", .floor = at_most(4096)};
  }

  void sizes() {
    Section& section = this->section("Size");
    const auto size = [](const Subject& subject) {
      return static_cast<double>(std::filesystem::file_size(subject.program())) / 1024;
    };
    const Subject own = subject("podlease", {.leased = 100});
    const Subject other = subject(peer(), {.leased = 100});
    section.figures.push_back(memory("peak memory of ADD and DEL", own));
    section.figures.back().against = peer();
    section.figures.back().other = peak(other);
    section.figures.push_back({.what = "binary",
                               .value = size(own),
                               .unit = "KiB",
                               .against = peer(),
                               .other = size(other),
                               .floor = at_most(10.0 * 1024)});
  }

  Settings settings_;
  Disk disk_;
  Report report_;
  int folders_ = 0;
};

// What is measured on a file system in memory would not be durable.
void refuse_memory(const std::filesystem::path& folder) {
  constexpr long kTmpfs = 0x01021994;
  constexpr long kRamfs = 0x858458f6;
  struct statfs status {};
  if (statfs(folder.c_str(), &status) != 0) {
    throw std::system_error(errno, std::generic_category(), folder.string());
  }
  if (status.f_type == kTmpfs || status.f_type == kRamfs) {
    throw std::runtime_error(folder.string() + " is in memory: choose a folder on a disk");
  }
}

Settings parse(int argc, char** argv) {
  Settings settings;
  const std::map<std::string, std::filesystem::path*> paths{
      {"podlease", &settings.podlease}, {"host-local", &settings.host_local},
      {"other", &settings.other},       {"tools", &settings.tools},
      {"folder", &settings.folder},     {"netns", &settings.netns},
      {"answers", &settings.answers}};
  const std::map<std::string, bool*> flags{{"quick", &settings.is_quick},
                                           {"json", &settings.wants_json}};
  for (int index = 1; index < argc; ++index) {
    const std::string argument(argv[index]);
    const std::string name = argument.starts_with("--") ? argument.substr(2) : "";
    if (const auto flag = flags.find(name); flag != flags.end()) {
      *flag->second = true;
    } else if (const auto path = paths.find(name); path != paths.end() && index + 1 < argc) {
      *path->second = argv[++index];
    } else {
      throw std::invalid_argument(argument +
                                  ": for the arguments see scripts/bench, which runs this");
    }
  }
  return settings;
}

}  // namespace
}  // namespace podlease::bench

int main(int argc, char** argv) {
  try {
    const podlease::bench::Settings settings = podlease::bench::parse(argc, argv);
    podlease::bench::refuse_memory(settings.folder);
    const podlease::bench::Report report = podlease::bench::Bench(settings).run();
    (settings.wants_json ? podlease::bench::print_json : podlease::bench::print_table)(report,
                                                                                       std::cout);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "bench: " << error.what() << "\n";
    return 1;
  }
}
