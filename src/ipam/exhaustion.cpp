// What an ADD that finds no address tells: the numbers, and what to do next.

#include <string>

#include "add_attempt.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/address_table.h"

namespace podlease::ipam {
namespace {

std::string decimal(net::Uint128 number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(number % 10)));
    number /= 10;
  } while (number != 0);
  return digits;
}

}  // namespace

Standing standing_of(store::Transaction& transaction, const store::Network& network,
                     const pools::PoolRangeSet& set, Milliseconds cooldown,
                     const store::Moment& now) {
  const store::AddressTable addresses(transaction);
  Standing standing;
  for (const pools::PoolRange& range : set.ranges) {
    const store::Usage usage = addresses.usage(network, range.usable);
    standing.leased += usage.leased;
    standing.freed += usage.freed;
    standing.untouched += usage.untouched;
    standing.excluded += range.range.size() - range.usable.size();
    for (const store::Freed& freed : addresses.freed(network, range.usable)) {
      standing.cooling += Allocator::age(freed, now) < cooldown ? 1U : 0U;
    }
  }
  return standing;
}

Error AddAttempt::exhausted(std::size_t index) {
  if (noted_) {
    return *noted_;
  }
  Error error = tell_exhaustion(index);
  // Where a suspect is only kept until its neighbours have forgotten it, a retry may be served.
  if (reclaimer_.first_due().value_or(kGrace) > kSoon) {
    exhausted_set_ = offer_->sets[index].to_string();
    exhaustion_ = error;
  }
  return error;
}

Error AddAttempt::tell_exhaustion(std::size_t index) const {
  const pools::PoolRangeSet& set = offer_->sets[index];
  const Standing standing = standing_of(session_->transaction, session_->network, set,
                                        world_.request->cooldown, *world_.now);
  const std::string doubtful =
      reclaimer_.doubtful() == 0 ? "" : std::to_string(reclaimer_.doubtful()) + " in doubt, ";
  return Error(ErrorKind::kExhausted,
               "failed to allocate for range " + std::to_string(index) +
                   ": no IP addresses available in range set: " + set.to_string(),
               "network " + world_.request->key.network + ": " + decimal(standing.leased) +
                   " used, " + decimal(standing.free()) + " free but held by this host, " +
                   decimal(standing.cooling) + " cooling, " +
                   std::to_string(reclaimer_.suspects().size()) + " suspect, " + doubtful +
                   decimal(standing.excluded) + " excluded. " + next_step());
}

std::string AddAttempt::next_step() const {
  const std::string network = world_.request->key.network;
  if (const std::optional<Milliseconds> due = reclaimer_.first_due()) {
    return "The pods of the suspects look gone: their addresses come back in " +
           format_duration(*due) + ", try again then";
  }
  if (reclaimer_.doubtful() > 0) {
    return "What would settle the doubt: podlease status; who has them: podlease list --network " +
           network;
  }
  return "See who has them: podlease list --network " + network;
}

Error AddAttempt::not_served(const Requests& left) const {
  std::vector<std::string> addresses;
  std::vector<std::string> ranges;
  addresses.reserve(left.size());
  ranges.reserve(offer_->sets.size());
  for (const RequestedAddress& requested : left) {
    addresses.push_back(requested.address.to_string());
  }
  for (const pools::PoolRangeSet& set : offer_->sets) {
    ranges.push_back(set.to_string());
  }
  return Error(
      ErrorKind::kConfig, "failed to allocate all requested IPs: " + join(addresses, " "),
      left.front().path +
          ": the address is in no range set, or its set gives another requested one. Ranges: " +
          join(ranges, "; "));
}

}  // namespace podlease::ipam
