#ifndef PODLEASE_SRC_IPAM_OTHER_STORES_H_
#define PODLEASE_SRC_IPAM_OTHER_STORES_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

// A network whose `dataDir` was changed goes on in another store of this node (FACTS, section 2).
// The store that takes it over copies its leases, and notes in the other one where the network went
// to. A store with such a note copies them back before it leases again, so that going there and
// back gives no address twice. The note holds a token that is new each time: whoever copies looks
// whether it is still the one that was there before, under its own store's lock, and else begins
// again.
namespace podlease::ipam {

// For stores that the configuration does not name.
inline constexpr Milliseconds kPatienceWithOthers{1000};

// Where a network went to.
struct Moved {
  std::filesystem::path folder;
  std::string token;

  friend bool operator==(const Moved&, const Moved&) = default;
};

[[nodiscard]] std::optional<Moved> moved_to(store::Transaction& transaction,
                                            const std::string& network);

// What another store knows of a network, or of one that is called otherwise and may be on its wire.
struct StoreCopy {
  std::filesystem::path folder;
  std::vector<store::Lease> leases;  // of the network itself
  // Where host-local may be called next too, its folders, and what was in them.
  struct Shared {
    store::WatchedFolder folder;
    std::vector<store::AdoptedFile> files;
  };
  std::vector<Shared> shared;
  bool has_network = false;  // it is there: what is not in `leases` has ended
  // Of others: only those in the ranges whose pods live, for the network may have been renamed at
  // the same time.
  std::vector<store::Lease> others;
  std::filesystem::path moved_on;  // the network had gone on in that store; empty: it had not
  bool is_successor = false;       // the network went on there from here, and comes back
};

struct CopyOptions {
  std::string network;
  std::filesystem::path data_dir;  // of the store that the leases are for
  std::filesystem::path registry;
  Milliseconds lock_timeout{};
  const pools::Offer* offer;       // of the network: a store without a lease in it is left alone
  std::vector<std::string> wires;  // of the network; empty: unknown
  const host::Host* host;
  std::optional<Moved> moved;  // only from there, if that store took the network over
  bool dry_run = false;        // leaves no notes
};
// Copies from each of the node's other stores, and notes in it that the network went on in
// `data_dir`. One that cannot be read is logged and passed over. The store of `data_dir` must not
// be open. Throws kBusy.
[[nodiscard]] std::vector<StoreCopy> copy_from_stores(const CopyOptions& options,
                                                      const store::Moment& now, const Log& log);

// Reports whether one of them is the store that the network had gone on in. Otherwise that is gone,
// or a call that was to take the network over was cut short.
[[nodiscard]] bool has_successor(const std::vector<StoreCopy>& copies);

// Makes what was copied the store's own. Where the network had gone to that store and comes back,
// leases that ended there end here too. One that is shared with host-local stays so.
[[nodiscard]] std::vector<Found> adopt_copies(store::Transaction& transaction,
                                              store::Network& network,
                                              const std::vector<StoreCopy>& copies,
                                              const store::Moment& now);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_OTHER_STORES_H_
