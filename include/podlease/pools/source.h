#ifndef PODLEASE_POOLS_SOURCE_H_
#define PODLEASE_POOLS_SOURCE_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

// Which addresses an attachment may draw from, in which order: a small class for each mode behind
// one interface.
namespace podlease::pools {

// A stretch of addresses, and what an answer from it says.
struct PoolRange {
  std::string name;         // for messages: where it is written
  std::string source;       // static, node spec, …: recorded in each lease
  net::Range range;         // both ends inclusive
  net::IntervalSet usable;  // of it, less gateways and what is excluded
  net::Prefix subnet;
  int answer_length;
  std::optional<net::Address> gateway;
};

// An attachment gets one address from each set; ranges are tried in order. All are of one family.
struct PoolRangeSet {
  net::Family family;
  std::vector<PoolRange> ranges;

  // The range that `address` lies in, usable or not.
  [[nodiscard]] const PoolRange* range_of(net::Address address) const;
  // 10.1.0.2-10.1.0.254,10.2.0.2-10.2.0.254
  [[nodiscard]] std::string to_string() const;
};

// An address, and what it is: the API server, cilium_host of this node, …
struct Landmark {
  net::Address address;
  std::string what;
};

struct Offer {
  std::vector<PoolRangeSet> sets;
  std::vector<Landmark> taken;   // in the ranges, and in use by something that is no pod
  std::vector<Landmark> beyond;  // what a range can only hold by mistake
  bool may_grow = false;         // `Source::grow` may find more addresses than these

  [[nodiscard]] const PoolRange* range_of(net::Address address) const;
  // Why an address in a range is not usable, for messages.
  [[nodiscard]] std::string why_not_usable(net::Address address) const;
};

// One place where a source looked for ranges, and what came of it.
struct Look {
  std::string place;    // Node worker-1 spec.podCIDRs[0]
  std::string value;    // what is written there; empty: nothing
  std::string outcome;  // used for IPv4, not used: …
  bool used = false;
};

// What a source knows.
struct Knowledge {
  std::variant<Offer, Error> answer;  // or what keeps it from knowing
  bool stale = false;                 // should be learnt anew before an address is leased
  // Of a lost store: the machine must be looked through for holders of addresses in these before
  // any of them is leased.
  std::vector<PoolRangeSet> unexplored;
  // Nobody can hold addresses of what it comes to offer: it was nobody's. Otherwise the machine is
  // asked about every range that the network was not surveyed for.
  bool offers_blocks = false;
  std::vector<std::string> origins;  // what was read for it, and when
  std::vector<Look> looks;
  std::vector<std::string> warnings;

  [[nodiscard]] const Offer* offer() const { return std::get_if<Offer>(&answer); }
};

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // Of the addresses it may offer.
  [[nodiscard]] virtual std::vector<net::Family> families() const = 0;

  // What may be leased by what is remembered, however old. Asks nobody. Throws kConfig for what can
  // never work.
  [[nodiscard]] virtual Knowledge consult(store::Transaction& transaction,
                                          const store::Moment& now) const = 0;

  // Learns anew what `consult` goes by, or waits for others who are about it; the store must not be
  // open. Failures of whoever is asked are remembered, for `consult` to tell. Throws kBusy or kIo
  // for the store's, and with `urgent`, where there is nothing to go by yet, kBusy if the others
  // take too long.
  virtual void refresh(bool /*urgent*/) {}

  // Of an offer that may grow: gets more addresses of each of the families, or waits for others who
  // are about it; the store must not be open. `asked` is when there were none left. Throws what
  // keeps it from that: kExhausted, kBusy, kConfig or kIo.
  virtual void grow(const std::vector<net::Family>& /*families*/, const store::Moment& /*asked*/) {}

  // What was unexplored in the offer is explored now. Returns false if it was already: by another
  // process.
  virtual bool explored(store::Transaction& /*transaction*/) { return false; }

  // Gives back what the last answer of `consult` showed to be needed no more; the store must not be
  // open. Failures are logged.
  virtual void tidy() {}

  // What a timer does for it from time to time, after `refresh` and `consult`: more than an ADD
  // takes the time for. Throws what keeps it from that.
  virtual void keep() { tidy(); }
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_SOURCE_H_
