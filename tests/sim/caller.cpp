#include "caller.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "../unit/support.h"
#include "podlease/base/error.h"
#include "podlease/plugin/plugin.h"

namespace podlease::sim {
namespace {

using support::Pipe;

// What follows `key` in a document that podlease printed: it is parsed whole only now and then, as
// that costs more than the call itself.
std::optional<std::string_view> after(std::string_view text, std::string_view key,
                                      std::size_t& from) {
  const std::size_t found = text.find(key, from);
  if (found == std::string_view::npos) {
    return std::nullopt;
  }
  from = found + key.size();
  while (from < text.size() && (text[from] == ' ' || text[from] == ':')) {
    ++from;
  }
  return text.substr(from);
}

constexpr int kHookExit = 77;
constexpr rlim_t kFarAway = rlim_t{1} << 40;

// In memory that a child shares.
Milliseconds* shared_time() {
  static Milliseconds* const place = [] {
    void* const page = mmap(nullptr, sizeof(Milliseconds), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
      throw io_error("mmap", errno);
    }
    return new (page) Milliseconds(0);
  }();
  return place;
}

// Of each call its own: one may happen while another one sleeps.
UniqueFd input_of(const Call& call) {
  UniqueFd input(memfd_create("stdin", MFD_CLOEXEC));
  if (!input || write_all(input.get(), call.input) != 0 || lseek(input.get(), 0, SEEK_SET) != 0) {
    throw io_error("memfd", errno);
  }
  return input;
}

// As a process that looks at the machine from there.
class Standing {
 public:
  Standing(SimHost& host, std::size_t view) : host_(&host), before_(host.current_view()) {
    host.look_from(view);
  }
  Standing(const Standing&) = delete;
  Standing& operator=(const Standing&) = delete;
  ~Standing() { host_->look_from(before_); }

 private:
  SimHost* host_;
  std::size_t before_;
};

void limit_files(rlim_t size) {
  const rlimit limit{.rlim_cur = size, .rlim_max = RLIM_INFINITY};
  static_cast<void>(setrlimit(RLIMIT_FSIZE, &limit));
}

}  // namespace

int Answer::code() const {
  std::size_t from = 0;
  const std::optional<std::string_view> rest = after(output, "\"code\"", from);
  int code = 0;
  if (rest) {
    std::from_chars(rest->data(), rest->data() + rest->size(), code);
  }
  return code;
}

std::vector<net::Prefix> Answer::addresses() const {
  std::vector<net::Prefix> found;
  std::size_t from = 0;
  while (const std::optional<std::string_view> rest = after(output, "\"address\"", from)) {
    const std::string_view text = rest->substr(1, rest->find('"', 1) - 1);
    if (const std::optional<net::Prefix> address = net::Prefix::parse(text)) {
      found.push_back(*address);
    }
  }
  return found;
}

std::string Answer::in_short() const {
  if (crashed) {
    return "killed";
  }
  if (status == 0) {
    std::string text = "ok";
    for (const net::Prefix& address : addresses()) {
      text += " " + address.to_string();
    }
    return text;
  }
  std::size_t from = 0;
  const std::optional<std::string_view> message = after(output, "\"msg\"", from);
  std::string text = "exit " + std::to_string(status) + " code " + std::to_string(code());
  if (message) {
    text += " " + std::string(message->substr(0, message->find('\n')));
  }
  return text;
}

Caller::Caller(const std::filesystem::path& folder, Hook& hook, SimHost& host, SimClock& clock)
    : data_dir_(folder / "data"),
      default_data_dir_(folder / "default"),
      sink_(folder / "sink"),
      places_{.registry = folder / "stores",
              .host_local = folder / "networks",
              .cni_caches = {folder / "results"}},
      hook_(&hook),
      host_(&host),
      clock_(&clock) {
  Pipe pipe;
  read_end_ = std::move(pipe.read_end);
  write_end_ = std::move(pipe.write_end);
  static_cast<void>(fcntl(read_end_.get(), F_SETFL, O_NONBLOCK));
  static_cast<void>(signal(SIGPIPE, SIG_IGN));  // as podlease's `main` does
}

int Caller::run(int input, int output, const Call& call) {
  const Standing standing(*host_, call.view);
  const auto getenv = [&call](const char* name) -> std::optional<std::string> {
    const std::string_view wanted = name;
    if (wanted == "CNI_COMMAND") {
      return call.verb;
    }
    if (wanted == "CNI_PATH") {
      return "/opt/cni/bin";
    }
    const std::string* const value = wanted == "CNI_CONTAINERID" ? &call.container
                                     : wanted == "CNI_IFNAME"    ? &call.ifname
                                     : wanted == "CNI_NETNS"     ? &call.netns
                                     : wanted == "CNI_ARGS"      ? &call.args
                                                                 : nullptr;
    return value == nullptr || value->empty() ? std::nullopt : std::optional(*value);
  };
  const int status = plugin::run({.getenv = getenv,
                                  .input = input,
                                  .output = output,
                                  .host = host_,
                                  .clock = clock_,
                                  .places = places_,
                                  .data_dir = default_data_dir_});
  stamp_files();
  return status;
}

// The third line of the store's lock: when log and file were changed last (ctime), in nanoseconds,
// as the last commit left them. No clock but the machine's can make these times.
std::string Caller::noted_changes() const {
  std::ifstream lock(data_dir_ / "lock");
  std::string line;
  for (int number = 0; number < 3 && std::getline(lock, line); ++number) {
  }
  return line;
}

std::string Caller::changes() const {
  std::string line;
  for (const char* const name : {"podlease.db-wal", "podlease.db"}) {
    struct stat file {};
    static_cast<void>(stat((data_dir_ / name).c_str(), &file));
    const std::string time =
        std::to_string(file.st_ctim.tv_sec * 1'000'000'000 + file.st_ctim.tv_nsec);
    line += std::string(line.empty() ? 0 : 1, ' ') + std::string(20 - time.size(), ' ') + time;
  }
  return line;
}

void Caller::stamp_files() {
  const std::string noted = noted_changes();
  const bool is_noted = noted == changes();
  for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
    const std::filesystem::path path = data_dir_ / name;
    struct stat file {};
    if (stat(path.c_str(), &file) != 0 ||
        stamps_[name] ==
            std::pair{std::int64_t{file.st_mtim.tv_sec}, std::int64_t{file.st_mtim.tv_nsec}}) {
      continue;
    }
    const std::int64_t wall = clock_->wall().time_since_epoch().count();
    const timespec time{.tv_sec = wall / 1000, .tv_nsec = wall % 1000 * 1'000'000};
    const std::array<timespec, 2> times{time, time};
    static_cast<void>(utimensat(AT_FDCWD, path.c_str(), times.data(), 0));
    stamps_[name] = {time.tv_sec, time.tv_nsec};
  }
  if (is_noted && noted != changes()) {
    std::fstream lock(data_dir_ / "lock");
    lock.seekp(64);
    lock << changes();
  }
  // The younger of the two, which may have been written before the clock was set back.
  last_written_ = {};
  for (const auto& [name, stamp] : stamps_) {
    last_written_ = std::max(last_written_, std::chrono::sys_time<Milliseconds>(Milliseconds(
                                                stamp.first * 1000 + stamp.second / 1'000'000)));
  }
}

std::string Caller::sweep(std::size_t view) {
  const Standing standing(*host_, view);
  const Log log(*clock_);
  const ipam::Leases leases(*host_, *clock_, log, places_, data_dir_, Milliseconds(10'000));
  std::string refusal;
  try {
    static_cast<void>(leases.sweep({}));
  } catch (const Error& error) {
    refusal = error.what();
  }
  stamp_files();
  return refusal;
}

std::string Caller::drain() const {
  std::string text;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = read(read_end_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

Answer Caller::call(const Call& call) {
  Answer answer;
  answer.status = run(input_of(call).get(), write_end_.get(), call);
  answer.output = drain();
  return answer;
}

Answer Caller::call_into(int output, const Call& call) {
  return {.crashed = false, .status = run(input_of(call).get(), output, call), .output = {}};
}

Answer Caller::call_unread(const Call& call, std::size_t question) {
  Pipe pipe;
  std::size_t questions = 0;
  hook_->on_question = [&] {
    if (++questions == question) {
      pipe.read_end.reset();
    }
  };
  Answer answer = call_into(pipe.write_end.get(), call);
  hook_->on_question = nullptr;
  if (pipe.read_end) {  // it asked less than that: the reader gets its answer
    pipe.write_end.reset();
    answer.output = read_all(pipe.read_end.get(), 1 << 20);
  }
  return answer;
}

Answer Caller::call_and_crash(const Call& call, const Crash& crash) {
  // What it sleeps passes here too.
  Milliseconds* const slept_until = shared_time();
  *slept_until = clock_->true_time();
  const UniqueFd input = input_of(call);
  const pid_t child = fork();
  if (child < 0) {
    throw io_error("fork", errno);
  }
  if (child == 0) {
    const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
    static_cast<void>(setrlimit(RLIMIT_CORE, &no_core));
    static_cast<void>(signal(SIGXFSZ, crash.kind == Crash::Kind::kDiskFull ? SIG_IGN : SIG_DFL));
    clock_->on_sleep = [&] { *slept_until = clock_->true_time(); };
    int output = write_end_.get();
    std::size_t questions = 0;
    switch (crash.kind) {
      case Crash::Kind::kNone:
        break;
      case Crash::Kind::kAtQuestion:
        hook_->on_question = [&] {
          if (++questions == crash.n) {
            _exit(kHookExit);
          }
        };
        break;
      case Crash::Kind::kAtWrite:
      case Crash::Kind::kDiskFull:
        limit_files(crash.n);
        break;
      case Crash::Kind::kAtAnswer:
        output = open(sink_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        static_cast<void>(lseek(output, off_t{1} << 41, SEEK_SET));
        limit_files(kFarAway);
        break;
    }
    _exit(run(input.get(), output, call));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      throw io_error("waitpid", errno);
    }
  }
  clock_->pass(*slept_until - clock_->true_time());
  stamp_files();
  Answer answer;
  answer.output = drain();
  answer.crashed = !WIFEXITED(status) || WEXITSTATUS(status) == kHookExit;
  answer.status = answer.crashed ? -1 : WEXITSTATUS(status);
  if (WIFSIGNALED(status) && WTERMSIG(status) != SIGXFSZ) {
    throw Error(ErrorKind::kOther, "the plugin died of signal " + std::to_string(WTERMSIG(status)));
  }
  if (!answer.crashed && answer.status != 0 && answer.status != 1) {
    throw Error(ErrorKind::kOther, "the plugin ended with status " + std::to_string(answer.status));
  }
  return answer;
}

std::size_t Caller::log_size() const {
  std::error_code failed;
  const std::uintmax_t size = std::filesystem::file_size(data_dir_ / "podlease.db-wal", failed);
  return failed ? 0 : static_cast<std::size_t>(size);
}

}  // namespace podlease::sim
