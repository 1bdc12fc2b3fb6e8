#include "api_server.h"

#include "process.h"

namespace podlease::bench {
namespace {

// JSON is YAML.
std::string kubeconfig_of(std::uint16_t port, const std::string& authority_file) {
  return R"({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],)"
         R"("users": [{"name": "u", "user": {"token": "t"}}], "clusters": [{"name": "c", "cluster": )"
         R"({"server": "https://127.0.0.1:)" +
         std::to_string(port) + R"(", "certificate-authority": ")" + authority_file + R"("}}]})";
}

std::string node_of(const std::string& pod_cidr) {
  return R"({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bench", "uid": "1"},)"
         R"("spec": {"podCIDR": ")" +
         pod_cidr + R"(", "podCIDRs": [")" + pod_cidr + R"("]}})";
}

}  // namespace

ApiServer::ApiServer(const std::filesystem::path& folder, const std::string& pod_cidr)
    : kubeconfig_(folder / "kubeconfig"),
      authority_("bench authority"),
      server_({.identity = authority_.issue({.common_name = "bench", .names = "IP:127.0.0.1"})},
              [answer = kube::lab::answer(200, node_of(pod_cidr))](kube::lab::Session& session) {
                session.answer_all(answer);
              }) {
  const std::filesystem::path authority_file = folder / "authority.crt";
  write_text(authority_file, authority_.certificate());
  write_text(kubeconfig_, kubeconfig_of(server_.port(), authority_file.string()));
}

}  // namespace podlease::bench
