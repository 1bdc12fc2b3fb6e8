// What ends leases whose DELs were lost: GC (CNI specification, section "GC"), the command
// `podlease gc`, and an ADD that came by leases which have been missing for the grace.

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "adopted.h"
#include "ended_notes.h"
#include "liveness.h"
#include "machine_note.h"
#include "podlease/host/cni_cache.h"
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

// Of a valid attachment: by container and interface, where both know it.
class ValidKeys {
 public:
  explicit ValidKeys(const std::vector<AttachmentKey>& valid) {
    for (const AttachmentKey& key : valid) {
      with_ifname_.emplace(key.container_id, key.ifname);
      containers_.insert(key.container_id);
    }
  }

  [[nodiscard]] bool has(const AttachmentKey& key) const {
    return key.ifname.empty() ? containers_.contains(key.container_id)
                              : with_ifname_.contains({key.container_id, key.ifname});
  }

 private:
  std::set<std::pair<std::string, std::string>> with_ifname_;
  std::set<std::string> containers_;
};

// One lease of each attachment, which ends whole, so that one judgement must do for it: one with a
// namespace on record, if any has.
std::vector<std::size_t> one_of_each_attachment(const std::vector<Lease>& leases) {
  std::vector<std::size_t> order(leases.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_partition(order.begin(), order.end(),
                        [&](std::size_t index) { return leases[index].presence.netns_inode != 0; });
  std::map<AttachmentKey, std::vector<std::size_t>> known;
  std::vector<std::size_t> chosen;
  for (const std::size_t index : order) {
    std::vector<std::size_t>& siblings = known[leases[index].key];
    if (std::all_of(siblings.begin(), siblings.end(), [&](std::size_t sibling) {
          return same_namespace(leases[sibling].presence, leases[index].presence) == Same::kNo;
        })) {
      siblings.push_back(index);
      chosen.push_back(index);
    }
  }
  return chosen;
}

}  // namespace

void Leases::gc(const std::string& network_name, const std::vector<AttachmentKey>& valid) const {
  const Walk walk(*host_);  // before the lock
  const auto written = last_written(data_dir_);
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return;
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = NetworkTable(transaction).find(network_name);
  if (!network) {
    return;
  }
  const store::Moment now = moment();
  refuse_another_machines(transaction, *host_, data_dir_, written, now);
  EndedNotes notes(data_dir_);
  static_cast<void>(notes.apply(transaction, now));
  const ValidKeys valid_keys(valid);
  const LeaseTable table(transaction);
  const std::vector<Lease> leases = table.all(network);
  Judge judge = judge_of_store(transaction, *host_, now.boot_id, walk);
  const std::vector<Judgement> judgements = judge.all(holders_of(leases), &walk);
  std::optional<Walk> after;  // the names that were missed were looked at
  for (const std::size_t index : one_of_each_attachment(leases)) {
    const Lease& lease = leases[index];
    if (valid_keys.has(lease.key)) {
      continue;
    }
    const std::string what = "GC " + network_name + ": " + describe(lease);
    Judgement judgement = judgements[index];
    if (judgement.liveness == Liveness::kGone) {
      // A process may have come in, and the name have gone, while the lock was waited for.
      if (!after) {
        after.emplace(*host_);
      }
      judgement = judge.with(&*after, holder_of(lease));
    }
    // No namespace was ever recorded: there is only the runtime's word.
    const bool has_no_namespace = judgement.doubt == Doubt::kNothingRecorded;
    if (judgement.liveness == Liveness::kAlive ||
        (judgement.liveness == Liveness::kDoubt && !has_no_namespace)) {
      log_->write(LogLevel::kWarning,
                  what + " is not among the valid attachments, and is kept: " +
                      (judgement.liveness == Liveness::kAlive
                           ? "its network namespace is alive"
                           : "it may be alive. " + std::string(what_settles(judgement.doubt))));
      continue;
    }
    for (const Lease& ended :
         end_attachment(transaction, *network, lease, now, store::Ending::kGc)) {
      log_->write(LogLevel::kInfo, what + ": " + ended.address.to_string() + " ended");
    }
  }
  transaction.commit();
  notes.remove();
}

std::vector<Examined> Leases::sweep(const SweepOptions& wanted) const {
  const Walk walk = Walk::twice(*host_, *clock_);  // before the lock
  const host::CniCache cached = host::read_cni_cache(places_.cni_caches, wanted.network);
  const auto written = last_written(data_dir_);
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  Transaction transaction = store->begin();
  const store::Moment now = moment();
  const Log silent(*clock_);
  refuse_another_machines(transaction, *host_, data_dir_, written, now);
  EndedNotes notes(data_dir_);
  static_cast<void>(notes.apply(transaction, now));
  const Judge judge = judge_of_store(transaction, *host_, now.boot_id, walk);
  std::vector<Examined> all;
  for (const Network& network : NetworkTable(transaction).all()) {
    if (!wanted.network.empty() && network.name != wanted.network) {
      continue;
    }
    Reclaimer reclaimer(
        transaction, network, judge,
        {.host = host_, .walk = &walk, .now = &now, .log = wanted.dry_run ? &silent : log_});
    std::vector<Examined> examined =
        reclaimer.sweep({.cached = &cached, .ends_other_views = wanted.ends_other_views});
    std::move(examined.begin(), examined.end(), std::back_inserter(all));
  }
  if (!wanted.dry_run) {
    transaction.commit();
    notes.remove();
  }
  return all;
}

void Leases::reclaim_due(const std::string& network_name) const {
  const Walk walk = Walk::twice(*host_, *clock_);
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return;
  }
  Transaction transaction = store->begin();
  const std::optional<Network> network = NetworkTable(transaction).find(network_name);
  if (!network) {
    return;
  }
  const store::Moment now = moment();
  Reclaimer(transaction, *network, judge_of_store(transaction, *host_, now.boot_id, walk),
            {.host = host_, .walk = &walk, .now = &now, .log = log_})
      .reclaim_due();
  transaction.commit();
}

}  // namespace podlease::ipam
