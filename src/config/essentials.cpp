#include "essentials.h"

#include <filesystem>
#include <string>
#include <utility>

#include "podlease/base/attachment.h"
#include "podlease/base/text.h"
#include "scalars.h"

namespace podlease::config {
namespace {

std::string read_network_name(const Value& value) {
  std::string name = value.string().value_or("");
  if (name.empty()) {
    throw Error(ErrorKind::kConfig, "missing network name",
                "the configuration must have a key \"name\"");
  }
  if (!is_valid_name(name)) {
    throw value.error("is not a valid network name",
                      "start it with a letter or a digit, and use only letters, digits, '_', '.' "
                      "and '-'");
  }
  return name;
}

void read_data_dir(const Value& ipam, Essentials& essentials) {
  std::filesystem::path data_dir = read_absolute_path(ipam.member("dataDir"));
  if (!data_dir.empty()) {
    essentials.data_dir = std::move(data_dir);
    essentials.data_dir_given = true;
  }
}

void read_lock_timeout(const Value& ipam, Essentials& essentials) {
  essentials.lock_timeout = read_duration(ipam.member("lockTimeout"), essentials.lock_timeout);
}

LogConf read_log(const Value& value) {
  LogConf log{.file = read_absolute_path(value.member("file"))};
  const Value level = value.member("level");
  const std::string text = to_lower(level.string().value_or("info"));
  if (text == "debug") {
    log.level = LogLevel::kDebug;
  } else if (text == "info") {
    log.level = LogLevel::kInfo;
  } else if (text == "warning" || text == "warn") {
    log.level = LogLevel::kWarning;
  } else if (text == "error") {
    log.level = LogLevel::kError;
  } else {
    throw level.error("must be debug, info, warning or error");
  }
  return log;
}

}  // namespace

Essentials read_essentials(const Value& root) {
  Essentials essentials;
  try {
    essentials.cni_version = root.member("cniVersion").string().value_or("");
  } catch (const Error& error) {
    throw Error(ErrorKind::kDecode, error.what());
  }
  essentials.name = read_network_name(root.member("name"));
  const Value ipam = root.member("ipam");
  read_data_dir(ipam, essentials);
  read_lock_timeout(ipam, essentials);
  essentials.log = read_log(ipam.member("log"));
  return essentials;
}

Essentials read_essentials_leniently(const Value& root) {
  Essentials essentials;
  const auto attempt = [](const auto& read) {
    try {
      read();
    } catch (const Error&) {
      // The default stays.
    }
  };
  attempt([&] { essentials.cni_version = root.member("cniVersion").string().value_or(""); });
  attempt([&] { essentials.name = read_network_name(root.member("name")); });
  attempt([&] { read_data_dir(root.member("ipam"), essentials); });
  attempt([&] { read_lock_timeout(root.member("ipam"), essentials); });
  attempt([&] { essentials.log = read_log(root.member("ipam").member("log")); });
  return essentials;
}

}  // namespace podlease::config
