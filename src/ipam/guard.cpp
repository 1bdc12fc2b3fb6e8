#include "guard.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>
#include <variant>

#include "held_note.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/note_table.h"

namespace podlease::ipam {
namespace {

constexpr Milliseconds kFreshFor{60'000};

// The note: what the look was taken for, when, in which boot, and what was found; a line each.
std::string note_of(const std::string& fingerprint, const store::Moment& now,
                    const std::vector<HeldRange>& held) {
  return fingerprint + "\n" + std::to_string(now.at.since_boot.count()) + "\n" + now.boot_id +
         "\n" + encode(held);
}

// Nothing if the note was made for something else, or is too old.
std::optional<std::vector<HeldRange>> fresh_in(std::string_view note,
                                               const std::string& fingerprint,
                                               const store::Moment& now) {
  const auto line = [&]() {
    const std::string_view text = note.substr(0, note.find('\n'));
    note.remove_prefix(std::min(note.size(), text.size() + 1));
    return text;
  };
  if (line() != fingerprint) {
    return std::nullopt;
  }
  const std::string_view time = line();
  Milliseconds::rep looked = 0;
  const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), looked);
  const Milliseconds age = now.at.since_boot - Milliseconds(looked);
  if (error != std::errc() || line() != now.boot_id || age < Milliseconds(0) || age >= kFreshFor) {
    return std::nullopt;
  }
  return decode(note);
}

bool knows_all(const store::Network& network, const std::vector<std::string>& wires) {
  return std::all_of(wires.begin(), wires.end(), [&](const std::string& wire) {
    return std::find(network.wires.begin(), network.wires.end(), wire) != network.wires.end();
  });
}

}  // namespace

void count_unknown_wires(store::Transaction& transaction, store::Network& network) {
  if (network.unknown_wires == 0) {
    return;
  }
  for (const store::Network& other : store::NetworkTable(transaction).all()) {
    if (other.id != network.id && (other.wires.empty() || network.wires.empty())) {
      network.count(other);
    }
  }
}

std::vector<HeldRange> look_at_host(store::Transaction& transaction,
                                    const host::HostNetworks& networks, const Wiring& wiring,
                                    const pools::Offer& offer) {
  std::optional<std::vector<store::Network>> all;
  const auto is_leased = [&](net::Address address) {
    if (!all) {
      all = store::NetworkTable(transaction).all();
    }
    return std::any_of(all->begin(), all->end(), [&](const store::Network& network) {
      return store::LeaseTable(transaction).at(network, address).has_value();
    });
  };
  auto held = held_by_host(networks, wiring, offer, is_leased);
  if (auto* const error = std::get_if<Error>(&held)) {
    throw Error(std::move(*error));
  }
  return std::get<std::vector<HeldRange>>(std::move(held));
}

void Guard::admit(store::Transaction& transaction, store::Network& network,
                  const pools::Offer& offer, const store::Moment& now) {
  const store::NoteTable notes(transaction);
  const std::string made_for = fingerprint(*wiring_, offer);
  const std::optional<std::string> note =
      notes.find(store::NoteTable::Kind::kHeldByHost, network.name);
  std::optional<std::vector<HeldRange>> held = note ? fresh_in(*note, made_for, now) : std::nullopt;
  if (!held) {
    const host::HostNetworks networks = host_->networks();
    held = look_at_host(transaction, networks, *wiring_, offer);
    const std::vector<std::string> wires = wires_of(*wiring_, networks);
    if (!knows_all(network, wires)) {
      store::NetworkTable(transaction).set_wires(network, wires);
    }
    notes.set(store::NoteTable::Kind::kHeldByHost, network.name, note_of(made_for, now, *held));
  }
  held_ = *std::move(held);
  std::vector<net::Range> ranges;
  ranges.reserve(held_.size());
  for (const HeldRange& one : held_) {
    ranges.push_back(one.range);
  }
  held_back_ = net::IntervalSet(std::move(ranges));
}

std::optional<std::string> Guard::holder_of(net::Address address) const {
  const auto known = std::find_if(held_.begin(), held_.end(), [&](const HeldRange& held) {
    return held.range.contains(address);
  });
  if (known != held_.end()) {
    return "this host: " + known->what;
  }
  const std::optional<host::AddressHolder> holder = host_->holder_of(address);
  if (!holder) {
    return std::nullopt;
  }
  switch (holder->kind) {
    case host::AddressHolder::Kind::kInterface:
      return "interface " + holder->interface + " of this host";
    case host::AddressHolder::Kind::kRoute:
      return "the target of a host route via " + holder->interface;
  }
  return std::nullopt;
}

}  // namespace podlease::ipam
