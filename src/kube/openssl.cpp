#include "openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include <cstdint>
#include <ctime>

#include "podlease/base/error.h"

namespace podlease::kube {
namespace {

BioPtr reader_of(std::string_view text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL would ask at the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) {
  return -1;
}

Error wrong(const std::string& what) {
  return Error(ErrorKind::kConfig, what);
}

}  // namespace

void start_openssl() {
  // Nothing is left to tidy up at exit that the kernel would not.
  OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
}

std::string openssl_reason() {
  const char* const reason = ERR_reason_error_string(ERR_peek_error());
  ERR_clear_error();
  return reason == nullptr ? "no reason given" : reason;
}

std::vector<CertificatePtr> read_certificates(std::string_view pem) {
  start_openssl();
  ERR_clear_error();
  const BioPtr reader = reader_of(pem);
  std::vector<CertificatePtr> certificates;
  while (CertificatePtr next{PEM_read_bio_X509(reader.get(), nullptr, no_passphrase, nullptr)}) {
    certificates.push_back(std::move(next));
  }
  // It ends with "no start line" where there is nothing more.
  const bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string reason = openssl_reason();
  if (certificates.empty() || !ended) {
    throw wrong("the certificate cannot be read: " + reason);
  }
  return certificates;
}

KeyPtr read_key(std::string_view pem) {
  start_openssl();
  ERR_clear_error();
  const BioPtr reader = reader_of(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(reader.get(), nullptr, no_passphrase, nullptr));
  if (!key) {
    const bool is_encrypted = pem.find("ENCRYPTED") != std::string_view::npos;
    const std::string reason = openssl_reason();
    throw wrong("the private key cannot be read: " +
                (is_encrypted ? "it has a passphrase" : reason));
  }
  return key;
}

KeyPair read_key_pair(std::string_view certificate, std::string_view key) {
  KeyPair pair{.chain = read_certificates(certificate), .key = read_key(key)};
  if (X509_check_private_key(pair.chain.front().get(), pair.key.get()) != 1) {
    ERR_clear_error();
    throw wrong("the private key is not that of the certificate");
  }
  return pair;
}

std::int64_t end_of(const X509& certificate) {
  std::tm time{};
  ASN1_TIME_to_tm(X509_get0_notAfter(&certificate), &time);
  return timegm(&time);
}

}  // namespace podlease::kube
