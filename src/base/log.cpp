#include "podlease/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "podlease/base/file.h"
#include "podlease/base/text.h"

namespace podlease {
namespace {

std::string_view name(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

}  // namespace

void Log::open(std::filesystem::path file, LogLevel level) {
  file_ = std::move(file);
  level_ = level;
}

void Log::write(LogLevel level, std::string_view message) const {
  if (file_.empty() || level < level_) {
    return;
  }
  // Not blocking: a pipe that nobody reads would hold up the work.
  const UniqueFd fd(
      ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  if (!fd) {
    return;
  }
  std::string line = to_rfc3339(clock_->now().wall);
  line.append(" ").append(name(level)).append(" [").append(std::to_string(getpid())).append("] ");
  // What it quotes, such as the name of a pod, must not look like another line.
  line.append(in_one_line(message, std::string_view::npos)).append("\n");
  static_cast<void>(write_all(fd.get(), line));
}

}  // namespace podlease
