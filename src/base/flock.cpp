#include "podlease/base/flock.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "podlease/base/error.h"

namespace podlease {
namespace {

std::atomic<bool> alarmed;
static_assert(std::atomic<bool>::is_always_lock_free);

// Breaks a blocking flock with EINTR. The timer goes on ticking after the first alarm: one that
// fires between the check of `alarmed` and the entry to flock would otherwise be the last, and the
// wait endless.
class AlarmedWait {
 public:
  explicit AlarmedWait(Milliseconds timeout) {
    alarmed = false;
    struct sigaction action {};
    action.sa_handler = [](int) { alarmed = true; };  // no SA_RESTART: flock shall return
    sigaction(SIGALRM, &action, &old_action_);
    sigset_t unblocked;
    sigemptyset(&unblocked);
    sigaddset(&unblocked, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &unblocked, &old_mask_);
    constexpr suseconds_t kTick = 20'000;
    const auto wait = timeout.count() > 0 ? timeout : Milliseconds(1);
    const itimerval timer{
        .it_interval = {.tv_sec = 0, .tv_usec = kTick},
        .it_value = {.tv_sec = wait.count() / 1000, .tv_usec = wait.count() % 1000 * 1000}};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  AlarmedWait(const AlarmedWait&) = delete;
  AlarmedWait& operator=(const AlarmedWait&) = delete;
  ~AlarmedWait() {
    const itimerval rest{};
    setitimer(ITIMER_REAL, &rest, nullptr);
    sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
    sigaction(SIGALRM, &old_action_, nullptr);
  }

 private:
  struct sigaction old_action_ {};
  sigset_t old_mask_{};
};

}  // namespace

bool flock_within(int fd, Milliseconds timeout, std::string_view path) {
  const AlarmedWait wait(timeout);
  while (flock(fd, LOCK_EX) != 0) {
    if (errno != EINTR) {
      throw io_error("lock " + std::string(path), errno);
    }
    if (alarmed) {
      return false;
    }
  }
  return true;
}

}  // namespace podlease
