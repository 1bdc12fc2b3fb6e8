#include <iostream>

#include "command.h"
#include "table.h"

namespace podlease::cmd {
namespace {

const char* text_of(ipam::Verdict verdict) {
  switch (verdict) {
    case ipam::Verdict::kDoubtful:
      return "kept: nothing is certain";
    case ipam::Verdict::kSuspected:
      return "kept for a minute: its namespace is gone";
    case ipam::Verdict::kReclaimed:
      return "ended: its namespace was gone for a minute";
    case ipam::Verdict::kOfEarlierBoot:
      return "ended: it is of an earlier boot";
  }
  return "";
}

const char* name_of(ipam::Verdict verdict) {
  switch (verdict) {
    case ipam::Verdict::kDoubtful:
      return "doubtful";
    case ipam::Verdict::kSuspected:
      return "suspected";
    case ipam::Verdict::kReclaimed:
      return "reclaimed";
    case ipam::Verdict::kOfEarlierBoot:
      return "earlier-boot";
  }
  return "";
}

}  // namespace

int gc(const Context& context, const GcOptions& options) {
  Json document = Json::array();
  Table table({"NETWORK", "ADDRESS", "POD", "VERDICT"});
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    for (const ipam::Examined& examined :
         context.leases(data_dir).sweep(options.network, options.dry_run)) {
      document.push_back(to_json(StoredLease{.data_dir = data_dir, .lease = examined.lease}));
      document.back()["verdict"] = name_of(examined.verdict);
      document.back()["dryRun"] = options.dry_run;
      table.add({examined.lease.key.network, examined.lease.address.to_string(),
                 pod_of(examined.lease), text_of(examined.verdict)});
    }
  }
  if (context.json) {
    print(document);
  } else if (document.empty()) {
    std::cout << "every lease is in use\n";
  } else {
    table.print();
    std::cout << (options.dry_run ? "nothing was changed\n" : "");
  }
  return kDone;
}

}  // namespace podlease::cmd
