#ifndef PODLEASE_CMD_KNOWLEDGE_H_
#define PODLEASE_CMD_KNOWLEDGE_H_

#include <string>
#include <vector>

#include "command.h"
#include "podlease/pools/source.h"

namespace podlease::cmd {

// A source's own warnings, and the networks of this host that overlap its ranges.
[[nodiscard]] std::vector<std::string> warnings_of(const Context& context,
                                                   const pools::Knowledge& knowledge,
                                                   const ipam::Wiring& wiring);

// Puts what a source knows into a report: keys origins, looks, taken, warnings (appended to).
void report_knowledge(const Context& context, const pools::Knowledge& knowledge,
                      const ipam::Wiring& wiring, Json& report);

// Puts what the host itself holds of the ranges, and is never leased, into a report, key
// heldByHost, and warns of other networks with the same subnet. Throws kConfig if an ADD would
// refuse the ranges for what the host holds.
void report_held(const ipam::Leases& leases, const std::string& network,
                 const pools::Knowledge& knowledge, const ipam::Wiring& wiring, Json& report);

// Prints those of a report for people, each line after `indent`.
void print_knowledge(const Json& report, const std::string& indent);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_KNOWLEDGE_H_
