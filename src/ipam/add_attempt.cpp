#include "add_attempt.h"

#include <algorithm>
#include <utility>

#include "adopted.h"
#include "exhausted_note.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/address_table.h"
#include "podlease/store/pod_table.h"

namespace podlease::ipam {

using store::Lease;
using store::LeaseTable;

namespace {

std::vector<net::Address> addresses_of(const std::vector<Granted>& granted) {
  std::vector<net::Address> addresses;
  addresses.reserve(granted.size());
  for (const Granted& grant : granted) {
    addresses.push_back(grant.lease.address.address());
  }
  return addresses;
}

bool has_family(const std::vector<Granted>& granted, net::Family family) {
  return std::any_of(granted.begin(), granted.end(), [&](const Granted& grant) {
    return grant.lease.address.address().family() == family;
  });
}

Judge judge_for(const AddAttempt::World& world) {
  Judge judge(*world.host, world.presence->boot_id, world.names);
  judge.trust(*world.presence);
  return judge;
}

}  // namespace

AddAttempt::AddAttempt(const World& world, Session& session)
    : world_(world),
      session_(&session),
      offer_(&session.offer),
      guard_(*world.host, world.request->wiring),
      allocator_(session.transaction, session.network, guard_, world.request->cooldown, *world.now),
      reclaimer_(session.transaction, session.network, judge_for(world),
                 {.host = world.host, .walk = world.walk, .now = world.now, .log = world.log}) {}

// ---- What the attachment holds already

std::vector<Lease> AddAttempt::leases_held() {
  const LeaseTable leases(session_->transaction);
  const AttachmentKey& key = world_.request->key;
  if (leases.has_any(session_->network, key.container_id, key.ifname)) {
    return leases.of(session_->network, key.container_id, key.ifname);
  }
  // What was found inside this very namespace, before anybody said whose it is. Where there is no
  // cookie to tell, its number may be a later one's, unless the name it was found by still stands.
  std::vector<Lease> adopted =
      adopted_in(*world_.presence, key.ifname, session_->transaction, session_->network);
  std::erase_if(adopted, [&](const Lease& lease) {
    const bool has_cookies = lease.presence.netns_cookie != 0 && world_.presence->netns_cookie != 0;
    return !has_cookies && !world_.host->is_at(lease.presence.netns, id_of(lease.presence));
  });
  return adopted;
}

Outcome AddAttempt::keep() {
  std::vector<Lease> held = leases_held();
  if (held.empty()) {
    return std::vector<Granted>{};
  }
  // Of a store that was put back from a copy it may have more in a namespace that it left.
  const auto first_elsewhere =
      std::stable_partition(held.begin(), held.end(), [&](const Lease& lease) {
        return same_namespace(lease.presence, *world_.presence) != Same::kNo;
      });
  if (first_elsewhere != held.begin()) {
    held.erase(first_elsewhere, held.end());
  } else {
    const std::optional<std::vector<Lease>> left = left_elsewhere(held);
    if (!left) {
      return NeedsWalk{};
    }
    held = *left;
  }
  if (held.empty()) {
    return std::vector<Granted>{};
  }
  former_uid_ = held.front().pod.uid;
  std::vector<Granted> granted = keep_all(held);
  refuse_other_addresses(granted);
  add_lacking_families(granted);
  return granted;
}

std::vector<Granted> AddAttempt::keep_all(const std::vector<Lease>& held) {
  std::vector<Granted> granted;
  for (const Lease& lease : held) {
    Lease now = lease;
    now.key = world_.request->key;
    now.presence = *world_.presence;
    if (now.presence.netns_inode == 0 && now.presence.netns == lease.presence.netns &&
        now.presence.boot_id == lease.presence.boot_id) {
      now.presence = lease.presence;  // this caller does not see what an earlier one did
    }
    if (!world_.request->pod.uid.empty()) {
      now.pod = world_.request->pod;
    }
    if (now.key != lease.key || now.presence != lease.presence || now.pod != lease.pod) {
      LeaseTable(session_->transaction).refresh(lease, now);
    }
    granted.push_back({.lease = std::move(now), .reason = Reason::kHeld});
  }
  if (granted.front().lease.pod.uid != former_uid_) {
    remember_pod(granted);
  }
  return granted;
}

void AddAttempt::refuse_other_addresses(const std::vector<Granted>& granted) const {
  const std::vector<net::Address> held = addresses_of(granted);
  for (const RequestedAddress& requested : world_.request->requested) {
    if (!has_family(granted, requested.address.family()) ||
        std::find(held.begin(), held.end(), requested.address) != held.end()) {
      continue;
    }
    std::vector<std::string> texts;
    texts.reserve(held.size());
    for (const net::Address address : held) {
      texts.push_back(address.to_string());
    }
    throw Error(ErrorKind::kAddressTaken,
                requested.path + " " + requested.address.to_string() + ": container " +
                    world_.request->key.container_id + " " + world_.request->key.ifname +
                    " already holds " + join(texts, ", "),
                "an attachment keeps its addresses until its DEL");
  }
}

void AddAttempt::add_lacking_families(std::vector<Granted>& granted) {
  Requests open_requests = world_.request->requested;
  const std::size_t before = granted.size();
  if (std::all_of(offer_->sets.begin(), offer_->sets.end(), [&](const pools::PoolRangeSet& set) {
        return has_family(granted, set.family);
      })) {
    return;
  }
  admit();
  may_press_ = true;
  for (std::size_t index = 0; index < offer_->sets.size(); ++index) {
    const pools::PoolRangeSet& set = offer_->sets[index];
    if (has_family(granted, set.family)) {
      continue;
    }
    const Proposal proposal = propose(set, open_requests);
    if (const auto* const choice = std::get_if<Choice>(&proposal)) {
      granted.push_back(grant(*choice, index));
    }
  }
  needs_walk_ = false;  // what it holds is enough to go on with
  if (granted.size() == before) {
    return;
  }
  std::stable_sort(granted.begin(), granted.end(), [](const Granted& a, const Granted& b) {
    return a.lease.range_set < b.lease.range_set;
  });
  remember_pod(granted);
}

// The namespaces on record are others. Where one has ended, today's configuration counts, and the
// old addresses only where it still gives them; but while the API cannot say what fits today, what
// was given once is given again.
std::optional<std::vector<Lease>> AddAttempt::left_elsewhere(const std::vector<Lease>& held) {
  std::vector<Lease> left;
  std::vector<Lease> ended;
  for (const Lease& lease : held) {
    const Judgement judgement = judge(lease);
    if (needs_walk_) {
      return std::nullopt;
    }
    if (judgement.liveness == Liveness::kAlive) {
      throw lives_elsewhere(lease, judgement);
    }
    const bool has_ended =
        judgement.liveness == Liveness::kGone || judgement.liveness == Liveness::kEarlierBoot;
    (has_ended && !session_->obstacle ? ended : left).push_back(lease);
  }
  for (const Lease& lease : ended) {
    renewed_.push_back(lease.address.address());
    LeaseTable(session_->transaction).end(lease, *world_.now, store::Ending::kTakeover);
  }
  return left;
}

// A second ADD of an attachment without a DEL in between, from another namespace. The one that has
// the address must not lose it.
Error AddAttempt::lives_elsewhere(const Lease& lease, const Judgement& judgement) const {
  return Error(
      ErrorKind::kAddressTaken,
      "network " + lease.key.network + ": " + describe(lease) + " already holds " +
          lease.address.address().to_string() + " in another network namespace, " +
          lease.presence.netns + ", which is alive" +
          (judgement.process == 0 ? std::string()
                                  : ": process " + std::to_string(judgement.process) + " is in it"),
      "send its DEL first, or end what lives in that namespace");
}

// ---- What it gets

void AddAttempt::admit() {
  guard_.admit(session_->transaction, session_->network, *offer_, *world_.now);
  count_unknown_wires(session_->transaction, session_->network);
  net::IntervalSet avoided = guard_.held_back();
  for (const net::Address address : session_->unsettled) {
    avoided.insert(net::Range::single(address));
  }
  allocator_.avoid(std::move(avoided));
}

Outcome AddAttempt::choose(bool may_press) {
  admit();
  Requests open_requests = world_.request->requested;
  std::vector<Granted> granted;
  std::optional<NotYet> wait;
  Shortage shortage;
  may_press_ = may_press || !offer_->may_grow;
  for (std::size_t index = 0; index < offer_->sets.size(); ++index) {
    const pools::PoolRangeSet& set = offer_->sets[index];
    const Proposal proposal = propose(set, open_requests);
    if (needs_walk_) {
      return NeedsWalk{};
    }
    if (const auto* const choice = std::get_if<Choice>(&proposal)) {
      granted.push_back(grant(*choice, index));
    } else if (const auto* const not_yet = std::get_if<NotYet>(&proposal)) {
      wait = {.time = std::max(wait ? wait->time : Milliseconds(0), not_yet->time)};
    } else if (may_press_) {
      throw exhausted(index);
    } else {
      shortage.families.push_back(set.family);
    }
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

Granted AddAttempt::grant(const Choice& choice, std::size_t set) {
  Granted granted{
      .lease = {.key = world_.request->key,
                .address = net::Prefix::make(choice.address, choice.range->answer_length)
                               .value_or(net::Prefix::host(choice.address)),
                .gateway = choice.range->gateway,
                .range_set = static_cast<int>(set),
                .pod = world_.request->pod,
                .presence = *world_.presence,
                .created = world_.now->at.wall,
                .source = choice.range->source},
      .reason = choice.reason};
  LeaseTable(session_->transaction)
      .insert(session_->network, granted.lease,
              choice.reason == Reason::kUntouched ? LeaseTable::Before::kUntouched
                                                  : LeaseTable::Before::kUnknown);
  return granted;
}

Proposal AddAttempt::propose(const pools::PoolRangeSet& set, Requests& open_requests) {
  const auto requested = std::find_if(open_requests.begin(), open_requests.end(),
                                      [&](const RequestedAddress& candidate) {
                                        return set.range_of(candidate.address) != nullptr;
                                      });
  if (requested == open_requests.end()) {
    if (const std::optional<Choice> choice = former_address(set)) {
      return *choice;
    }
    return needs_walk_ ? NoneLeft{} : allocate(set);
  }
  const std::optional<Choice> choice =
      take_requested(*requested, *set.range_of(requested->address));
  open_requests.erase(requested);
  return choice ? Proposal(*choice) : Proposal(NoneLeft{});
}

Proposal AddAttempt::allocate(const pools::PoolRangeSet& set) {
  Proposal proposal = allocator_.propose(set, may_press_);
  if (std::holds_alternative<NoneLeft>(proposal) && may_press_) {
    noted_ = noted_exhaustion(session_->transaction, session_->network.name, set.to_string(),
                              view_at(*world_.host, world_.presence->netns), *world_.now);
    if (noted_) {
      return proposal;
    }
  }
  // More than once where the host itself has what came free.
  while (!std::holds_alternative<Choice>(proposal)) {
    const Room room = reclaimer_.make_room_in(set);
    needs_walk_ = room == Room::kNeedsWalk;
    if (room != Room::kMade) {
      return proposal;
    }
    proposal = allocator_.propose(set, may_press_);
  }
  return proposal;
}

const std::vector<net::Address>& AddAttempt::former_addresses() {
  if (!former_) {
    former_ =
        store::PodTable(session_->transaction)
            .addresses(session_->network, world_.request->pod.uid, world_.request->key.ifname);
  }
  return *former_;
}

void AddAttempt::remember_pod(const std::vector<Granted>& granted) {
  if (world_.request->pod.uid.empty()) {
    return;
  }
  const std::vector<net::Address> addresses = addresses_of(granted);
  if (addresses != former_addresses()) {
    store::PodTable(session_->transaction)
        .set_addresses(session_->network, world_.request->pod.uid, world_.request->key.ifname,
                       addresses);
  }
}

// Another pod has had and freed the address since this one did: then it has to cool.
bool AddAttempt::was_anothers_since(net::Address address) const {
  const std::optional<store::Freed> freed =
      store::AddressTable(session_->transaction, world_.now->boot_id)
          .freed_at(session_->network, address);
  return freed && freed->pod_uid != world_.request->pod.uid &&
         Allocator::age(*freed, *world_.now) < world_.request->cooldown;
}

// Of its next sandbox: the same pod's interface. Pods that the runtime does not name are not one.
bool AddAttempt::is_of_this_pod(const Lease& lease) const {
  return !lease.pod.uid.empty() && lease.pod.uid == world_.request->pod.uid &&
         lease.key.ifname == world_.request->key.ifname;
}

// From all that have the address: networks that came to one wire with leases of their own may both
// have it.
bool AddAttempt::take_back(net::Address address) {
  const LeaseTable leases(session_->transaction);
  while (const std::optional<Lease> lease = leases.at_in_space(session_->network, address)) {
    if (!is_of_this_pod(*lease) || !take_over(*lease, Grace::kNone)) {
      return false;
    }
  }
  return true;
}

// Of this attachment, before the machine was booted or its namespace was made anew; or of this
// pod's interface, before its sandbox failed.
std::optional<Choice> AddAttempt::former_address(const pools::PoolRangeSet& set) {
  std::vector<net::Address> former = renewed_;
  if (!world_.request->pod.uid.empty()) {
    former.insert(former.end(), former_addresses().begin(), former_addresses().end());
  }
  for (const net::Address address : former) {
    const pools::PoolRange* const range = set.range_of(address);
    if (range == nullptr || !range->usable.contains(address) || allocator_.is_held(address)) {
      continue;
    }
    if (was_anothers_since(address)) {
      continue;
    }
    if (!take_back(address)) {
      if (needs_walk_) {
        return std::nullopt;
      }
      continue;
    }
    return Choice{.address = address, .range = range, .reason = Reason::kReturned};
  }
  return std::nullopt;
}

std::optional<Choice> AddAttempt::take_requested(const RequestedAddress& requested,
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
  const std::vector<net::Address>& unsettled = session_->unsettled;
  if (std::find(unsettled.begin(), unsettled.end(), requested.address) != unsettled.end()) {
    throw Error(ErrorKind::kAddressTaken, what + " is in use by a pod that has no lease",
                "podlease show " + requested.address.to_string() + " tells whose the lease is");
  }
  const LeaseTable leases(session_->transaction);
  while (const std::optional<Lease> lease =
             leases.at_in_space(session_->network, requested.address)) {
    if (!take_over(*lease, is_of_this_pod(*lease) ? Grace::kNone : Grace::kFull)) {
      if (needs_walk_) {
        return std::nullopt;
      }
      throw Error(ErrorKind::kAddressTaken, what + " is leased to " + describe(*lease),
                  reclaimer_.first_due()
                      ? "its pod looks gone: the address comes free in " +
                            format_duration(*reclaimer_.first_due()) + ", try again then"
                      : "podlease show " + requested.address.to_string() + " tells more");
    }
  }
  if (const std::optional<std::string> holder = guard_.holder_of(requested.address)) {
    throw Error(ErrorKind::kAddressTaken, what + " is held by " + *holder);
  }
  return Choice{.address = requested.address, .range = &range, .reason = Reason::kRequested};
}

void AddAttempt::note_in(store::Transaction& transaction, const std::string& network) const {
  reclaimer_.note_in(transaction);
  if (exhaustion_) {
    note_exhaustion(transaction, network, *exhausted_set_,
                    view_at(*world_.host, world_.presence->netns), *world_.now, *exhaustion_);
  }
}

// ---- Taking an address from a holder that has ended

Judgement AddAttempt::judge(const Lease& lease) {
  Judge& judge = reclaimer_.judge();
  if (world_.walk == nullptr) {
    const Judgement judgement = judge.by_name(holder_of(lease));
    needs_walk_ = judgement.liveness == Liveness::kMissing;
    return judgement;
  }
  const Judgement judgement = judge.with(world_.walk, holder_of(lease));
  if (judgement.doubt != Doubt::kProcessesUnproven) {
    return judgement;
  }
  // Some other pod of the network may have the process that proves it.
  for (const store::Holder& holder : LeaseTable(session_->transaction).holders(session_->network)) {
    static_cast<void>(judge.with(world_.walk, holder));
  }
  return judge.with(world_.walk, holder_of(lease));
}

bool AddAttempt::take_over(const Lease& lease, Grace grace) {
  const Judgement judgement = judge(lease);
  if (grace == Grace::kFull &&
      (judgement.liveness == Liveness::kMissing || judgement.liveness == Liveness::kGone)) {
    const bool is_due = reclaimer_.is_due(lease);
    needs_walk_ = needs_walk_ && is_due;  // before the grace is over a walk decides nothing
    if (is_due && world_.walk != nullptr && world_.walk->count() < 2) {
      needs_walk_ = true;
    }
    if (!is_due || needs_walk_) {
      return false;
    }
  }
  if (judgement.liveness != Liveness::kGone && judgement.liveness != Liveness::kEarlierBoot) {
    return false;
  }
  if (judgement.liveness == Liveness::kGone && reclaimer_.is_heard_of(lease)) {
    return false;
  }
  const store::Network network =
      *store::NetworkTable(session_->transaction).find(lease.key.network);
  end_attachment(session_->transaction, network, lease, *world_.now, store::Ending::kTakeover);
  return true;
}

}  // namespace podlease::ipam
