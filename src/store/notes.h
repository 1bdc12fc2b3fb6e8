#ifndef PODLEASE_SRC_STORE_NOTES_H_
#define PODLEASE_SRC_STORE_NOTES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "database.h"

// Notes of all kinds are asked for and written by the same few statements: what an ADD pays for is
// that they are prepared.
namespace podlease::store {

inline constexpr const char* kFindNote =
    "SELECT value FROM note WHERE kind = ? AND network = ? AND key = ?";
// Not REPLACE: what a newer podlease keeps in columns of its own stays.
inline constexpr const char* kSetNote =
    "INSERT INTO note(kind, network, key, value) VALUES(?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET value = excluded.value";
inline constexpr const char* kForgetNote =
    "DELETE FROM note WHERE kind = ? AND network = ? AND key = ?";

inline constexpr std::int64_t kNoNetwork = 0;  // of notes that are about the machine

template <typename Key>
std::optional<std::string> find_note(Database& database, const std::string& kind,
                                     std::int64_t network, const Key& key) {
  Query row(database, kFindNote);
  return row.bind(kind, network, key).next() ? std::optional(row.text()) : std::nullopt;
}

template <typename Key>
void set_note(Database& database, const std::string& kind, std::int64_t network, const Key& key,
              const std::string& value) {
  Query(database, kSetNote).bind(kind, network, key, value).run();
}

template <typename Key>
void forget_note(Database& database, const std::string& kind, std::int64_t network,
                 const Key& key) {
  Query(database, kForgetNote).bind(kind, network, key).run();
}

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_NOTES_H_
