#ifndef PODLEASE_CMD_MIGRATE_H_
#define PODLEASE_CMD_MIGRATE_H_

#include "command_options.h"

// The commands below `podlease migrate`, one source file each.
namespace podlease::cmd {

void declare_migrate_status(Command& migrate);
void declare_migrate_plan(Command& migrate);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_MIGRATE_H_
