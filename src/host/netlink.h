#ifndef PODLEASE_HOST_NETLINK_H_
#define PODLEASE_HOST_NETLINK_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "netlink_message.h"
#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "podlease/host/route_table.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::host {

// The kernel gives `lo` this index in every network namespace.
inline constexpr unsigned kLoopbackIndex = 1;

// An entry of the kernel's routing tables, or what the kernel made of one to reach an address.
struct Route {
  unsigned char type;  // RTN_UNICAST, RTN_LOCAL, ...
  bool cloned;         // made for one look-up, not an entry of a table
  net::Prefix destination;
  std::optional<net::Address> gateway;  // nothing also where there are several next hops
  std::optional<net::Address> source;   // which own address it prefers
  unsigned interface;                   // index, of the first next hop; 0 where the route has none
  unsigned table;                       // RT_TABLE_MAIN, ...
  unsigned char protocol;               // who made it: RTPROT_KERNEL, ...
  unsigned metric;
  // All, with their interfaces; empty where the kernel names only the nexthop object.
  std::vector<NextHop> next_hops;
  unsigned nexthop_object;  // its id; 0: the route has its next hops itself
};

// An interface of some network namespace.
struct LinkEntry {
  Interface interface;
  // Where its parent or peer is in another network namespace: the id that the namespace of the
  // interface has for that one, see ip-netns(8). An id below 0: it has none.
  std::optional<int> parent_namespace;
};

// By id; those of a group are the next hops of its members.
using NextHopObjects = std::map<unsigned, std::vector<NextHop>>;

// What a message of the kernel's says; nothing if it is of another type or family. These throw kIo
// if it is malformed.
[[nodiscard]] std::optional<Route> read_route(unsigned message_type, Bytes body,
                                              net::Family family);
[[nodiscard]] std::optional<LinkEntry> read_link(unsigned message_type, Bytes body);
[[nodiscard]] std::optional<InterfaceAddress> read_address(unsigned message_type, Bytes body,
                                                           net::Family family);

// A change as the kernel takes it.
[[nodiscard]] std::vector<std::byte> route_message(const RouteChange& change,
                                                   unsigned char protocol);

// Asks the kernel about routes, addresses, links and neighbours, see rtnetlink(7), in the network
// namespace it was opened in. Waits at most two seconds for each part of an answer. Every function
// throws kIo if the kernel does not answer; that it has no route or does not know the family is an
// answer: nothing.
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

  // Every nexthop object; none on kernels before 5.3, which do not know them.
  [[nodiscard]] NextHopObjects next_hop_objects();

  // How a packet of this host to `address` would go.
  [[nodiscard]] std::optional<Route> path_to(net::Address address);

  // All addresses of all interfaces, also of those that are down.
  [[nodiscard]] std::vector<InterfaceAddress> addresses(net::Family family);

  // Changes the main table. A route that is there is replaced only by kReplace, and whoever's it
  // is; what is removed is only one of that protocol. Returns what the kernel says of it: 0, or an
  // errno.
  [[nodiscard]] int change(const RouteChange& change, unsigned char protocol);

  // All interfaces.
  [[nodiscard]] std::vector<LinkEntry> links();

  // Their names by index. if_indextoname(3) would ask about the namespace the process is in now.
  [[nodiscard]] std::map<unsigned, std::string> interface_names();

  // The id that the socket's namespace has for another one, an open descriptor of this process.
  // Nothing if it has none, as long as nothing in it points there.
  [[nodiscard]] std::optional<int> id_of_namespace(int netns);

  // Reports whether the neighbour table has the address as REACHABLE on that interface; 0: on any.
  [[nodiscard]] bool is_reachable_neighbour(net::Address address, unsigned interface);

 private:
  // Called with the type and the body of each message of an answer.
  using Visit = std::function<void(unsigned, Bytes)>;
  struct Answer {
    bool whole = true;  // not if something changed during a dump
    int error = 0;      // an errno that says that what was asked for is not there
  };

  void send(std::vector<std::byte>& message);
  [[nodiscard]] Answer exchange(std::vector<std::byte>& message, const Visit& visit);
  int ask(
      std::vector<std::byte> message, const Visit& visit,
      const std::function<void()>& start_again = [] {});

  UniqueFd socket_;
  std::uint32_t sequence_ = 0;
  bool strict_ = false;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_NETLINK_H_
