#include "kube_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "../../src/kube/openssl.h"
#include "../../src/kube/socket_address.h"
#include "podlease/base/error.h"

namespace podlease::kube::lab {
namespace {

std::shared_ptr<SSL_CTX> context_for(const Server::Options& options) {
  start_openssl();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  const KeyPair pair = read_key_pair(options.identity.certificate, options.identity.key);
  SSL_CTX_use_certificate(context.get(), pair.chain.front().get());
  SSL_CTX_use_PrivateKey(context.get(), pair.key.get());
  if (options.tls_version != 0) {
    SSL_CTX_set_security_level(context.get(), 0);  // for versions nobody should speak
    SSL_CTX_set_min_proto_version(context.get(), options.tls_version);
    SSL_CTX_set_max_proto_version(context.get(), options.tls_version);
  }
  if (!options.client_authority.empty()) {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()),
                        read_certificates(options.client_authority).front().get());
  }
  return context;
}

// A client that is gone is no reason to die; in the test's own thread it would be one, for that is
// what the client must see to.
void live_through_broken_pipes() {
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
}

std::uint16_t port_of(int fd) {
  SocketAddress address{.storage = {}, .size = sizeof(sockaddr_storage)};
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the API's own habit
  auto* const raw = reinterpret_cast<sockaddr*>(&address.storage);
  if (getsockname(fd, raw, &address.size) != 0) {
    throw io_error("getsockname", errno);
  }
  // Both families have it in the same place.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): likewise
  return ntohs(reinterpret_cast<const sockaddr_in*>(raw)->sin_port);
}

}  // namespace

std::string Session::client_name() const {
  const CertificatePtr certificate(SSL_get1_peer_certificate(ssl_));
  std::array<char, 256> name{};
  if (certificate) {
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, name.data(),
                              static_cast<int>(name.size()));
  }
  return name.data();
}

std::string Session::server_name() const {
  const char* const name = SSL_get_servername(ssl_, TLSEXT_NAMETYPE_host_name);
  return name == nullptr ? "" : name;
}

std::string Session::request() {
  std::string text;
  while (!text.ends_with("\r\n\r\n")) {
    char byte = 0;
    const auto count =
        ssl_ == nullptr ? recv(fd_, &byte, 1, 0) : static_cast<ssize_t>(SSL_read(ssl_, &byte, 1));
    if (count != 1) {
      return {};
    }
    text += byte;
  }
  return text;
}

bool Session::send(std::string_view text) {
  ERR_clear_error();
  const auto count =
      ssl_ == nullptr
          ? ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL)
          : static_cast<ssize_t>(SSL_write(ssl_, text.data(), static_cast<int>(text.size())));
  return count == static_cast<ssize_t>(text.size());
}

void Session::drip(std::string_view text, std::chrono::milliseconds pause) {
  for (std::size_t i = 0; i < text.size() && send(text.substr(i, 1)); ++i) {
    std::this_thread::sleep_for(pause);
  }
}

void Session::hold() const {
  std::array<char, 4096> ignored{};
  while (recv(fd_, ignored.data(), ignored.size(), 0) > 0) {
  }
}

void Session::say_goodbye() {
  SSL_shutdown(ssl_);
}

void Session::answer_all(std::string_view text) {
  while (!request().empty() && send(text)) {
  }
}

Server::Server(Options options, Talk talk)
    : options_(std::move(options)),
      talk_(std::move(talk)),
      context_(options_.identity.key.empty() ? nullptr : context_for(options_)) {
  Listener listener = listen_at(options_.address);
  listener_ = std::move(listener.fd);
  port_ = listener.port;
  thread_ = std::thread([this] { serve(); });
}

Server::~Server() {
  {
    const std::scoped_lock lock(mutex_);
    stops_ = true;
    shutdown(listener_.get(), SHUT_RDWR);
    shutdown(current_, SHUT_RDWR);
  }
  thread_.join();
}

void Server::serve() {
  live_through_broken_pipes();
  while (true) {
    const UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;  // as the real one does
    static_cast<void>(setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    {
      const std::scoped_lock lock(mutex_);
      if (!fd || stops_) {
        return;
      }
      current_ = fd.get();
    }
    talk_to(fd.get(), connections_++);
    const std::scoped_lock lock(mutex_);
    current_ = -1;
  }
}

void Server::talk_to(int fd, int number) {
  if (context_ == nullptr) {
    Session session(fd, nullptr, number);
    talk_(session);
    return;
  }
  ERR_clear_error();
  const std::unique_ptr<SSL, FreedBy<SSL_free>> ssl(SSL_new(context_.get()));
  SSL_set_fd(ssl.get(), fd);
  if (SSL_accept(ssl.get()) == 1) {
    Session session(fd, ssl.get(), number);
    talk_(session);
  }
}

Listener listen_at(const std::string& address, std::uint16_t port, int backlog) {
  const net::Address parsed = net::Address::parse(address).value();
  const SocketAddress place = to_socket_address(parsed, port);
  UniqueFd fd(socket(parsed.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || bind(fd.get(), place.get(), place.size) != 0 || listen(fd.get(), backlog) != 0) {
    throw io_error("listen at " + address, errno);
  }
  const std::uint16_t chosen = port_of(fd.get());
  return {.fd = std::move(fd), .port = chosen};
}

std::string answer(int status, std::string_view body, std::string_view header) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Whatever\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(header) + "\r\n" + std::string(body);
}

}  // namespace podlease::kube::lab
