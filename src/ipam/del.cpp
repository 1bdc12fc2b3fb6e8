// DEL (CNI specification, section "DEL"): it ends what an attachment holds, wherever on this node
// that is, and asks nobody.

#include <algorithm>
#include <utility>

#include "adopted.h"
#include "ended_notes.h"
#include "host_local.h"
#include "liveness.h"
#include "machine_note.h"
#include "other_stores.h"
#include "podlease/base/error.h"
#include "podlease/host/cni_cache.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/registry.h"

namespace podlease::ipam {

using store::Lease;
using store::LeaseTable;
using store::Network;
using store::NetworkTable;
using store::Store;
using store::Transaction;

namespace {

// For host-local's locks, which it may hold while it does something else.
constexpr Milliseconds kPatienceWithHostLocal{2000};

// Where host-local has files of a network too; empty if it is not shared.
std::vector<std::filesystem::path> shared_folders(const Transaction& transaction,
                                                  const Network& network) {
  std::vector<std::filesystem::path> folders;
  if (network.handover == store::Handover::kShared) {
    for (const store::WatchedFolder& folder : store::HostLocalTable(transaction).folders(network)) {
      folders.emplace_back(folder.folder);
    }
  }
  return folders;
}

}  // namespace

// One DEL, store by store.
class Leases::Deleting {
 public:
  Deleting(const Leases& leases, const DelRequest& request)
      : leases_(&leases), request_(&request) {}

  [[nodiscard]] std::vector<Lease> run() {
    const std::filesystem::path& own = leases_->data_dir_;
    try {
      delete_in(own, leases_->lock_timeout_);
    } catch (const store::DamagedError& error) {
      // Who holds its addresses is learnt anew from the machine before the next lease.
      if (!store::set_aside_if_damaged(leases_->options(own))) {
        failure_ = error;
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kBusy) {
        throw;
      }
      log_warning(error);
      delete_once_more(own);
    }
    if (moved_) {
      delete_in_other(moved_->folder);
    }
    if (ended_.empty() ? !is_settled_here_
                       : std::all_of(ended_.begin(), ended_.end(), was_adopted)) {
      delete_in_others();
    }
    if (ended_.empty() && failure_) {
      throw Error(*failure_);
    }
    if (ended_.empty() && !request_->key.network.empty()) {
      note_early_end();
    }
    for (const Lease& lease : ended_) {
      leases_->log_->write(LogLevel::kInfo,
                           "DEL " + lease.key.network + " " + request_->key.container_id + " " +
                               request_->key.ifname + ": " + lease.address.to_string());
    }
    return std::move(ended_);
  }

 private:
  // On a full disk the log cannot grow, and the call that failed has seen to it that the next one
  // folds it first. Whatever else is wrong with this store, the lease may be in another one.
  void delete_once_more(const std::filesystem::path& own) {
    try {
      delete_in(own, leases_->lock_timeout_);
    } catch (const Error& error) {
      failure_ = error;
    }
  }

  void log_warning(const Error& error) const {
    leases_->log_->write(LogLevel::kWarning,
                         "DEL " + request_->key.container_id + ": " + error.what());
  }

  void delete_in(const std::filesystem::path& folder, Milliseconds timeout) {
    Store::Options options = leases_->options(folder);
    options.lock_timeout = timeout;
    const auto written = last_written(folder);
    std::optional<Store> store = Store::open_for_release(options);
    if (!store) {
      return;
    }
    Transaction transaction = store->begin();
    const AttachmentKey& key = request_->key;
    const std::optional<Network> network =
        key.network.empty() ? std::nullopt : NetworkTable(transaction).find(key.network);
    if (folder == leases_->data_dir_) {
      // Where the network is known, this is the store that its leases are in, or went on from.
      is_settled_here_ = network.has_value();
      moved_ = key.network.empty() || store->is_newer() ? std::nullopt
                                                        : moved_to(transaction, key.network);
    }
    const store::Moment now = leases_->moment();
    EndedNotes notes(folder);
    const bool changed = notes.apply(transaction, now);
    const std::vector<Lease> leases = held_in(transaction, network);
    found_ = !leases.empty();
    if (leases.empty()) {
      if (changed) {
        transaction.commit();
        notes.remove();
      }
      return;
    }
    const bool knows_all = !store->is_newer();
    // Whoever's it is, DEL is not refused. But what it writes must not look like another machine's.
    if (knows_all) {
      static_cast<void>(settle_machine(transaction, *leases_->host_, written, now));
    }
    for (const Lease& lease : leases) {
      LeaseTable(transaction).end(lease, now, store::Ending::kDel);
    }
    const std::vector<std::filesystem::path> shared = network && knows_all
                                                          ? shared_folders(transaction, *network)
                                                          : std::vector<std::filesystem::path>{};
    transaction.commit();
    notes.remove();
    store->close();
    ended_.insert(ended_.end(), leases.begin(), leases.end());
    if (!shared.empty()) {
      end_in_host_local(shared, folder);
    }
  }

  // What the attachment holds in one store.
  [[nodiscard]] std::vector<Lease> held_in(Transaction& transaction,
                                           const std::optional<Network>& network) const {
    const AttachmentKey& key = request_->key;
    const LeaseTable table(transaction);
    std::vector<Lease> leases;
    if (key.network.empty()) {
      leases = table.of(key.container_id, key.ifname);
    } else if (network) {
      leases = table.of(*network, key.container_id, key.ifname);
    }
    if (leases.empty() && (network || key.network.empty())) {
      const store::Presence presence = request_->netns.empty()
                                           ? store::Presence{}
                                           : presence_of(*leases_->host_, request_->netns);
      leases = network ? adopted_in(presence, key.ifname, transaction, *network)
                       : adopted_in(presence, key.ifname, transaction);
    }
    // A network may have been renamed since. Of another one only what is this very pod's ends, or
    // what is in this very namespace: cnitool has one container id for all networks of one.
    if (leases.empty() && !request_->pod_uid.empty()) {
      leases = table.of(key.container_id, key.ifname);
      std::erase_if(leases, [&](const Lease& lease) { return lease.pod.uid != request_->pod_uid; });
    }
    return leases;
  }

  // Where the lease is in that store, or may be, its next holder ends it. Where that cannot be
  // noted, the runtime has to come again.
  void delete_in_other(const std::filesystem::path& folder) {
    found_ = false;
    try {
      delete_in_twice(folder, std::min(leases_->lock_timeout_, patience_));
    } catch (const Error& error) {
      log_warning(error);
      if (error.kind() == ErrorKind::kBusy || found_) {
        note_ended_beside(folder, request_->key, request_->pod_uid, error.what());
      }
    }
  }

  // As on a full disk: the call that failed has seen to it that the next one folds the log first.
  void delete_in_twice(const std::filesystem::path& folder, Milliseconds timeout) {
    try {
      delete_in(folder, timeout);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kBusy || !found_) {
        throw;
      }
      log_warning(error);
      delete_in(folder, timeout);
    }
  }

  // The configuration does not say where the lease is: it is invalid, or was changed.
  void delete_in_others() {
    const std::size_t before = ended_.size();
    for (const std::filesystem::path& folder :
         store::Registry(leases_->places_.registry).folders()) {
      if (folder == leases_->data_dir_ || (moved_ && folder == moved_->folder)) {
        continue;
      }
      const Milliseconds started = leases_->clock_->now().since_boot;
      delete_in_other(folder);
      patience_ -= std::min(patience_, leases_->clock_->now().since_boot - started);
      if (ended_.size() != before) {
        return;
      }
    }
  }

  // Of a shared network host-local would never learn that a pod has ended, once it is podlease that
  // is called for new ones. Only after the lease is gone, as its lock must not be waited for under
  // the store's.
  void end_in_host_local(const std::vector<std::filesystem::path>& folders,
                         const std::filesystem::path& data_dir) const {
    try {
      HostLocal host_local(request_->key.network, leases_->places_, data_dir);
      for (const std::filesystem::path& folder : folders) {
        host_local.watch(folder);
      }
      const HostLocal::Locks locks =
          host_local.lock(std::min(leases_->lock_timeout_, kPatienceWithHostLocal));
      std::optional<Store> store = Store::open_existing(leases_->options(data_dir));
      if (store) {
        Transaction transaction = store->begin();
        if (const auto network = NetworkTable(transaction).find(request_->key.network)) {
          host_local.forget(transaction, *network, request_->key);
        }
      }
    } catch (const Error& error) {
      log_warning(error);  // the next ADD will do it; until then an address is not used
    }
  }

  // A pod that host-local started, or whose store was lost, may end before the first ADD has
  // adopted it, or while that one looks through the machine; then it must not be adopted any more.
  // Of a shared network its file can go at once. Nothing is noted of what neither host-local nor
  // libcni holds: it may be started later.
  void note_early_end() {
    try {
      const std::filesystem::path& own = leases_->data_dir_;
      const HostLocal host_local(request_->key.network, leases_->places_, own);
      const auto cached_at = is_settled_here_
                                 ? std::nullopt
                                 : host::cached_at(leases_->places_.cni_caches, request_->key);
      if (!host_local.present() && !cached_at) {
        return;
      }
      Store store = Store::open(leases_->options(own));
      Transaction transaction = store.begin();
      const auto network = NetworkTable(transaction).find(request_->key.network);
      if (!network) {
        const store::HostLocalTable table(transaction);
        if (host_local.holds(request_->key) ||
            (cached_at && !table.has_ended(request_->key, cached_at))) {
          table.note_ended(request_->key, leases_->clock_->now().wall);
          transaction.commit();
        }
        return;
      }
      const std::vector<std::filesystem::path> shared = shared_folders(transaction, *network);
      transaction.roll_back();
      store.close();
      if (!is_settled_here_) {
        delete_in(own, leases_->lock_timeout_);  // the first ADD has been here meanwhile
      }
      if (ended_.empty() && !shared.empty()) {
        end_in_host_local(shared, own);
      }
    } catch (const Error& error) {
      // Nothing of ours is leased: DEL has succeeded, and an address that stays behind is only a
      // leak.
      log_warning(error);
    }
  }

  const Leases* leases_;
  const DelRequest* request_;
  std::vector<Lease> ended_;
  std::optional<Moved> moved_;
  std::optional<Error> failure_;
  Milliseconds patience_ = kPatienceWithOthers;  // with all of them together
  bool found_ = false;  // the store that was looked at last has leases of the attachment
  bool is_settled_here_ = false;
};

std::vector<Lease> Leases::del(const DelRequest& request) const {
  return Deleting(*this, request).run();
}

}  // namespace podlease::ipam
