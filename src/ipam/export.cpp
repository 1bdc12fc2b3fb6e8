// The way back to host-local: what the command `podlease export` does.

#include <algorithm>
#include <map>

#include "host_local.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"

namespace podlease::ipam {
namespace {

using store::Lease;
using store::Moment;
using store::Network;
using store::Store;
using store::Transaction;

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

// host-local's state, as the leases say it.
host::HostLocalState state_of(const std::vector<Lease>& leases) {
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
  return state;
}

// host-local gives again whatever it is not told of.
void refuse_unless_surveyed(const Network& network) {
  if (network.surveyed.empty()) {
    throw Error(ErrorKind::kConfig,
                "network " + network.name +
                    ": podlease has not asked the machine who lives since the store was put back "
                    "from a copy, written by something else, or made by an older podlease",
                "pods that the store does not know may live: run `podlease adopt` with the "
                "network's configuration, or start a pod of it, and export then");
  }
}

}  // namespace

host::HostLocalState Leases::export_to_host_local(const std::string& network_name,
                                                  const std::filesystem::path& root,
                                                  bool dry_run) const {
  const auto find = [&](std::optional<Store>& store) {
    store = Store::open_existing(options(data_dir_));
    std::optional<Transaction> transaction;
    if (store) {
      transaction.emplace(store->begin());
    }
    if (!transaction || !store::NetworkTable(*transaction).find(network_name)) {
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
    host_local.watch_exported(transaction, *store::NetworkTable(transaction).find(network_name));
  }
  const host::HostLocalFolder folder(root / network_name);
  if (!dry_run) {
    folder.prepare();
  }
  host_local.watch(folder.path());
  const HostLocal::Locks locks = host_local.lock(lock_timeout_);
  std::optional<Store> store;
  Transaction transaction = find(store);
  Network network = *store::NetworkTable(transaction).find(network_name);
  refuse_unless_surveyed(network);
  const Moment now = moment();
  // What host-local did since the last look must not be undone.
  host_local.follow(transaction, network,
                    offer_seen_in(store::LeaseTable(transaction).all(network)),
                    {.host = host_, .caches = places_.cni_caches, .now = &now, .log = log_},
                    HostLocal::Newcomers::kTake);
  host::HostLocalState state = state_of(store::LeaseTable(transaction).all(network));
  if (!dry_run) {
    folder.write(state);
    store::NetworkTable(transaction).set_handover(network, store::Handover::kShared);
    record_folder(transaction, network, folder, state, now);
    transaction.commit();
  }
  return state;
}

bool Leases::end_sharing(const std::string& network_name, bool dry_run) const {
  std::optional<Store> store = Store::open_existing(options(data_dir_));
  if (!store) {
    return false;
  }
  Transaction transaction = store->begin();
  std::optional<Network> network = store::NetworkTable(transaction).find(network_name);
  if (!network || network->handover != store::Handover::kShared) {
    return false;
  }
  store::NetworkTable(transaction).set_handover(*network, store::Handover::kOwned);
  if (!dry_run) {
    transaction.commit();
  }
  return true;
}

}  // namespace podlease::ipam
