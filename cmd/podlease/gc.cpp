#include <iostream>

#include "command.h"
#include "node_blocks.h"
#include "podlease/base/error.h"
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
  const bool in_use = document.empty();
  int status = kDone;
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    if (options.dry_run || !options.network.empty()) {
      continue;
    }
    try {
      for (const store::Block& block : keep_blocks(context, data_dir, options.conf_dir)) {
        document.push_back(to_json(block, "given-back", "given back", false));
        table.add({block.network, block.cidr.to_string(), "-",
                   "block given back to PodPool " + block.pool});
      }
    } catch (const Error& error) {
      std::cerr << "podlease: blocks: " << error.what() << '\n'
                << (error.details().empty() ? "" : "  " + error.details() + "\n");
      status = kTrouble;
    }
  }
  if (context.json) {
    print(document);
    return status;
  }
  if (in_use) {
    std::cout << "every lease is in use\n";
  }
  if (!document.empty()) {
    table.print();
  }
  std::cout << (options.dry_run ? "nothing was changed\n" : "");
  return status;
}

}  // namespace podlease::cmd
