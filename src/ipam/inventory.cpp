#include "inventory.h"

#include <algorithm>
#include <utility>

#include "adopted.h"
#include "liveness.h"

namespace podlease::ipam {

using host::CachedAttachment;
using host::NamedNetns;
using host::NetnsId;

namespace {

store::Pod pod_of(const CachedAttachment& attachment) {
  return {.name_space = attachment.pod_namespace,
          .name = attachment.pod_name,
          .uid = attachment.pod_uid};
}

// Reports whether an interface of the host joins the network's pods to it.
bool is_on_link(unsigned index, const Wiring& wiring, const host::HostNetworks& networks) {
  const host::Interface* const interface = networks.find(index);
  if (interface == nullptr) {
    return false;
  }
  const std::string link = link_of(wiring, networks);
  if (link.empty()) {
    return true;  // ptp, whose links all end in the host, or a main plugin we do not know
  }
  const host::Interface* const master = networks.find(interface->master);
  return interface->name == link || (master != nullptr && master->name == link);
}

}  // namespace

store::Lease lease_of(const AttachmentKey& key, net::Address address, const pools::Offer& offer,
                      const store::Moment& now) {
  store::Lease lease{.key = key,
                     .address = net::Prefix::host(address),
                     // Unseen so far, but of this boot: it does not outlive it.
                     .presence = {.boot_id = now.boot_id},
                     .created = now.at.wall,
                     .source = {}};
  for (std::size_t set = 0; set < offer.sets.size(); ++set) {
    if (const pools::PoolRange* const range = offer.sets[set].range_of(address)) {
      lease.address = net::Prefix::make(address, range->answer_length).value_or(lease.address);
      lease.gateway = range->gateway;
      lease.range_set = static_cast<int>(set);
    }
  }
  return lease;
}

Inventory::Inventory(const Options& options)
    : host_(options.host),
      network_(options.network),
      caller_(options.caller),
      boot_id_(options.host->boot_id()),
      booted_(options.host->booted_at()),
      own_(options.host->netns_at("/proc/self/ns/net").id),
      cache_(host::read_cni_cache(options.caches,
                                  options.all_networks ? std::string() : options.network)) {
  std::vector<NamedNetns> named = host_->named_namespaces({options.netns});
  const auto add = [&](const std::string& path) {
    const host::NetnsAt found = host_->netns_at(path);
    if (found.state != host::NetnsState::kAlive || found.id == own_) {
      return NetnsId{};
    }
    if (std::none_of(named.begin(), named.end(),
                     [&](const NamedNetns& known) { return known.id == found.id; })) {
      named.push_back({.path = path, .id = found.id});
    }
    return found.id;
  };
  if (!options.netns.empty()) {
    add(options.netns);
    caller_presence_ = presence_of(*host_, options.netns);
  }
  for (const CachedAttachment& attachment : cache_.attachments) {
    cached_netns_.push_back(add(attachment.netns));
  }
  std::erase_if(named, [&](const NamedNetns& netns) { return netns.id == own_; });
  look_into(named);
  look_into_occupied(named, *options.wiring);
}

void Inventory::note(const NamedNetns& netns, const host::PodAddress& address,
                     std::map<net::Address, Inside>& into) {
  Inside inside{.presence = presence_of(*host_, netns.path), .interface = address.interface};
  const net::Address shown = address.address.address();
  const auto [known, is_first] = into.try_emplace(shown, inside);
  // Anybody who may, can give themselves an address: then the runtime's record tells whose it is.
  if (!is_first && cached_in(known->second.presence, shown) == nullptr &&
      cached_in(inside.presence, shown) != nullptr) {
    known->second = std::move(inside);
  }
}

void Inventory::look_into(const std::vector<NamedNetns>& named) {
  for (const NamedNetns& netns : named) {
    for (const host::PodAddress& address :
         host_->addresses_in(netns).value_or(std::vector<host::PodAddress>{})) {
      note(netns, address, inside_);
      note(netns, address, shown_);
    }
  }
}

void Inventory::look_into_occupied(const std::vector<NamedNetns>& named, const Wiring& wiring) {
  std::optional<host::HostNetworks> networks;
  for (const auto& [id, process] : host_->occupied().processes) {
    const NetnsId netns = id;
    if (netns == own_ || std::any_of(named.begin(), named.end(),
                                     [&](const NamedNetns& known) { return known.id == netns; })) {
      continue;
    }
    const NamedNetns shown{.path = "/proc/" + std::to_string(process) + "/ns/net", .id = netns};
    for (const host::PodAddress& address :
         host_->addresses_in(shown).value_or(std::vector<host::PodAddress>{})) {
      note(shown, address, shown_);
      if (address.peer == 0) {
        continue;
      }
      if (!networks) {
        networks = host_->networks();
      }
      if (is_on_link(address.peer, wiring, *networks)) {
        note(shown, address, inside_);
      }
    }
  }
}

const CachedAttachment* Inventory::cached(const std::string& container_id,
                                          const std::string& ifname) const {
  const auto found = std::find_if(cache_.attachments.begin(), cache_.attachments.end(),
                                  [&](const CachedAttachment& attachment) {
                                    return attachment.key.network == network_ &&
                                           attachment.key.container_id == container_id &&
                                           (ifname.empty() || attachment.key.ifname == ifname);
                                  });
  return found == cache_.attachments.end() ? nullptr : &*found;
}

const CachedAttachment* Inventory::cached_in(const store::Presence& presence,
                                             net::Address address) const {
  for (std::size_t index = 0; index < cached_netns_.size(); ++index) {
    const CachedAttachment& attachment = cache_.attachments[index];
    if (cached_netns_[index] == id_of(presence) && attachment.has(address)) {
      return &attachment;
    }
  }
  return nullptr;
}

Inventory::Opinion Inventory::opinion_of(net::Address address, const std::string& container_id,
                                         const std::string& ifname,
                                         std::optional<Time> written) const {
  return opinion_of(address, cached(container_id, ifname), ifname, written);
}

Inventory::Opinion Inventory::opinion_of(net::Address address, const CachedAttachment* attachment,
                                         const std::string& ifname,
                                         std::optional<Time> written) const {
  Opinion opinion{.presence = {.boot_id = boot_id_}, .ifname = ifname};
  if (attachment != nullptr) {
    opinion.pod = pod_of(*attachment);
    opinion.ifname = attachment->key.ifname;
    opinion.evidence = "in " + attachment->file.string();
  }
  if (const auto inside = shown_.find(address); inside != shown_.end()) {
    opinion.presence = inside->second.presence;
    opinion.evidence = "inside " + inside->second.presence.netns;
    return opinion;
  }
  if (attachment != nullptr && !attachment->netns.empty()) {
    judge_by_path(*attachment, written, opinion);
    return opinion;
  }
  if (written && *written < booted_) {
    opinion.ended = true;
    opinion.evidence = "written before this boot, and in no namespace";
  } else if (opinion.evidence.empty()) {
    opinion.evidence = "written in this boot";
  }
  return opinion;
}

// No namespace shows the address, which proves nothing by itself: some hide theirs.
void Inventory::judge_by_path(const CachedAttachment& attachment, std::optional<Time> written,
                              Opinion& opinion) const {
  const std::string& netns = attachment.netns;
  const host::NetnsAt found = host_->netns_at(netns);
  // A process id may be another process's by now, and after a boot it is.
  const bool is_namespace = found.state == host::NetnsState::kAlive && found.id != own_;
  const bool is_old = written.value_or(attachment.written) < booted_;
  if (is_namespace && (!is_below_proc(netns) || !is_old)) {
    opinion.presence = presence_of(*host_, netns);
    return;
  }
  if (is_old) {
    opinion.ended = true;
    opinion.evidence = "written before this boot, and in no namespace";
  } else if (found.state != host::NetnsState::kDoubt && would_be_seen(netns)) {
    opinion.ended = true;
    opinion.evidence = "its namespace " + netns + " is gone";
  } else {
    opinion.presence.netns = netns;
  }
}

// Reports whether the runtime's names are ours: where all processes are, and paths mean what they
// mean to the first of them; or where another one that it gave, to this call or to libcni's cache,
// stands in the same folder.
bool Inventory::would_be_seen(const std::string& netns) const {
  if (host_->view().is_initial && host_->has_mounts_of_init()) {
    return true;
  }
  const std::optional<NetnsId> folder = host_->folder_of(netns);
  if (!folder) {
    return false;
  }
  if (caller_presence_.netns_inode != 0 && host_->folder_of(caller_presence_.netns) == folder) {
    return true;
  }
  for (std::size_t index = 0; index < cached_netns_.size(); ++index) {
    if (cached_netns_[index].inode != 0 &&
        host_->folder_of(cache_.attachments[index].netns) == folder) {
      return true;
    }
  }
  return false;
}

void Inventory::add_found_inside(const pools::Offer& offer, const store::Moment& now,
                                 std::map<net::Address, Found>& found) const {
  for (const auto& [address, inside] : inside_) {
    if (offer.range_of(address) == nullptr) {
      continue;
    }
    AttachmentKey key{.network = network_,
                      .container_id = id_by_netns(inside.presence),
                      .ifname = inside.interface};
    store::Pod pod;
    store::Presence presence = inside.presence;
    std::optional<Time> written;
    if (const CachedAttachment* const attachment = cached_in(inside.presence, address)) {
      written = attachment->written;
      key = attachment->key;
      pod = pod_of(*attachment);
      presence = presence_of(*host_, attachment->netns);  // as the runtime spells it
    } else if (caller_ && inside.interface == caller_->ifname &&
               same_namespace(inside.presence, caller_presence_) == Same::kYes) {
      key = *caller_;
    }
    store::Lease lease = lease_of(key, address, offer, now);
    lease.pod = std::move(pod);
    lease.presence = std::move(presence);
    lease.source = kFromNamespace;
    found.emplace(address, Found{.lease = std::move(lease),
                                 .adopted = true,
                                 .evidence = "inside " + inside.presence.netns,
                                 .written = written});
  }
}

void Inventory::add_found_in_caches(const pools::Offer& offer, const store::Moment& now,
                                    std::map<net::Address, Found>& found) const {
  for (const CachedAttachment& attachment : cache_.attachments) {
    for (const net::Prefix& prefix : attachment.addresses) {
      // What is left of a pod that has ended does not hide one that has its address now.
      const auto known = found.find(prefix.address());
      if (offer.range_of(prefix.address()) == nullptr ||
          (known != found.end() && known->second.adopted)) {
        continue;
      }
      const Opinion opinion = opinion_of(prefix.address(), &attachment, attachment.key.ifname, {});
      store::Lease lease = lease_of(attachment.key, prefix.address(), offer, now);
      lease.pod = opinion.pod;
      lease.presence = opinion.presence;
      lease.source = kFromCache;
      found.insert_or_assign(prefix.address(), Found{.lease = std::move(lease),
                                                     .adopted = !opinion.ended,
                                                     .evidence = opinion.evidence,
                                                     .written = attachment.written});
    }
  }
}

std::vector<Found> Inventory::found(const pools::Offer& offer, const store::Moment& now) const {
  std::map<net::Address, Found> found;
  add_found_inside(offer, now, found);
  add_found_in_caches(offer, now, found);
  std::vector<Found> all;
  all.reserve(found.size());
  for (auto& [address, one] : found) {
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace podlease::ipam
