#include <algorithm>
#include <string>
#include <utility>

#include "delegates.h"
#include "essentials.h"
#include "ipam.h"
#include "main_plugin.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "range_checks.h"
#include "ranges.h"
#include "runtime_inputs.h"
#include "shape.h"
#include "value.h"

namespace podlease::config {
namespace {

// runtimeConfig.ipRanges.
Value runtime_ranges_in(const Value& root) {
  return root.member("runtimeConfig").member("ipRanges");
}

}  // namespace

struct Document::Impl {
  Json json;

  [[nodiscard]] Value root() const { return {&json, ""}; }
};

Document::Document(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
Document::~Document() = default;

Document Document::parse(std::string_view text) {
  if (trimmed(text).empty()) {
    throw Error(ErrorKind::kDecode, "no network configuration on standard input");
  }
  // The parser would take a NUL for the end of the text, whatever follows.
  if (text.find('\0') != std::string_view::npos) {
    throw Error(ErrorKind::kDecode, "the network configuration contains a NUL byte");
  }
  check_shape(text);
  auto impl = std::make_unique<Impl>();
  try {
    impl->json = Json::parse(text);
  } catch (const Json::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: …": the words after the
    // tag are for people.
    const std::string_view what(exception.what());
    const std::size_t tag = what.find("] ");
    throw Error(ErrorKind::kDecode,
                "the network configuration is not JSON: " +
                    std::string(what.substr(tag == std::string_view::npos ? 0 : tag + 2)));
  }
  if (!impl->json.is_object()) {
    throw Error(ErrorKind::kDecode, "the network configuration is not a JSON object");
  }
  return Document(std::move(impl));
}

Document Document::parse_file(std::string_view text) {
  Document document = parse(text);
  const Value root = document.impl_->root();
  if (std::optional<Json> found = find_podlease(root, {})) {
    document.impl_->json = *std::move(found);
    return document;
  }
  for (const char* const key : {"plugins", "delegates"}) {
    if (const Value others = root.member(key); others.present()) {
      throw others.error("contains no plugin whose ipam.type is podlease");
    }
  }
  return document;
}

std::optional<Document> Document::find_in_file(std::string_view text,
                                               const FindNetwork& find_network) {
  Document document = parse(text);
  const auto read_network = [&](const std::string& network,
                                const std::string& conf_dir) -> std::optional<Json> {
    const std::optional<std::string> found =
        find_network ? find_network(network, conf_dir) : std::nullopt;
    return found ? std::optional<Json>(std::move(parse(*found).impl_->json)) : std::nullopt;
  };
  std::optional<Json> found = find_podlease(document.impl_->root(), read_network);
  if (!found) {
    return std::nullopt;
  }
  document.impl_->json = *std::move(found);
  return document;
}

// The order of keys means nothing, unless one key is there in two cases.
bool Document::says_the_same_as(const Document& other) const {
  return nlohmann::json(impl_->json) == nlohmann::json(other.impl_->json);
}

Essentials Document::essentials() const {
  return read_essentials(impl_->root());
}

Essentials Document::lenient_essentials() const {
  return read_essentials_leniently(impl_->root());
}

MainPlugin Document::main_plugin() const {
  return read_main_plugin(impl_->root());
}

NetConf Document::net_conf(std::string_view args_ip) const {
  const Value root = impl_->root();
  const Value ipam = root.member("ipam");
  if (!ipam.present()) {
    throw Error(ErrorKind::kConfig, "IPAM config missing 'ipam' key");
  }
  NetConf conf{.essentials = essentials(), .main_plugin = main_plugin()};
  read_ipam(ipam, runtime_ranges_in(root), conf);
  if (conf.is_fixed()) {
    resolve(conf, {});
  }
  if (conf.mode == Mode::kClusterPool) {
    check_main_plugin_of_blocks(ipam, conf);
  }
  conf.requested = read_requested_addresses(root, args_ip);
  return conf;
}

void Document::resolve(NetConf& conf, const std::vector<NodeCidr>& cidrs) const {
  const Value root = impl_->root();
  const Value ipam = root.member("ipam");
  std::vector<RangeSet> sets =
      conf.mode == Mode::kKubernetes
          ? ranges_of_node(ipam, cidrs, conf.prefix)
          : read_range_sets(ipam, runtime_ranges_in(root), conf.prefix, cidrs);
  conf.range_sets = choose_families(ipam.member("families"), conf.families, std::move(sets));
  check_main_plugin(conf);
  check_ranges(conf);
}

std::optional<std::vector<net::Address>> Document::previous_addresses() const {
  return read_previous_addresses(impl_->root());
}

ValidAttachments Document::valid_attachments() const {
  return read_valid_attachments(impl_->root());
}

}  // namespace podlease::config
