#include "podlease/ipam/leases.h"

#include <utility>

#include "session.h"

namespace podlease::ipam {

Leases::Leases(const host::Host& host, const Clock& clock, const Log& log, Places places,
               std::filesystem::path data_dir, Milliseconds lock_timeout)
    : host_(&host),
      clock_(&clock),
      log_(&log),
      places_(std::move(places)),
      data_dir_(std::move(data_dir)),
      lock_timeout_(lock_timeout) {}

store::Store::Options Leases::options(const std::filesystem::path& folder) const {
  return {.folder = folder, .registry = places_.registry, .lock_timeout = lock_timeout_};
}

store::Moment Leases::moment() const {
  return {.at = clock_->now(), .boot_id = host_->boot_id()};
}

Opening Leases::opening(const std::string& network, const Wiring& wiring, pools::Source& source,
                        HostLocal& host_local, const store::Moment& now, const Log& log,
                        const AddRequest* caller) const {
  return {.network = network,
          .host = host_,
          .places = &places_,
          .data_dir = data_dir_,
          .wiring = &wiring,
          .host_local = &host_local,
          .source = &source,
          .now = &now,
          .log = &log,
          .lock_timeout = lock_timeout_,
          .caller = caller == nullptr ? std::nullopt : std::optional(caller->key),
          .netns = caller == nullptr ? std::string() : caller->netns};
}

}  // namespace podlease::ipam
