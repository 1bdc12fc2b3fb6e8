#ifndef PODLEASE_BASE_FLOCK_H_
#define PODLEASE_BASE_FLOCK_H_

#include <string_view>

#include "podlease/base/clock.h"

namespace podlease {

// Takes the exclusive flock(2) of `fd`, waiting in the kernel's queue for at most `timeout`.
// Returns false if the time ran out. Throws kIo for anything else; `path` is for that message. The
// lock ends with the last descriptor of the open file, thus with the process at the latest: it
// cannot outlive its owner.
//
// Uses SIGALRM and the real-time interval timer of the process while it waits; both are back to
// rest when it returns.
[[nodiscard]] bool flock_within(int fd, Milliseconds timeout, std::string_view path);

}  // namespace podlease

#endif  // PODLEASE_BASE_FLOCK_H_
