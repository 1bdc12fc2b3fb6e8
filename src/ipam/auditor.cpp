#include "auditor.h"

#include <algorithm>
#include <utility>

#include "podlease/host/host_local.h"
#include "podlease/net/interval_set.h"

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

enum class Wires { kShared, kUnknown, kApart };

Wires compare_wires(const AuditedNetwork& a, const AuditedNetwork& b) {
  if (a.network.wires.empty() || b.network.wires.empty()) {
    return Wires::kUnknown;
  }
  const bool shared =
      std::any_of(a.network.wires.begin(), a.network.wires.end(), [&](const std::string& wire) {
        return std::find(b.network.wires.begin(), b.network.wires.end(), wire) !=
               b.network.wires.end();
      });
  return shared ? Wires::kShared : Wires::kApart;
}

std::string name_of(const AuditedNetwork& network, const AuditedNetwork& beside) {
  return "network " + network.network.name +
         (network.store == beside.store ? "" : " in the store " + network.store.string());
}

}  // namespace

const Lease* AuditedNetwork::lease_at(net::Address address) const {
  const auto found = std::lower_bound(
      leases.begin(), leases.end(), address,
      [](const Lease& lease, auto wanted) { return lease.address.address() < wanted; });
  return found == leases.end() || found->address.address() != address ? nullptr : &*found;
}

Auditor::Auditor(const host::Host& host, const std::vector<std::filesystem::path>& cni_caches,
                 std::vector<AuditedNetwork> networks, std::vector<AuditedNetwork> others,
                 const store::Moment& now)
    : host_(&host),
      now_(now),
      networks_(std::move(networks)),
      others_(std::move(others)),
      walk_(host),
      judge_(host, now.boot_id),
      cache_(host::read_cni_cache(cni_caches, "")) {
  entered_.insert(host.netns_at("/proc/self/ns/net").id);
  std::vector<std::string> recorded;
  for (const AuditedNetwork& network : networks_) {
    for (const Lease& lease : network.leases) {
      recorded.push_back(lease.presence.netns);
    }
  }
  for (const NamedNetns& netns : host.named_namespaces(recorded)) {
    look_into(netns, false);
  }
  for (const AuditedNetwork& network : networks_) {
    for (const Lease& lease : network.leases) {
      if (!lease.presence.netns.empty()) {
        look_into({.path = lease.presence.netns, .id = id_of(lease.presence)}, false);
      }
    }
  }
  for (const AuditedNetwork& network : networks_) {
    static_cast<void>(judge_.all(holders_of(network.leases), &walk_));  // any may be a witness
  }
  for (const auto& [id, process] : host.occupied().processes) {
    look_into({.path = "/proc/" + std::to_string(process) + "/ns/net", .id = id}, true);
  }
}

// Of a nested cluster's pods the interfaces do not end in the host's own namespace, and their
// addresses are not ours.
void Auditor::look_into(const NamedNetns& netns, bool only_of_this_host) {
  if (entered_.contains(netns.id)) {
    return;
  }
  const auto addresses = host_->addresses_in(netns);
  if (!addresses) {
    return;
  }
  entered_.insert(netns.id);
  for (const host::PodAddress& address : *addresses) {
    if (!only_of_this_host || address.peer != 0) {
      inside_.emplace(address.address.address(),
                      Inside{.netns = netns, .interface = address.interface});
    }
  }
}

std::vector<Finding> Auditor::run() {
  for (auto network = networks_.begin(); network != networks_.end(); ++network) {
    check_leases(*network);
    check_namespaces(*network);
    check_cache(*network);
    for (const store::WatchedFolder& folder : network->folders) {
      check_host_local(*network, folder.folder);
    }
    for (auto other = std::next(network); other != networks_.end(); ++other) {
      check_against(*network, *other);
    }
    for (const AuditedNetwork& other : others_) {
      check_against(*network, other);
    }
  }
  for (const host::SkippedFile& skipped : cache_.skipped) {
    note(Level::kNote, "unreadable-cache-file", nullptr, "", skipped.file.string(), skipped.why,
         "remove it once no pod of it runs: rm " + skipped.file.string());
  }
  return std::move(findings_);
}

void Auditor::note(Level level, std::string kind, const AuditedNetwork* network,
                   const std::string& address, std::string subject, std::string evidence,
                   std::string remedy) {
  findings_.push_back({.level = level,
                       .kind = std::move(kind),
                       .network = network == nullptr ? std::string() : network->network.name,
                       .address = address,
                       .subject = std::move(subject),
                       .evidence = std::move(evidence),
                       .remedy = std::move(remedy)});
}

void Auditor::check_leases(const AuditedNetwork& network) {
  const std::vector<Judgement> judgements = judge_.all(holders_of(network.leases), &walk_);
  for (std::size_t index = 0; index < judgements.size(); ++index) {
    check_lease(network, network.leases[index], judgements[index]);
  }
}

void Auditor::check_lease(const AuditedNetwork& network, const Lease& lease,
                          const Judgement& judgement) {
  const std::string address = lease.address.address().to_string();
  const bool is_settled = now_.at.wall - lease.created >= kUnderWay;
  switch (judgement.liveness) {
    case Liveness::kEarlierBoot:
      note(Level::kWrong, "earlier-boot", &network, address, holder(lease),
           "it was leased before the last boot", "podlease gc");
      break;
    case Liveness::kGone:
      if (is_settled) {
        note(Level::kWrong, "gone", &network, address, holder(lease),
             "its namespace " + lease.presence.netns + " is gone",
             "podlease gc, and again after a minute");
      }
      break;
    case Liveness::kMissing:
    case Liveness::kDoubt:
      if (is_settled) {
        note(Level::kNote, "doubt", &network, address, holder(lease),
             "nothing proves that its pod lives, and nothing that it has ended",
             std::string(what_settles(judgement.doubt)));
      }
      break;
    case Liveness::kAlive:
      if (is_settled && !has_address(lease)) {
        note(Level::kWrong, "not-in-use", &network, address, holder(lease),
             "its namespace " + lease.presence.netns + " does not have the address",
             "podlease release --force " + address + ", or restart the pod if it should have it");
      }
      break;
  }
}

bool Auditor::has_address(const Lease& lease) const {
  const auto [first, last] = inside_.equal_range(lease.address.address());
  return !entered_.contains(id_of(lease.presence)) ||  // then nothing is known
         std::any_of(first, last,
                     [&](const auto& one) { return one.second.netns.id == id_of(lease.presence); });
}

void Auditor::check_namespaces(const AuditedNetwork& network) {
  net::IntervalSet subnets;
  for (const Lease& lease : network.leases) {
    subnets.insert(lease.address.range());
  }
  for (auto at = inside_.begin(); at != inside_.end(); at = inside_.upper_bound(at->first)) {
    if (subnets.contains(at->first)) {
      check_users(network, at->first);
    }
  }
}

void Auditor::check_users(const AuditedNetwork& network, net::Address address) {
  const auto [first, last] = inside_.equal_range(address);
  std::vector<const Inside*> users;
  for (auto one = first; one != last; ++one) {
    if (!is_of_another(network, address, one->second)) {
      users.push_back(&one->second);
    }
  }
  const Lease* const lease = network.lease_at(address);
  if (users.size() > 1) {
    note(Level::kWrong, "duplicate", &network, address.to_string(),
         lease == nullptr ? "nobody's lease" : holder(*lease),
         "used in " + users[0]->netns.path.string() + " and in " + users[1]->netns.path.string(),
         "restart the pod that has no lease: podlease show " + address.to_string());
  } else if (users.size() == 1 && lease == nullptr) {
    note(Level::kWrong, "no-lease", &network, address.to_string(), users[0]->netns.path.string(),
         "interface " + users[0]->interface + " in " + users[0]->netns.path.string() +
             " has the address, and nobody has a lease for it",
         "restart the pod: another one may get its address");
  }
}

bool Auditor::is_of_another(const AuditedNetwork& network, net::Address address,
                            const Inside& inside) const {
  const auto has_lease = [&](const AuditedNetwork& other) {
    const Lease* const lease = &other == &network ? nullptr : other.lease_at(address);
    return lease != nullptr && id_of(lease->presence) == inside.netns.id;
  };
  return std::any_of(networks_.begin(), networks_.end(), has_lease) ||
         std::any_of(others_.begin(), others_.end(), has_lease) ||
         std::any_of(cache_.attachments.begin(), cache_.attachments.end(),
                     [&](const CachedAttachment& attachment) {
                       return attachment.key.network != network.network.name &&
                              attachment.has(address) &&
                              host_->netns_at(attachment.netns).id == inside.netns.id;
                     });
}

void Auditor::check_cache(const AuditedNetwork& network) {
  for (const CachedAttachment& attachment : cache_.attachments) {
    if (attachment.key.network != network.network.name) {
      continue;
    }
    const bool lives = !attachment.netns.empty() &&
                       host_->netns_at(attachment.netns).state == host::NetnsState::kAlive;
    for (const net::Prefix& prefix : attachment.addresses) {
      const Lease* const lease = network.lease_at(prefix.address());
      if (lease != nullptr && lease->key.container_id == attachment.key.container_id) {
        continue;
      }
      note(lives ? Level::kWrong : Level::kNote, "only-in-cache", &network,
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

void Auditor::check_host_local(const AuditedNetwork& network, const std::string& path) {
  const host::HostLocalFolder folder(path);
  if (!folder.stamp()) {
    return;
  }
  const host::HostLocalState state = folder.read();
  for (const host::SkippedFile& skipped : state.skipped) {
    note(Level::kNote, "host-local-unreadable", &network, "", skipped.file.string(), skipped.why,
         "remove it: host-local makes only plain files");
  }
  for (const host::HostLocalEntry& entry : state.entries) {
    const std::string file = (folder.path() / entry.address.to_string()).string();
    const Lease* const lease = network.lease_at(entry.address);
    if (entry.container_id.empty()) {
      note(Level::kNote, "host-local-orphan", &network, entry.address.to_string(), file,
           "the file is empty: its writer died", "rm " + file);
    } else if (lease != nullptr && lease->key.container_id != entry.container_id) {
      note(Level::kWrong, "host-local-conflict", &network, entry.address.to_string(),
           holder(*lease), file + " gives it to container " + entry.container_id,
           "make every configuration of this network use podlease, and restart one of the two");
    } else if (lease == nullptr && network.network.handover == store::Handover::kOwned) {
      check_unleased_file(network, entry, file);
    }
  }
}

void Auditor::check_unleased_file(const AuditedNetwork& network, const host::HostLocalEntry& entry,
                                  const std::string& file) {
  const std::string container = "container " + entry.container_id;
  const store::AdoptedFile known{.address = entry.address,
                                 .container_id = entry.container_id,
                                 .ifname = entry.ifname.value_or("")};
  if (std::binary_search(network.files.begin(), network.files.end(), known)) {
    note(Level::kNote, "host-local-leftover", &network, entry.address.to_string(), container,
         file + " is there, the lease has ended", "none is needed: podlease passes it over");
  } else if (net::IntervalSet(network.network.surveyed).contains(entry.address)) {
    note(Level::kWrong, "host-local-conflict", &network, entry.address.to_string(), container,
         file + " appeared after podlease took the network over: each ADD is refused",
         "make every configuration of this network use podlease, then remove the file once its "
         "container has ended");
  }
}

void Auditor::check_against(const AuditedNetwork& network, const AuditedNetwork& other) {
  const Wires wires = compare_wires(network, other);
  bool tells_of_subnet = wires == Wires::kApart;
  for (const Lease& lease : network.leases) {
    const Lease* const theirs = other.lease_at(lease.address.address());
    if (tells_of_subnet && lease.gateway &&
        std::any_of(other.leases.begin(), other.leases.end(), [&](const Lease& one) {
          return one.gateway == lease.gateway && one.address.masked() == lease.address.masked();
        })) {
      tells_of_subnet = false;
      note(Level::kWrong, "same-subnet", &network, "", "network " + network.network.name,
           "network " + network.network.name + " and " + name_of(other, network) +
               " both give out " + lease.address.masked().to_string() + " with the gateway " +
               lease.gateway->to_string() + ", on different wires",
           "give one of them another subnet, unless nothing ever reaches both");
    }
    if (theirs == nullptr || wires == Wires::kApart ||
        same_namespace(lease.presence, theirs->presence) == Same::kYes) {
      continue;
    }
    note(wires == Wires::kShared ? Level::kWrong : Level::kNote, "duplicate", &network,
         lease.address.address().to_string(), holder(lease),
         name_of(other, network) + " has leased it to " + holder(*theirs) +
             (wires == Wires::kShared ? ", on the same wire"
                                      : ", and it is not known whether on the same wire"),
         "restart one of the two pods");
  }
}

}  // namespace podlease::ipam
