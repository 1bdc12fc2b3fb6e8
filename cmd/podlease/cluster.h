#ifndef PODLEASE_CMD_CLUSTER_H_
#define PODLEASE_CMD_CLUSTER_H_

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster_view.h"
#include "command.h"
#include "podlease/kube/client.h"
#include "podlease/net/prefix.h"

// What the commands that ask the cluster share: which API server they ask, as which user, and how
// they report that the server refused.
namespace podlease::cmd {

struct ClusterOptions {
  std::filesystem::path kubeconfig;  // empty: the usual places
  Milliseconds timeout{10'000};      // of all API work
};

// Declares both options for a command and returns them.
std::array<Option, 2> declare_cluster_options(Command& command, ClusterOptions& options);

// The kubeconfig that is meant: `given`, else the first entry of $KUBECONFIG that exists, else
// ~/.kube/config, else where nodes keep theirs. Throws kConfig.
[[nodiscard]] std::filesystem::path find_cluster_kubeconfig(const std::filesystem::path& given);

class Cluster {
 public:
  // All its requests share one deadline. With `dry_run` the API server checks changes
  // and makes none.
  explicit Cluster(const ClusterOptions& options, bool dry_run = false);

  // Calls `question` with the client and returns its result. The error of a refusal names what is
  // forbidden, and the commands that allow it. `resource` is spelled as kubectl spells it.
  template <typename Question>
  auto ask(const char* verb, const char* resource, Question question) {
    try {
      return question(client_);
    } catch (const kube::ApiError& error) {
      throw explained(error, verb, resource);
    }
  }

  [[nodiscard]] std::vector<kube::PodPool> pools();
  [[nodiscard]] std::vector<kube::PodBlock> blocks();
  [[nodiscard]] std::vector<kube::Pod> pods();
  // Throws kConfig if there is none of that name, naming those that there are.
  [[nodiscard]] kube::PodPool pool(const std::string& name);
  // Nothing, and a warning, if listing them is forbidden. `why` says what remains unknown then.
  [[nodiscard]] std::optional<std::vector<kube::Node>> nodes(const std::string& why);

  // Everything that is known to have addresses: Nodes, CiliumNodes, ServiceCIDRs and PodPools.
  // There is a warning for each kind that this user may not list or that this cluster does not
  // have.
  [[nodiscard]] std::vector<Space> spaces(const std::vector<kube::PodPool>& pools);

  // Seconds since 1970, by the server's clock; by our own clock before the first answer.
  [[nodiscard]] std::int64_t now() const;

  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  void warn(std::string warning) { warnings_.push_back(std::move(warning)); }
  // For people, to stderr.
  void print_warnings() const;

 private:
  [[nodiscard]] static kube::ApiError explained(const kube::ApiError& error, const char* verb,
                                                const char* resource);
  // What `list` returns; nothing, and a warning, if listing is forbidden.
  template <typename Object>
  [[nodiscard]] std::optional<std::vector<Object>> list_if_allowed(
      const char* resource, const std::string& why, std::vector<Object> (kube::Client::*list)());

  kube::Client client_;
  std::vector<std::string> warnings_;
};

// A CIDR that an operator typed. Throws kConfig if it is malformed or has host bits.
[[nodiscard]] net::Prefix parse_cidr(const std::string& text);

// The bar of a share on a terminal, coloured by how much is left, and its percentage.
[[nodiscard]] std::string share_text(net::Uint128 part, net::Uint128 whole);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_CLUSTER_H_
