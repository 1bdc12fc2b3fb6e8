#ifndef PODLEASE_SRC_IPAM_ENDED_NOTES_H_
#define PODLEASE_SRC_IPAM_ENDED_NOTES_H_

#include <filesystem>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/file.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

// A DEL that could not get the lock of another store in time, or could not write there, leaves a
// file beside it, `<dataDir>/ended/<container id>.<ifname>` (points of the interface's name as
// %2E), and succeeds: the next holder of that store's lock ends the lease (FACTS, section 4). The
// file holds network (may be empty), container id, ifname and the pod's uid (may be empty), a line
// each.
namespace podlease::ipam {

// Durable once it returns. Throws kBusy if it cannot be written, and says why that store could not
// be changed itself: then the runtime has to call again.
void note_ended_beside(const std::filesystem::path& folder, const AttachmentKey& key,
                       const std::string& pod_uid, const std::string& why);

// The notes that lie beside a store. Under its lock. Nobody else's count, nor what lies behind a
// link: they end leases.
class EndedNotes {
 public:
  EndedNotes() = default;
  // Where there are none, as mostly, this costs one system call.
  explicit EndedNotes(const std::filesystem::path& folder);

  // Ends the leases that were made before their note was. Returns whether anything changed.
  [[nodiscard]] bool apply(store::Transaction& transaction, const store::Moment& now) const;
  // After the commit.
  void remove() const;

 private:
  struct Note {
    std::string file;  // its name in the folder
    AttachmentKey key;
    std::string pod_uid;
    std::chrono::sys_time<Milliseconds> written;
  };
  UniqueFd folder_;
  std::vector<Note> notes_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_ENDED_NOTES_H_
