#ifndef PODLEASE_TESTS_BENCH_API_SERVER_H_
#define PODLEASE_TESTS_BENCH_API_SERVER_H_

#include <filesystem>
#include <string>

#include "kube_pki.h"
#include "kube_server.h"

namespace podlease::bench {

// An API server on loopback that knows one Node, `bench`, and its podCIDR.
class ApiServer {
 public:
  // `folder` is where its kubeconfig goes.
  ApiServer(const std::filesystem::path& folder, const std::string& pod_cidr);

  [[nodiscard]] const std::filesystem::path& kubeconfig() const { return kubeconfig_; }

 private:
  std::filesystem::path kubeconfig_;
  kube::lab::Authority authority_;
  kube::lab::Server server_;
};

}  // namespace podlease::bench

#endif  // PODLEASE_TESTS_BENCH_API_SERVER_H_
