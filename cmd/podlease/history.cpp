#include <iostream>

#include "command.h"
#include "podlease/base/error.h"
#include "table.h"

namespace podlease::cmd {
namespace {

std::vector<store::PastLease> read_history(const Context& context,
                                           const std::filesystem::path& data_dir) {
  std::optional<store::Store> store = store::Store::open_existing(context.store_options(data_dir));
  return store ? store->begin().history() : std::vector<store::PastLease>{};
}

Json to_json(const std::filesystem::path& data_dir, const store::PastLease& past) {
  return {{"network", past.key.network},
          {"address", past.address.to_string()},
          {"containerID", past.key.container_id},
          {"ifname", past.key.ifname},
          {"podNamespace", past.pod.name_space},
          {"podName", past.pod.name},
          {"podUID", past.pod.uid},
          {"from", to_rfc3339(past.created)},
          {"until", to_rfc3339(past.ended)},
          {"why", past.why},
          {"dataDir", data_dir.string()}};
}

// A lease that goes on.
Json to_json(const std::filesystem::path& data_dir, const store::Lease& lease) {
  Json entry = to_json(data_dir, store::PastLease{.key = lease.key,
                                                  .address = lease.address.address(),
                                                  .pod = lease.pod,
                                                  .created = lease.created,
                                                  .ended = {},
                                                  .why = "leased"});
  entry["until"] = nullptr;
  return entry;
}

}  // namespace

int history(const Context& context, const std::string& word) {
  Json document = Json::array();
  for (const StoredLease& stored : read_leases(context)) {
    const store::Lease& lease = stored.lease;
    if (is_meant(word, lease.address.address(), lease.key, lease.pod)) {
      document.push_back(to_json(stored.data_dir, lease));
    }
  }
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    for (const store::PastLease& past : read_history(context, data_dir)) {
      if (is_meant(word, past.address, past.key, past.pod)) {
        document.push_back(to_json(data_dir, past));
      }
    }
  }
  if (context.json) {
    print(document);
    return kDone;
  }
  constexpr std::size_t kIdShown = 13;
  Table table({"ADDRESS", "NETWORK", "POD", "CONTAINER", "FROM", "UNTIL", "WHY"});
  for (const Json& entry : document) {
    const auto text = [&](const char* key) { return entry[key].get<std::string>(); };
    table.add({text("address"), text("network"),
               text("podName").empty() ? "-" : text("podNamespace") + "/" + text("podName"),
               text("containerID").substr(0, kIdShown), text("from"),
               entry["until"].is_null() ? "now" : text("until"), text("why")});
  }
  table.print();
  return kDone;
}

}  // namespace podlease::cmd
