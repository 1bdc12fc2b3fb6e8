#include "reclaim.h"

#include <algorithm>
#include <string>

namespace podlease::ipam {

using store::Ending;
using store::Lease;

void Reclaimer::end(const Lease& lease, Ending why) {
  transaction_->release(lease, *now_, why);
  log_->write(LogLevel::kInfo, "network " + network_->name + ": " + lease.address.to_string() +
                                   " of container " + lease.key.container_id +
                                   " ended: " + std::string(store::to_string(why)));
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
    if (sight_.fate_of(holder.presence) == Fate::kGone) {
      static_cast<void>(judge_gone(*transaction_->lease_at(*network_, holder.address)));
    }
  }
}

bool Reclaimer::make_room_in(const pools::PoolRangeSet& set) {
  suspects_.clear();
  first_due_.reset();
  const std::vector<Lease> leases = transaction_->leases(*network_);
  const std::vector<Fate> fates = sight_.fates_of(leases);
  bool made = false;
  const Lease* oldest_dead = nullptr;
  // Backwards, for what ends last is leased first.
  for (std::size_t index = leases.size(); index-- > 0;) {
    const Lease& lease = leases[index];
    const pools::PoolRange* const range = set.range_of(lease.address.address());
    const bool is_usable = range != nullptr && range->usable.contains(lease.address.address());
    if (fates[index] == Fate::kGone) {
      made = (judge_gone(lease) && is_usable) || made;
    } else if (fates[index] == Fate::kEarlierBoot && is_usable &&
               (oldest_dead == nullptr || lease.created < oldest_dead->created)) {
      oldest_dead = &lease;
    }
  }
  // One only: the pods of the others may come back, and want their addresses.
  if (!made && oldest_dead != nullptr) {
    end(*oldest_dead, Ending::kReboot);
    made = true;
  }
  return made;
}

void Reclaimer::count(const pools::PoolRangeSet& set, Standing& standing) {
  const std::vector<Lease> leases = transaction_->leases(*network_);
  const std::vector<Fate> fates = sight_.fates_of(leases);
  for (std::size_t index = 0; index < leases.size(); ++index) {
    const Lease& lease = leases[index];
    if (set.range_of(lease.address.address()) == nullptr) {
      continue;
    }
    const bool gone = fates[index] == Fate::kGone;
    const bool due = gone && missed_for(lease).value_or(Milliseconds(0)) >= kGrace;
    standing.reclaimable += due || fates[index] == Fate::kEarlierBoot ? 1U : 0U;
    standing.suspect += gone && !due ? 1U : 0U;
  }
}

std::vector<Examined> Reclaimer::sweep() {
  std::vector<Lease> leases = transaction_->leases(*network_);
  const std::vector<Fate> fates = sight_.fates_of(leases);
  std::vector<Examined> examined;
  for (std::size_t index = 0; index < leases.size(); ++index) {
    Lease& lease = leases[index];
    switch (fates[index]) {
      case Fate::kAlive:
        break;
      case Fate::kDoubt:
        examined.push_back({.lease = std::move(lease), .verdict = Verdict::kDoubtful});
        break;
      case Fate::kGone: {
        const bool ended = judge_gone(lease);
        examined.push_back({.lease = std::move(lease),
                            .verdict = ended ? Verdict::kReclaimed : Verdict::kSuspected});
        break;
      }
      case Fate::kEarlierBoot:
        end(lease, Ending::kReboot);
        examined.push_back({.lease = std::move(lease), .verdict = Verdict::kOfEarlierBoot});
        break;
    }
  }
  return examined;
}

}  // namespace podlease::ipam
