// What the command `podlease adopt` does, and CHECK before the first ADD.

#include <utility>

#include "host_local.h"
#include "podlease/ipam/leases.h"
#include "session.h"

namespace podlease::ipam {

std::vector<Found> Leases::adopt(const std::string& network, const Wiring& wiring,
                                 pools::Source& source, bool dry_run) const {
  HostLocal host_local(network, places_, data_dir_);
  if (!dry_run && !host_local.present() && adopt(network, wiring, source, true).empty()) {
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

}  // namespace podlease::ipam
