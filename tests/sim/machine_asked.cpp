#include <algorithm>

#include "machine.h"

// What podlease asks of a machine, answered from the truth.
namespace podlease::sim {

std::string SimHost::boot_id() const {
  hook_->ask();
  return abroad ? abroad->boot_id : "boot-" + std::to_string(boots_);
}

host::Names SimHost::names() const {
  hook_->ask();
  return abroad ? abroad->names : own_names;
}

host::View SimHost::view() const {
  hook_->ask();
  return abroad ? host::View{.pid_namespace = kInitialPidNamespace, .is_initial = true}
                : host::View{.pid_namespace = pid_namespace_id(current_),
                             .is_initial = views[current_].pid_namespace == 0};
}

bool SimHost::has_mounts_of_init() const {
  hook_->ask();
  return abroad || views[current_].mounts == 0;
}

std::optional<host::NetnsId> SimHost::folder_of(const std::filesystem::path& netns) const {
  hook_->ask();
  return abroad ? std::nullopt : folder_seen(netns.native(), current_);
}

host::NetnsAt SimHost::netns_at(const std::filesystem::path& netns) const {
  hook_->ask();
  return abroad ? host::NetnsAt{.state = host::NetnsState::kAbsent, .id = {}}
                : sight(netns.native(), current_);
}

std::uint64_t SimHost::cookie_at(const std::string& path, const host::NetnsId& netns) const {
  hook_->ask();
  const NamespacePtr found = abroad ? nullptr : at(path, current_);
  return found && found->id == netns && has_cookies(current_) ? found->cookie : 0;
}

std::vector<host::NamedNetns> SimHost::named_namespaces(
    const std::vector<std::string>& beside) const {
  hook_->ask();
  std::vector<host::NamedNetns> named;
  const auto is_wanted = [&](Folder folder) {
    return folder == Folder::kRunNetns ||
           std::any_of(beside.begin(), beside.end(), [&](const std::string& path) {
             return path.starts_with(path_of(folder, ""));
           });
  };
  for (const Folder folder : {Folder::kRunNetns, Folder::kDocker, Folder::kRootless}) {
    if (abroad || !is_wanted(folder) ||
        views[current_].visibility.at(static_cast<std::size_t>(folder)) != Visibility::kSeen) {
      continue;
    }
    const std::size_t instance = instance_of(folder, views[current_].mounts);
    if (instance >= folders_.size()) {
      continue;
    }
    for (const auto& [name, entry] : folders_[instance].entries) {
      if (!entry.plain_file) {
        named.push_back({.path = path_of(folder, name), .id = entry.netns->id});
      }
    }
  }
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return named;
}

std::optional<std::vector<host::PodAddress>> SimHost::addresses_in(
    const host::NamedNetns& netns) const {
  hook_->ask();
  const NamespacePtr found = abroad ? nullptr : at(netns.path.native(), current_);
  if (!found || found->id != netns.id || !views[current_].enters) {
    return std::nullopt;
  }
  std::vector<host::PodAddress> inside;
  if (!found->shows_addresses) {
    return inside;
  }
  for (const auto& [name, interface] : found->interfaces) {
    for (const net::Prefix& address : interface.addresses) {
      inside.push_back({.address = address, .interface = name, .peer = interface.peer});
    }
  }
  return inside;
}

host::Occupied SimHost::occupied() const {
  hook_->ask();
  host::Occupied occupied{.processes = {}, .complete = true};
  if (abroad) {
    occupied.processes[kHostNetns] = 1;
    return occupied;
  }
  const Viewpoint& from = views[current_];
  occupied.complete = from.reads_all_processes;
  if (from.pid_namespace == 0) {
    occupied.processes[kHostNetns] = 1;
  }
  for (const auto& [process, state] : processes_) {
    const int number = number_of(process, from.pid_namespace);
    if (number != 0 && is_read(process, from)) {
      occupied.processes.emplace(state.netns->id, number);
    }
  }
  return occupied;
}

std::chrono::sys_time<Milliseconds> SimHost::booted_at() const {
  hook_->ask();
  return abroad ? abroad->booted_at : clock_->booted_at();
}

std::optional<host::AddressHolder> SimHost::holder_of(net::Address address) const {
  hook_->ask();
  if (abroad) {
    return std::nullopt;
  }
  if (!is_held(address)) {
    return std::nullopt;
  }
  const bool is_route = held.contains(address) ? address.bits() % 2 == 0 : is_routed(address);
  return host::AddressHolder{
      .kind = is_route ? host::AddressHolder::Kind::kRoute : host::AddressHolder::Kind::kInterface,
      .interface = is_route ? "veth7" : "svc0"};
}

host::HostNetworks SimHost::networks() const {
  hook_->ask();
  host::HostNetworks found;
  const auto add_route = [&](const net::Prefix& to, unsigned interface, bool connected,
                             std::optional<net::Address> gateway) {
    found.routes.push_back({.destination = to,
                            .table = 254,
                            .is_connected = connected,
                            .next_hops = {{.gateway = gateway, .interface = interface}}});
  };
  const auto add_address = [&](const net::Prefix& address, unsigned interface) {
    found.addresses.push_back({.address = address, .interface = interface});
    if (address.length() != net::bit_width(address.family())) {
      add_route(address.masked(), interface, true, std::nullopt);
    }
  };
  found.interfaces.push_back({.index = 1, .name = "lo", .kind = {}});
  found.interfaces.push_back({.index = 2, .name = "eth0", .kind = {}});
  found.interfaces.push_back({.index = 3, .name = "eth1", .kind = {}});
  add_address(*net::Prefix::parse("192.168.7.2/24"), 2);
  add_route(*net::Prefix::parse("0.0.0.0/0"), 2, false, net::Address::parse("192.168.7.1"));
  if (abroad) {
    return found;
  }
  found.interfaces.push_back({.index = 4, .name = "svc0", .kind = "dummy"});
  found.interfaces.push_back({.index = 5, .name = "veth7", .kind = "veth"});
  std::map<std::string, unsigned> index_of{{"eth0", 2}, {"eth1", 3}};
  unsigned next = 10;
  for (const std::string& bridge : bridges_) {
    index_of[bridge] = next;
    found.interfaces.push_back({.index = next++, .name = bridge, .kind = "bridge"});
  }
  for (const auto& [gateway, count] : gateways_) {
    const auto device = index_of.find(gateway.first);
    if (device != index_of.end()) {
      add_address(gateway.second, device->second);
    }
  }
  for (const net::Address address : held) {
    if (address.bits() % 2 == 0) {
      add_route(net::Prefix::host(address), 5, false, std::nullopt);
    } else {
      add_address(net::Prefix::host(address), 4);
    }
  }
  for (const auto& [id, netns] : alive_) {
    for (const auto& [name, inside] : netns->interfaces) {
      const auto master = index_of.find(inside.link.device);
      found.interfaces.push_back({.index = inside.peer,
                                  .name = "veth" + std::to_string(inside.peer),
                                  .kind = "veth",
                                  .master = master == index_of.end() ? 0 : master->second,
                                  .parent = 2,
                                  .peer_is_outside = true});
      if (!inside.link.has_host_routes) {
        continue;
      }
      for (const net::Prefix& address : inside.addresses) {
        add_route(net::Prefix::host(address.address()), inside.peer, false, std::nullopt);
      }
      for (const net::Prefix& gateway : inside.link.gateways) {
        add_address(net::Prefix::host(gateway.address()), inside.peer);
      }
    }
  }
  std::sort(found.interfaces.begin(), found.interfaces.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return found;
}

bool SimHost::is_reachable_neighbour(net::Address address, const std::string& interface) const {
  hook_->ask();
  if (abroad) {
    return false;
  }
  const auto [from, to] = plugged_.equal_range(address);
  return std::any_of(from, to, [&](const auto& one) {
    const auto& [netns, name] = one.second;
    const auto inside = netns->interfaces.find(name);
    return netns->alive() && netns->talks && inside != netns->interfaces.end() &&
           (interface.empty() || inside->second.link.device == interface);
  });
}

}  // namespace podlease::sim
