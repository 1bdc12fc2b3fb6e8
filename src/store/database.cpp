#include "database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

#include "log_reader.h"
#include "podlease/base/text.h"
#include "podlease/store/registry.h"
#include "sqlite_setup.h"

namespace podlease::store {
namespace {

constexpr int kMajor = 1;
constexpr int kMinor = 1;
constexpr int kVersionFactor = 1000;
constexpr int kApplicationId = 0x706f646c;  // "podl"
// Frames of 1 KiB. To fold the log costs three syncs more than a change has anyway, so that it must
// not happen in more than one call of thirty; a change writes seven to eleven frames. Whoever opens
// a store reads the log back, at some 1,900 instructions a frame: see LogReader.
constexpr std::int64_t kLongestLog = 384;
// What file and log get of the disk in advance, so that DEL has room in them when it is full.
constexpr int kFileChunk = 64 * 1024;
// Not the whole log: on a full disk it is folded before it is long, and begins again at its start.
constexpr off_t kLogReserve = off_t{128} * (1024 + 24);
constexpr std::int64_t kSparePages = 16;

// Every call parses these texts, so they say no more than they must: no types, indexes as
// constraints of their table (one text less each), and one table for all that is seldom needed.
constexpr const char* kSchema = R"sql(
CREATE TABLE network(id INTEGER PRIMARY KEY, name UNIQUE, hints, next_position, handover, wires,
  space, examine, reused, surveyed);
CREATE TABLE lease(id INTEGER PRIMARY KEY, network, container, ifname, address, prefix, gateway,
  range_set, pod_namespace, pod_name, pod_uid, boot, netns, netns_device, netns_inode, created,
  source, cookie, view, UNIQUE(network, address), UNIQUE(container, ifname, network, address));
CREATE TABLE freed(network, address, family, position, at, since_boot, boot, pod_uid, ifname,
  PRIMARY KEY(network, address), UNIQUE(network, family, position)) WITHOUT ROWID;
CREATE TABLE touched(network, first, last, PRIMARY KEY(network, first)) WITHOUT ROWID;
CREATE TABLE note(kind, network, key, value, PRIMARY KEY(kind, network, key)) WITHOUT ROWID;
CREATE TABLE past(id INTEGER PRIMARY KEY, network, value);
)sql";

// From 1.0. A 1.0 that comes back works on: it neither reads nor writes what it does not know.
constexpr const char* kMigration = R"sql(
ALTER TABLE network ADD COLUMN wires;
ALTER TABLE network ADD COLUMN space;
ALTER TABLE network ADD COLUMN examine;
ALTER TABLE network ADD COLUMN reused;
ALTER TABLE network ADD COLUMN surveyed;
ALTER TABLE lease ADD COLUMN cookie;
ALTER TABLE lease ADD COLUMN view;
CREATE TABLE past(id INTEGER PRIMARY KEY, network, value);
UPDATE network SET reused =
  next_position - 1 - (SELECT count(*) FROM freed WHERE freed.network = network.id);
)sql";

// SQLite syncs the folder each time a process first syncs a log it has opened. While this is set,
// it cannot open the folder, which it takes for a file system without that notion.
bool folder_sync_spared = false;
int (*open_folder)(const char*, int*) = nullptr;

int open_folder_unless_spared(const char* path, int* fd) {
  return folder_sync_spared ? SQLITE_CANTOPEN : open_folder(path, fd);
}

// As root SQLite gives each log that it opens the owner of its store's file, also where it has it.
// That would look like a change of the file.
int (*change_owner)(int, uid_t, gid_t) = nullptr;

int change_owner_if_another(int fd, uid_t user, gid_t group) {
  struct stat file {};
  const bool has_it = fstat(fd, &file) == 0 && file.st_uid == user && file.st_gid == group;
  return has_it ? 0 : change_owner(fd, user, group);
}

void intercept_system_calls() {
  if (open_folder == nullptr) {
    open_folder = replace_system_call("openDirectory", open_folder_unless_spared);
    change_owner = replace_system_call("fchown", change_owner_if_another);
  }
}

std::int64_t nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// When the content, or anything else of a file, was changed last; 0: not known.
std::int64_t changed(const std::string& file) {
  struct statx status {};
  return statx(AT_FDCWD, file.c_str(), 0, STATX_CTIME, &status) == 0 ? nanoseconds(status.stx_ctime)
                                                                     : 0;
}

// What there is to note of a store's files, besides how long the log is. No log: there is none, or
// the file system does not know when it was made; then nothing is vouched for.
LockNotes notes_of(const std::string& path) {
  LockNotes notes{.db_changed = changed(path)};
  struct statx log {};
  if (statx(AT_FDCWD, (path + "-wal").c_str(), 0, STATX_INO | STATX_BTIME | STATX_CTIME, &log) ==
          0 &&
      (log.stx_mask & STATX_BTIME) != 0) {
    notes.log_inode = log.stx_ino;
    notes.log_birth = nanoseconds(log.stx_btime);
    notes.log_changed = nanoseconds(log.stx_ctime);
  }
  return notes;
}

// Best effort: not every file system can, and a full disk cannot.
void reserve(const std::string& log) {
  const UniqueFd fd(open(log.c_str(), O_RDWR | O_CLOEXEC));
  static_cast<void>(!fd || fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, kLogReserve));
}

bool is_busy(const SQLite::Exception& exception) {
  return exception.getErrorCode() == SQLITE_BUSY || exception.getErrorCode() == SQLITE_LOCKED;
}

// SQLite would let everybody read it. It has not been opened in this process yet, so no POSIX lock
// is lost by closing it here.
void create_file(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) {
    throw io_error("create store " + path, errno);
  }
}

int read_pragma(SQLite::Database& connection, const char* sql) {
  return connection.execAndGet(sql).getInt();
}

}  // namespace

void fail(const SQLite::Exception& exception, const std::string& path) {
  const std::string what = "store " + path + ": " + exception.what();
  switch (exception.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw Error(ErrorKind::kBusy, what, "another program has the store open: an sqlite3 shell?");
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw DamagedError(ErrorKind::kIo, what,
                         "the file is damaged; nothing was changed. Check it with: sqlite3 " +
                             path + " 'PRAGMA integrity_check'");
    case SQLITE_FULL:
      throw Error(ErrorKind::kIo, what, "the disk is full; nothing was changed");
    default:
      throw Error(ErrorKind::kIo, what,
                  std::string(sqlite3_errstr(exception.getExtendedErrorCode())));
  }
}

Database::Database(const Store::Options& options, FolderLock lock, Use use)
    : lock_(std::move(lock)), path_((options.folder / "podlease.db").string()) {
  try {
    set_up_sqlite();
    intercept_system_calls();
    folder_sync_spared = false;
    bool is_alone = true;
    try {
      const LogReader reader;
      connect(options, true);
    } catch (const SQLite::Exception& exception) {
      if (!is_busy(exception)) {
        throw;
      }
      // Another connection is open: an sqlite3 shell keeps a shared lock for as long as it lives.
      is_alone = false;
      connect(options, false);
    }
    prepare_log();
    check_schema(use);
    fold_due_ = use != Use::kLook && lock_->notes().log_frames >= kLongestLog;
    if (!is_alone) {
      // Others could change the store between the fold and the change that it makes room for.
      fold();
    }
  } catch (const SQLite::Exception& exception) {
    fail(exception, path_);
  }
}

Database::Database() : path_(":memory:") {
  set_up_sqlite();
  connection_ = std::make_unique<SQLite::Database>(path_, SQLite::OPEN_READWRITE);
  create_schema();
}

void Database::connect(const Store::Options& options, bool exclusive) {
  struct stat there {};
  struct stat log {};
  const bool is_new = stat(path_.c_str(), &there) != 0;
  if (is_new) {
    create_file(path_);
  } else if (there.st_size == 0 && stat((path_ + "-wal").c_str(), &log) == 0 && log.st_size > 0) {
    // SQLite would remove the log, and the leases in it.
    throw Error(ErrorKind::kIo, "store " + path_ + " is empty, but there is a log beside it",
                "the file is damaged; nothing was changed. To begin anew, move both away");
  }
  const auto busy_timeout =
      std::min(options.lock_timeout, Milliseconds(std::numeric_limits<int>::max()));
  connection_ = std::make_unique<SQLite::Database>(
      path_, SQLite::OPEN_READWRITE, exclusive ? 0 : static_cast<int>(busy_timeout.count()));
  sqlite3* const handle = connection_->getHandle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  int chunk = kFileChunk;
  sqlite3_file_control(handle, nullptr, SQLITE_FCNTL_CHUNK_SIZE, &chunk);
  sqlite3_wal_hook(
      handle,
      [](void* frames, sqlite3* /*db*/, const char* /*name*/, int count) {
        *static_cast<int*>(frames) = count;
        return SQLITE_OK;
      },
      &log_frames_);
  if (is_new || there.st_size == 0) {
    connection_->exec("PRAGMA page_size=1024");
  }
  if (exclusive) {
    connection_->exec("PRAGMA locking_mode=EXCLUSIVE");
  }
  refuse_foreign();
  connection_->exec("PRAGMA synchronous=FULL");
  if (connection_->execAndGet("PRAGMA journal_mode=WAL").getString() != "wal") {
    throw Error(ErrorKind::kIo,
                "store " + path_ + ": its file system cannot keep a write-ahead log",
                "dataDir must be on a local file system");
  }
}

// Only now that the log is open: before, a leaving sqlite3 shell could still have removed it.
void Database::prepare_log() {
  const LockNotes& noted = lock_->notes();
  LockNotes found = notes_of(path_);
  found.log_frames = noted.log_frames;
  folder_sync_spared = found.log_inode != 0 && found.log_inode == noted.log_inode &&
                       found.log_birth == noted.log_birth;
  is_written_by_others_ = schema_version_ != 0 && (found.log_inode == 0 || found != noted);
}

void Database::check_schema(Use use) {
  if (schema_version_ == 0) {
    create_schema();
    return;
  }
  if (is_newer() && use != Use::kRelease) {
    throw Error(
        ErrorKind::kIo,
        "store " + path_ + " has schema " + std::to_string(schema_version_ / kVersionFactor) + "." +
            std::to_string(schema_version_ % kVersionFactor) + ", and this podlease knows " +
            std::to_string(kMajor) + "." + std::to_string(kMinor),
        "a newer podlease wrote it: install that one again. DEL works meanwhile");
  }
}

// PASSIVE waits for nobody: a reader that keeps it from finishing only lets the log grow. Nor is a
// failure, such as a full disk, one of the work at hand: the log is whole. TRUNCATE would give the
// room in the log away that `reserve` has got for it. That all of the log is folded is forgotten
// with the connection, so only the change that follows begins it anew.
void Database::fold() {
  if (std::exchange(fold_due_, false)) {
    sqlite3_wal_checkpoint_v2(connection_->getHandle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr,
                              nullptr);
  }
}

// Not within a transaction; and the one that is open has changed nothing yet. While the store is
// locked against all others, that which takes its place begins where it began.
void Database::before_change() {
  is_touched_ = true;
  try {
    if (fold_due_ && !is_migrated_ && sqlite3_get_autocommit(connection_->getHandle()) == 0) {
      connection_->exec("ROLLBACK");
      fold();
      connection_->exec("BEGIN IMMEDIATE");
    }
    if (doubts_surveys()) {
      connection_->exec("UPDATE network SET surveyed = NULL WHERE surveyed IS NOT NULL");
      has_doubted_ = true;
    }
  } catch (const SQLite::Exception& exception) {
    fail(exception, path_);
  }
}

// Whoever else may hold something under this name: it is not ours, and not a byte of it is changed.
void Database::refuse_foreign() {
  schema_version_ = read_pragma(*connection_, "PRAGMA user_version");
  if (schema_version_ == kMajor * kVersionFactor + kMinor) {
    return;  // nobody else counts like this
  }
  const int application = read_pragma(*connection_, "PRAGMA application_id");
  const bool is_ours = application == kApplicationId && schema_version_ >= kVersionFactor;
  const bool is_empty = application == 0 && schema_version_ == 0 &&
                        read_pragma(*connection_, "SELECT count(*) FROM sqlite_schema") == 0;
  if (!is_ours && !is_empty) {
    throw Error(ErrorKind::kIo, "store " + path_ + " is an SQLite database of something else",
                "nothing was changed. Move it out of the way, or choose another dataDir");
  }
}

void Database::create_schema() {
  SQLite::Transaction transaction(*connection_, SQLite::TransactionBehavior::IMMEDIATE);
  connection_->exec(kSchema);
  schema_version_ = kMajor * kVersionFactor + kMinor;
  connection_->exec("PRAGMA user_version=" + std::to_string(schema_version_));
  connection_->exec("PRAGMA application_id=" + std::to_string(kApplicationId));
  transaction.commit();
}

void Database::migrate() {
  constexpr int kVersion = kMajor * kVersionFactor + kMinor;
  if (schema_version_ >= kVersion) {
    return;
  }
  try {
    connection_->exec(kMigration);
    connection_->exec("PRAGMA user_version=" + std::to_string(kVersion));
  } catch (const SQLite::Exception& exception) {
    fail(exception, path_);
  }
  is_migrated_ = true;
}

bool is_sound(const std::filesystem::path& folder) {
  const std::string path = (folder / "podlease.db").string();
  try {
    SQLite::Database connection(path, SQLite::OPEN_READWRITE);
    connection.exec("PRAGMA locking_mode=EXCLUSIVE");
    return connection.execAndGet("PRAGMA quick_check(1)").getString() == "ok";
  } catch (const SQLite::Exception& exception) {
    if (exception.getErrorCode() == SQLITE_NOTADB || exception.getErrorCode() == SQLITE_CORRUPT) {
      return false;
    }
    struct stat there {};
    if (exception.getErrorCode() == SQLITE_CANTOPEN && stat(path.c_str(), &there) != 0) {
      return true;  // somebody has moved it aside meanwhile
    }
    fail(exception, path);
  }
}

SQLite::Statement& Database::statement(const char* sql) {
  std::unique_ptr<SQLite::Statement>& statement = statements_[sql];
  if (!statement) {
    statement = std::make_unique<SQLite::Statement>(*connection_, sql);
  } else {
    statement->reset();
    statement->clearBindings();
  }
  return *statement;
}

void Database::committed() {
  if (std::exchange(is_migrated_, false)) {
    schema_version_ = kMajor * kVersionFactor + kMinor;
    is_written_by_others_ = false;  // it counts nothing as surveyed
  }
  if (std::exchange(has_doubted_, false)) {
    is_written_by_others_ = false;
  }
  if (!lock_ || log_frames_ == 0) {
    return;
  }
  // The commit synced the log, and the folder too unless that was spared because it had been
  // before.
  if (!folder_sync_spared) {
    reserve(path_ + "-wal");
  }
  const LockNotes found = notes_of(path_);
  LockNotes notes = lock_->notes();
  notes.log_inode = found.log_inode;
  notes.log_birth = found.log_birth;
  notes.log_frames = log_frames_;
  lock_->set_notes(vouching(notes, found));
  is_touched_ = false;
}

void Database::rolled_back() noexcept {
  is_migrated_ = false;
  has_doubted_ = false;
  if (std::exchange(is_touched_, false) && lock_) {
    lock_->set_notes(vouching(lock_->notes(), notes_of(path_)));
  }
}

// What this process has written, also on the way to nothing, is not others'.
LockNotes Database::vouching(LockNotes notes, const LockNotes& found) const {
  if (!is_written_by_others_) {
    notes.log_changed = found.log_changed;
    notes.db_changed = found.db_changed;
  }
  return notes;
}

void Database::commit_failed() {
  // Where all was written and only the sync failed, the next process would find the transaction in
  // the log, and done. Another one, which changes nothing, is written over it, without the syncs
  // that would fail again.
  try {
    connection_->exec("PRAGMA synchronous=OFF");
    SQLite::Transaction transaction(*connection_, SQLite::TransactionBehavior::IMMEDIATE);
    connection_->exec("PRAGMA user_version=" + std::to_string(schema_version_));
    transaction.commit();
  } catch (const SQLite::Exception&) {
    // The disk takes nothing any more; then it holds no whole transaction either.
  }
  connection_->tryExec("PRAGMA synchronous=FULL");
  rolled_back();
  // Where the disk is full the log cannot grow. Folded into the file it need not: it is written
  // from its start again.
  if (lock_ && lock_->notes().log_frames < kLongestLog) {
    LockNotes notes = lock_->notes();
    notes.log_frames = kLongestLog;
    lock_->set_notes(notes);
  }
}

void Database::make_room() {
  if (!has_room()) {
    throw Error(ErrorKind::kIo, "store " + path_ + ": no room for another lease",
                "the disk is full; nothing was changed");
  }
}

bool Database::has_room() {
  struct stat file {};
  if (!lock_ || stat(path_.c_str(), &file) != 0) {
    return true;
  }
  Query pages(*this, "PRAGMA page_count");
  pages.next();
  sqlite3_int64 size = (pages.integer() + kSparePages) * 1024;
  return size <= file.st_size || sqlite3_file_control(connection_->getHandle(), nullptr,
                                                      SQLITE_FCNTL_SIZE_HINT, &size) == SQLITE_OK;
}

bool Database::is_newer() const {
  return schema_version_ / kVersionFactor > kMajor;
}

namespace {

bool is_change(std::string_view sql) {
  return sql.starts_with("INSERT") || sql.starts_with("UPDATE") || sql.starts_with("DELETE");
}

}  // namespace

SQLite::Statement& Query::prepare(Database& database, const char* sql) {
  try {
    if (is_change(sql)) {
      database.before_change();
    }
    return database.statement(sql);
  } catch (const SQLite::Exception& exception) {
    fail(exception, database.path());
  }
}

bool Query::next() {
  column_ = 0;
  bool row = false;
  guard([&] { row = statement_->executeStep(); });
  return row;
}

int Query::run() {
  int changes = 0;
  guard([&] { changes = statement_->exec(); });
  return changes;
}

std::int64_t Query::integer() {
  return statement_->getColumn(column_++).getInt64();
}

std::string Query::text() {
  return statement_->getColumn(column_++).getString();
}

std::optional<net::Address> Query::optional_address() {
  if (statement_->getColumn(column_).isNull()) {
    ++column_;
    return std::nullopt;
  }
  return address();
}

net::Address Query::address() {
  const std::string bytes = text();
  const std::optional<std::vector<net::Address>> addresses = decode(bytes);
  if (!addresses || addresses->size() != 1) {
    throw Error(ErrorKind::kIo, "store " + database_->path() + " holds an address that is none");
  }
  return addresses->front();
}

void Query::bind_one(const net::Address& value) {
  const std::string bytes = encode({value});
  statement_->bind(++parameter_, bytes.data(), static_cast<int>(bytes.size()));
}

void Query::bind_one(const std::optional<net::Address>& value) {
  if (value) {
    bind_one(*value);
  } else {
    statement_->bind(++parameter_);
  }
}

std::string encode(const std::vector<net::Address>& addresses) {
  std::string bytes;
  for (const net::Address& address : addresses) {
    bytes += static_cast<char>(address.family());
    for (int shift = net::bit_width(address.family()) - 8; shift >= 0; shift -= 8) {
      bytes += static_cast<char>(static_cast<unsigned char>(address.bits() >> shift));
    }
  }
  return bytes;
}

std::optional<std::vector<net::Address>> decode(std::string_view bytes) {
  std::vector<net::Address> addresses;
  while (!bytes.empty()) {
    const auto family = static_cast<net::Family>(bytes.front());
    if (family != net::Family::kIpv4 && family != net::Family::kIpv6) {
      return std::nullopt;
    }
    const auto size = static_cast<std::size_t>(net::bit_width(family) / 8);
    if (bytes.size() < size + 1) {
      return std::nullopt;
    }
    net::Uint128 bits = 0;
    for (const char byte : bytes.substr(1, size)) {
      bits = bits << 8 | static_cast<unsigned char>(byte);
    }
    addresses.push_back(net::Address::from_bits(family, bits));
    bytes.remove_prefix(size + 1);
  }
  return addresses;
}

}  // namespace podlease::store
