#ifndef PODLEASE_CMD_NETWORK_CONFIGS_H_
#define PODLEASE_CMD_NETWORK_CONFIGS_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "command_options.h"
#include "podlease/base/error.h"
#include "podlease/config/net_conf.h"

namespace podlease::cmd {

// A file in the folder of network configurations.
struct NetworkConfig {
  std::filesystem::path file;
  // What podlease is called with, be it by way of Multus; nothing if the file does not use
  // podlease.
  std::optional<config::Document> document;
  std::optional<Error> error;  // it cannot be read, or is not JSON
  // An earlier file with the same `document`: Multus has a copy of a file, or names it.
  std::optional<std::filesystem::path> same_as;
  // Networks that Multus is told to use, and that no file here describes.
  std::vector<std::string> unseen_networks;
};

// Declares the option --conf-dir, and sets its default.
Option declare_conf_dir(Command& command, std::filesystem::path& conf_dir);

// Those with the suffixes that runtimes read, in their order: by name.
[[nodiscard]] std::vector<NetworkConfig> read_network_configs(const std::filesystem::path& folder);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_NETWORK_CONFIGS_H_
