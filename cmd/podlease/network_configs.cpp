#include "network_configs.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "command.h"
#include "podlease/base/file.h"

namespace podlease::cmd {
namespace {

// The files with the suffixes that runtimes read, in their order: by name.
std::vector<std::filesystem::path> config_files(const std::filesystem::path& folder) {
  constexpr std::array<std::string_view, 3> kSuffixes{".conf", ".conflist", ".json"};
  std::vector<std::filesystem::path> files;
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
    const std::string suffix = entry.path().extension().string();
    if (std::find(kSuffixes.begin(), kSuffixes.end(), suffix) != kSuffixes.end()) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string text_of(const std::filesystem::path& file) {
  return read_file(file, kLargestInput).value_or("");
}

// The first file of a folder, or the first that describes the network `name`.
std::optional<std::string> first_in(const std::filesystem::path& folder,
                                    const std::optional<std::string>& name) {
  for (const std::filesystem::path& file : config_files(folder)) {
    try {
      std::string text = text_of(file);
      if (!name || config::Document::parse(text).lenient_essentials().name == *name) {
        return text;
      }
    } catch (const Error&) {
      // Another one may be it. If this is one of the node's own, it is reported by itself.
    }
  }
  return std::nullopt;
}

// As Multus finds what `clusterNetwork` and `defaultNetworks` name. A path may be one inside
// Multus' own container (/host/etc/cni/net.d/10-lab.conf), so that a file of that name in `folder`
// will do.
std::optional<std::string> find_network(const std::filesystem::path& folder,
                                        const std::string& network, const std::string& conf_dir) {
  if (network.find('/') == std::string::npos) {
    std::optional<std::string> text = conf_dir.empty() ? std::nullopt : first_in(conf_dir, network);
    return text ? text : first_in(folder, network);
  }
  std::error_code unknown;
  if (std::filesystem::is_directory(network, unknown)) {
    return first_in(network, std::nullopt);
  }
  std::optional<std::string> text = read_file(network, kLargestInput);
  return text ? text : read_file(folder / std::filesystem::path(network).filename(), kLargestInput);
}

// Marks those that say what an earlier one says.
void mark_copies(std::vector<NetworkConfig>& configs) {
  for (auto later = configs.begin(); later != configs.end(); ++later) {
    const auto earlier = std::find_if(configs.begin(), later, [&](const NetworkConfig& config) {
      return config.document && later->document &&
             config.document->says_the_same_as(*later->document);
    });
    if (earlier != later) {
      later->same_as = earlier->file;
    }
  }
}

}  // namespace

Option declare_conf_dir(Command& command, std::filesystem::path& conf_dir) {
  conf_dir = "/etc/cni/net.d";
  return command
      .option("--conf-dir", conf_dir, "Read the runtime's network configurations in this folder")
      .value_name("DIR")
      .shows_default()
      .existing_folder();
}

std::vector<NetworkConfig> read_network_configs(const std::filesystem::path& folder) {
  std::vector<NetworkConfig> configs;
  for (const std::filesystem::path& file : config_files(folder)) {
    NetworkConfig& config = configs.emplace_back();
    config.file = file;
    try {
      config.document = config::Document::find_in_file(
          text_of(file), [&](const std::string& network, const std::string& conf_dir) {
            std::optional<std::string> text = find_network(folder, network, conf_dir);
            if (!text) {
              config.unseen_networks.push_back(network);
            }
            return text;
          });
    } catch (const Error& error) {
      config.error = error;
    }
  }
  mark_copies(configs);
  return configs;
}

}  // namespace podlease::cmd
