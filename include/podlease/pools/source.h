#ifndef PODLEASE_POOLS_SOURCE_H_
#define PODLEASE_POOLS_SOURCE_H_

#include <optional>
#include <string>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"

// Which addresses an attachment may draw from, in which order: a small class for each mode behind
// one interface.
namespace podlease::pools {

// A stretch of addresses, and what an answer from it says.
struct PoolRange {
  std::string name;         // for messages: where it was configured
  net::Range range;         // both ends inclusive
  net::IntervalSet usable;  // of it, less gateways and what is excluded
  net::Prefix subnet;
  int answer_length;
  std::optional<net::Address> gateway;
};

// An attachment gets one address from each set; ranges are tried in order. All are of one family.
struct PoolRangeSet {
  std::vector<PoolRange> ranges;

  [[nodiscard]] net::Family family() const { return ranges.front().range.family(); }
  // The range that `address` lies in, usable or not.
  [[nodiscard]] const PoolRange* range_of(net::Address address) const;
  // 10.1.0.2-10.1.0.254,10.2.0.2-10.2.0.254
  [[nodiscard]] std::string to_string() const;
};

struct Offer {
  std::string source;  // static, …: recorded in each lease
  std::vector<PoolRangeSet> sets;

  [[nodiscard]] const PoolRange* range_of(net::Address address) const;
};

class Source {
 public:
  virtual ~Source() = default;
  // What may be leased now. Throws what keeps it from knowing.
  [[nodiscard]] virtual Offer offer() const = 0;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_SOURCE_H_
