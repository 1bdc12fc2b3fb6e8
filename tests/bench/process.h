#ifndef PODLEASE_TESTS_BENCH_PROCESS_H_
#define PODLEASE_TESTS_BENCH_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace podlease::bench {

struct Call {
  std::vector<std::string> command;      // the program and its arguments
  std::vector<std::string> environment;  // NAME=VALUE; the whole of it
  std::filesystem::path input;           // standard input
  std::filesystem::path output;          // standard output; overwritten
};

// Of CLOCK_MONOTONIC.
using Time = std::chrono::steady_clock::time_point;

[[nodiscard]] double milliseconds_since(Time start);

struct Process {
  pid_t id;
  Time started;  // just before it was spawned
};

struct Outcome {
  double milliseconds;  // from spawning to reaping
  bool succeeded;
};

// Throws std::runtime_error if the program cannot be run.
[[nodiscard]] Process start(const Call& call);
[[nodiscard]] Outcome wait(const Process& process);

// Runs a call to its end and returns its milliseconds. Throws std::runtime_error with what it said
// if it failed: what fails fast must not pass for fast.
double run(const Call& call);

// Throws std::runtime_error if it cannot be read.
[[nodiscard]] std::string read_text(const std::filesystem::path& file);
void write_text(const std::filesystem::path& file, const std::string& text);

}  // namespace podlease::bench

#endif  // PODLEASE_TESTS_BENCH_PROCESS_H_
