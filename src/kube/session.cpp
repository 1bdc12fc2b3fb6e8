#include "session.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <thread>
#include <utility>

#include "refusal.h"
#include "time_left.h"

namespace podlease::kube {
namespace {

using Cause = ApiError::Cause;

// Before the one retry of a failure that may be over in no time: a server that starts anew.
constexpr Milliseconds kQuickRetry{50};

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

Session::Session(Kubeconfig kubeconfig, Client::Options options)
    : kubeconfig_(std::move(kubeconfig)),
      options_(std::move(options)),
      login_(kubeconfig_, options_.credentials) {}

void Session::connect(const Credential& credential) {
  connection_.reset();
  connection_ = std::make_unique<Connection>(kubeconfig_.server, credential.certificate,
                                             credential.key, options_.deadline);
  shown_certificate_ = credential.certificate;
}

// A connection that was kept may have been closed meanwhile; that is no failure of the server.
Answer Session::ask_once(const Question& question) {
  const Credential credential = login_.credential(options_.deadline);
  if (connection_ && connection_->is_open() && shown_certificate_ == credential.certificate) {
    try {
      return connection_->ask(question, credential.token);
    } catch (const ApiError& error) {
      if (error.cause() != Cause::kUnreachable) {
        throw;
      }
      was_in_doubt_ = true;
    }
  }
  connect(credential);
  return connection_->ask(question, credential.token);
}

Answer Session::ask(Question question) {
  question.target = kubeconfig_.server.base_path + question.target;
  Retries retries(options_.deadline);
  was_in_doubt_ = false;
  while (true) {
    try {
      Answer answer = ask_once(question);
      const bool again =
          answer.status == kUnauthorized ? login_.give_up() : retries.worth_after(answer);
      if (!again) {
        return answer;
      }
      was_in_doubt_ = was_in_doubt_ || answer.status >= kFirstServerError;
    } catch (const ApiError& error) {
      connection_.reset();
      if (!retries.worth_after(error)) {
        throw;
      }
      was_in_doubt_ = true;
    }
  }
}

}  // namespace podlease::kube
