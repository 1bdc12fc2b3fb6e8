#include "tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/net/address.h"

namespace podlease::kube {
namespace {

using Cause = ApiError::Cause;

// Where distributions keep the certificates of those they trust, in the order in which Go looks:
// Debian, Fedora and old RHEL, SUSE, OpenELEC, RHEL, Alpine.
constexpr std::array<const char*, 6> kBundles = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem"};

std::string system_bundle() {
  if (const char* const chosen = std::getenv("SSL_CERT_FILE"); chosen != nullptr) {
    return chosen;
  }
  std::error_code ignored;
  for (const char* const bundle : kBundles) {
    if (std::filesystem::exists(bundle, ignored)) {
      return bundle;
    }
  }
  throw ApiError(Cause::kServerTls, "this host trusts no certificate authority",
                 "give certificate-authority in the kubeconfig, or install ca-certificates");
}

// OpenSSL reads and writes through these; that the socket waits, it does not notice.
int bio_read(BIO* bio, char* data, int size) {
  auto* const socket = static_cast<Socket*>(BIO_get_data(bio));
  return static_cast<int>(socket->receive(data, static_cast<std::size_t>(size)));
}

int bio_write(BIO* bio, const char* data, int size) {
  auto* const socket = static_cast<Socket*>(BIO_get_data(bio));
  return static_cast<int>(socket->send(data, static_cast<std::size_t>(size)));
}

long bio_control(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

std::string date_of(std::int64_t seconds) {
  return to_rfc3339(std::chrono::sys_time<Milliseconds>(std::chrono::seconds(seconds)));
}

// The names and addresses a certificate is made out to, as far as they fit into a message.
std::string names_in(const X509& certificate) {
  constexpr std::size_t kLongest = 200;
  std::string text;
  const std::unique_ptr<GENERAL_NAMES, FreedBy<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(
          X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const BioPtr printed(BIO_new(BIO_s_mem()));
    GENERAL_NAME_print(printed.get(), sk_GENERAL_NAME_value(names.get(), i));
    std::array<char, 256> line{};
    std::size_t size = 0;
    BIO_read_ex(printed.get(), line.data(), line.size(), &size);
    text += (text.empty() ? "" : ", ") + std::string(line.data(), size);
  }
  return text.empty() ? "nobody" : in_one_line(text, kLongest);
}

std::string describe(int error, const X509* certificate, const std::string& name) {
  if (certificate != nullptr && error == X509_V_ERR_CERT_HAS_EXPIRED) {
    return "it ended " + date_of(end_of(*certificate));
  }
  if (certificate != nullptr &&
      (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
    return "it is made out to " + names_in(*certificate) + ", not to " + name;
  }
  return X509_verify_cert_error_string(error);
}

// Alerts by which a server says that it does not like our certificate, or misses it.
bool is_about_our_certificate(int reason) {
  switch (reason) {
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

}  // namespace

TlsStream::TlsStream(Socket socket, const Server& server, std::string_view certificate,
                     std::string_view key)
    : socket_(std::move(socket)),
      name_(server.tls_server_name.empty() ? server.host : server.tls_server_name) {
  start_openssl();
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_OFF);
  if (!server.skip_verification) {
    trust(server);
  }
  if (!certificate.empty()) {
    show(certificate, key);
  }
  ssl_.reset(SSL_new(context_.get()));
  demand_name(server);
  connect();
  shake_hands();
}

TlsStream::~TlsStream() {
  ERR_clear_error();
}

// As in Go, whoever is trusted need not be a root.
void TlsStream::trust(const Server& server) {
  SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, on_verified);
  X509_STORE* const store = SSL_CTX_get_cert_store(context_.get());
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  if (server.authorities.empty()) {
    const std::string bundle = system_bundle();
    if (X509_STORE_load_file(store, bundle.c_str()) != 1) {
      throw ApiError(Cause::kServerTls, "no certificate can be read from " + bundle,
                     "give certificate-authority in the kubeconfig, or mend that file");
    }
    return;
  }
  try {
    for (const CertificatePtr& authority : read_certificates(server.authorities)) {
      X509_STORE_add_cert(store, authority.get());
    }
  } catch (const Error& error) {
    throw ApiError(Cause::kServerTls,
                   std::string("certificate-authority of the kubeconfig: ") + error.what());
  }
}

void TlsStream::show(std::string_view certificate, std::string_view key) {
  try {
    const KeyPair pair = read_key_pair(certificate, key);
    const bool taken = SSL_CTX_use_certificate(context_.get(), pair.chain.front().get()) == 1 &&
                       SSL_CTX_use_PrivateKey(context_.get(), pair.key.get()) == 1;
    if (!taken) {
      throw Error(ErrorKind::kConfig, "it cannot be used: " + openssl_reason());
    }
    for (std::size_t i = 1; i < pair.chain.size(); ++i) {
      SSL_CTX_add1_chain_cert(context_.get(), pair.chain[i].get());
    }
  } catch (const Error& error) {
    throw ApiError(Cause::kIdentity, std::string("our client certificate: ") + error.what(),
                   "client-certificate and client-key must be PEM, and a pair");
  }
}

// Only the alternative names count, not the subject: RFC 6125, section 6.4.4.
void TlsStream::demand_name(const Server& server) {
  if (name_.ends_with('.')) {
    name_.pop_back();
  }
  X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(
      rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const bool is_address = net::Address::parse(name_).has_value();
  if (!is_address) {
    // SSL_set_tlsext_host_name, without the cast in that macro.
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name_.data());
  }
  if (!server.skip_verification) {
    const int done = is_address ? X509_VERIFY_PARAM_set1_ip_asc(rules, name_.c_str())
                                : X509_VERIFY_PARAM_set1_host(rules, name_.c_str(), 0);
    if (done != 1) {
      throw ApiError(Cause::kServerTls, "cannot verify a certificate for " + in_quotes(name_));
    }
  }
}

void TlsStream::connect() {
  method_.reset(BIO_meth_new(BIO_TYPE_SOURCE_SINK, "podlease socket"));
  BIO_meth_set_read(method_.get(), bio_read);
  BIO_meth_set_write(method_.get(), bio_write);
  BIO_meth_set_ctrl(method_.get(), bio_control);
  BIO* const bio = BIO_new(method_.get());
  BIO_set_data(bio, &socket_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_app_data(ssl_.get(), this);
}

void TlsStream::shake_hands() {
  const int result = SSL_connect(ssl_.get());
  if (result == 1) {
    return;
  }
  if (!problem_.empty()) {
    throw ApiError(Cause::kServerTls, "its certificate is not accepted: " + problem_,
                   "see certificate-authority and tls-server-name in the kubeconfig, the "
                   "certificate of the API server, and the clock of this host");
  }
  throw error_of(result, "the TLS handshake");
}

std::size_t TlsStream::read(char* data, std::size_t size) {
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_read_ex(ssl_.get(), data, size, &count);
  if (result == 1 || SSL_get_error(ssl_.get(), result) == SSL_ERROR_ZERO_RETURN) {
    return count;
  }
  throw error_of(result, "its answer");
}

bool TlsStream::write(std::string_view data) {
  ERR_clear_error();
  std::size_t count = 0;
  if (SSL_write_ex(ssl_.get(), data.data(), data.size(), &count) == 1) {
    return true;
  }
  if (socket_.timed_out()) {
    throw error_of(0, "the request");
  }
  return false;
}

// Called by OpenSSL for each certificate of the chain; keeps what is wrong for the message.
int TlsStream::on_verified(int ok, X509_STORE_CTX* store) {
  auto* const ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const self = static_cast<TlsStream*>(SSL_get_app_data(ssl));
  if (ok == 0) {
    self->problem_ = describe(X509_STORE_CTX_get_error(store),
                              X509_STORE_CTX_get_current_cert(store), self->name_);
  }
  return ok;
}

ApiError TlsStream::error_of(int result, const std::string& stage) {
  if (socket_.timed_out()) {
    return {Cause::kTimeout, stage + " was not over in time"};
  }
  const bool is_lost = SSL_get_error(ssl_.get(), result) == SSL_ERROR_SYSCALL;
  const int reason = ERR_GET_REASON(ERR_peek_error());
  if (is_lost || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    ERR_clear_error();
    return {Cause::kUnreachable,
            "the connection was lost during " + stage +
                (socket_.error() == 0 ? "" : std::string(": ") + std::strerror(socket_.error()))};
  }
  const std::string words = openssl_reason();
  if (is_about_our_certificate(reason)) {
    return {Cause::kIdentity, "our client certificate is not accepted: " + words,
            "see client-certificate in the kubeconfig: who signed it, and when it ends"};
  }
  return {Cause::kServerTls, "it does not speak TLS as we do: " + words,
          "see that this is the port of an API server"};
}

}  // namespace podlease::kube
