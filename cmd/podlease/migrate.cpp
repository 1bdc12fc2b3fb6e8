#include "migrate.h"

#include "commands.h"

namespace podlease::cmd {

void declare_migrate(Command& root) {
  Command command = root.add("migrate", "Plan and follow a move of pods to other addresses");
  command.is_group();
  declare_migrate_status(command);
  declare_migrate_plan(command);
}

}  // namespace podlease::cmd
