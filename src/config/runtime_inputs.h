#ifndef PODLEASE_SRC_CONFIG_RUNTIME_INPUTS_H_
#define PODLEASE_SRC_CONFIG_RUNTIME_INPUTS_H_

#include <optional>
#include <string_view>
#include <vector>

#include "podlease/config/net_conf.h"
#include "podlease/net/address.h"
#include "value.h"

// What the runtime puts into the configuration for one call: addresses that the user asked for, the
// result of the ADD before, the attachments that are still valid.
namespace podlease::config {

// From CNI_ARGS (`args_ip`), args.cni.ips and runtimeConfig.ips, in this order and each once.
// Throws kConfig, and kEnvironment for what stands in CNI_ARGS.
[[nodiscard]] std::vector<RequestedAddress> read_requested_addresses(const Value& root,
                                                                     std::string_view args_ip);

// Throws kConfig.
[[nodiscard]] std::optional<std::vector<net::Address>> read_previous_addresses(const Value& root);

// Throws kConfig.
[[nodiscard]] ValidAttachments read_valid_attachments(const Value& root);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_RUNTIME_INPUTS_H_
