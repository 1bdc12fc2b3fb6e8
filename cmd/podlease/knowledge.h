#ifndef PODLEASE_CMD_KNOWLEDGE_H_
#define PODLEASE_CMD_KNOWLEDGE_H_

#include <string>

#include "command.h"
#include "podlease/pools/source.h"

namespace podlease::cmd {

// Puts what a source knows into a report: keys looks, taken, warnings (appended to).
void report_knowledge(const pools::Knowledge& knowledge, Json& report);

// Prints those of a report for people, each line after `indent`.
void print_knowledge(const Json& report, const std::string& indent);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_KNOWLEDGE_H_
