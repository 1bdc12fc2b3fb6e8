#include "podlease/store/transaction.h"

#include <utility>

#include "database.h"

namespace podlease::store {

Transaction::Transaction(Database& database) : database_(&database) {
  Query(database, "BEGIN IMMEDIATE").run();
  try {
    database.migrate();
  } catch (const Error&) {
    roll_back();
    throw;
  }
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  std::swap(database_, other.database_);
  return *this;
}

Transaction::~Transaction() {
  roll_back();
}

void Transaction::roll_back() noexcept {
  Database* const database = std::exchange(database_, nullptr);
  if (database == nullptr) {
    return;
  }
  try {
    Query(*database, "ROLLBACK").run();
  } catch (const Error&) {
    // SQLite has rolled back by itself, as it does on a full disk.
  }
  database->rolled_back();
}

void Transaction::commit() {
  try {
    Query(*database_, "COMMIT").run();
  } catch (const Error&) {
    database_->commit_failed();
    throw;
  }
  std::exchange(database_, nullptr)->committed();
}

}  // namespace podlease::store
