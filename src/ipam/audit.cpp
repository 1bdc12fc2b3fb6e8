#include <algorithm>
#include <map>
#include <set>

#include "podlease/base/duration.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host_local.h"
#include "podlease/ipam/leases.h"
#include "podlease/net/interval_set.h"
#include "presence.h"

namespace podlease::ipam {
namespace {

using host::CachedAttachment;
using host::NamedNetns;
using store::Lease;
using Level = Finding::Level;

// An ADD or DEL may be under way: what is younger proves nothing.
constexpr Milliseconds kUnderWay{60'000};

std::string holder(const Lease& lease) {
  const std::string pod = lease.pod.text();
  return pod.empty() ? "container " + lease.key.container_id : "pod " + pod;
}

// An address inside a namespace.
struct Inside {
  NamedNetns netns;
  std::string interface;
};

struct NetworkLeases {
  store::Network network;
  std::vector<Lease> leases;
  std::vector<store::Source> folders;  // of host-local
};

// What stands where, read before anything is compared.
class Auditor {
 public:
  Auditor(const host::Host& host, const std::filesystem::path& cni_cache,
          std::vector<NetworkLeases> networks, const store::Moment& now)
      : host_(&host),
        now_(now),
        networks_(std::move(networks)),
        cache_(host::read_cni_cache(cni_cache)) {
    const host::NetnsId own = host.look_at("/proc/self/ns/net").id;
    for (const NamedNetns& netns : host.named_namespaces()) {
      if (netns.id == own) {
        continue;
      }
      if (const auto addresses = host.addresses_in(netns)) {
        entered_.insert(netns.id);
        for (const host::PodAddress& address : *addresses) {
          inside_.emplace(address.address.address(),
                          Inside{.netns = netns, .interface = address.interface});
        }
      }
    }
  }

  [[nodiscard]] std::vector<Finding> run() {
    for (const NetworkLeases& network : networks_) {
      check_leases(network);
      check_namespaces(network);
      check_cache(network);
      for (const store::Source& folder : network.folders) {
        check_host_local(network, folder.folder);
      }
    }
    for (const host::SkippedFile& skipped : cache_.skipped) {
      note(Level::kNote, "unreadable-cache-file", "", "", skipped.file.string(), skipped.why,
           "remove it once no pod of it runs: rm " + skipped.file.string());
    }
    return std::move(findings_);
  }

 private:
  void note(Level level, std::string kind, std::string network, std::string address,
            std::string subject, std::string evidence, std::string remedy) {
    findings_.push_back({.level = level,
                         .kind = std::move(kind),
                         .network = std::move(network),
                         .address = std::move(address),
                         .subject = std::move(subject),
                         .evidence = std::move(evidence),
                         .remedy = std::move(remedy)});
  }

  [[nodiscard]] static const Lease* lease_at(const NetworkLeases& network, net::Address address) {
    const auto found =
        std::find_if(network.leases.begin(), network.leases.end(),
                     [&](const Lease& lease) { return lease.address.address() == address; });
    return found == network.leases.end() ? nullptr : &*found;
  }

  // From the store to the machine.
  void check_leases(const NetworkLeases& network) {
    Sight sight(*host_, now_.boot_id);
    std::vector<store::Holder> holders;
    for (const Lease& lease : network.leases) {
      holders.push_back({.address = lease.address.address(),
                         .presence = lease.presence,
                         .created = lease.created});
    }
    const std::vector<Fate> fates = sight.fates_of(holders);
    for (std::size_t index = 0; index < fates.size(); ++index) {
      const Lease& lease = network.leases[index];
      const std::string address = lease.address.address().to_string();
      const Milliseconds age = now_.at.wall - lease.created;
      if (fates[index] == Fate::kEarlierBoot) {
        note(Level::kWrong, "earlier-boot", network.network.name, address, holder(lease),
             "leased before the last boot", "podlease gc");
      } else if (fates[index] == Fate::kGone && age >= kUnderWay) {
        note(Level::kWrong, "gone", network.network.name, address, holder(lease),
             "its namespace " + lease.presence.netns + " is gone",
             "podlease gc, and again after a minute");
      } else if (fates[index] == Fate::kAlive && age >= kUnderWay && !has_address(lease)) {
        note(Level::kWrong, "not-in-use", network.network.name, address, holder(lease),
             "its namespace " + lease.presence.netns + " does not have the address",
             "podlease release --force " + address + ", or restart the pod if it should have it");
      }
    }
  }

  [[nodiscard]] bool has_address(const Lease& lease) const {
    const host::NetnsId id{.device = lease.presence.netns_device,
                           .inode = lease.presence.netns_inode};
    const auto [first, last] = inside_.equal_range(lease.address.address());
    return !entered_.contains(id) ||  // then nothing is known
           std::any_of(first, last, [&](const auto& one) { return one.second.netns.id == id; });
  }

  // From the namespaces to the store: who uses an address of this network without a lease.
  void check_namespaces(const NetworkLeases& network) {
    net::IntervalSet subnets;
    for (const Lease& lease : network.leases) {
      subnets.insert(lease.address.range());
    }
    for (auto at = inside_.begin(); at != inside_.end(); at = inside_.upper_bound(at->first)) {
      const net::Address address = at->first;
      if (!subnets.contains(address)) {
        continue;
      }
      const auto [first, last] = inside_.equal_range(address);
      std::vector<const Inside*> users;
      for (auto one = first; one != last; ++one) {
        if (!is_of_another(network, address, one->second)) {
          users.push_back(&one->second);
        }
      }
      const Lease* const lease = lease_at(network, address);
      if (users.size() > 1) {
        note(
            Level::kWrong, "duplicate", network.network.name, address.to_string(),
            lease == nullptr ? "nobody's lease" : holder(*lease),
            "used in " + users[0]->netns.path.string() + " and in " + users[1]->netns.path.string(),
            "restart the pod that has no lease: podlease show " + address.to_string());
      } else if (users.size() == 1 && lease == nullptr) {
        note(Level::kWrong, "no-lease", network.network.name, address.to_string(),
             users[0]->netns.path.string(),
             "interface " + users[0]->interface + " in " + users[0]->netns.path.string() +
                 " has the address, and nobody has a lease for it",
             "restart the pod: another one may get its address");
      }
    }
  }

  // Two networks may have the same addresses.
  [[nodiscard]] bool is_of_another(const NetworkLeases& network, net::Address address,
                                   const Inside& inside) const {
    const bool leased_elsewhere =
        std::any_of(networks_.begin(), networks_.end(), [&](const NetworkLeases& other) {
          const Lease* const lease =
              other.network.id == network.network.id ? nullptr : lease_at(other, address);
          return lease != nullptr && lease->presence.netns_inode == inside.netns.id.inode;
        });
    return leased_elsewhere ||
           std::any_of(cache_.attachments.begin(), cache_.attachments.end(),
                       [&](const CachedAttachment& attachment) {
                         return attachment.key.network != network.network.name &&
                                attachment.has(address) &&
                                host_->look_at(attachment.netns).id == inside.netns.id;
                       });
  }

  // From libcni's cache to the store.
  void check_cache(const NetworkLeases& network) {
    for (const CachedAttachment& attachment : cache_.attachments) {
      if (attachment.key.network != network.network.name) {
        continue;
      }
      const bool lives = !attachment.netns.empty() &&
                         host_->look_at(attachment.netns).state == host::NetnsState::kAlive;
      for (const net::Prefix& prefix : attachment.addresses) {
        const Lease* const lease = lease_at(network, prefix.address());
        if (lease != nullptr && lease->key.container_id == attachment.key.container_id) {
          continue;
        }
        note(lives ? Level::kWrong : Level::kNote, "only-in-cache", network.network.name,
             prefix.address().to_string(), "container " + attachment.key.container_id,
             attachment.file.string() + " names it, " +
                 (lease == nullptr ? "the store does not"
                                   : "the store has leased it to " + holder(*lease)) +
                 (lives ? "" : "; its namespace is not there"),
             lives ? "restart the pod: its lease is lost"
                   : "none is needed: the runtime has not finished its DEL, or never will");
      }
    }
  }

  void check_host_local(const NetworkLeases& network, const std::string& path) {
    const host::HostLocalFolder folder(path);
    if (!folder.stamp()) {
      return;
    }
    for (const host::HostLocalEntry& entry : folder.read().entries) {
      const std::string file = (folder.path() / entry.address.to_string()).string();
      const Lease* const lease = lease_at(network, entry.address);
      if (entry.container_id.empty()) {
        note(Level::kNote, "host-local-orphan", network.network.name, entry.address.to_string(),
             file, "the file is empty: its writer died", "rm " + file);
      } else if (lease != nullptr && lease->key.container_id != entry.container_id) {
        note(Level::kWrong, "host-local-conflict", network.network.name, entry.address.to_string(),
             holder(*lease), file + " gives it to container " + entry.container_id,
             "make every configuration of this network use podlease, and restart one of the two");
      } else if (lease == nullptr && network.network.handover == store::Handover::kOwned) {
        note(Level::kNote, "host-local-leftover", network.network.name, entry.address.to_string(),
             "container " + entry.container_id, file + " is there, the lease has ended",
             "none is needed: podlease passes it over");
      }
    }
  }

  const host::Host* host_;
  store::Moment now_;
  std::vector<NetworkLeases> networks_;
  host::CniCache cache_;
  std::multimap<net::Address, Inside> inside_;
  std::set<host::NetnsId> entered_;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> Leases::audit() const {
  std::vector<NetworkLeases> networks;
  {
    std::optional<store::Store> store = store::Store::open_existing(options(data_dir_));
    if (!store) {
      return {};
    }
    store::Transaction transaction = store->begin();
    transaction.verify();
    for (const store::Network& network : transaction.networks()) {
      networks.push_back({.network = network,
                          .leases = transaction.leases(network),
                          .folders = transaction.sources(network)});
    }
  }
  return Auditor(*host_, places_.cni_cache, std::move(networks), moment()).run();
}

}  // namespace podlease::ipam
