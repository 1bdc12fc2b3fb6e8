#include "survey.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "podlease/base/error.h"
#include "podlease/base/flock.h"
#include "podlease/ipam/wiring.h"
#include "session.h"

namespace podlease::ipam {

SurveyLock::SurveyLock(const std::filesystem::path& data_dir, Milliseconds timeout) {
  const std::filesystem::path path = data_dir / "survey.lock";
  fd_.reset(open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!fd_) {
    throw io_error("open " + path.string(), errno);
  }
  if (!flock_within(fd_.get(), timeout, path.string())) {
    throw Error(ErrorKind::kBusy, "timed out waiting for the lock " + path.string(),
                "another podlease looks through the machine for addresses in use: try again");
  }
}

bool Wanted::is_met_by(const Wanted& other) const {
  const auto is_covered = [&](const pools::PoolRange& range) {
    const pools::PoolRange* const first = other.offer.range_of(range.range.first());
    return first != nullptr && first->range.contains(range.range.last());
  };
  return moved == other.moved && is_first_use == other.is_first_use &&
         is_store_doubted == other.is_store_doubted &&
         (!is_widened || std::all_of(offer.sets.begin(), offer.sets.end(), [&](const auto& set) {
           return std::all_of(set.ranges.begin(), set.ranges.end(), is_covered);
         }));
}

Survey::Survey(const Opening& opening, const Wanted& wanted)
    : made_for_(wanted),
      inventory_({.host = opening.host,
                  .caches = opening.places->cni_caches,
                  .network = opening.network,
                  .all_networks = wanted.is_store_doubted,
                  .caller = opening.caller,
                  .netns = opening.netns,
                  .wiring = opening.wiring}) {
  if (wanted.moved || wanted.is_first_use || wanted.is_widened) {
    copies_ = copy_from_stores({.network = opening.network,
                                .data_dir = opening.data_dir,
                                .registry = opening.places->registry,
                                .lock_timeout = opening.lock_timeout,
                                .offer = &wanted.offer,
                                .wires = wires_of(*opening.wiring, opening.host->networks()),
                                .host = opening.host,
                                .moved = wanted.moved,
                                .dry_run = opening.dry_run},
                               *opening.now, *opening.log);
  }
}

}  // namespace podlease::ipam
