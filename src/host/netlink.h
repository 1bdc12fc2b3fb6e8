#ifndef PODLEASE_HOST_NETLINK_H_
#define PODLEASE_HOST_NETLINK_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/file.h"
#include "podlease/host/route_table.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::host {

// An entry of the kernel's routing tables, or what the kernel made of one to reach an address.
struct Route {
  unsigned char type;  // RTN_UNICAST, RTN_LOCAL, ...
  bool cloned;         // made for one look-up, not an entry of a table
  net::Prefix destination;
  std::optional<net::Address> gateway;  // perhaps an IPv6 one for IPv4 (RFC 5549)
  std::optional<net::Address> source;
  unsigned interface;      // index; 0 where the route has none
  unsigned table;          // RT_TABLE_MAIN, ...
  unsigned char protocol;  // who made it: RTPROT_KERNEL, ...
  unsigned metric;
};

// An address of an interface.
struct Assigned {
  net::Prefix address;  // with the mask it is assigned with
  unsigned interface;   // index
};

// Asks the kernel about routes and addresses, see rtnetlink(7), in the network namespace it was
// opened in. Waits at most two seconds for each part of an answer. Every function throws kIo if the
// kernel does not answer; that it has no route or does not know the family is an answer: nothing.
//
// One question at a time: not to be shared between threads, nor with a forked child.
class RouteSocket {
 public:
  enum class Kernel {
    kDetect,
    kOld,  // taken for one before 4.20, for tests
  };
  explicit RouteSocket(Kernel kernel = Kernel::kDetect);

  // The entry that is about `address` alone (/32, /128) and that the ip rules lead to, if it gives
  // the address to somebody. Nothing if it is missing or refuses (blackhole, unreachable,
  // prohibit). One look-up; old kernels cannot do that, there it costs reading every route of every
  // table, whether or not a rule leads to it.
  //
  // Not seen: an IPv4 address while its interface is down, and an IPv6 address while the kernel
  // still looks for duplicates of it. Neither has an entry.
  [[nodiscard]] std::optional<Route> host_entry(net::Address address);

  // Every entry of every table, cloned ones left out.
  [[nodiscard]] std::vector<Route> routes(net::Family family);

  // How a packet of this host to `address` would go.
  [[nodiscard]] std::optional<Route> path_to(net::Address address);

  // `address` with the mask it is assigned with, on `interface` or else on any.
  [[nodiscard]] std::optional<net::Prefix> assigned(net::Address address, unsigned interface);

  // All addresses of all interfaces, also of those that are down; one may be there twice.
  [[nodiscard]] std::vector<Assigned> addresses(net::Family family);

  // Changes the main table. A route that is there is replaced only by kReplace, and whoever's it
  // is; what is removed is only one of that protocol. Returns what the kernel says of it: 0, or an
  // errno.
  [[nodiscard]] int change(const RouteChange& change, unsigned char protocol);

  // By index. if_indextoname(3) would ask about the namespace the process is in now.
  [[nodiscard]] std::map<unsigned, std::string> interface_names();

 private:
  template <typename Request, typename Visit>
  [[nodiscard]] bool exchange(Request& request, Visit& visit);
  template <typename Request, typename Visit>
  void ask(Request request, Visit visit);

  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
  bool strict_ = false;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_NETLINK_H_
