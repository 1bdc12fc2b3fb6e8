#include "podlease/kube/client.h"

namespace podlease::kube {

struct Client::Impl {};

Client::Client(Kubeconfig /*kubeconfig*/, Options /*options*/) : impl_(std::make_unique<Impl>()) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

std::optional<Node> Client::node(const std::string& name) {
  throw ApiError(ApiError::Cause::kUnreachable, "Node " + name + ": not yet");
}

std::optional<CiliumNode> Client::cilium_node(const std::string& name) {
  throw ApiError(ApiError::Cause::kUnreachable, "CiliumNode " + name + ": not yet");
}

}  // namespace podlease::kube
