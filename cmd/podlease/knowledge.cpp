#include "knowledge.h"

#include <iostream>
#include <utility>

#include "podlease/ipam/overlaps.h"

namespace podlease::cmd {
namespace {

// The list under a key; empty where there is none.
Json list_of(const Json& report, const char* key) {
  return report.contains(key) ? report[key] : Json::array();
}

}  // namespace

std::vector<std::string> warnings_of(const Context& context, const pools::Knowledge& knowledge,
                                     const ipam::Wiring& wiring) {
  std::vector<std::string> warnings = knowledge.warnings;
  if (knowledge.offer() != nullptr) {
    for (std::string& overlap :
         ipam::overlap_warnings(*knowledge.offer(), context.host.networks(), wiring)) {
      warnings.push_back(std::move(overlap));
    }
  }
  return warnings;
}

void report_held(const ipam::Leases& leases, const std::string& network,
                 const pools::Knowledge& knowledge, const ipam::Wiring& wiring, Json& report) {
  report["heldByHost"] = Json::array();
  for (const std::string& line : leases.warnings(network)) {
    report["warnings"].push_back(line);
  }
  if (knowledge.offer() != nullptr) {
    for (const std::string& line : leases.held_by_host(wiring, *knowledge.offer())) {
      report["heldByHost"].push_back(line);
    }
  }
}

void report_knowledge(const Context& context, const pools::Knowledge& knowledge,
                      const ipam::Wiring& wiring, Json& report) {
  report["origins"] = knowledge.origins;
  report["looks"] = Json::array();
  for (const pools::Look& look : knowledge.looks) {
    report["looks"].push_back({{"place", look.place},
                               {"value", look.value},
                               {"outcome", look.outcome},
                               {"used", look.used}});
  }
  report["taken"] = Json::array();
  if (knowledge.offer() != nullptr) {
    for (const pools::Landmark& landmark : knowledge.offer()->taken) {
      report["taken"].push_back(
          {{"address", landmark.address.to_string()}, {"what", landmark.what}});
    }
  }
  if (!report.contains("warnings")) {
    report["warnings"] = Json::array();
  }
  for (const std::string& warning : warnings_of(context, knowledge, wiring)) {
    report["warnings"].push_back(warning);
  }
}

void print_knowledge(const Json& report, const std::string& indent) {
  for (const Json& origin : list_of(report, "origins")) {
    std::cout << indent << "read: " << origin.get<std::string>() << '\n';
  }
  for (const Json& look : list_of(report, "looks")) {
    const std::string value = look["value"].get<std::string>();
    std::cout << indent << (look["used"].get<bool>() ? "* " : "- ")
              << look["place"].get<std::string>() << ": " << (value.empty() ? "" : value + ", ")
              << look["outcome"].get<std::string>() << '\n';
  }
  for (const Json& taken : list_of(report, "taken")) {
    std::cout << indent << "taken: " << taken["address"].get<std::string>() << ", "
              << taken["what"].get<std::string>() << '\n';
  }
  for (const Json& held : list_of(report, "heldByHost")) {
    std::cout << indent << "held by this host: " << held.get<std::string>() << '\n';
  }
  for (const Json& warning : list_of(report, "warnings")) {
    std::cout << indent << "warning: " << warning.get<std::string>() << '\n';
  }
}

}  // namespace podlease::cmd
