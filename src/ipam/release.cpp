// What the commands `release`, `status` and `explain` ask about single leases.

#include "add_attempt.h"
#include "adopted.h"
#include "guard.h"
#include "liveness.h"
#include "machine_note.h"
#include "podlease/base/error.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"
#include "reclaim.h"

namespace podlease::ipam {

using store::Lease;
using store::LeaseTable;
using store::Network;
using store::NetworkTable;
using store::Store;
using store::Transaction;

namespace {

void refuse(const Lease& lease, const Judgement& judgement) {
  const std::string what = lease.address.to_string() + " of " + describe(lease);
  const std::string force = "--force releases it all the same, and another pod may get the address";
  if (judgement.liveness == Liveness::kAlive) {
    throw Error(ErrorKind::kOther, what + " is in use: its network namespace is alive", force);
  }
  if (judgement.liveness == Liveness::kDoubt) {
    throw Error(ErrorKind::kOther, what + " may be in use: nothing proves that its pod has ended",
                std::string(what_settles(judgement.doubt)) + " " + force);
  }
}

Presumed::Life life_of(Liveness liveness) {
  switch (liveness) {
    case Liveness::kAlive:
      return Presumed::Life::kAlive;
    case Liveness::kMissing:
    case Liveness::kDoubt:
      return Presumed::Life::kDoubt;
    case Liveness::kGone:
      return Presumed::Life::kGone;
    case Liveness::kEarlierBoot:
      return Presumed::Life::kEarlierBoot;
  }
  return Presumed::Life::kDoubt;
}

}  // namespace

std::vector<Presumed> Leases::presume(const std::vector<Lease>& leases) const {
  const Walk walk(*host_);
  std::vector<Presumed> presumed;
  presumed.reserve(leases.size());
  for (const Judgement& judgement :
       Judge(*host_, host_->boot_id()).all(holders_of(leases), &walk)) {
    presumed.push_back({.life = life_of(judgement.liveness),
                        .settles = std::string(what_settles(judgement.doubt))});
  }
  return presumed;
}

void Leases::refuse_if_alive(const Lease& lease) const {
  const Walk walk(*host_);
  Store store = Store::open_existing_or_empty(options(data_dir_));
  Transaction transaction = store.begin();
  Judge judge = judge_of_store(transaction, *host_, host_->boot_id(), walk);
  refuse(lease, judge.with(&walk, holder_of(lease)));
}

std::vector<Lease> Leases::release(const Lease& lease, bool even_if_alive) const {
  const Walk walk(*host_);
  const auto written = last_written(data_dir_);
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  if (even_if_alive) {
    static_cast<void>(settle_machine(transaction, *host_, written, moment()));
  } else {
    refuse_another_machines(transaction, *host_, data_dir_, written, moment());
  }
  const std::optional<Network> network = NetworkTable(transaction).find(lease.key.network);
  const std::optional<Lease> there =
      network ? LeaseTable(transaction).at(*network, lease.address.address()) : std::nullopt;
  if (!there || there->key != lease.key) {
    return {};
  }
  // Under the lock: the container may have come back a moment ago.
  if (!even_if_alive) {
    Judge judge = judge_of_store(transaction, *host_, host_->boot_id(), walk);
    refuse(*there, judge.with(&walk, holder_of(*there)));
    // Or a process have come in, and the name have gone, while the lock was waited for.
    const Walk after(*host_);
    refuse(*there, judge.with(&after, holder_of(*there)));
  }
  std::vector<Lease> ended =
      end_attachment(transaction, *network, *there, moment(), store::Ending::kRelease);
  transaction.commit();
  return ended;
}

std::optional<std::string> Leases::former_machine() const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return std::nullopt;
  }
  Transaction transaction = store->begin();
  return ipam::former_machine(transaction);
}

std::vector<std::string> Leases::held_by_host(const Wiring& wiring,
                                              const pools::Offer& offer) const {
  const host::HostNetworks networks = host_->networks();
  Store store = Store::open_existing_or_empty(options(data_dir_));
  Transaction transaction = store.begin();
  std::vector<std::string> lines;
  for (const HeldRange& held : look_at_host(transaction, networks, wiring, offer)) {
    lines.push_back(held.to_string());
  }
  return lines;
}

std::optional<Standing> Leases::standing(const std::string& network_name, const Wiring& wiring,
                                         const pools::PoolRangeSet& set,
                                         Milliseconds cooldown) const {
  const Walk walk(*host_);
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return std::nullopt;
  }
  Transaction transaction = store->begin();
  // As an ADD would do; nothing of it is committed.
  Network network = NetworkTable(transaction).ensure(network_name);
  NetworkTable(transaction).set_wires(network, wires_of(wiring, host_->networks()));
  count_unknown_wires(transaction, network);
  const store::Moment now = moment();
  Standing standing = standing_of(transaction, network, set, cooldown, now);
  const Log silent(*clock_);
  Reclaimer(transaction, network, judge_of_store(transaction, *host_, now.boot_id, walk),
            {.host = host_, .walk = &walk, .now = &now, .log = &silent})
      .count(set, standing);
  return standing;
}

}  // namespace podlease::ipam
