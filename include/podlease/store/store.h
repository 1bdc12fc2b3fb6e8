#ifndef PODLEASE_STORE_STORE_H_
#define PODLEASE_STORE_STORE_H_

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/store/transaction.h"

// The durable state of a node: one SQLite file, `<folder>/podlease.db`, under one kernel lock,
// `<folder>/lock`.
//
// Why it is built like this:
// - A process lives for one call, so every call opens the file anew. The flock comes first and is
//   the only queue: fair, bounded in time, and gone with its owner. Under it SQLite may take the
//   file for itself (locking_mode=EXCLUSIVE), which spares the shared-memory index.
// - WAL with synchronous=FULL costs one fdatasync a transaction. The log is folded into the file at
//   the start of a call that finds it at 64 frames or more, since every start has to read it again.
//   It is reused, not cut off: the space it once got lets a DEL succeed on a full disk.
// - SQLite also syncs the folder whenever a process first writes the log. That is only needed when
//   the log is new, so it is left out where the lock file vouches that this very log's name is
//   durable. Where the lock file tells of another log, what was written last may be lost, and no
//   network counts as surveyed any more.
//
// Schema 1.1; `PRAGMA user_version` is 1000 * major + minor. Addresses are blobs: one byte 4 or 6,
// then 4 or 16 bytes big-endian, so that bytes order as addresses do and families never mix. Per
// network every address is in one place:
//   lease    leased
//   freed    was leased and is free, in the order of `position`, which grows with each release
//   neither  never leased; `touched` holds the intervals of all addresses in one of the two
// None of it knows today's ranges: what they leave out is subtracted when asked, so ranges can be
// edited at will. Nor does it know of wires. Networks on one wire have their addresses together,
// but each keeps rows of its own, so that a podlease of schema 1.0 finds the world it knows; what
// is asked of one network is asked of each whose addresses it counts. An address that another
// network has freed becomes this one's when this one leases it, and untouched there. Beside them:
//   network  its name; hints: addresses where the search for an untouched one starts;
//            next_position; handover; wires: the wires it is known to be on, apart by spaces;
//            space: the lowest id of the networks that share addresses, NULL for its own; examine:
//            the next lease to look at; reused: how often a freed address was leased again, so that
//            next_position tells how many are free; surveyed: the ranges that the machine was asked
//            about
//   lease    besides what 1.0 had, cookie and view of the presence; the view ends in a seal on the
//            rest of it, since a 1.0 changes that and leaves these
//   note     what is seldom needed, by kind:
//     source   a folder of host-local that was adopted -> its stamp
//     adopted  a file that stood in it -> container and interface, to tell new and vanished files
//     ended    an attachment whose DEL came before its network was adopted
//     pod      a pod's UID and interface -> the addresses it had last
//     suspect  a leased address -> since when its holder is missed
//     object   an object of the cluster -> what was last read, and when
//     block    a network's name and a CIDR of a pool -> how it stands to that block, and since when
//     history  a number, used again after some thousands -> a lease that has ended
//     touched  the fingerprint of a set of usable addresses -> from where to where there is none
//              that was never leased
//     skipped  the fingerprint of a set of usable addresses -> the position up to which `freed` is
//              known to hold none of them
namespace podlease::store {

class Database;

// SQLite says that what is in the file cannot be: kIo.
class DamagedError : public Error {
 public:
  using Error::Error;
};

class Store {
 public:
  struct Options {
    std::filesystem::path folder;
    std::filesystem::path registry;  // the list of stores, which a new one is added to first
    Milliseconds lock_timeout{30'000};
  };

  // Takes the lock, opens the store, and creates what is missing. Throws kBusy, naming the holder,
  // if the lock is not had in time; kIo if the folder or the file cannot be used, or has a schema
  // of a newer major.
  [[nodiscard]] static Store open(const Options& options);

  // The same, but nothing if there is no store yet.
  [[nodiscard]] static std::optional<Store> open_existing(const Options& options);

  // The same, but an empty one in memory if there is no store yet: to look, and leave nothing.
  [[nodiscard]] static Store open_existing_or_empty(const Options& options);

  // For DEL, which must work whatever wrote the store: a newer major is accepted, as the lease
  // table keeps its shape.
  [[nodiscard]] static std::optional<Store> open_for_release(const Options& options);

  // An empty store in memory, with nothing on disk and no lock: to explain what a first ADD would
  // do.
  [[nodiscard]] static Store in_memory();

  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  // Closes it.
  ~Store();

  // Releases the lock. Its transactions must have ended; nothing but its end may follow.
  void close() noexcept;

  // One at a time.
  [[nodiscard]] Transaction begin();

  [[nodiscard]] std::string schema_version() const;
  // Reports whether a podlease of a newer major wrote it. Then only its leases and the names of its
  // networks are known here.
  [[nodiscard]] bool is_newer() const;

 private:
  explicit Store(std::unique_ptr<Database> database);
  [[nodiscard]] static Store open(const Options& options, bool may_retry);

  std::unique_ptr<Database> database_;
};

// Moves a store aside whose file is damaged, with its log, so that a new one can be made; says so
// on stderr. Returns false if nothing is wrong with it after all: what another process found, or a
// disk that answers again. Waits for the lock; throws kBusy or kIo.
[[nodiscard]] bool set_aside_if_damaged(const Store::Options& options);

// Reports whether `folder` can hold a store and be written to, without waiting for its lock. Throws
// kIo otherwise.
void probe_writable(const std::filesystem::path& folder);

// The kind of file system a folder is on, where other machines may share it: nfs, ceph, …; nothing
// if they cannot, or it cannot be seen. Where a store is there already it is served.
[[nodiscard]] std::optional<std::string> shared_file_system(const std::filesystem::path& folder);

}  // namespace podlease::store

#endif  // PODLEASE_STORE_STORE_H_
