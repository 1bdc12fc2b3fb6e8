#ifndef PODLEASE_HOST_ROUTE_TABLE_H_
#define PODLEASE_HOST_ROUTE_TABLE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

// The routes that podlease keeps in the kernel's main table, among those of others.
namespace podlease::host {

// The kernel keeps with each route who made it (`proto 112` in what `ip route` prints). Not among
// those that rtnetlink.h and iproute2's rt_protos give to others. By it alone podlease knows its
// own: there is no other record of them, so none that a crash could leave wrong.
inline constexpr unsigned char kRouteProtocol = 112;

struct Link {
  unsigned index = 0;
  std::string name;

  friend bool operator==(const Link&, const Link&) = default;
};

// A route by way of another machine on a network that this one is connected to.
struct GatewayRoute {
  net::Prefix destination;
  // Perhaps an IPv6 one for IPv4 (RFC 5549). Nothing only where the kernel tells of no gateway, or
  // of several: such a route is never wanted.
  std::optional<net::Address> gateway;
  Link link;
  unsigned metric = 0;  // as the kernel has it; in a route that is wanted 0: its default

  // "172.20.0.64/26 via 10.0.0.3 dev eth0", as ip route prints it, but for `proto` and `metric`.
  [[nodiscard]] std::string to_string() const;
};

// A route that is in the table.
struct PresentRoute {
  GatewayRoute route;
  bool own = false;
};

struct RouteChange {
  enum class Kind { kAdd, kReplace, kRemove };
  Kind kind = Kind::kAdd;
  GatewayRoute route;
};

// What makes a table what is wanted. In this order nothing that is reached stops being so in
// between, and what is done in part is completed the next time.
struct RouteChanges {
  std::vector<RouteChange> changes;
  std::vector<GatewayRoute> foreign;  // wanted, but somebody else has a route to the very same
};
[[nodiscard]] RouteChanges changes_to(const std::vector<GatewayRoute>& wanted,
                                      const std::vector<PresentRoute>& present);

class RouteSocket;

// In the network namespace it was made in. Every function throws kIo if the kernel does not answer.
class RouteTable {
 public:
  RouteTable();
  RouteTable(const RouteTable&) = delete;
  RouteTable& operator=(const RouteTable&) = delete;
  ~RouteTable();

  // Of both families.
  [[nodiscard]] std::vector<PresentRoute> routes();

  // Where an address is a neighbour's; nothing if it is this machine's own, behind a gateway, or
  // not reached at all.
  [[nodiscard]] std::optional<Link> link_to(net::Address address);

  // Returns whether it was done: not if somebody else made a route to the same destination since
  // `routes` was read. Removing what is gone already is done. Throws kIo also where the kernel
  // refuses.
  [[nodiscard]] bool apply(const RouteChange& change);

 private:
  std::unique_ptr<RouteSocket> socket_;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_ROUTE_TABLE_H_
