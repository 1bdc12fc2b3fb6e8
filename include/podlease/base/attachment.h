#ifndef PODLEASE_BASE_ATTACHMENT_H_
#define PODLEASE_BASE_ATTACHMENT_H_

#include <compare>
#include <string>
#include <string_view>

namespace podlease {

// What the CNI specification calls an attachment: one interface of one container in one network.
// The key of a lease.
struct AttachmentKey {
  std::string network;
  std::string container_id;
  std::string ifname;

  friend auto operator<=>(const AttachmentKey&, const AttachmentKey&) = default;
};

// The rule for container ids and network names (CNI specification 1.1.0, section 1): a letter or
// digit, then those, `_`, `.` and `-`.
[[nodiscard]] bool is_valid_name(std::string_view name);

// A pod as people write it, NAMESPACE/NAME; empty where the runtime told no name.
[[nodiscard]] std::string pod_text(const std::string& name_space, const std::string& name);

}  // namespace podlease

#endif  // PODLEASE_BASE_ATTACHMENT_H_
