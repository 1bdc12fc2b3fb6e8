#include "reclaim.h"

#include <algorithm>
#include <string>

namespace podlease::ipam {

using store::Ending;
using store::Holder;
using store::Lease;

std::vector<Lease> end_attachment(store::Transaction& transaction, const store::Network& network,
                                  const Lease& lease, const store::Moment& now, Ending why) {
  std::vector<Lease> siblings =
      transaction.leases_of(network, lease.key.container_id, lease.key.ifname);
  for (const Lease& sibling : siblings) {
    transaction.release(sibling, now, why);
  }
  return siblings;
}

std::optional<Lease> Reclaimer::lease_of(const Holder& holder) {
  return transaction_->lease_at(*network_, holder.address);
}

void Reclaimer::end(const Lease& lease, Ending why) {
  for (const Lease& sibling : end_attachment(*transaction_, *network_, lease, *now_, why)) {
    log_->write(LogLevel::kInfo, "network " + network_->name + ": " + sibling.address.to_string() +
                                     " of container " + sibling.key.container_id +
                                     " ended: " + std::string(store::to_string(why)));
  }
}

void Reclaimer::clear(const Holder& holder) {
  if (holder.suspected) {
    transaction_->trust(*network_, holder.address);
    cleared_.push_back(holder.address);
  }
}

std::optional<Milliseconds> Reclaimer::missed_for(const Lease& lease) const {
  const std::optional<store::Suspicion> suspicion = transaction_->suspicion(*network_, lease);
  if (!suspicion || suspicion->boot_id != now_->boot_id) {
    return std::nullopt;
  }
  return now_->at.since_boot - suspicion->since_boot;
}

bool Reclaimer::judge_gone(const Lease& lease) {
  std::optional<Milliseconds> missed = missed_for(lease);
  if (!missed) {
    transaction_->suspect(*network_, lease,
                          {.boot_id = now_->boot_id, .since_boot = now_->at.since_boot});
    missed = Milliseconds(0);
  }
  if (*missed >= kGrace) {
    end(lease, Ending::kReclaim);
    return true;
  }
  suspects_.push_back(lease);
  first_due_ = std::min(first_due_.value_or(kGrace), kGrace - *missed);
  return false;
}

void Reclaimer::examine_a_few() {
  for (const store::Holder& holder : transaction_->sample(*network_)) {
    const Fate fate = sight_.fate_of(holder.presence);
    if (fate == Fate::kAlive) {
      clear(holder);
    }
    if (fate == Fate::kGone) {
      if (const std::optional<Lease> lease = lease_of(holder)) {
        static_cast<void>(judge_gone(*lease));
      }
    }
  }
}

bool Reclaimer::make_room_in(const pools::PoolRangeSet& set) {
  suspects_.clear();
  first_due_.reset();
  const std::vector<Holder> holders = transaction_->holders(*network_);
  const std::vector<Fate> fates = sight_.fates_of(holders);
  bool made = false;
  const Holder* oldest_dead = nullptr;
  // Backwards, for what ends last is leased first.
  for (std::size_t index = holders.size(); index-- > 0;) {
    const Holder& holder = holders[index];
    const pools::PoolRange* const range = set.range_of(holder.address);
    const bool is_usable = range != nullptr && range->usable.contains(holder.address);
    if (fates[index] == Fate::kAlive) {
      clear(holder);
    } else if (fates[index] == Fate::kGone) {
      // With those that its holder has besides, one of which may have come by before.
      const std::optional<Lease> lease = lease_of(holder);
      made = ((!lease || judge_gone(*lease)) && is_usable) || made;
    } else if (fates[index] == Fate::kEarlierBoot && is_usable &&
               (oldest_dead == nullptr || holder.created < oldest_dead->created)) {
      oldest_dead = &holder;
    }
  }
  // One only: the pods of the others may come back, and want their addresses.
  if (!made && oldest_dead != nullptr) {
    if (const std::optional<Lease> lease = lease_of(*oldest_dead)) {
      end(*lease, Ending::kReboot);
    }
    made = true;
  }
  return made;
}

void Reclaimer::count(const pools::PoolRangeSet& set, Standing& standing) {
  const std::vector<Holder> holders = transaction_->holders(*network_);
  const std::vector<Fate> fates = sight_.fates_of(holders);
  for (std::size_t index = 0; index < holders.size(); ++index) {
    if (set.range_of(holders[index].address) == nullptr) {
      continue;
    }
    const bool gone = fates[index] == Fate::kGone;
    const bool due =
        gone && missed_for(*lease_of(holders[index])).value_or(Milliseconds(0)) >= kGrace;
    standing.reclaimable += due || fates[index] == Fate::kEarlierBoot ? 1U : 0U;
    standing.suspect += gone && !due ? 1U : 0U;
  }
}

void Reclaimer::sweep_out(const Lease& lease, Fate fate, std::vector<Examined>& examined) {
  const std::vector<Lease> siblings =
      transaction_->leases_of(*network_, lease.key.container_id, lease.key.ifname);
  if (fate == Fate::kGone && !judge_gone(lease)) {
    examined.push_back({.lease = lease, .verdict = Verdict::kSuspected});
    return;
  }
  if (fate == Fate::kEarlierBoot) {
    end(lease, Ending::kReboot);
  }
  for (const Lease& sibling : siblings) {
    examined.push_back(
        {.lease = sibling,
         .verdict = fate == Fate::kGone ? Verdict::kReclaimed : Verdict::kOfEarlierBoot});
  }
}

std::vector<Examined> Reclaimer::sweep() {
  const std::vector<Holder> holders = transaction_->holders(*network_);
  const std::vector<Fate> fates = sight_.fates_of(holders);
  std::vector<Examined> examined;
  for (std::size_t index = 0; index < holders.size(); ++index) {
    if (fates[index] == Fate::kAlive) {
      clear(holders[index]);
      continue;
    }
    // Nothing where it ended with another of its holder's, and was told of with that.
    const std::optional<Lease> lease = lease_of(holders[index]);
    if (lease && fates[index] == Fate::kDoubt) {
      examined.push_back({.lease = *lease, .verdict = Verdict::kDoubtful});
    } else if (lease) {
      sweep_out(*lease, fates[index], examined);
    }
  }
  return examined;
}

}  // namespace podlease::ipam
