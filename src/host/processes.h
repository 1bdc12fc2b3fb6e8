#ifndef PODLEASE_HOST_PROCESSES_H_
#define PODLEASE_HOST_PROCESSES_H_

#include <string_view>

namespace podlease::host {

// Reports whether a name in /proc is a process's.
[[nodiscard]] bool is_process_id(std::string_view name);

}  // namespace podlease::host

#endif  // PODLEASE_HOST_PROCESSES_H_
