#include "podlease/kube/client.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "connection.h"
#include "login.h"
#include "podlease/base/text.h"
#include "refusal.h"
#include "time_left.h"

namespace podlease::kube {
namespace {

using Cause = ApiError::Cause;

// Before the one retry of a failure that may be over in no time: a server that starts anew.
constexpr Milliseconds kQuickRetry{50};

constexpr unsigned kOk = 200;
constexpr unsigned kUnauthorized = 401;
constexpr unsigned kNotFound = 404;
constexpr unsigned kTooManyRequests = 429;
constexpr unsigned kFirstServerError = 500;
constexpr unsigned kUnavailable = 503;

// An object that can be asked for.
struct Resource {
  std::string kind;
  std::string folder;         // of the API
  bool may_be_unknown;        // to the server: a custom one, whose definition may be missing
};

// RFC 3986, section 2.1: as it stands in a path.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result.append("%").append({kHex[byte >> 4U], kHex[byte & 0xfU]});
    }
  }
  return result;
}

// Seconds; a date, which no API server sends, says nothing.
std::optional<Milliseconds> asked_to_wait(const Answer& answer) {
  constexpr unsigned kLongest = 3600;
  unsigned seconds = 0;
  const std::string& text = answer.retry_after;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || stop != text.data() + text.size() || seconds > kLongest) {
    return std::nullopt;
  }
  return std::max(kQuickRetry, Milliseconds(std::chrono::seconds(seconds)));
}

// Waits, if that leaves time for another try.
bool pause(Milliseconds time, Deadline deadline) {
  if (time_left(deadline) <= time) {
    return false;
  }
  std::this_thread::sleep_for(time);
  return true;
}

}  // namespace

struct Client::Impl {
  Impl(Kubeconfig the_kubeconfig, Options the_options)
      : kubeconfig(std::move(the_kubeconfig)),
        options(std::move(the_options)),
        login(kubeconfig, options.credentials) {}

  // The JSON of the object; nothing if there is none.
  std::optional<std::string> get(const Resource& resource, const std::string& name);
  Answer ask(const std::string& target);
  Answer ask_once(const std::string& target);
  void connect(const Credential& credential);

  Kubeconfig kubeconfig;
  Options options;
  Login login;
  std::unique_ptr<Connection> connection;
  std::string shown_certificate;  // in that connection
};
