#include "podlease/cni/version.h"

#include "command.h"
#include "commands.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

int version(const Context& context) {
  const std::string schema = store::Store::in_memory().schema_version();
  if (context.json) {
    print({{"version", PODLEASE_VERSION},
           {"storeSchema", schema},
           {"cniVersions", cni::Version::kSpoken}});
    return kDone;
  }
  const std::vector<std::string> spoken(cni::Version::kSpoken.begin(), cni::Version::kSpoken.end());
  say(std::string("podlease ") + PODLEASE_VERSION);
  say("store schema " + schema);
  say("CNI " + join(spoken, ", "));
  return kDone;
}

}  // namespace

void declare_version(Command& root) {
  root.add("version", "Show the versions of podlease, of its store and of CNI").runs(version);
}

}  // namespace podlease::cmd
