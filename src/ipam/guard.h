#ifndef PODLEASE_SRC_IPAM_GUARD_H_
#define PODLEASE_SRC_IPAM_GUARD_H_

#include <optional>
#include <string>
#include <vector>

#include "podlease/host/host.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/pools/source.h"

namespace podlease::ipam {

// Keeps addresses that this machine needs for itself from being leased.
class Guard {
 public:
  // Asks the machine for its uplinks of these families.
  Guard(const host::Host& host, const std::vector<net::Family>& families);

  // Throws kConfig if the node's own address, its default gateway or one that the offer calls
  // beyond it is usable in a range. On a flat network, where pods live in the very subnet of the
  // node's uplink, that is how it should be: then only those addresses are held back.
  void admit(const pools::Offer& offer);

  // Addresses that are the machine's whatever the routing tables say.
  [[nodiscard]] const net::IntervalSet& held_back() const { return held_back_; }
  // Who on this machine has `address`, for a message: interface eth0, a host route via cni0.
  [[nodiscard]] std::optional<std::string> holder_of(net::Address address) const;

 private:
  const host::Host* host_;
  std::vector<host::Uplink> uplinks_;
  net::IntervalSet held_back_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_GUARD_H_
