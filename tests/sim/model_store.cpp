#include <algorithm>

#include "model.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/range.h"
#include "podlease/store/address_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/store.h"
#include "podlease/store/verify.h"

// What the store says, against what the model knows.
namespace podlease::sim {
namespace {

using net::Address;

const net::IntervalSet& everything() {
  static const net::IntervalSet all({*net::Range::parse("0.0.0.0/0"), *net::Range::parse("::/0")});
  return all;
}

std::string boot_id(int boot) {
  return "boot-" + std::to_string(boot);
}

}  // namespace

void Model::audit(const Attempt* unfinished) {
  if (in_flight_) {
    return;
  }
  std::optional<store::Store> store =
      store::Store::open_existing({.folder = caller_->data_dir(),
                                   .registry = caller_->places().registry,
                                   .lock_timeout = Milliseconds(10'000)});
  if (!store) {
    expect(lease_count() == 0, Check::kLeases, "the store is gone");
    return;
  }
  store::Transaction transaction = store->begin();
  compare(transaction, unfinished);
}

void Model::compare(store::Transaction& transaction, const Attempt* unfinished) {
  ++audits_;
  try {
    store::verify(transaction);
  } catch (const std::exception& error) {
    expect(false, Check::kLeases, error.what());
  }
  const std::vector<store::Lease> leases = store::LeaseTable(transaction).all();
  if (unfinished != nullptr) {
    complete(*unfinished, leases);
  }
  for (const store::Lease& lease : leases) {
    const auto book = std::find_if(books_.begin(), books_.end(), [&](const Book& one) {
      return one.name() == lease.key.network;
    });
    expect(book != books_.end(), Check::kLeases, "a lease of network " + lease.key.network);
    if (book != books_.end()) {
      compare(lease, *book, unfinished != nullptr);
    }
  }
  for (Book& book : books_) {
    find_missing(book);
    read_freed(transaction, book, unfinished);
  }
}

// A call that was cut short either did all of its work or none.
void Model::complete(const Attempt& unfinished, const std::vector<store::Lease>& leases) {
  const Book& book = books_[unfinished.book];
  std::vector<net::Prefix> granted;
  bool fresh = false;  // the store has the attachment's new namespace
  for (const store::Lease& lease : leases) {
    if (lease.key.network == book.name() && lease.key.container_id == unfinished.container) {
      granted.push_back(lease.address);
      fresh = lease.presence.netns == unfinished.netns->path &&
              lease.presence.boot_id == boot_id(host_->boots()) &&
              (lease.presence.netns_inode == unfinished.netns->id.inode ||
               (lease.presence.netns_inode == 0 &&
                unfinished.own.at.state != host::NetnsState::kAlive));
    }
  }
  const auto before = book.holdings.find(unfinished.container);
  const bool held_before = before != book.holdings.end();
  const bool same_addresses =
      held_before && std::all_of(granted.begin(), granted.end(), [&](const net::Prefix& one) {
        const auto& held = before->second->addresses;
        return std::find(held.begin(), held.end(), one.address()) != held.end();
      });
  if (granted.empty() || (held_before && !fresh && same_addresses)) {
    return;
  }
  const bool live = held_before && before->second->live && !is_old(*before->second);
  grant(unfinished, granted, live);
}

void Model::compare(const store::Lease& lease, Book& book, bool unfinished) {
  const Address address = lease.address.address();
  auto leased = book.leased.find(address);
  if (leased == book.leased.end() && adopt(lease, book)) {
    leased = book.leased.find(address);
  }
  const Holding* const known = leased == book.leased.end() ? nullptr : leased->second.holder.get();
  const bool is_known =
      known != nullptr && (known->nameless ? lease.key.ifname == known->ifname
                                           : lease.key.container_id == known->container &&
                                                 lease.key.ifname == book.network->ifname());
  expect(is_known, Check::kLeases,
         "the store says that " + lease.key.container_id + " " + lease.key.ifname + " in " +
             lease.presence.netns + " has, from " + lease.source + ", " + describe(book, address));
  if (leased == book.leased.end()) {
    return;
  }
  leased->second.seen = audits_;
  const Holding& holder = *leased->second.holder;
  expect(lease.pod.uid == holder.uid && (is_old(holder) || unfinished || holder.nameless ||
                                         (lease.presence.netns == holder.netns->path &&
                                          lease.presence.boot_id == boot_id(holder.boot))),
         Check::kLeases,
         "the store knows another pod or namespace of " + describe(book, address) + ": uid " +
             lease.pod.uid + ", " + lease.presence.netns + ", " + lease.presence.boot_id);
}

// At its first use a network may learn of pods that were attached under another name: where it
// found a namespace that has the address.
bool Model::adopt(const store::Lease& lease, Book& book) {
  const host::NetnsId id{.device = lease.presence.netns_device,
                         .inode = lease.presence.netns_inode};
  const std::optional<std::size_t> set = book.network->home_of(lease.address.address());
  if (!set || lease.presence.boot_id != boot_id(host_->boots()) || lease.source == "static") {
    return false;
  }
  // What has lost its name is found by a process.
  const bool by_process = lease.presence.netns.starts_with("/proc/");
  std::vector<NamespacePtr> candidates;
  const auto consider = [&](const NamespacePtr& one) {
    if (one && one->id == id && (by_process || one->path == lease.presence.netns)) {
      candidates.push_back(one);
    }
  };
  consider(host_->numbered(id));
  if (lease.source == "namespace") {
    // It lived when it was found, and may have ended since the store was read last.
    const auto ended = ended_netns_.find(id);
    consider(ended == ended_netns_.end() ? nullptr : ended->second);
    for (const Book& other : books_) {
      for (const auto& [container, one] : other.holdings) {
        consider(one->netns);
      }
    }
  }
  // By whichever of its names: /var/run/netns is /run/netns.
  if (const NamespacePtr numbered = host_->numbered(id)) {
    candidates.push_back(numbered);
  }
  const auto shows_it = [&](const NamespacePtr& one) {
    const auto inside = one->interfaces.find(lease.key.ifname);
    return inside != one->interfaces.end() &&
           std::any_of(inside->second.addresses.begin(), inside->second.addresses.end(),
                       [&](const net::Prefix& shown) {
                         return shown.address() == lease.address.address();
                       });
  };
  // Or it showed it when it was found, and the DEL under its other name has come since.
  const auto showed_it = [&](const NamespacePtr& one) {
    return std::any_of(books_.begin(), books_.end(), [&](const Book& other) {
      const auto known = other.leased.find(lease.address.address());
      return known != other.leased.end() && known->second.holder->netns == one;
    });
  };
  const auto found = std::find_if(
      candidates.begin(), candidates.end(),
      [&](const NamespacePtr& one) { return !one->alive() || shows_it(one) || showed_it(one); });
  if (found == candidates.end()) {
    return false;
  }
  const NamespacePtr& netns = *found;
  HoldingPtr& holding = book.holdings[lease.key.container_id];
  if (!holding) {
    holding = std::make_shared<Holding>();
    holding->book = book.index;
    holding->container = lease.key.container_id;
    holding->uid = lease.pod.uid;
    holding->netns = netns;
    holding->recorded.at = {.state = host::NetnsState::kAlive, .id = id};
    holding->recorded.pid_namespace = host_->pid_namespace_id(netns->view);
    holding->recorded.folder = host_->folder_seen(netns->path, netns->view);
    holding->boot = host_->boots();
    holding->wires = shows_it(netns) ? netns->interfaces.at(lease.key.ifname).link.wires
                                     : book.network->link().wires;
    holding->nameless = true;
    holding->ifname = lease.key.ifname;
    holding->addresses.resize(book.network->set_count());
  }
  holding->addresses[*set] = lease.address.address();
  book.leased[lease.address.address()] = {.holder = holding, .set = *set, .seen = 0};
  book.freed.erase(lease.address.address());
  return true;
}

void Model::find_missing(Book& book) {
  std::vector<Address> missing;
  for (const auto& [address, leased] : book.leased) {
    if (leased.seen != audits_) {
      missing.push_back(address);
    }
  }
  for (const Address address : missing) {
    const Holding& holder = *book.leased[address].holder;
    expect(!(holder.live && lives(holder)) || holder.may_end, Check::kLeases,
           "a live pod's lease ended: " + describe(book, address));
    // Not checked: whether a lease of an earlier boot was needed when it ended.
    expect(holder.may_end || has_ended_unseen(holder) || is_old(holder), Check::kEarly,
           "a lease ended: " + describe(book, address));
    end_address(book, address, false);
  }
}

void Model::read_freed(store::Transaction& transaction, Book& book, const Attempt* unfinished) {
  const std::optional<store::Network> network = store::NetworkTable(transaction).find(book.name());
  if (!network) {
    return;
  }
  // What was freed since the call that failed began, it may have leased and freed again.
  const Milliseconds start = unfinished == nullptr
                                 ? Milliseconds::max()
                                 : clock_->since_boot() - (clock_->true_time() - unfinished->start);
  for (const store::Freed& freed : store::AddressTable(transaction).freed(*network, everything())) {
    const bool known = freed_last(book, freed.address) != nullptr;
    const bool again = freed.since_boot >= start && freed.boot_id == boot_id(host_->boots());
    if (!is_leased_on_wire(book, freed.address) && (!known || again)) {
      book.freed[freed.address] = {.at = clock_->true_time(),
                                   .boot = host_->boots(),
                                   .position = ++positions_,
                                   .precise = false,
                                   .uid = {},
                                   .container = {}};
      last_uid_.erase(freed.address);  // whose it was last is open
    }
  }
}

}  // namespace podlease::sim
