#ifndef PODLEASE_BASE_ERROR_H_
#define PODLEASE_BASE_ERROR_H_

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace podlease {

// What went wrong, in the terms of whoever has to react. Area `cni` turns a kind into a CNI error
// code and `cmd` into an exit status; nothing else knows those numbers.
enum class ErrorKind {
  kVersion,           // a CNI version we do not speak, or one too old for the verb
  kUnsupportedField,  // a field that is understood and cannot be honoured
  kUnknownContainer,  // CHECK of an attachment that holds no lease
  kEnvironment,       // a CNI_ variable that is missing or malformed
  kIo,                // the disk, the kernel or a pipe refused
  kDecode,            // not JSON, or not the JSON it should be
  kConfig,            // a configuration that cannot work
  kBusy,              // may succeed by itself: try again later
  kUnavailable,       // STATUS: an ADD could not be served now
  kExhausted,         // no address is left
  kAddressTaken,      // the requested address is somebody's, or the attachment holds another one
  kOther,
};

// The one exception of podlease. `what()` is one line that names the object and the value;
// `details` gives the cause, the numbers and the next step, and may be empty. Expected outcomes (no
// lease, address taken) are values instead.
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorKind kind, const std::string& message, std::string details = {})
      : std::runtime_error(message), kind_(kind), details_(std::move(details)) {}

  [[nodiscard]] ErrorKind kind() const { return kind_; }
  [[nodiscard]] const std::string& details() const { return details_; }

 private:
  ErrorKind kind_;
  std::string details_;
};

// kIo with "CONTEXT: strerror(error_number)"; `context` names the operation and its path.
[[nodiscard]] Error io_error(std::string_view context, int error_number);

}  // namespace podlease

#endif  // PODLEASE_BASE_ERROR_H_
