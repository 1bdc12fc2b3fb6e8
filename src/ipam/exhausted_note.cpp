#include "exhausted_note.h"

#include <charconv>
#include <string_view>
#include <vector>

#include "podlease/base/text.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/note_table.h"

namespace podlease::ipam {
namespace {

using store::NoteTable;

constexpr Milliseconds kFreshFor{1'000};

std::string to_text(const store::View& view) {
  return std::to_string(view.pid_namespace) + " " + std::to_string(view.folder_device) + " " +
         std::to_string(view.folder_inode);
}

}  // namespace

// A line each: boot, time, change mark, range set, message, details, view. None of them has a line
// break.
std::optional<Error> noted_exhaustion(store::Transaction& transaction, const std::string& network,
                                      const std::string& range_set, const store::View& view,
                                      const store::Moment& now) {
  const std::optional<std::string> note =
      NoteTable(transaction).find(NoteTable::Kind::kExhausted, network);
  const std::vector<std::string_view> lines =
      split(note ? std::string_view(*note) : std::string_view(), '\n');
  constexpr std::size_t kLines = 7;
  if (lines.size() != kLines || lines[0] != now.boot_id || lines[3] != range_set ||
      lines[6] != to_text(view)) {
    return std::nullopt;
  }
  Milliseconds::rep noted = 0;
  std::from_chars(lines[1].data(), lines[1].data() + lines[1].size(), noted);
  const Milliseconds age = now.at.since_boot - Milliseconds(noted);
  if (age < Milliseconds(0) || age >= kFreshFor ||
      lines[2] != store::LeaseTable(transaction).change_mark()) {
    return std::nullopt;
  }
  return Error(ErrorKind::kExhausted, std::string(lines[4]), std::string(lines[5]));
}

void note_exhaustion(store::Transaction& transaction, const std::string& network,
                     const std::string& range_set, const store::View& view,
                     const store::Moment& now, const Error& error) {
  NoteTable(transaction)
      .set(NoteTable::Kind::kExhausted, network,
           now.boot_id + "\n" + std::to_string(now.at.since_boot.count()) + "\n" +
               store::LeaseTable(transaction).change_mark() + "\n" + range_set + "\n" +
               error.what() + "\n" + error.details() + "\n" + to_text(view));
}

}  // namespace podlease::ipam
