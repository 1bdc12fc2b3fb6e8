#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "time_left.h"

namespace podlease::kube {
namespace {

// How soon it is noticed that the command has ended while something it started keeps its pipes.
constexpr Milliseconds kLookInterval{20};

ApiError unusable(const std::string& what) {
  return {ApiError::Cause::kIdentity, what};
}

// The two ends; only the command's own blocks.
struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw io_error("pipe", errno);
    }
    ours.reset(ends[0]);
    theirs.reset(ends[1]);
    if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) {
      throw io_error("fcntl of a pipe", errno);
    }
  }

  // Appends what there is to `text`. Our end closes when theirs has.
  void drain(std::string& text, std::size_t limit) {
    std::array<char, 4096> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
    while (ours && text.size() <= limit) {
      const ssize_t count = read(ours.get(), chunk.data(), chunk.size());
      if (count > 0) {
        text.append(chunk.data(), static_cast<std::size_t>(count));
      } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        ours.reset();
      } else if (errno == EAGAIN) {
        return;
      }
    }
  }

  UniqueFd ours;
  UniqueFd theirs;
};

// posix_spawn's two objects of what is to be different in the child.
class SpawnPlan {
 public:
  SpawnPlan(int output, int messages) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, messages, STDERR_FILENO);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setpgroup(&attributes_, 0);
    posix_spawnattr_setflags(
        &attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  [[nodiscard]] const posix_spawn_file_actions_t* actions() const { return &actions_; }
  [[nodiscard]] const posix_spawnattr_t* attributes() const { return &attributes_; }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// For exec: ends with a null. `texts` must outlive it.
std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// The leader of a process group that does not outlive it.
class Child {
 public:
  Child(const Command& command, int output, int messages) {
    std::vector<std::string> args{command.program};
    args.insert(args.end(), command.args.begin(), command.args.end());
    std::vector<std::string> environment = command.environment;
    const SpawnPlan plan(output, messages);
    const int error =
        posix_spawnp(&pid_, command.program.c_str(), plan.actions(), plan.attributes(),
                     pointers_to(args).data(), pointers_to(environment).data());
    if (error != 0) {
      throw unusable(std::string("cannot be started: ") + std::strerror(error));
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { static_cast<void>(end()); }

  [[nodiscard]] bool has_ended() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == pid_;
  }

  // Kills what is left of the group and returns how the leader ended, as wait(2) does. Not reaped
  // before, its number cannot be another group's.
  int end() {
    if (pid_ > 0) {
      kill(-pid_, SIGKILL);
      while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
      }
      pid_ = 0;
    }
    return status_;
  }

 private:
  pid_t pid_ = 0;
  int status_ = 0;
};

std::string describe_exit(int status) {
  if (WIFSIGNALED(status)) {
    return "signal " + std::to_string(WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0 ? "" : "exit status " + std::to_string(WEXITSTATUS(status));
}

void keep_end(std::string& text, std::size_t size) {
  text.erase(0, text.size() - std::min(text.size(), size));
}

void wait_for_more(const Pipe& output, const Pipe& messages, Milliseconds time) {
  // poll passes over negative numbers, thus over closed ends.
  std::array<pollfd, 2> ends{{{.fd = output.ours.get(), .events = POLLIN, .revents = 0},
                              {.fd = messages.ours.get(), .events = POLLIN, .revents = 0}}};
  static_cast<void>(poll(ends.data(), ends.size(), poll_time(time)));
}

}  // namespace

Outcome run(const Command& command, Deadline deadline) {
  Outcome outcome;
  Pipe output;
  Pipe messages;
  Child child(command, output.theirs.get(), messages.theirs.get());
  output.theirs.reset();
  messages.theirs.reset();
  for (bool ended = false; !ended;) {
    ended = child.has_ended();  // asked first, so that what it wrote to its end is read below
    output.drain(outcome.output, kLargestOutput);
    messages.drain(outcome.messages, kLargestOutput);
    keep_end(outcome.messages, kLargestMessages);
    if (outcome.output.size() > kLargestOutput) {
      throw unusable("printed more than " + std::to_string(kLargestOutput) + " bytes");
    }
    if (!ended && is_over(deadline)) {
      throw ApiError(ApiError::Cause::kTimeout, "did not end in time");
    }
    if (!ended) {
      wait_for_more(output, messages, std::min(time_left(deadline), kLookInterval));
    }
  }
  outcome.exit = describe_exit(child.end());
  return outcome;
}

}  // namespace podlease::kube
