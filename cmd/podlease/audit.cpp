#include <iostream>

#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

Json to_json(const ipam::Finding& finding, const std::filesystem::path& data_dir) {
  return {{"level", finding.level == ipam::Finding::Level::kWrong ? "wrong" : "note"},
          {"kind", finding.kind},
          {"network", finding.network},
          {"address", finding.address},
          {"subject", finding.subject},
          {"evidence", finding.evidence},
          {"remedy", finding.remedy},
          {"dataDir", data_dir.string()}};
}

int audit(const Context& context) {
  Json document = Json::array();
  for (const std::filesystem::path& data_dir : context.data_dirs()) {
    try {
      for (const ipam::Finding& finding : context.leases(data_dir).audit()) {
        document.push_back(to_json(finding, data_dir));
      }
    } catch (const Error& error) {
      document.push_back(to_json({.level = ipam::Finding::Level::kWrong,
                                  .kind = "unreadable-store",
                                  .network = {},
                                  .address = {},
                                  .subject = data_dir.string(),
                                  .evidence = error.what(),
                                  .remedy = error.details()},
                                 data_dir));
    }
  }
  int status = kDone;
  for (const Json& finding : document) {
    if (finding["level"] == "wrong") {
      status = kTrouble;
    }
  }
  if (context.json) {
    print(document);
    return status;
  }
  for (const Json& finding : document) {
    const auto text = [&](const char* key) { return printable(finding[key].get<std::string>()); };
    std::cout << text("level") << ": " << text("kind");
    if (!text("address").empty()) {
      std::cout << ", " << text("address") << " in network " << text("network");
    }
    std::cout << ", " << text("subject") << "\n  " << text("evidence")
              << "\n  remedy: " << text("remedy") << '\n';
  }
  if (document.empty()) {
    std::cout << "nothing is wrong\n";
  }
  return status;
}

}  // namespace

void declare_audit(Command& root) {
  Command command = root.add(
      "audit", "Compare the leases with the machine, and say what is wrong and how to repair it");
  command.details(R"(
It compares the leases with the network namespaces, the addresses inside them, libcni's cache, that
of Multus and host-local's folders, in both directions, and the leases of all networks and stores of
this node with each other. It changes nothing.
Exit status 2 if something is wrong.)");
  command.runs(audit);
}

}  // namespace podlease::cmd
