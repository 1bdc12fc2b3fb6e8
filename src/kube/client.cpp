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

constexpr std::size_t kLongestName = 253;  // of any object

// An object that can be asked for.
struct Resource {
  std::string kind;
  std::string path;  // of the API, before the name
  bool is_custom;    // its definition may be missing
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

// Whether to ask again after a failure, waiting as long as that takes: as the server asks, however
// often; of itself once, and soon, for the failure may be over in no time.
class Retries {
 public:
  explicit Retries(Deadline deadline) : deadline_(deadline) {}

  [[nodiscard]] bool worth_after(const Answer& answer) {
    const bool may_ask_to_wait =
        answer.status == kTooManyRequests || answer.status == kServiceUnavailable;
    if (const auto wait = asked_to_wait(answer); wait && may_ask_to_wait) {
      return pause(*wait);
    }
    return answer.status >= kFirstServerError && once();
  }

  [[nodiscard]] bool worth_after(const ApiError& error) {
    return error.cause() == Cause::kUnreachable && once();
  }

 private:
  bool once() { return std::exchange(may_try_, false) && pause(kQuickRetry); }

  // Only if that leaves time for another try.
  [[nodiscard]] bool pause(Milliseconds time) const {
    if (time_left(deadline_) <= time) {
      return false;
    }
    std::this_thread::sleep_for(time);
    return true;
  }

  Deadline deadline_;
  bool may_try_ = true;
};

}  // namespace

struct Client::Impl {
  Impl(Kubeconfig the_kubeconfig, Options the_options)
      : kubeconfig(std::move(the_kubeconfig)),
        options(std::move(the_options)),
        login(kubeconfig, options.credentials) {}

  // Nothing: there is no such object.
  template <typename Parse>
  auto read(const Resource& resource, const std::string& name, Parse parse)
      -> std::optional<decltype(parse(std::string_view()))>;
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

void Client::Impl::connect(const Credential& credential) {
  connection.reset();
  connection = std::make_unique<Connection>(kubeconfig.server, credential.certificate,
                                            credential.key, options.deadline);
  shown_certificate = credential.certificate;
}

// A connection that was kept may have been closed meanwhile; that is no failure of the server.
Answer Client::Impl::ask_once(const std::string& target) {
  const Credential credential = login.credential(options.deadline);
  if (connection && connection->is_open() && shown_certificate == credential.certificate) {
    try {
      return connection->get(target, credential.token);
    } catch (const ApiError& error) {
      if (error.cause() != Cause::kUnreachable) {
        throw;
      }
    }
  }
  connect(credential);
  return connection->get(target, credential.token);
}

// Asks until there is an answer to go by, or until asking again makes no sense.
Answer Client::Impl::ask(const std::string& target) {
  Retries retries(options.deadline);
  while (true) {
    try {
      Answer answer = ask_once(target);
      const bool again =
          answer.status == kUnauthorized ? login.give_up() : retries.worth_after(answer);
      if (!again) {
        return answer;
      }
    } catch (const ApiError& error) {
      connection.reset();
      if (!retries.worth_after(error)) {
        throw;
      }
    }
  }
}

std::optional<std::string> Client::Impl::get(const Resource& resource, const std::string& name) {
  if (name.empty() || name == "." || name == "..") {
    throw ApiError(Cause::kRejected, in_quotes(name) + " is no name of an object");
  }
  Answer answer = ask(kubeconfig.server.base_path + resource.path + percent_encoded(name));
  if (is_missing(answer, resource.is_custom)) {
    return std::nullopt;
  }
  if (answer.status != kOk) {
    throw refusal_in(answer, kubeconfig);
  }
  return std::move(answer.body);
}

template <typename Parse>
auto Client::Impl::read(const Resource& resource, const std::string& name, Parse parse)
    -> std::optional<decltype(parse(std::string_view()))> {
  const std::string subject = "GET " + resource.kind + " " + in_one_line(name, kLongestName) +
                              " from " + kubeconfig.server.url + ": ";
  try {
    const std::optional<std::string> json = get(resource, name);
    if (!json) {
      return std::nullopt;
    }
    auto object = parse(*json);
    if (object.name != name) {
      throw ApiError(Cause::kBadAnswer, "the answer is another object, " + in_quotes(object.name));
    }
    return object;
  } catch (const ApiError& error) {
    throw ApiError(error.cause(), subject + error.what(), error.details());
  } catch (const Error& error) {
    throw ApiError(Cause::kBadAnswer, subject + "the answer is " + error.what(), error.details());
  }
}

Client::Client(Kubeconfig kubeconfig, Options options)
    : impl_(std::make_unique<Impl>(std::move(kubeconfig), std::move(options))) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

std::optional<Node> Client::node(const std::string& name) {
  return impl_->read({.kind = "Node", .path = "/api/v1/nodes/", .is_custom = false}, name,
                     parse_node);
}

std::optional<CiliumNode> Client::cilium_node(const std::string& name) {
  return impl_->read(
      {.kind = "CiliumNode", .path = "/apis/cilium.io/v2/ciliumnodes/", .is_custom = true}, name,
      parse_cilium_node);
}

}  // namespace podlease::kube
