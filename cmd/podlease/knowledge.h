#ifndef PODLEASE_CMD_KNOWLEDGE_H_
#define PODLEASE_CMD_KNOWLEDGE_H_

#include <string>
#include <vector>

#include "command.h"
#include "podlease/pools/source.h"

namespace podlease::cmd {

// What is odd about what a source knows, with the networks of this host that meet its ranges.
[[nodiscard]] std::vector<std::string> warnings_of(const Context& context,
                                                   const pools::Knowledge& knowledge);

// Puts what a source knows into a report: keys origins, looks, taken, warnings (appended to).
void report_knowledge(const Context& context, const pools::Knowledge& knowledge, Json& report);

// Prints those of a report for people, each line after `indent`.
void print_knowledge(const Json& report, const std::string& indent);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_KNOWLEDGE_H_
