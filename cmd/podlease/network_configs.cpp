#include "network_configs.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <system_error>

#include "command.h"
#include "podlease/base/file.h"

namespace podlease::cmd {

std::vector<NetworkConfig> read_network_configs(const std::filesystem::path& folder) {
  constexpr std::array<std::string_view, 3> kSuffixes{".conf", ".conflist", ".json"};
  std::vector<NetworkConfig> configs;
  std::error_code unreadable;
  for (const auto& entry : std::filesystem::directory_iterator(folder, unreadable)) {
    const std::string suffix = entry.path().extension().string();
    if (std::find(kSuffixes.begin(), kSuffixes.end(), suffix) != kSuffixes.end()) {
      configs.push_back({.file = entry.path()});
    }
  }
  std::sort(configs.begin(), configs.end(),
            [](const NetworkConfig& a, const NetworkConfig& b) { return a.file < b.file; });
  for (NetworkConfig& config : configs) {
    try {
      config.document =
          config::Document::find_in_file(read_file(config.file, kLargestInput).value_or(""));
    } catch (const Error& error) {
      config.error = error;
    }
  }
  return configs;
}

}  // namespace podlease::cmd
