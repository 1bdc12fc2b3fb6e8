#include "adopt_found.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "liveness.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"

namespace podlease::ipam {
namespace {

using store::Lease;

// Where a namespace could not be seen at its ADD, its name has to do.
bool is_same_holder(const Lease& lease, const Lease& found) {
  const Same same = same_namespace(lease.presence, found.presence);
  return same == Same::kYes || (same == Same::kUnknown && !lease.presence.netns.empty() &&
                                lease.presence.netns == found.presence.netns);
}

// Reports whether this very holder has the address already in any network: the ranges of one that
// is on another wire may be the same.
bool is_leased_to_itself(store::Transaction& transaction, const Lease& found) {
  const store::LeaseTable leases(transaction);
  const std::vector<store::Network> networks = store::NetworkTable(transaction).all();
  return std::any_of(networks.begin(), networks.end(), [&](const store::Network& network) {
    const std::optional<Lease> lease = leases.at(network, found.address.address());
    return lease && is_same_holder(*lease, found);
  });
}

// Settles who has an address that a lease gives to one, and the machine to another: the store was
// put back from a copy, or has lost what was written last.
class Arbiter {
 public:
  // Both must outlive it.
  Arbiter(store::Transaction& transaction, const host::Host& host)
      : transaction_(&transaction), judge_(host, host.boot_id()), walk_(host) {}

  // Whoever was found alive is a witness.
  void trust(const Lease& found) { judge_.trust(found.presence); }

  // Ends the lease if its holder has ended; records the namespace if it had none. Reports whether
  // that leaves no doubt.
  [[nodiscard]] bool settles(const Lease& lease, const Lease& found, const store::Moment& now) {
    if (found.presence.netns_inode == 0) {
      return true;
    }
    const Judgement judgement = judge(lease);
    switch (judgement.liveness) {
      case Liveness::kAlive:
        return true;
      case Liveness::kGone:
      case Liveness::kEarlierBoot:
        store::LeaseTable(*transaction_).end(lease, now, store::Ending::kReclaim);
        return true;
      case Liveness::kMissing:
      case Liveness::kDoubt:
        break;
    }
    if (judgement.doubt != Doubt::kNothingRecorded) {
      return false;
    }
    // Whoever shows the address of a lease without a namespace is its holder. But a name that only
    // its ADD was told must stay on record: it outlives the processes that show the address now.
    if (lease.presence.netns.empty()) {
      Lease seen = lease;
      seen.presence = found.presence;
      store::LeaseTable(*transaction_).refresh(lease, seen);
    }
    return true;
  }

 private:
  [[nodiscard]] Judgement judge(const Lease& lease) {
    const Judgement judgement = walk_.judge(judge_, holder_of(lease));
    if (judgement.liveness != Liveness::kDoubt || has_seen_all_) {
      return judgement;
    }
    // Some other lease may have what proves it.
    has_seen_all_ = true;
    see_all(judge_, *transaction_, walk_.walk());
    return walk_.judge(judge_, holder_of(lease));
  }

  store::Transaction* transaction_;
  Judge judge_;
  WalkOnDemand walk_;
  bool has_seen_all_ = false;
};

}  // namespace

Adopted adopt_found(store::Transaction& transaction, const store::Network& network,
                    const pools::Offer& offer, const store::Moment& now,
                    const Inventory& inventory) {
  Adopted all;
  const store::LeaseTable leases(transaction);
  std::vector<Found> others = inventory.found(offer, now);
  Arbiter arbiter(transaction, inventory.host());
  for (Found& found : others) {
    if (found.adopted &&
        store::HostLocalTable(transaction).has_ended(found.lease.key, found.written)) {
      found.adopted = false;
      found.evidence = "its DEL has come";
    }
    if (found.adopted) {
      arbiter.trust(found.lease);
    }
  }
  for (Found& found : others) {
    if (is_leased_to_itself(transaction, found.lease)) {
      continue;
    }
    // Where libcni calls its network otherwise, whether that is on another wire is not known, so
    // that its address is kept from ours.
    const store::Network home =
        found.adopted && found.lease.key.network != network.name
            ? store::NetworkTable(transaction).ensure(found.lease.key.network)
            : network;
    const net::Address address = found.lease.address.address();
    const std::optional<Lease> rival = leases.at_in_space(home, address);
    if (rival && found.adopted && !arbiter.settles(*rival, found.lease, now)) {
      all.unsettled.push_back(address);
    }
    if (rival && leases.at_in_space(home, address)) {
      continue;
    }
    if (found.adopted) {
      leases.insert(home, found.lease);
    }
    all.found.push_back(std::move(found));
  }
  store::HostLocalTable(transaction).forget_ended(network.name);
  return all;
}

}  // namespace podlease::ipam
