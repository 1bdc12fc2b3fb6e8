#include "inventory.h"

#include <algorithm>

#include "presence.h"

namespace podlease::ipam {

using host::CachedAttachment;
using host::NamedNetns;
using host::NetnsId;

namespace {

std::filesystem::path folder_of(const std::filesystem::path& netns) {
  std::error_code unknown;
  const std::filesystem::path folder = netns.parent_path();
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(folder, unknown);
  return unknown ? folder : canonical;
}

store::Pod pod_of(const CachedAttachment& attachment) {
  return {.name_space = attachment.pod_namespace,
          .name = attachment.pod_name,
          .uid = attachment.pod_uid};
}

}  // namespace

std::string id_by_netns(const std::string& netns) {
  return "netns:" + std::filesystem::path(netns).filename().string();
}

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

Inventory::Inventory(const host::Host& host, const std::filesystem::path& cni_cache,
                     std::string network, const std::optional<AttachmentKey>& caller,
                     const std::string& netns)
    : host_(&host),
      network_(std::move(network)),
      caller_(caller),
      boot_id_(host.boot_id()),
      booted_(host.booted_at()),
      cache_(host::read_cni_cache(cni_cache)) {
  std::vector<NamedNetns> namespaces = host.named_namespaces();
  const auto add = [&](const std::string& path) {
    const host::NetnsSight sight = host.look_at(path);
    if (sight.state != host::NetnsState::kAlive) {
      return NetnsId{};
    }
    folders_.insert(folder_of(path));
    if (std::none_of(namespaces.begin(), namespaces.end(),
                     [&](const NamedNetns& known) { return known.id == sight.id; })) {
      namespaces.push_back({.path = path, .id = sight.id});
    }
    return sight.id;
  };
  caller_netns_ = add(netns);
  for (const CachedAttachment& attachment : cache_.attachments) {
    cached_netns_.push_back(add(attachment.netns));
  }
  const NetnsId own = host.look_at("/proc/self/ns/net").id;
  std::erase_if(namespaces, [&](const NamedNetns& named) { return named.id == own; });
  for (const NamedNetns& named : namespaces) {
    folders_.insert(folder_of(named.path));
    for (const host::PodAddress& address :
         host.addresses_in(named).value_or(std::vector<host::PodAddress>{})) {
      inside_.try_emplace(address.address.address(),
                          Inside{.netns = named, .interface = address.interface});
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

const CachedAttachment* Inventory::cached_in(const NetnsId& netns, net::Address address) const {
  for (std::size_t index = 0; index < cached_netns_.size(); ++index) {
    const CachedAttachment& attachment = cache_.attachments[index];
    if (cached_netns_[index] == netns && attachment.has(address)) {
      return &attachment;
    }
  }
  return nullptr;
}

bool Inventory::is_gone(const std::string& netns) const {
  return !netns.empty() && host_->look_at(netns).state == host::NetnsState::kAbsent &&
         folders_.contains(folder_of(netns));
}

store::Presence Inventory::presence_at(const NamedNetns& netns) const {
  return {.boot_id = boot_id_,
          .netns = netns.path.string(),
          .netns_device = netns.id.device,
          .netns_inode = netns.id.inode};
}

Inventory::Opinion Inventory::opinion_of(
    net::Address address, const std::string& container_id, const std::string& ifname,
    std::optional<std::chrono::sys_time<Milliseconds>> written) const {
  Opinion opinion{.presence = {.boot_id = boot_id_}, .ifname = ifname};
  const CachedAttachment* const attachment = cached(container_id, ifname);
  if (attachment != nullptr) {
    opinion.pod = pod_of(*attachment);
    opinion.ifname = attachment->key.ifname;
    opinion.evidence = "in " + attachment->file.string();
  }
  if (const auto inside = inside_.find(address); inside != inside_.end()) {
    opinion.presence = presence_at(inside->second.netns);
    opinion.evidence = "inside " + inside->second.netns.path.string();
    return opinion;
  }
  if (attachment != nullptr && !attachment->netns.empty()) {
    if (is_gone(attachment->netns)) {
      opinion.ended = true;
      opinion.evidence = "its namespace " + attachment->netns + " is gone";
      return opinion;
    }
    const host::NetnsSight sight = host_->look_at(attachment->netns);
    if (sight.state == host::NetnsState::kAlive) {
      opinion.presence = presence_at({.path = attachment->netns, .id = sight.id});
    }
    return opinion;
  }
  if (attachment == nullptr && written && *written < booted_) {
    opinion.ended = true;
    opinion.evidence = "written before this boot, and in no namespace";
  } else if (opinion.evidence.empty()) {
    opinion.evidence = "written in this boot";
  }
  return opinion;
}

std::vector<Found> Inventory::found(const pools::Offer& offer, const store::Moment& now) const {
  std::map<net::Address, Found> found;
  for (const auto& [address, inside] : inside_) {
    const CachedAttachment* const attachment = cached_in(inside.netns.id, address);
    if (offer.range_of(address) == nullptr ||
        (attachment != nullptr && attachment->key.network != network_)) {
      continue;  // another network's, which may have the same addresses
    }
    AttachmentKey key{.network = network_,
                      .container_id = id_by_netns(inside.netns.path.string()),
                      .ifname = inside.interface};
    store::Pod pod;
    if (attachment != nullptr) {
      key = attachment->key;
      pod = pod_of(*attachment);
    } else if (caller_ && inside.netns.id == caller_netns_ && inside.interface == caller_->ifname) {
      key = *caller_;
    }
    store::Lease lease = lease_of(key, address, offer, now);
    lease.pod = std::move(pod);
    lease.presence = presence_at(inside.netns);
    if (attachment != nullptr) {
      lease.presence.netns = attachment->netns;  // as the runtime spells it
    }
    lease.source = kFromNamespace;
    found.emplace(address, Found{.lease = std::move(lease),
                                 .adopted = true,
                                 .evidence = "inside " + inside.netns.path.string()});
  }
  for (const CachedAttachment& attachment : cache_.attachments) {
    if (attachment.key.network != network_) {
      continue;
    }
    for (const net::Prefix& prefix : attachment.addresses) {
      if (offer.range_of(prefix.address()) == nullptr || found.contains(prefix.address())) {
        continue;
      }
      const Opinion opinion =
          opinion_of(prefix.address(), attachment.key.container_id, attachment.key.ifname, {});
      store::Lease lease = lease_of(attachment.key, prefix.address(), offer, now);
      lease.pod = opinion.pod;
      lease.presence = opinion.presence;
      lease.source = kFromCache;
      found.emplace(prefix.address(), Found{.lease = std::move(lease),
                                            .adopted = !opinion.ended,
                                            .evidence = opinion.evidence});
    }
  }
  std::vector<Found> all;
  all.reserve(found.size());
  for (auto& [address, one] : found) {
    all.push_back(std::move(one));
  }
  return all;
}

}  // namespace podlease::ipam
