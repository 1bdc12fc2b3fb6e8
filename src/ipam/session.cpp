#include "session.h"

#include <algorithm>
#include <utility>

#include "adopt_found.h"
#include "adopted.h"
#include "ended_notes.h"
#include "machine_note.h"
#include "other_stores.h"

namespace podlease::ipam {
namespace {

using store::Network;
using store::NetworkTable;
using store::Store;
using store::Transaction;

std::vector<net::Range> ranges_of(const pools::Offer& offer) {
  std::vector<net::Range> ranges;
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (const pools::PoolRange& range : set.ranges) {
      ranges.push_back(range.range);
    }
  }
  return ranges;
}

bool is_empty(const pools::Offer& offer) {
  return std::all_of(offer.sets.begin(), offer.sets.end(),
                     [](const pools::PoolRangeSet& set) { return set.ranges.empty(); });
}

const pools::Offer& offer_in(const pools::Knowledge& knowledge) {
  static const pools::Offer none;
  return knowledge.offer() == nullptr ? none : *knowledge.offer();
}

// The parts of an offer that are not `known`, in the sets that they are parts of.
pools::Offer beyond(const std::vector<net::Range>& known, const pools::Offer& offer) {
  const net::IntervalSet surveyed(known);
  pools::Offer rest;
  for (const pools::PoolRangeSet& set : offer.sets) {
    pools::PoolRangeSet& part = rest.sets.emplace_back(pools::PoolRangeSet{.family = set.family});
    for (const pools::PoolRange& range : set.ranges) {
      net::IntervalSet pieces({range.range});
      pieces.erase(surveyed);
      for (const net::Range& piece : pieces.ranges()) {
        part.ranges.push_back(range);
        part.ranges.back().range = piece;
      }
    }
  }
  return rest;
}

// What the network was never surveyed for: its ranges were others then.
pools::Offer unsurveyed(const std::optional<Network>& network, const pools::Knowledge& knowledge) {
  if (!network || knowledge.offer() == nullptr ||
      (knowledge.offers_blocks && !network->surveyed.empty())) {
    return {};
  }
  return beyond(network->surveyed, *knowledge.offer());
}

// Reports whether the store is new, or what it knows of the network is doubted as a whole. It is of
// a network that is new where it is of any.
bool is_doubted(Transaction& transaction, const std::optional<Network>& network) {
  if (network) {
    return network->surveyed.empty();
  }
  const std::vector<Network> all = NetworkTable(transaction).all();
  return all.empty() || std::any_of(all.begin(), all.end(),
                                    [](const Network& one) { return one.surveyed.empty(); });
}

// The steps on the way to a session. Each look at the store either ends in one, or finds out what
// is lacking; that is got with the store closed, and then the store is looked at again.
class SessionOpener {
 public:
  explicit SessionOpener(const Opening& opening) : opening_(&opening) {}

  [[nodiscard]] Session open() {
    while (true) {
      const auto written = last_written(opening_->data_dir);
      Store store = open_store();
      Transaction transaction = store.begin();
      refuse_another_machines(transaction, *opening_->host, opening_->data_dir, written,
                              *opening_->now);
      follow_ended_notes(store, transaction);
      std::optional<Session> session = try_open(store, transaction);
      if (session) {
        return *std::move(session);
      }
      transaction.roll_back();
      store.close();
      get_what_lacks();
    }
  }

 private:
  enum class Lack { kNothing, kRefresh, kSurveyLock, kSurvey, kHostLocalLocks };

  [[nodiscard]] Store open_store() const {
    const Store::Options options{.folder = opening_->data_dir,
                                 .registry = opening_->places->registry,
                                 .lock_timeout = opening_->lock_timeout};
    return opening_->dry_run ? Store::open_existing_or_empty(options) : Store::open(options);
  }

  // In a transaction of their own: this call's may be rolled back.
  void follow_ended_notes(Store& store, Transaction& transaction) const {
    const EndedNotes notes(opening_->data_dir);
    if (notes.apply(transaction, *opening_->now) && !opening_->dry_run) {
      transaction.commit();
      notes.remove();
      transaction = store.begin();
    }
  }

  // Nothing: `lack_` says what is lacking.
  [[nodiscard]] std::optional<Session> try_open(Store& store, Transaction& transaction) {
    const std::string& name = opening_->network;
    pools::Knowledge knowledge = opening_->source->consult(transaction, *opening_->now);
    if (knowledge.stale && may_ask_) {
      is_urgent_ = knowledge.offer() == nullptr;
      lack_ = Lack::kRefresh;
      return std::nullopt;
    }
    std::optional<Network> network = NetworkTable(transaction).find(name);
    const std::optional<Moved> moved = moved_to(transaction, name);
    const bool more_folders =
        network && opening_->host_local->watch_exported(transaction, *network);
    pools::Offer added = unsurveyed(network, knowledge);
    const bool is_widened = !is_empty(added);
    const bool needs_survey = !network || moved || is_widened || !knowledge.unexplored.empty();
    if (!needs_survey && opening_->host_local->is_known(transaction, *network)) {
      return begin(store, transaction, *std::move(network), std::move(knowledge), {});
    }
    if (needs_survey && !survey_lock_ && !opening_->dry_run) {
      lack_ = Lack::kSurveyLock;
      return std::nullopt;
    }
    wanted_ = {.offer = {},
               .moved = moved,
               .is_first_use = !network,
               .is_store_doubted = is_doubted(transaction, network),
               .is_widened = is_widened};
    if (is_widened && !moved) {
      wanted_.offer = std::move(added);
    } else if (knowledge.offer() != nullptr) {
      wanted_.offer = *knowledge.offer();
    }
    if (needs_survey && (!survey_ || !wanted_.is_met_by(survey_->made_for()))) {
      lack_ = Lack::kSurvey;
      return std::nullopt;
    }
    if (!locks_ || more_folders) {
      locks_ = opening_->host_local->try_lock();
    }
    if (!locks_) {
      lack_ = Lack::kHostLocalLocks;
      return std::nullopt;
    }
    return learn(store, transaction, std::move(network), std::move(knowledge));
  }

  void get_what_lacks() {
    switch (lack_) {
      case Lack::kNothing:
        break;
      case Lack::kRefresh:
        opening_->source->refresh(is_urgent_);
        may_ask_ = false;
        break;
      case Lack::kSurveyLock:
        survey_lock_.emplace(opening_->data_dir, opening_->lock_timeout);
        break;
      case Lack::kSurvey:
        survey_.reset();
        survey_.emplace(*opening_, wanted_);
        break;
      case Lack::kHostLocalLocks:
        locks_ = opening_->host_local->lock(opening_->lock_timeout);
        break;
    }
  }

  // Under all locks: what the machine knows becomes leases. Nothing where that told of folders of
  // host-local whose locks are lacking.
  [[nodiscard]] std::optional<Session> learn(Store& store, Transaction& transaction,
                                             std::optional<Network> network,
                                             pools::Knowledge knowledge) {
    const bool is_first_use = !network;
    if (is_first_use) {
      network = NetworkTable(transaction).ensure(opening_->network);
    }
    const bool was_shared = network->handover == store::Handover::kShared;
    Adopted adopted;
    if (survey_) {
      append(adopted.found, adopt_copies(transaction, *network, survey_->copies(), *opening_->now));
    }
    if (is_first_use) {
      adopt_first(transaction, *network, offer_in(knowledge), adopted);
    } else {
      adopt_more(transaction, *network, offer_in(knowledge), adopted);
    }
    if (!knowledge.unexplored.empty() && opening_->source->explored(transaction)) {
      adopt_found_in(transaction, *network, {.sets = std::move(knowledge.unexplored)}, adopted);
    }
    note_surveyed(transaction, *network, knowledge, adopted.unsettled);
    if (survey_ && !survey_->copies().empty() && !opening_->dry_run) {
      // The other stores say already that the network went on here: also if this ADD fails.
      transaction.commit();
      transaction = store.begin();
    }
    // What was found may have brought other networks along.
    network = NetworkTable(transaction).find(opening_->network);
    if (!opening_->dry_run && !was_shared && network->handover == store::Handover::kShared) {
      lack_ = Lack::kNothing;
      return std::nullopt;
    }
    Session session = begin(store, transaction, *std::move(network), std::move(knowledge),
                            std::move(adopted.found));
    session.shared = was_shared;
    session.unsettled = std::move(adopted.unsettled);
    session.host_local_locks = *std::move(locks_);
    session.survey_lock = std::move(survey_lock_);
    return session;
  }

  void adopt_found_in(Transaction& transaction, const Network& network, const pools::Offer& offer,
                      Adopted& adopted) const {
    Adopted more = adopt_found(transaction, network, offer, *opening_->now, survey_->inventory());
    append(adopted.found, std::move(more.found));
    adopted.unsettled.insert(adopted.unsettled.end(), more.unsettled.begin(), more.unsettled.end());
  }

  void adopt_first(Transaction& transaction, Network& network, const pools::Offer& offer,
                   Adopted& adopted) const {
    append(adopted.found, opening_->host_local->adopt(transaction, network, offer, *opening_->now,
                                                      survey_->inventory()));
    adopt_found_in(transaction, network, offer, adopted);
  }

  // Of a network that is known.
  void adopt_more(Transaction& transaction, Network& network, const pools::Offer& offer,
                  Adopted& adopted) const {
    if (wanted_.is_widened) {
      append(adopted.found, opening_->host_local->adopt_in(transaction, network, wanted_.offer,
                                                           *opening_->now, survey_->inventory()));
    }
    opening_->host_local->follow(transaction, network, offer,
                                 {.host = opening_->host,
                                  .caches = opening_->places->cni_caches,
                                  .now = opening_->now,
                                  .log = opening_->log});
    const bool is_lost = survey_ && wanted_.moved && !has_successor(survey_->copies());
    if (is_lost || wanted_.is_widened) {
      // The store that the network went to is gone, and only the machine knows what it leased; or
      // it was never asked about these ranges.
      adopt_found_in(transaction, network, wanted_.offer, adopted);
    }
  }

  static void note_surveyed(Transaction& transaction, Network& network,
                            const pools::Knowledge& knowledge,
                            const std::vector<net::Address>& unsettled) {
    if (knowledge.offer() == nullptr ||
        (knowledge.offers_blocks && (!network.surveyed.empty() || !unsettled.empty()))) {
      return;
    }
    net::IntervalSet surveyed(network.surveyed);
    for (const net::Range& range : ranges_of(*knowledge.offer())) {
      surveyed.insert(range);
    }
    for (const net::Address address : unsettled) {
      surveyed.erase(net::IntervalSet({net::Range::single(address)}));
    }
    const std::vector<net::Range> all(surveyed.ranges().begin(), surveyed.ranges().end());
    if (all != network.surveyed) {
      NetworkTable(transaction).set_surveyed(network, all);
    }
  }

  [[nodiscard]] static Session begin(Store& store, Transaction& transaction, Network network,
                                     pools::Knowledge knowledge, std::vector<Found> found) {
    Session session{.survey_lock = std::nullopt,
                    .host_local_locks = {},
                    .store = std::move(store),
                    .transaction = std::move(transaction),
                    .network = std::move(network),
                    .offer = {},
                    .obstacle = std::nullopt,
                    .found = std::move(found)};
    if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
      session.obstacle = *error;
    } else {
      session.offer = std::get<pools::Offer>(std::move(knowledge.answer));
    }
    return session;
  }

  const Opening* opening_;
  Lack lack_ = Lack::kNothing;
  bool may_ask_ = opening_->may_ask;
  bool is_urgent_ = false;
  Wanted wanted_;
  std::optional<SurveyLock> survey_lock_;
  std::optional<Survey> survey_;
  std::optional<HostLocal::Locks> locks_;
};

}  // namespace

void Session::close() noexcept {
  transaction.roll_back();
  store.close();
  host_local_locks.clear();
  survey_lock.reset();
}

Session open_session(const Opening& opening) {
  return SessionOpener(opening).open();
}

}  // namespace podlease::ipam
