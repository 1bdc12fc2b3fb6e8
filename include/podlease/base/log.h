#ifndef PODLEASE_BASE_LOG_H_
#define PODLEASE_BASE_LOG_H_

#include <filesystem>
#include <string>
#include <string_view>

#include "podlease/base/clock.h"

namespace podlease {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Appends lines to one file, or drops them: without a file nothing is logged, since errors already
// say all. A log that cannot be written never fails the work it tells about. Each line is one
// write, so processes do not cut into each other's.
class Log {
 public:
  explicit Log(const Clock& clock) : clock_(&clock) {}

  void open(std::filesystem::path file, LogLevel level);
  void write(LogLevel level, std::string_view message) const;

 private:
  const Clock* clock_;
  std::filesystem::path file_;
  LogLevel level_ = LogLevel::kInfo;
};

}  // namespace podlease

#endif  // PODLEASE_BASE_LOG_H_
