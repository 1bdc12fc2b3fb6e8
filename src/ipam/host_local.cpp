#include "host_local.h"

#include <algorithm>

#include "adopted.h"
#include "liveness.h"
#include "podlease/base/error.h"
#include "podlease/host/cni_cache.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {
namespace {

using host::HostLocalEntry;
using host::HostLocalFolder;
using host::HostLocalState;
using store::AdoptedFile;
using store::Lease;

// An orphan, a file without a container, belongs to an ADD that died on its way: nobody has its
// address.
std::vector<AdoptedFile> files_of(const HostLocalState& state) {
  std::vector<AdoptedFile> files;
  for (const HostLocalEntry& entry : state.entries) {
    if (!entry.container_id.empty()) {
      files.push_back({.address = entry.address,
                       .container_id = entry.container_id,
                       .ifname = entry.ifname.value_or("")});
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<AdoptedFile> difference(const std::vector<AdoptedFile>& a,
                                    const std::vector<AdoptedFile>& b) {
  std::vector<AdoptedFile> only_a;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
  return only_a;
}

// As host-local's own DEL matches them.
bool is_of(const AdoptedFile& file, const AttachmentKey& key) {
  return file.container_id == key.container_id &&
         (file.ifname.empty() || file.ifname == key.ifname);
}

bool is_holder(const Lease& lease, const AdoptedFile& file) {
  return lease.key.container_id == file.container_id &&
         (lease.key.ifname == file.ifname || lease.key.ifname.empty() || file.ifname.empty());
}

Lease to_lease(const store::Network& network, const AdoptedFile& file, const pools::Offer& offer,
               const store::Moment& now) {
  Lease lease =
      lease_of({.network = network.name, .container_id = file.container_id, .ifname = file.ifname},
               file.address, offer, now);
  lease.source = kFromHostLocal;
  return lease;
}

// Where host-local, which reserved `last` last, would look next. Nothing: at the very beginning.
std::optional<net::Address> next_after(net::Address last, const pools::Offer& offer) {
  for (const pools::PoolRangeSet& set : offer.sets) {
    for (auto range = set.ranges.begin(); range != set.ranges.end(); ++range) {
      if (!range->range.contains(last)) {
        continue;
      }
      if (last != range->range.last()) {
        return last.next();
      }
      ++range;
      return range == set.ranges.end() ? std::nullopt : std::optional(range->range.first());
    }
  }
  return std::nullopt;
}

// Leases what `file` says, unless its DEL has been here since.
void take(store::Transaction& transaction, const store::Network& network, const AdoptedFile& file,
          const HostLocalFolder& folder, const pools::Offer& offer, const store::Moment& now) {
  if (!store::HostLocalTable(transaction)
           .has_ended(
               {.network = network.name, .container_id = file.container_id, .ifname = file.ifname},
               folder.written_at(file.address))) {
    store::LeaseTable(transaction).insert(network, to_lease(network, file, offer, now));
  }
}

// What to make of a file of host-local, which gave rise to `lease`.
Found judge(store::Transaction& transaction, Lease lease, const HostLocalFolder& folder,
            const Inventory& inventory) {
  const net::Address address = lease.address.address();
  const auto written = folder.written_at(address);
  const Inventory::Opinion opinion =
      inventory.opinion_of(address, lease.key.container_id, lease.key.ifname, written);
  const std::string file = (folder.path() / address.to_string()).string();
  if (store::HostLocalTable(transaction).has_ended(lease.key, written)) {
    return {.lease = std::move(lease), .adopted = false, .evidence = file + ": its DEL has come"};
  }
  lease.key.ifname = opinion.ifname;
  lease.pod = opinion.pod;
  lease.presence = opinion.presence;
  return {.lease = std::move(lease),
          .adopted = !opinion.ended,
          .evidence = file + ": " + opinion.evidence};
}

// Reports whether the holder of a lease whose file of host-local vanished has not ended, but lost
// its file: its namespace lives, and shows the address or is still in libcni's cache; or it has
// lost its name besides, and may live by its processes or where this caller does not look.
bool lost_its_file(const Lease& lease, const HostLocal::World& world) {
  const store::Presence& presence = lease.presence;
  Judge judge(*world.host, world.now->boot_id);
  const Judgement named = judge.by_name(holder_of(lease));
  if (named.liveness != Liveness::kAlive) {
    const Walk walk(*world.host);
    const Judgement judgement = judge.with(&walk, holder_of(lease));
    return judgement.liveness == Liveness::kAlive || judgement.doubt == Doubt::kOtherView;
  }
  const auto inside = world.host->addresses_in(
      {.path = presence.netns,
       .id = {.device = presence.netns_device, .inode = presence.netns_inode}});
  const net::Address address = lease.address.address();
  if (inside && std::any_of(inside->begin(), inside->end(), [&](const host::PodAddress& one) {
        return one.address.address() == address;
      })) {
    return true;
  }
  const host::CniCache cache = host::read_cni_cache(world.caches, lease.key.network);
  return std::any_of(cache.attachments.begin(), cache.attachments.end(),
                     [&](const host::CachedAttachment& attachment) {
                       return attachment.key.container_id == lease.key.container_id &&
                              attachment.has(address);
                     });
}

// What is noted of a folder: which lock file it had, a blank, and its stamp if that vouches for
// what was read. It does not where the folder changed so lately that its next change might leave
// the same one.
std::string note_of(const HostLocalFolder& folder, const store::Moment& now) {
  return folder.lock_file().value_or("-") + " " +
         (folder.settled(now.at) ? folder.stamp().value_or("") : "");
}

std::string_view noted_lock_file(std::string_view note) {
  return note.substr(0, note.find(' '));
}

std::string_view noted_stamp(std::string_view note) {
  return note.substr(std::min(note.find(' '), note.size() - 1) + 1);
}

std::string note_in(store::Transaction& transaction, const store::Network& network,
                    const HostLocalFolder& folder) {
  for (const store::WatchedFolder& source : store::HostLocalTable(transaction).folders(network)) {
    if (source.folder == folder.path()) {
      return source.stamp;
    }
  }
  return {};
}

Error conflict(const store::Network& network, const AdoptedFile& file,
               const HostLocalFolder& folder) {
  return Error(ErrorKind::kConfig,
               "network " + network.name + ": host-local has leased " + file.address.to_string() +
                   " to container " + file.container_id + " after podlease took the network over",
               "two plugins lease from one range: make every configuration of this network use "
               "podlease, then remove " +
                   (folder.path() / file.address.to_string()).string() +
                   " once its container has ended");
}

// Reports whether a file says nothing about a network that is podlease's alone: host-local may
// serve another one of this name, with other addresses.
bool is_of_another(store::Transaction& transaction, const store::Network& network,
                   const AdoptedFile& file, const pools::Offer& offer) {
  return network.handover == store::Handover::kOwned && offer.range_of(file.address) == nullptr &&
         !store::LeaseTable(transaction).at(network, file.address);
}

void record_files(store::Transaction& transaction, const store::Network& network,
                  const HostLocalFolder& folder, const std::vector<AdoptedFile>& files,
                  const store::Moment& now) {
  store::HostLocalTable(transaction).set_files(network, folder.path().string(), files);
  store::HostLocalTable(transaction)
      .set_folder(network, {.folder = folder.path().string(), .stamp = note_of(folder, now)});
}

}  // namespace

std::vector<HostLocalEntry> to_entries(const std::vector<Lease>& leases) {
  std::vector<HostLocalEntry> entries;
  entries.reserve(leases.size());
  for (const Lease& lease : leases) {
    entries.push_back(
        {.address = lease.address.address(),
         .container_id = lease.key.container_id,
         .ifname = lease.key.ifname.empty() ? std::nullopt : std::optional(lease.key.ifname)});
  }
  return entries;
}

void record_folder(store::Transaction& transaction, const store::Network& network,
                   const HostLocalFolder& folder, const HostLocalState& state,
                   const store::Moment& now) {
  record_files(transaction, network, folder, files_of(state), now);
}

HostLocal::HostLocal(const std::string& network, const Places& places,
                     const std::filesystem::path& data_dir) {
  for (const std::filesystem::path& root : {places.host_local, data_dir}) {
    watch(root / network);
  }
}

bool HostLocal::watch(const std::filesystem::path& path) {
  const HostLocalFolder folder(path);
  // A network may be called like a file of the store, which lies in the same place.
  if (!folder.stamp() || !std::filesystem::is_directory(path)) {
    return false;
  }
  // One folder by two paths would be waited for by itself: each descriptor has a lock of its own.
  if (std::any_of(folders_.begin(), folders_.end(), [&](const HostLocalFolder& other) {
        return std::filesystem::equivalent(other.path(), path);
      })) {
    return false;
  }
  folders_.push_back(folder);
  return true;
}

bool HostLocal::watch_exported(store::Transaction& transaction, const store::Network& network) {
  bool news = false;
  if (network.handover == store::Handover::kShared) {
    for (const store::WatchedFolder& source : store::HostLocalTable(transaction).folders(network)) {
      news = watch(source.folder) || news;
    }
  }
  return news;
}

bool HostLocal::is_known(store::Transaction& transaction, const store::Network& network) const {
  if (folders_.empty()) {
    return true;
  }
  if (network.handover == store::Handover::kShared) {
    return false;
  }
  const std::vector<store::WatchedFolder> sources =
      store::HostLocalTable(transaction).folders(network);
  return std::all_of(folders_.begin(), folders_.end(), [&](const HostLocalFolder& folder) {
    return std::any_of(sources.begin(), sources.end(), [&](const store::WatchedFolder& source) {
      const std::string_view stamp = noted_stamp(source.stamp);
      return source.folder == folder.path() && !stamp.empty() && stamp == folder.stamp();
    });
  });
}

HostLocal::Locks HostLocal::lock(Milliseconds timeout) const {
  Locks locks;
  for (const HostLocalFolder& folder : folders_) {
    locks.push_back(folder.lock(timeout));
  }
  return locks;
}

std::optional<HostLocal::Locks> HostLocal::try_lock() const {
  Locks locks;
  for (const HostLocalFolder& folder : folders_) {
    std::optional<UniqueFd> lock = folder.try_lock();
    if (!lock) {
      return std::nullopt;
    }
    locks.push_back(*std::move(lock));
  }
  return locks;
}

std::vector<Found> HostLocal::adopt_files(store::Transaction& transaction,
                                          const store::Network& network,
                                          const HostLocalFolder& folder,
                                          const std::vector<AdoptedFile>& files,
                                          const pools::Offer& offer, const store::Moment& now,
                                          const Inventory& inventory) {
  std::vector<Found> all;
  for (const AdoptedFile& file : files) {
    // Two folders may name one address; the first was host-local's default place.
    if (!store::LeaseTable(transaction).at_in_space(network, file.address)) {
      all.push_back(judge(transaction, to_lease(network, file, offer, now), folder, inventory));
      if (all.back().adopted) {
        store::LeaseTable(transaction).insert(network, all.back().lease);
      }
    }
  }
  return all;
}

std::vector<Found> HostLocal::adopt_in(store::Transaction& transaction,
                                       const store::Network& network, const pools::Offer& added,
                                       const store::Moment& now, const Inventory& inventory) const {
  std::vector<Found> all;
  for (const HostLocalFolder& folder : folders_) {
    const store::HostLocalTable table(transaction);
    std::vector<AdoptedFile> known = table.files(network, folder.path().string());
    std::vector<AdoptedFile> files = difference(files_of(folder.read()), known);
    std::erase_if(files,
                  [&](const AdoptedFile& file) { return added.range_of(file.address) == nullptr; });
    append(all, adopt_files(transaction, network, folder, files, added, now, inventory));
    known.insert(known.end(), files.begin(), files.end());
    table.set_files(network, folder.path().string(), known);
  }
  return all;
}

std::vector<Found> HostLocal::adopt(store::Transaction& transaction, store::Network& network,
                                    const pools::Offer& offer, const store::Moment& now,
                                    const Inventory& inventory) const {
  std::vector<Found> all;
  std::vector<net::Address> hints;
  for (const HostLocalFolder& folder : folders_) {
    const HostLocalState state = folder.read();
    append(all, adopt_files(transaction, network, folder, files_of(state), offer, now, inventory));
    for (const host::HostLocalCursor& cursor : state.cursors) {
      if (const std::optional<net::Address> next = next_after(cursor.last_reserved, offer)) {
        hints.push_back(*next);
      }
    }
    record_folder(transaction, network, folder, state, now);
  }
  if (!hints.empty()) {
    store::NetworkTable(transaction).set_hints(network, std::move(hints));
  }
  return all;
}

void HostLocal::end_vanished(store::Transaction& transaction, const store::Network& network,
                             const std::vector<AdoptedFile>& vanished, const World& world) const {
  for (const AdoptedFile& file : vanished) {
    const std::optional<Lease> lease = store::LeaseTable(transaction).at(network, file.address);
    if (!lease || !is_holder(*lease, file)) {
      continue;
    }
    const std::string what = "network " + network.name + ": " + lease->address.to_string() +
                             " of container " + file.container_id;
    if (lost_its_file(*lease, world)) {
      world.log->write(LogLevel::kWarning,
                       what + ": host-local's file is gone, but the pod lives: the lease is kept");
      continue;
    }
    world.log->write(LogLevel::kInfo, what + ": host-local ended it");
    store::LeaseTable(transaction).end(*lease, *world.now, store::Ending::kHostLocal);
  }
}

bool HostLocal::take_appeared(store::Transaction& transaction, const store::Network& network,
                              const Changes& changes, const pools::Offer& offer, const World& world,
                              Newcomers newcomers) const {
  const store::LeaseTable leases(transaction);
  bool was_called = false;
  for (const AdoptedFile& file : changes.appeared) {
    const std::optional<Lease> lease = leases.at(network, file.address);
    if (lease && is_holder(*lease, file)) {
      continue;
    }
    if (is_of_another(transaction, network, file, offer)) {
      continue;
    }
    const bool is_owned = network.handover == store::Handover::kOwned;
    if (is_owned && (newcomers == Newcomers::kRefuse || lease)) {
      throw conflict(network, file, *changes.folder);
    }
    if (lease) {
      leases.end(*lease, *world.now, store::Ending::kHostLocal);
    }
    // A container whose former file vanished was started again, after the DEL that was noted.
    if (std::any_of(
            changes.vanished.begin(), changes.vanished.end(),
            [&](const AdoptedFile& former) { return former.container_id == file.container_id; })) {
      leases.insert(network, to_lease(network, file, offer, *world.now));
    } else {
      take(transaction, network, file, *changes.folder, offer, *world.now);
    }
    was_called = was_called || leases.at(network, file.address);
  }
  return was_called;
}

void HostLocal::follow(store::Transaction& transaction, store::Network& network,
                       const pools::Offer& offer, const World& world, Newcomers newcomers) const {
  for (const HostLocalFolder& folder : folders_) {
    const HostLocalState state = folder.read();
    std::vector<AdoptedFile> files = files_of(state);
    const std::vector<AdoptedFile> known =
        store::HostLocalTable(transaction).files(network, folder.path().string());
    const Changes changes{.folder = &folder,
                          .vanished = difference(known, files),
                          .appeared = difference(files, known)};
    // Files that go together with the lock file were not removed by host-local: no pod has ended.
    if (folder.lock_file() == noted_lock_file(note_in(transaction, network, folder))) {
      end_vanished(transaction, network, changes.vanished, world);
    }
    const bool was_called = take_appeared(transaction, network, changes, offer, world, newcomers);
    // host-local has leased, and now podlease does again: the way back has been taken in both
    // directions. A file that only vanished says less: pods are deleted with the configuration
    // that they were started with.
    if (was_called && network.handover == store::Handover::kShared) {
      store::NetworkTable(transaction).set_handover(network, store::Handover::kOwned);
    }
    // If the ranges are ever such that it matters, they are looked at as new ones.
    std::erase_if(files, [&](const AdoptedFile& file) {
      return !std::binary_search(known.begin(), known.end(), file) &&
             is_of_another(transaction, network, file, offer);
    });
    record_files(transaction, network, folder, files, *world.now);
  }
  store::HostLocalTable(transaction)
      .forget_ended(network.name);  // all that stands there now is known
}

void HostLocal::mirror(store::Transaction& transaction, const store::Network& network,
                       const store::Moment& now) const {
  const std::vector<Lease> leases = store::LeaseTable(transaction).all(network);
  for (const HostLocalFolder& folder : folders_) {
    HostLocalState state = folder.read();
    std::erase_if(state.entries, [&](const HostLocalEntry& entry) {
      return !entry.container_id.empty() ||
             store::LeaseTable(transaction).at(network, entry.address);
    });
    const std::vector<HostLocalEntry> entries = to_entries(leases);
    state.entries.insert(state.entries.end(), entries.begin(), entries.end());
    std::sort(state.entries.begin(), state.entries.end());
    folder.prepare();  // where it was cleared
    folder.write(state);
    record_folder(transaction, network, folder, state, now);
  }
}

bool HostLocal::holds(const AttachmentKey& key) const {
  return std::any_of(folders_.begin(), folders_.end(), [&](const HostLocalFolder& folder) {
    const std::vector<AdoptedFile> files = files_of(folder.read());
    return std::any_of(files.begin(), files.end(),
                       [&](const AdoptedFile& file) { return is_of(file, key); });
  });
}

void HostLocal::forget(store::Transaction& transaction, const store::Network& network,
                       const AttachmentKey& key) const {
  for (const HostLocalFolder& folder : folders_) {
    for (const AdoptedFile& file : files_of(folder.read())) {
      if (!is_of(file, key)) {
        continue;
      }
      // Unless it was started again meanwhile.
      const std::optional<Lease> lease = store::LeaseTable(transaction).at(network, file.address);
      if (!lease || !is_holder(*lease, file)) {
        folder.remove(file.address);
      }
    }
  }
}

}  // namespace podlease::ipam
