#include "ended_notes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/store/lease_table.h"

namespace podlease::ipam {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLargest = 4096;

Error cannot_note(const fs::path& file, const std::string& why, int error) {
  return Error(ErrorKind::kBusy,
               why + "; and " + file.string() +
                   " cannot be written: " + std::generic_category().message(error),
               "the runtime tries again by itself");
}

// The caller's own, and writable by nobody else: what others write there ends leases of pods that
// live.
bool is_trusted(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

// Points only separate: an id may have some, and so may an interface's name.
std::string name_of(const AttachmentKey& key) {
  std::string ifname;
  for (const char c : key.ifname) {
    ifname += c == '.' ? "%2E" : c == '%' ? "%25" : std::string(1, c);
  }
  return key.container_id + "." + ifname;
}

// The folder of the notes, not by way of a link. Nothing, and errno, if it is not there or is not
// to be trusted.
UniqueFd open_notes(const fs::path& folder) {
  UniqueFd fd(open((folder / "ended").c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (fd && (fstat(fd.get(), &status) != 0 || !is_trusted(status))) {
    fd.reset();
    errno = EPERM;
  }
  return fd;
}

}  // namespace

void note_ended_beside(const fs::path& folder, const AttachmentKey& key, const std::string& pod_uid,
                       const std::string& why) {
  const fs::path notes = folder / "ended";
  const fs::path file = notes / name_of(key);
  if (mkdir(notes.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    throw cannot_note(file, why, errno);
  }
  const UniqueFd opened = open_notes(folder);
  if (!opened) {
    throw cannot_note(file, why, errno);
  }
  const UniqueFd fd(openat(opened.get(), file.filename().c_str(),
                           O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                           S_IRUSR | S_IWUSR));
  if (!fd) {
    throw cannot_note(file, why, errno);
  }
  const int failed = write_all(
      fd.get(), key.network + "\n" + key.container_id + "\n" + key.ifname + "\n" + pod_uid + "\n");
  if (failed != 0 || fsync(fd.get()) != 0) {
    throw cannot_note(file, why, failed != 0 ? failed : errno);
  }
  sync_folder(notes);
  sync_folder(folder);
}

EndedNotes::EndedNotes(const fs::path& folder) : folder_(open_notes(folder)) {
  if (!folder_) {
    return;
  }
  std::error_code error;
  // By the descriptor: whatever is put in the folder's place is not looked at.
  fs::directory_iterator item("/proc/self/fd/" + std::to_string(folder_.get()), error);
  for (; !error && item != fs::directory_iterator(); item.increment(error)) {
    const std::string name = item->path().filename();
    const UniqueFd fd(
        openat(folder_.get(), name.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    struct stat status {};
    if (!fd || fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) || !is_trusted(status)) {
      continue;
    }
    const std::string text = read_all(fd.get(), kLargest);
    const std::vector<std::string_view> lines = split(text, '\n');
    if (lines.size() < 4) {
      continue;  // half written: its DEL has not succeeded, and comes again
    }
    notes_.push_back({.file = name,
                      .key = {.network = std::string(lines[0]),
                              .container_id = std::string(lines[1]),
                              .ifname = std::string(lines[2])},
                      .pod_uid = std::string(lines[3]),
                      .written = std::chrono::sys_time<Milliseconds>(Milliseconds(
                          status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000))});
  }
}

bool EndedNotes::apply(store::Transaction& transaction, const store::Moment& now) const {
  const store::LeaseTable leases(transaction);
  for (const Note& note : notes_) {
    for (const store::Lease& lease : leases.of(note.key.container_id, note.key.ifname)) {
      // As by the DEL itself: of another network only what is this very pod's.
      const bool is_meant = note.key.network.empty() || note.key.network == lease.key.network ||
                            (!note.pod_uid.empty() && note.pod_uid == lease.pod.uid);
      if (is_meant && lease.created <= note.written) {
        leases.end(lease, now, store::Ending::kDel);
      }
    }
  }
  return !notes_.empty();
}

void EndedNotes::remove() const {
  for (const Note& note : notes_) {
    unlinkat(folder_.get(), note.file.c_str(),
             0);  // one that stays is applied again, and finds nothing
  }
}

}  // namespace podlease::ipam
