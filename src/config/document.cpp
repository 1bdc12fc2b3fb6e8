#include <algorithm>
#include <array>
#include <utility>

#include "known_keys.h"
#include "podlease/base/duration.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "ranges.h"
#include "value.h"

namespace podlease::config {
namespace {

using net::Address;
using net::Family;

// As deep as Go's decoder goes.
constexpr std::size_t kDeepest = 10'000;
// Of one object. Keys are kept in order and looked for one by one, so that many more would be a
// standstill.
constexpr std::size_t kMostKeys = 10'000;

constexpr std::array<std::string_view, 19> kIpamKeys{"type",
                                                     "mode",
                                                     "subnet",
                                                     "rangeStart",
                                                     "rangeEnd",
                                                     "gateway",
                                                     "ranges",
                                                     "routes",
                                                     "dataDir",
                                                     "exclude",
                                                     "resolvConf",
                                                     "prefix",
                                                     "families",
                                                     "cooldown",
                                                     "pool",
                                                     "kubernetes",
                                                     "log",
                                                     "lockTimeout",
                                                     "statusFailsWhenExhausted"};

constexpr std::array<std::string_view, 2> kLogKeys{"file", "level"};

constexpr std::array<std::string_view, 5> kKubernetesKeys{"kubeconfig", "nodeName", "timeout",
                                                          "refresh", "sources"};

Milliseconds read_duration(const Value& value, Milliseconds otherwise) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    return otherwise;
  }
  const std::optional<Milliseconds> duration = parse_duration(*text);
  if (!duration) {
    throw value.error("is not a duration, such as 30s or 2m");
  }
  return *duration;
}

// The kernel would take what stands before a NUL for the whole path, and a line break would cut a
// message or the list of stores in two.
std::filesystem::path read_path(const Value& value) {
  const std::string text = value.string().value_or("");
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    throw value.error("holds a control character");
  }
  return text;
}

std::filesystem::path read_absolute_path(const Value& value) {
  std::filesystem::path path = read_path(value);
  if (!path.empty() && !path.is_absolute()) {
    throw value.error("is not an absolute path");
  }
  return path;
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

net::IntervalSet read_exclude(const Value& value) {
  std::vector<net::Range> ranges;
  for (const Value& element : value.list()) {
    const std::string text = element.string().value_or("");
    const std::optional<net::Range> range = net::Range::parse(text);
    if (!range) {
      throw element.error("is not an address, a prefix or a FIRST-LAST range");
    }
    // A v4-mapped spelling would otherwise exclude nothing. Not both mapped: a wide IPv6 range.
    const bool mapped = range->first().is_v4_mapped() && range->last().is_v4_mapped();
    ranges.push_back(mapped ? *net::Range::make(range->first().unmapped(), range->last().unmapped())
                            : *range);
  }
  return net::IntervalSet(std::move(ranges));
}

// Text of an address with or without a prefix length, which is dropped.
Address read_requested(const Value& value) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    throw value.error("is null");
  }
  const std::size_t slash = text->find('/');
  if (slash != std::string::npos && !net::Prefix::parse(*text)) {
    throw value.error("is neither an IP address nor one with a prefix length");
  }
  return read_address(value, std::string_view(*text).substr(0, slash));
}

PrefixMode read_prefix(const Value& value) {
  const std::string text = to_lower(value.string().value_or("subnet"));
  if (text == "subnet") {
    return PrefixMode::kSubnet;
  }
  if (text == "pool") {
    return PrefixMode::kPool;
  }
  if (text == "host") {
    return PrefixMode::kHost;
  }
  throw value.error("is none of subnet, pool and host");
}

// Without a word it follows from whether ranges are given.
Mode read_mode(const Value& value, bool ranges_given) {
  const std::optional<std::string> text = value.string();
  if (!text) {
    return ranges_given ? Mode::kStatic : Mode::kKubernetes;
  }
  if (equals_ignoring_case(*text, "multi-pool")) {
    throw Error(ErrorKind::kUnsupportedField,
                value.path() + " " + in_quotes(*text) + " is not in this version of podlease",
                "this version has the modes static, kubernetes, crd and cluster-pool");
  }
  for (const Mode mode : {Mode::kStatic, Mode::kKubernetes, Mode::kCrd, Mode::kClusterPool}) {
    if (!equals_ignoring_case(*text, to_string(mode))) {
      continue;
    }
    if (mode != Mode::kStatic && ranges_given) {
      throw value.error("takes its addresses from the cluster, and there are ranges beside it",
                        "leave the ranges out, or set the mode to static; there a subnet "
                        "\"usePodCidr\" is the node's CIDR");
    }
    return mode;
  }
  throw value.error("is none of static, kubernetes, crd and cluster-pool");
}

std::vector<Family> read_families(const Value& value) {
  std::vector<Family> families;
  for (const Value& element : value.list()) {
    const std::string text = to_lower(element.string().value_or(""));
    if (text != "ipv4" && text != "ipv6") {
      throw element.error("is neither ipv4 nor ipv6");
    }
    const Family family = text == "ipv4" ? Family::kIpv4 : Family::kIpv6;
    if (std::find(families.begin(), families.end(), family) != families.end()) {
      throw element.error("is there twice");
    }
    families.push_back(family);
  }
  if (value.present() && families.empty()) {
    throw value.error("names no family");
  }
  return families;
}

// Reorders `sets` to the families asked for, and leaves the others out. `value` is where they are
// asked for.
std::vector<RangeSet> choose_families(const Value& value, const std::vector<Family>& families,
                                      std::vector<RangeSet> sets) {
  if (families.empty()) {
    return sets;
  }
  std::vector<RangeSet> chosen;
  for (std::size_t i = 0; i < families.size(); ++i) {
    const std::size_t before = chosen.size();
    std::copy_if(sets.begin(), sets.end(), std::back_inserter(chosen),
                 [&](const RangeSet& set) { return set.family() == families[i]; });
    if (chosen.size() == before) {
      throw value.list()[i].error("has no range");
    }
  }
  return chosen;
}

// The name of a Kubernetes object; anything else than a name may hold would change the request.
std::string read_object_name(const Value& value, const std::string& otherwise, const char* wrong) {
  std::string name = value.string().value_or(otherwise);
  if (std::any_of(name.begin(), name.end(), [](char c) {
        return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.';
      })) {
    throw value.error(wrong, "it holds small letters, digits, '-' and '.'");
  }
  return name;
}

KubernetesConf read_kubernetes(const Value& value) {
  KubernetesConf conf{.kubeconfig = read_absolute_path(value.member("kubeconfig"))};
  conf.node_name = read_object_name(value.member("nodeName"), "", "is no name of a Node");
  const Value timeout = value.member("timeout");
  conf.timeout = read_duration(timeout, conf.timeout);
  if (conf.timeout == Milliseconds(0)) {
    throw timeout.error("leaves no time to ask the API");
  }
  conf.refresh = read_duration(value.member("refresh"), conf.refresh);
  const Value sources = value.member("sources");
  if (!sources.present()) {
    return conf;
  }
  conf.sources.clear();
  for (const Value& element : sources.list()) {
    const std::string text = element.string().value_or("");
    const auto before = conf.sources.size();
    for (const CidrSource source :
         {CidrSource::kSpec, CidrSource::kAnnotation, CidrSource::kCiliumNode}) {
      if (!equals_ignoring_case(text, to_string(source))) {
        continue;
      }
      if (std::find(conf.sources.begin(), conf.sources.end(), source) != conf.sources.end()) {
        throw element.error("is there twice");
      }
      conf.sources.push_back(source);
    }
    if (conf.sources.size() == before) {
      throw element.error("is none of spec, annotation and ciliumnode");
    }
  }
  if (conf.sources.empty()) {
    throw sources.error("names no source");
  }
  return conf;
}

// Of an `ipam` without a subnet; "none" is no address.
std::optional<Address> read_lone_gateway(const Value& ipam) {
  const Value gateway = ipam.member("gateway");
  const std::string text = gateway.string().value_or("");
  if (ipam.member("subnet").present() || text.empty() || equals_ignoring_case(text, "none")) {
    return std::nullopt;
  }
  return read_address(gateway, text);
}

// The IPv4 prefix that an IPv4 prefix in IPv6 spelling means.
net::Prefix unmapped(const Value& value, const net::Prefix& prefix) {
  constexpr int kMappedBits = 96;
  if (!prefix.address().is_v4_mapped()) {
    return prefix;
  }
  const auto v4 = net::Prefix::make(prefix.address().unmapped(), prefix.length() - kMappedBits);
  if (!v4) {
    throw value.error("is an IPv4 address in IPv6 spelling with an IPv6 prefix length");
  }
  return *v4;
}

std::vector<net::Route> read_routes(const Value& list) {
  std::vector<net::Route> routes;
  for (const Value& value : list.list()) {
    const Value destination_value = value.member("dst");
    const std::optional<net::Prefix> destination =
        net::Prefix::parse(destination_value.string().value_or(""));
    if (!destination) {
      throw destination_value.error(
          destination_value.present() ? "is not a destination, such as 0.0.0.0/0" : "is missing");
    }
    net::Route route{.destination = unmapped(destination_value, *destination)};
    const Value gateway = value.member("gw");
    const std::string gateway_text = gateway.string().value_or("");
    if (!gateway_text.empty()) {
      route.gateway = read_address(gateway, gateway_text);
    }
    route.mtu = value.member("mtu").integer().value_or(0);
    route.advertised_mss = value.member("advmss").integer().value_or(0);
    route.priority = value.member("priority").integer().value_or(0);
    route.table = value.member("table").integer();
    route.scope = value.member("scope").integer();
    routes.push_back(route);
  }
  return routes;
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
    throw level.error("is none of debug, info, warning and error");
  }
  return log;
}

std::vector<RequestedAddress> read_all_requested(const Value& root, std::string_view args_ip) {
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
      add(read_requested(value), value.path());
    } catch (const Error& error) {
      throw Error(ErrorKind::kEnvironment, error.what(), error.details());
    }
  }
  for (const Value& list : {root.member("args").member("cni").member("ips"),
                            root.member("runtimeConfig").member("ips")}) {
    for (const Value& element : list.list()) {
      add(read_requested(element), element.path());
    }
  }
  return requested;
}

// A configuration before 0.3.0 can only name one address a family.
void check_old_version(const std::string& cni_version, const std::vector<RangeSet>& sets) {
  constexpr std::array<std::string_view, 3> kOneEach{"", "0.1.0", "0.2.0"};
  if (std::find(kOneEach.begin(), kOneEach.end(), cni_version) == kOneEach.end()) {
    return;
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (std::count_if(sets.begin(), sets.end(),
                      [&](const RangeSet& set) { return set.family() == family; }) > 1) {
      throw Error(ErrorKind::kConfig,
                  "cniVersion " + in_quotes(cni_version) +
                      " has room for one address a family, and ipam has several " +
                      std::string(name(family)) + " range sets",
                  "use 0.3.0 or newer, or one range set for each family");
    }
  }
}

bool is_true(const Value& value) {
  try {
    return value.boolean().value_or(false);
  } catch (const Error&) {
    return false;  // the main plugin's key, and its own business
  }
}

// What the main plugin does with the gateway of an answer.
struct MainPlugin {
  bool is_ptp = false;             // takes it for its end of the link, and needs one
  bool is_bridge_gateway = false;  // takes it for the bridge's, or invents one; one a family
};

MainPlugin main_plugin_in(const Value& root) {
  std::string type;
  try {
    type = root.member("type").string().value_or("");
  } catch (const Error&) {
    return {};
  }
  return {.is_ptp = type == "ptp",
          .is_bridge_gateway = type == "bridge" && (is_true(root.member("isGateway")) ||
                                                    is_true(root.member("isDefaultGateway")))};
}

// The same for blocks of a pool, of which a node may have several: before the first pod.
void check_blocks(const Value& root, const NetConf& conf) {
  const MainPlugin plugin = main_plugin_in(root);
  const bool has_gateway = !conf.gateway_none && conf.prefix != PrefixMode::kHost;
  if (plugin.is_ptp && !has_gateway) {
    throw Error(ErrorKind::kConfig, "ipam has no gateway, and ptp needs one",
                "leave ipam.gateway out, and set ipam.prefix to \"subnet\"");
  }
  if (plugin.is_bridge_gateway && (conf.prefix != PrefixMode::kPool || !has_gateway)) {
    throw Error(ErrorKind::kConfig,
                "mode cluster-pool may give this node several blocks, and bridge with isGateway "
                "can have one subnet of a family",
                "set ipam.prefix to \"pool\" and leave ipam.gateway out, or use ptp: "
                "conf/10-cluster-pool-ptp.conflist");
  }
  if (conf.gateway && conf.prefix != PrefixMode::kPool) {
    throw root.member("ipam").member("gateway").error(
        "is one address, and each block has its own gateway, its first address",
        "leave it out, or set ipam.prefix to \"pool\"");
  }
}

// Combinations of the main plugin's keys and ours that break pods later, or put one address on two
// interfaces.
void check_main_plugin(const Value& root, const std::vector<RangeSet>& sets,
                       std::vector<std::string>& warnings) {
  const MainPlugin plugin = main_plugin_in(root);
  if (!plugin.is_bridge_gateway && !plugin.is_ptp) {
    return;
  }
  for (const RangeSet& set : sets) {
    const RangeSet& first_of_family =
        *std::find_if(sets.begin(), sets.end(),
                      [&](const RangeSet& other) { return other.family() == set.family(); });
    const AddressRange& first = first_of_family.ranges.front();
    for (const AddressRange& range : set.ranges) {
      if (!range.gateway) {
        throw Error(
            ErrorKind::kConfig,
            range.path + " has no gateway, and " +
                (plugin.is_ptp ? "ptp needs one"
                               : "bridge with isGateway would invent one that a pod may hold"),
            "give " + range.path + ".gateway" +
                (plugin.is_ptp ? "" : ", or set isGateway and isDefaultGateway to false"));
      }
      if (plugin.is_bridge_gateway && range.subnet != first.subnet) {
        warnings.push_back(range.path + " is another subnet than " + first.path +
                           ": bridge with isGateway refuses the second subnet of a family");
      }
    }
  }
}

// Outside its subnet, only a link-local IPv6 gateway is what people mean.
void warn_of_gateways(const std::vector<RangeSet>& sets, std::vector<std::string>& warnings) {
  for (const RangeSet& set : sets) {
    for (const AddressRange& range : set.ranges) {
      if (range.gateway && !range.subnet.contains(*range.gateway) &&
          !range.gateway->is_link_local_v6()) {
        warnings.push_back(range.path + ".gateway " + range.gateway->to_string() +
                           " is outside subnet " + range.subnet.to_string());
      }
    }
  }
}

void judge_all_keys(const Value& ipam, std::vector<std::string>& warnings) {
  judge_keys(ipam, kIpamKeys, warnings);
  for (const Value& set : ipam.member("ranges").list()) {
    for (const Value& range : set.list()) {
      judge_keys(range, kRangeKeys, warnings);
    }
  }
  judge_keys(ipam.member("log"), kLogKeys, warnings);
  judge_keys(ipam.member("kubernetes"), kKubernetesKeys, warnings);
}

// Refuses, before anything is parsed, what would take too much stack or time: the parser keeps the
// keys of an object in order, and looks through them all for each. (A parser callback could count
// too, but makes nlohmann's parser walk a list again after each of its elements.) Where the text is
// not JSON the count may be wrong, but then the parser refuses it all the same.
void check_shape(std::string_view text) {
  // Of each object around the current place the keys so far, of each list 0.
  std::vector<std::size_t> keys;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (keys.size() >= kDeepest) {
        throw Error(ErrorKind::kDecode, "the network configuration is nested too deeply");
      }
      keys.push_back(c == '{' ? 1 : 0);
    } else if (keys.empty()) {
      continue;
    } else if (c == ']' || c == '}') {
      keys.pop_back();
    } else if (c == ',' && keys.back() > 0 && ++keys.back() > kMostKeys) {
      throw Error(ErrorKind::kDecode, "the network configuration has an object of more than " +
                                          std::to_string(kMostKeys) + " keys");
    }
  }
}

std::string read_network_name(const Value& value) {
  std::string name = value.string().value_or("");
  if (name.empty()) {
    throw Error(ErrorKind::kConfig, "missing network name",
                "the configuration must have a key \"name\"");
  }
  if (!is_valid_name(name)) {
    throw value.error(
        "is not a valid network name",
        "it must start with a letter or a digit and hold only those, '_', '.' and '-'");
  }
  return name;
}

}  // namespace

std::string_view to_string(Mode mode) {
  switch (mode) {
    case Mode::kStatic:
      return "static";
    case Mode::kKubernetes:
      return "kubernetes";
    case Mode::kCrd:
      return "crd";
    case Mode::kClusterPool:
      return "cluster-pool";
  }
  return "";
}

std::string_view to_string(CidrSource source) {
  switch (source) {
    case CidrSource::kSpec:
      return "spec";
    case CidrSource::kAnnotation:
      return "annotation";
    case CidrSource::kCiliumNode:
      return "ciliumnode";
  }
  return "";
}

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
  // The parser would take it for the end, whatever follows.
  if (text.find('\0') != std::string_view::npos) {
    throw Error(ErrorKind::kDecode, "the network configuration holds a NUL byte");
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
  const Value plugins = document.impl_->root().member("plugins");
  if (plugins.present() && !document.choose_plugin()) {
    throw plugins.error("holds no plugin whose ipam.type is podlease");
  }
  return document;
}

std::optional<Document> Document::find_in_file(std::string_view text) {
  Document document = parse(text);
  const Value root = document.impl_->root();
  const bool found = root.member("plugins").present()
                         ? document.choose_plugin()
                         : root.member("ipam").member("type").string() == "podlease";
  return found ? std::optional<Document>(std::move(document)) : std::nullopt;
}

// Of a configuration list, makes this document the plugin that uses podlease, as libcni hands it to
// one. Returns false if none does.
bool Document::choose_plugin() {
  const Value root = impl_->root();
  for (const Value& plugin : root.member("plugins").list()) {
    if (plugin.member("ipam").member("type").string() == "podlease") {
      Json json = plugin.json();
      for (const char* const key : {"cniVersion", "name"}) {
        if (const std::optional<std::string> value = root.member(key).string()) {
          json[key] = *value;
        }
      }
      impl_->json = std::move(json);
      return true;
    }
  }
  return false;
}

Essentials Document::essentials() const {
  const Value root = impl_->root();
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

Essentials Document::lenient_essentials() const {
  const Value root = impl_->root();
  Essentials essentials;
  const auto attempt = [](const auto& read) {
    try {
      read();
    } catch (const Error&) {
      // What cannot be read keeps its default: DEL goes on without it.
    }
  };
  attempt([&] { essentials.cni_version = root.member("cniVersion").string().value_or(""); });
  attempt([&] { essentials.name = read_network_name(root.member("name")); });
  attempt([&] { read_data_dir(root.member("ipam"), essentials); });
  attempt([&] { read_lock_timeout(root.member("ipam"), essentials); });
  attempt([&] { essentials.log = read_log(root.member("ipam").member("log")); });
  return essentials;
}

NetConf Document::net_conf(std::string_view args_ip) const {
  const Value root = impl_->root();
  const Value ipam = root.member("ipam");
  if (!ipam.present()) {
    throw Error(ErrorKind::kConfig, "IPAM config missing 'ipam' key");
  }
  NetConf conf{.essentials = essentials()};
  judge_all_keys(ipam, conf.warnings);
  static_cast<void>(ipam.member("type").string());  // that it is one
  const Value runtime_ranges = root.member("runtimeConfig").member("ipRanges");
  conf.mode = read_mode(ipam.member("mode"), has_ranges(ipam, runtime_ranges));
  conf.families = read_families(ipam.member("families"));
  conf.gateway = read_lone_gateway(ipam);
  conf.gateway_none = equals_ignoring_case(ipam.member("gateway").string().value_or(""), "none");
  conf.kubernetes = read_kubernetes(ipam.member("kubernetes"));
  conf.pool = read_object_name(ipam.member("pool"), conf.pool, "is no name of a pool");
  conf.prefix = read_prefix(ipam.member("prefix"));
  if (conf.mode == Mode::kStatic) {
    conf.node_families = node_families_of(ipam, runtime_ranges);
  }
  if (conf.is_fixed()) {
    resolve(conf, {});
  }
  if (conf.mode == Mode::kClusterPool) {
    check_blocks(root, conf);
  }
  conf.exclude = read_exclude(ipam.member("exclude"));
  conf.cooldown = read_duration(ipam.member("cooldown"), conf.cooldown);
  conf.routes = read_routes(ipam.member("routes"));
  conf.resolv_conf = read_path(ipam.member("resolvConf"));
  conf.status_fails_when_exhausted =
      ipam.member("statusFailsWhenExhausted").boolean().value_or(false);
  conf.requested = read_all_requested(root, args_ip);
  return conf;
}

void Document::resolve(NetConf& conf, const std::vector<NodeCidr>& cidrs) const {
  const Value root = impl_->root();
  const Value ipam = root.member("ipam");
  conf.range_sets =
      choose_families(ipam.member("families"), conf.families,
                      conf.mode == Mode::kKubernetes
                          ? ranges_of_node(ipam, cidrs, conf.prefix)
                          : read_range_sets(ipam, root.member("runtimeConfig").member("ipRanges"),
                                            conf.prefix, cidrs));
  check_old_version(conf.essentials.cni_version, conf.range_sets);
  check_main_plugin(root, conf.range_sets, conf.warnings);
  warn_of_gateways(conf.range_sets, conf.warnings);
}

std::optional<std::vector<net::Address>> Document::previous_addresses() const {
  const Value previous = impl_->root().member("prevResult");
  if (!previous.present()) {
    return std::nullopt;
  }
  std::vector<Address> addresses;
  const auto add = [&](const Value& value) {
    if (value.present()) {
      addresses.push_back(read_requested(value));
    }
  };
  for (const Value& ip : previous.member("ips").list()) {
    add(ip.member("address"));
  }
  // 0.1.0 and 0.2.0.
  add(previous.member("ip4").member("ip"));
  add(previous.member("ip6").member("ip"));
  return addresses;
}

ValidAttachments Document::valid_attachments() const {
  ValidAttachments valid;
  const std::string network = impl_->root().member("name").string().value_or("");
  const auto& members = impl_->json.get_ref<const Json::object_t&>();
  for (const char* const key : {"cni.dev/valid-attachments", "cni.dev/attachments"}) {
    // Not Value::member: null is not the same as absent here.
    const auto found = std::find_if(members.begin(), members.end(), [&](const auto& member) {
      return equals_ignoring_case(member.first, key);
    });
    if (found == members.end()) {
      continue;
    }
    valid.given = true;
    for (const Value& element : Value(&found->second, key).list()) {
      const Value container_id = element.member("containerID");
      const Value ifname = element.member("ifname");
      AttachmentKey attachment{.network = network,
                               .container_id = container_id.string().value_or(""),
                               .ifname = ifname.string().value_or("")};
      if (attachment.container_id.empty() || attachment.ifname.empty()) {
        throw(attachment.container_id.empty() ? container_id : ifname).error("is missing");
      }
      valid.attachments.push_back(std::move(attachment));
    }
    break;
  }
  return valid;
}

}  // namespace podlease::config
