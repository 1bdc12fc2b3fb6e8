#ifndef PODLEASE_SRC_KUBE_OPENSSL_H_
#define PODLEASE_SRC_KUBE_OPENSSL_H_

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// What podlease needs of OpenSSL in more than one place.
namespace podlease::kube {

// Frees what OpenSSL made.
template <auto Function>
struct FreedBy {
  template <typename Object>
  void operator()(Object* object) const {
    Function(object);
  }
};
using BioPtr = std::unique_ptr<BIO, FreedBy<BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, FreedBy<X509_free>>;

// To be called before anything else of OpenSSL; any number of times. The host's configuration file
// is not read: what it says is meant for another OpenSSL than the one linked in here.
void start_openssl();

// Why the last call failed, in OpenSSL's words; its queue of errors is empty afterwards.
[[nodiscard]] std::string openssl_reason();

// All certificates in a PEM text, which may hold other things too. Throws kConfig that says what is
// wrong; so does `read_key`, also for a key that only a passphrase would open.
[[nodiscard]] std::vector<CertificatePtr> read_certificates(std::string_view pem);
[[nodiscard]] KeyPtr read_key(std::string_view pem);

// A client certificate with the intermediates that came with it, and its key.
struct KeyPair {
  std::vector<CertificatePtr> chain;  // never empty; the client's own first
  KeyPtr key;
};

// Throws kConfig if it cannot be read, or does not belong together.
[[nodiscard]] KeyPair read_key_pair(std::string_view certificate, std::string_view key);

// When it ends, in seconds since 1970.
[[nodiscard]] std::int64_t end_of(const X509& certificate);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_OPENSSL_H_
