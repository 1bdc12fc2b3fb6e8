#ifndef PODLEASE_CONFIG_NET_CONF_H_
#define PODLEASE_CONFIG_NET_CONF_H_

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/config/main_plugin.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/net/route.h"

// The network configuration on stdin, checked. Key names match in any case, as in Go; unknown keys
// are ignored; null counts as absent. Every error names the JSON path and the value.
namespace podlease::config {

inline constexpr std::string_view kDefaultDataDir = "/var/lib/podlease";

// One entry of a range set, defaults filled in.
struct AddressRange {
  std::string path;    // where it stands in the JSON, e.g. ipam.ranges[0][1]
  net::Prefix subnet;  // masked
  net::Range range;  // what may be leased, before exclusions; both ends inclusive, within `subnet`
  std::optional<net::Address> gateway;  // nothing: the answer has none
  bool gateway_given = false;  // by the configuration; otherwise it is the default, network + 1
  int answer_length;           // prefix length of an answer from here
};

// An attachment gets one address from each range set; all of a set are of one family and apart from
// each other.
struct RangeSet {
  std::vector<AddressRange> ranges;  // never empty

  [[nodiscard]] net::Family family() const { return ranges.front().subnet.family(); }
};

struct RequestedAddress {
  net::Address address;
  std::string path;  // where it was asked for: CNI_ARGS IP, args.cni.ips[0], runtimeConfig.ips[0]
};

// The attachments that are still valid, as the runtime tells GC.
struct ValidAttachments {
  bool given = false;  // false: the runtime does not say, so nothing may be concluded
  std::vector<AttachmentKey> attachments;
};

// Where the addresses come from. The names are those of Cilium's IPAM modes.
enum class Mode {
  kStatic,       // from the ranges in this configuration
  kKubernetes,   // from the CIDRs of this node
  kCrd,          // one by one, from the CiliumNode
  kClusterPool,  // from blocks that this node claims of a PodPool
};

// Which prefix length an answer has.
enum class PrefixMode {
  kSubnet,  // that of the range's subnet, or of the block
  kPool,    // that of the pool's CIDR, for one flat network; without a pool that of the subnet
  kHost,    // /32 or /128; every address of the range is leased, and none is the gateway
};

// Where a node's CIDR may be written.
enum class CidrSource {
  kSpec,        // Node spec.podCIDRs, or else spec.podCIDR
  kAnnotation,  // annotations of the Node
  kCiliumNode,  // CiliumNode spec.ipam
};

[[nodiscard]] std::string_view to_string(Mode mode);
[[nodiscard]] std::string_view to_string(CidrSource source);

// How the Kubernetes API is asked for the node's CIDRs.
struct KubernetesConf {
  std::filesystem::path kubeconfig;  // empty: the first that exists of the usual places
  std::string node_name;             // empty: the one the kubeconfig is for
  Milliseconds timeout{2'000};       // of all API work in one call
  Milliseconds refresh{60'000};      // the age at which an object is read again
  std::vector<CidrSource> sources{CidrSource::kSpec, CidrSource::kAnnotation};  // first wins
};

// A CIDR of this node, masked.
struct NodeCidr {
  net::Prefix cidr;
  std::string origin;  // where it is written, for messages: Node worker-1 spec.podCIDRs[0]
};

struct LogConf {
  std::filesystem::path file;  // empty: no log
  LogLevel level = LogLevel::kInfo;
};

// What DEL needs of a configuration. DEL reads it leniently and never refuses it.
struct Essentials {
  std::string cni_version;
  std::string name;  // empty: not given, or not a valid network name
  std::filesystem::path data_dir{kDefaultDataDir};
  bool data_dir_given = false;
  Milliseconds lock_timeout{30'000};
  LogConf log;
};

struct NetConf {
  Essentials essentials;
  MainPlugin main_plugin;
  Mode mode = Mode::kStatic;
  // Empty if `needs_node`, until `Document::resolve`, and in modes crd and cluster-pool, whose
  // addresses do not come from the configuration. Otherwise never empty.
  std::vector<RangeSet> range_sets;
  PrefixMode prefix = PrefixMode::kSubnet;
  // The families of the node's CIDRs that the ranges name (usePodCidr, usePodCidrIPv6).
  std::vector<net::Family> node_families;
  std::vector<net::Family> families;    // asked for, in order; empty: all, as the ranges come
  std::optional<net::Address> gateway;  // directly under `ipam`, without a subnet beside it
  bool gateway_none = false;            // there, and "none"
  KubernetesConf kubernetes;
  std::string pool = "default";
  net::IntervalSet exclude;       // never leased
  Milliseconds cooldown{30'000};  // before a freed address is leased again; 0: at once
  std::vector<net::Route> routes;
  std::filesystem::path resolv_conf;  // empty: none
  bool status_fails_when_exhausted = false;
  std::vector<RequestedAddress> requested;  // without duplicates, in the order of the sources
  std::vector<std::string> warnings;        // what may be a mistake, for explain and doctor

  // Reports whether all ranges are known from the configuration alone.
  [[nodiscard]] bool is_fixed() const { return mode == Mode::kStatic && node_families.empty(); }
  // Reports whether the ranges depend on the CIDRs of this node.
  [[nodiscard]] bool needs_node() const {
    return mode == Mode::kKubernetes || !node_families.empty();
  }
};

// A configuration that is a JSON object; nothing else is checked yet.
class Document {
 public:
  // Throws kDecode for a text that is not a JSON object, naming line and column.
  [[nodiscard]] static Document parse(std::string_view text);

  // The same for a file of /etc/cni/net.d. Of a configuration list it is the plugin whose ipam.type
  // is podlease, with name and cniVersion of the list, as libcni does. Of Multus' configuration it
  // is the delegate that uses podlease. Throws kConfig if there is none.
  [[nodiscard]] static Document parse_file(std::string_view text);

  // Finds the text of the configuration that Multus' `clusterNetwork` or `defaultNetworks` name, by
  // a path or by the name of a network. `conf_dir` is Multus' `confDir`, or empty.
  using FindNetwork = std::function<std::optional<std::string>(const std::string& network,
                                                               const std::string& conf_dir)>;

  // As `parse_file`, but nothing if no plugin's ipam.type is podlease. Multus' named networks are
  // looked into if they can be found.
  [[nodiscard]] static std::optional<Document> find_in_file(std::string_view text,
                                                            const FindNetwork& find_network = {});

  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document();

  // Throws kConfig for a wrong type, an invalid or missing network name; kDecode for a cniVersion
  // that is no string.
  [[nodiscard]] Essentials essentials() const;
  // The same without an error: what cannot be read keeps its default.
  [[nodiscard]] Essentials lenient_essentials() const;
  // The keys of the main plugin, which are not judged: throws no Error.
  [[nodiscard]] MainPlugin main_plugin() const;
  // The whole configuration. `args_ip` is the IP of CNI_ARGS, or empty. Throws kConfig.
  [[nodiscard]] NetConf net_conf(std::string_view args_ip) const;
  // Fills in the ranges of a configuration that `needs_node`. `cidrs` are the node's, one per
  // family and with all of `node_families` among them; in mode kubernetes their order is the order
  // of the answer, unless `families` says another. Throws kConfig.
  void resolve(NetConf& conf, const std::vector<NodeCidr>& cidrs) const;
  // The addresses in prevResult, in whichever shape; nothing without prevResult. Throws kConfig.
  [[nodiscard]] std::optional<std::vector<net::Address>> previous_addresses() const;
  // cni.dev/valid-attachments, or else cni.dev/attachments; null there means that none is valid.
  // Throws kConfig.
  [[nodiscard]] ValidAttachments valid_attachments() const;
  // Reports whether both have the same keys and values.
  [[nodiscard]] bool says_the_same_as(const Document& other) const;

 private:
  struct Impl;
  explicit Document(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace podlease::config

#endif  // PODLEASE_CONFIG_NET_CONF_H_
