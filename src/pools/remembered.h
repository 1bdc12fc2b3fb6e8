#ifndef PODLEASE_SRC_POOLS_REMEMBERED_H_
#define PODLEASE_SRC_POOLS_REMEMBERED_H_

#include <optional>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/source.h"

// What the sources that go by this node's objects say of them alike.
namespace podlease::pools {

// Why an object is not known, if the last attempt to read it tells.
template <typename Object>
std::optional<Error> obstacle_in(const Remembered<Object>& remembered) {
  if (remembered.object || !remembered.record || remembered.record->failure.empty()) {
    return std::nullopt;
  }
  const store::RemoteObject& record = *remembered.record;
  return Error(record.hopeless ? ErrorKind::kConfig : ErrorKind::kBusy, record.failure,
               record.advice);
}

[[nodiscard]] inline Error not_known_yet() {
  return Error(ErrorKind::kBusy, "this node's CIDR was not asked for yet",
               "the first ADD asks the Kubernetes API for it");
}

// Adds to the warnings that what is gone by is old, and why.
template <typename Object>
void tell_failure(const char* kind, const Remembered<Object>& remembered, Knowledge& knowledge) {
  if (remembered.record && !remembered.record->failure.empty()) {
    knowledge.warnings.push_back(
        (remembered.object ? kind + (" as of " + to_rfc3339(remembered.record->read)) + " is used: "
                           : std::string()) +
        remembered.record->failure);
  }
}

inline void tell_failures(const NodeObjects::View& view, Knowledge& knowledge) {
  tell_failure("Node", view.node, knowledge);
  tell_failure("CiliumNode", view.cilium_node, knowledge);
}

}  // namespace podlease::pools

#endif  // PODLEASE_SRC_POOLS_REMEMBERED_H_
