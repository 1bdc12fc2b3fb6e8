// ADD (CNI specification, section "ADD"), and what `podlease explain` says one would do.

#include <utility>
#include <variant>

#include "add_attempt.h"
#include "guard.h"
#include "liveness.h"
#include "podlease/base/error.h"
#include "podlease/ipam/leases.h"
#include "session.h"

namespace podlease::ipam {
namespace {

using store::Moment;

void refuse_if_unknown(const Session& session) {
  if (session.obstacle) {
    throw Error(*session.obstacle);
  }
}

// After an attempt that is given up: what it noticed on the way must outlast it.
void keep_notes(Session& session, const AddAttempt& attempt) {
  session.transaction.roll_back();
  session.transaction = session.store.begin();
  attempt.note_in(session.transaction, session.network.name);
  session.transaction.commit();
}

}  // namespace

// An ADD, from one attempt to the next: between two of them the store is closed, and what the last
// one lacked is got.
class Leases::Adding {
 public:
  Adding(const Leases& leases, const AddRequest& request, pools::Source& source,
         const std::function<bool()>& still_wanted)
      : leases_(&leases),
        request_(&request),
        source_(&source),
        still_wanted_(&still_wanted),
        presence_(presence_of(*leases.host_, request.netns)),
        host_local_(request.key.network, leases.places_, leases.data_dir_) {}

  [[nodiscard]] std::vector<Granted> run() {
    while (true) {
      const Moment before = leases_->moment();
      Session session =
          open_session(leases_->opening(request_->key.network, request_->wiring, *source_,
                                        host_local_, before, *leases_->log_, request_));
      // After the wait for the lock.
      const Moment now{.at = leases_->clock_->now(), .boot_id = presence_.boot_id};
      std::optional<std::vector<Granted>> granted = attempt(session, now);
      if (granted) {
        return *std::move(granted);
      }
    }
  }

 private:
  // Nothing: what was lacking is there now, or was waited for.
  [[nodiscard]] std::optional<std::vector<Granted>> attempt(Session& session, const Moment& now) {
    AddAttempt attempt({.request = request_,
                        .host = leases_->host_,
                        .presence = &presence_,
                        .now = &now,
                        .log = leases_->log_,
                        .walk = walk_ ? &*walk_ : nullptr,
                        .names = names_},
                       session);
    Outcome outcome = attempt.keep();
    auto* const kept = std::get_if<std::vector<Granted>>(&outcome);
    if (kept != nullptr && kept->empty()) {
      refuse_if_unknown(session);
      outcome = choose(session, attempt);
    }
    if (auto* const granted = std::get_if<std::vector<Granted>>(&outcome)) {
      return commit(session, std::move(*granted), attempt.reclaimer(), now);
    }
    keep_notes(session, attempt);
    session.close();
    if (const auto* const shortage = std::get_if<Shortage>(&outcome)) {
      grow(*shortage, now);
    } else if (const auto* const not_yet = std::get_if<NotYet>(&outcome)) {
      wait(*not_yet);
    } else {
      walk();
    }
    return std::nullopt;
  }

  [[nodiscard]] Outcome choose(Session& session, AddAttempt& attempt) {
    try {
      return attempt.choose(shortage_.has_value());
    } catch (const Error& error) {
      keep_notes(session, attempt);
      if (shortage_ && error.kind() == ErrorKind::kExhausted) {
        throw Error(*shortage_);
      }
      throw;
    }
  }

  [[nodiscard]] std::vector<Granted> commit(Session& session, std::vector<Granted> granted,
                                            const Reclaimer& reclaimer, const Moment& now) {
    // Before anything is written: a DEL that comes from here on waits for our lock.
    if (!(*still_wanted_)()) {
      throw Error(ErrorKind::kOther, "nobody waits for the answer any more: nothing was leased");
    }
    const bool is_new =
        granted.back().reason != Reason::kHeld || granted.front().reason != Reason::kHeld;
    // Also by the call that ends the sharing: host-local may be asked once more, by a runtime that
    // is about to change its configuration.
    if (is_new && session.shared) {
      host_local_.mirror(session.transaction, session.network, now);
    }
    session.transaction.commit();
    for (const Granted& grant : granted) {
      leases_->log_->write(LogLevel::kInfo,
                           "ADD " + request_->key.network + " " + request_->key.container_id + " " +
                               request_->key.ifname + ": " + grant.lease.address.to_string());
    }
    if (reclaimer.found_due()) {
      session.close();
      leases_->reclaim_due(request_->key.network);
    }
    return granted;
  }

  // Nobody is asked under the store's lock.
  void grow(const Shortage& shortage, const Moment& now) {
    // Others may be served first, however often.
    constexpr int kMostGrowths = 64;
    try {
      if (++growths_ > kMostGrowths) {
        throw Error(ErrorKind::kBusy,
                    "network " + request_->key.network +
                        ": other pods took each address that this node got for this one",
                    "try again");
      }
      source_->grow(shortage.families, now);
    } catch (const Error& error) {
      shortage_ = error;
    }
  }

  void wait(const NotYet& not_yet) {
    if (waited_) {
      throw Error(ErrorKind::kBusy,
                  "network " + request_->key.network +
                      ": the only free address was freed within the last second",
                  "try again; more addresses in the range end this");
    }
    leases_->clock_->sleep(not_yet.time);
    waited_ = true;
  }

  void walk() {
    // What an earlier walk found is settled; another one can only be asked for by holders that went
    // missing since.
    constexpr int kMostWalks = 6;
    if (++walks_ > kMostWalks) {
      throw Error(ErrorKind::kBusy,
                  "network " + request_->key.network +
                      ": holders of its addresses come and go faster than they can be looked at",
                  "try again");
    }
    if (walk_ && walk_->count() < 2) {
      walk_->again(*leases_->clock_);
      return;
    }
    walk_.reset();
    walk_.emplace(*leases_->host_);
  }

  const Leases* leases_;
  const AddRequest* request_;
  pools::Source* source_;
  const std::function<bool()>* still_wanted_;
  store::Presence presence_;
  HostLocal host_local_;
  std::optional<Walk> walk_;
  Names names_;
  std::optional<Error> shortage_;  // why the source has found no more
  int growths_ = 0;
  int walks_ = 0;
  bool waited_ = false;
};

std::vector<Granted> Leases::add(const AddRequest& request, pools::Source& source,
                                 const std::function<bool()>& still_wanted) const {
  if (const std::optional<std::string> shared = store::shared_file_system(data_dir_)) {
    log_->write(LogLevel::kWarning, "the store in " + data_dir_.string() + " is on " + *shared +
                                        ", which other machines may share");
  }
  try {
    return Adding(*this, request, source, still_wanted).run();
  } catch (const store::DamagedError&) {
    // Or another process has moved it aside meanwhile.
    static_cast<void>(store::set_aside_if_damaged(options(data_dir_)));
  }
  return Adding(*this, request, source, still_wanted).run();
}

std::vector<Granted> Leases::rehearse(const AddRequest& request, pools::Source& source) const {
  const store::Presence presence = presence_of(*host_, request.netns);
  HostLocal host_local(request.key.network, places_, data_dir_);
  const Moment now = moment();
  const Log silent(*clock_);  // what it would say does not happen
  const Walk walk(*host_);
  Opening opening =
      this->opening(request.key.network, request.wiring, source, host_local, now, silent, &request);
  opening.dry_run = true;
  Session session = open_session(opening);
  AddAttempt attempt({.request = &request,
                      .host = host_,
                      .presence = &presence,
                      .now = &now,
                      .log = &silent,
                      .walk = &walk},
                     session);
  Outcome outcome = attempt.keep();
  auto* const kept = std::get_if<std::vector<Granted>>(&outcome);
  if (kept != nullptr && kept->empty()) {
    refuse_if_unknown(session);
    outcome = attempt.choose(false);
  }
  if (std::holds_alternative<NotYet>(outcome)) {
    throw Error(ErrorKind::kBusy,
                "network " + request.key.network +
                    ": the only free address was freed within the last second: an ADD "
                    "would wait for it");
  }
  if (std::holds_alternative<Shortage>(outcome)) {
    throw Error(ErrorKind::kBusy,
                "network " + request.key.network +
                    ": no free address is left in the blocks of this node: an ADD would claim "
                    "another block, or take one that is still cooling");
  }
  if (std::holds_alternative<NeedsWalk>(outcome)) {
    throw Error(ErrorKind::kBusy, "network " + request.key.network +
                                      ": a holder of its addresses went missing just now");
  }
  return std::get<std::vector<Granted>>(std::move(outcome));
}

pools::Knowledge Leases::consult(const pools::Source& source) const {
  store::Store store = store::Store::open_existing_or_empty(options(data_dir_));
  store::Transaction transaction = store.begin();
  return source.consult(transaction, moment());
}

}  // namespace podlease::ipam
