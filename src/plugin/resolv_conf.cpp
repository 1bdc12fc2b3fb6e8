#include "resolv_conf.h"

#include <cerrno>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"

namespace podlease::plugin {
namespace {

constexpr std::size_t kLargest = 1 << 20;

}  // namespace

cni::Dns parse_resolv_conf(std::string_view text) {
  cni::Dns dns;
  for (const std::string_view line : split(text, '\n')) {
    const std::string_view content = trimmed(line);
    if (content.starts_with('#') || content.starts_with(';')) {
      continue;
    }
    const std::vector<std::string_view> fields = words(content);
    if (fields.size() < 2) {
      continue;
    }
    const std::string_view keyword = fields.front();
    if (keyword == "nameserver") {
      dns.nameservers.emplace_back(fields[1]);
    } else if (keyword == "domain") {
      dns.domain = fields[1];
    } else if (keyword == "search") {
      dns.search.insert(dns.search.end(), fields.begin() + 1, fields.end());
    } else if (keyword == "options") {
      dns.options.insert(dns.options.end(), fields.begin() + 1, fields.end());
    }
  }
  return dns;
}

cni::Dns read_resolv_conf(const std::filesystem::path& path) {
  const std::optional<std::string> text = read_file(path, kLargest);
  if (!text) {
    throw io_error("ipam.resolvConf: open " + path.string(), ENOENT);
  }
  return parse_resolv_conf(*text);
}

}  // namespace podlease::plugin
