#ifndef PODLEASE_SRC_POOLS_REMEMBERED_H_
#define PODLEASE_SRC_POOLS_REMEMBERED_H_

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/config/net_conf.h"
#include "podlease/pools/node_objects.h"
#include "podlease/pools/source.h"

// What the sources that go by this node's objects say of them alike.
namespace podlease::pools {

// Those asked for; where none are, any that the objects may have.
[[nodiscard]] inline std::vector<net::Family> families_of(const config::NetConf& conf) {
  return conf.families.empty() ? std::vector{net::Family::kIpv4, net::Family::kIpv6}
                               : conf.families;
}

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
  if (remembered.object && !remembered.record->failure.empty()) {
    knowledge.warnings.push_back(kind + (" as of " + to_rfc3339(remembered.record->read)) +
                                 " is used: " + remembered.record->failure);
  }
}

// Says what was read, and when.
template <typename Object>
void tell_origin(const char* kind, const Remembered<Object>& remembered, const store::Moment& now,
                 Knowledge& knowledge) {
  if (remembered.object) {
    const Milliseconds age = std::max(now.at.wall - remembered.record->read, Milliseconds(0));
    knowledge.origins.push_back(
        std::string(kind) + " " + remembered.object->name + " (uid " + remembered.object->uid +
        ") as of " + to_rfc3339(remembered.record->read) + ", " +
        format_duration(std::chrono::duration_cast<std::chrono::seconds>(age)) + " ago, from " +
        remembered.record->server);
  }
}

inline void tell_of(const NodeObjects::View& view, const store::Moment& now, Knowledge& knowledge) {
  tell_origin("Node", view.node, now, knowledge);
  tell_origin("CiliumNode", view.cilium_node, now, knowledge);
  tell_origin("PodPool", view.pool, now, knowledge);
  tell_failure("Node", view.node, knowledge);
  tell_failure("CiliumNode", view.cilium_node, knowledge);
  tell_failure("PodPool", view.pool, knowledge);
}

}  // namespace podlease::pools

#endif  // PODLEASE_SRC_POOLS_REMEMBERED_H_
