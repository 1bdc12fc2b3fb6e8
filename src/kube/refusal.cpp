#include "refusal.h"

#include <chrono>
#include <ctime>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::kube {
namespace {

using Cause = ApiError::Cause;
using Json = nlohmann::json;

// v1 Status, in which the API words what it refuses. Empty: the answer is none.
struct Status {
  std::string reason;
  std::string message;
};

Status status_in(const Answer& answer) {
  constexpr bool kThrows = false;
  const Json json = Json::parse(answer.body, nullptr, kThrows);
  const auto text = [&](const char* name) {
    const bool has_text = json.is_object() && json.contains(name) && json[name].is_string();
    return has_text ? json[name].get<std::string>() : std::string();
  };
  return text("kind") == "Status" ? Status{.reason = text("reason"), .message = text("message")}
                                  : Status{};
}

std::string_view words_for(unsigned status) {
  switch (status) {
    case kUnauthorized:
      return " Unauthorized";
    case kForbidden:
      return " Forbidden";
    case kNotFound:
      return " Not Found";
    case kConflict:
      return " Conflict";
    case kTooManyRequests:
      return " Too Many Requests";
    case kServiceUnavailable:
      return " Service Unavailable";
    default:
      return "";
  }
}

std::string describe(const Answer& answer) {
  constexpr std::size_t kLongest = 300;
  std::string text = "the server says " + std::to_string(answer.status);
  text += words_for(answer.status);
  if (const Status status = status_in(answer); !status.message.empty()) {
    text += ": " + in_one_line(status.message, kLongest);
  }
  return text;
}

// Which of our credentials it may be that does not count.
std::string advice_for_unauthorized(const Kubeconfig& kubeconfig) {
  if (kubeconfig.user.exec) {
    return "see that the exec plugin in the kubeconfig logs in to this cluster";
  }
  const Identity identity = identity_of(kubeconfig);
  if (!identity.certificate_ends) {
    return "see that the token in the kubeconfig is one of this cluster, and has not ended";
  }
  const std::chrono::sys_time<Milliseconds> end(std::chrono::seconds(*identity.certificate_ends));
  if (*identity.certificate_ends < std::time(nullptr)) {
    return "the client certificate in the kubeconfig has ended, at " + to_rfc3339(end);
  }
  return "the client certificate in the kubeconfig, valid until " + to_rfc3339(end) +
         ", is signed by no authority of this cluster";
}

}  // namespace

bool is_unknown_path(const Answer& answer) {
  return answer.status == kNotFound && trimmed(answer.body) == "404 page not found";
}

bool is_missing(const Answer& answer, bool may_not_know) {
  return answer.status == kNotFound &&
         (status_in(answer).reason == "NotFound" || (may_not_know && is_unknown_path(answer)));
}

ApiError refusal_in(const Answer& answer, const Kubeconfig& kubeconfig) {
  constexpr unsigned kFirstRedirect = 300;
  constexpr unsigned kFirstClientError = 400;
  const std::string text = describe(answer);
  if (answer.status == kUnauthorized) {
    return {Cause::kUnauthorized, text, advice_for_unauthorized(kubeconfig)};
  }
  if (answer.status == kForbidden) {
    return {Cause::kForbidden, text,
            "a kubelet's kubeconfig may read its own Node; any other identity needs a ClusterRole "
            "with the verb get"};
  }
  if (answer.status == kConflict) {
    return {Cause::kConflict, text};
  }
  if (answer.status == kTooManyRequests) {
    return {Cause::kThrottled, text, "the API server is overloaded"};
  }
  if (answer.status >= kFirstServerError) {
    return {Cause::kServer, text, "see the log of the API server"};
  }
  if (answer.status >= kFirstClientError) {
    return {Cause::kRejected, text, "see that server in the kubeconfig leads to an API server"};
  }
  if (answer.status >= kFirstRedirect) {
    return {Cause::kRejected, text + " and redirects to " + in_quotes(answer.location),
            "write the server that answers by itself into the kubeconfig"};
  }
  return {Cause::kBadAnswer, text};
}

}  // namespace podlease::kube
