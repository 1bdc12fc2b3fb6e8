#include "server_url.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/net/address.h"

namespace podlease::kube {
namespace {

constexpr std::string_view kScheme = "https://";

Error wrong(const std::string& what) {
  return Error(ErrorKind::kConfig, what);
}

bool is_visible(char c) {
  return c > ' ' && c < '\x7f';
}

bool is_of_host_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}

std::uint16_t parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (error != std::errc{} || stop != end || port == 0) {
    throw wrong("has a port that is not 1 to 65535");
  }
  return port;
}

// [2001:db8::1]: takes it off `rest`.
std::string take_bracketed_host(std::string_view& rest) {
  const std::size_t end = rest.find(']');
  const std::string_view host = rest.substr(1, end == std::string_view::npos ? end : end - 1);
  const auto address = net::Address::parse(host);
  if (end == std::string_view::npos || !address || !address->is_v6()) {
    throw wrong("has no IPv6 address in its brackets");
  }
  rest.remove_prefix(end + 1);
  return std::string(host);
}

std::string take_plain_host(std::string_view& rest) {
  const std::string_view host = rest.substr(0, rest.find(':'));
  if (host.empty() || !std::all_of(host.begin(), host.end(), is_of_host_name)) {
    throw wrong("has no host name or address");
  }
  rest.remove_prefix(host.size());
  return std::string(host);
}

}  // namespace

Server parse_server_url(const std::string& url) {
  if (!equals_ignoring_case(std::string_view(url).substr(0, kScheme.size()), kScheme)) {
    throw wrong("does not begin with https://");
  }
  std::string_view rest = std::string_view(url).substr(kScheme.size());
  if (!std::all_of(rest.begin(), rest.end(), is_visible)) {
    throw wrong("holds white space, or what is not ASCII");
  }
  if (rest.find_first_of("@?#") != std::string_view::npos) {
    throw wrong("holds a user, a query or a fragment");
  }
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(slash);
  while (path.ends_with('/')) {
    path.remove_suffix(1);
  }
  rest = rest.substr(0, slash);
  if (rest.find(':') != rest.rfind(':') && !rest.starts_with('[')) {
    throw wrong("has an IPv6 address without brackets");
  }
  Server server{.url = url, .base_path = std::string(path)};
  server.host = rest.starts_with('[') ? take_bracketed_host(rest) : take_plain_host(rest);
  if (!rest.empty()) {
    if (rest.front() != ':') {
      throw wrong("goes on after the brackets");
    }
    server.port = parse_port(rest.substr(1));
  }
  return server;
}

}  // namespace podlease::kube
