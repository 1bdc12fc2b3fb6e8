#include "podlease/base/error.h"

#include <cstring>

namespace podlease {

Error io_error(std::string_view context, int error_number) {
  return Error(ErrorKind::kIo, std::string(context) + ": " + std::strerror(error_number));
}

}  // namespace podlease
