#include "runtime_inputs.h"

#include <algorithm>
#include <string>
#include <utility>

#include "podlease/base/text.h"
#include "scalars.h"

namespace podlease::config {
namespace {

using net::Address;

AttachmentKey read_attachment(const Value& value, const std::string& network) {
  const Value container_id = value.member("containerID");
  const Value ifname = value.member("ifname");
  AttachmentKey attachment{.network = network,
                           .container_id = container_id.string().value_or(""),
                           .ifname = ifname.string().value_or("")};
  if (attachment.container_id.empty() || attachment.ifname.empty()) {
    throw(attachment.container_id.empty() ? container_id : ifname).error("is missing");
  }
  return attachment;
}

}  // namespace

std::vector<RequestedAddress> read_requested_addresses(const Value& root,
                                                       std::string_view args_ip) {
  std::vector<RequestedAddress> requested;
  const auto add = [&](Address address, const std::string& path) {
    if (std::none_of(requested.begin(), requested.end(),
                     [&](const RequestedAddress& other) { return other.address == address; })) {
      requested.push_back({.address = address, .path = path});
    }
  };
  if (!args_ip.empty()) {
    const Json text(args_ip);
    const Value value(&text, "CNI_ARGS IP");
    try {
      add(read_address_or_prefix(value), value.path());
    } catch (const Error& error) {
      throw Error(ErrorKind::kEnvironment, error.what(), error.details());
    }
  }
  for (const Value& list : {root.member("args").member("cni").member("ips"),
                            root.member("runtimeConfig").member("ips")}) {
    for (const Value& element : list.list()) {
      add(read_address_or_prefix(element), element.path());
    }
  }
  return requested;
}

std::optional<std::vector<Address>> read_previous_addresses(const Value& root) {
  const Value previous = root.member("prevResult");
  if (!previous.present()) {
    return std::nullopt;
  }
  std::vector<Address> addresses;
  const auto add = [&](const Value& value) {
    if (value.present()) {
      addresses.push_back(read_address_or_prefix(value));
    }
  };
  for (const Value& ip : previous.member("ips").list()) {
    add(ip.member("address"));
  }
  // In the results of cniVersion 0.1.0 and 0.2.0.
  add(previous.member("ip4").member("ip"));
  add(previous.member("ip6").member("ip"));
  return addresses;
}

ValidAttachments read_valid_attachments(const Value& root) {
  ValidAttachments valid;
  const std::string network = root.member("name").string().value_or("");
  const auto& members = root.json().get_ref<const Json::object_t&>();
  for (const char* const key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
    // Value::member takes null for absent, and here null means that no attachment is valid.
    const auto found = std::find_if(members.begin(), members.end(), [&](const auto& member) {
      return equals_ignoring_case(member.first, key);
    });
    if (found == members.end()) {
      continue;
    }
    valid.given = true;
    for (const Value& element : Value(&found->second, key).list()) {
      valid.attachments.push_back(read_attachment(element, network));
    }
    break;
  }
  return valid;
}

}  // namespace podlease::config
