#ifndef PODLEASE_CMD_COMMANDS_H_
#define PODLEASE_CMD_COMMANDS_H_

#include "command_options.h"

// Each declares a command of the same name below the root: its options, its help, and what it does.
// Each command has a source file of its own.
namespace podlease::cmd {

void declare_adopt(Command& root);
void declare_audit(Command& root);
void declare_blocks(Command& root);
void declare_crds(Command& root);
void declare_doctor(Command& root);
void declare_explain(Command& root);
void declare_export(Command& root);
void declare_gc(Command& root);
void declare_history(Command& root);
void declare_list(Command& root);
void declare_migrate(Command& root);
void declare_node(Command& root);
void declare_pool(Command& root);
void declare_pools(Command& root);
void declare_release(Command& root);
void declare_routes(Command& root);
void declare_show(Command& root);
void declare_status(Command& root);
void declare_version(Command& root);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMANDS_H_
