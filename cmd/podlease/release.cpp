#include <algorithm>
#include <iostream>
#include <utility>

#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"

namespace podlease::cmd {
namespace {

struct ReleaseOptions {
  std::string word;  // as find_leases takes it
  bool force = false;
  bool dry_run = false;
};

bool is_same_attachment(const StoredLease& a, const StoredLease& b) {
  return a.data_dir == b.data_dir && a.lease.key == b.lease.key;
}

// All leases of the attachments that a word means: the addresses of an attachment end together.
std::vector<StoredLease> find_attachments(const Context& context, const std::string& word) {
  const std::vector<StoredLease> meant = find_leases(context, word);
  std::vector<StoredLease> whole = read_leases(context);
  std::erase_if(whole, [&](const StoredLease& stored) {
    return std::none_of(meant.begin(), meant.end(), [&](const StoredLease& other) {
      return is_same_attachment(stored, other);
    });
  });
  return whole;
}

int release(const Context& context, const ReleaseOptions& options) {
  const std::vector<StoredLease> leases = find_attachments(context, options.word);
  if (leases.empty()) {
    throw Error(ErrorKind::kOther, options.word + " is leased to nobody");
  }
  for (const StoredLease& stored : leases) {
    if (!options.force) {
      context.leases(stored.data_dir).refuse_if_alive(stored.lease);
    }
  }
  Json document = Json::array();
  std::vector<StoredLease> released;
  for (const StoredLease& stored : leases) {
    if (!options.dry_run) {
      for (store::Lease& ended :
           context.leases(stored.data_dir).release(stored.lease, options.force)) {
        released.push_back({.data_dir = stored.data_dir, .lease = std::move(ended)});
      }
    }
    const bool ended = std::any_of(released.begin(), released.end(), [&](const StoredLease& other) {
      return is_same_attachment(stored, other) && other.lease.address == stored.lease.address;
    });
    if (context.json) {
      document.push_back(to_json(stored));
      document.back()["released"] = ended;
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

}  // namespace

void declare_release(Command& root) {
  Command command = root.add("release", "Release the leases of pods that are gone for good");
  command.details(R"(
The addresses of an attachment are released together. A lease is not released if its pod is alive,
nor if nothing proves that its pod has ended: then the message says what would prove it. To release
it all the same: --force. Another pod may get the address at once, so be sure that no pod uses it.)");
  const auto options = std::make_shared<ReleaseOptions>();
  declare_word(command, options->word).required();
  command.flag("--force", options->force, "Release a lease even if its pod is alive, or may be");
  command.flag("--dry-run", options->dry_run, "Only say what would be released");
  command.runs([options](const Context& context) { return release(context, *options); });
}

}  // namespace podlease::cmd
