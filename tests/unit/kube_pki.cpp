#include "kube_pki.h"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <stdexcept>

namespace podlease::kube::lab {
namespace {

using KeyPtr = std::shared_ptr<EVP_PKEY>;
using CertificatePtr = std::shared_ptr<X509>;

void demand(bool holds) {
  if (!holds) {
    throw std::runtime_error("the test's own certificates cannot be made");
  }
}

KeyPtr make_key() {
  KeyPtr key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  demand(key != nullptr);
  return key;
}

void extend(X509* certificate, int what, const std::string& value) {
  if (value.empty()) {
    return;
  }
  const std::shared_ptr<X509_EXTENSION> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str()), X509_EXTENSION_free);
  demand(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

// Without its issuer and its signature.
CertificatePtr make_certificate(const Wanted& wanted, EVP_PKEY* key) {
  static long serial = 0;
  CertificatePtr certificate(X509_new(), X509_free);
  X509* const raw = certificate.get();
  constexpr long kVersion3 = 2;
  X509_set_version(raw, kVersion3);
  ASN1_INTEGER_set(X509_get_serialNumber(raw), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(raw), wanted.from);
  X509_gmtime_adj(X509_getm_notAfter(raw), wanted.until);
  X509_set_pubkey(raw, key);
  const std::basic_string<unsigned char> name(wanted.common_name.begin(), wanted.common_name.end());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(raw), "CN", MBSTRING_UTF8, name.c_str(), -1, -1,
                             0);
  extend(raw, NID_subject_alt_name, wanted.names);
  return certificate;
}

template <typename Write>
std::string to_pem(Write write) {
  const std::shared_ptr<BIO> bio(BIO_new(BIO_s_mem()), BIO_free);
  demand(write(bio.get()) == 1);
  std::string text(BIO_ctrl_pending(bio.get()), '\0');
  BIO_read(bio.get(), text.data(), static_cast<int>(text.size()));
  return text;
}

std::string to_pem(X509* certificate) {
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

}  // namespace

Authority::Authority(const std::string& name)
    : key_(make_key()), certificate_(make_certificate({.common_name = name}, key_.get())) {
  extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  demand(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
}

Pem Authority::issue(const Wanted& wanted) const {
  const KeyPtr key = make_key();
  const CertificatePtr certificate = make_certificate(wanted, key.get());
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  demand(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
  return {.certificate = to_pem(certificate.get()),
          .key = to_pem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

std::string Authority::certificate() const {
  return to_pem(certificate_.get());
}

}  // namespace podlease::kube::lab
