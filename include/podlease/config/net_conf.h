#ifndef PODLEASE_CONFIG_NET_CONF_H_
#define PODLEASE_CONFIG_NET_CONF_H_

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/net/route.h"

// The network configuration on stdin, checked. Key names match in any case, as in Go; unknown keys
// are ignored; null counts as absent. Every message names the JSON path and the value.
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

// What GC was told of the attachments that are still valid.
struct ValidAttachments {
  bool given = false;  // false: no information, so nothing may be concluded
  std::vector<AttachmentKey> attachments;
};

// Where the addresses come from (CILIUM-IPAM names them so).
enum class Mode {
  kStatic,       // from the ranges in this configuration
  kKubernetes,   // from the CIDRs of this node
  kCrd,          // one by one, from the CiliumNode
  kClusterPool,  // from blocks that this node claims of a PodPool
};

// Which mask an answer has.
enum class PrefixMode {
  kSubnet,  // that of the range, or of the block
  kPool,    // that of the pool's CIDR, for one flat network; of a range without a pool its own
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

// How the Kubernetes API is asked for them.
struct KubernetesConf {
  std::filesystem::path kubeconfig;  // empty: the first that exists of the usual places
  std::string node_name;             // empty: whom the kubeconfig says we are
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

// What DEL needs of a configuration, and no more: read as far as it can be, never refused.
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
  Mode mode = Mode::kStatic;
  // What is known without the node: empty where `needs_node`, until `Document::resolve`; and in
  // modes crd and cluster-pool, which have none. Otherwise never empty.
  std::vector<RangeSet> range_sets;
  PrefixMode prefix = PrefixMode::kSubnet;
  // Whose CIDRs of the node the ranges name (usePodCidr, usePodCidrIPv6).
  std::vector<net::Family> node_families;
  std::vector<net::Family> families;    // asked for, in order; empty: all that there are
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
  std::vector<std::string> warnings;        // what a careful reader would ask about

  // Reports whether all is known without asking anybody.
  [[nodiscard]] bool is_fixed() const { return mode == Mode::kStatic && node_families.empty(); }
  // Reports whether the ranges depend on the CIDRs of this node.
  [[nodiscard]] bool needs_node() const {
    return mode == Mode::kKubernetes || !node_families.empty();
  }
};

// A configuration that is JSON, not yet judged.
class Document {
 public:
  // Throws kDecode for what is not a JSON object, naming the byte.
  [[nodiscard]] static Document parse(std::string_view text);

  // The same for what stands in /etc/cni/net.d: of a configuration list, the plugin whose ipam.type
  // is podlease, with name and cniVersion put in as libcni does. Throws kConfig if none is.
  [[nodiscard]] static Document parse_file(std::string_view text);

  // As `parse_file`, but nothing where no plugin's ipam.type is podlease.
  [[nodiscard]] static std::optional<Document> find_in_file(std::string_view text);

  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;
  ~Document();

  // Throws kConfig for a wrong type, an invalid or missing network name; kDecode for a cniVersion
  // that is no string.
  [[nodiscard]] Essentials essentials() const;
  // As much of it as can be made out.
  [[nodiscard]] Essentials lenient_essentials() const;
  // The whole configuration. `args_ip` is the IP of CNI_ARGS, or empty. Throws kConfig.
  [[nodiscard]] NetConf net_conf(std::string_view args_ip) const;
  // Fills in the ranges of a configuration that `needs_node`: `cidrs` are the node's, one a family,
  // with all those of `node_families` among them. Throws kConfig.
  void resolve(NetConf& conf, const std::vector<NodeCidr>& cidrs) const;
  // The addresses in prevResult, in whichever shape; nothing without prevResult. Throws kConfig.
  [[nodiscard]] std::optional<std::vector<net::Address>> previous_addresses() const;
  // cni.dev/valid-attachments, or else cni.dev/attachments; null there means that none is valid.
  // Throws kConfig.
  [[nodiscard]] ValidAttachments valid_attachments() const;

 private:
  struct Impl;
  explicit Document(std::unique_ptr<Impl> impl);
  bool choose_plugin();

  std::unique_ptr<Impl> impl_;
};

}  // namespace podlease::config

#endif  // PODLEASE_CONFIG_NET_CONF_H_
