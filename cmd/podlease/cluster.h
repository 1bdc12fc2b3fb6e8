#ifndef PODLEASE_CMD_CLUSTER_H_
#define PODLEASE_CMD_CLUSTER_H_

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

// What the commands that ask the cluster share: who is asked, as whom, and how a refusal is told.
namespace podlease::cmd {

// The kubeconfig that is meant: `given`, else the first entry of $KUBECONFIG that exists, else
// ~/.kube/config, else where nodes keep theirs. Throws kConfig.
[[nodiscard]] std::filesystem::path find_cluster_kubeconfig(const std::filesystem::path& given);

class Cluster {
 public:
  // All its requests share one deadline. `dry_run`: the API server judges changes, and makes none.
  explicit Cluster(const ClusterOptions& options, bool dry_run = false);

  // Asks, and returns what `question` does of the client. A refusal names what may not be done, and
  // the commands that allow it. `resource` is as kubectl spells it.
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
  // Nothing, and a warning, if they may not be listed. `why` says what cannot be told without.
  [[nodiscard]] std::optional<std::vector<kube::Node>> nodes(const std::string& why);

  // Whatever is known to have addresses: Nodes, CiliumNodes, ServiceCIDRs and PodPools. What may
  // not be listed, or is no object in this cluster, becomes a warning.
  [[nodiscard]] std::vector<Space> spaces(const std::vector<kube::PodPool>& pools);

  // By the server's clock, in seconds since 1970; by ours before it was asked anything.
  [[nodiscard]] std::int64_t now() const;

  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  void warn(std::string warning) { warnings_.push_back(std::move(warning)); }
  // For people, to stderr.
  void print_warnings() const;

 private:
  [[nodiscard]] static kube::ApiError explained(const kube::ApiError& error, const char* verb,
                                                const char* resource);
  // What `list` returns; nothing, and a warning, if it may not be listed.
  template <typename Object>
  [[nodiscard]] std::optional<std::vector<Object>> list_if_allowed(
      const char* resource, const std::string& why, std::vector<Object> (kube::Client::*list)());

  kube::Client client_;
  std::vector<std::string> warnings_;
};

// A CIDR that an operator typed. Throws kConfig for what is none, or has host bits.
[[nodiscard]] net::Prefix parse_cidr(const std::string& text);

// The bar of a share on a terminal, coloured by how much is left, and its percentage.
[[nodiscard]] std::string share_text(net::Uint128 part, net::Uint128 whole);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_CLUSTER_H_
