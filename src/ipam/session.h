#ifndef PODLEASE_SRC_IPAM_SESSION_H_
#define PODLEASE_SRC_IPAM_SESSION_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "host_local.h"
#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/log.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/network_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"
#include "survey.h"

namespace podlease::ipam {

// What a session is opened with. What it points to must outlive it.
struct Opening {
  std::string network;
  const host::Host* host;
  const Places* places;
  std::filesystem::path data_dir;
  const Wiring* wiring;
  HostLocal* host_local;
  pools::Source* source;
  const store::Moment* now;
  const Log* log;
  Milliseconds lock_timeout;
  std::optional<AttachmentKey> caller;  // of an ADD
  std::string netns;
  bool may_ask = true;   // whoever the source asks, where it does not know enough
  bool dry_run = false;  // makes no store, and leaves nothing behind
};

// A store, one transaction in it, and a network that has learnt all that the machine knew of its
// addresses before it was used here. What is declared last ends first: transaction, store's lock,
// host-local's locks, the lock of whoever looks through the machine.
struct Session {
  std::optional<SurveyLock> survey_lock;
  HostLocal::Locks host_local_locks;
  store::Store store;
  store::Transaction transaction;
  store::Network network;
  pools::Offer offer;
  std::optional<Error> obstacle;          // then the offer is empty: nothing can be leased
  bool shared = false;                    // with host-local, until this call at least
  std::vector<Found> found;               // on the first use of the network
  std::vector<net::Address> unsettled{};  // as in Adopted: given to nobody

  // Rolls back, and releases every lock. Nothing but its end may follow.
  void close() noexcept;
};

// Mostly one look tells that the network is known and host-local's folders hold nothing new.
// Otherwise the machine is looked through first, with the store closed: of many calls that come at
// once one does it, and the others wait for what it found. Locks are taken in the order survey,
// host-local, store; whatever has to be waited for in another order is waited for with the store
// closed. Throws kBusy, kIo or kConfig.
[[nodiscard]] Session open_session(const Opening& opening);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_SESSION_H_
