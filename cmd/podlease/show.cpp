#include <iostream>
#include <map>
#include <tuple>

#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/ipam/networks.h"
#include "podlease/store/address_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::cmd {
namespace {

const char* text_of(ipam::Presumed::Life life) {
  switch (life) {
    case ipam::Presumed::Life::kAlive:
      return "alive";
    case ipam::Presumed::Life::kDoubt:
      return "in doubt: nothing proves that it lives, or that it has ended";
    case ipam::Presumed::Life::kGone:
      return "gone";
    case ipam::Presumed::Life::kEarlierBoot:
      return "gone: the machine was booted since";
  }
  return "";
}

// What is known of the holder of each lease that is shown, in order. A store's leases are judged
// together, for what is seen of one may tell of another; all of it before anything is printed.
std::vector<ipam::Presumed> presume(const Context& context, const std::vector<StoredLease>& shown) {
  std::map<std::filesystem::path, std::vector<store::Lease>> stores;
  for (const StoredLease& stored : shown) {
    stores[stored.data_dir];
  }
  for (StoredLease& stored : read_leases(context)) {
    if (const auto wanted = stores.find(stored.data_dir); wanted != stores.end()) {
      wanted->second.push_back(std::move(stored.lease));
    }
  }
  std::map<std::tuple<std::filesystem::path, AttachmentKey, net::Address>, ipam::Presumed> known;
  for (const auto& [data_dir, leases] : stores) {
    const std::vector<ipam::Presumed> presumed = context.leases(data_dir).presume(leases);
    for (std::size_t index = 0; index < leases.size(); ++index) {
      known.emplace(std::tuple(data_dir, leases[index].key, leases[index].address.address()),
                    presumed[index]);
    }
  }
  std::vector<ipam::Presumed> answers;
  answers.reserve(shown.size());
  for (const StoredLease& stored : shown) {
    answers.push_back(known[{stored.data_dir, stored.lease.key, stored.lease.address.address()}]);
  }
  return answers;
}

void print_lease(const StoredLease& stored, const ipam::Presumed& presumed) {
  const store::Lease& lease = stored.lease;
  const auto line = [](const char* what, const std::string& value) {
    std::cout << "  " << std::left << std::setw(12) << what
              << (value.empty() ? "-" : printable(value)) << '\n';
  };
  std::cout << lease.address.to_string() << '\n';
  line("network", lease.key.network);
  line("pod", pod_of(lease));
  line("pod UID", lease.pod.uid);
  line("container", lease.key.container_id);
  line("interface", lease.key.ifname.empty() ? "any" : lease.key.ifname);
  line("gateway", lease.gateway ? lease.gateway->to_string() : "");
  line("namespace", lease.presence.netns);
  line("pod is", text_of(presumed.life));
  if (!presumed.settles.empty()) {
    line("", presumed.settles);
  }
  line("leased", to_rfc3339(lease.created));
  line("source", lease.source);
  line("store", stored.data_dir.string());
}

// What the stores know of an address that is not leased.
Json describe_free(const Context& context, net::Address address) {
  Json found = Json::array();
  for_each_store(context,
                 [&](const std::filesystem::path& data_dir, store::Transaction& transaction) {
                   for (const store::Network& network : ipam::networks_of(transaction)) {
                     if (const std::optional<store::Freed> freed =
                             store::AddressTable(transaction).freed_at(network, address)) {
                       found.push_back({{"network", network.name},
                                        {"address", address.to_string()},
                                        {"state", "free"},
                                        {"freed", to_rfc3339(freed->at)},
                                        {"dataDir", data_dir.string()}});
                     }
                   }
                 });
  return found;
}

int show(const Context& context, const std::string& word) {
  const std::vector<StoredLease> leases = find_leases(context, word);
  Json free = Json::array();
  if (const std::optional<net::Address> address = address_in(word); address && leases.empty()) {
    free = describe_free(context, *address);
  }
  if (leases.empty() && free.empty()) {
    throw Error(
        ErrorKind::kOther, word + " is leased to nobody and never was",
        "give an address, a pod as NAME or NAMESPACE/NAME, or a container id, at least the first 4 "
        "characters of it");
  }
  if (context.json) {
    for (const StoredLease& stored : leases) {
      free.push_back(to_json(stored));
    }
    print(free);
    return kDone;
  }
  const std::vector<ipam::Presumed> presumed = presume(context, leases);
  for (std::size_t index = 0; index < leases.size(); ++index) {
    print_lease(leases[index], presumed[index]);
  }
  for (const Json& address : free) {
    std::cout << word << " is free in network " << address["network"].get<std::string>()
              << " since " << address["freed"].get<std::string>() << '\n';
  }
  return kDone;
}

}  // namespace

void declare_show(Command& root) {
  Command command = root.add("show", "Show who holds an address, or what a pod holds");
  const auto word = std::make_shared<std::string>();
  declare_word(command, *word).required();
  command.runs([word](const Context& context) { return show(context, *word); });
}

}  // namespace podlease::cmd
