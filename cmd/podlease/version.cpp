#include "podlease/cni/version.h"

#include <iostream>

#include "command.h"
#include "podlease/base/text.h"

namespace podlease::cmd {

int version(const Context& context) {
  const std::string schema = store::Store::in_memory().schema_version();
  if (context.json) {
    print({{"version", PODLEASE_VERSION},
           {"storeSchema", schema},
           {"cniVersions", cni::Version::kSpoken}});
    return kDone;
  }
  const std::vector<std::string> spoken(cni::Version::kSpoken.begin(), cni::Version::kSpoken.end());
  std::cout << "podlease " << PODLEASE_VERSION << "\nstore schema " << schema << "\nCNI "
            << join(spoken, ", ") << '\n';
  return kDone;
}

}  // namespace podlease::cmd
