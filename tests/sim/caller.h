#ifndef PODLEASE_TESTS_SIM_CALLER_H_
#define PODLEASE_TESTS_SIM_CALLER_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "machine.h"
#include "podlease/base/file.h"
#include "podlease/ipam/leases.h"
#include "podlease/net/prefix.h"

// The runtime's side of a call: environment and stdin in, a document and an exit status out.
namespace podlease::sim {

struct Call {
  std::string verb;
  std::string container;
  std::string ifname;
  std::string netns;     // empty: not set
  std::string args;      // CNI_ARGS
  std::string input;     // stdin
  std::size_t view = 0;  // from where it is made
};

struct Answer {
  bool crashed = false;  // the plugin was killed: nobody knows how far it came
  int status = -1;
  std::string output;

  [[nodiscard]] bool succeeded() const { return !crashed && status == 0; }
  // The CNI error code; 0 if there is no error document.
  [[nodiscard]] int code() const;
  // Of a result of 0.3.0 or newer.
  [[nodiscard]] std::vector<net::Prefix> addresses() const;
  [[nodiscard]] std::string in_short() const;
};

// How a call is cut short. All but the first run in a process of their own.
struct Crash {
  enum class Kind {
    kNone,
    kAtQuestion,  // at the n-th question to the machine
    kAtWrite,     // at the first write beyond `n` bytes of a file of the store
    kAtAnswer,    // when it writes the answer: all is committed
    kDiskFull,    // not killed, but no file may grow beyond `n` bytes
  };
  Kind kind = Kind::kNone;
  std::size_t n = 0;
};

class Caller {
 public:
  Caller(const std::filesystem::path& folder, Hook& hook, SimHost& host, SimClock& clock);

  [[nodiscard]] Answer call(const Call& call);
  // Into a descriptor that nobody will read from.
  [[nodiscard]] Answer call_into(int output, const Call& call);
  // Into a pipe whose reader leaves at the n-th question to the machine.
  [[nodiscard]] Answer call_unread(const Call& call, std::size_t question);
  [[nodiscard]] Answer call_and_crash(const Call& call, const Crash& crash);
  // `podlease gc` of all networks. What it was refused with; empty if it ran.
  std::string sweep(std::size_t view);

  [[nodiscard]] const std::filesystem::path& data_dir() const { return data_dir_; }
  [[nodiscard]] const ipam::Places& places() const { return places_; }
  // What was written now bears the time that the made-up clock tells. Each call does it, but not
  // whoever else opens the store.
  void stamp_files();
  // When that was last done, by the clock on the wall.
  [[nodiscard]] std::chrono::sys_time<Milliseconds> last_written() const { return last_written_; }
  // Size of the store's log now; 0 without one.
  [[nodiscard]] std::size_t log_size() const;

 private:
  [[nodiscard]] std::string noted_changes() const;
  [[nodiscard]] std::string changes() const;
  [[nodiscard]] int run(int input, int output, const Call& call);
  [[nodiscard]] std::string drain() const;

  std::filesystem::path data_dir_;
  std::filesystem::path default_data_dir_;
  std::filesystem::path sink_;
  ipam::Places places_;
  Hook* hook_;
  SimHost* host_;
  SimClock* clock_;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>>
      stamps_;  // of files, as they were set
  std::chrono::sys_time<Milliseconds> last_written_{};
  UniqueFd read_end_;
  UniqueFd write_end_;
};

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_CALLER_H_
