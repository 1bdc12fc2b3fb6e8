#ifndef PODLEASE_TESTS_UNIT_KUBE_PKI_H_
#define PODLEASE_TESTS_UNIT_KUBE_PKI_H_

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

// Certificates for the tests: real ones, made in a moment.
namespace podlease::kube::lab {

// A certificate and its key, each as PEM.
struct Pem {
  std::string certificate;
  std::string key;
};

struct Wanted {
  std::string common_name;
  std::string names;  // subject alternative names as OpenSSL writes them: DNS:a, IP:::1
  long from = -3600;  // both in seconds from now
  long until = 3600;
};

// Signs certificates of clients and servers.
class Authority {
 public:
  explicit Authority(const std::string& name);

  [[nodiscard]] Pem issue(const Wanted& wanted) const;
  // Its own, which whoever trusts it must know.
  [[nodiscard]] std::string certificate() const;

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> certificate_;
};

}  // namespace podlease::kube::lab

#endif  // PODLEASE_TESTS_UNIT_KUBE_PKI_H_
