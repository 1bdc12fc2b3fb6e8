#include "podlease/ipam/leases.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "adoption.h"
#include "allocator.h"
#include "guard.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/registry.h"
#include "presence.h"
#include "reclaim.h"

namespace podlease::ipam {
namespace {

using store::Lease;
using store::Moment;
using store::Network;
using store::Store;
using store::Transaction;

std::string describe(const Lease& lease) {
  const std::string pod = lease.pod.text();
  return "container " + lease.key.container_id + " " + lease.key.ifname +
         (pod.empty() ? "" : " (pod " + pod + ")");
}

std::string decimal(net::Uint128 number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(number % 10)));
    number /= 10;
  } while (number != 0);
  return digits;
}

Standing standing_of(Transaction& transaction, const Network& network,
                     const pools::PoolRangeSet& set, Milliseconds cooldown, const Moment& now) {
  Standing standing;
  for (const pools::PoolRange& range : set.ranges) {
    const store::Usage usage = transaction.usage(network, range.usable);
    standing.leased += usage.leased;
    standing.freed += usage.freed;
    standing.untouched += usage.untouched;
    standing.excluded += range.range.size() - range.usable.size();
    for (const store::Freed& freed : transaction.freed(network, range.usable)) {
      standing.cooling += Allocator::age(freed, now) < cooldown ? 1U : 0U;
    }
  }
  return standing;
}

// A store, one transaction in it, and a network whose host-local folders have been taken account
// of. What is declared last ends first: transaction, store's lock, host-local's locks.
struct Session {
  HostLocal::Locks host_local_locks;
  Store store;
  Transaction transaction;
  Network network;
  pools::Offer offer;
  std::optional<Error> obstacle;  // then the offer is empty: nothing can be leased
  bool shared = false;            // with host-local, until this call at least
  std::vector<Found> found;       // on the first use of the network
};

struct Opening {
  const host::Host* host;
  const Places* places;
  HostLocal* host_local;
  pools::Source* source;
  const Moment* now;
  const Log* log;
  Milliseconds lock_timeout;
  std::optional<AttachmentKey> caller;  // of an ADD
  std::string netns;
  bool may_ask = true;  // whoever the source asks, where it does not know enough
};

// `open` gives the store. Mostly one look tells that the network is known and the folders hold
// nothing new. Otherwise the machine is looked through under the store's lock: of many that come at
// once, one does it, and the others wait for what it found. host-local's locks come before the
// store's: they are waited for with the store closed, and then it is opened again.
Session open_session(const std::string& network_name, const Opening& opening,
                     const std::function<Store()>& open) {
  std::optional<HostLocal::Locks> locks;
  for (bool may_ask = opening.may_ask;; may_ask = false) {
    Store store = open();
    Transaction transaction = store.begin();
    const auto close = [&] {
      { const Transaction ended = std::move(transaction); }
      { const Store closed = std::move(store); }
    };
    pools::Knowledge knowledge = opening.source->consult(transaction, *opening.now);
    if (knowledge.stale && may_ask) {
      close();
      opening.source->refresh(knowledge.offer() == nullptr);
      continue;
    }
    pools::Offer offer;
    std::optional<Error> obstacle;
    if (const auto* const error = std::get_if<Error>(&knowledge.answer)) {
      obstacle = *error;
    } else {
      offer = std::get<pools::Offer>(std::move(knowledge.answer));
    }
    std::optional<Network> network = transaction.find_network(network_name);
    const bool first_use = !network;
    const bool more_folders = network && opening.host_local->watch_exported(transaction, *network);
    if (network && knowledge.unexplored.empty() &&
        opening.host_local->is_known(transaction, *network)) {
      return {.host_local_locks = {},
              .store = std::move(store),
              .transaction = std::move(transaction),
              .network = *std::move(network),
              .offer = std::move(offer),
              .obstacle = std::move(obstacle)};
    }
    if (!locks || more_folders) {
      locks.reset();
      locks = opening.host_local->try_lock();
    }
    if (!locks) {
      close();
      locks = opening.host_local->lock(opening.lock_timeout);
      continue;
    }
    std::optional<Inventory> inventory;
    if (first_use || !knowledge.unexplored.empty()) {
      inventory.emplace(*opening.host, opening.places->cni_cache, network_name, opening.caller,
                        opening.netns);
    }
    if (!network) {
      network = transaction.ensure_network(network_name);
    }
    const bool shared = network->handover == store::Handover::kShared;
    std::vector<Found> found;
    const auto adopt_into = [&](const pools::Offer& ranges) {
      for (Found& other : adopt_others(transaction, *network, ranges, *opening.now, *inventory)) {
        found.push_back(std::move(other));
      }
    };
    if (first_use) {
      found = opening.host_local->adopt(transaction, *network, offer, *opening.now, *inventory);
      adopt_into(offer);
    } else {
      opening.host_local->follow(transaction, *network, offer, *opening.now, *opening.log);
    }
    if (!knowledge.unexplored.empty() && opening.source->explored(transaction)) {
      adopt_into({.sets = std::move(knowledge.unexplored)});
    }
    return {.host_local_locks = *std::move(locks),
            .store = std::move(store),
            .transaction = std::move(transaction),
            .network = *std::move(network),
            .offer = std::move(offer),
            .obstacle = std::move(obstacle),
            .shared = shared,
            .found = std::move(found)};
  }
}

void refuse_if_unknown(const Session& session) {
  if (session.obstacle) {
    throw Error(*session.obstacle);
  }
}

// Families of which an offer that may grow has no address left.
struct Shortage {
  std::vector<net::Family> families;
};

// What came of choosing: addresses, or what has to happen first.
using Outcome = std::variant<std::vector<Granted>, NotYet, Shortage>;

// One ADD inside its transaction.
class Addition {
 public:
  Addition(const AddRequest& request, const host::Host& host, const Guard& guard, Session& session,
           const store::Presence& presence, const Moment& now, const Log& log)
      : request_(&request),
        offer_(&session.offer),
        host_(&host),
        guard_(&guard),
        session_(&session),
        presence_(&presence),
        now_(&now),
        allocator_(session.transaction, session.network, guard, request.cooldown, now),
        reclaimer_(session.transaction, session.network, sight_of(host, presence), now, log) {}

  // What the attachment holds already, its presence refreshed; empty if it holds nothing.
  [[nodiscard]] std::vector<Granted> held() {
    std::vector<Granted> granted;
    for (const Lease& lease : leases_held()) {
      Lease now = lease;
      now.key = request_->key;
      now.presence = *presence_;
      if (!request_->pod.uid.empty()) {
        now.pod = request_->pod;
      }
      if (now.key != lease.key || now.presence != lease.presence || now.pod != lease.pod) {
        session_->transaction.refresh(lease, now);
      }
      granted.push_back({.lease = std::move(now), .reason = Reason::kHeld});
    }
    if (!granted.empty() && granted.front().lease.pod.uid != former_uid_) {
      remember_pod(granted);
    }
    for (const RequestedAddress& requested : request_->requested) {
      if (!granted.empty() &&
          std::none_of(granted.begin(), granted.end(), [&](const Granted& grant) {
            return grant.lease.address.address() == requested.address;
          })) {
        std::vector<std::string> addresses;
        addresses.reserve(granted.size());
        for (const Granted& grant : granted) {
          addresses.push_back(grant.lease.address.address().to_string());
        }
        throw Error(ErrorKind::kAddressTaken,
                    requested.path + " " + requested.address.to_string() + ": container " +
                        request_->key.container_id + " " + request_->key.ifname +
                        " already holds " + join(addresses, ", "),
                    "an attachment keeps its addresses until its DEL");
      }
    }
    return granted;
  }

  // An address of each set. Returns how long to wait where the only free addresses were freed just
  // now, and for which families the source has to find more: of an offer that may grow, unless
  // `may_press`.
  [[nodiscard]] Outcome choose(bool may_press) {
    std::vector<RequestedAddress> open_requests = request_->requested;
    std::vector<Granted> granted;
    std::optional<NotYet> wait;
    Shortage shortage;
    may_press_ = may_press || !offer_->may_grow;
    for (std::size_t index = 0; index < offer_->sets.size(); ++index) {
      const pools::PoolRangeSet& set = offer_->sets[index];
      const Proposal proposal = propose(set, open_requests);
      if (const auto* const not_yet = std::get_if<NotYet>(&proposal)) {
        wait = {.time = std::max(wait ? wait->time : Milliseconds(0), not_yet->time)};
        continue;
      }
      const auto* const choice = std::get_if<Choice>(&proposal);
      if (choice == nullptr && !may_press_) {
        shortage.families.push_back(set.family);
        continue;
      }
      if (choice == nullptr) {
        throw exhausted(index);
      }
      granted.push_back(
          {.lease = lease(*choice, static_cast<int>(index)), .reason = choice->reason});
      session_->transaction.insert(session_->network, granted.back().lease,
                                   choice->reason == Reason::kUntouched
                                       ? Transaction::Before::kUntouched
                                       : Transaction::Before::kUnknown);
    }
    if (!open_requests.empty()) {
      throw not_served(open_requests);
    }
    if (!shortage.families.empty()) {
      return shortage;
    }
    if (wait) {
      return *wait;
    }
    remember_pod(granted);
    reclaimer_.examine_a_few();
    return granted;
  }

  // With what it noticed on the way.
  [[nodiscard]] const Reclaimer& reclaimer() const { return reclaimer_; }

 private:
  // Also what was found inside this very namespace, before anybody said whose it is.
  [[nodiscard]] std::vector<Lease> leases_held() {
    Transaction& transaction = session_->transaction;
    for (const std::string& container_id :
         {request_->key.container_id, id_by_netns(request_->netns)}) {
      if (transaction.has_leases(session_->network, container_id, request_->key.ifname)) {
        std::vector<Lease> leases =
            transaction.leases_of(session_->network, container_id, request_->key.ifname);
        former_uid_ = leases.front().pod.uid;
        return leases;
      }
    }
    return {};
  }

  [[nodiscard]] static Sight sight_of(const host::Host& host, const store::Presence& presence) {
    Sight sight(host, presence.boot_id);
    sight.trust_folder_of(presence);
    return sight;
  }

  [[nodiscard]] Proposal propose(const pools::PoolRangeSet& set,
                                 std::vector<RequestedAddress>& open_requests) {
    const auto requested = std::find_if(open_requests.begin(), open_requests.end(),
                                        [&](const RequestedAddress& candidate) {
                                          return set.range_of(candidate.address) != nullptr;
                                        });
    if (requested == open_requests.end()) {
      if (const std::optional<Choice> choice = former_address(set)) {
        return *choice;
      }
      Proposal proposal = allocator_.propose(set, may_press_);
      // More than once where the host itself has what came free.
      while (!std::holds_alternative<Choice>(proposal) && reclaimer_.make_room_in(set)) {
        proposal = allocator_.propose(set, may_press_);
      }
      return proposal;
    }
    const Choice choice = take_requested(*requested, *set.range_of(requested->address));
    open_requests.erase(requested);
    return choice;
  }

  [[nodiscard]] const std::vector<net::Address>& former_addresses() {
    if (!former_) {
      former_ = session_->transaction.addresses_of_pod(session_->network, request_->pod.uid,
                                                       request_->key.ifname);
    }
    return *former_;
  }

  // For its next sandbox.
  void remember_pod(const std::vector<Granted>& granted) {
    if (request_->pod.uid.empty()) {
      return;
    }
    std::vector<net::Address> addresses;
    addresses.reserve(granted.size());
    for (const Granted& grant : granted) {
      addresses.push_back(grant.lease.address.address());
    }
    if (addresses != former_addresses()) {
      session_->transaction.set_addresses_of_pod(session_->network, request_->pod.uid,
                                                 request_->key.ifname, addresses);
    }
  }

  // Of this pod's interface, before its sandbox failed or the machine was booted.
  [[nodiscard]] std::optional<Choice> former_address(const pools::PoolRangeSet& set) {
    if (request_->pod.uid.empty()) {
      return std::nullopt;
    }
    for (const net::Address address : former_addresses()) {
      const pools::PoolRange* const range = set.range_of(address);
      if (range == nullptr || !range->usable.contains(address) || guard_->holder_of(address)) {
        continue;
      }
      const std::optional<Lease> lease = session_->transaction.lease_at(session_->network, address);
      if (lease && !may_be_taken_over(*lease)) {
        continue;
      }
      if (lease) {
        take_over(*lease);
      }
      return Choice{.address = address, .range = range, .reason = Reason::kReturned};
    }
    return std::nullopt;
  }

  [[nodiscard]] Choice take_requested(const RequestedAddress& requested,
                                      const pools::PoolRange& range) {
    const std::string what = requested.path + " " + requested.address.to_string();
    for (const pools::PoolRangeSet& set : offer_->sets) {
      for (const pools::PoolRange& other : set.ranges) {
        if (other.gateway == requested.address) {
          throw Error(ErrorKind::kConfig, what + " is the gateway of " + other.name);
        }
      }
    }
    if (!range.usable.contains(requested.address)) {
      throw Error(ErrorKind::kConfig, what + " " + offer_->why_not_usable(requested.address));
    }
    if (const std::optional<Lease> lease =
            session_->transaction.lease_at(session_->network, requested.address)) {
      if (!may_be_taken_over(*lease)) {
        throw Error(ErrorKind::kAddressTaken, what + " is leased to " + describe(*lease),
                    "podlease show " + requested.address.to_string() + " tells more");
      }
      take_over(*lease);
    }
    if (const std::optional<std::string> holder = guard_->holder_of(requested.address)) {
      throw Error(ErrorKind::kAddressTaken, what + " is held by " + *holder);
    }
    return {.address = requested.address, .range = &range, .reason = Reason::kRequested};
  }

  // Its holder has certainly ended. Where only a look at all processes can tell, that is worth it
  // for this very pod's former sandbox.
  [[nodiscard]] bool may_be_taken_over(const Lease& lease) const {
    const bool same_pod = !lease.pod.uid.empty() && lease.pod.uid == request_->pod.uid &&
                          lease.key.ifname == request_->key.ifname;
    Sight sight = sight_of(*host_, *presence_);
    const Fate fate = same_pod ? sight
                                     .fates_of({store::Holder{.address = lease.address.address(),
                                                              .presence = lease.presence,
                                                              .created = lease.created}})
                                     .front()
                               : sight.fate_of(lease.presence);
    return fate == Fate::kGone || fate == Fate::kEarlierBoot;
  }

  void take_over(const Lease& lease) {
    end_attachment(session_->transaction, session_->network, lease, *now_,
                   store::Ending::kTakeover);
  }

  [[nodiscard]] Lease lease(const Choice& choice, int range_set) const {
    return {.key = request_->key,
            .address = net::Prefix::make(choice.address, choice.range->answer_length)
                           .value_or(net::Prefix::host(choice.address)),
            .gateway = choice.range->gateway,
            .range_set = range_set,
            .pod = request_->pod,
            .presence = *presence_,
            .created = now_->at.wall,
            .source = choice.range->source};
  }

  [[nodiscard]] Error exhausted(std::size_t index) {
    const pools::PoolRangeSet& set = offer_->sets[index];
    const Standing standing =
        standing_of(session_->transaction, session_->network, set, request_->cooldown, *now_);
    return Error(ErrorKind::kExhausted,
                 "failed to allocate for range " + std::to_string(index) +
                     ": no IP addresses available in range set: " + set.to_string(),
                 "network " + request_->key.network + ": " + decimal(standing.leased) + " used, " +
                     decimal(standing.free()) + " free but held by this host, " +
                     decimal(standing.cooling) + " cooling, " +
                     std::to_string(reclaimer_.suspects().size()) + " suspect, " +
                     decimal(standing.excluded) + " excluded. " + next_step());
  }

  [[nodiscard]] std::string next_step() const {
    const std::string network = request_->key.network;
    if (const std::optional<Milliseconds> due = reclaimer_.first_due()) {
      return "The pods of the suspects look gone: their addresses come back in " +
             format_duration(*due) + ", try again then";
    }
    return "See who has them: podlease list --network " + network;
  }

  [[nodiscard]] Error not_served(const std::vector<RequestedAddress>& left) const {
    std::vector<std::string> addresses;
    std::vector<std::string> ranges;
    addresses.reserve(left.size());
    ranges.reserve(offer_->sets.size());
    for (const RequestedAddress& requested : left) {
      addresses.push_back(requested.address.to_string());
    }
    for (const pools::PoolRangeSet& set : offer_->sets) {
      ranges.push_back(set.to_string());
    }
    return Error(
        ErrorKind::kConfig, "failed to allocate all requested IPs: " + join(addresses, " "),
        left.front().path +
            ": the address is in no range set, or its set gives another requested one. Ranges: " +
            join(ranges, "; "));
  }

  const AddRequest* request_;
  const pools::Offer* offer_;
  const host::Host* host_;
  const Guard* guard_;
  Session* session_;
  const store::Presence* presence_;
  const Moment* now_;
  Allocator allocator_;
  Reclaimer reclaimer_;
  bool may_press_ = true;                            // addresses that are still cooling
  std::string former_uid_;                           // of the pod that held what is held
  std::optional<std::vector<net::Address>> former_;  // once they were asked for
};

// After an ADD that found nothing: what it noticed on the way must outlast it, or there would never
// be anything.
void keep_notes(Session& session, const Reclaimer& reclaimer, const Moment& now) {
  const std::vector<Lease>& suspects = reclaimer.suspects();
  const std::vector<net::Address>& cleared = reclaimer.cleared();
  if (suspects.empty() && cleared.empty()) {
    return;
  }
  { const Transaction failed = std::move(session.transaction); }
  session.transaction = session.store.begin();
  const std::optional<Network> network = session.transaction.find_network(session.network.name);
  if (!network) {
    return;
  }
  for (const net::Address address : cleared) {
    session.transaction.trust(*network, address);
  }
  for (const Lease& lease : suspects) {
    if (!session.transaction.suspicion(*network, lease)) {
      session.transaction.suspect(*network, lease,
                                  {.boot_id = now.boot_id, .since_boot = now.at.since_boot});
    }
  }
  session.transaction.commit();
}

bool was_adopted(const Lease& lease) {
  return lease.source == kFromHostLocal || lease.source == kFromCache ||
         lease.source == kFromNamespace;
}

// Where host-local has files of a network too; empty if it is not shared.
std::vector<std::filesystem::path> shared_folders(Transaction& transaction,
                                                  const Network& network) {
  std::vector<std::filesystem::path> folders;
  if (network.handover == store::Handover::kShared) {
    for (const store::Source& source : transaction.sources(network)) {
      folders.emplace_back(source.folder);
    }
  }
  return folders;
}

// The ranges that leases came from, as far as they show it.
pools::Offer offer_seen_in(const std::vector<Lease>& leases) {
  pools::Offer offer;
  for (const Lease& lease : leases) {
    const net::Range range = lease.address.range();
    if (lease.range_set < 0 || range.size() == 1 || offer.range_of(range.first()) != nullptr) {
      continue;
    }
    const auto index = static_cast<std::size_t>(lease.range_set);
    offer.sets.resize(std::max(offer.sets.size(), index + 1),
                      {.family = range.family(), .ranges = {}});
    offer.sets[index].ranges.push_back({.name = {},
                                        .range = range,
                                        .usable = {},
                                        .subnet = lease.address.masked(),
                                        .answer_length = lease.address.length(),
                                        .gateway = lease.gateway});
  }
  return offer;
}

}  // namespace

Leases::Leases(const host::Host& host, const Clock& clock, const Log& log, Places places,
               std::filesystem::path data_dir, Milliseconds lock_timeout)
    : host_(&host),
      clock_(&clock),
      log_(&log),
      places_(std::move(places)),
      data_dir_(std::move(data_dir)),
      lock_timeout_(lock_timeout) {}

Store::Options Leases::options(const std::filesystem::path& folder) const {
  return {.folder = folder, .registry = places_.registry, .lock_timeout = lock_timeout_};
}

Moment Leases::moment() const {
  return {.at = clock_->now(), .boot_id = host_->boot_id()};
}

std::vector<Granted> Leases::add(const AddRequest& request, pools::Source& source,
                                 const std::function<bool()>& still_wanted) const {
  try {
    return try_add(request, source, still_wanted);
  } catch (const store::DamagedError&) {
    if (!store::set_aside_if_damaged(options(data_dir_))) {
      throw;
    }
  }
  return try_add(request, source, still_wanted);
}

std::vector<Granted> Leases::try_add(const AddRequest& request, pools::Source& source,
                                     const std::function<bool()>& still_wanted) const {
  Guard guard(*host_, source.families());  // before the lock
  const store::Presence presence = presence_of(*host_, request.netns);
  HostLocal host_local(request.key.network, places_, data_dir_);
  // Others may be served first, however often.
  constexpr int kMostGrowths = 64;
  int growths = 0;
  bool waited = false;
  std::optional<Error> shortage;  // why the source has found no more
  while (true) {
    const Moment before = moment();
    Session session = open_session(request.key.network,
                                   {.host = host_,
                                    .places = &places_,
                                    .host_local = &host_local,
                                    .source = &source,
                                    .now = &before,
                                    .log = log_,
                                    .lock_timeout = lock_timeout_,
                                    .caller = request.key,
                                    .netns = request.netns},
                                   [&] { return Store::open(options(data_dir_)); });
    const Moment now{.at = clock_->now(),
                     .boot_id = presence.boot_id};  // after the wait for the lock
    Addition addition(request, *host_, guard, session, presence, now, *log_);

    std::vector<Granted> granted = addition.held();
    if (granted.empty()) {
      refuse_if_unknown(session);
      guard.admit(session.offer);
      Outcome chosen;
      try {
        chosen = addition.choose(shortage.has_value());
      } catch (const Error& error) {
        keep_notes(session, addition.reclaimer(), now);
        if (shortage && error.kind() == ErrorKind::kExhausted) {
          throw Error(*shortage);
        }
        throw;
      }
      if (const auto* const lacking = std::get_if<Shortage>(&chosen)) {
        keep_notes(session, addition.reclaimer(), now);
        {
          const Session ended = std::move(session);  // nobody is asked under the store's lock
        }
        try {
          if (++growths > kMostGrowths) {
            throw Error(ErrorKind::kBusy,
                        "network " + request.key.network +
                            ": other pods took each address that this node got for this one",
                        "try again");
          }
          source.grow(lacking->families, now);
        } catch (const Error& error) {
          shortage = error;
        }
        continue;
      }
      if (const auto* const not_yet = std::get_if<NotYet>(&chosen)) {
        if (waited) {
          throw Error(ErrorKind::kBusy,
                      "network " + request.key.network +
                          ": the only free address was freed within the last second",
                      "try again; more addresses in the range end this");
        }
        const Milliseconds time = not_yet->time;
        {
          const Session ended = std::move(session);  // nobody else shall wait with us
        }
        clock_->sleep(time);
        waited = true;
        continue;
      }
      granted = std::get<std::vector<Granted>>(std::move(chosen));
    }
    // Before anything is written: a DEL that comes from here on waits for our lock.
    if (!still_wanted()) {
      throw Error(ErrorKind::kOther, "nobody waits for the answer any more: nothing was leased");
    }
    const bool is_new = granted.front().reason != Reason::kHeld;
    // Also by the call that ends the sharing: host-local may be asked once more, by a runtime that
    // is about to change its configuration.
    if (is_new && session.shared) {
      host_local.mirror(session.transaction, session.network, now);
    }
    session.transaction.commit();
    for (const Granted& grant : granted) {
      log_->write(LogLevel::kInfo, "ADD " + request.key.network + " " + request.key.container_id +
                                       " " + request.key.ifname + ": " +
                                       grant.lease.address.to_string());
    }
    return granted;
  }
}

std::vector<Granted> Leases::rehearse(const AddRequest& request, pools::Source& source) const {
  Guard guard(*host_, source.families());
  const store::Presence presence = presence_of(*host_, request.netns);
  HostLocal host_local(request.key.network, places_, data_dir_);
  const Moment now = moment();
  const Log silent(*clock_);  // what it would say does not happen
  Session session = open_session(request.key.network,
                                 {.host = host_,
                                  .places = &places_,
                                  .host_local = &host_local,
                                  .source = &source,
                                  .now = &now,
                                  .log = &silent,
                                  .lock_timeout = lock_timeout_,
                                  .caller = request.key,
                                  .netns = request.netns},
                                 [&] { return Store::open_existing_or_empty(options(data_dir_)); });
  Addition addition(request, *host_, guard, session, presence, now, silent);
  std::vector<Granted> granted = addition.held();
  if (!granted.empty()) {
    return granted;
  }
  refuse_if_unknown(session);
  guard.admit(session.offer);
  Outcome chosen = addition.choose(false);
  if (std::holds_alternative<NotYet>(chosen)) {
    throw Error(ErrorKind::kBusy,
                "network " + request.key.network +
                    ": the only free address was freed within the last second: an ADD "
                    "would wait for it");
  }
  if (std::holds_alternative<Shortage>(chosen)) {
    throw Error(ErrorKind::kBusy,
                "network " + request.key.network +
                    ": no free address is left in the blocks of this node: an ADD would claim "
                    "another block, or take one that is still cooling");
  }
  return std::get<std::vector<Granted>>(std::move(chosen));
}

pools::Knowledge Leases::consult(const pools::Source& source) const {
  Store store = Store::open_existing_or_empty(options(data_dir_));
  Transaction transaction = store.begin();
  return source.consult(transaction, moment());
}

std::vector<Lease> Leases::release(const AttachmentKey& key, const std::string& netns,
                                   const std::string& pod_uid) const {
  std::vector<Lease> ended;
  std::optional<Error> failure;
  bool damaged = false;
  bool found = false;
  const auto end_in = [&](const std::filesystem::path& folder) {
    try {
      Ended in_folder = release_in(folder, key, netns, pod_uid, found);
      ended = std::move(in_folder.leases);
      if (!in_folder.host_local.empty()) {
        end_in_host_local(in_folder.host_local, folder, key);
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kBusy) {
        throw;
      }
      // Of a store that is not in use any more and does not open, a leak is the worst; that no pod
      // could end is worse.
      if (folder == data_dir_ || found) {
        failure = error;
        damaged = dynamic_cast<const store::DamagedError*>(&error) != nullptr;
      }
      log_->write(LogLevel::kWarning, "DEL " + key.container_id + ": " + error.what());
    }
  };
  end_in(data_dir_);
  if (damaged && store::set_aside_if_damaged(options(data_dir_))) {
    // Who holds its addresses is learnt anew before the next lease, from the machine.
    failure.reset();
  }
  // The configuration may have said something else when the lease was made; then the store of today
  // has at most adopted it.
  if (std::all_of(ended.begin(), ended.end(), was_adopted)) {
    std::vector<Lease> ended_here = std::move(ended);
    ended.clear();
    for (const std::filesystem::path& folder : store::Registry(places_.registry).folders()) {
      if (ended.empty() && folder != data_dir_) {
        end_in(folder);
      }
    }
    if (!ended_here.empty()) {
      ended = std::move(ended_here);
    }
  }
  if (ended.empty() && failure) {
    throw Error(*failure);
  }
  if (ended.empty() && !key.network.empty()) {
    note_early_end(key);
  }
  for (const Lease& lease : ended) {
    log_->write(LogLevel::kInfo, "DEL " + lease.key.network + " " + key.container_id + " " +
                                     key.ifname + ": " + lease.address.to_string());
  }
  return ended;
}

Leases::Ended Leases::release_in(const std::filesystem::path& folder, const AttachmentKey& key,
                                 const std::string& netns, const std::string& pod_uid,
                                 bool& found) const {
  std::optional<Store> store = Store::open_for_release(options(folder));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network =
      key.network.empty() ? std::nullopt : transaction.find_network(key.network);
  const auto held_as = [&](const std::string& container_id) {
    if (key.network.empty()) {
      return transaction.leases_of(container_id, key.ifname);
    }
    return network ? transaction.leases_of(*network, container_id, key.ifname)
                   : std::vector<Lease>{};
  };
  std::vector<Lease> leases = held_as(key.container_id);
  if (leases.empty() && !netns.empty()) {
    leases = held_as(id_by_netns(netns));
  }
  if (leases.empty() && !pod_uid.empty()) {
    leases = transaction.leases_of(key.container_id, key.ifname);
    std::erase_if(leases, [&](const Lease& lease) { return lease.pod.uid != pod_uid; });
  }
  if (leases.empty()) {
    return {};
  }
  found = true;
  const Moment now = moment();
  for (const Lease& lease : leases) {
    transaction.release(lease, now, store::Ending::kDel);
  }
  Ended ended{.leases = std::move(leases), .host_local = {}};
  if (network) {
    ended.host_local = shared_folders(transaction, *network);
  }
  transaction.commit();
  return ended;
}

// Of a shared network host-local would never learn that a pod has ended, once it is the one that is
// called for new ones. Only after the lease is gone, as its lock must not be waited for under the
// store's.
void Leases::end_in_host_local(const std::vector<std::filesystem::path>& host_local_folders,
                               const std::filesystem::path& folder,
                               const AttachmentKey& key) const {
  constexpr Milliseconds kPatience{2000};
  try {
    HostLocal host_local(key.network, places_, folder);
    for (const std::filesystem::path& exported : host_local_folders) {
      host_local.watch(exported);
    }
    const HostLocal::Locks locks = host_local.lock(std::min(lock_timeout_, kPatience));
    std::optional<Store> store = Store::open_existing(options(folder));
    if (store) {
      Transaction transaction = store->begin();
      if (const std::optional<Network> network = transaction.find_network(key.network)) {
        host_local.forget(transaction, *network, key);
      }
    }
  } catch (const Error& error) {
    // The next ADD will do it; until then an address is not used.
    log_->write(LogLevel::kWarning, "DEL " + key.container_id + ": " + error.what());
  }
}

// A pod that host-local started may end before the first ADD has adopted it; then it must not be
// adopted any more. Of a shared network its file can go at once. Nothing is noted of what
// host-local does not hold: it may start the same container later.
void Leases::note_early_end(const AttachmentKey& key) const {
  try {
    const HostLocal host_local(key.network, places_, data_dir_);
    if (!host_local.present()) {
      return;
    }
    std::vector<std::filesystem::path> shared;
    {
      Store store = Store::open(options(data_dir_));
      Transaction transaction = store.begin();
      const std::optional<Network> network = transaction.find_network(key.network);
      if (!network && host_local.holds(key)) {
        transaction.note_ended(key);
        transaction.commit();
        return;
      }
      if (network) {
        shared = shared_folders(transaction, *network);
      }
    }
    if (!shared.empty()) {
      end_in_host_local(shared, data_dir_, key);
    }
  } catch (const Error& error) {
    // Nothing of ours is leased: DEL has succeeded, and an address that stays behind is only a
    // leak.
    log_->write(LogLevel::kWarning, "DEL " + key.container_id + ": " + error.what());
  }
}

std::vector<Lease> Leases::held_by(const AttachmentKey& key, const std::string& netns) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = transaction.find_network(key.network);
  if (!network) {
    return {};
  }
  std::vector<Lease> held = transaction.leases_of(*network, key.container_id, key.ifname);
  return held.empty() ? transaction.leases_of(*network, id_by_netns(netns), key.ifname) : held;
}

std::vector<Found> Leases::adopt(const std::string& network, pools::Source& source,
                                 bool dry_run) const {
  HostLocal host_local(network, places_, data_dir_);
  if (!dry_run && !host_local.present() && adopt(network, source, true).empty()) {
    return {};  // no store is made for nothing
  }
  const Moment now = moment();
  const Log silent(*clock_);
  Session session = open_session(network,
                                 {.host = host_,
                                  .places = &places_,
                                  .host_local = &host_local,
                                  .source = &source,
                                  .now = &now,
                                  .log = dry_run ? &silent : log_,
                                  .lock_timeout = lock_timeout_,
                                  .caller = std::nullopt,
                                  .netns = {},
                                  .may_ask = false},
                                 [&] {
                                   return dry_run
                                              ? Store::open_existing_or_empty(options(data_dir_))
                                              : Store::open(options(data_dir_));
                                 });
  if (!dry_run) {
    session.transaction.commit();
  }
  return std::move(session.found);
}

void Leases::collect(const std::string& network_name,
                     const std::vector<AttachmentKey>& valid) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return;
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = transaction.find_network(network_name);
  if (!network) {
    return;
  }
  const auto is_valid = [&](const Lease& lease) {
    return std::any_of(valid.begin(), valid.end(), [&](const AttachmentKey& key) {
      return key.container_id == lease.key.container_id &&
             (key.ifname == lease.key.ifname || lease.key.ifname.empty());
    });
  };
  const Moment now = moment();
  std::set<AttachmentKey> judged;  // an attachment ends whole, so one look must do for all of it
  for (const Lease& lease : transaction.leases(network)) {
    if (is_valid(lease) || !judged.insert(lease.key).second) {
      continue;
    }
    const std::string what = "GC " + network_name + ": ";
    if (is_alive(lease, *host_)) {
      log_->write(LogLevel::kWarning,
                  what + describe(lease) + " is not among the valid attachments, and lives: kept");
      continue;
    }
    for (const Lease& ended :
         end_attachment(transaction, *network, lease, now, store::Ending::kGc)) {
      log_->write(LogLevel::kInfo,
                  what + ended.address.to_string() + " of " + describe(ended) + " ended");
    }
  }
  transaction.commit();
}

std::vector<Examined> Leases::sweep(const std::string& network_name, bool dry_run) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  const Moment now = moment();
  const Log silent(*clock_);
  std::vector<Examined> all;
  for (const Network& network : transaction.networks()) {
    if (!network_name.empty() && network.name != network_name) {
      continue;
    }
    Reclaimer reclaimer(transaction, network, Sight(*host_, now.boot_id), now,
                        dry_run ? silent : *log_);
    std::vector<Examined> examined = reclaimer.sweep();
    std::move(examined.begin(), examined.end(), std::back_inserter(all));
  }
  if (!dry_run) {
    transaction.commit();
  }
  return all;
}

bool Leases::lives(const Lease& lease) const {
  return is_alive(lease, *host_);
}

void Leases::refuse_if_alive(const Lease& lease) const {
  if (lives(lease)) {
    throw Error(ErrorKind::kOther,
                lease.address.to_string() + " of " + describe(lease) +
                    " is in use: its network namespace is alive",
                "another pod would get the address too; --force releases it all the same");
  }
}

std::vector<Lease> Leases::end(const Lease& lease, bool even_if_alive) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = transaction.find_network(lease.key.network);
  const std::optional<Lease> there =
      network ? transaction.lease_at(*network, lease.address.address()) : std::nullopt;
  if (!there || there->key != lease.key) {
    return {};
  }
  // Under the lock: the container may have come back a moment ago.
  if (!even_if_alive) {
    refuse_if_alive(*there);
  }
  std::vector<Lease> ended =
      end_attachment(transaction, *network, *there, moment(), store::Ending::kRelease);
  transaction.commit();
  return ended;
}

host::HostLocalState Leases::export_to_host_local(const std::string& network_name,
                                                  const std::filesystem::path& root,
                                                  bool dry_run) const {
  const auto find = [&](std::optional<Store>& store) {
    store = Store::open_existing(options(data_dir_));
    std::optional<Transaction> transaction;
    if (store) {
      transaction.emplace(store->begin());
    }
    if (!transaction || !transaction->find_network(network_name)) {
      throw Error(ErrorKind::kConfig,
                  "store " + data_dir_.string() + " has no network " + in_quotes(network_name),
                  "podlease status lists the networks of every store");
    }
    return *std::move(transaction);
  };
  HostLocal host_local(network_name, places_, data_dir_);
  {
    std::optional<Store> store;
    Transaction transaction = find(store);
    host_local.watch_exported(transaction, *transaction.find_network(network_name));
  }
  const host::HostLocalFolder folder(root / network_name);
  if (!dry_run) {
    folder.prepare();
  }
  host_local.watch(folder.path());
  const HostLocal::Locks locks = host_local.lock(lock_timeout_);
  std::optional<Store> store;
  Transaction transaction = find(store);
  Network network = *transaction.find_network(network_name);
  const Moment now = moment();
  // What host-local did since the last look must not be undone.
  host_local.follow(transaction, network, offer_seen_in(transaction.leases(network)), now, *log_,
                    HostLocal::Newcomers::kTake);

  const std::vector<Lease> leases = transaction.leases(network);
  host::HostLocalState state{.entries = to_entries(leases), .cursors = {}};
  std::map<int, Lease> latest;  // by range set: host-local goes on after it
  for (const Lease& lease : leases) {
    const auto [at, is_first] = latest.try_emplace(lease.range_set, lease);
    if (!is_first && at->second.created < lease.created) {
      at->second = lease;
    }
  }
  for (const auto& [range_set, lease] : latest) {
    state.cursors.push_back({.range_set = range_set, .last_reserved = lease.address.address()});
  }
  if (!dry_run) {
    folder.write(state);
    transaction.set_handover(network, store::Handover::kShared);
    record_folder(transaction, network, folder, state, now);
    transaction.commit();
  }
  return state;
}

std::optional<Standing> Leases::standing(const std::string& network_name,
                                         const pools::PoolRangeSet& set,
                                         Milliseconds cooldown) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return std::nullopt;
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = transaction.find_network(network_name);
  if (!network) {
    return std::nullopt;
  }
  const Moment now = moment();
  Standing standing = standing_of(transaction, *network, set, cooldown, now);
  const Log silent(*clock_);
  Reclaimer(transaction, *network, Sight(*host_, now.boot_id), now, silent).count(set, standing);
  return standing;
}

}  // namespace podlease::ipam
