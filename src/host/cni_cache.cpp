#include "podlease/host/cni_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"

namespace podlease::host {

namespace {

namespace fs = std::filesystem;

using Json = nlohmann::json;

// One holds a network configuration in base64 and a result: some kilobytes.
constexpr std::size_t kMaxFile = 1 << 20;

constexpr std::string_view kKind = "cniCacheV1";

// kDecode, caught where the file is named.
Error wrong(const std::string& what) {
  return Error(ErrorKind::kDecode, what);
}

// Nothing for a field that is absent or null: Go writes null for a list or map that was never made.
const Json* find(const Json& object, const char* name) {
  const auto field = object.find(name);
  return field == object.end() || field->is_null() ? nullptr : &*field;
}

const std::string& string_of(const Json& value, const std::string& name) {
  if (!value.is_string()) {
    throw wrong(name + " is not a string");
  }
  return value.get_ref<const std::string&>();
}

std::string optional_string(const Json& object, const char* name) {
  const Json* const value = find(object, name);
  return value == nullptr ? std::string() : string_of(*value, name);
}

std::string required_string(const Json& object, const char* name) {
  std::string text = optional_string(object, name);
  if (text.empty()) {
    throw wrong(std::string(name) + " is missing");
  }
  return text;
}

// The arguments as libcni had them, before it made them one CNI_ARGS. A later one of the same name
// counts, as in CNI_ARGS.
void read_args(const Json& args, CachedAttachment& attachment) {
  if (!args.is_array()) {
    throw wrong("cniArgs is not a list");
  }
  for (const Json& pair : args) {
    if (!pair.is_array() || pair.size() != 2) {
      throw wrong("cniArgs holds something other than a pair");
    }
    const std::string& key = string_of(pair[0], "a key in cniArgs");
    const std::string& value = string_of(pair[1], "a value in cniArgs");
    if (key == "K8S_POD_NAMESPACE") {
      attachment.pod_namespace = value;
    } else if (key == "K8S_POD_NAME") {
      attachment.pod_name = value;
    } else if (key == "K8S_POD_UID") {
      attachment.pod_uid = value;
    }
  }
}

net::Prefix read_address(const Json& object, const char* name, const std::string& where) {
  if (!object.is_object()) {
    throw wrong(where + " is not an object");
  }
  const std::string text = optional_string(object, name);
  const auto address = net::Prefix::parse(text);
  if (!address) {
    throw wrong(where + "." + name + " is not an address with a length: " + in_quotes(text));
  }
  return *address;
}

// Whatever version the result is of: `ips` came with 0.3.0, `ip4` and `ip6` went.
std::vector<net::Prefix> read_addresses(const Json& result) {
  if (!result.is_object()) {
    throw wrong("result is not an object");
  }
  std::vector<net::Prefix> addresses;
  if (const Json* const ips = find(result, "ips")) {
    if (!ips->is_array()) {
      throw wrong("result.ips is not a list");
    }
    for (const Json& ip : *ips) {
      addresses.push_back(read_address(ip, "address", "result.ips[]"));
    }
  }
  for (const auto* name : {"ip4", "ip6"}) {
    if (const Json* const ip = find(result, name)) {
      addresses.push_back(read_address(*ip, "ip", std::string("result.") + name));
    }
  }
  return addresses;
}

struct Contents {
  std::string text;
  std::chrono::sys_time<Milliseconds> written;
};

// Throws kDecode.
CachedAttachment read_attachment(const fs::path& file, const Contents& contents) {
  const std::string& text = contents.text;
  constexpr bool kThrows = false;
  const Json json = Json::parse(text, nullptr, kThrows);
  // The parser takes a NUL for the end, whatever follows.
  if (json.is_discarded() || text.find('\0') != std::string::npos) {
    throw wrong("is not JSON, or not all of it");
  }
  if (!json.is_object()) {
    throw wrong("is not a JSON object");
  }
  if (const std::string kind = optional_string(json, "kind"); kind != kKind) {
    throw wrong("is of kind " + in_quotes(kind));
  }
  CachedAttachment attachment{.file = file,
                              .key = {.network = required_string(json, "networkName"),
                                      .container_id = required_string(json, "containerId"),
                                      .ifname = required_string(json, "ifName")},
                              .netns = optional_string(json, "netns"),
                              .pod_namespace = {},
                              .pod_name = {},
                              .pod_uid = {},
                              .addresses = {},
                              .written = contents.written};
  if (const Json* const args = find(json, "cniArgs")) {
    read_args(*args, attachment);
  }
  const Json* const result = find(json, "result");
  if (result == nullptr) {
    throw wrong("result is missing");
  }
  attachment.addresses = read_addresses(*result);
  return attachment;
}

std::chrono::sys_time<Milliseconds> written_at(const struct stat& status) {
  const auto written = std::chrono::seconds(status.st_mtim.tv_sec) +
                       std::chrono::nanoseconds(status.st_mtim.tv_nsec);
  return std::chrono::sys_time<Milliseconds>(std::chrono::floor<Milliseconds>(written));
}

// Nothing if the file is gone by now, for then a DEL has been. Throws kIo or kDecode.
std::optional<Contents> read_regular_file(const fs::directory_entry& item) {
  // Looked at before it is opened, which with a device may have consequences; and again afterwards.
  std::error_code error;
  const fs::file_status before = item.symlink_status(error);
  if (before.type() == fs::file_type::not_found) {
    return std::nullopt;
  }
  struct stat status {};
  UniqueFd fd;
  if (!error && before.type() == fs::file_type::regular) {
    fd.reset(open(item.path().c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (!fd && errno == ENOENT) {
      return std::nullopt;
    }
    if (!fd || fstat(fd.get(), &status) != 0) {
      throw io_error("cannot be opened", errno);
    }
  }
  if (!fd || !S_ISREG(status.st_mode)) {
    throw wrong("is not a regular file");
  }
  if (status.st_size > static_cast<off_t>(kMaxFile)) {
    throw wrong("is larger than " + std::to_string(kMaxFile) + " bytes");
  }
  return Contents{.text = read_all(fd.get(), kMaxFile), .written = written_at(status)};
}

void read_folder(const fs::path& folder, const std::string& network, CniCache& cache) {
  const std::string prefix = network.empty() ? "" : network + "-";
  std::error_code error;
  fs::directory_iterator item(folder, error);
  for (; !error && item != fs::directory_iterator(); item.increment(error)) {
    try {
      if (!item->path().filename().native().starts_with(prefix)) {
        continue;
      }
      if (const auto contents = read_regular_file(*item)) {
        CachedAttachment attachment = read_attachment(item->path(), *contents);
        // A name "a-b-…" may be of network a, or of network a-b.
        if (network.empty() || attachment.key.network == network) {
          cache.attachments.push_back(std::move(attachment));
        }
      }
    } catch (const Error& what) {
      cache.skipped.push_back({.file = item->path(), .why = what.what()});
    }
  }
}

bool is_same_folder(const fs::path& a, const fs::path& b) {
  std::error_code absent;
  return a == b || fs::equivalent(a, b, absent);
}

}  // namespace

CniCache read_cni_cache(const std::vector<fs::path>& folders, const std::string& network) {
  CniCache cache;
  for (auto folder = folders.begin(); folder != folders.end(); ++folder) {
    const bool is_known = std::any_of(folders.begin(), folder, [&](const fs::path& earlier) {
      return is_same_folder(earlier, *folder);
    });
    if (!is_known) {
      read_folder(*folder, network, cache);
    }
  }
  const auto by_file = [](const auto& a, const auto& b) { return a.file < b.file; };
  std::sort(cache.attachments.begin(), cache.attachments.end(), by_file);
  std::sort(cache.skipped.begin(), cache.skipped.end(), by_file);
  return cache;
}

std::optional<std::chrono::sys_time<Milliseconds>> cached_at(const std::vector<fs::path>& folders,
                                                             const AttachmentKey& key) {
  const std::string name = key.network + "-" + key.container_id + "-" + key.ifname;
  std::optional<std::chrono::sys_time<Milliseconds>> last;
  for (const fs::path& folder : folders) {
    struct stat status {};
    if (lstat((folder / name).c_str(), &status) == 0) {
      last = std::max(last, std::optional(written_at(status)));
    }
  }
  return last;
}

}  // namespace podlease::host
