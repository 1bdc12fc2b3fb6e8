#include "podlease/store/host_local_table.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "codec.h"
#include "database.h"
#include "notes.h"
#include "podlease/base/error.h"

namespace podlease::store {
namespace {

using net::Address;

// Notes of kind `adopted`: folder and file in a line each, and what the file said, container and
// interface in a line each. The files of a folder are those from FOLDER\n on to FOLDER\v, which no
// folder inside it is among.
#define PODLEASE_ADOPTED_IN_FOLDER \
  " FROM note WHERE kind = 'adopted' AND network = ? AND key BETWEEN ? AND ?"

AdoptedFile read_adopted(const std::string& path, const std::string& content,
                         const std::string& store) {
  const std::optional<Address> address =
      Address::parse(std::string_view(path).substr(path.rfind('\n') + 1));
  const std::size_t line = content.rfind('\n');
  if (!address || line == std::string::npos) {
    throw Error(ErrorKind::kIo, "store " + store + " holds a note of " + path + " that is none");
  }
  return {.address = *address,
          .container_id = content.substr(0, line),
          .ifname = content.substr(line + 1)};
}

}  // namespace

std::vector<WatchedFolder> HostLocalTable::folders(const Network& network) const {
  std::vector<WatchedFolder> folders;
  Query rows(*database_,
             "SELECT key, value FROM note WHERE kind = 'source' AND network = ? ORDER BY key");
  rows.bind(network.id);
  while (rows.next()) {
    folders.push_back({.folder = rows.text(), .stamp = rows.text()});
  }
  return folders;
}

void HostLocalTable::set_folder(const Network& network, const WatchedFolder& folder) const {
  set_note(*database_, "source", network.id, folder.folder, folder.stamp);
}

std::vector<AdoptedFile> HostLocalTable::files(const Network& network,
                                               const std::string& folder) const {
  std::vector<AdoptedFile> files;
  Query rows(*database_, "SELECT key, value" PODLEASE_ADOPTED_IN_FOLDER);
  rows.bind(network.id, folder + "\n", folder + "\v");
  while (rows.next()) {
    const std::string path = rows.text();
    files.push_back(read_adopted(path, rows.text(), database_->path()));
  }
  std::sort(files.begin(), files.end());
  return files;
}

void HostLocalTable::set_files(const Network& network, const std::string& folder,
                               const std::vector<AdoptedFile>& files) const {
  Query(*database_, "DELETE" PODLEASE_ADOPTED_IN_FOLDER)
      .bind(network.id, folder + "\n", folder + "\v")
      .run();
  for (const AdoptedFile& file : files) {
    set_note(*database_, "adopted", network.id, folder + "\n" + file.address.to_string(),
             file.container_id + "\n" + file.ifname);
  }
}

void HostLocalTable::note_ended(const AttachmentKey& key, Time at) const {
  Query(*database_,
        "INSERT OR REPLACE INTO note(kind, network, key, value) VALUES('ended', ?, ?, ?)")
      .bind(key.network, key.container_id + "\n" + key.ifname, to_integer(at))
      .run();
}

bool HostLocalTable::has_ended(const AttachmentKey& key, std::optional<Time> written) const {
  // A note without a network is of any. A file without an interface is matched by any of its
  // container's notes: those from CONTAINER\n on to CONTAINER\v.
  const std::string first = key.container_id + "\n" + key.ifname;
  // An older podlease notes no time, but '', which is after all.
  Query row(*database_,
            "SELECT 1 FROM note WHERE kind = 'ended' AND network IN (?, '') AND key BETWEEN ? AND ?"
            " AND value >= ?");
  return row
      .bind(key.network, first, key.ifname.empty() ? key.container_id + "\v" : first,
            to_integer(written.value_or(Time::min())))
      .next();
}

void HostLocalTable::forget_ended(const std::string& network) const {
  Query(*database_, "DELETE FROM note WHERE kind = 'ended' AND network = ?").bind(network).run();
}

}  // namespace podlease::store
