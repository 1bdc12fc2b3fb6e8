#include "podlease/base/error.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace podlease {

Error io_error(std::string_view context, int error_number) {
  const bool is_refused = error_number == EACCES || error_number == EPERM;
  return Error(ErrorKind::kIo, std::string(context) + ": " + std::strerror(error_number),
               is_refused && geteuid() != 0 ? "run podlease as root" : "");
}

}  // namespace podlease
