#ifndef PODLEASE_TESTS_SIM_NETWORK_H_
#define PODLEASE_TESTS_SIM_NETWORK_H_

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine.h"
#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"

namespace podlease::sim {

// One range as it is configured, and what may be leased of it by the letter of the design.
struct RangeChoice {
  net::Prefix subnet;
  std::optional<net::Range> window;     // rangeStart and rangeEnd
  std::optional<net::Address> gateway;  // configured; else network + 1
};

// A network configuration that its administrator edits now and then.
class Network {
 public:
  // Ranges, exclusions and cool-down are drawn from `random`.
  Network(std::string name, std::string ifname, const std::filesystem::path& data_dir,
          Random& random);

  // Shrinks, grows, moves or restores a range, or edits the exclusions. Returns what was done.
  std::string edit(Random& random);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& ifname() const { return ifname_; }
  [[nodiscard]] Milliseconds cooldown() const { return cooldown_; }
  [[nodiscard]] std::size_t set_count() const { return sets_.size(); }
  [[nodiscard]] net::Family family(std::size_t set) const;
  // What may be leased of each range, in their order; the host's own addresses are not its matter.
  [[nodiscard]] const std::vector<net::IntervalSet>& usable(std::size_t set) const {
    return usable_.at(set);
  }
  [[nodiscard]] bool may_lease(std::size_t set, net::Address address) const;
  // The set one of whose ranges holds `address`, usable or not.
  [[nodiscard]] std::optional<std::size_t> set_of(net::Address address) const;
  [[nodiscard]] std::size_t capacity(std::size_t set) const;

  // The configuration on stdin, with `extra` (top-level members, each followed by a comma).
  // `lock_timeout` empty: the default.
  [[nodiscard]] std::string document(std::string_view version, std::string_view extra,
                                     std::string_view lock_timeout) const;
  // For people.
  [[nodiscard]] std::string describe() const;

  bool status_fails_when_exhausted = false;

 private:
  struct Shape {
    bool v6 = false;
    std::size_t set = 0;
    std::size_t index = 0;     // in its set
    std::size_t position = 0;  // where it was moved to
    int bits = 3;              // of the host part
    bool windowed = false;
    std::size_t cut_low = 0;  // how much of both ends a window leaves out
    std::size_t cut_high = 0;
    bool odd_gateway = false;
  };

  [[nodiscard]] static RangeChoice realise(const Shape& shape);
  void draw_exclusions(Random& random);
  void settle();

  std::string name_;
  std::string ifname_;
  std::string data_dir_;
  Milliseconds cooldown_{0};
  bool host_prefix_ = false;
  std::vector<std::vector<Shape>> sets_;
  std::vector<std::vector<Shape>> original_;
  std::vector<net::Range> excluded_;
  std::vector<std::vector<RangeChoice>> choices_;      // as configured now
  std::vector<std::vector<net::IntervalSet>> usable_;  // by set and range
  std::string ipam_;                                   // the members that ranges decide
};

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_NETWORK_H_
