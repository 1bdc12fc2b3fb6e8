#ifndef PODLEASE_SRC_IPAM_GUARD_H_
#define PODLEASE_SRC_IPAM_GUARD_H_

#include <optional>
#include <string>
#include <vector>

#include "held_by_host.h"
#include "podlease/host/host.h"
#include "podlease/ipam/wiring.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/pools/source.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// Keeps addresses that this machine needs for itself from being leased (FACTS, section 3). A full
// look at its interfaces and routes is taken once a minute at most, and whenever the network's
// configuration has changed; it is noted in the store. Each address that is about to be given is
// asked about besides.
class Guard {
 public:
  // Both must outlive it.
  Guard(const host::Host& host, const Wiring& wiring) : host_(&host), wiring_(&wiring) {}

  // Before the first address of the offer is given: takes the look, or takes it from the store, and
  // tells the store on which wires the network is. Throws kConfig if the offer cannot work on this
  // host.
  void admit(store::Transaction& transaction, store::Network& network, const pools::Offer& offer,
             const store::Moment& now);

  // Addresses that are never leased, whatever the kernel says when it is asked about one of them.
  [[nodiscard]] const net::IntervalSet& held_back() const { return held_back_; }
  // Who on this machine has `address`, for a message: interface eth0, a host route via cni0.
  [[nodiscard]] std::optional<std::string> holder_of(net::Address address) const;

 private:
  const host::Host* host_;
  const Wiring* wiring_;
  std::vector<HeldRange> held_;
  net::IntervalSet held_back_;
};

// A network may be on this one's wire if nobody knows on which one either of them is: a store of
// before schema 1.1 does not tell, and there are main plugins that podlease does not know.
// Such a network's addresses count as this one's.
void count_unknown_wires(store::Transaction& transaction, store::Network& network);

// What the host holds of an offer now, for people. Throws kConfig as `Guard::admit`.
[[nodiscard]] std::vector<HeldRange> look_at_host(store::Transaction& transaction,
                                                  const host::HostNetworks& networks,
                                                  const Wiring& wiring, const pools::Offer& offer);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_GUARD_H_
