#ifndef PODLEASE_SRC_STORE_DATABASE_H_
#define PODLEASE_SRC_STORE_DATABASE_H_

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "lock.h"
#include "podlease/base/error.h"
#include "podlease/net/address.h"
#include "podlease/store/store.h"

namespace podlease::store {

// Throws what tells the rest of the house of an SQLite failure: Error or DamagedError.
[[noreturn]] void fail(const SQLite::Exception& exception, const std::string& path);

// The open file with its lock: connection settings, schema, log and statements.
class Database {
 public:
  // With kLook the log is not folded, for nothing is going to be changed.
  enum class Use { kLease, kLook, kRelease };

  Database(const Store::Options& options, FolderLock lock, Use use);
  // In memory, without a lock.
  Database();

  [[nodiscard]] const std::string& path() const { return path_; }
  // 1000 * major + minor.
  [[nodiscard]] int schema_version() const { return schema_version_; }
  // Reports whether a podlease of a newer major wrote the store.
  [[nodiscard]] bool is_newer() const;
  // To be called at the beginning of a transaction: gives a store of an older minor, within it,
  // what this one has besides. A call that changes nothing rolls it back, and so leaves the store
  // as it is.
  void migrate();
  // To be called after each transaction that was rolled back.
  void rolled_back() noexcept;
  // Reports whether the files are not as the last commit left them: somebody removed the log, or
  // put the store back from a copy, so that leases may be missing; or an sqlite3 shell has written
  // to it; or whoever committed was killed before it could note that. Then what the networks were
  // surveyed for counts no more. The first change forgets it, in its own transaction.
  [[nodiscard]] bool doubts_surveys() const {
    return is_written_by_others_ && !has_doubted_ && !is_newer() && !is_migrated_;
  }
  // Prepared once a process, reset and unbound each time. `sql` must be a literal: its address is
  // the key.
  [[nodiscard]] SQLite::Statement& statement(const char* sql);
  // To be called before each statement that changes something: folds a log that has become long,
  // and see `doubts_surveys`. That costs syncs, and a call that changes nothing has none.
  void before_change();
  // To be called before a lease is added: sees to it that the file can take in the log, and what
  // later DELs add to it, whatever happens to the disk meanwhile. Throws kIo if it is full.
  void make_room();
  // Reports whether there is, or whether it could be made: for what may be left out otherwise.
  [[nodiscard]] bool has_room();
  // To be called after each commit: notes what is now known of the log.
  void committed();
  // To be called after a commit that failed: sees to it that the next call finds room in the log.
  void commit_failed();

 private:
  void connect(const Store::Options& options, bool exclusive);
  void prepare_log();
  [[nodiscard]] LockNotes vouching(LockNotes notes, const LockNotes& found) const;
  void check_schema(Use use);
  void fold();
  void refuse_foreign();
  void create_schema();

  std::optional<FolderLock> lock_;  // released last
  std::string path_;
  std::unique_ptr<SQLite::Database> connection_;
  std::unordered_map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
  int schema_version_ = 0;
  bool is_migrated_ = false;  // in the transaction that is open
  bool fold_due_ = false;
  bool is_written_by_others_ = false;
  bool has_doubted_ = false;  // in the transaction that is open
  bool is_touched_ = false;   // by that one, maybe
  int log_frames_ = 0;
};

// A statement being bound and stepped; turns SQLite's failures into ours. Columns and parameters
// are counted as they come, from left to right.
class Query {
 public:
  Query(Database& database, const char* sql)
      : database_(&database), statement_(&prepare(database, sql)) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  // A statement that is not at its end would keep its cursors open.
  ~Query() { statement_->tryReset(); }

  template <typename... Values>
  Query& bind(const Values&... values) {
    guard([&] { (bind_one(values), ...); });
    return *this;
  }
  // Steps to the next row; false at the end.
  bool next();
  // For statements without rows; returns how many rows changed.
  int run();

  [[nodiscard]] std::int64_t integer();
  [[nodiscard]] std::string text();
  [[nodiscard]] std::optional<net::Address> optional_address();
  // Throws kIo for what is no address: the store is damaged.
  [[nodiscard]] net::Address address();

 private:
  [[nodiscard]] static SQLite::Statement& prepare(Database& database, const char* sql);
  template <typename Action>
  void guard(const Action& action) {
    try {
      action();
    } catch (const SQLite::Exception& exception) {
      fail(exception, database_->path());
    }
  }
  void bind_one(std::int64_t value) { statement_->bind(++parameter_, value); }
  void bind_one(const std::string& value) { statement_->bind(++parameter_, value); }
  void bind_one(const net::Address& value);
  void bind_one(const std::optional<net::Address>& value);

  Database* database_;
  SQLite::Statement* statement_;
  int parameter_ = 0;
  int column_ = 0;
};

// Reports whether SQLite finds nothing wrong with a store. Its lock must be held. Throws kBusy or
// kIo if it cannot be told.
[[nodiscard]] bool is_sound(const std::filesystem::path& folder);

// Addresses as the store spells them, one after another.
[[nodiscard]] std::string encode(const std::vector<net::Address>& addresses);
[[nodiscard]] std::optional<std::vector<net::Address>> decode(std::string_view bytes);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_DATABASE_H_
