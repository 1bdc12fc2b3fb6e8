#ifndef PODLEASE_SRC_IPAM_HOST_LOCAL_H_
#define PODLEASE_SRC_IPAM_HOST_LOCAL_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "inventory.h"
#include "podlease/base/clock.h"
#include "podlease/base/file.h"
#include "podlease/base/log.h"
#include "podlease/host/host.h"
#include "podlease/host/host_local.h"
#include "podlease/ipam/leases.h"
#include "podlease/pools/source.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::ipam {

// host-local's folders of a network, and keeping the store in step with them.
//
// On the first use of a network its live leases are adopted, before the first address is handed
// out. From then on the folder is only watched: a file that vanishes is the DEL of an adopted lease
// (some runtimes tear a pod down with the configuration it was started with), and a new one means
// that host-local still leases from the same ranges, which nobody may ignore. The folder is never
// changed, with one exception: after `podlease export` the network is shared, either plugin may be
// called next, and what podlease leases is written there too.
//
// A change is noticed by the folder's stamp, so an unchanged folder costs one system call.
class HostLocal {
 public:
  // What to do with host-local's new leases on a network that is podlease's alone.
  enum class Newcomers { kRefuse, kTake };

  // What it judges by. What it points to must outlive a call.
  struct World {
    const host::Host* host;
    std::vector<std::filesystem::path> caches;  // libcni's
    const store::Moment* now;
    const Log* log;
  };

  HostLocal(const std::string& network, const Places& places,
            const std::filesystem::path& data_dir);

  // Reports whether host-local ever worked on this network here.
  [[nodiscard]] bool present() const { return !folders_.empty(); }

  // Looks after another folder too, if it is there. Returns whether that is news.
  bool watch(const std::filesystem::path& path);
  // Those that a shared network was exported to, wherever they are.
  bool watch_exported(store::Transaction& transaction, const store::Network& network);

  // Reports whether what the store knows of the folders is all there is to know.
  [[nodiscard]] bool is_known(store::Transaction& transaction, const store::Network& network) const;

  using Locks = std::vector<UniqueFd>;

  // Takes host-local's locks; to be held until what depends on the folders is committed. Before the
  // store's lock. Throws kBusy or kIo.
  [[nodiscard]] Locks lock(Milliseconds timeout) const;

  // The same, if nobody has any of them at this moment. Who does not wait may have the store's lock
  // already.
  [[nodiscard]] std::optional<Locks> try_lock() const;

  // Under host-local's locks, on the first use of a network: leases what its files say, each as
  // `offer` would answer it, unless `inventory` tells that its holder has ended. Returns what it
  // made of each file.
  std::vector<Found> adopt(store::Transaction& transaction, store::Network& network,
                           const pools::Offer& offer, const store::Moment& now,
                           const Inventory& inventory) const;

  // The same of the files that were not looked at so far, and whose addresses are in `added`:
  // ranges that the network gets later. What is leased stays as it is.
  std::vector<Found> adopt_in(store::Transaction& transaction, const store::Network& network,
                              const pools::Offer& added, const store::Moment& now,
                              const Inventory& inventory) const;

  // Under host-local's locks, later: ends the leases of files that vanished, unless the pod is seen
  // to live, and of a shared network takes over what host-local did. Throws kConfig if it leased an
  // address of `offer` on a network that is podlease's alone; with kTake, only one that is leased.
  void follow(store::Transaction& transaction, store::Network& network, const pools::Offer& offer,
              const World& world, Newcomers newcomers = Newcomers::kRefuse) const;

  // Writes the leases of a shared network where host-local will find them, and removes the files of
  // those that ended. Before the commit: a file without a lease is a leak, a lease without a file a
  // duplicate.
  void mirror(store::Transaction& transaction, const store::Network& network,
              const store::Moment& now) const;

  // Reports whether there is a file of an attachment.
  [[nodiscard]] bool holds(const AttachmentKey& key) const;

  // Under host-local's locks: removes the files of an attachment that holds no lease any more.
  void forget(store::Transaction& transaction, const store::Network& network,
              const AttachmentKey& key) const;

 private:
  // Of one folder, since the last look.
  struct Changes {
    const host::HostLocalFolder* folder;
    std::vector<store::AdoptedFile> vanished;
    std::vector<store::AdoptedFile> appeared;
  };
  [[nodiscard]] static std::vector<Found> adopt_files(
      store::Transaction& transaction, const store::Network& network,
      const host::HostLocalFolder& folder, const std::vector<store::AdoptedFile>& files,
      const pools::Offer& offer, const store::Moment& now, const Inventory& inventory);
  void end_vanished(store::Transaction& transaction, const store::Network& network,
                    const std::vector<store::AdoptedFile>& vanished, const World& world) const;
  // Returns whether host-local was called since.
  [[nodiscard]] bool take_appeared(store::Transaction& transaction, const store::Network& network,
                                   const Changes& changes, const pools::Offer& offer,
                                   const World& world, Newcomers newcomers) const;

  std::vector<host::HostLocalFolder> folders_;  // those that exist
};

// Leases as host-local's files say them.
[[nodiscard]] std::vector<host::HostLocalEntry> to_entries(const std::vector<store::Lease>& leases);

// Notes in the store what a folder says, so that a later look finds only what changed since.
void record_folder(store::Transaction& transaction, const store::Network& network,
                   const host::HostLocalFolder& folder, const host::HostLocalState& state,
                   const store::Moment& now);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_HOST_LOCAL_H_
