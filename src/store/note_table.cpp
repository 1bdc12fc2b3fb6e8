#include "podlease/store/note_table.h"

#include "database.h"
#include "notes.h"

namespace podlease::store {
namespace {

std::string kind_of(NoteTable::Kind kind) {
  switch (kind) {
    case NoteTable::Kind::kHeldByHost:
      return "held";
    case NoteTable::Kind::kMovedTo:
      return "moved";
    case NoteTable::Kind::kExhausted:
      return "exhausted";
    case NoteTable::Kind::kMachine:
      return "machine";
  }
  return "";
}

}  // namespace

std::optional<std::string> NoteTable::find(Kind kind, const std::string& network) const {
  return find_note(*database_, kind_of(kind), kNoNetwork, network);
}

void NoteTable::set(Kind kind, const std::string& network, const std::string& text) const {
  set_note(*database_, kind_of(kind), kNoNetwork, network, text);
}

void NoteTable::forget(Kind kind, const std::string& network) const {
  forget_note(*database_, kind_of(kind), kNoNetwork, network);
}

}  // namespace podlease::store
