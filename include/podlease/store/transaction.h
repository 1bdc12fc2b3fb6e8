#ifndef PODLEASE_STORE_TRANSACTION_H_
#define PODLEASE_STORE_TRANSACTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/store/lease.h"

namespace podlease::store {

class Database;

// How a network stands to a folder of host-local.
enum class Handover {
  kOwned = 0,   // podlease leases alone; host-local must not
  kShared = 1,  // exported: either may be called next, so both are kept in step
};

struct Network {
  std::int64_t id = 0;
  std::string name;
  std::vector<net::Address> hints;
  Handover handover = Handover::kOwned;
  std::int64_t next_position = 1;  // of the freed queue: grows with each lease that ends
};

struct Source {
  std::string folder;
  std::string stamp;  // empty: not vouched for, look again
};

struct AdoptedFile {
  net::Address address;
  std::string container_id;
  std::string ifname;  // empty: any

  friend auto operator<=>(const AdoptedFile&, const AdoptedFile&) = default;
};

// A free address that was leased before.
struct Freed {
  net::Address address;
  std::int64_t position = 0;
  std::chrono::sys_time<Milliseconds> at{};
  Milliseconds since_boot{};  // comparable within one boot
  std::string boot_id;
};

// Who has an address, as far as it tells whether he lives.
struct Holder {
  net::Address address;
  Presence presence;
  std::chrono::sys_time<Milliseconds> created{};  // the lease
  bool suspected = false;
};

// Since when the holder of a lease is missed.
struct Suspicion {
  std::string boot_id;
  Milliseconds since_boot{};
};

struct Usage {
  std::uint64_t leased = 0;
  std::uint64_t freed = 0;
  net::Uint128 untouched = 0;
};

// The moment and boot in which an address is freed.
struct Moment {
  Instant at;
  std::string boot_id;
};

// The time since a moment. Over a reboot at least for as long as this boot, whatever has been done
// to the clock on the wall; if that was set back, as long as can be.
[[nodiscard]] Milliseconds elapsed(const Moment& then, const Moment& now);

// An object of the cluster as it was last read, and how the last attempt to read it went.
struct RemoteObject {
  std::string server;                          // the host it was asked of
  std::string body;                            // JSON; empty: never read, or no longer valid
  std::chrono::sys_time<Milliseconds> read{};  // when `body` was
  Moment attempted;                            // the last time it was asked for
  std::string failure;                         // then; empty: it was had
  std::string advice;                          // what to do about the failure; may be empty
  bool hopeless = false;                       // trying again will not mend it
  bool gone = false;                           // what was known of it holds no longer
};

// A block of addresses that this node has of a pool of the cluster, or is about to have. It belongs
// to one network.
struct Block {
  enum class State {
    kClaiming,   // asked for; whether it is ours is not known yet
    kOwned,      // ours, as of `verified`
    kReleasing,  // being given back: never leased from again
    kLost,       // another node's, although leases of ours may still be in it
  };
  std::string network;  // its name
  net::Prefix cidr;
  std::string pool;
  State state = State::kClaiming;
  std::string claim_id;
  std::string uid;            // of the object; empty: not known yet
  bool ending = false;        // somebody has deleted the object: it drains
  bool unexplored = false;    // of a lost store: who has addresses of it is not known yet
  Milliseconds reap_grace{};  // of the pool, as last read
  Moment claimed;             // since when there is this record
  Moment verified;            // when the cluster last said that it is ours
  Moment attempted;           // when it was last asked about it
  std::string failure;        // what came of that; empty: it went well
};

// claiming, owned, releasing, lost.
[[nodiscard]] std::string_view to_string(Block::State state);

// One transaction; rolled back unless committed. Failures of SQLite are thrown as kIo, kBusy where
// a foreign connection keeps the store for longer than the lock's time-out. Unless it says
// otherwise each call costs O(log n).
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();

  // Durable once it returns. Without a change it costs no sync.
  void commit();

  // Networks.
  [[nodiscard]] std::optional<Network> find_network(const std::string& name);
  [[nodiscard]] Network ensure_network(const std::string& name);
  [[nodiscard]] std::vector<Network> networks();
  void set_hints(Network& network, std::vector<net::Address> hints);
  void set_handover(Network& network, Handover handover);

  // Reports whether the attachment holds anything: `leases_of` at a fraction of its cost.
  [[nodiscard]] bool has_leases(const Network& network, const std::string& container_id,
                                const std::string& ifname);
  // Leases of one attachment, in range-set order. A lease with an empty ifname belongs to any.
  [[nodiscard]] std::vector<Lease> leases_of(const Network& network,
                                             const std::string& container_id,
                                             const std::string& ifname);
  // The same in whichever network.
  [[nodiscard]] std::vector<Lease> leases_of(const std::string& container_id,
                                             const std::string& ifname);
  [[nodiscard]] std::optional<Lease> lease_at(const Network& network, net::Address address);
  // All leases, of one network or of every one, by network and address. O(n).
  [[nodiscard]] std::vector<Lease> leases(const std::optional<Network>& network = std::nullopt);

  // Leases an address that is free. What the caller knows of it saves looking.
  enum class Before { kUnknown, kUntouched };
  void insert(const Network& network, const Lease& lease, Before before = Before::kUnknown);
  // Ends a lease: the address goes to the end of the freed queue to cool, or to its front, cool, if
  // its holder was dead for long already. Notes it in the history, unless the disk is full.
  void release(const Lease& lease, const Moment& moment, Ending why);
  // Refreshes who holds the lease: container, pod and presence are those of `now`.
  void refresh(const Lease& lease, const Lease& now);

  // A few leases of the network. Which ones moves on with each lease that is made or ends, so that
  // in time all come by; after `insert`.
  [[nodiscard]] std::vector<Holder> sample(const Network& network);
  // Those of all leases of the network, by address: `leases` at a fraction of its cost. O(n).
  [[nodiscard]] std::vector<Holder> holders(const Network& network);
  // The addresses that a pod's interface had last, leased to it or free: `insert` takes out what
  // somebody else gets.
  [[nodiscard]] std::vector<net::Address> addresses_of_pod(const Network& network,
                                                           const std::string& pod_uid,
                                                           const std::string& ifname);
  void set_addresses_of_pod(const Network& network, const std::string& pod_uid,
                            const std::string& ifname, const std::vector<net::Address>& addresses);
  // Of exactly this lease: one that was made or refreshed since is under no suspicion.
  [[nodiscard]] std::optional<Suspicion> suspicion(const Network& network, const Lease& lease);
  void suspect(const Network& network, const Lease& lease, const Suspicion& suspicion);
  void trust(const Network& network, net::Address address);

  // The last leases that ended, latest first: some thousands are kept of each network. O(n).
  [[nodiscard]] std::vector<PastLease> history();

  // The lowest address of `usable` that was never leased and is not below `from`; of the family of
  // `from`.
  [[nodiscard]] std::optional<net::Address> first_untouched(const Network& network,
                                                            const net::IntervalSet& usable,
                                                            net::Address from);
  // The address of `usable` that was freed longest ago, less those in `passed_over`. What lies
  // before it in the queue and is not usable is walked once for each set of usable addresses, and
  // remembered.
  [[nodiscard]] std::optional<Freed> oldest_freed(const Network& network, net::Family family,
                                                  const net::IntervalSet& usable,
                                                  const net::IntervalSet& passed_over);
  [[nodiscard]] std::optional<Freed> freed_at(const Network& network, net::Address address);
  // All of the network's freed addresses, whatever the ranges. O(n).
  [[nodiscard]] std::size_t freed_count(const Network& network);
  // How much of `usable` is in which state. O(n).
  [[nodiscard]] Usage usage(const Network& network, const net::IntervalSet& usable);
  // Freed addresses of `usable`, oldest first. O(n).
  [[nodiscard]] std::vector<Freed> freed(const Network& network, const net::IntervalSet& usable);

  // What is known of host-local's folders for a network.
  [[nodiscard]] std::vector<Source> sources(const Network& network);
  void set_source(const Network& network, const Source& source);
  [[nodiscard]] std::vector<AdoptedFile> adopted(const Network& network, const std::string& folder);
  void set_adopted(const Network& network, const std::string& folder,
                   const std::vector<AdoptedFile>& files);
  // DELs that came before their network was adopted. An empty network name stands for any.
  void note_ended(const AttachmentKey& key);
  [[nodiscard]] bool has_ended(const AttachmentKey& key);
  void forget_ended(const std::string& network);

  // What is known of an object of the cluster. The key is the caller's.
  [[nodiscard]] std::optional<RemoteObject> remote_object(const std::string& key);
  void set_remote_object(const std::string& key, const RemoteObject& object);

  // Blocks, of one network or of all, by network and address.
  [[nodiscard]] std::vector<Block> blocks(const std::string& network);
  [[nodiscard]] std::vector<Block> blocks();
  [[nodiscard]] std::optional<Block> block(const std::string& network, const net::Prefix& cidr);
  void set_block(const Block& block);
  void forget_block(const Block& block);
  // Reports whether no address of `range` is leased, nor was within the cool-down. O(n) in those
  // that ever were.
  [[nodiscard]] bool is_at_rest(const Network& network, const net::Range& range,
                                Milliseconds cooldown, const Moment& now);
  // How many addresses of `range` are leased in the network. O(n) in their number.
  [[nodiscard]] std::uint64_t leased_in(const Network& network, const net::Range& range);

  // Throws kOther if an address is not in exactly one place: for tests and `doctor`. O(n).
  void verify();

 private:
  [[nodiscard]] bool take_from_freed(const Network& network, const Lease& lease);
  [[nodiscard]] std::int64_t front_of_freed(std::int64_t network);
  void note_in_history(std::int64_t network, std::int64_t number, const Lease& lease,
                       const Moment& moment, Ending why);
  void touch(const Network& network, net::Address address);

  Database* database_;  // null once moved from, committed or rolled back
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_TRANSACTION_H_
