// The client talks to a real TLS server in a thread of the test, which misbehaves as it is told;
// plugins are real programs, certificates real ones, and names are asked of a name server of the
// test's own.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "../../src/kube/base64.h"
#include "../../src/kube/process.h"
#include "../../src/kube/resolver.h"
#include "../../src/kube/socket.h"
#include "../../src/kube/socket_address.h"
#include "kube_pki.h"
#include "kube_server.h"
#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/rfc3339.h"
#include "podlease/base/text.h"
#include "podlease/kube/client.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/kube/objects.h"
#include "support.h"

namespace podlease::kube {

// For messages of failed tests.
// NOLINTNEXTLINE(readability-identifier-naming): the name is GoogleTest's
void PrintTo(ApiError::Cause cause, std::ostream* out) {
  constexpr std::array<const char*, 11> kNames = {
      "kUnreachable", "kTimeout",   "kServerTls", "kIdentity", "kUnauthorized", "kForbidden",
      "kConflict",    "kThrottled", "kServer",    "kRejected", "kBadAnswer"};
  *out << kNames.at(static_cast<std::size_t>(cause));
}

namespace {

namespace fs = std::filesystem;

using namespace std::chrono_literals;
using lab::answer;
using lab::Authority;
using lab::Pem;
using lab::Session;
using std::chrono::steady_clock;
using support::all_of;
using support::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using Cause = ApiError::Cause;

class TempFolder : public support::TempFolder {
 public:
  // A file in it.
  // NOLINTNEXTLINE(modernize-use-nodiscard): that it is there is what some tests want
  fs::path put(const std::string& name, std::string_view text) const {
    std::ofstream(path() / name, std::ios::binary) << text;
    return path() / name;
  }
  [[nodiscard]] fs::path put_program(const std::string& name, std::string_view text) const {
    fs::path file = put(name, "#!/bin/sh\n" + std::string(text) + "\n");
    fs::permissions(file, fs::perms::owner_all);
    return file;
  }
  [[nodiscard]] std::string text_of(const std::string& name) const {
    return read_file(path() / name, 1U << 20U).value_or("(none)");
  }
};

// Who signs what everybody in the tests trusts.
const Authority& authority() {
  static const Authority instance("kubernetes");
  return instance;
}

const Authority& other_authority() {
  static const Authority instance("somebody else");
  return instance;
}

const Pem& server_identity() {
  static const Pem pem =
      authority().issue({.common_name = "kube-apiserver",
                         .names = "IP:127.0.0.1,IP:::1,DNS:localhost,DNS:api.podlease.test"});
  return pem;
}

const Pem& kubelet_identity() {
  static const Pem pem = authority().issue({.common_name = "system:node:worker-1", .names = ""});
  return pem;
}

// Base64

TEST(Base64Test, DecodesWhatTheRfcEncodes) {
  for (const auto& [text, bytes] :
       std::initializer_list<std::pair<const char*, const char*>>{{"", ""},
                                                                  {"Zg==", "f"},
                                                                  {"Zm8=", "fo"},
                                                                  {"Zm9v", "foo"},
                                                                  {"Zm9vYmFy", "foobar"},
                                                                  {"Zm9v\nYmFy\r\n", "foobar"}}) {
    EXPECT_EQ(decode_base64(text), bytes) << text;
  }
}

TEST(Base64Test, RefusesWhatIsNoBase64) {
  for (const char* const text : {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zm9v Zm9v",
                                 "Zh==", "Zm9=", "Zm-v", "Z=g=", "Zg==Zg=="}) {
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
  }
}

TEST(Base64Test, ReadsBackWhatItWrites) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(bytes)), bytes) << i;
    bytes += static_cast<char>(i * 37);
  }
}

TEST(Base64Test, OfUrlsHasNoPaddingAndOtherDigits) {
  EXPECT_EQ(decode_base64url("-_8"), "\xfb\xff");
  EXPECT_EQ(decode_base64url("+/8"), std::nullopt);
  EXPECT_EQ(decode_base64url("Zg=="), std::nullopt);
  EXPECT_EQ(decode_base64url("A"), std::nullopt);
}

// Times

TEST(Rfc3339Test, ReadsWhatGoWrites) {
  for (const auto& [text, seconds] : std::initializer_list<std::pair<const char*, std::int64_t>>{
           {"1970-01-01T00:00:00Z", 0},
           {"2026-11-23T03:27:45Z", 1795404465},
           {"2026-11-23t03:27:45.123456789z", 1795404465},
           {"2026-11-23T05:57:45+02:30", 1795404465},
           {"2026-11-22T22:27:45-05:00", 1795404465},
           {"2024-02-29T00:00:00Z", 1709164800}}) {
    EXPECT_EQ(parse_rfc3339(text), seconds) << text;
  }
}

TEST(Rfc3339Test, RefusesEverythingElse) {
  for (const char* const text :
       {"", "2026", "2026-11-23", "2026-11-23T03:27:45", "2026-11-23T03:27:45Zx",
        "2026-13-23T03:27:45Z", "2026-02-29T03:27:45Z", "2026-11-23T03:27:45+0200",
        "2026-1-23T03:27:45Z", "+026-11-23T03:27:45Z", "2026-11-23T03:27:45.Z",
        "2026-11-23T25:27:45Z", "2026-11-23T03:60:45Z", "2026-11-23T03:27:61Z"}) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

// Objects

constexpr const char* kNode = R"({
  "apiVersion": "v1", "kind": "Node",
  "metadata": {"name": "worker-1", "uid": "u-1", "resourceVersion": "7",
    "annotations": {"network.cilium.io/ipv4-pod-cidr": "10.1.0.0/24",
                    "io.cilium.network.ipv4-pod-cidr": "10.2.0.0/24",
                    "kube-router.io/pod-cidr": "10.3.0.0/24",
                    "ipam.cilium.io/ip-pool": "blue",
                    "node.alpha.kubernetes.io/ttl": "0"},
    "managedFields": [{"manager": "kubelet"}]},
  "spec": {"podCIDR": "10.4.0.0/24", "podCIDRs": ["10.4.0.0/24", "fd00::/64"], "taints": []},
  "status": {"images": [{"names": ["pause"]}],
    "nodeInfo": {"machineID": "m-1", "systemUUID": "s-1", "bootID": "b-1", "kernelVersion": "6"}}
})";

constexpr const char* kCiliumNode = R"({
  "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
  "metadata": {"name": "worker-1", "uid": "u-2"},
  "spec": {"ipam": {"podCIDRs": ["10.5.0.0/24"],
    "pools": {"allocated": [{"pool": "default", "cidrs": ["10.6.0.0/27", "fd06::/112"]},
                            {"pool": "blue"}],
              "requested": []},
    "pool": {"10.7.0.1": {"owner": "default/web", "resource": "eni-1"}, "10.7.0.2": {}}}}
})";

TEST(ObjectsTest, ReadsANode) {
  const Node node = parse_node(kNode);
  EXPECT_EQ(node.name, "worker-1");
  EXPECT_EQ(node.uid, "u-1");
  EXPECT_EQ(node.annotations.size(), 5U);
  EXPECT_EQ(node.annotations.at("kube-router.io/pod-cidr"), "10.3.0.0/24");
  EXPECT_EQ(node.pod_cidr, "10.4.0.0/24");
  EXPECT_THAT(node.pod_cidrs, ElementsAre("10.4.0.0/24", "fd00::/64"));
  EXPECT_EQ(node.machine_id, "m-1");
  EXPECT_EQ(node.system_uuid, "s-1");
  EXPECT_EQ(node.boot_id, "b-1");
}

TEST(ObjectsTest, ReadsACiliumNode) {
  const CiliumNode node = parse_cilium_node(kCiliumNode);
  EXPECT_EQ(node.name, "worker-1");
  EXPECT_EQ(node.uid, "u-2");
  EXPECT_THAT(node.pod_cidrs, ElementsAre("10.5.0.0/24"));
  EXPECT_EQ(node.allocated, (std::vector<CiliumNode::Allocated>{
                                {.pool = "default", .cidrs = {"10.6.0.0/27", "fd06::/112"}},
                                {.pool = "blue", .cidrs = {}}}));
  EXPECT_EQ(node.pool,
            (std::map<std::string, std::string>{{"10.7.0.1", "default/web"}, {"10.7.0.2", ""}}));
}

TEST(ObjectsTest, KeepsOfAnnotationsWhatNamesCidrsAndPools) {
  const std::string kept = to_json(parse_node(kNode));
  Node expected = parse_node(kNode);
  expected.annotations.erase("node.alpha.kubernetes.io/ttl");
  EXPECT_EQ(parse_node(kept), expected);
  EXPECT_EQ(kept.find("managedFields"), std::string::npos);
}

TEST(ObjectsTest, ReadsBackWhatItKeeps) {
  const CiliumNode cilium_node = parse_cilium_node(kCiliumNode);
  EXPECT_EQ(parse_cilium_node(to_json(cilium_node)), cilium_node);
  const Node bare{.name = "bare"};
  EXPECT_EQ(parse_node(to_json(bare)), bare);
  const CiliumNode bare_cilium{.name = "bare"};
  EXPECT_EQ(parse_cilium_node(to_json(bare_cilium)), bare_cilium);
}

TEST(ObjectsTest, TakesFieldsOfAnotherTypeForAbsent) {
  const Node node = parse_node(R"({"apiVersion": "v1", "kind": "Node", "status": [],
    "metadata": {"name": "n", "uid": 1, "annotations": {"a": 1, "b": "c"}},
    "spec": {"podCIDR": ["10.0.0.0/8"], "podCIDRs": ["10.0.0.0/8", 1]}})");
  EXPECT_EQ(node, (Node{.name = "n", .annotations = {{"b", "c"}}}));
  EXPECT_EQ(parse_node(R"({"apiVersion": "v1", "kind": "Node", "spec": "none",
    "metadata": {"name": "n", "annotations": ["a"]}, "status": {"nodeInfo": 1}})"),
            (Node{.name = "n"}));
  EXPECT_EQ(
      parse_cilium_node(R"({"apiVersion": "cilium.io/v2alpha1", "kind": "CiliumNode",
    "metadata": {"name": "n"}, "spec": {"ipam": {"podCIDRs": {}, "pools": {"allocated": ["x",
    {"cidrs": ["10.0.0.0/8"]}, {"pool": "p", "cidrs": "10.0.0.0/8"}]},
    "pool": {"10.0.0.1": "me", "10.0.0.2": {"owner": 1}, "10.0.0.3": {"owner": null}}}}})"),
      (CiliumNode{
          .name = "n", .allocated = {{.pool = "p", .cidrs = {}}}, .pool = {{"10.0.0.3", ""}}}));
}

TEST(ObjectsTest, RefusesWhatIsNoObjectOfTheKind) {
  for (const std::string text :
       {"", "null", "[]", "{}", "{", "1", R"({"apiVersion": "v1", "kind": "Node"})",
        R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": ""}})",
        R"({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}})",
        R"({"apiVersion": "v2", "kind": "Node", "metadata": {"name": "n"}})",
        R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}} x)"}) {
    const auto node_error = error_of([&] { static_cast<void>(parse_node(text)); });
    ASSERT_TRUE(node_error) << text;
    EXPECT_EQ(node_error->kind(), ErrorKind::kDecode) << text;
    EXPECT_TRUE(error_of([&] { static_cast<void>(parse_cilium_node(text)); })) << text;
  }
  EXPECT_TRUE(error_of([] { static_cast<void>(parse_node(kNode + std::string(1, '\0'))); }));
  EXPECT_TRUE(error_of([] { static_cast<void>(parse_node(kCiliumNode)); }));
  EXPECT_TRUE(error_of([] { static_cast<void>(parse_cilium_node(kNode)); }));
}

// Kubeconfigs

// A kubeconfig whose three entries can be written over.
struct Written {
  std::string cluster = "{server: https://10.0.0.1:6443}";
  std::string context = "{cluster: c, user: u}";
  std::string user = "{token: abc}";
  std::string more;

  [[nodiscard]] std::string text() const {
    return "apiVersion: v1\nkind: Config\ncurrent-context: main\nclusters:\n- name: c\n  "
           "cluster: " +
           cluster + "\ncontexts:\n- name: main\n  context: " + context +
           "\nusers:\n- name: u\n  user: " + user + "\n" + more;
  }
};

class KubeconfigTest : public testing::Test {
 protected:
  [[nodiscard]] Kubeconfig read(const Written& written) const {
    return read_kubeconfig(folder.put("config", written.text()));
  }

  // What is said about it, without the file's name before it, which must be there.
  [[nodiscard]] std::string refusal_of(const std::string& text) const {
    const fs::path path = folder.put("config", text);
    const auto error = error_of([&] { static_cast<void>(read_kubeconfig(path)); });
    if (!error) {
      return "(accepted)";
    }
    EXPECT_EQ(error->kind(), ErrorKind::kConfig);
    const std::string message = all_of(*error);
    EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 0) << message;
    const std::size_t at = message.find(path.string());
    EXPECT_NE(at, std::string::npos) << message;
    return message.substr(at + path.string().size());
  }
  [[nodiscard]] std::string refusal(const Written& written) const {
    return refusal_of(written.text());
  }

  TempFolder folder;
};

TEST_F(KubeconfigTest, FollowsTheCurrentContext) {
  const Kubeconfig config = read_kubeconfig(folder.put("config", R"(
apiVersion: v1
kind: Config
preferences: {}
current-context: two
clusters:
- {name: a, cluster: {server: "https://a:1"}}
- {name: b, cluster: {server: "https://b:2", tls-server-name: c.example}}
contexts:
- {name: one, context: {cluster: a, user: x}}
- {name: two, context: {cluster: b, user: y, namespace: default}}
users:
- {name: x, user: {token: no}}
- {name: y, user: {token: yes}}
)"));
  EXPECT_EQ(config.context, "two");
  EXPECT_EQ(config.path, folder.path() / "config");
  EXPECT_EQ(config.server.url, "https://b:2");
  EXPECT_EQ(config.server.tls_server_name, "c.example");
  EXPECT_FALSE(config.server.skip_verification);
  EXPECT_EQ(config.user.token, "yes");
}

TEST_F(KubeconfigTest, ReadsJsonToo) {
  const Kubeconfig config = read_kubeconfig(folder.put("config", R"({
	"current-context": "m", "clusters": [{"name": "c", "cluster": {"server": "https://h"}}],
	"contexts": [{"name": "m", "context": {"cluster": "c", "user": "u"}}],
	"users": [{"name": "u", "user": null}]})"));
  EXPECT_EQ(config.server.host, "h");
  EXPECT_EQ(config.server.port, 443);
  EXPECT_EQ(config.user.token, "");
}

TEST_F(KubeconfigTest, ReadsServers) {
  struct Row {
    const char* url;
    const char* host;
    int port;
    const char* base_path;
  };
  for (const Row& row : std::initializer_list<Row>{
           {"https://10.0.0.1:6443", "10.0.0.1", 6443, ""},
           {"https://10.0.0.1", "10.0.0.1", 443, ""},
           {"HTTPS://api.example.com/", "api.example.com", 443, ""},
           {"https://[fd00::1]:6443", "fd00::1", 6443, ""},
           {"https://[fd00::1]", "fd00::1", 443, ""},
           {"https://rancher/k8s/clusters/c-1/", "rancher", 443, "/k8s/clusters/c-1"},
           {"https://h:65535/a//", "h", 65535, "/a"}}) {
    const Server server = read({.cluster = "{server: \"" + std::string(row.url) + "\"}"}).server;
    EXPECT_EQ(server.url, row.url);
    EXPECT_EQ(server.host, row.host) << row.url;
    EXPECT_EQ(server.port, row.port) << row.url;
    EXPECT_EQ(server.base_path, row.base_path) << row.url;
  }
}

TEST_F(KubeconfigTest, RefusesServersThatCannotBe) {
  for (const auto& [url, what] : std::initializer_list<std::pair<const char*, const char*>>{
           {"http://10.0.0.1:8080", "does not begin with https://"},
           {"10.0.0.1:6443", "does not begin with https://"},
           {"https://", "has no host name or address"},
           {"https://:6443", "has no host name or address"},
           {"https://h:0", "has a port that is not 1 to 65535"},
           {"https://h:65536", "has a port that is not 1 to 65535"},
           {"https://h:", "has a port that is not 1 to 65535"},
           {"https://h:6443x", "has a port that is not 1 to 65535"},
           {"https://fd00::1", "has an IPv6 address without brackets"},
           {"https://[fd00::1", "has no IPv6 address in its brackets"},
           {"https://[10.0.0.1]", "has no IPv6 address in its brackets"},
           {"https://[fe80::1%25eth0]", "has no IPv6 address in its brackets"},
           {"https://[fd00::1]6443", "goes on after the brackets"},
           {"https://user@h", "holds a user, a query or a fragment"},
           {"https://h/?a", "holds a user, a query or a fragment"},
           {"https://h/#a", "holds a user, a query or a fragment"},
           {"https://h h", "holds white space, or what is not ASCII"},
           {"https://h/\\r\\nX: y", "holds white space, or what is not ASCII"},
           {"https://h\\u00e9", "holds white space, or what is not ASCII"},
           {"https://h*", "has no host name or address"}}) {
    const std::string refused = refusal({.cluster = "{server: \"" + std::string(url) + "\"}"});
    EXPECT_THAT(refused, StartsWith(": clusters[c].cluster.server \"")) << url;
    EXPECT_THAT(refused, HasSubstr(std::string("\" ") + what + " | write https://")) << url;
  }
}

TEST_F(KubeconfigTest, ReadsInlineDataAndFiles) {
  const Pem& pem = kubelet_identity();
  folder.put("ca.crt", authority().certificate());
  folder.put("both.pem", pem.certificate + pem.key);
  const fs::path elsewhere = folder.put("elsewhere.pem", pem.key);
  const Kubeconfig config =
      read({.cluster = "{server: https://h, certificate-authority: ca.crt}",
            .user = "{client-certificate: both.pem, client-key: " + elsewhere.string() +
                    ", tokenFile: token}"});
  EXPECT_EQ(config.server.authorities, authority().certificate());
  EXPECT_EQ(config.user.certificate, pem.certificate + pem.key);
  EXPECT_EQ(config.user.key, pem.key);
  EXPECT_EQ(config.user.token_file, folder.path() / "token");

  // Data beats files, which need not even be there.
  const Kubeconfig inlined = read(
      {.cluster = "{server: https://h, certificate-authority: /none, certificate-authority-data: " +
                  encode_base64(authority().certificate()) + "}",
       .user = "{client-certificate: /none, client-certificate-data: " +
               encode_base64(pem.certificate) +
               ", client-key: /none, client-key-data: " + encode_base64(pem.key) + "}"});
  EXPECT_EQ(inlined.server.authorities, authority().certificate());
  EXPECT_EQ(inlined.user.certificate, pem.certificate);
  EXPECT_EQ(inlined.user.key, pem.key);
}

TEST_F(KubeconfigTest, ReadsExecPlugins) {
  const ExecPlugin plugin =
      read({.user = R"({exec: {apiVersion: client.authentication.k8s.io/v1, command: aws,
        args: [eks, 5], env: [{name: A, value: b}, {name: E}], provideClusterInfo: true,
        interactiveMode: IfAvailable, installHint: get it}})"})
          .user.exec.value();
  EXPECT_EQ(plugin.api_version, "client.authentication.k8s.io/v1");
  EXPECT_EQ(plugin.command, "aws");
  EXPECT_THAT(plugin.args, ElementsAre("eks", "5"));
  EXPECT_THAT(plugin.env, ElementsAre(std::pair<std::string, std::string>("A", "b"),
                                      std::pair<std::string, std::string>("E", "")));
  EXPECT_TRUE(plugin.provide_cluster_info);

  const auto command_of = [&](const std::string& command) {
    return read({.user = "{exec: {apiVersion: client.authentication.k8s.io/v1beta1, env: null, "
                         "args: null, command: " +
                         command + "}}"})
        .user.exec.value()
        .command;
  };
  EXPECT_EQ(command_of("bin/aws"), folder.path() / "bin/aws");
  EXPECT_EQ(command_of("/bin/aws"), "/bin/aws");
}

TEST_F(KubeconfigTest, RefusesWhatPodleaseDoesNotDo) {
  const std::string pem = encode_base64(authority().certificate());
  for (const auto& [written, message] : std::initializer_list<std::pair<Written, std::string>>{
           {{.user = "{username: me, password: p}"}, "users[u].user.username is not supported"},
           {{.user = "{password: p}"}, "users[u].user.password is not supported"},
           {{.user = "{auth-provider: {name: gcp}}"},
            "users[u].user.auth-provider is not supported | use exec instead"},
           {{.user = "{as: root}"}, "users[u].user.as is not supported"},
           {{.user = "{as-uid: root}"}, "users[u].user.as-uid is not supported"},
           {{.user = "{as-groups: [root]}"}, "users[u].user.as-groups is not supported"},
           {{.user = "{as-user-extra: {a: [b]}}"}, "users[u].user.as-user-extra is not supported"},
           {{.cluster = "{server: https://h, proxy-url: http://p}"},
            "clusters[c].cluster.proxy-url is not supported"},
           {{.cluster = "{server: https://h, insecure-skip-tls-verify: true, "
                        "certificate-authority-data: " +
                        pem + "}"},
            "clusters[c].cluster.insecure-skip-tls-verify \"true\" makes certificate-authority "
            "useless"},
           {{.user = "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}}"},
            "users[u].user.exec.apiVersion \"client.authentication.k8s.io/v1alpha1\" is not "
            "supported | use client.authentication.k8s.io/v1 or "},
           {{.user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, "
                     "interactiveMode: Always}}"},
            "users[u].user.exec.interactiveMode \"Always\" is not supported"},
           {{.cluster = "{server: https://h, extensions: [{name: "
                        "client.authentication.k8s.io/exec, extension: {audience: a}}]}",
           .user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, "
                   "provideClusterInfo: true}}"},
            "clusters[c].cluster.extensions[client.authentication.k8s.io/exec] is not "
            "supported"}}) {
    EXPECT_THAT(refusal(written), StartsWith(": " + message));
  }
}

TEST_F(KubeconfigTest, RefusesEntriesThatLeadNowhere) {
  EXPECT_THAT(refusal({.context = "{cluster: x, user: u}"}),
              StartsWith(": contexts[main].context.cluster \"x\" is not in clusters | "
                         "clusters has \"c\""));
  EXPECT_THAT(refusal({.context = "{cluster: c, user: x}"}),
              StartsWith(": contexts[main].context.user \"x\" is not in users | users has \"u\""));
  EXPECT_THAT(refusal({.context = "{cluster: c}"}),
              StartsWith(": contexts[main].context.user is missing | users has \"u\""));
  EXPECT_THAT(refusal({.context = "null"}),
              StartsWith(": contexts[main].context.cluster is missing"));
  EXPECT_THAT(refusal_of("current-context: x\ncontexts: [{name: a, context: {}}]"),
              StartsWith(": current-context \"x\" is not in contexts | contexts has \"a\""));
  EXPECT_THAT(refusal_of("kind: Config"),
              StartsWith(": current-context is missing | contexts has no entries"));
  EXPECT_THAT(refusal({.more = "- {name: u, user: {token: other}}\n"}),
              StartsWith(": users[u] is there twice | remove one of the two"));
}

TEST_F(KubeconfigTest, RefusesFieldsOfTheWrongShape) {
  for (const auto& [written, message] : std::initializer_list<std::pair<Written, std::string>>{
           {{.cluster = "{}"}, "clusters[c].cluster.server is missing"},
           {{.cluster = "[]"}, "clusters[c].cluster is not a map"},
           {{.cluster = "{server: [https://h]}"}, "clusters[c].cluster.server is not a string"},
           {{.cluster = "{server: https://h, insecure-skip-tls-verify: maybe}"},
            "clusters[c].cluster.insecure-skip-tls-verify \"maybe\" is neither true nor false"},
           {{.cluster = "{server: https://h, certificate-authority: /none/ca}"},
            "clusters[c].cluster.certificate-authority \"/none/ca\" cannot be read: open: No such "
            "file"},
           {{.cluster = "{server: https://h, certificate-authority: /dev/zero}"},
            "clusters[c].cluster.certificate-authority \"/dev/zero\" cannot be read: it is not a "
            "regular file"},
           {{.cluster = "{server: https://h, certificate-authority: config}"},
            "clusters[c].cluster.certificate-authority holds no PEM certificate"},
           {{.user = "{client-certificate-data: c2VjcmV0, client-key-data: c2VjcmV0}"},
            "users[u].user.client-certificate-data holds no PEM certificate"},
           {{.user = "{client-certificate-data: '*secret*'}"},
            "users[u].user.client-certificate-data is not base64 | "},
           {{.user = "{client-certificate-data: " + encode_base64(kubelet_identity().certificate) +
                     "}"},
            "users[u].user.client-key is missing"},
           {{.user = "{exec: {command: a}}"}, "users[u].user.exec.apiVersion is missing"},
           {{.user = "{exec: {apiVersion: client.authentication.k8s.io/v1}}"},
            "users[u].user.exec.command is missing"},
           {{.user = "{exec: {apiVersion: v, command: a, args: b}}"},
            "users[u].user.exec.args is not a list"},
           {{.user = "{exec: {apiVersion: v, command: a, args: [[b]]}}"},
            "users[u].user.exec.args holds something other than strings"},
           {{.user = "{exec: {apiVersion: v, command: a, env: [b]}}"},
            "users[u].user.exec.env[] is not a map"},
           {{.user = "{exec: {apiVersion: v, command: a, env: [{value: b}]}}"},
            "users[u].user.exec.env[].name is missing"},
           {{.user = "{exec: {apiVersion: v, command: a, env: [{name: a=b}]}}"},
            "users[u].user.exec.env[].name \"a=b\" is no name of an environment variable"},
           {{.user = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, "
                     "interactiveMode: Perhaps}}"},
            "users[u].user.exec.interactiveMode \"Perhaps\" is none of"}}) {
    const std::string refused = refusal(written);
    EXPECT_THAT(refused, StartsWith(": " + message));
    EXPECT_THAT(refused, Not(HasSubstr("secret")));
  }
}

TEST_F(KubeconfigTest, RefusesWhatIsNoYaml) {
  EXPECT_THAT(refusal_of("a: b: c"),
              StartsWith(" is not YAML: mapping values are not allowed in this context, line 1"));
  EXPECT_THAT(refusal_of(""), StartsWith(" is no map of YAML"));
  EXPECT_THAT(refusal_of("[]"), StartsWith(" is no map of YAML"));
  EXPECT_THAT(refusal_of("text"), StartsWith(" is no map of YAML"));
  EXPECT_THAT(refusal_of("clusters: {}\ncurrent-context: a\ncontexts: {}"),
              StartsWith(": contexts is not a list"));
  EXPECT_THAT(refusal_of("{[a]: b}"), StartsWith(" has a key that is no string, line 1"));
}

// A billion laughs: each line ten times the one before it.
TEST_F(KubeconfigTest, RefusesYamlThatGrows) {
  EXPECT_THAT(refusal_of("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"),
              StartsWith(" has a YAML anchor, line 1"));
  EXPECT_THAT(refusal_of("a: *b"), StartsWith(" has a YAML alias, line 1"));
  for (const char* const opening : {"[", "{a: ", "- ", "? "}) {
    std::string text;
    while (text.size() < 100'000) {
      text += opening;
    }
    EXPECT_THAT(refusal_of(text), StartsWith(" is nested deeper than 32, line 1")) << opening;
  }
}

TEST_F(KubeconfigTest, RefusesFilesThatCannotBeReadOrAreTooLarge) {
  const auto message_of = [](const fs::path& path) {
    const auto error = error_of([&] { static_cast<void>(read_kubeconfig(path)); });
    return error ? all_of(*error) : "(accepted)";
  };
  EXPECT_THAT(message_of("/none/kubeconfig"),
              StartsWith("kubeconfig /none/kubeconfig cannot be read: open: No such file"));
  EXPECT_THAT(message_of(folder.path()), HasSubstr("it is not a regular file"));
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(message_of(pipe), HasSubstr("it is not a regular file"));
  EXPECT_THAT(message_of(folder.put("large", std::string((1U << 20U) + 1, '#'))),
              HasSubstr("it is larger than 1048576 bytes"));
}

// Identities

// A service account token with these claims; its signature is anybody's.
std::string token_with(const std::string& claims) {
  std::string payload = encode_base64(claims);
  std::replace(payload.begin(), payload.end(), '+', '-');
  std::replace(payload.begin(), payload.end(), '/', '_');
  std::erase(payload, '=');
  return "eyJhbGciOiJSUzI1NiJ9." + payload + ".c2ln";
}

const std::string& node_token() {
  static const std::string token = token_with(
      R"({"sub": "system:serviceaccount:a:b", "kubernetes.io": {"node": {"name": "worker-2"}}})");
  return token;
}

TEST(IdentityTest, IsTheKubeletsByItsCertificate) {
  const Pem& pem = kubelet_identity();
  const Identity identity = identity_of(
      {.user = {.certificate = pem.certificate, .key = pem.key, .token = node_token()}});
  EXPECT_EQ(identity.common_name, "system:node:worker-1");
  EXPECT_EQ(identity.node_name, "worker-1");
  EXPECT_NEAR(static_cast<double>(identity.certificate_ends.value()),
              static_cast<double>(std::time(nullptr) + 3600), 600);
}

TEST(IdentityTest, IsTheNodesByItsToken) {
  TempFolder folder;
  EXPECT_EQ(identity_of({.user = {.token = node_token()}}).node_name, "worker-2");
  EXPECT_EQ(identity_of({.user = {.token = "old",
                                  .token_file = folder.put("token", " " + node_token() + "\n")}})
                .node_name,
            "worker-2");
  const Pem admin = authority().issue({.common_name = "kubernetes-admin", .names = ""});
  const Identity identity = identity_of(
      {.user = {.certificate = admin.certificate, .key = admin.key, .token = node_token()}});
  EXPECT_EQ(identity.common_name, "kubernetes-admin");
  EXPECT_EQ(identity.node_name, "worker-2");
}

TEST(IdentityTest, IsUnknownByAnyOtherToken) {
  for (const std::string& token :
       {std::string(), std::string("opaque"), std::string("a.b.c"), std::string("a.b"),
        std::string("..."), token_with("[]"), token_with("no JSON"),
        token_with(R"({"kubernetes.io": []})"), token_with(R"({"kubernetes.io": {"node": 1}})"),
        token_with(R"({"kubernetes.io": {"node": {"name": 1}}})"),
        token_with(R"({"kubernetes.io": {"pod": {"name": "p"}}})")}) {
    EXPECT_EQ(identity_of({.user = {.token = token}}).node_name, "") << token;
  }
}

TEST(IdentityTest, RefusesCertificatesThatCannotBeUsed) {
  const Pem& pem = kubelet_identity();
  const Pem other = authority().issue({.common_name = "other", .names = ""});
  const auto refusal = [](const std::string& certificate, const std::string& key) {
    const auto error = error_of([&] {
      static_cast<void>(identity_of(
          {.path = "/k", .context = "main", .user = {.certificate = certificate, .key = key}}));
    });
    EXPECT_TRUE(!error || error->kind() == ErrorKind::kConfig);
    return error ? all_of(*error) : "(accepted)";
  };
  const std::string rubbish = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(refusal(rubbish, pem.key),
              StartsWith("/k: client-certificate of the user of context \"main\": the certificate "
                         "cannot be read: "));
  EXPECT_THAT(refusal(pem.certificate + rubbish, pem.key),
              HasSubstr("the certificate cannot be read: "));
  EXPECT_THAT(refusal(pem.certificate, "PRIVATE KEY"),
              HasSubstr("the private key cannot be read: "));
  EXPECT_THAT(refusal(pem.certificate, other.key),
              HasSubstr("the private key is not that of the certificate"));
  const std::string encrypted =
      "-----BEGIN ENCRYPTED PRIVATE KEY-----\nc2VjcmV0\n-----END ENCRYPTED PRIVATE KEY-----\n";
  EXPECT_THAT(refusal(pem.certificate, encrypted), HasSubstr("it has a passphrase"));
  EXPECT_EQ(refusal(pem.key + pem.certificate, pem.certificate + pem.key), "(accepted)");
}

// Processes

Outcome run_shell(const std::string& script, Milliseconds time = 30s) {
  return run({.program = "sh", .args = {"-c", script}, .environment = {"A=b"}},
             steady_clock::now() + time);
}

// How `function` fails, and how long it took.
struct Failure {
  Cause cause;
  std::string message;
  Milliseconds took;
};
template <typename Function>
std::optional<Failure> failure_of(const Function& function) {
  const auto start = steady_clock::now();
  try {
    function();
  } catch (const ApiError& error) {
    return Failure{.cause = error.cause(),
                   .message = all_of(error),
                   .took = std::chrono::ceil<Milliseconds>(steady_clock::now() - start)};
  }
  return std::nullopt;
}

// Where something must end by itself, and where only the deadline ends it: the machine may be busy.
constexpr Milliseconds kAmple = 60s;
constexpr Milliseconds kShort = 200ms;
constexpr Milliseconds kSlack = 20s;

TEST(ProcessTest, TellsWhatIsPrintedAndHowItEnds) {
  const Outcome good = run_shell("echo out; echo err >&2; cat; echo $A$HOME");
  EXPECT_EQ(good.exit, "");
  EXPECT_EQ(good.output, "out\nb\n");
  EXPECT_EQ(good.messages, "err\n");
  EXPECT_EQ(run_shell("exit 3").exit, "exit status 3");
  EXPECT_EQ(run_shell("kill -9 $$").exit, "signal 9");
}

TEST(ProcessTest, KeepsTheEndOfMessages) {
  const Outcome outcome = run_shell("i=0; while [ $i -lt 3000 ]; do echo $i >&2; i=$((i+1)); done");
  EXPECT_EQ(outcome.messages.size(), kLargestMessages);
  EXPECT_TRUE(outcome.messages.ends_with("2998\n2999\n"));
}

TEST(ProcessTest, StartsItWithTheSignalsOfAFreshProcess) {
  ASSERT_EQ(signal(SIGPIPE, SIG_IGN), SIG_DFL);
  const Outcome outcome = run_shell("kill -PIPE $$; echo ignored");
  ASSERT_EQ(signal(SIGPIPE, SIG_DFL), SIG_IGN);
  EXPECT_EQ(outcome.exit, "signal 13");
}

TEST(ProcessTest, LimitsWhatIsPrinted) {
  const auto failure = failure_of([] { static_cast<void>(run_shell("yes")); });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kIdentity);
  EXPECT_THAT(failure->message, HasSubstr("printed more than 1048576 bytes"));
}

TEST(ProcessTest, KillsAllOfItAtTheDeadline) {
  TempFolder folder;
  const std::string pid_file = (folder.path() / "pid").string();
  const auto failure = failure_of([&] {
    static_cast<void>(run_shell("sleep 1000 & echo $! > " + pid_file + "; wait", 500ms));
  });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kTimeout);
  EXPECT_LT(failure->took, 500ms + kSlack);
  // Whoever adopts it takes a moment to reap it.
  const pid_t grandchild = std::stoi(folder.text_of("pid"));
  for (int i = 0; i < 100; ++i) {
    const std::string status =
        read_file("/proc/" + std::to_string(grandchild) + "/stat", 4096).value_or("gone");
    if (status == "gone" || status.find(") Z ") != std::string::npos) {
      return;
    }
    std::this_thread::sleep_for(50ms);
  }
  ADD_FAILURE() << "the grandchild lives on";
}

TEST(ProcessTest, DoesNotWaitForWhatItLeavesBehind) {
  const auto start = steady_clock::now();
  EXPECT_EQ(run_shell("sleep 1000 & echo done").output, "done\n");
  EXPECT_LT(steady_clock::now() - start, kSlack);
  // Nor for what has closed its streams and goes on: that is cut at the deadline.
  EXPECT_TRUE(
      failure_of([] { static_cast<void>(run_shell("exec >&- 2>&-; sleep 1000", kShort)); }));
}

TEST(ProcessTest, SaysWhatCannotBeStarted) {
  const auto failure = failure_of([] {
    static_cast<void>(run({.program = "/none/plugin", .args = {}, .environment = {}},
                          steady_clock::now() + kAmple));
  });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kIdentity);
  EXPECT_THAT(failure->message, HasSubstr("cannot be started: No such file"));
}

// Names

// Answers each question for an address of its family, or not at all.
class NameServer {
 public:
  struct Addresses {
    std::string v4;  // empty: there is none
    std::string v6;
  };

  explicit NameServer(std::optional<Addresses> known) : known_(std::move(known)) {
    fd_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the API's own habit
    auto* const raw = reinterpret_cast<sockaddr*>(&place);
    if (bind(fd_.get(), raw, size) != 0 || getsockname(fd_.get(), raw, &size) != 0) {
      throw io_error("bind", errno);
    }
    address_ = "127.0.0.1:" + std::to_string(ntohs(place.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;
  ~NameServer() {
    stops_ = true;
    shutdown(fd_.get(), SHUT_RDWR);
    thread_.join();
  }

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  void serve() {
    std::array<char, 512> question{};
    while (!stops_) {
      SocketAddress from{.storage = {}, .size = sizeof(sockaddr_storage)};
      // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the API's own habit
      auto* const raw = reinterpret_cast<sockaddr*>(&from.storage);
      const ssize_t size =
          recvfrom(fd_.get(), question.data(), question.size(), 0, raw, &from.size);
      if (size > 0 && known_) {
        const std::string text =
            answer_to(std::string(question.data(), static_cast<std::size_t>(size)));
        static_cast<void>(sendto(fd_.get(), text.data(), text.size(), 0, raw, from.size));
      }
    }
  }

  // RFC 1035, section 4: the question again, and a record that points back at its name.
  [[nodiscard]] std::string answer_to(std::string text) const {
    constexpr std::size_t kHeader = 12;
    const std::size_t name_end = text.find('\0', kHeader);
    text.resize(name_end + 5);
    const char type = text.at(name_end + 2);
    const std::string& known = type == 1 ? known_->v4 : known_->v6;
    std::array<char, 16> bytes{};
    inet_pton(type == 1 ? AF_INET : AF_INET6, known.c_str(), bytes.data());
    const std::size_t length = type == 1 ? 4 : 16;
    text[2] = '\x81';
    text[3] = '\x80';
    text[7] = known.empty() ? 0 : 1;
    text[11] = 0;  // no additional records
    if (!known.empty()) {
      text +=
          std::string("\xc0\x0c\x00", 3) + type + std::string("\x00\x01\x00\x00\x00\x3c\x00", 7);
      text += static_cast<char>(length);
      text.append(bytes.data(), length);
    }
    return text;
  }

  std::optional<Addresses> known_;
  UniqueFd fd_;
  std::string address_;
  std::atomic<bool> stops_{false};
  std::thread thread_;
};

std::vector<std::string> texts_of(const std::vector<net::Address>& addresses) {
  std::vector<std::string> texts;
  texts.reserve(addresses.size());
  for (const net::Address address : addresses) {
    texts.push_back(address.to_string());
  }
  std::sort(texts.begin(), texts.end());
  return texts;
}

TEST(ResolverTest, TakesAddressesAsTheyAre) {
  const Deadline over = steady_clock::now();
  EXPECT_THAT(texts_of(resolve("10.0.0.1", over)), ElementsAre("10.0.0.1"));
  EXPECT_THAT(texts_of(resolve("fd00::1", over)), ElementsAre("fd00::1"));
}

TEST(ResolverTest, AsksNameServersForBothFamilies) {
  const NameServer both({{.v4 = "10.0.0.1", .v6 = "fd00::1"}});
  const NameServer only_v6({{.v4 = "", .v6 = "fd00::1"}});
  const Deadline deadline = steady_clock::now() + kAmple;
  EXPECT_THAT(texts_of(resolve("api.podlease.test.", deadline, both.address())),
              ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_THAT(texts_of(resolve("api.podlease.test.", deadline, only_v6.address())),
              ElementsAre("fd00::1"));
}

TEST(ResolverTest, TurnsToTheNextNameServer) {
  const NameServer silent(std::nullopt);
  const NameServer knowing({{.v4 = "10.0.0.1", .v6 = ""}});
  const auto start = steady_clock::now();
  EXPECT_THAT(texts_of(resolve("api.podlease.test.", start + 4s,
                               silent.address() + "," + knowing.address())),
              ElementsAre("10.0.0.1"));
}

TEST(ResolverTest, SaysWhatNobodyKnows) {
  const NameServer ignorant(NameServer::Addresses{});
  const auto unknown = failure_of([&] {
    static_cast<void>(
        resolve("api.podlease.test.", steady_clock::now() + kAmple, ignorant.address()));
  });
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->cause, Cause::kUnreachable);
  EXPECT_THAT(unknown->message, StartsWith("cannot find the address of \"api.podlease.test.\": "));
}

TEST(ResolverTest, EndsAtTheDeadline) {
  const NameServer silent(std::nullopt);
  const auto failure = failure_of([&] {
    static_cast<void>(
        resolve("api.podlease.test.", steady_clock::now() + kShort, silent.address()));
  });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kTimeout);
  EXPECT_LT(failure->took, kShort + kSlack);
}

// In a mount namespace of its own, where /etc/hosts is another one.
TEST(ResolverTest, HonoursTheHostsFile) {
  TempFolder folder;
  const fs::path hosts = folder.put("hosts", "10.9.8.7 api.podlease.test\n");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    constexpr int kSkipped = 77;
    const int flags = getuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
    if (unshare(flags) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) != 0) {
      _exit(kSkipped);
    }
    // The name servers must not be asked.
    const auto found = resolve("api.podlease.test", steady_clock::now() + kAmple, "127.0.0.1:9");
    _exit(texts_of(found) == std::vector<std::string>{"10.9.8.7"} ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    GTEST_SKIP() << "no mount namespace to be had";
  }
  EXPECT_EQ(status, 0);
}

// Connections

net::Address address(std::string_view text) {
  return net::Address::parse(text).value();
}

// Listens, but has taken more connections than it can hold: a further one gets no answer.
class FullListener {
 public:
  FullListener(const std::string& at, std::uint16_t port) : listener_(lab::listen_at(at, port, 0)) {
    const SocketAddress place = to_socket_address(address(at), port);
    for (UniqueFd& fd : fillers_) {
      fd.reset(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      static_cast<void>(connect(fd.get(), place.get(), place.size));
    }
  }

 private:
  lab::Listener listener_;
  std::array<UniqueFd, 4> fillers_;
};

TEST(ConnectTest, TurnsToTheNextAddressThatIsDead) {
  const lab::Listener live = lab::listen_at("127.0.0.1");
  EXPECT_FALSE(failure_of([&] {
    static_cast<void>(connect_to({address("127.0.0.2"), address("::1"), address("127.0.0.1")},
                                 live.port, steady_clock::now() + kAmple));
  }));
}

TEST(ConnectTest, TurnsToTheNextAddressWhileOneIsSilent) {
  const lab::Listener live = lab::listen_at("127.0.0.1");
  const FullListener silent("127.0.0.2", live.port);
  const auto start = steady_clock::now();
  EXPECT_FALSE(failure_of([&] {
    static_cast<void>(
        connect_to({address("127.0.0.2"), address("127.0.0.1")}, live.port, start + kAmple));
  }));
  EXPECT_LT(steady_clock::now() - start, kSlack);
}

TEST(ConnectTest, NamesAllThatRefused) {
  const auto failure = failure_of([] {
    static_cast<void>(
        connect_to({address("127.0.0.2"), address("::1")}, 9, steady_clock::now() + kAmple));
  });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kUnreachable);
  EXPECT_THAT(failure->message, StartsWith("cannot connect to 127.0.0.2:9: "));
  EXPECT_THAT(failure->message, HasSubstr("[::1]:9: "));
}

TEST(ConnectTest, EndsAtTheDeadline) {
  const std::uint16_t port = lab::listen_at("127.0.0.1").port;
  const FullListener silent("127.0.0.2", port);
  const auto failure = failure_of([&] {
    static_cast<void>(connect_to({address("127.0.0.2")}, port, steady_clock::now() + kShort));
  });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kTimeout);
  EXPECT_THAT(failure->message, StartsWith("no connection to 127.0.0.2:"));
}

// The client

std::string good_answer() {
  return answer(200, kNode);
}

std::string status_answer(int code, const std::string& reason, const std::string& message,
                          const std::string& header = {}) {
  const nlohmann::json status{{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
                              {"message", message}, {"reason", reason},   {"code", code}};
  return answer(code, status.dump(), header);
}

// Answers every request of every connection alike.
lab::Server::Talk always(const std::string& text) {
  return [text](Session& session) { session.answer_all(text); };
}

lab::Server::Options plain_tls() {
  return {.identity = server_identity(), .client_authority = {}};
}

// What leads to a server of the test, for somebody with a token.
Kubeconfig kubeconfig_for(std::uint16_t port, const std::string& host = "127.0.0.1") {
  const bool is_v6 = host.find(':') != std::string::npos;
  return {
      .path = "/test/kubeconfig",
      .context = "main",
      .server = {.url = "https://" + (is_v6 ? "[" + host + "]" : host) + ":" + std::to_string(port),
                 .host = host,
                 .port = port,
                 .authorities = authority().certificate()},
      .user = {.token = "hush-hush"}};
}

Client client_for(const Kubeconfig& kubeconfig, Milliseconds time = kAmple,
                  const fs::path& credentials = {}) {
  return {kubeconfig, {.deadline = steady_clock::now() + time, .credentials = credentials}};
}

// How a client fails to get worker-1, who is known to be there.
Failure failure_with(const Kubeconfig& kubeconfig, Milliseconds time = kAmple,
                     const fs::path& credentials = {}) {
  const auto failure = failure_of(
      [&] { static_cast<void>(client_for(kubeconfig, time, credentials).node("worker-1")); });
  if (!failure) {
    throw std::runtime_error("the client did not fail");
  }
  EXPECT_THAT(failure->message,
              StartsWith("GET Node worker-1 from " + kubeconfig.server.url + ": "));
  EXPECT_THAT(failure->message, Not(HasSubstr("hush-hush")));
  EXPECT_EQ(std::count(failure->message.begin(), failure->message.end(), '\n'), 0);
  EXPECT_LT(failure->took, time + kSlack);
  return *failure;
}

// How a client fails with a server that talks like that.
Failure failure_with(const lab::Server::Talk& talk, Milliseconds time = kAmple) {
  const lab::Server server(plain_tls(), talk);
  return failure_with(kubeconfig_for(server.port()), time);
}

TEST(ClientTest, GetsANode) {
  std::string request;
  const lab::Server server(plain_tls(), [&](Session& session) {
    request = session.request();
    session.send(good_answer());
  });
  EXPECT_EQ(client_for(kubeconfig_for(server.port())).node("worker-1"), parse_node(kNode));
  EXPECT_THAT(request, StartsWith("GET /api/v1/nodes/worker-1 HTTP/1.1\r\nHost: 127.0.0.1:" +
                                  std::to_string(server.port()) + "\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer hush-hush\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nUser-Agent: podlease/"));
  EXPECT_THAT(request, Not(HasSubstr("ccept-Encoding")));
}

TEST(ClientTest, GetsACiliumNodeBelowABasePath) {
  std::string request;
  const lab::Server server(plain_tls(), [&](Session& session) {
    request = session.request();
    session.send(answer(200, kCiliumNode));
  });
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.server.base_path = "/k8s/clusters/c-1";
  EXPECT_EQ(client_for(kubeconfig).cilium_node("worker-1"), parse_cilium_node(kCiliumNode));
  EXPECT_THAT(request,
              StartsWith("GET /k8s/clusters/c-1/apis/cilium.io/v2/ciliumnodes/worker-1 HTTP/1.1"));
}

TEST(ClientTest, SendsNoTokenWhereThereIsNone) {
  std::string request;
  const lab::Server server(plain_tls(), [&](Session& session) {
    request = session.request();
    session.send(good_answer());
  });
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.user = {};
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  EXPECT_THAT(request, Not(HasSubstr("Authorization")));
}

TEST(ClientTest, EscapesNames) {
  std::string request;
  const lab::Server server(plain_tls(), [&](Session& session) {
    request = session.request();
    session.send(status_answer(404, "NotFound", "no"));
  });
  EXPECT_FALSE(client_for(kubeconfig_for(server.port())).node("../a b?\r\n"));
  EXPECT_THAT(request, StartsWith("GET /api/v1/nodes/..%2Fa%20b%3F%0D%0A HTTP/1.1\r\n"));
}

TEST(ClientTest, RefusesNamesThatWouldAskForSomethingElse) {
  for (const char* const name : {"", ".", ".."}) {
    const auto failure =
        failure_of([&] { static_cast<void>(client_for(kubeconfig_for(9)).node(name)); });
    ASSERT_TRUE(failure) << name;
    EXPECT_EQ(failure->cause, Cause::kRejected) << name;
  }
}

TEST(ClientTest, KeepsTheConnection) {
  const lab::Server server(plain_tls(), always(good_answer()));
  Client client = client_for(kubeconfig_for(server.port()));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_EQ(server.connections(), 1);
}

TEST(ClientTest, ConnectsAnewWhereTheServerHasClosedMeanwhile) {
  const lab::Server server(plain_tls(), [](Session& session) {
    static_cast<void>(session.request());
    session.send(good_answer());
  });
  Client client = client_for(kubeconfig_for(server.port()));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_EQ(server.connections(), 2);
}

TEST(ClientTest, ConnectsAnewWhereTheServerSaidThatItCloses) {
  const lab::Server server(plain_tls(), always(answer(200, kNode, "Connection: close\r\n")));
  Client client = client_for(kubeconfig_for(server.port()));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_TRUE(client.node("worker-1"));
}

TEST(ClientTest, ReadsChunkedAnswers) {
  const std::string node = kNode;
  std::string text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < node.size(); at += 100) {
    const std::string chunk = node.substr(at, 100);
    std::array<char, 16> size{};
    static_cast<void>(std::snprintf(size.data(), size.size(), "%zx\r\n", chunk.size()));
    text += size.data() + chunk + "\r\n";
  }
  const lab::Server server(plain_tls(), always(text + "0\r\n\r\n"));
  Client client = client_for(kubeconfig_for(server.port()));
  EXPECT_EQ(client.node("worker-1"), parse_node(kNode));
  EXPECT_EQ(client.node("worker-1"), parse_node(kNode));
  EXPECT_EQ(server.connections(), 1);
}

TEST(ClientTest, ReadsAnswersOfHttp10) {
  const lab::Server server(plain_tls(), [](Session& session) {
    static_cast<void>(session.request());
    session.send("HTTP/1.0 200 OK\r\n\r\n" + std::string(kNode));
    session.say_goodbye();
  });
  EXPECT_TRUE(client_for(kubeconfig_for(server.port())).node("worker-1"));
}

TEST(ClientTest, PassesOverAnswersThatOnlyAnnounceOne) {
  const lab::Server server(plain_tls(),
                           always("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + good_answer()));
  EXPECT_TRUE(client_for(kubeconfig_for(server.port())).node("worker-1"));
}

TEST(ClientTest, TellsThatThereIsNoSuchObject) {
  const lab::Server server(plain_tls(),
                           always(status_answer(404, "NotFound", "nodes \"x\" not found")));
  Client client = client_for(kubeconfig_for(server.port()));
  EXPECT_EQ(client.node("worker-1"), std::nullopt);
  EXPECT_EQ(client.cilium_node("worker-1"), std::nullopt);
}

// No such path: for a Node, this is no API server; for a CiliumNode, Cilium may not be installed.
TEST(ClientTest, TellsAMissingPathFromAMissingObject) {
  const lab::Server server(plain_tls(), always(answer(404, "404 page not found\n")));
  EXPECT_EQ(client_for(kubeconfig_for(server.port())).cilium_node("worker-1"), std::nullopt);
  const Failure failure = failure_with(kubeconfig_for(server.port()));
  EXPECT_EQ(failure.cause, Cause::kRejected);
  EXPECT_THAT(failure.message, HasSubstr("the server says 404 Not Found | see that server in"));
}

TEST(ClientTest, TellsStatusesApart) {
  struct Row {
    int status;
    Cause cause;
    ErrorKind kind;
  };
  for (const Row& row : std::initializer_list<Row>{{400, Cause::kRejected, ErrorKind::kConfig},
                                                   {401, Cause::kUnauthorized, ErrorKind::kBusy},
                                                   {403, Cause::kForbidden, ErrorKind::kBusy},
                                                   {409, Cause::kConflict, ErrorKind::kBusy},
                                                   {410, Cause::kRejected, ErrorKind::kConfig},
                                                   {422, Cause::kRejected, ErrorKind::kConfig},
                                                   {429, Cause::kThrottled, ErrorKind::kBusy},
                                                   {500, Cause::kServer, ErrorKind::kBusy},
                                                   {503, Cause::kServer, ErrorKind::kBusy},
                                                   {504, Cause::kServer, ErrorKind::kBusy},
                                                   {201, Cause::kBadAnswer, ErrorKind::kBusy},
                                                   {302, Cause::kRejected, ErrorKind::kConfig}}) {
    const Failure failure =
        failure_with(always(status_answer(row.status, "Some", "what it\nsays")));
    EXPECT_EQ(failure.cause, row.cause) << row.status;
    EXPECT_THAT(failure.message, HasSubstr("the server says " + std::to_string(row.status)));
    EXPECT_THAT(failure.message, HasSubstr(": what it\\x0asays")) << row.status;
    EXPECT_EQ(ApiError(row.cause, "").kind(), row.kind) << row.status;
  }
}

TEST(ClientTest, CutsLongMessages) {
  const Failure failure =
      failure_with(always(status_answer(403, "Forbidden", std::string(5000, 'x'))));
  EXPECT_LT(failure.message.size(), 800U);
}

TEST(ClientTest, DoesNotFollowRedirects) {
  const Failure failure =
      failure_with(always(answer(301, "", "Location: https://elsewhere/api\r\n")));
  EXPECT_EQ(failure.cause, Cause::kRejected);
  EXPECT_THAT(failure.message,
              HasSubstr("the server says 301 and redirects to \"https://elsewhere/api\""));
}

// A server whose first answers are those, and then good ones.
struct Recovering {
  explicit Recovering(std::vector<std::string> first)
      : server(plain_tls(), [this, first = std::move(first)](Session& session) {
          while (!session.request().empty()) {
            const auto number = static_cast<std::size_t>(requests++);
            session.send(number < first.size() ? first[number] : good_answer());
          }
        }) {}
  std::atomic<int> requests{0};
  lab::Server server;
};

TEST(ClientTest, WaitsAsLongAsItIsAskedTo) {
  for (const int status : {429, 503}) {
    const Recovering recovering({status_answer(status, "", "", "Retry-After: 0\r\n"),
                                 status_answer(status, "", "", "Retry-After: 1\r\n")});
    const auto start = steady_clock::now();
    EXPECT_TRUE(client_for(kubeconfig_for(recovering.server.port())).node("worker-1"));
    EXPECT_GE(steady_clock::now() - start, 1s) << status;
    EXPECT_EQ(recovering.requests, 3) << status;
  }
}

TEST(ClientTest, DoesNotWaitBeyondTheDeadline) {
  const Recovering recovering({status_answer(429, "", "slow down", "Retry-After: 3600\r\n")});
  const Failure failure = failure_with(kubeconfig_for(recovering.server.port()));
  EXPECT_EQ(failure.cause, Cause::kThrottled);
  EXPECT_LT(failure.took, kSlack);
  EXPECT_EQ(recovering.requests, 1);
}

TEST(ClientTest, TriesAServerThatFailsOnceMore) {
  const Recovering once({answer(500, "")});
  EXPECT_TRUE(client_for(kubeconfig_for(once.server.port())).node("worker-1"));
  const Recovering twice({answer(500, ""), answer(502, "")});
  EXPECT_EQ(failure_with(kubeconfig_for(twice.server.port())).cause, Cause::kServer);
  EXPECT_EQ(twice.requests, 2);
  const Recovering throttled({answer(429, "")});
  EXPECT_EQ(failure_with(kubeconfig_for(throttled.server.port())).cause, Cause::kThrottled);
  EXPECT_EQ(throttled.requests, 1);
}

TEST(ClientTest, TriesALostConnectionOnceMore) {
  const lab::Server server(plain_tls(), [](Session& session) {
    static_cast<void>(session.request());
    if (session.number() == 1) {
      session.send(good_answer());
    }
  });
  EXPECT_TRUE(client_for(kubeconfig_for(server.port())).node("worker-1"));
  EXPECT_EQ(failure_with(kubeconfig_for(server.port())).cause, Cause::kUnreachable);
  EXPECT_EQ(server.connections(), 4);
}

TEST(ClientTest, TellsWhereNobodyListens) {
  const std::uint16_t port = lab::listen_at("127.0.0.1").port;
  const Failure failure = failure_with(kubeconfig_for(port));
  EXPECT_EQ(failure.cause, Cause::kUnreachable);
  EXPECT_THAT(failure.message, HasSubstr("cannot connect to 127.0.0.1:" + std::to_string(port) +
                                         ": Connection refused"));
}

TEST(ClientTest, TellsAnswersThatAreCut) {
  const std::string whole = good_answer();
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{30}, whole.size() - 1}) {
    for (const bool politely : {false, true}) {
      const Failure failure = failure_with([&](Session& session) {
        static_cast<void>(session.request());
        session.send(whole.substr(0, size));
        if (politely) {
          session.say_goodbye();
        }
      });
      EXPECT_EQ(failure.cause, Cause::kUnreachable) << size << politely;
    }
  }
  // Without a length, only TLS tells a cut from the end.
  EXPECT_EQ(failure_with([](Session& session) {
              static_cast<void>(session.request());
              session.send("HTTP/1.0 200 OK\r\n\r\n" + std::string(kNode));
            }).cause,
            Cause::kUnreachable);
}

TEST(ClientTest, EndsWithASlowServerAtTheDeadline) {
  for (const char* const text :
       {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"}) {
    const Failure failure = failure_with(
        [&](Session& session) {
          static_cast<void>(session.request());
          session.send(text);
          session.drip(std::string(1000, 'x'), 20ms);
        },
        kShort);
    EXPECT_EQ(failure.cause, Cause::kTimeout) << text;
  }
}

TEST(ClientTest, EndsWithASilentServerAtTheDeadline) {
  const Failure failure = failure_with([](Session& session) { session.hold(); }, kShort);
  EXPECT_EQ(failure.cause, Cause::kTimeout);
  EXPECT_THAT(failure.message, HasSubstr("its answer was not over in time"));
}

// As one that was stopped: the kernel accepts, the program does not.
TEST(ClientTest, EndsWithAStoppedServerAtTheDeadline) {
  const lab::Listener stopped = lab::listen_at("127.0.0.1");
  const Failure failure = failure_with(kubeconfig_for(stopped.port), kShort);
  EXPECT_EQ(failure.cause, Cause::kTimeout);
  EXPECT_THAT(failure.message, HasSubstr("the TLS handshake was not over in time"));
}

TEST(ClientTest, EndsWithATrickleOfHintsAtTheDeadline) {
  const Failure failure = failure_with(
      [](Session& session) {
        static_cast<void>(session.request());
        while (session.send("HTTP/1.1 103 Early Hints\r\n\r\n")) {
        }
      },
      kShort);
  EXPECT_EQ(failure.cause, Cause::kTimeout);
}

TEST(ClientTest, DoesNotReadAGigabyte) {
  const std::string much(1U << 20U, 'x');
  for (const char* const header :
       {"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4; extension=",
        "HTTP/1.1 200 OK\r\nX-Long: "}) {
    std::size_t sent = 0;
    const Failure failure = failure_with([&](Session& session) {
      static_cast<void>(session.request());
      session.send(header);
      while (sent < 1024 && session.send(much)) {
        ++sent;
      }
    });
    EXPECT_EQ(failure.cause, Cause::kBadAnswer) << header;
    EXPECT_LT(sent, 100U) << header;
  }
}

TEST(ClientTest, RefusesWhatIsNotTheObject) {
  for (const std::string& text :
       {std::string("SSH-2.0-OpenSSH\r\n\r\n"), std::string("HTTP/3.0 200 OK\r\n\r\n"),
        std::string("HTTP/1.1 abc\r\n\r\n"), std::string("HTTP/1.1 200 OK\r\nno header\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), answer(200, "<html>"),
        answer(200, ""), answer(200, "{}"), answer(200, kCiliumNode),
        answer(200, R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-9"}})"),
        answer(204, "")}) {
    EXPECT_EQ(failure_with(always(text)).cause, Cause::kBadAnswer) << text;
  }
}

TEST(ClientTest, DoesNotDieOfABrokenPipe) {
  ASSERT_EQ(signal(SIGPIPE, SIG_DFL), SIG_DFL) << "somebody ignores it, so this proves nothing";
  const lab::Server server(plain_tls(), [](Session& session) {
    static_cast<void>(session.request());
    session.send(good_answer());
  });
  Client client = client_for(kubeconfig_for(server.port()));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(client.node("worker-1"));
    std::this_thread::sleep_for(20ms);  // until the server has reset the connection
  }
}

TEST(ClientTest, SharesOneDeadlineAmongItsRequests) {
  const lab::Server server(plain_tls(), [](Session& session) {
    static_cast<void>(session.request());
    session.send(good_answer());
    session.hold();
  });
  Client client = client_for(kubeconfig_for(server.port()), 1s);
  ASSERT_TRUE(client.node("worker-1"));
  const auto failure = failure_of([&] { static_cast<void>(client.node("worker-1")); });
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->cause, Cause::kTimeout);
  const auto later = failure_of([&] { static_cast<void>(client.node("worker-1")); });
  ASSERT_TRUE(later);
  EXPECT_EQ(later->cause, Cause::kTimeout);
}

// Its servers

TEST(ServerTlsTest, VerifiesAddressesAndNames) {
  std::string asked;
  const lab::Server server(plain_tls(), [&](Session& session) {
    asked = session.server_name();
    session.answer_all(good_answer());
  });
  EXPECT_TRUE(client_for(kubeconfig_for(server.port())).node("worker-1"));
  EXPECT_EQ(asked, "") << "an address is no server name";
  EXPECT_TRUE(client_for(kubeconfig_for(server.port(), "localhost")).node("worker-1"));
  EXPECT_EQ(asked, "localhost");
  Kubeconfig renamed = kubeconfig_for(server.port());
  renamed.server.tls_server_name = "api.podlease.test";
  EXPECT_TRUE(client_for(renamed).node("worker-1"));
  EXPECT_EQ(asked, "api.podlease.test");
}

TEST(ServerTlsTest, WorksOverIpv6) {
  if (error_of([] { static_cast<void>(lab::listen_at("::1")); })) {
    GTEST_SKIP() << "this machine has no IPv6";
  }
  const lab::Server server(
      {.identity = server_identity(), .client_authority = {}, .address = "::1"},
      always(good_answer()));
  EXPECT_TRUE(client_for(kubeconfig_for(server.port(), "::1")).node("worker-1"));
}

TEST(ServerTlsTest, RefusesAnotherName) {
  const lab::Server server(plain_tls(), always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  for (const char* const name : {"other.podlease.test", "127.0.0.2", "kube-apiserver"}) {
    kubeconfig.server.tls_server_name = name;
    const Failure failure = failure_with(kubeconfig);
    EXPECT_EQ(failure.cause, Cause::kServerTls) << name;
    EXPECT_THAT(
        failure.message,
        HasSubstr("its certificate is not accepted: it is made out to IP Address:127.0.0.1"));
    EXPECT_THAT(failure.message, HasSubstr("DNS:api.podlease.test, not to " + std::string(name)));
  }
}

TEST(ServerTlsTest, RefusesCertificatesOutOfTime) {
  for (const auto& [from, until, what] : std::initializer_list<std::tuple<long, long, const char*>>{
           {-7200, -3600, "its certificate is not accepted: it ended 20"},
           {3600, 7200, "its certificate is not accepted: certificate is not yet valid"}}) {
    const lab::Server server({.identity = authority().issue({.common_name = "kube-apiserver",
                                                             .names = "IP:127.0.0.1",
                                                             .from = from,
                                                             .until = until}),
                              .client_authority = {}},
                             always(good_answer()));
    const Failure failure = failure_with(kubeconfig_for(server.port()));
    EXPECT_EQ(failure.cause, Cause::kServerTls);
    EXPECT_THAT(failure.message, HasSubstr(what));
  }
}

TEST(ServerTlsTest, RefusesWhomNobodyTrustedSigned) {
  const lab::Server server(plain_tls(), always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.server.authorities = other_authority().certificate();
  EXPECT_EQ(failure_with(kubeconfig).cause, Cause::kServerTls);
  kubeconfig.server.authorities.clear();  // whom this machine trusts
  EXPECT_EQ(failure_with(kubeconfig).cause, Cause::kServerTls);
  kubeconfig.server.authorities = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
  const Failure failure = failure_with(kubeconfig);
  EXPECT_EQ(failure.cause, Cause::kServerTls);
  EXPECT_THAT(failure.message, HasSubstr("certificate-authority of the kubeconfig"));
}

TEST(ServerTlsTest, TrustsAnyOfSeveralAndWhoIsNoRoot) {
  const lab::Server server(plain_tls(), always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.server.authorities = other_authority().certificate() + authority().certificate();
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  kubeconfig.server.authorities = server_identity().certificate;  // the very one it shows
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
}

TEST(ServerTlsTest, TrustsWhomTheMachineTrusts) {
  TempFolder folder;
  const lab::Server server(plain_tls(), always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.server.authorities.clear();
  const fs::path bundle = folder.put("bundle.pem", authority().certificate());
  ASSERT_EQ(setenv("SSL_CERT_FILE", bundle.c_str(), 1), 0);
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  ASSERT_EQ(setenv("SSL_CERT_FILE", "/none", 1), 0);
  EXPECT_THAT(failure_with(kubeconfig).message, HasSubstr("no certificate can be read from /none"));
  unsetenv("SSL_CERT_FILE");
}

TEST(ServerTlsTest, SkipsVerificationWhenTold) {
  const lab::Server server(
      {.identity = other_authority().issue({.common_name = "x", .names = "", .until = -60}),
       .client_authority = {}},
      always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.server.authorities.clear();
  kubeconfig.server.skip_verification = true;
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
}

TEST(ServerTlsTest, SpeaksTls12AndNothingOlder) {
  const auto options = [](int version) {
    return lab::Server::Options{
        .identity = server_identity(), .client_authority = {}, .tls_version = version};
  };
  const lab::Server new_enough(options(TLS1_2_VERSION), always(good_answer()));
  EXPECT_TRUE(client_for(kubeconfig_for(new_enough.port())).node("worker-1"));
  const lab::Server old(options(TLS1_1_VERSION), always(good_answer()));
  EXPECT_EQ(failure_with(kubeconfig_for(old.port())).cause, Cause::kServerTls);
}

TEST(ServerTlsTest, TellsThatThereIsNoTls) {
  const lab::Server server({.identity = {}, .client_authority = {}}, [](Session& session) {
    session.send("HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request\n");
    session.hold();
  });
  const Failure failure = failure_with(kubeconfig_for(server.port()));
  EXPECT_EQ(failure.cause, Cause::kServerTls);
  EXPECT_THAT(failure.message, HasSubstr("it does not speak TLS as we do: "));
}

TEST(ServerTlsTest, TellsThatItClosesAtOnce) {
  const lab::Server server({.identity = {}, .client_authority = {}}, [](Session&) {});
  EXPECT_EQ(failure_with(kubeconfig_for(server.port())).cause, Cause::kUnreachable);
}

// Who we are

lab::Server::Options mutual_tls(int tls_version = 0) {
  return {.identity = server_identity(),
          .client_authority = authority().certificate(),
          .tls_version = tls_version};
}

TEST(ClientIdentityTest, ShowsItsCertificate) {
  std::string name;
  const lab::Server server(mutual_tls(), [&](Session& session) {
    name = session.client_name();
    session.answer_all(good_answer());
  });
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.user = {.certificate = kubelet_identity().certificate, .key = kubelet_identity().key};
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  EXPECT_EQ(name, "system:node:worker-1");
}

TEST(ClientIdentityTest, TellsThatItsCertificateIsNotTaken) {
  const Pem stranger = other_authority().issue({.common_name = "x", .names = ""});
  const Pem ended = authority().issue({.common_name = "x", .names = "", .until = -60});
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const lab::Server server(mutual_tls(version), always(good_answer()));
    for (const Pem& pem : {stranger, ended, Pem{}}) {
      Kubeconfig kubeconfig = kubeconfig_for(server.port());
      kubeconfig.user = {.certificate = pem.certificate, .key = pem.key};
      const Failure failure = failure_with(kubeconfig);
      // TLS 1.2 has no alert of its own for a certificate that is missing.
      const bool is_unsaid = pem.key.empty() && version == TLS1_2_VERSION;
      EXPECT_EQ(failure.cause, is_unsaid ? Cause::kServerTls : Cause::kIdentity)
          << version << failure.message;
    }
  }
}

TEST(ClientIdentityTest, TellsThatItsCertificateCannotBeUsed) {
  const lab::Server server(plain_tls(), always(good_answer()));
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.user = {.certificate = kubelet_identity().certificate, .key = server_identity().key};
  const Failure failure = failure_with(kubeconfig);
  EXPECT_EQ(failure.cause, Cause::kIdentity);
  EXPECT_THAT(failure.message, HasSubstr("the private key is not that of the certificate"));
}

TEST(ClientIdentityTest, SaysWhenItsCertificateEnded) {
  const lab::Server server(plain_tls(), always(status_answer(401, "Unauthorized", "Unauthorized")));
  const Pem ended =
      authority().issue({.common_name = "system:node:worker-1", .names = "", .until = -60});
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.user = {.certificate = ended.certificate, .key = ended.key};
  const Failure failure = failure_with(kubeconfig);
  EXPECT_EQ(failure.cause, Cause::kUnauthorized);
  EXPECT_THAT(failure.message, HasSubstr("the client certificate in the kubeconfig has ended, at"));
  kubeconfig.user = {.certificate = kubelet_identity().certificate, .key = kubelet_identity().key};
  EXPECT_THAT(failure_with(kubeconfig).message,
              HasSubstr("signed by no authority of this cluster"));
}

TEST(ClientIdentityTest, ReadsItsTokenFileEachTime) {
  TempFolder folder;
  std::vector<std::string> requests;
  const lab::Server server(plain_tls(), [&](Session& session) {
    for (std::string request; !(request = session.request()).empty();) {
      requests.push_back(request);
      session.send(good_answer());
    }
  });
  Kubeconfig kubeconfig = kubeconfig_for(server.port());
  kubeconfig.user.token_file = folder.put("token", "one\n");
  Client client = client_for(kubeconfig);
  EXPECT_TRUE(client.node("worker-1"));
  folder.put("token", "  two");
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_THAT(requests, ElementsAre(HasSubstr("Authorization: Bearer one\r\n"),
                                    HasSubstr("Authorization: Bearer two\r\n")));
}

TEST(ClientIdentityTest, RefusesTokensThatAreNone) {
  TempFolder folder;
  Kubeconfig kubeconfig = kubeconfig_for(9);
  for (const auto& [token, file] : std::initializer_list<std::pair<std::string, fs::path>>{
           {"hush-hush\r\nX-Remote-User: root", ""},
           {"", "/none/token"},
           {"", folder.put("empty", "\n")},
           {"", folder.put("two", "hush-hush\nhush-hush\n")}}) {
    kubeconfig.user = {.token = token, .token_file = file};
    EXPECT_EQ(failure_with(kubeconfig).cause, Cause::kIdentity) << token << file;
  }
}

// Exec plugins

class ExecPluginTest : public testing::Test {
 protected:
  // A plugin that does what `script` says and counts how often it ran.
  [[nodiscard]] Kubeconfig kubeconfig_with(const lab::Server& server,
                                           const std::string& script) const {
    const fs::path program = folder.put_program(
        "plugin", "echo ran >> " + (folder.path() / "runs").string() + "\n" + script);
    Kubeconfig kubeconfig = kubeconfig_for(server.port());
    kubeconfig.user = {.exec = ExecPlugin{.api_version = "client.authentication.k8s.io/v1",
                                          .command = program.string()}};
    return kubeconfig;
  }

  // A script that prints a credential.
  [[nodiscard]] static std::string printing(const nlohmann::json& status) {
    return "cat <<'END'\n" + credential(status).dump() + "\nEND";
  }
  [[nodiscard]] static nlohmann::json credential(const nlohmann::json& status) {
    return {{"apiVersion", "client.authentication.k8s.io/v1"},
            {"kind", "ExecCredential"},
            {"status", status}};
  }

  [[nodiscard]] static std::string in_seconds(int seconds) {
    return to_rfc3339(std::chrono::floor<Milliseconds>(std::chrono::system_clock::now()) +
                      std::chrono::seconds(seconds));
  }

  [[nodiscard]] long runs() const {
    const std::string text = folder.text_of("runs");
    return std::count(text.begin(), text.end(), '\n');
  }
  [[nodiscard]] fs::path cache() const { return folder.path() / "credentials"; }

  // Takes this token, and no other.
  [[nodiscard]] static lab::Server::Talk taking(const std::string& token) {
    return [token](Session& session) {
      for (std::string request; !(request = session.request()).empty();) {
        const bool is_good =
            request.find("Authorization: Bearer " + token + "\r\n") != std::string::npos;
        session.send(is_good ? good_answer() : status_answer(401, "Unauthorized", "Unauthorized"));
      }
    };
  }

  TempFolder folder;
};

TEST_F(ExecPluginTest, GivesAToken) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const Kubeconfig kubeconfig = kubeconfig_with(server, printing({{"token", "t-1"}}));
  Client client = client_for(kubeconfig);
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_TRUE(client.node("worker-1"));
  EXPECT_EQ(runs(), 1) << "one credential serves a client";
}

TEST_F(ExecPluginTest, GivesACertificate) {
  std::string name;
  const lab::Server server(mutual_tls(), [&](Session& session) {
    name = session.client_name();
    session.answer_all(good_answer());
  });
  const Kubeconfig kubeconfig =
      kubeconfig_with(server, printing({{"clientCertificateData", kubelet_identity().certificate},
                                        {"clientKeyData", kubelet_identity().key}}));
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  EXPECT_EQ(name, "system:node:worker-1");
}

TEST_F(ExecPluginTest, IsNotAskedWhereThereIsAToken) {
  const lab::Server server(plain_tls(), taking("hush-hush"));
  Kubeconfig kubeconfig = kubeconfig_with(server, printing({{"token", "t-1"}}));
  kubeconfig.user.token = "hush-hush";
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  EXPECT_EQ(runs(), 0);
}

TEST_F(ExecPluginTest, IsToldWhatItAsksFor) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const std::string seen = (folder.path() / "seen").string();
  Kubeconfig kubeconfig = kubeconfig_with(server,
                                          "printf '%s|%s|%s|%s' \"$1\" \"$A\" \"$PODLEASE_TEST\" "
                                          "\"$KUBERNETES_EXEC_INFO\" > " +
                                              seen + "\n" + printing({{"token", "t-1"}}));
  kubeconfig.user.exec->args = {"an arg"};
  kubeconfig.user.exec->env = {{"A", "own"}};
  ASSERT_EQ(setenv("A", "inherited", 1), 0);
  ASSERT_EQ(setenv("PODLEASE_TEST", "inherited", 1), 0);
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  EXPECT_EQ(folder.text_of("seen"),
            R"(an arg|own|inherited|{"apiVersion":"client.authentication.k8s.io/v1",)"
            R"("kind":"ExecCredential","spec":{"interactive":false}})");

  kubeconfig.user.exec->provide_cluster_info = true;
  kubeconfig.server.tls_server_name = "localhost";
  EXPECT_TRUE(client_for(kubeconfig).node("worker-1"));
  const std::string text = folder.text_of("seen");
  const auto cluster = nlohmann::json::parse(text.substr(text.find('{'))).at("spec").at("cluster");
  EXPECT_EQ(cluster.at("server"), kubeconfig.server.url);
  EXPECT_EQ(cluster.at("tls-server-name"), "localhost");
  EXPECT_EQ(decode_base64(cluster.at("certificate-authority-data").get<std::string>()),
            authority().certificate());
}

TEST_F(ExecPluginTest, IsKeptUntilItEnds) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const Kubeconfig kubeconfig = kubeconfig_with(
      server, printing({{"token", "t-1"}, {"expirationTimestamp", in_seconds(3600)}}));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
  }
  EXPECT_EQ(runs(), 1);
  EXPECT_EQ(fs::status(cache()).permissions(), fs::perms::owner_read | fs::perms::owner_write);

  // Another configuration must not use it, and takes its place.
  Kubeconfig other = kubeconfig;
  other.user.exec->args = {"other"};
  EXPECT_TRUE(client_for(other, kAmple, cache()).node("worker-1"));
  EXPECT_TRUE(client_for(other, kAmple, cache()).node("worker-1"));
  EXPECT_EQ(runs(), 2);
}

TEST_F(ExecPluginTest, IsNotKeptWhereItDoesNotLast) {
  const lab::Server server(plain_tls(), taking("t-1"));
  long expected = 0;
  for (const auto& status :
       {nlohmann::json{{"token", "t-1"}},
        nlohmann::json{{"token", "t-1"}, {"expirationTimestamp", in_seconds(5)}},
        nlohmann::json{{"token", "t-1"}, {"expirationTimestamp", in_seconds(-5)}}}) {
    const Kubeconfig kubeconfig = kubeconfig_with(server, printing(status));
    EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
    EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
    expected += 2;
    EXPECT_EQ(runs(), expected) << status;
  }
}

TEST_F(ExecPluginTest, IsAskedWhereTheCacheIsOfNoUse) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const Kubeconfig kubeconfig = kubeconfig_with(
      server, printing({{"token", "t-1"}, {"expirationTimestamp", in_seconds(3600)}}));
  for (const char* const text : {"", "{}", "[1]", "{\"of\": 1}", "rubbish"}) {
    folder.put("credentials", text);
    const long before = runs();
    EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
    EXPECT_EQ(runs(), before + 1) << text;
  }
  // Where it cannot be kept, it works all the same.
  EXPECT_TRUE(client_for(kubeconfig, kAmple, "/none/folder/file").node("worker-1"));
}

TEST_F(ExecPluginTest, IsAskedAgainOnceWhatItGaveIsRefused) {
  std::string taken = "t-1";
  const lab::Server server(plain_tls(), [&](Session& session) { taking(taken)(session); });
  const std::string now = (folder.path() / "now").string();
  const std::string script =
      "printf '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\","
      " \"status\": {\"token\": \"%s\", \"expirationTimestamp\": \"" +
      in_seconds(3600) + "\"}}' $(cat " + now + ")";
  const Kubeconfig kubeconfig = kubeconfig_with(server, script);
  folder.put("now", "t-1");
  EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
  EXPECT_EQ(runs(), 1);

  // Revoked before its time: the one kept is dropped.
  taken = "t-2";
  folder.put("now", "t-2");
  EXPECT_TRUE(client_for(kubeconfig, kAmple, cache()).node("worker-1"));
  EXPECT_EQ(runs(), 2);

  // What it gives now is refused too: that is an answer.
  taken = "t-3";
  const Failure failure = failure_with(kubeconfig, kAmple, cache());
  EXPECT_EQ(failure.cause, Cause::kUnauthorized);
  EXPECT_THAT(failure.message, HasSubstr("see that the exec plugin in the kubeconfig logs in"));
  EXPECT_EQ(runs(), 3);
  EXPECT_EQ(failure_with(kubeconfig, kAmple, cache()).cause, Cause::kUnauthorized);
  EXPECT_EQ(runs(), 4);
}

TEST_F(ExecPluginTest, MustGiveACredential) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const auto changed = [](const char* path, const nlohmann::json& value) {
    nlohmann::json json = credential({{"token", "hush-hush"}});
    json[nlohmann::json::json_pointer(path)] = value;
    return "cat <<'END'\n" + json.dump() + "\nEND";
  };
  for (const auto& [script, what] : std::initializer_list<std::pair<std::string, std::string>>{
           {"echo hush-hush", "printed no credential: it is not JSON, or no object"},
           {"true", "printed no credential: it is not JSON, or no object"},
           {changed("/kind", "Pod"), "printed no credential: it is no ExecCredential"},
           {changed("/apiVersion", "client.authentication.k8s.io/v1beta1"),
            "its apiVersion is \"client.authentication.k8s.io/v1beta1\", not "},
           {changed("/status", nullptr), "it has no status"},
           {changed("/status/token", ""), "it has neither a token nor a certificate"},
           {changed("/status/token", 1), "its token is not a string"},
           {changed("/status/token", "hush-hush\n"), "its token holds white space"},
           {changed("/status/clientKeyData", "hush-hush"),
            "it has only one of clientCertificateData and clientKeyData"},
           {changed("/status/expirationTimestamp", "tomorrow"),
            "its status.expirationTimestamp is no time: \"tomorrow\""},
           {"echo 'please log\nin' >&2; exit 1",
            "ended with exit status 1 | it said: please log\\x0ain"},
           {"exec yes", "printed more than 1048576 bytes"}}) {
    const Failure failure = failure_with(kubeconfig_with(server, script));
    EXPECT_EQ(failure.cause, Cause::kIdentity) << script;
    EXPECT_THAT(failure.message, HasSubstr("exec plugin \"" + folder.path().string()));
    EXPECT_THAT(failure.message, HasSubstr(what)) << script;
  }
  Kubeconfig missing = kubeconfig_with(server, "true");
  missing.user.exec->command = "podlease-no-such-plugin";
  EXPECT_THAT(failure_with(missing).message,
              HasSubstr("exec plugin \"podlease-no-such-plugin\" cannot be started: No such file"));
}

TEST_F(ExecPluginTest, EndsAtTheDeadline) {
  const lab::Server server(plain_tls(), taking("t-1"));
  const Failure failure = failure_with(kubeconfig_with(server, "sleep 1000"), kShort);
  EXPECT_EQ(failure.cause, Cause::kTimeout);
  EXPECT_THAT(failure.message, HasSubstr("exec plugin"));
}

}  // namespace
}  // namespace podlease::kube
