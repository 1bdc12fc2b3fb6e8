// The simulated life of a node: podlease's plugin area on a real store file, on a made-up machine,
// through as many random events as asked for, with a model that is checked after each.

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>

#include "life.h"
#include "podlease/base/error.h"

namespace {

namespace fs = std::filesystem;
using podlease::sim::Life;
using podlease::sim::Options;

constexpr std::string_view kUsage =
    R"(Usage: node_life [--seed N] [--events N] [--audit N] [--without CHECK]... [--keep] [--verbose]

Leads one node through N random events (default 200000). The seed decides all of it; without one,
another is drawn, and printed. On failure: what is wrong, the last 50 lines, exit status 1.

  --audit N        read the whole store every N events (default: as many as there are leases);
                   changes nothing about the events
  --without CHECK  do not fail for owners, leases, repeat, return, takeover, whole, range,
                   cooldown, order, early, leak, codes or gc
  --keep           leave the store where it is, and say where
  --verbose        print each event
)";

// A folder in memory that ends with the run.
class Scratch {
 public:
  Scratch() {
    std::string name =
        (fs::is_directory("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
        "podlease-sim-XXXXXX";
    if (mkdtemp(name.data()) == nullptr) {
      throw podlease::io_error("mkdtemp " + name, errno);
    }
    path_ = name;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (keep) {
      return;
    }
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

  bool keep = false;

 private:
  fs::path path_;
};

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number)
                                                                  : std::nullopt;
}

// Nothing if the arguments make no sense.
std::optional<Options> parse_options(int count, char** arguments) {
  Options options;
  options.seed = std::random_device{}();
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    if (name == "--verbose") {
      options.verbose = true;
      continue;
    }
    if (name == "--keep") {
      options.keep = true;
      continue;
    }
    if (i + 1 == count) {
      return std::nullopt;
    }
    const std::string_view value = arguments[++i];
    if (name == "--without") {
      const auto check = podlease::sim::parse_check(value);
      if (!check) {
        return std::nullopt;
      }
      options.ignored.insert(*check);
      continue;
    }
    const std::optional<std::uint64_t> number = parse_number(value);
    if (!number) {
      return std::nullopt;
    }
    if (name == "--seed") {
      options.seed = *number;
    } else if (name == "--events") {
      options.events = *number;
    } else if (name == "--audit") {
      options.audit = *number;
    } else {
      return std::nullopt;
    }
  }
  return options;
}

int live(const Options& options) {
  Scratch scratch;
  scratch.keep = options.keep;
  if (options.keep) {
    std::cout << "node_life: in " << scratch.path().string() << '\n';
  }
  Life life(options, scratch.path());
  std::cout << "node_life: seed " << options.seed << ", " << options.events << " events, "
            << life.describe() << std::endl;
  const auto start = std::chrono::steady_clock::now();
  std::string wrong;
  try {
    life.run();
  } catch (const std::exception& error) {
    wrong = error.what();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (!wrong.empty()) {
    std::cout << "the last lines:\n";
    for (const std::string& line : life.history()) {
      std::cout << "  " << line << '\n';
    }
    std::cout << "FAILED: seed " << options.seed << ", event " << life.event() << ": " << wrong
              << "\n"
              << life.describe() << std::endl;
    return 1;
  }
  std::cout << "node_life: seed " << options.seed << ": nothing wrong in " << life.counts() << ", "
            << static_cast<long>(static_cast<double>(life.event()) / took.count()) << " events/s"
            << std::endl;
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 2 &&
      (std::string_view(arguments[1]) == "--help" || std::string_view(arguments[1]) == "-h")) {
    std::cout << kUsage;
    return 0;
  }
  const std::optional<Options> options = parse_options(count, arguments);
  if (!options) {
    std::cerr << kUsage;
    return 2;
  }
  try {
    return live(*options);
  } catch (const std::exception& error) {
    std::cerr << "node_life: " << error.what() << '\n';
    return 1;
  }
}
