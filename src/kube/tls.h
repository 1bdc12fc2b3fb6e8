#ifndef PODLEASE_SRC_KUBE_TLS_H_
#define PODLEASE_SRC_KUBE_TLS_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "openssl.h"
#include "podlease/kube/kubeconfig.h"
#include "socket.h"

namespace podlease::kube {

// A TLS connection to a server that has proved to be the one that was meant.
class TlsStream {
 public:
  // Shakes hands; `certificate` and `key` are shown if the server asks, and may be empty. Throws
  // ApiError: kServerTls, kIdentity, kUnreachable, kTimeout.
  TlsStream(Socket socket, const Server& server, std::string_view certificate,
            std::string_view key);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;
  ~TlsStream();

  // At least one byte; 0: the server has ended the connection as it should. Throws as above.
  [[nodiscard]] std::size_t read(char* data, std::size_t size);
  // Returns false if the connection is lost: what the server said before can still be read.
  [[nodiscard]] bool write(std::string_view data);

 private:
  using ContextPtr = std::unique_ptr<SSL_CTX, FreedBy<SSL_CTX_free>>;
  using SslPtr = std::unique_ptr<SSL, FreedBy<SSL_free>>;
  using MethodPtr = std::unique_ptr<BIO_METHOD, FreedBy<BIO_meth_free>>;

  void trust(const Server& server);
  void show(std::string_view certificate, std::string_view key);
  void demand_name(const Server& server);
  void connect();
  void shake_hands();
  static int on_verified(int ok, X509_STORE_CTX* store);
  [[nodiscard]] ApiError error_of(int result, const std::string& stage);

  Socket socket_;
  MethodPtr method_;
  ContextPtr context_;
  SslPtr ssl_;
  std::string name_;     // what the certificate must be made out to
  std::string problem_;  // what is wrong with the certificate
};

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_TLS_H_
