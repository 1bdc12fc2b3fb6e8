#include "podlease/kube/kubeconfig.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base64.h"
#include "entry.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "regular_file.h"
#include "server_url.h"
#include "yaml.h"

namespace podlease::kube {
namespace {

namespace fs = std::filesystem;

using Json = nlohmann::json;

constexpr std::string_view kExecV1 = "client.authentication.k8s.io/v1";
constexpr std::string_view kExecV1Beta1 = "client.authentication.k8s.io/v1beta1";

// What podlease does not do, and what to do instead.
struct Refusal {
  std::string_view field;
  std::string_view advice;
};
constexpr std::string_view kOtherLogin = "log in by a client certificate, a token or exec";
constexpr std::string_view kNoImpersonation = "give the identity itself, not one to pretend to be";
constexpr std::array<Refusal, 7> kRefusedOfUsers = {{{"username", kOtherLogin},
                                                     {"password", kOtherLogin},
                                                     {"auth-provider", "use exec instead"},
                                                     {"as", kNoImpersonation},
                                                     {"as-uid", kNoImpersonation},
                                                     {"as-groups", kNoImpersonation},
                                                     {"as-user-extra", kNoImpersonation}}};
constexpr std::array<Refusal, 1> kRefusedOfClusters = {
    {{"proxy-url", "the API server must be reachable from the node without a proxy"}}};

void refuse(const Entry& entry, const Refusal* first, const Refusal* last) {
  const Refusal* const found =
      std::find_if(first, last, [&](const Refusal& item) { return entry.says(item.field); });
  if (found != last) {
    throw entry.problem(found->field, "is not supported", found->advice);
  }
}

std::string names_in(const Entry& root, std::string_view list) {
  std::vector<std::string> names;
  for (const Json& item : root.list(list)) {
    if (item.is_object() && item.contains("name") && item["name"].is_string()) {
      names.push_back(in_quotes(item["name"].get<std::string>()));
    }
  }
  return names.empty() ? std::string(list) + " has no entries"
                       : std::string(list) + " has " + join(names, ", ");
}

// The entry of that name in a list of {name, WHAT: {…}}. Nothing if there is none. Two of one name
// are an error, as in client-go: which one counts would be a matter of luck.
std::optional<Entry> find_named(const Entry& root, std::string_view list, std::string_view what,
                                const std::string& name) {
  std::optional<Entry> found;
  for (const Json& item : root.list(list)) {
    const std::string path = std::string(list) + "[" + in_one_line(name, 80) + "]";
    if (!item.is_object() || item.value("name", Json()) != name) {
      continue;
    }
    if (found) {
      throw root.problem(path, "is there twice", "remove one of the two");
    }
    found = Entry(root.file(), path, item).object(what);
  }
  return found;
}

// The entry of list `list` that `field` of `holder` names.
Entry follow(const Entry& root, const Entry& holder, std::string_view field, std::string_view list,
             std::string_view what) {
  const std::string name = holder.text(field);
  if (name.empty()) {
    throw holder.problem(field, "is missing", names_in(root, list));
  }
  const std::optional<Entry> found = find_named(root, list, what, name);
  if (!found) {
    throw holder.error(field, "is not in " + std::string(list), names_in(root, list));
  }
  return *found;
}

// Relative to the folder of the kubeconfig.
fs::path path_in(const Entry& entry, std::string_view field) {
  const std::string path = entry.text(field);
  return path.empty() ? fs::path() : entry.file().parent_path() / path;
}

// NAME-data in base64, or else the file that NAME says. Empty: neither.
std::string material(const Entry& entry, const std::string& name, std::string_view pem_label) {
  const std::string data_field = name + "-data";
  std::string_view field = data_field;
  std::string pem;
  if (const std::string data = entry.text(data_field); !data.empty()) {
    const std::optional<std::string> decoded = decode_base64(data);
    if (!decoded) {
      throw entry.problem(field, "is not base64");
    }
    pem = *decoded;
  } else if (const fs::path path = path_in(entry, name); !path.empty()) {
    field = name;
    try {
      pem = read_regular_file(path);
    } catch (const Error& error) {
      throw entry.error(field, std::string("cannot be read: ") + error.what(),
                        "give the path of a file that podlease may read, or " + data_field);
    }
  } else {
    return {};
  }
  if (pem.find("-----BEGIN ") == std::string::npos || pem.find(pem_label) == std::string::npos) {
    throw entry.problem(field, "holds no PEM " + to_lower(pem_label));
  }
  return pem;
}

Server read_server(const Entry& cluster) {
  refuse(cluster, kRefusedOfClusters.begin(), kRefusedOfClusters.end());
  static_cast<void>(cluster.required_text("server"));
  Server server;
  try {
    server = parse_server_url(cluster.text("server"));
  } catch (const Error& error) {
    throw cluster.error("server", error.what(),
                        "write https://HOST:PORT, an IPv6 address in brackets");
  }
  server.tls_server_name = cluster.text("tls-server-name");
  server.authorities = material(cluster, "certificate-authority", "CERTIFICATE");
  server.skip_verification = cluster.flag("insecure-skip-tls-verify");
  if (server.skip_verification && !server.authorities.empty()) {
    throw cluster.error("insecure-skip-tls-verify", "makes certificate-authority useless",
                        "remove insecure-skip-tls-verify, or else the certificate authority");
  }
  return server;
}

std::vector<std::pair<std::string, std::string>> read_env(const Entry& exec) {
  std::vector<std::pair<std::string, std::string>> env;
  for (const Json& item : exec.list("env")) {
    const Entry variable(exec.file(), exec.path_of("env[]"), item);
    const std::string name = variable.required_text("name");
    if (name.find('=') != std::string::npos) {
      throw variable.error("name", "is no name of an environment variable");
    }
    env.emplace_back(name, variable.text("value"));
  }
  return env;
}

std::vector<std::string> read_args(const Entry& exec) {
  std::vector<std::string> args;
  for (const Json& item : exec.list("args")) {
    if (!item.is_string()) {
      throw exec.problem("args", "holds something other than strings");
    }
    args.push_back(item.get<std::string>());
  }
  return args;
}

void check_interactive_mode(const Entry& exec) {
  const std::string mode = exec.text("interactiveMode");
  if (mode == "Always") {
    throw exec.error("interactiveMode", "is not supported: nobody is there to answer",
                     "use IfAvailable or Never");
  }
  if (!mode.empty() && mode != "Never" && mode != "IfAvailable") {
    throw exec.error("interactiveMode", "is none of Never, IfAvailable and Always");
  }
}

// A command with a slash in it is relative to the kubeconfig's folder, one without is looked for in
// $PATH.
std::string command_of(const Entry& exec) {
  const std::string command = exec.required_text("command");
  return command.find('/') == std::string::npos ? command : path_in(exec, "command").string();
}

ExecPlugin read_exec(const Entry& exec, const Entry& cluster) {
  ExecPlugin plugin{.api_version = exec.required_text("apiVersion"),
                    .command = command_of(exec),
                    .args = read_args(exec),
                    .env = read_env(exec),
                    .provide_cluster_info = exec.flag("provideClusterInfo")};
  if (plugin.api_version != kExecV1 && plugin.api_version != kExecV1Beta1) {
    throw exec.error("apiVersion", "is not supported",
                     "use " + std::string(kExecV1) + " or " + std::string(kExecV1Beta1));
  }
  check_interactive_mode(exec);
  constexpr std::string_view kExtension = "client.authentication.k8s.io/exec";
  if (plugin.provide_cluster_info &&
      find_named(cluster, "extensions", "extension", std::string(kExtension))) {
    throw cluster.problem("extensions[" + std::string(kExtension) + "]", "is not supported",
                          "give the plugin its settings as arguments or environment");
  }
  return plugin;
}

User read_user(const Entry& user, const Entry& cluster) {
  refuse(user, kRefusedOfUsers.begin(), kRefusedOfUsers.end());
  User result{.certificate = material(user, "client-certificate", "CERTIFICATE")};
  if (!result.certificate.empty()) {
    result.key = material(user, "client-key", "PRIVATE KEY");
    if (result.key.empty()) {
      throw user.problem("client-key", "is missing",
                         "client-certificate needs client-key or client-key-data");
    }
  }
  result.token = user.text("token");
  result.token_file = path_in(user, "tokenFile");
  if (const Entry exec = user.object("exec"); exec.present()) {
    result.exec = read_exec(exec, cluster);
  }
  return result;
}

Json read_tree(const fs::path& path) {
  std::string text;
  try {
    text = read_regular_file(path);
  } catch (const Error& error) {
    throw Error(ErrorKind::kConfig,
                "kubeconfig " + path.string() + " cannot be read: " + error.what(),
                "kubernetes.kubeconfig must be a file that podlease may read");
  }
  try {
    return parse_yaml(text);
  } catch (const Error& error) {
    throw Error(ErrorKind::kConfig, "kubeconfig " + path.string() + " " + error.what());
  }
}

}  // namespace

Kubeconfig read_kubeconfig(const fs::path& path) {
  const Json tree = read_tree(path);
  if (!tree.is_object()) {
    throw Error(ErrorKind::kConfig, "kubeconfig " + path.string() + " is no map of YAML");
  }
  const Entry root(path, "", tree);
  const Entry context = follow(root, root, "current-context", "contexts", "context");
  const Entry cluster = follow(root, context, "cluster", "clusters", "cluster");
  const Entry user = follow(root, context, "user", "users", "user");
  return {.path = path,
          .context = root.text("current-context"),
          .server = read_server(cluster),
          .user = read_user(user, cluster)};
}

Kubeconfig in_cluster(const std::string& host, const std::string& port, const fs::path& folder) {
  const bool is_v6 = host.find(':') != std::string::npos;
  Kubeconfig kubeconfig{.path = folder, .context = "in-cluster"};
  try {
    kubeconfig.server =
        parse_server_url("https://" + (is_v6 ? "[" + host + "]" : host) + ":" + port);
    kubeconfig.server.authorities = read_regular_file(folder / "ca.crt");
  } catch (const Error& error) {
    throw Error(ErrorKind::kConfig,
                "this pod's service account cannot be used: " + std::string(error.what()));
  }
  kubeconfig.user.token_file = folder / "token";
  return kubeconfig;
}

}  // namespace podlease::kube
