#ifndef PODLEASE_TESTS_UNIT_KUBE_SERVER_H_
#define PODLEASE_TESTS_UNIT_KUBE_SERVER_H_

#include <openssl/ssl.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kube_pki.h"
#include "podlease/base/file.h"

// An API server for the tests that does to each connection whatever the test says.
namespace podlease::kube::lab {

// One connection, from the server's side. What the client has closed reads as nothing, and writes
// to it are lost.
class Session {
 public:
  // Without TLS where `ssl` is null.
  Session(int fd, SSL* ssl, int number) : fd_(fd), ssl_(ssl), number_(number) {}

  [[nodiscard]] int number() const { return number_; }  // 0 for the server's first connection
  [[nodiscard]] std::string client_name() const;  // the common name of its certificate, or empty
  [[nodiscard]] std::string server_name() const;  // what the client asked for (SNI), or empty

  // The next request's line and header; empty at the end.
  [[nodiscard]] std::string request();
  // Returns false once nobody is there any more.
  bool send(std::string_view text);
  // A byte at a time, until all is sent or the client has had enough.
  void drip(std::string_view text, std::chrono::milliseconds pause);
  void hold() const;   // until the client goes
  void say_goodbye();  // TLS's own end of a connection; without it, what follows is a cut

  // Request after request gets `text`.
  void answer_all(std::string_view text);

 private:
  int fd_;
  SSL* ssl_;
  int number_;
};

class Server {
 public:
  using Talk = std::function<void(Session&)>;
  struct Options {
    Pem identity;                       // empty: no TLS
    std::string client_authority;       // PEM; empty: asks for no certificate
    std::string address = "127.0.0.1";  // to listen at
    int tls_version = 0;                // the only one it speaks; 0: any
  };

  // Talks to one connection after the other, in a thread of its own, until it ends itself.
  Server(Options options, Talk talk);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  void serve();
  void talk_to(int fd, int number);

  Options options_;
  Talk talk_;
  std::shared_ptr<SSL_CTX> context_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  int current_ = -1;    // the connection talked to; with `mutex_`
  bool stops_ = false;  // likewise
  std::thread thread_;
};

// A socket that listens at a free port of an address, with nobody who accepts; its port too.
struct Listener {
  UniqueFd fd;
  std::uint16_t port;
};
[[nodiscard]] Listener listen_at(const std::string& address, std::uint16_t port = 0,
                                 int backlog = 16);

// An HTTP/1.1 answer, with its Content-Length. `header` lines end with \r\n.
[[nodiscard]] std::string answer(int status, std::string_view body, std::string_view header = {});

}  // namespace podlease::kube::lab

#endif  // PODLEASE_TESTS_UNIT_KUBE_SERVER_H_
