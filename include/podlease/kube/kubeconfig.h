#ifndef PODLEASE_KUBE_KUBECONFIG_H_
#define PODLEASE_KUBE_KUBECONFIG_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// Where an API server is, and who we are to it: a kubeconfig file, as kubectl and the kubelet read
// it (client-go, clientcmd/api/v1).
namespace podlease::kube {

struct Server {
  std::string url;           // as written
  std::string host;          // a name or an address, without brackets
  std::uint16_t port = 443;  //
  std::string base_path;     // before /api: empty, or /k8s/clusters/c-1 without a slash at its end
  std::string tls_server_name;  // what its certificate must be made out to; empty: `host`
  std::string authorities;      // PEM of who may have signed that; empty: whom this machine trusts
  bool skip_verification = false;
};

// A program that prints credentials: client.authentication.k8s.io/v1.
struct ExecPlugin {
  std::string api_version;
  std::string command;
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  bool provide_cluster_info = false;
};

struct User {
  std::string certificate;           // PEM; empty: none
  std::string key;                   // PEM; with `certificate`
  std::string token;                 // empty: none
  std::filesystem::path token_file;  // empty: none; beats `token`; read anew for each use
  std::optional<ExecPlugin> exec;    // asked where there is no token
};

struct Kubeconfig {
  std::filesystem::path path;
  std::string context;  // the current one
  Server server;
  User user;
};

// The files it names are read, except the token's; relative paths are relative to its folder.
// Throws kConfig, naming the file, the entry and the field: unreadable, not YAML, no
// current-context or one that leads nowhere, two entries of one name, a server that is not https, a
// certificate without its key, what podlease refuses (proxy-url, auth-provider, impersonation, user
// name and password; YAML anchors and aliases).
[[nodiscard]] Kubeconfig read_kubeconfig(const std::filesystem::path& path);

// What a pod of the cluster has in place of one: the server at `host` and `port`, as
// $KUBERNETES_SERVICE_HOST and $KUBERNETES_SERVICE_PORT say, and the token and the authority of its
// service account in `folder`. Throws kConfig if the port is none or the authority cannot be read.
[[nodiscard]] Kubeconfig in_cluster(const std::string& host, const std::string& port,
                                    const std::filesystem::path& folder);

// Who a kubeconfig makes us, as far as it can be told without asking anybody.
struct Identity {
  std::string common_name;  // of the client certificate; empty: there is none
  std::string node_name;    // of a common name system:node:NAME, or else of a service account token
                            // that is bound to a node; empty: neither
  // When the client certificate ends, in seconds since 1970.
  std::optional<std::int64_t> certificate_ends;
};

// Throws kConfig for a certificate or a key that cannot be read, or that do not belong together. A
// token that is no JWT tells nothing.
[[nodiscard]] Identity identity_of(const Kubeconfig& kubeconfig);

}  // namespace podlease::kube

#endif  // PODLEASE_KUBE_KUBECONFIG_H_
