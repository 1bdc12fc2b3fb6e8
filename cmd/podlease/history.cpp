#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/history_table.h"
#include "table.h"

namespace podlease::cmd {
namespace {

std::vector<store::PastLease> read_history(const Context& context,
                                           const std::filesystem::path& data_dir) {
  std::optional<store::Store> store = store::Store::open_existing(context.store_options(data_dir));
  return store ? store::HistoryTable(store->begin()).all() : std::vector<store::PastLease>{};
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

// A lease that has not ended.
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

// `word` as find_leases takes it; empty: everything.
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
    const auto text = [&](const char* key) { return printable(entry[key].get<std::string>()); };
    table.add({text("address"), text("network"),
               text("podName").empty() ? "-" : text("podNamespace") + "/" + text("podName"),
               text("containerID").substr(0, kIdShown), text("from"),
               entry["until"].is_null() ? "now" : text("until"), text("why")});
  }
  table.print();
  return kDone;
}

}  // namespace

void declare_history(Command& root) {
  Command command =
      root.add("history", "Show who held an address and when, and why each lease ended");
  command.details(R"(
Leases that have not ended come first. About four thousand past leases are kept per network. WHY is
  leased      it has not ended
  del, gc     the container runtime ended it
  takeover    its pod was gone: the next sandbox of that pod took it over, another pod asked for it,
              or its own attachment was made anew
  reclaim     its pod had been gone for a minute
  reboot      it was of an earlier boot, and its address was needed
  release     an operator released it, or ended its view with gc --view-ended
  host-local  its file in host-local's folder vanished)");
  const auto word = std::make_shared<std::string>();
  declare_word(command, *word);
  command.runs([word](const Context& context) { return history(context, *word); });
}

}  // namespace podlease::cmd
