#ifndef PODLEASE_CMD_NETWORK_CONFIGS_H_
#define PODLEASE_CMD_NETWORK_CONFIGS_H_

#include <filesystem>
#include <optional>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/config/net_conf.h"

namespace podlease::cmd {

// A file in the folder of network configurations.
struct NetworkConfig {
  std::filesystem::path file;
  std::optional<config::Document> document;  // the part for podlease; nothing: it is not used there
  std::optional<Error> error;                // it cannot be read, or is not JSON
};

// Those with the suffixes that runtimes read, in their order: by name.
[[nodiscard]] std::vector<NetworkConfig> read_network_configs(const std::filesystem::path& folder);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_NETWORK_CONFIGS_H_
