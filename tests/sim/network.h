#ifndef PODLEASE_TESTS_SIM_NETWORK_H_
#define PODLEASE_TESTS_SIM_NETWORK_H_

#include <array>
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

// How the main plugin connects pods.
enum class Wiring {
  kBridge,         // on a bridge without a gateway
  kGatewayBridge,  // the host is its gateway
  kPtp,
  kMacvlan,
  kUnknown,  // a main plugin that podlease knows nothing about
};

// A network configuration that its administrator edits now and then. It goes by one of two names;
// what was attached under one of them may end under the other.
//
// Sets of ranges keep their numbers for good, also while the configuration leaves one of them out.
class Network {
 public:
  static constexpr std::size_t kNames = 2;

  // Ranges, exclusions, wiring and cool-down are drawn from `random`. Where the host is the gateway
  // of another one too, both are connected in the same way: one gateway has one place.
  Network(const std::string& name, std::string ifname, const std::filesystem::path& data_dir,
          const Network* other, Random& random);

  // Shrinks, grows, moves or restores a range, edits exclusions or gateway, leaves out a set of
  // ranges or has it again, or connects pods by another bridge. Returns what was done.
  std::string edit(Random& random);
  std::string rename();

  // Which of its names is the one that is configured.
  [[nodiscard]] std::size_t current_name() const { return current_name_; }
  [[nodiscard]] const std::string& name(std::size_t which) const { return names_.at(which); }
  [[nodiscard]] const std::string& ifname() const { return ifname_; }
  // How its pods are connected from now on.
  [[nodiscard]] const Link& link() const { return link_; }
  [[nodiscard]] bool is_routing() const {
    return wiring_ == Wiring::kGatewayBridge || wiring_ == Wiring::kPtp;
  }
  [[nodiscard]] bool is_gateway(net::Address address) const;
  [[nodiscard]] Milliseconds cooldown() const { return cooldown_; }
  [[nodiscard]] std::size_t set_count() const { return sets_.size(); }
  // The configuration has it now.
  [[nodiscard]] bool has_set(std::size_t set) const { return !is_left_out_.at(set); }
  [[nodiscard]] std::size_t sets_configured() const;
  [[nodiscard]] net::Family family(std::size_t set) const;
  // To whichever set an address may ever have belonged.
  [[nodiscard]] std::optional<std::size_t> home_of(net::Address address) const;
  // The mask that an answer gives it today.
  [[nodiscard]] std::optional<int> mask_of(std::size_t set, net::Address address) const;
  // What may be leased of each range, in their order; the host's own addresses are not its matter.
  [[nodiscard]] const std::vector<net::IntervalSet>& usable(std::size_t set) const {
    return usable_.at(set);
  }
  [[nodiscard]] bool may_lease(std::size_t set, net::Address address) const;
  // The set one of whose ranges holds `address`, usable or not.
  [[nodiscard]] std::optional<std::size_t> set_of(net::Address address) const;
  [[nodiscard]] std::size_t capacity(std::size_t set) const;

  // The configuration on stdin under one of its names, with `extra` (top-level members, each
  // followed by a comma). `lock_timeout` empty: the default. `data_dir` empty: its own.
  [[nodiscard]] std::string document(std::size_t name, std::string_view version,
                                     std::string_view extra, std::string_view lock_timeout,
                                     std::string_view data_dir = {}) const;
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
  void connect();

  std::array<std::string, kNames> names_;
  std::size_t current_name_ = 0;
  Wiring wiring_ = Wiring::kBridge;
  std::string device_;
  Link link_;
  std::string main_plugin_;  // its members of the configuration
  std::vector<bool> is_left_out_;
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
