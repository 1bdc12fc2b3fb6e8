#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "command.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "podlease/ipam/networks.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/registry.h"

namespace podlease::cmd {

std::vector<std::filesystem::path> Context::data_dirs() const {
  if (!data_dir.empty()) {
    return {data_dir};
  }
  const store::Registry registry(places.registry);
  registry.forget_gone();
  std::vector<std::filesystem::path> folders = registry.folders();
  const std::filesystem::path usual(config::kDefaultDataDir);
  if (std::find(folders.begin(), folders.end(), usual) == folders.end()) {
    folders.push_back(usual);
  }
  return folders;
}

store::Store::Options Context::store_options(const std::filesystem::path& folder) const {
  return {.folder = folder, .registry = places.registry, .lock_timeout = lock_timeout};
}

ipam::Leases Context::leases(const std::filesystem::path& folder) const {
  return {host, clock, log, places, folder, lock_timeout};
}

plugin::ConfiguredSource Context::source(const config::Document& document,
                                         const config::NetConf& conf,
                                         const std::filesystem::path& folder,
                                         const std::string& pod, bool recording) const {
  const char* const node_name = std::getenv("NODE_NAME");
  return {document,
          conf,
          {.host = &host,
           .clock = &clock,
           .log = &log,
           .store = store_options(folder),
           .node_name = node_name == nullptr ? "" : node_name,
           .pod = pod,
           .recording = recording,
           .telling = true}};
}

void for_each_store(
    const Context& context,
    const std::function<void(const std::filesystem::path& data_dir, store::Transaction&)>& visit) {
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    std::optional<store::Store> store =
        store::Store::open_existing(context.store_options(data_dir));
    if (store) {
      store::Transaction transaction = store->begin();
      visit(data_dir, transaction);
    }
  }
}

std::vector<StoredLease> read_leases(const Context& context) {
  std::vector<StoredLease> found;
  for_each_store(context,
                 [&](const std::filesystem::path& data_dir, store::Transaction& transaction) {
                   for (const store::Network& network : ipam::networks_of(transaction)) {
                     for (store::Lease& lease : store::LeaseTable(transaction).all(network)) {
                       found.push_back({.data_dir = data_dir, .lease = std::move(lease)});
                     }
                   }
                 });
  return found;
}

bool warn_of_unknown_network(const Context& context, const std::string& network) {
  bool is_known = network.empty();
  if (!is_known) {
    for_each_store(
        context, [&](const std::filesystem::path& /*data_dir*/, store::Transaction& transaction) {
          is_known = is_known || store::NetworkTable(transaction).find(network).has_value();
        });
  }
  if (!is_known) {
    std::cerr << "podlease: no store on this node has network " << printable(network)
              << "; podlease status lists them\n";
  }
  return !is_known;
}

std::optional<net::Address> address_in(const std::string& word) {
  const std::optional<net::Prefix> prefix = net::Prefix::parse(word);
  return prefix ? prefix->address() : net::Address::parse(word);
}

bool is_meant(const std::string& word, const net::Address& address, const AttachmentKey& key,
              const store::Pod& pod) {
  constexpr std::size_t kShortestId = 4;
  if (word.empty()) {
    return true;
  }
  if (const std::optional<net::Address> wanted = address_in(word)) {
    return address == *wanted;
  }
  const bool is_pod = word == pod.name || word == pod.text();
  return is_pod || word == key.container_id ||
         (word.size() >= kShortestId && key.container_id.starts_with(word));
}

std::vector<StoredLease> find_leases(const Context& context, const std::string& word) {
  std::vector<StoredLease> found = read_leases(context);
  std::erase_if(found, [&](const StoredLease& stored) {
    const store::Lease& lease = stored.lease;
    return !is_meant(word, lease.address.address(), lease.key, lease.pod);
  });
  return found;
}

Option declare_word(Command& command, std::string& word) {
  return command.option(
      "ADDRESS|POD|ID", word,
      "An address, also as list shows it (ADDRESS/LENGTH), a pod (NAME or NAMESPACE/NAME), or a "
      "container id: all of it, or at least its first 4 characters");
}

Json to_json(const StoredLease& stored) {
  const store::Lease& lease = stored.lease;
  return {{"network", lease.key.network},
          {"address", lease.address.address().to_string()},
          {"prefixLength", lease.address.length()},
          {"gateway", lease.gateway ? Json(lease.gateway->to_string()) : Json()},
          {"containerID", lease.key.container_id},
          {"ifname", lease.key.ifname},
          {"podNamespace", lease.pod.name_space},
          {"podName", lease.pod.name},
          {"podUID", lease.pod.uid},
          {"netns", lease.presence.netns},
          {"bootID", lease.presence.boot_id},
          {"created", to_rfc3339(lease.created)},
          {"source", lease.source},
          {"rangeSet", lease.range_set},
          {"dataDir", stored.data_dir.string()}};
}

std::string pod_of(const store::Lease& lease) {
  const std::string pod = printable(lease.pod.text());
  return pod.empty() ? "-" : pod;
}

void say(const std::string& line) {
  std::cout << line << '\n';
}

void print(const Json& document) {
  std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
}

}  // namespace podlease::cmd
