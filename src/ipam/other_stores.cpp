#include "other_stores.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "liveness.h"
#include "podlease/base/error.h"
#include "podlease/ipam/networks.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/note_table.h"
#include "podlease/store/registry.h"
#include "podlease/store/store.h"

namespace podlease::ipam {
namespace {

using store::Lease;
using store::LeaseTable;
using store::NetworkTable;
using store::NoteTable;

bool is_same_folder(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::error_code unknown;
  return a == b || (std::filesystem::equivalent(a, b, unknown) && !unknown);
}

std::string new_token(const store::Moment& now) {
  static int serial = 0;
  return now.boot_id + "." + std::to_string(now.at.since_boot.count()) + "." +
         std::to_string(getpid()) + "." + std::to_string(++serial);
}

bool may_share_wire(const store::Network& other, const std::vector<std::string>& wires) {
  return other.wires.empty() || wires.empty() ||
         std::any_of(wires.begin(), wires.end(), [&](const std::string& wire) {
           return std::find(other.wires.begin(), other.wires.end(), wire) != other.wires.end();
         });
}

std::vector<Lease> leases_of_others(store::Transaction& transaction, const CopyOptions& options) {
  std::vector<Lease> leases;
  Judge judge(*options.host, options.host->boot_id());
  WalkOnDemand walk(*options.host);
  const auto may_live = [&](const Lease& lease) {
    return walk.judge(judge, holder_of(lease)).liveness == Liveness::kAlive;
  };
  for (const store::Network& other : NetworkTable(transaction).all()) {
    if (other.name == options.network || !may_share_wire(other, options.wires)) {
      continue;
    }
    for (Lease& lease : LeaseTable(transaction).all(other)) {
      if (options.offer->range_of(lease.address.address()) != nullptr && may_live(lease)) {
        leases.push_back(std::move(lease));
      }
    }
  }
  return leases;
}

std::vector<StoreCopy::Shared> shared_in(store::Transaction& transaction,
                                         const store::Network& network) {
  std::vector<StoreCopy::Shared> shared;
  if (network.handover == store::Handover::kShared) {
    const store::HostLocalTable table(transaction);
    for (store::WatchedFolder& folder : table.folders(network)) {
      std::vector<store::AdoptedFile> files = table.files(network, folder.folder);
      shared.push_back({.folder = std::move(folder), .files = std::move(files)});
    }
  }
  return shared;
}

// An export is of the network, wherever its leases are.
void go_on_sharing(store::Transaction& transaction, store::Network& network,
                   const std::vector<StoreCopy::Shared>& shared) {
  const store::HostLocalTable table(transaction);
  for (const StoreCopy::Shared& one : shared) {
    table.set_folder(network, one.folder);
    table.set_files(network, one.folder.folder, one.files);
  }
  if (!shared.empty()) {
    NetworkTable(transaction).set_handover(network, store::Handover::kShared);
  }
}

// Nothing if the store does not concern the network.
std::optional<StoreCopy> copy_from(const std::filesystem::path& folder, const CopyOptions& options,
                                   const store::Moment& now) {
  std::optional<store::Store> store = store::Store::open_existing(
      {.folder = folder, .registry = {}, .lock_timeout = options.lock_timeout});
  if (!store) {
    return std::nullopt;
  }
  store::Transaction transaction = store->begin();
  StoreCopy copy{.folder = folder};
  const auto network = NetworkTable(transaction).find(options.network);
  if (network) {
    copy.has_network = true;
    copy.leases = LeaseTable(transaction).all(network);
    copy.shared = shared_in(transaction, *network);
  }
  if (const std::optional<Moved> moved = moved_to(transaction, options.network)) {
    copy.moved_on = moved->folder;
    // Each says that the network went to the other one, as after ADDs that failed: nothing tells
    // which of them is right about a lease that the other one has not.
    if (is_same_folder(moved->folder, options.data_dir)) {
      copy.has_network = false;
    }
  }
  if (options.moved && (!network || is_same_folder(copy.moved_on, options.data_dir))) {
    return std::nullopt;  // it never took the network over: whoever was about to was cut short
  }
  copy.is_successor = options.moved.has_value();
  copy.others = leases_of_others(transaction, options);
  const bool knows_ranges = !options.offer->sets.empty();
  const bool has_ours =
      std::any_of(copy.leases.begin(), copy.leases.end(), [&](const Lease& lease) {
        return !knows_ranges || options.offer->range_of(lease.address.address()) != nullptr;
      });
  if (!options.moved && !has_ours) {
    copy.leases.clear();
    copy.shared.clear();
    return copy.others.empty() ? std::nullopt : std::optional(std::move(copy));
  }
  if (!options.dry_run) {
    NoteTable(transaction)
        .set(NoteTable::Kind::kMovedTo, options.network,
             new_token(now) + "\n" + options.data_dir.string());
    transaction.commit();
  }
  return copy;
}

// What a store knew is past where the network had gone on in another one that was copied too.
void drop_stale(std::vector<StoreCopy>& copies) {
  for (StoreCopy& copy : copies) {
    const bool is_stale = !copy.moved_on.empty() &&
                          std::any_of(copies.begin(), copies.end(), [&](const StoreCopy& other) {
                            return &other != &copy && other.has_network &&
                                   is_same_folder(other.folder, copy.moved_on);
                          });
    if (is_stale) {
      copy.leases.clear();
      copy.shared.clear();
    }
  }
}

std::vector<StoreCopy> copy_from_folders(std::vector<std::filesystem::path> folders,
                                         const CopyOptions& options, const store::Moment& now,
                                         const Log& log) {
  std::vector<StoreCopy> copies;
  // The list grows: a network may have gone on from store to store.
  for (std::size_t index = 0; index < folders.size(); ++index) {
    const std::filesystem::path folder = folders[index];
    if (is_same_folder(folder, options.data_dir) ||
        std::any_of(copies.begin(), copies.end(),
                    [&](const StoreCopy& copy) { return is_same_folder(copy.folder, folder); })) {
      continue;
    }
    try {
      if (std::optional<StoreCopy> copy = copy_from(folder, options, now)) {
        if (!copy->moved_on.empty()) {
          folders.push_back(copy->moved_on);
        }
        copies.push_back(*std::move(copy));
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kBusy) {
        throw;
      }
      log.write(LogLevel::kWarning, "network " + options.network + ": the store in " +
                                        folder.string() + " cannot be read: " + error.what());
    }
  }
  drop_stale(copies);
  return copies;
}

}  // namespace

std::optional<Moved> moved_to(store::Transaction& transaction, const std::string& network) {
  const std::optional<std::string> note =
      NoteTable(transaction).find(NoteTable::Kind::kMovedTo, network);
  const std::size_t line = note ? note->find('\n') : std::string::npos;
  if (line == std::string::npos) {
    return std::nullopt;
  }
  return Moved{.folder = note->substr(line + 1), .token = note->substr(0, line)};
}

std::vector<store::Network> networks_of(store::Transaction& transaction) {
  std::vector<store::Network> networks = NetworkTable(transaction).all();
  std::erase_if(networks, [&](const store::Network& network) {
    const std::optional<Moved> moved = moved_to(transaction, network.name);
    std::error_code unknown;
    // Where that store is gone, what is here is all that is left.
    return moved && std::filesystem::exists(moved->folder / "podlease.db", unknown);
  });
  return networks;
}

bool has_successor(const std::vector<StoreCopy>& copies) {
  return std::any_of(copies.begin(), copies.end(),
                     [](const StoreCopy& copy) { return copy.is_successor; });
}

std::vector<StoreCopy> copy_from_stores(const CopyOptions& options, const store::Moment& now,
                                        const Log& log) {
  std::vector<StoreCopy> copies;
  if (options.moved) {
    copies = copy_from_folders({options.moved->folder}, options, now, log);
  }
  if (!has_successor(copies)) {
    CopyOptions any = options;
    any.moved.reset();
    copies = copy_from_folders(store::Registry(options.registry).folders(), any, now, log);
  }
  return copies;
}

std::vector<Found> adopt_copies(store::Transaction& transaction, store::Network& network,
                                const std::vector<StoreCopy>& copies, const store::Moment& now) {
  const LeaseTable leases(transaction);
  std::vector<Found> found;
  if (const std::optional<Moved> moved = moved_to(transaction, network.name)) {
    std::set<std::pair<AttachmentKey, net::Address>> there;
    for (const StoreCopy& copy : copies) {
      for (const Lease& lease : copy.leases) {
        there.emplace(lease.key, lease.address.address());
      }
    }
    // Without a successor that store is gone, or never took over: what is here counts.
    for (const Lease& lease : has_successor(copies) ? leases.all(network) : std::vector<Lease>{}) {
      if (!there.contains({lease.key, lease.address.address()})) {
        leases.end(lease, now, store::Ending::kMoved);
      }
    }
    NoteTable(transaction).forget(NoteTable::Kind::kMovedTo, network.name);
  }
  const auto others_network = [&](const std::string& name) {
    store::Network other = NetworkTable(transaction).ensure(name);
    NetworkTable(transaction).set_wires(other, network.wires);
    return other;
  };
  for (const StoreCopy& copy : copies) {
    for (const Lease& lease : copy.others) {
      const store::Network other = others_network(lease.key.network);
      if (!leases.at_in_space(network, lease.address.address()) &&
          !leases.at_in_space(other, lease.address.address())) {
        leases.insert(other, lease);
      }
    }
    go_on_sharing(transaction, network, copy.shared);
    for (const Lease& lease : copy.leases) {
      const bool is_free = !leases.at_in_space(network, lease.address.address());
      if (is_free) {
        leases.insert(network, lease);
      }
      found.push_back({.lease = lease,
                       .adopted = is_free,
                       .evidence = "leased in the store " + copy.folder.string()});
    }
  }
  return found;
}

}  // namespace podlease::ipam
