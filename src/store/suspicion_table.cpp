#include "podlease/store/suspicion_table.h"

#include <vector>

#include "codec.h"
#include "database.h"
#include "notes.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

// What tells a lease from every other of its address, and from itself before it was refreshed.
std::string identity(const Lease& lease) {
  return std::to_string(to_integer(lease.created)) + " " +
         std::to_string(lease.presence.netns_device) + " " +
         std::to_string(lease.presence.netns_inode);
}

}  // namespace

std::optional<Suspicion> SuspicionTable::of(const Network& network, const Lease& lease) const {
  const std::optional<std::string> note =
      find_note(*database_, "suspect", network.id, lease.address.address());
  if (!note) {
    return std::nullopt;
  }
  const std::vector<std::string_view> fields = split(*note, '\n');
  if (fields.size() < 3 || fields[0] != identity(lease)) {
    return std::nullopt;
  }
  return Suspicion{.boot_id = std::string(fields[1]),
                   .since_boot = Milliseconds(to_number(fields[2])),
                   .process = fields.size() > 3 ? static_cast<int>(to_number(fields[3])) : 0};
}

void SuspicionTable::set(const Network& network, const Lease& lease,
                         const Suspicion& suspicion) const {
  set_note(*database_, "suspect", network.id, lease.address.address(),
           identity(lease) + "\n" + suspicion.boot_id + "\n" +
               std::to_string(suspicion.since_boot.count()) +
               (suspicion.process == 0 ? std::string() : "\n" + std::to_string(suspicion.process)));
}

void SuspicionTable::forget(const Network& network, net::Address address) const {
  forget_note(*database_, "suspect", network.id, address);
}

}  // namespace podlease::store
