#ifndef PODLEASE_HOST_HOST_LOCAL_H_
#define PODLEASE_HOST_HOST_LOCAL_H_

#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/clock.h"
#include "podlease/base/file.h"
#include "podlease/host/skipped_file.h"
#include "podlease/net/address.h"

// The folder in which the host-local plugin keeps one network: a file for each address in use,
// named after it, holding `containerID\r\nifname` (older versions: the container id alone), a file
// last_reserved_ip.<index of the range set> for where its round robin stands, and a file `lock`
// that it takes flock(2) on.
namespace podlease::host {

struct HostLocalEntry {
  net::Address address;
  std::string container_id;  // empty: an orphan, its writer died between creating and writing
  std::optional<std::string>
      ifname;  // nothing: written by an old version, belongs to any interface

  friend auto operator<=>(const HostLocalEntry&, const HostLocalEntry&) = default;
};

struct HostLocalCursor {
  int range_set = 0;
  net::Address last_reserved;

  friend auto operator<=>(const HostLocalCursor&, const HostLocalCursor&) = default;
};

struct HostLocalState {
  std::vector<HostLocalEntry> entries;   // ascending by address
  std::vector<HostLocalCursor> cursors;  // ascending by range set
  // Named like an address or a cursor, but not a plain file (a folder, a FIFO, a symbolic link): it
  // says nothing. By file name.
  std::vector<SkippedFile> skipped;

  friend bool operator==(const HostLocalState&, const HostLocalState&) = default;
};

class HostLocalFolder {
 public:
  // `path` is the folder of one network, e.g. /var/lib/cni/networks/NAME. It need not exist.
  explicit HostLocalFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  // A text that changes whenever a file is added to or removed from the folder; nothing if the
  // folder does not exist. One system call. Two changes within the file system's time resolution
  // may leave the same stamp, so what was read is only vouched for by a stamp that `settled` says
  // is old enough. Throws kIo if it cannot be seen.
  [[nodiscard]] std::optional<std::string> stamp() const;
  // Reports whether the folder's last change lies at least two seconds before `now`.
  [[nodiscard]] bool settled(ClockReading now) const;

  // Which lock file is there: a text that another one, made later in its place, does not share.
  // host-local makes it once and never removes it, so where there is none or another one, somebody
  // has cleared the folder.
  [[nodiscard]] std::optional<std::string> lock_file() const;

  // Makes the folder and its lock file where they are missing, as host-local would. Throws kIo.
  void prepare() const;

  // Takes host-local's own lock, as long as the returned descriptor lives. Throws kBusy after
  // `timeout`, kIo otherwise. Creates nothing: where there is no lock file, the folder itself is
  // locked, as host-local once did.
  [[nodiscard]] UniqueFd lock(Milliseconds timeout) const;

  // The same, if nobody has it at this moment.
  [[nodiscard]] std::optional<UniqueFd> try_lock() const;

  // Everything host-local knows, to be called under its lock. Names that are neither addresses nor
  // cursors are passed over, and what is not a plain file is skipped. Throws kIo for a file that
  // cannot be read, kDecode for one too large to be host-local's: a partial view must not pass for
  // the whole.
  [[nodiscard]] HostLocalState read() const;

  // When the file of an address was last written, by the wall clock of then; nothing if there is
  // none, or it is not a plain file. Throws kIo.
  [[nodiscard]] std::optional<std::chrono::sys_time<Milliseconds>> written_at(
      net::Address address) const;

  // Makes the folder say `state` and nothing else about addresses: for the way back to host-local.
  // `state.skipped` is not looked at: folders stay, and other files that are not plain ones go.
  // To be called under its lock, if the folder exists; creates it otherwise. New files are durable
  // before old ones go. Throws kIo.
  void write(const HostLocalState& state) const;

  // Removes the file of an address; under the lock. Not durable: a file that comes back is only a
  // leak. Throws kIo.
  void remove(net::Address address) const;

 private:
  std::filesystem::path path_;
};

}  // namespace podlease::host

#endif  // PODLEASE_HOST_HOST_LOCAL_H_
