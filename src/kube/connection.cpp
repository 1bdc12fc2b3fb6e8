#include "connection.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "podlease/base/text.h"
#include "resolver.h"
#include "socket.h"

namespace podlease::kube {
namespace {

namespace http = boost::beast::http;

using Cause = ApiError::Cause;
using Parser = http::response_parser<http::string_body>;

constexpr std::size_t kLargestHeader = 64U << 10U;
constexpr std::uint16_t kDefaultPort = 443;

// The Host header: RFC 9110, section 7.2.
std::string authority_of(const Server& server) {
  const bool is_v6 = server.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? "[" + server.host + "]" : server.host;
  return server.port == kDefaultPort ? host : host + ":" + std::to_string(server.port);
}

ApiError too_large() {
  return {Cause::kBadAnswer,
          "the answer is larger than " + std::to_string(kLargestAnswer) + " bytes"};
}

ApiError cut_off() {
  return {Cause::kUnreachable, "the connection ended before its answer did"};
}

ApiError error_for(const boost::beast::error_code& error) {
  if (error == http::error::body_limit || error == http::error::header_limit) {
    return too_large();
  }
  return {Cause::kBadAnswer, "the answer is no HTTP: " + error.message(),
          "see that this is the port of an API server"};
}

// Reads one message into the parser. `rest` is what has been read and not parsed, before and after.
void read_message(TlsStream& stream, Parser& parser, std::string& rest) {
  std::array<char, 16384> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): read fills it
  boost::beast::error_code error;
  while (true) {
    if (!rest.empty()) {
      rest.erase(0, parser.put(boost::asio::buffer(rest), error));
    }
    if (error && error != http::error::need_more) {
      throw error_for(error);
    }
    if (parser.is_done()) {
      return;
    }
    if (rest.size() > kLargestHeader) {
      throw too_large();
    }
    error = {};
    const std::size_t count = stream.read(chunk.data(), chunk.size());
    if (count == 0) {
      if (parser.got_some()) {
        parser.put_eof(error);
      }
      if (!parser.is_done()) {
        throw cut_off();
      }
      return;
    }
    rest.append(chunk.data(), count);
  }
}

}  // namespace

Connection::Connection(const Server& server, const std::string& certificate, const std::string& key,
                       Deadline deadline)
    : authority_(authority_of(server)),
      stream_(connect_to(resolve(server.host, deadline), server.port, deadline), server,
              certificate, key) {}

Answer Connection::ask(const Question& question, const std::string& token) {
  std::string request = question.method + " " + question.target + " HTTP/1.1\r\nHost: ";
  request += authority_ + "\r\nUser-Agent: podlease/" PODLEASE_VERSION "\r\nAccept: ";
  request += question.accept + "\r\n";
  if (!question.body.empty()) {
    request += "Content-Type: " + question.content_type +
               "\r\nContent-Length: " + std::to_string(question.body.size()) + "\r\n";
  }
  if (!token.empty()) {
    request += "Authorization: Bearer " + token + "\r\n";
  }
  is_open_ = false;  // until the answer has been read to its end
  // Where that fails, the server may have said why before it closed.
  static_cast<void>(stream_.write(request + "\r\n" + question.body));
  return read_answer();
}

Answer Connection::read_answer() {
  constexpr unsigned kFirstFinalStatus = 200;
  std::string rest;
  while (true) {
    Parser parser;
    parser.header_limit(kLargestHeader);
    parser.body_limit(kLargestAnswer);
    parser.eager(true);
    read_message(stream_, parser, rest);
    if (parser.get().result_int() < kFirstFinalStatus) {
      continue;  // 103 and its like announce the answer
    }
    is_open_ = parser.keep_alive() && rest.empty();
    const auto& header = parser.get().base();
    return {.status = parser.get().result_int(),
            .retry_after = std::string(header[http::field::retry_after]),
            .location = std::string(header[http::field::location]),
            .date = std::string(header[http::field::date]),
            .body = std::move(parser.get().body())};
  }
}

}  // namespace podlease::kube
