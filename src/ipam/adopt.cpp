// What the command `podlease adopt` does, and what CHECK (CNI specification, section "CHECK") knows
// of an attachment: also of one that the first ADD of its network would adopt.

#include <utility>

#include "adopted.h"
#include "host_local.h"
#include "liveness.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"
#include "session.h"

namespace podlease::ipam {
namespace {

std::vector<store::Lease> held_in(store::Transaction& transaction, const AttachmentKey& key,
                                  const store::Presence& presence) {
  const auto network = store::NetworkTable(transaction).find(key.network);
  if (!network) {
    return {};
  }
  std::vector<store::Lease> held =
      store::LeaseTable(transaction).of(*network, key.container_id, key.ifname);
  return held.empty() ? adopted_in(presence, key.ifname, transaction, *network) : held;
}

store::Presence presence_at(const host::Host& host, const std::string& netns) {
  return netns.empty() ? store::Presence{} : presence_of(host, netns);
}

}  // namespace

std::vector<Found> Leases::adopt(const std::string& network, const Wiring& wiring,
                                 pools::Source& source, bool dry_run) const {
  HostLocal host_local(network, places_, data_dir_);
  const bool is_first = !store::Store::open_existing(options(data_dir_));
  if (!dry_run && is_first && !host_local.present() &&
      adopt(network, wiring, source, true).empty()) {
    return {};  // no store is made for nothing
  }
  const store::Moment now = moment();
  const Log silent(*clock_);
  Opening opening =
      this->opening(network, wiring, source, host_local, now, dry_run ? silent : *log_, nullptr);
  opening.may_ask = false;
  opening.dry_run = dry_run;
  Session session = open_session(opening);
  if (!dry_run) {
    session.transaction.commit();
  }
  return std::move(session.found);
}

std::vector<store::Lease> Leases::held_by(const AttachmentKey& key,
                                          const std::string& netns) const {
  std::optional<store::Store> store = store::Store::open_existing(options(data_dir_));
  if (!store) {
    return {};
  }
  store::Transaction transaction = store->begin();
  return held_in(transaction, key, presence_at(*host_, netns));
}

std::vector<store::Lease> Leases::would_be_held_by(const AttachmentKey& key,
                                                   const std::string& netns, const Wiring& wiring,
                                                   pools::Source& source) const {
  HostLocal host_local(key.network, places_, data_dir_);
  const store::Moment now = moment();
  Opening opening = this->opening(key.network, wiring, source, host_local, now, *log_, nullptr);
  opening.netns = netns;
  opening.may_ask = false;
  opening.dry_run = true;
  Session session = open_session(opening);
  return held_in(session.transaction, key, presence_at(*host_, netns));
}

}  // namespace podlease::ipam
