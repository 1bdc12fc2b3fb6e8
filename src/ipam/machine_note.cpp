#include "machine_note.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/store/note_table.h"

namespace podlease::ipam {
namespace {

using Time = std::chrono::sys_time<Milliseconds>;
using store::NoteTable;

// A clock that is set while files are written may be off by this much.
constexpr Milliseconds kSlack{5'000};

// The note: boot id, machine id, system UUID, and of whom the store was taken over; a line each.
struct Note {
  std::string boot_id;
  std::string machine_id;
  std::string system_uuid;
  std::string former;

  [[nodiscard]] std::string text() const {
    return boot_id + "\n" + machine_id + "\n" + system_uuid + "\n" + former;
  }
};

std::optional<Note> read_note(store::Transaction& transaction) {
  const std::optional<std::string> text =
      NoteTable(transaction).find(NoteTable::Kind::kMachine, "");
  if (!text) {
    return std::nullopt;
  }
  std::vector<std::string_view> lines = split(*text, '\n');
  lines.resize(4);
  return Note{.boot_id = std::string(lines[0]),
              .machine_id = std::string(lines[1]),
              .system_uuid = std::string(lines[2]),
              .former = std::string(lines[3])};
}

// Of the ids that both know: at least one, and all of them different.
bool is_another(const Note& note, const host::Names& names) {
  int known = 0;
  int equal = 0;
  for (const auto& [theirs, ours] : {std::pair(note.machine_id, names.machine_id),
                                     std::pair(note.system_uuid, names.system_uuid)}) {
    if (!theirs.empty() && !ours.empty()) {
      ++known;
      equal += theirs == ours ? 1 : 0;
    }
  }
  return known > 0 && equal == 0;
}

// How far the clocks of two machines may be apart.
constexpr Milliseconds kClocksApart{3'600'000};

// Files from a later time than that tell that the clock was set back, and nothing else.
bool was_written_since(std::optional<Time> written, const host::Host& host,
                       const store::Moment& now) {
  return written && *written > host.booted_at() + kSlack && *written <= now.at.wall + kClocksApart;
}

}  // namespace

std::optional<Time> last_written(const std::filesystem::path& data_dir) {
  std::optional<Time> written;
  for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
    struct stat status {};
    if (stat((data_dir / name).c_str(), &status) == 0 && status.st_size > 0) {
      const Time time{
          Milliseconds(status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000)};
      written = std::max(written.value_or(time), time);
    }
  }
  return written;
}

Machine settle_machine(store::Transaction& transaction, const host::Host& host,
                       std::optional<Time> written, const store::Moment& now) {
  const std::optional<Note> note = read_note(transaction);
  if (note && note->boot_id == now.boot_id) {
    return Machine::kSame;
  }
  const host::Names names = host.names();
  const bool another = note && is_another(*note, names);
  if (another && was_written_since(written, host, now)) {
    return Machine::kAnothers;
  }
  Note ours{.boot_id = now.boot_id,
            .machine_id = names.machine_id,
            .system_uuid = names.system_uuid,
            .former = note ? note->former : std::string()};
  if (another) {
    ours.former = note->machine_id.empty() ? note->system_uuid : note->machine_id;
  }
  NoteTable(transaction).set(NoteTable::Kind::kMachine, "", ours.text());
  return another ? Machine::kTaken : Machine::kSame;
}

void refuse_another_machines(store::Transaction& transaction, const host::Host& host,
                             const std::filesystem::path& data_dir, std::optional<Time> written,
                             const store::Moment& now) {
  if (settle_machine(transaction, host, written, now) == Machine::kAnothers) {
    throw Error(ErrorKind::kConfig,
                "another machine has written the store in " + data_dir.string() +
                    " since this one was booted",
                "two machines that lease from one store give out each other's addresses: set "
                "ipam.dataDir to a folder that only this machine has");
  }
}

std::optional<std::string> former_machine(store::Transaction& transaction) {
  const std::optional<Note> note = read_note(transaction);
  return note && !note->former.empty() ? std::optional(note->former) : std::nullopt;
}

}  // namespace podlease::ipam
