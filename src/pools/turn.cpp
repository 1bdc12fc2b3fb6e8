#include "turn.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "podlease/base/file.h"
#include "podlease/base/flock.h"
#include "podlease/base/text.h"

namespace podlease::pools {
namespace {

constexpr std::size_t kLongestWord = 16 << 10;

// Reports whether a number of milliseconds is at least `since`.
bool later(std::string_view text, Milliseconds since) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  return error == std::errc() && end == text.data() + text.size() && Milliseconds(count) >= since;
}

std::string in_a_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// What whoever did the work last has left, in six lines: the work, the boot and the time when it
// was done, and the failure's kind, message and details.
struct Word {
  static constexpr std::size_t kLines = 6;

  static std::string of(const std::string& work, const store::Moment& now,
                        const std::optional<Error>& failure) {
    const std::string kind =
        failure ? std::to_string(static_cast<int>(failure->kind())) : std::string();
    return work + "\n" + now.boot_id + "\n" + std::to_string(now.at.since_boot.count()) + "\n" +
           kind + "\n" + (failure ? in_a_line(failure->what()) : "") + "\n" +
           (failure ? in_a_line(failure->details()) : "");
  }

  // Nothing: it is about other work, or was left before `asked`.
  static std::optional<Outcome> read(std::string_view text, const std::string& work,
                                     const store::Moment& asked) {
    const std::vector<std::string_view> lines = split(text, '\n');
    if (lines.size() != kLines || lines[0] != work || lines[1] != asked.boot_id ||
        !later(lines[2], asked.at.since_boot)) {
      return std::nullopt;
    }
    Outcome outcome{.by_other = true, .failure = std::nullopt};
    int kind = 0;
    if (!lines[3].empty()) {
      std::from_chars(lines[3].data(), lines[3].data() + lines[3].size(), kind);
      outcome.failure.emplace(kind >= 0 && kind <= static_cast<int>(ErrorKind::kOther)
                                  ? static_cast<ErrorKind>(kind)
                                  : ErrorKind::kOther,
                              std::string(lines[4]), std::string(lines[5]));
    }
    return outcome;
  }
};

}  // namespace

std::optional<Outcome> take_turn(const Turn& turn,
                                 const std::function<std::optional<Error>()>& work) {
  const UniqueFd lock(open(turn.lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!lock) {
    throw io_error("open " + turn.lock.string(), errno);
  }
  if (!flock_within(lock.get(), turn.patience, turn.lock.string())) {
    return std::nullopt;
  }
  // The store could tell too, but everybody here would wait for its lock in turn.
  const std::optional<std::string> left = read_file(turn.lock, kLongestWord);
  if (auto outcome = Word::read(left ? *left : std::string_view(), turn.work, turn.asked)) {
    return outcome;
  }
  Outcome outcome{.by_other = false, .failure = work()};
  const std::string word = Word::of(turn.work, turn.now(), outcome.failure);
  static_cast<void>(ftruncate(lock.get(), 0));
  static_cast<void>(pwrite(lock.get(), word.data(), word.size(), 0));  // or the next one asks too
  return outcome;
}

}  // namespace podlease::pools
