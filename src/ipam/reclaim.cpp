#include "reclaim.h"

#include <algorithm>

#include "podlease/ipam/wiring.h"

namespace podlease::ipam {

using store::Ending;
using store::Holder;
using store::Lease;
using store::LeaseTable;
using store::Suspicion;
using store::SuspicionTable;

std::vector<Lease> attachment_of(store::Transaction& transaction, const store::Network& network,
                                 const Lease& lease) {
  std::vector<Lease> siblings =
      LeaseTable(transaction).of(network, lease.key.container_id, lease.key.ifname);
  std::erase_if(siblings, [&](const Lease& sibling) {
    return same_namespace(sibling.presence, lease.presence) == Same::kNo;
  });
  return siblings;
}

std::vector<Lease> end_attachment(store::Transaction& transaction, const store::Network& network,
                                  const Lease& lease, const store::Moment& now, Ending why) {
  std::vector<Lease> siblings = attachment_of(transaction, network, lease);
  for (const Lease& sibling : siblings) {
    LeaseTable(transaction).end(sibling, now, why);
  }
  return siblings;
}

template <typename Wanted>
const store::Network& Reclaimer::find_network(Wanted wanted) {
  if (wanted(*network_)) {
    return *network_;
  }
  if (networks_.empty()) {
    networks_ = store::NetworkTable(*transaction_).all();
  }
  return *std::find_if(networks_.begin(), networks_.end(), wanted);
}

const store::Network& Reclaimer::network_of(const Holder& holder) {
  return find_network([&](const store::Network& network) { return network.id == holder.network; });
}

const store::Network& Reclaimer::network_of(const Lease& lease) {
  return find_network(
      [&](const store::Network& network) { return network.name == lease.key.network; });
}

std::optional<Lease> Reclaimer::lease_of(const Holder& holder) {
  return LeaseTable(*transaction_).at(network_of(holder), holder.address);
}

void Reclaimer::end(const Lease& lease, Ending why) {
  for (const Lease& sibling :
       end_attachment(*transaction_, network_of(lease), lease, *world_.now, why)) {
    world_.log->write(LogLevel::kInfo, "network " + lease.key.network + ": " +
                                           sibling.address.to_string() + " of container " +
                                           sibling.key.container_id +
                                           " ended: " + std::string(store::to_string(why)));
  }
}

void Reclaimer::note_cleared(store::Transaction& transaction, const Cleared& cleared) const {
  const auto network = store::NetworkTable(transaction).find(cleared.lease.key.network);
  if (!network) {
    return;
  }
  if (cleared.process == 0) {
    SuspicionTable(transaction).forget(*network, cleared.lease.address.address());
    return;
  }
  SuspicionTable(transaction)
      .set(*network, cleared.lease,
           {.boot_id = world_.now->boot_id,
            .since_boot = world_.now->at.since_boot,
            .process = cleared.process});
}

void Reclaimer::clear(const Holder& holder, const Judgement& judgement) {
  if (!holder.suspected && judgement.process == 0) {
    return;
  }
  if (const std::optional<Lease> lease = lease_of(holder)) {
    const std::optional<Suspicion> noted = suspicion_of(*lease);
    if (noted && judgement.process != 0 && noted->process == judgement.process) {
      return;
    }
    cleared_.push_back({.lease = *lease, .process = judgement.process});
    note_cleared(*transaction_, cleared_.back());
  }
}

std::optional<Suspicion> Reclaimer::suspicion_of(const Lease& lease) {
  const std::optional<Suspicion> suspicion =
      SuspicionTable(*transaction_).of(network_of(lease), lease);
  return suspicion && suspicion->boot_id == world_.now->boot_id ? suspicion : std::nullopt;
}

bool Reclaimer::is_still_in(int process, const store::Presence& presence) const {
  return process != 0 && names("/proc/" + std::to_string(process) + "/ns/net", presence);
}

bool Reclaimer::names(const std::string& path, const store::Presence& presence) const {
  const host::NetnsId id{.device = presence.netns_device, .inode = presence.netns_inode};
  if (!world_.host->is_at(path, id)) {
    return false;
  }
  const std::uint64_t cookie = presence.netns_cookie == 0 ? 0 : world_.host->cookie_at(path, id);
  return cookie == 0 || cookie == presence.netns_cookie;
}

bool Reclaimer::has_known_process(const Holder& holder) {
  const std::optional<Lease> lease = holder.suspected ? lease_of(holder) : std::nullopt;
  const std::optional<Suspicion> noted = lease ? suspicion_of(*lease) : std::nullopt;
  return noted && is_still_in(noted->process, lease->presence);
}

std::optional<Milliseconds> Reclaimer::missed_for(const Lease& lease) {
  const std::optional<Suspicion> noted = suspicion_of(lease);
  if (noted && is_still_in(noted->process, lease.presence)) {
    return std::nullopt;
  }
  return noted && noted->process == 0 ? world_.now->at.since_boot - noted->since_boot
                                      : Milliseconds(0);
}

void Reclaimer::suspect(const Lease& lease, Milliseconds missed) {
  if (missed == Milliseconds(0)) {
    SuspicionTable(*transaction_)
        .set(network_of(lease), lease,
             {.boot_id = world_.now->boot_id, .since_boot = world_.now->at.since_boot});
  }
  suspects_.push_back(lease);
  first_due_ = std::min(first_due_.value_or(kGrace), std::max(kGrace - missed, kSoon));
}

bool Reclaimer::is_due(const Lease& lease) {
  const std::optional<Milliseconds> missed = missed_for(lease);
  if (missed && *missed < kGrace) {
    suspect(lease, *missed);
  }
  return missed && *missed >= kGrace;
}

bool Reclaimer::is_heard_of(const Lease& lease) {
  // Also on a bridge that was renamed since: its wire is still known.
  std::vector<std::string> links = interfaces_on(network_of(lease).wires);
  if (links.empty()) {
    links.emplace_back();  // any
  }
  const bool heard = std::any_of(links.begin(), links.end(), [&](const std::string& link) {
    return world_.host->is_reachable_neighbour(lease.address.address(), link);
  });
  if (heard) {
    suspect(lease, kGrace);
  }
  return heard;
}

bool Reclaimer::end_if_due(const Lease& lease) {
  if (!is_due(lease) || is_heard_of(lease)) {
    return false;
  }
  // Its name was looked at before the walk, and may have been given back since.
  if (lease.presence.netns_inode != 0 && names(lease.presence.netns, lease.presence)) {
    return false;
  }
  end(lease, Ending::kReclaim);
  return true;
}

void Reclaimer::examine_a_few() {
  for (const Holder& holder : LeaseTable(*transaction_).sample(*network_)) {
    // A suspect is let off by its namespace, not by a later one with its name and number.
    const Judgement judgement =
        judge_.by_name(holder, holder.suspected ? Judge::Depth::kCookie : Judge::Depth::kKey);
    if (judgement.liveness == Liveness::kAlive) {
      clear(holder, judgement);
    } else if (judgement.liveness == Liveness::kMissing) {
      const std::optional<Lease> lease = lease_of(holder);
      found_due_ = (lease && is_due(*lease)) || found_due_;
    }
  }
}

// One holder's part in it. An earlier boot's is left to `make_room_in`.
Room Reclaimer::make_room(const pools::PoolRangeSet& set, const Holder& holder,
                          const Judgement& judgement) {
  const pools::PoolRange* const range = set.range_of(holder.address);
  const bool is_usable = range != nullptr && range->usable.contains(holder.address);
  switch (judgement.liveness) {
    case Liveness::kAlive:
      clear(holder, judgement);
      return Room::kNone;
    case Liveness::kDoubt:
      doubtful_ += range != nullptr ? 1U : 0U;
      return Room::kNone;
    case Liveness::kMissing:
      return is_usable && !has_known_process(holder) ? Room::kNeedsWalk : Room::kNone;
    case Liveness::kGone: {
      // With those that its holder has besides, one of which may have come by before.
      const std::optional<Lease> lease = lease_of(holder);
      if (lease && world_.walk->count() < 2) {
        return is_due(*lease) && is_usable ? Room::kNeedsWalk : Room::kNone;
      }
      return (!lease || end_if_due(*lease)) && is_usable ? Room::kMade : Room::kNone;
    }
    case Liveness::kEarlierBoot:
      return Room::kNone;
  }
  return Room::kNone;
}

Room Reclaimer::make_room_in(const pools::PoolRangeSet& set) {
  suspects_.clear();
  first_due_.reset();
  doubtful_ = 0;
  const std::vector<Holder> holders = LeaseTable(*transaction_).holders(*network_);
  const std::vector<Judgement> judgements = judge_.all(holders, world_.walk);
  Room room = Room::kNone;
  const Holder* oldest_dead = nullptr;
  // Backwards, for what ends last is leased first.
  for (std::size_t index = holders.size(); index-- > 0;) {
    const Holder& holder = holders[index];
    const Room made = make_room(set, holder, judgements[index]);
    room = made == Room::kNone ? room : made;
    const pools::PoolRange* const range = set.range_of(holder.address);
    if (judgements[index].liveness == Liveness::kEarlierBoot && range != nullptr &&
        range->usable.contains(holder.address) &&
        (oldest_dead == nullptr || holder.created < oldest_dead->created)) {
      oldest_dead = &holder;
    }
  }
  if (room != Room::kNone || oldest_dead == nullptr) {
    return room;
  }
  // One only: the pods of the others may come back, and want their addresses.
  if (const std::optional<Lease> lease = lease_of(*oldest_dead)) {
    end(*lease, Ending::kReboot);
  }
  return Room::kMade;
}

// Each network is swept and counted by itself.
std::vector<Holder> Reclaimer::own_holders() const {
  std::vector<Holder> holders = LeaseTable(*transaction_).holders(*network_);
  std::erase_if(holders, [&](const Holder& holder) { return holder.network != network_->id; });
  return holders;
}

void Reclaimer::count(const pools::PoolRangeSet& set, Standing& standing) {
  const std::vector<Holder> holders = own_holders();
  const std::vector<Judgement> judgements = judge_.all(holders, world_.walk);
  for (std::size_t index = 0; index < holders.size(); ++index) {
    if (set.range_of(holders[index].address) == nullptr) {
      continue;
    }
    const Liveness liveness = judgements[index].liveness;
    bool due = liveness == Liveness::kEarlierBoot;
    if (liveness == Liveness::kGone) {
      const std::optional<Suspicion> noted = suspicion_of(*lease_of(holders[index]));
      due = noted && noted->process == 0 && world_.now->at.since_boot - noted->since_boot >= kGrace;
    }
    const bool is_missing = liveness == Liveness::kGone || liveness == Liveness::kMissing;
    standing.reclaimable += due ? 1U : 0U;
    standing.suspect += is_missing && !due ? 1U : 0U;
    standing.doubtful += liveness == Liveness::kDoubt ? 1U : 0U;
  }
}

void Reclaimer::sweep_out(const Lease& lease, Liveness liveness, std::vector<Examined>& examined) {
  const std::vector<Lease> siblings = attachment_of(*transaction_, network_of(lease), lease);
  if (liveness == Liveness::kGone && !end_if_due(lease)) {
    examined.push_back({.lease = lease, .state = Examined::State::kSuspect, .settles = {}});
    return;
  }
  if (liveness == Liveness::kEarlierBoot) {
    end(lease, Ending::kReboot);
  }
  for (const Lease& sibling : siblings) {
    examined.push_back({.lease = sibling,
                        .state = liveness == Liveness::kGone ? Examined::State::kReclaimed
                                                             : Examined::State::kOfEarlierBoot,
                        .settles = {}});
  }
}

bool Reclaimer::is_unknown_to_libcni(const Lease& lease, const Sweep& wanted) const {
  // A damaged file tells by its name whose it is.
  const std::string name = network_->name + "-" + lease.key.container_id + "-";
  if (std::any_of(wanted.cached->skipped.begin(), wanted.cached->skipped.end(),
                  [&](const host::SkippedFile& skipped) {
                    return skipped.file.filename().string().starts_with(name);
                  })) {
    return false;
  }
  bool knows_others = false;
  for (const host::CachedAttachment& attachment : wanted.cached->attachments) {
    if (attachment.key.network != network_->name) {
      continue;
    }
    if (attachment.key.container_id == lease.key.container_id ||
        attachment.has(lease.address.address())) {
      return false;
    }
    knows_others = true;
  }
  return knows_others;
}

void Reclaimer::sweep_doubtful(const Lease& lease, Doubt doubt, const Sweep& wanted,
                               std::vector<Examined>& examined) {
  using State = Examined::State;
  const auto end_as = [&](State state, Ending why) {
    for (const Lease& sibling :
         end_attachment(*transaction_, network_of(lease), lease, *world_.now, why)) {
      examined.push_back({.lease = sibling, .state = state, .settles = {}});
    }
  };
  if (doubt == Doubt::kOtherView) {
    if (wanted.ends_other_views) {
      end_as(State::kViewEnded, Ending::kRelease);
      return;
    }
    examined.push_back({.lease = lease,
                        .state = State::kOfOtherView,
                        .settles = std::string(what_settles(doubt))});
    return;
  }
  // There is no namespace to miss: what is missed is libcni's record.
  if (doubt == Doubt::kNothingRecorded && is_unknown_to_libcni(lease, wanted)) {
    if (is_due(lease)) {
      end_as(State::kReclaimed, Ending::kReclaim);
    } else {
      examined.push_back({.lease = lease, .state = State::kSuspect, .settles = {}});
    }
    return;
  }
  examined.push_back(
      {.lease = lease, .state = State::kDoubtful, .settles = std::string(what_settles(doubt))});
}

std::vector<Examined> Reclaimer::sweep(const Sweep& wanted) {
  const std::vector<Holder> holders = own_holders();
  const std::vector<Judgement> judgements = judge_.all(holders, world_.walk);
  std::vector<Examined> examined;
  for (std::size_t index = 0; index < holders.size(); ++index) {
    const Judgement& judgement = judgements[index];
    if (judgement.liveness == Liveness::kAlive) {
      clear(holders[index], judgement);
      continue;
    }
    // Nothing where it ended with another of its holder's, and was told of with that.
    const std::optional<Lease> lease = lease_of(holders[index]);
    if (lease && judgement.liveness == Liveness::kDoubt) {
      sweep_doubtful(*lease, judgement.doubt, wanted, examined);
    } else if (lease) {
      sweep_out(*lease, judgement.liveness, examined);
    }
  }
  return examined;
}

void Reclaimer::reclaim_due() {
  const std::vector<Holder> holders = LeaseTable(*transaction_).holders(*network_);
  const std::vector<Judgement> judgements = judge_.all(holders, world_.walk);
  for (std::size_t index = 0; index < holders.size(); ++index) {
    const Judgement& judgement = judgements[index];
    if (judgement.liveness == Liveness::kAlive) {
      clear(holders[index], judgement);
      continue;
    }
    const std::optional<Lease> lease =
        holders[index].suspected ? lease_of(holders[index]) : std::nullopt;
    if (lease && judgement.liveness == Liveness::kGone) {
      static_cast<void>(end_if_due(*lease));
    } else if (lease &&
               (judgement.doubt == Doubt::kProcessesUnread ||
                judgement.doubt == Doubt::kProcessesUnproven) &&
               is_due(*lease)) {
      // Or each ADD that comes by it would walk again. Whoever cannot see its name never walks for
      // it, and lets the grace of others run on.
      suspect(*lease, Milliseconds(0));
    }
  }
}

void Reclaimer::note_in(store::Transaction& transaction) const {
  for (const Cleared& cleared : cleared_) {
    note_cleared(transaction, cleared);
  }
  const SuspicionTable suspicions(transaction);
  for (const Lease& lease : suspects_) {
    const auto network = store::NetworkTable(transaction).find(lease.key.network);
    const std::optional<Suspicion> noted = network ? suspicions.of(*network, lease) : std::nullopt;
    if (network && (!noted || noted->boot_id != world_.now->boot_id || noted->process != 0)) {
      suspicions.set(*network, lease,
                     {.boot_id = world_.now->boot_id, .since_boot = world_.now->at.since_boot});
    }
  }
}

}  // namespace podlease::ipam
