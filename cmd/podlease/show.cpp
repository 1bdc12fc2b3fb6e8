#include <iostream>

#include "command.h"
#include "podlease/base/error.h"

namespace podlease::cmd {
namespace {

void print_lease(const Context& context, const StoredLease& stored) {
  const store::Lease& lease = stored.lease;
  const auto line = [](const char* what, const std::string& value) {
    std::cout << "  " << std::left << std::setw(12) << what << (value.empty() ? "-" : value)
              << '\n';
  };
  std::cout << lease.address.to_string() << '\n';
  line("network", lease.key.network);
  line("pod", pod_of(lease));
  line("pod UID", lease.pod.uid);
  line("container", lease.key.container_id);
  line("interface", lease.key.ifname.empty() ? "any" : lease.key.ifname);
  line("gateway", lease.gateway ? lease.gateway->to_string() : "");
  line("namespace",
       lease.presence.netns + (lease.presence.netns.empty()                   ? ""
                               : context.leases(stored.data_dir).lives(lease) ? " (alive)"
                                                                              : " (not seen)"));
  line("leased", to_rfc3339(lease.created));
  line("source", lease.source);
  line("store", stored.data_dir.string());
}

// Where an address stands that nobody leases.
Json describe_free(const Context& context, net::Address address) {
  Json found = Json::array();
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    std::optional<store::Store> store =
        store::Store::open_existing(context.store_options(data_dir));
    if (!store) {
      continue;
    }
    store::Transaction transaction = store->begin();
    for (const store::Network& network : transaction.networks()) {
      if (const std::optional<store::Freed> freed = transaction.freed_at(network, address)) {
        found.push_back({{"network", network.name},
                         {"address", address.to_string()},
                         {"state", "free"},
                         {"freed", to_rfc3339(freed->at)},
                         {"dataDir", data_dir.string()}});
      }
    }
  }
  return found;
}

}  // namespace

int show(const Context& context, const std::string& word) {
  const std::vector<StoredLease> leases = find_leases(context, word);
  Json free = Json::array();
  if (const std::optional<net::Address> address = net::Address::parse(word);
      address && leases.empty()) {
    free = describe_free(context, *address);
  }
  if (leases.empty() && free.empty()) {
    throw Error(
        ErrorKind::kOther, word + " is leased to nobody and never was",
        "give an address, a pod as NAME or NAMESPACE/NAME, or the beginning of a container id");
  }
  if (context.json) {
    for (const StoredLease& stored : leases) {
      free.push_back(to_json(stored));
    }
    print(free);
    return kDone;
  }
  for (const StoredLease& stored : leases) {
    print_lease(context, stored);
  }
  for (const Json& address : free) {
    std::cout << word << " is free in network " << address["network"].get<std::string>()
              << " since " << address["freed"].get<std::string>() << '\n';
  }
  return kDone;
}

}  // namespace podlease::cmd
