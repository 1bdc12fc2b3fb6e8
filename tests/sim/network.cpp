#include "network.h"

#include <algorithm>
#include <array>
#include <utility>

#include "podlease/base/duration.h"

namespace podlease::sim {
namespace {

using net::Address;
using net::Uint128;

Address plus(Address address, Uint128 difference) {
  return Address::from_bits(address.family(), address.bits() + difference);
}
Address minus(Address address, Uint128 difference) {
  return Address::from_bits(address.family(), address.bits() - difference);
}

std::string in_quotes(const std::string& text) {
  return '"' + text + '"';
}

}  // namespace

Network::Network(const std::string& name, std::string ifname, const std::filesystem::path& data_dir,
                 const Network* other, Random& random)
    : names_{name, name + "b"}, ifname_(std::move(ifname)), data_dir_(data_dir.string()) {
  constexpr std::array kWirings{Wiring::kBridge,        Wiring::kBridge,  Wiring::kBridge,
                                Wiring::kGatewayBridge, Wiring::kPtp,     Wiring::kGatewayBridge,
                                Wiring::kMacvlan,       Wiring::kUnknown, Wiring::kBridge};
  wiring_ = kWirings.at(random.below(kWirings.size()));
  if (other != nullptr && other->is_routing() && is_routing()) {
    wiring_ = other->wiring_;
  }
  // Two networks often share it. With one gateway on two bridges nothing would work.
  device_ = wiring_ == Wiring::kBridge && random.one_in(3) ? "cni1" : "cni0";
  constexpr std::array kCooldowns{Milliseconds(0), Milliseconds(30'000), Milliseconds(30'000),
                                  Milliseconds(300'000)};
  cooldown_ = kCooldowns.at(random.below(kCooldowns.size()));
  host_prefix_ = !is_routing() && random.one_in(8);
  const bool dual_stack = random.one_in(2);
  // Small ranges fill up sooner.
  constexpr std::array kBits{3, 3, 3, 4, 4, 4, 5, 5, 6, 8};
  for (std::size_t set = 0; set < (dual_stack ? 2U : 1U); ++set) {
    std::vector<Shape> shapes;
    const std::size_t ranges = random.one_in(3) ? 2 + random.below(2) : 1;
    for (std::size_t index = 0; index < ranges; ++index) {
      Shape shape{.v6 = set == 1, .set = set, .index = index};
      shape.bits = kBits.at(random.below(kBits.size()));
      shape.windowed = !host_prefix_ && random.one_in(4);
      shape.cut_low = random.below(3);
      shape.cut_high = random.below(2);
      shape.odd_gateway = !host_prefix_ && !is_routing() && random.one_in(4);
      shapes.push_back(shape);
    }
    sets_.push_back(std::move(shapes));
  }
  if (random.one_in(8)) {  // a pod with two addresses of one family
    Shape shape{.v6 = false, .set = sets_.size(), .index = 0};
    shape.bits = 4;
    sets_.push_back({shape});
  }
  original_ = sets_;
  is_left_out_.assign(sets_.size(), false);
  if (random.one_in(3)) {
    settle();
    draw_exclusions(random);
  }
  settle();
}

std::size_t Network::sets_configured() const {
  return static_cast<std::size_t>(std::count(is_left_out_.begin(), is_left_out_.end(), false));
}

bool Network::is_gateway(Address address) const {
  for (const std::vector<RangeChoice>& set : choices_) {
    for (const RangeChoice& choice : set) {
      if (choice.gateway.value_or(plus(choice.subnet.first(), 1)) == address) {
        return true;
      }
    }
  }
  return false;
}

// As `realise` lays them out.
std::optional<std::size_t> Network::home_of(Address address) const {
  const Uint128 number = address.is_v4() ? (address.bits() >> 16) - (10U << 8) - 64
                                         : (address.bits() >> 80) - (Uint128{0xfd00} << 32);
  const bool known = number < sets_.size() &&
                     sets_[static_cast<std::size_t>(number)].front().v6 == !address.is_v4();
  return known ? std::optional(static_cast<std::size_t>(number)) : std::nullopt;
}

std::optional<int> Network::mask_of(std::size_t set, Address address) const {
  for (const RangeChoice& choice : choices_.at(set)) {
    if (choice.window.value_or(choice.subnet.range()).contains(address)) {
      return host_prefix_ ? net::bit_width(address.family()) : choice.subnet.length();
    }
  }
  return std::nullopt;
}

net::Family Network::family(std::size_t set) const {
  return sets_.at(set).front().v6 ? net::Family::kIpv6 : net::Family::kIpv4;
}

bool Network::may_lease(std::size_t set, Address address) const {
  return has_set(set) &&
         std::any_of(usable_.at(set).begin(), usable_.at(set).end(),
                     [&](const net::IntervalSet& usable) { return usable.contains(address); });
}

std::optional<std::size_t> Network::set_of(Address address) const {
  for (std::size_t set = 0; set < choices_.size(); ++set) {
    if (!has_set(set)) {
      continue;
    }
    for (const RangeChoice& choice : choices_[set]) {
      if (choice.window.value_or(choice.subnet.range()).contains(address)) {
        return set;
      }
    }
  }
  return std::nullopt;
}

std::size_t Network::capacity(std::size_t set) const {
  std::size_t sum = 0;
  for (const net::IntervalSet& usable : usable_.at(set)) {
    sum += static_cast<std::size_t>(usable.size());
  }
  return sum;
}

// Sets and ranges lie far enough apart never to meet, however they grow and wherever they move.
RangeChoice Network::realise(const Shape& shape) {
  const Address base =
      shape.v6
          ? Address::v6((Uint128{0xfd00} << 112) + (Uint128{shape.set} << 80) +
                        (Uint128{shape.index} << 64) + (shape.position << 16))
          : Address::v4(static_cast<std::uint32_t>((10U << 24) + ((64 + shape.set) << 16) +
                                                   (shape.index << 13) + (shape.position << 9)));
  const int length = net::bit_width(base.family()) - shape.bits;
  // As people write IPv6: a subnet far larger than the window of it that is leased.
  const bool wide = shape.v6 && shape.windowed;
  RangeChoice choice{.subnet = *net::Prefix::make(base, wide ? 112 : length),
                     .window = std::nullopt,
                     .gateway = std::nullopt};
  const Uint128 size = Uint128{1} << shape.bits;
  if (shape.windowed) {
    choice.window =
        net::Range::make(plus(base, 1 + shape.cut_low), plus(base, size - 2 - shape.cut_high));
  }
  if (shape.odd_gateway) {
    choice.gateway = plus(base, size - 2);
  }
  return choice;
}

void Network::draw_exclusions(Random& random) {
  excluded_.clear();
  const std::size_t count = random.below(3);
  for (std::size_t i = 0; i < count; ++i) {
    const std::vector<RangeChoice>& set = choices_.at(random.below(choices_.size()));
    const RangeChoice& choice = set.at(random.below(set.size()));
    const net::Range range = choice.window.value_or(choice.subnet.range());
    const auto size = static_cast<std::size_t>(range.size());
    const Address first = plus(range.first(), random.below(size));
    const Address last = plus(first, random.below(size / 4 + 1));
    excluded_.push_back(*net::Range::make(first, std::min(last, range.last())));
  }
}

void Network::settle() {
  choices_.clear();
  usable_.clear();
  std::string ranges;
  for (const std::vector<Shape>& set : sets_) {
    std::vector<RangeChoice> choices;
    std::vector<net::IntervalSet> usable;
    std::string members;
    for (const Shape& shape : set) {
      const RangeChoice choice = realise(shape);
      // Never the network, the broadcast address (v6 has none) or the gateway, unless every
      // address is a host of its own.
      const Address network = choice.subnet.first();
      const Address top = choice.subnet.last();
      const Address last = choice.subnet.family() == net::Family::kIpv4 ? minus(top, 1) : top;
      net::IntervalSet leased;
      if (host_prefix_) {
        leased.insert(choice.subnet.range());
      } else {
        leased.insert(choice.window.value_or(*net::Range::make(plus(network, 1), last)));
        leased.erase(net::Range::single(choice.gateway.value_or(plus(network, 1))));
      }
      for (const net::Range& range : excluded_) {
        leased.erase(range);
      }
      usable.push_back(std::move(leased));

      members += members.empty() ? "{" : ",{";
      members += R"("subnet":)" + in_quotes(choice.subnet.to_string());
      if (choice.window) {
        members += R"(,"rangeStart":)" + in_quotes(choice.window->first().to_string()) +
                   R"(,"rangeEnd":)" + in_quotes(choice.window->last().to_string());
      }
      if (choice.gateway) {
        members += R"(,"gateway":)" + in_quotes(choice.gateway->to_string());
      }
      members += "}";
      choices.push_back(choice);
    }
    if (has_set(choices_.size())) {
      ranges += ranges.empty() ? "[" : ",[";
      ranges += members + "]";
    }
    choices_.push_back(std::move(choices));
    usable_.push_back(std::move(usable));
    // podlease refuses a configuration that leaves nothing of a set.
    if (capacity(usable_.size() - 1) == 0) {
      excluded_.clear();
      settle();
      return;
    }
  }
  std::string exclude;
  for (const net::Range& range : excluded_) {
    exclude += (exclude.empty() ? "" : ",") + in_quotes(range.to_string());
  }
  ipam_ = R"("ranges":[)" + ranges + R"(],"exclude":[)" + exclude + R"(],"cooldown":)" +
          in_quotes(format_duration(cooldown_));
  if (host_prefix_) {
    ipam_ += R"(,"prefix":"host")";
  }
  connect();
}

void Network::connect() {
  link_ = {};
  switch (wiring_) {
    case Wiring::kBridge:
    case Wiring::kGatewayBridge:
      link_.device = device_;
      link_.wires = {"bridge:" + device_};
      main_plugin_ = R"("type":"bridge","bridge":)" + in_quotes(device_) + ",";
      if (is_routing()) {
        link_.wires.insert("table:254");
        main_plugin_ += R"("isGateway":true,)";
      }
      break;
    case Wiring::kPtp:
      link_.wires = {"table:254"};
      link_.has_host_routes = true;
      main_plugin_ = R"("type":"ptp",)";
      break;
    case Wiring::kMacvlan:
      link_.device = "eth1";
      link_.wires = {"link:eth1"};
      main_plugin_ = R"("type":"macvlan","master":"eth1",)";
      break;
    case Wiring::kUnknown:
      link_.wires = {"?"};
      main_plugin_ = R"("type":"sriov",)";
      break;
  }
  if (!is_routing()) {
    return;
  }
  for (std::size_t set = 0; set < choices_.size(); ++set) {
    for (const RangeChoice& choice : choices_[set]) {
      if (has_set(set)) {
        const Address gateway = choice.gateway.value_or(plus(choice.subnet.first(), 1));
        link_.gateways.push_back(*net::Prefix::make(gateway, choice.subnet.length()));
      }
    }
  }
}

std::string Network::rename() {
  current_name_ = 1 - current_name_;
  return "network " + names_[1 - current_name_] + " is called " + names_[current_name_] + " now";
}

std::string Network::edit(Random& random) {
  const std::size_t set = random.below(sets_.size());
  Shape& shape = sets_[set].at(random.below(sets_[set].size()));
  std::string what;
  switch (random.below(9)) {
    case 0:
      shape.bits = std::max(3, shape.bits - 1);
      what = "shrinks a range";
      break;
    case 1:
      shape.bits = std::min(8, shape.bits + 1);
      what = "grows a range";
      break;
    case 2:
      shape.position = random.below(3);
      what = "moves a range";
      break;
    case 3:
      shape.cut_low = random.below(3);
      shape.cut_high = random.below(2);
      shape.windowed = !host_prefix_ && random.one_in(2);
      what = "edits rangeStart and rangeEnd";
      break;
    case 4:
      draw_exclusions(random);
      what = "edits the exclusions";
      break;
    case 5:
      shape.odd_gateway = !host_prefix_ && !is_routing() && !shape.odd_gateway;
      what = "moves a gateway";
      break;
    case 6:
      is_left_out_[set] = !is_left_out_[set] && sets_configured() > 1;
      what = is_left_out_[set] ? "leaves out a range set" : "has its range set";
      break;
    case 7:
      if (wiring_ == Wiring::kBridge) {
        device_ = device_ == "cni0" ? "cni1" : "cni0";
      }
      what = "connects by " + device_;
      break;
    default:
      sets_ = original_;
      excluded_.clear();
      is_left_out_.assign(sets_.size(), false);
      what = "restores its ranges";
      break;
  }
  settle();
  return what + ": " + describe();
}

std::string Network::document(std::size_t name, std::string_view version, std::string_view extra,
                              std::string_view lock_timeout, std::string_view data_dir) const {
  std::string text;
  text.reserve(640);
  text.append(R"({"cniVersion":")").append(version).append(R"(","name":")").append(names_.at(name));
  text.append("\",").append(main_plugin_).append(extra);
  text.append(R"("ipam":{"type":"podlease","dataDir":")");
  text.append(data_dir.empty() ? std::string_view(data_dir_) : data_dir).append("\",");
  if (!lock_timeout.empty()) {
    text.append(R"("lockTimeout":")").append(lock_timeout).append("\",");
  }
  if (status_fails_when_exhausted) {
    text.append(R"("statusFailsWhenExhausted":true,)");
  }
  text.append(ipam_).append("}}");
  return text;
}

std::string Network::describe() const {
  return names_[current_name_] + " {" + main_plugin_ + ipam_ + "}";
}

}  // namespace podlease::sim
