#include <iostream>

#include "command.h"
#include "podlease/base/error.h"

namespace podlease::cmd {

int release(const Context& context, const ReleaseOptions& options) {
  const std::vector<StoredLease> leases = find_leases(context, options.word);
  if (leases.empty()) {
    throw Error(ErrorKind::kOther, options.word + " is leased to nobody");
  }
  for (const StoredLease& stored : leases) {
    if (!options.force && context.leases(stored.data_dir).lives(stored.lease)) {
      throw Error(ErrorKind::kOther,
                  stored.lease.address.to_string() + " of " + pod_of(stored.lease) +
                      " is in use: its network namespace is alive",
                  "another pod would get the address too; --force releases it all the same");
    }
  }
  Json document = Json::array();
  for (const StoredLease& stored : leases) {
    const bool ended = options.dry_run || context.leases(stored.data_dir).end(stored.lease);
    if (context.json) {
      document.push_back(to_json(stored));
      document.back()["released"] = ended && !options.dry_run;
    } else {
      std::cout << stored.lease.address.to_string() << " of network " << stored.lease.key.network
                << ", " << pod_of(stored.lease) << ", container " << stored.lease.key.container_id
                << ": "
                << (options.dry_run ? "would be released"
                    : ended         ? "released"
                                    : "has ended meanwhile")
                << '\n';
    }
  }
  if (context.json) {
    print(document);
  }
  return kDone;
}

}  // namespace podlease::cmd
