// Real SQLite files in a folder of each test's own; what a second program does to them is played by
// plain sqlite3 connections and forked processes. The order in which addresses are chosen is held
// against a model that is too simple to be wrong: sets and a queue, walked from end to end.
//
// Syncs are counted and not made, as nothing here cuts the power.

#include "podlease/store/store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/store/address_table.h"
#include "podlease/store/block_table.h"
#include "podlease/store/history_table.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/pod_table.h"
#include "podlease/store/registry.h"
#include "podlease/store/suspicion_table.h"
#include "podlease/store/transaction.h"
#include "podlease/store/verify.h"

static int syncs = 0;
static bool syncs_fail = false;

static int counted_sync() {
  ++syncs;
  errno = syncs_fail ? EIO : errno;
  return syncs_fail ? -1 : 0;
}
// SQLite and the store find these before the C library's.
extern "C" int fsync(int /*fd*/) {
  return counted_sync();
}
extern "C" int fdatasync(int /*fd*/) {
  return counted_sync();
}
#include "support.h"

namespace podlease::net {

// GoogleTest finds these by argument-dependent look-up, which does not reach into an unnamed
// namespace.
static std::ostream& operator<<(std::ostream& out, const Address& address) {
  return out << address.to_string();
}

}  // namespace podlease::net

namespace podlease::store {

static std::ostream& operator<<(std::ostream& out, const Lease& lease) {
  return out << lease.key.network << ' ' << lease.key.container_id << ' ' << lease.key.ifname << ' '
             << lease.address.to_string();
}
static std::ostream& operator<<(std::ostream& out, const AdoptedFile& file) {
  return out << file.address << ' ' << file.container_id << ' ' << file.ifname;
}

namespace {

using net::Address;
using net::Family;
using net::IntervalSet;
using net::Prefix;
using net::Range;
using support::error_of;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

namespace fs = std::filesystem;

constexpr std::int64_t kLongestLog = 384;
// More frames than any one transaction of these tests writes.
constexpr std::int64_t kLargestTransaction = 40;
constexpr auto kNotLong = std::chrono::seconds(2);

Address address(std::string_view text) {
  return Address::parse(text).value();
}

IntervalSet set_of(const std::vector<std::string>& ranges) {
  std::vector<Range> parsed;
  parsed.reserve(ranges.size());
  for (const std::string& range : ranges) {
    parsed.push_back(Range::parse(range).value());
  }
  return IntervalSet(std::move(parsed));
}

std::string contents(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary) << text;
}

mode_t mode_of(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(stat(file.c_str(), &status), 0) << file;
  return status.st_mode & 07777;
}

using support::TempFolder;

// A store's folder, not made yet, and what the tests do to it again and again.
class Home {
 public:
  [[nodiscard]] fs::path folder() const { return temp_.path() / "data"; }
  [[nodiscard]] fs::path database() const { return folder() / "podlease.db"; }
  [[nodiscard]] fs::path log() const { return folder() / "podlease.db-wal"; }
  [[nodiscard]] fs::path registry() const { return temp_.path() / "registry" / "stores"; }
  [[nodiscard]] Store::Options options(Milliseconds lock_timeout = Milliseconds(30'000)) const {
    return {.folder = folder(), .registry = registry(), .lock_timeout = lock_timeout};
  }
  [[nodiscard]] Store open() const { return Store::open(options()); }

 private:
  TempFolder temp_;
};

// A person at the sqlite3 shell.
class Shell {
 public:
  explicit Shell(const fs::path& file) {
    sqlite3* opened = nullptr;
    const int failed = sqlite3_open(file.c_str(), &opened);
    connection_.reset(opened);
    check(failed, "open");
  }

  void run(const std::string& sql) {
    check(sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr), sql);
  }
  // Column `column` of the first row.
  [[nodiscard]] std::int64_t number(const std::string& sql, int column = 0) {
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement = start(sql);
    return sqlite3_column_int64(statement.get(), column);
  }
  // At its first row, with its cursor open as long as the result lives.
  [[nodiscard]] std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> start(
      const std::string& sql) {
    sqlite3_stmt* prepared = nullptr;
    check(sqlite3_prepare_v2(connection_.get(), sql.c_str(), -1, &prepared, nullptr), sql);
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared, &sqlite3_finalize);
    if (sqlite3_step(prepared) != SQLITE_ROW) {
      throw std::runtime_error(sql + ": no row: " + sqlite3_errmsg(connection_.get()));
    }
    return statement;
  }
  // By default the last connection to leave folds the log into the file and removes it.
  void leave_log_alone() {
    sqlite3_db_config(connection_.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }

 private:
  void check(int failed, const std::string& what) {
    if (failed != SQLITE_OK) {
      throw std::runtime_error(what + ": " + sqlite3_errmsg(connection_.get()));
    }
  }

  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close(connection); }
  };
  std::unique_ptr<sqlite3, Close> connection_;
};

// A forked process; killed at the latest when the test is through. A fork shares the locks of the
// open files it inherits, so a test opens its own store only after the fork, and then lets the
// child `go`.
class Child {
 public:
  // It ends with status 0 when `work` returns, 1 when it throws.
  explicit Child(const std::function<void(const Child&)>& work) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      throw std::runtime_error("socketpair");
    }
    pid_ = fork();
    if (pid_ == 0) {
      close(ends[0]);
      socket_ = ends[1];
      int status = 1;
      try {
        work(*this);
        status = 0;
      } catch (const std::exception& exception) {
        say(0);
        static_cast<void>(std::fprintf(stderr, "child: %s\n", exception.what()));
      }
      _exit(status);
    }
    close(ends[1]);
    socket_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    kill_now();
    close(socket_);
  }

  // Says one byte to the other side.
  void say(char byte) const { static_cast<void>(::send(socket_, &byte, 1, MSG_NOSIGNAL)); }
  // The next byte said by the other side; nothing once that has ended.
  [[nodiscard]] std::optional<char> hear() const {
    char byte = 0;
    return read(socket_, &byte, 1) == 1 ? std::optional(byte) : std::nullopt;
  }
  // The child waits for the parent.
  void wait_for_go() const { static_cast<void>(hear()); }
  void go() const { say('g'); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Its exit status; -1 if a signal ended it.
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void kill_now() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      wait();
    }
  }
  // Returns when the child waits for a flock, or after some seconds.
  [[nodiscard]] bool waits_for_lock() const {
    const std::string waiter = " " + std::to_string(pid_) + " ";
    for (int i = 0; i < 5'000; ++i) {
      std::istringstream locks(contents("/proc/locks"));
      for (std::string line; std::getline(locks, line);) {
        if (line.find("->") != std::string::npos && line.find(waiter) != std::string::npos) {
          return true;
        }
      }
      std::this_thread::sleep_for(Milliseconds(1));
    }
    return false;
  }

 private:
  pid_t pid_ = -1;
  int socket_ = -1;
};

std::optional<ErrorKind> kind_of(const std::function<void()>& action) {
  const std::optional<Error> error = error_of(action);
  return error ? std::optional(error->kind()) : std::nullopt;
}

Lease lease_of(Address at, const std::string& container, const std::string& ifname = "eth0") {
  return {.key = {"net", container, ifname}, .address = Prefix::host(at), .source = "static"};
}

Moment moment(std::int64_t milliseconds = 0) {
  return {.at = {.wall = std::chrono::sys_time<Milliseconds>(Milliseconds(milliseconds)),
                 .since_boot = Milliseconds(milliseconds)},
          .boot_id = "boot"};
}

void add(Transaction& transaction, const Lease& lease) {
  LeaseTable(transaction).insert(NetworkTable(transaction).ensure(lease.key.network), lease);
}

// One call of ADD, as far as the store sees it.
void add(const Home& home, const Lease& lease) {
  Store store = home.open();
  Transaction transaction = store.begin();
  add(transaction, lease);
  transaction.commit();
}

std::vector<std::string> addresses_of(const std::vector<Lease>& leases) {
  std::vector<std::string> texts;
  texts.reserve(leases.size());
  for (const Lease& lease : leases) {
    texts.push_back(lease.address.address().to_string());
  }
  return texts;
}

std::vector<std::string> leased(const Home& home) {
  Store store = home.open();
  return addresses_of(LeaseTable(store.begin()).all());
}

// What the lock file says, read without its lock.
struct Notes {
  int pid = 0;
  std::uint64_t inode = 0;
  std::int64_t birth = 0;
  std::int64_t frames = 0;
};

Notes notes_of(const Home& home) {
  Notes notes;
  std::istringstream in(contents(home.folder() / "lock"));
  in >> notes.pid >> notes.inode >> notes.birth >> notes.frames;
  return notes;
}

std::int64_t size_in_frames(const Home& home) {
  constexpr std::uintmax_t kHeader = 32;
  constexpr std::uintmax_t kFrame = 24 + 1024;
  return static_cast<std::int64_t>((fs::file_size(home.log()) - kHeader) / kFrame);
}

// Adds until the log is long enough for the next call to fold it. Returns how many it added.
int lengthen_log(const Home& home) {
  int count = 0;
  do {
    add(home, lease_of(Address::v4(static_cast<std::uint32_t>(0x0a000000 + count)),
                       "container-" + std::to_string(count)));
    ++count;
  } while (notes_of(home).frames < kLongestLog);
  return count;
}

// Folds all of the log into the file and removes it.
void fold_log(const Home& home) {
  Shell(home.database()).run("PRAGMA wal_checkpoint(TRUNCATE)");
}

// --- lock

TEST(StoreTest, NamesTheHolderOfTheLockWhenTimeRunsOut) {
  const Home home;
  Child holder([&](const Child& self) {
    const Store store = home.open();
    self.say('h');
    pause();
  });
  ASSERT_EQ(holder.hear(), 'h');
  const auto start = std::chrono::steady_clock::now();
  const std::optional<Error> error =
      error_of([&] { static_cast<void>(Store::open(home.options(Milliseconds(200)))); });
  const auto passed = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::kBusy);
  EXPECT_THAT(error->what(), HasSubstr("process " + std::to_string(holder.pid()) + " ("));
  EXPECT_THAT(error->what(), HasSubstr("200ms"));
  EXPECT_THAT(error->what(), HasSubstr((home.folder() / "lock").string()));
  EXPECT_GE(passed, Milliseconds(190));
  EXPECT_LT(passed, kNotLong);
  holder.kill_now();
  EXPECT_NO_THROW(static_cast<void>(Store::open(home.options(Milliseconds(200)))));
}

TEST(StoreTest, OneProcessWaitsForTheOther) {
  const Home home;
  Child waiter([&](const Child& self) {
    self.wait_for_go();
    add(home, lease_of(address("10.0.0.1"), "waiter"));
  });
  std::optional<Store> store = home.open();
  waiter.go();
  ASSERT_TRUE(waiter.waits_for_lock());
  Transaction(store->begin()).commit();
  store.reset();
  EXPECT_EQ(waiter.wait(), 0);
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1"));
}

TEST(StoreTest, FolderMayBeRemovedWhileAProcessWaits) {
  for (const bool made_again : {true, false}) {
    SCOPED_TRACE(made_again ? "made again" : "left out");
    const Home home;
    Child waiter([&](const Child& self) {
      self.wait_for_go();
      add(home, lease_of(address("10.0.0.1"), "waiter"));
    });
    const Child reader([&](const Child& self) {
      self.wait_for_go();
      self.say(Store::open_existing(home.options()) ? 's' : 'n');
    });
    std::optional<Store> store = home.open();
    waiter.go();
    reader.go();
    ASSERT_TRUE(waiter.waits_for_lock());
    ASSERT_TRUE(reader.waits_for_lock());
    fs::remove_all(home.folder());
    if (made_again) {
      // A third process is there first.
      add(home, lease_of(address("10.0.0.2"), "third"));
    }
    store.reset();
    EXPECT_EQ(waiter.wait(), 0);
    const std::optional<char> heard = reader.hear();
    EXPECT_TRUE(heard == 's' || (heard == 'n' && !made_again));
    const std::vector<std::string> expected = made_again
                                                  ? std::vector<std::string>{"10.0.0.1", "10.0.0.2"}
                                                  : std::vector<std::string>{"10.0.0.1"};
    EXPECT_EQ(leased(home), expected);
  }
}

TEST(StoreTest, LockFileTellsHolderAndLog) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "c"));
  const std::string text = contents(home.folder() / "lock");
  const Notes notes = notes_of(home);
  EXPECT_EQ(text.size(), 106U) << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_EQ(text[10], '\n') << text;
  EXPECT_EQ(notes.pid, getpid());
  struct stat log {};
  ASSERT_EQ(stat(home.log().c_str(), &log), 0);
  EXPECT_EQ(notes.inode, log.st_ino);
  EXPECT_EQ(notes.frames, size_in_frames(home));

  Child other([&](const Child&) { static_cast<void>(home.open()); });
  const pid_t pid = other.pid();
  ASSERT_EQ(other.wait(), 0);
  EXPECT_EQ(notes_of(home).pid, pid);
  EXPECT_EQ(contents(home.folder() / "lock").substr(11), text.substr(11)) << "nothing was written";
}

TEST(StoreTest, UnreadableLockFileVouchesForNothing) {
  const std::vector<std::string> texts = {
      "",
      "x",
      "\n\n\n",
      std::string(64, '\0'),
      std::string(1000, '9'),
      "        12\n                  -1                  -1         -1\n",
      "99999999999999999999 99999999999999999999999 9999999999999999999999 9999999999999999999"};
  for (const std::string& text : texts) {
    SCOPED_TRACE(testing::PrintToString(text));
    const Home home;
    add(home, lease_of(address("10.0.0.1"), "a"));
    write(home.folder() / "lock", text);
    add(home, lease_of(address("10.0.0.2"), "b"));
    EXPECT_THAT(leased(home), ElementsAre("10.0.0.1", "10.0.0.2"));
    EXPECT_EQ(notes_of(home).pid, getpid());
    EXPECT_EQ(notes_of(home).frames, size_in_frames(home));
  }
}

TEST(StoreTest, NothingIsMadeUnlessAsked) {
  const Home home;
  EXPECT_FALSE(Store::open_existing(home.options()).has_value());
  EXPECT_FALSE(Store::open_for_release(home.options()).has_value());
  EXPECT_FALSE(fs::exists(home.folder()));
  EXPECT_FALSE(fs::exists(home.registry()));
  fs::create_directory(home.folder());
  EXPECT_FALSE(Store::open_existing(home.options()).has_value());
  EXPECT_TRUE(fs::is_empty(home.folder()));
  write(home.folder() / "lock", "");
  EXPECT_FALSE(Store::open_existing(home.options()).has_value());
  EXPECT_FALSE(Store::open_for_release(home.options()).has_value());
  EXPECT_FALSE(fs::exists(home.database()));
  write(home.database(), "");
  EXPECT_FALSE(Store::open_existing(home.options()).has_value()) << "not made to its end";
  EXPECT_THAT(NetworkTable(Store::open_existing_or_empty(home.options()).begin()).all(), IsEmpty());
  EXPECT_FALSE(Store::open_for_release(home.options()).has_value()) << "not made to its end";
}

// People remove files called lock.
TEST(StoreTest, LeasesAreFoundThoughTheLockFileIsGone) {
  for (const auto open : {&Store::open_existing, &Store::open_for_release}) {
    const Home home;
    add(home, lease_of(address("10.0.0.1"), "a"));
    fs::remove(home.folder() / "lock");
    std::optional<Store> store = open(home.options());
    ASSERT_TRUE(store.has_value());
    EXPECT_THAT(addresses_of(LeaseTable(store->begin()).all()), ElementsAre("10.0.0.1"));
    EXPECT_EQ(mode_of(home.folder() / "lock"), 0600U);
  }
}

TEST(StoreTest, OnlyTheOwnerMayReadWhatIsMade) {
  const Home home;
  Store::Options options = home.options();
  options.folder /= "deep/er";
  const mode_t old_mask = umask(0);
  {
    Store store = Store::open(options);
    Transaction transaction = store.begin();
    add(transaction, lease_of(address("10.0.0.1"), "c"));
    transaction.commit();
  }
  umask(old_mask);
  for (const fs::path& folder :
       {home.folder(), home.folder() / "deep", options.folder, home.registry().parent_path()}) {
    EXPECT_EQ(mode_of(folder), 0700U) << folder;
  }
  for (const fs::path& file : {options.folder / "lock", options.folder / "podlease.db",
                               options.folder / "podlease.db-wal", home.registry()}) {
    EXPECT_EQ(mode_of(file), 0600U) << file;
  }
}

TEST(StoreTest, FolderOfOthersKeepsItsMode) {
  const Home home;
  fs::create_directory(home.folder());
  fs::permissions(home.folder(), static_cast<fs::perms>(0755));
  fs::create_directory(home.registry().parent_path());
  fs::permissions(home.registry().parent_path(), static_cast<fs::perms>(0755));
  static_cast<void>(home.open());
  EXPECT_EQ(mode_of(home.folder()), 0755U);
  EXPECT_EQ(mode_of(home.registry().parent_path()), 0755U);
}

TEST(StoreTest, FolderThatCannotBeIsAnIoError) {
  const TempFolder temp;
  write(temp.path() / "file", "");
  fs::create_symlink(temp.path() / "not mounted", temp.path() / "link");
  fs::create_directories(temp.path() / "lock is a folder/lock");
  fs::create_directories(temp.path() / "database is a folder/podlease.db");
  for (const char* const name :
       {"file", "file/deeper", "link", "lock is a folder", "database is a folder"}) {
    const Store::Options options{.folder = temp.path() / name, .registry = {}};
    const std::optional<Error> error = error_of([&] { static_cast<void>(Store::open(options)); });
    ASSERT_TRUE(error.has_value()) << name;
    EXPECT_EQ(error->kind(), ErrorKind::kIo) << name;
    EXPECT_THAT(error->what(), HasSubstr(name));
  }
}

TEST(StoreTest, ManyProcessesAtOnceGetDistinctAddresses) {
  constexpr int kProcesses = 8;
  constexpr int kEach = 20;
  const Home home;
  const IntervalSet usable = set_of({"10.0.0.0/24"});
  std::deque<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&](const Child&) {
      for (int k = 0; k < kEach; ++k) {
        Store store = home.open();
        Transaction transaction = store.begin();
        const Network network = NetworkTable(transaction).ensure("net");
        const Address from = address("10.0.0.0");
        const Address chosen =
            AddressTable(transaction).first_untouched(network, usable, from).value();
        LeaseTable(transaction)
            .insert(network, lease_of(chosen, std::to_string(i) + "-" + std::to_string(k)));
        transaction.commit();
      }
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.wait(), 0);
  }
  Store store = home.open();
  Transaction transaction = store.begin();
  verify(transaction);
  EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(kProcesses * kEach));
  const Usage usage =
      AddressTable(transaction).usage(*NetworkTable(transaction).find("net"), usable);
  EXPECT_EQ(usage.untouched, net::Uint128{256 - kProcesses * kEach});
}

TEST(StoreTest, ProbeTellsWhetherAStoreCanBeWritten) {
  const Home home;
  EXPECT_NO_THROW(probe_writable(home.folder() / "not" / "yet"));
  EXPECT_FALSE(fs::exists(home.folder()));
  const Store store = home.open();
  EXPECT_NO_THROW(probe_writable(home.folder())) << "a held lock is healthy";
  write(home.folder() / "file", "");
  EXPECT_EQ(kind_of([&] { probe_writable(home.folder() / "file"); }), ErrorKind::kIo);
  EXPECT_EQ(kind_of([&] { probe_writable(home.folder() / "file" / "deeper"); }), ErrorKind::kIo);
}

// --- creation, reopening, schema

TEST(StoreTest, IsThereAgainWhenOpenedAgain) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "c"));
  for (const auto open : {&Store::open_existing, &Store::open_for_release}) {
    std::optional<Store> store = open(home.options());
    ASSERT_TRUE(store.has_value());
    EXPECT_EQ(store->schema_version(), "1.1");
    EXPECT_THAT(addresses_of(LeaseTable(store->begin()).all()), ElementsAre("10.0.0.1"));
  }
  Shell shell(home.database());
  EXPECT_EQ(shell.number("PRAGMA page_size"), 1024);
  EXPECT_EQ(shell.number("PRAGMA user_version"), 1001);
  EXPECT_EQ(shell.number("PRAGMA application_id"), 0x706f646c);
  EXPECT_EQ(shell.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"),
            1);
}

TEST(StoreTest, InMemoryStoreWorksLikeAnyOther) {
  const Home home;
  Store store = Store::in_memory();
  {
    Transaction transaction = store.begin();
    add(transaction, lease_of(address("10.0.0.1"), "c"));
    transaction.commit();
  }
  Transaction transaction = store.begin();
  EXPECT_THAT(addresses_of(LeaseTable(transaction).all()), ElementsAre("10.0.0.1"));
  verify(transaction);
  EXPECT_EQ(store.schema_version(), "1.1");
}

TEST(StoreTest, KilledAtAnyTimeTheNextCallFindsAllThatWasCommitted) {
  constexpr unsigned kSeed = 20261123;
  constexpr int kRounds = 300;
  std::mt19937 random(kSeed);
  auto shortest = std::chrono::microseconds::max();  // of the measured rounds
  auto home = std::make_unique<Home>();
  std::size_t acknowledged = 0;
  int killed_in_creation = 0;
  for (int round = 0; round < kRounds; ++round) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    // The first rounds measure; then most die while they create, the rest while they commit.
    const bool in_creation = round < 4 || round % 4 != 3;
    if (in_creation) {
      home = std::make_unique<Home>();
      acknowledged = 0;
    }
    const auto start = std::chrono::steady_clock::now();
    Child child([&](const Child& self) {
      for (std::size_t i = acknowledged; in_creation ? i == 0 : true; ++i) {
        add(*home, lease_of(Address::v4(static_cast<std::uint32_t>(i)), std::to_string(i)));
        self.say('a');
      }
    });
    if (round < 4) {
      ASSERT_EQ(child.wait(), 0);
      shortest = std::min(shortest, std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now() - start));
    } else {
      std::uniform_int_distribution<std::int64_t> time(0, shortest.count() * (in_creation ? 1 : 4));
      std::this_thread::sleep_for(std::chrono::microseconds(time(random)));
      child.kill_now();
    }
    const std::size_t before = acknowledged;
    while (child.hear()) {
      ++acknowledged;
    }
    killed_in_creation += in_creation && acknowledged == before ? 1 : 0;
    Store store = home->open();
    Transaction transaction = store.begin();
    ASSERT_NO_THROW(verify(transaction));
    const std::size_t found = LeaseTable(transaction).all().size();
    // What was being committed may have been, before it could say so.
    ASSERT_TRUE(found == acknowledged || found == acknowledged + 1)
        << found << " found, " << acknowledged << " acknowledged";
    acknowledged = found;
  }
  EXPECT_GT(killed_in_creation, kRounds / 8) << "too few of them to tell";
}

TEST(StoreTest, HalfMadeFilesAreTakenFurther) {
  const std::vector<std::pair<std::string, std::function<void(const Home&)>>> states = {
      {"an empty file", [](const Home& home) { write(home.database(), ""); }},
      {"no schema yet",
       [](const Home& home) {
         Shell(home.database()).run("PRAGMA page_size=1024; PRAGMA journal_mode=WAL");
       }},
  };
  for (const auto& [name, make] : states) {
    SCOPED_TRACE(name);
    const Home home;
    fs::create_directory(home.folder());
    make(home);
    add(home, lease_of(address("10.0.0.1"), "c"));
    EXPECT_THAT(leased(home), ElementsAre("10.0.0.1"));
    EXPECT_EQ(Shell(home.database()).number("PRAGMA page_size"), 1024);
  }
}

// Everything a newer minor may add, with marks that must survive.
void make_newer_minor(const Home& home) {
  Shell shell(home.database());
  for (const char* const table : {"network", "lease", "freed", "touched", "note"}) {
    shell.run("ALTER TABLE " + std::string(table) + " ADD COLUMN later TEXT DEFAULT 'unset'");
  }
  shell.run(
      "UPDATE network SET later = 'kept'; UPDATE lease SET later = 'kept';"
      "UPDATE note SET later = 'kept' WHERE kind IN ('source', 'skipped');"
      "CREATE TABLE later(text TEXT); INSERT INTO later VALUES('kept');"
      "PRAGMA user_version = 1007");
}

TEST(StoreTest, NewerMinorIsUsedAndWhatItAddedIsLeftAlone) {
  const Home home;
  const std::vector<AdoptedFile> files = {{address("10.0.0.9"), "old", "eth0"}};
  const IntervalSet last = set_of({"10.0.1.99"});
  // All the writing calls there are.
  const auto work = [&](std::uint32_t base, const std::string& prefix) {
    Store store = home.open();
    Transaction transaction = store.begin();
    Network network = NetworkTable(transaction).ensure("net");
    for (std::uint32_t i = 0; i < 100; ++i) {
      const Lease lease = lease_of(Address::v4(base + i), prefix + std::to_string(i));
      LeaseTable(transaction).insert(network, lease);
      LeaseTable(transaction).end(lease, moment(), Ending::kDel);
    }
    add(transaction, lease_of(Address::v4(base + 200), prefix));
    Lease refreshed = lease_of(Address::v4(base + 200), prefix);
    refreshed.presence = {.boot_id = "b"};
    LeaseTable(transaction).refresh(refreshed, refreshed);
    EXPECT_THAT(AddressTable(transaction).oldest_freed(network, Family::kIpv4, last, {}),
                Optional(testing::Field(&Freed::address, address("10.0.1.99"))));
    NetworkTable(transaction).set_hints(network, {address("10.0.0.1")});
    NetworkTable(transaction).set_handover(network, Handover::kShared);
    HostLocalTable(transaction).set_folder(network, {.folder = "/cni", .stamp = prefix});
    HostLocalTable(transaction).set_files(network, "/cni", files);
    HostLocalTable(transaction).note_ended({"other", prefix, "eth0"}, {});
    verify(transaction);
    transaction.commit();
  };
  work(0x0a000100, "first");
  make_newer_minor(home);
  work(0x0a000200, "second");
  {
    Store store = home.open();
    EXPECT_EQ(store.schema_version(), "1.7");
    Transaction transaction = store.begin();
    EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(2));
    EXPECT_THAT(HostLocalTable(transaction).folders(*NetworkTable(transaction).find("net")),
                ElementsAre(testing::Field(&WatchedFolder::stamp, "second")));
  }
  Shell shell(home.database());
  EXPECT_EQ(shell.number("PRAGMA user_version"), 1007);
  EXPECT_EQ(shell.number("SELECT count(*) FROM later WHERE text = 'kept'"), 1);
  for (const auto& [table, count] :
       std::vector<std::pair<std::string, int>>{{"network", 1}, {"lease", 1}, {"note", 2}}) {
    EXPECT_EQ(shell.number("SELECT count(*) FROM " + table + " WHERE later = 'kept'"), count)
        << table;
  }
}

TEST(StoreTest, NewerMajorIsRefusedButItsLeasesCanEnd) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  add(home, lease_of(address("10.0.0.2"), "b"));
  // All but the lease table, and the names of networks, may look quite different by then.
  Shell(home.database())
      .run(
          "PRAGMA user_version = 2003; DROP TABLE freed; DROP TABLE touched; DROP TABLE note;"
          "ALTER TABLE lease ADD COLUMN later TEXT DEFAULT 'kept'");
  const std::string before = contents(home.database());
  for (const auto& [name, open] : std::vector<std::pair<const char*, std::function<void()>>>{
           {"open", [&] { static_cast<void>(Store::open(home.options())); }},
           {"open_existing", [&] { static_cast<void>(Store::open_existing(home.options())); }}}) {
    const std::optional<Error> error = error_of(open);
    ASSERT_TRUE(error.has_value()) << name;
    EXPECT_EQ(error->kind(), ErrorKind::kIo) << name;
    EXPECT_THAT(error->what(), HasSubstr("has schema 2.3")) << name;
  }
  EXPECT_EQ(contents(home.database()), before);
  {
    std::optional<Store> store = Store::open_for_release(home.options());
    ASSERT_TRUE(store.has_value());
    EXPECT_EQ(store->schema_version(), "2.3");
    Transaction transaction = store->begin();
    const std::vector<Lease> leases = LeaseTable(transaction).of("a", "eth0");
    ASSERT_THAT(addresses_of(leases), ElementsAre("10.0.0.1"));
    LeaseTable(transaction).end(leases.front(), moment(), Ending::kDel);
    EXPECT_THAT(LeaseTable(transaction).of("a", "eth0"), IsEmpty());
    transaction.commit();
  }
  Shell shell(home.database());
  EXPECT_EQ(shell.number("PRAGMA user_version"), 2003);
  EXPECT_EQ(shell.number("SELECT count(*) FROM lease WHERE container = 'b' AND later = 'kept'"), 1);
  EXPECT_EQ(shell.number("SELECT count(*) FROM lease"), 1);
}

TEST(StoreTest, DatabaseOfSomethingElseIsRefusedAndLeftAlone) {
  for (const char* const sql :
       {"CREATE TABLE photos(name TEXT)",
        "CREATE TABLE photos(name TEXT); PRAGMA user_version=1; PRAGMA application_id=77",
        "PRAGMA application_id=77", "PRAGMA user_version=5",
        "PRAGMA journal_mode=WAL; CREATE TABLE photos(name TEXT)"}) {
    SCOPED_TRACE(sql);
    const Home home;
    fs::create_directory(home.folder());
    Shell(home.database()).run(sql);
    const std::string before = contents(home.database());
    for (const auto open : {&Store::open_existing, &Store::open_for_release}) {
      EXPECT_EQ(kind_of([&] { static_cast<void>(open(home.options())); }), ErrorKind::kIo);
    }
    const std::optional<Error> error = error_of([&] { static_cast<void>(home.open()); });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind(), ErrorKind::kIo);
    EXPECT_THAT(error->what(), HasSubstr("something else"));
    EXPECT_TRUE(contents(home.database()) == before) << "the file has changed";
  }
}

TEST(StoreTest, DamagedFileIsAnIoErrorAndStaysAsItIs) {
  const std::vector<std::pair<const char*, std::function<void(std::string&)>>> damages = {
      {"ten bytes", [](std::string& bytes) { bytes = "0123456789"; }},
      {"text", [](std::string& bytes) { bytes.assign(5000, 'x'); }},
      {"no magic", [](std::string& bytes) { bytes[0] = 'X'; }},
      {"header zeroed", [](std::string& bytes) { bytes.replace(0, 100, 100, '\0'); }},
      {"cut off", [](std::string& bytes) { bytes.resize(std::size_t{3} * 1024); }},
      {"schema overwritten", [](std::string& bytes) { bytes.replace(100, 900, 900, '\xee'); }},
      {"all but the first page overwritten",
       [](std::string& bytes) {
         bytes.replace(1024, bytes.size() - 1024, bytes.size() - 1024, '\xee');
       }},
      {"all but the first page zeroed",
       [](std::string& bytes) {
         bytes.replace(1024, bytes.size() - 1024, bytes.size() - 1024, '\0');
       }},
  };
  for (const auto& [name, damage] : damages) {
    SCOPED_TRACE(name);
    const Home home;
    lengthen_log(home);
    fold_log(home);
    std::string bytes = contents(home.database());
    damage(bytes);
    write(home.database(), bytes);
    const std::optional<Error> error = error_of([&] {
      Store store = home.open();
      Transaction transaction = store.begin();
      add(transaction, lease_of(address("10.9.0.1"), "new"));
      transaction.commit();
    });
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind(), ErrorKind::kIo) << error->what();
    EXPECT_THAT(error->what(), HasSubstr(home.database().string()));
    EXPECT_TRUE(contents(home.database()) == bytes) << "the file has changed";
  }
}

// SQLite alone would take it for a new database, and remove the log.
TEST(StoreTest, EmptyFileBesideALogIsDamage) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  const std::string log = contents(home.log());
  write(home.database(), "");
  for (const auto open : {&Store::open_existing, &Store::open_for_release}) {
    EXPECT_EQ(kind_of([&] { static_cast<void>(open(home.options())); }), ErrorKind::kIo);
  }
  EXPECT_EQ(kind_of([&] { static_cast<void>(home.open()); }), ErrorKind::kIo);
  EXPECT_TRUE(contents(home.log()) == log) << "the log has changed";
  EXPECT_EQ(fs::file_size(home.database()), 0U);
}

TEST(StoreTest, ImpossibleValuesAreIoErrors) {
  for (const char* const sql :
       {"UPDATE lease SET address = x'04'", "UPDATE lease SET address = x'07000000'",
        "UPDATE lease SET address = x''", "UPDATE lease SET prefix = 33",
        "UPDATE lease SET prefix = -1", "UPDATE lease SET gateway = x'0400'",
        "UPDATE lease SET address = 'text'"}) {
    const Home home;
    add(home, lease_of(address("10.0.0.1"), "c"));
    Shell(home.database()).run(sql);
    EXPECT_EQ(kind_of([&] { static_cast<void>(leased(home)); }), ErrorKind::kIo) << sql;
  }
}

// --- other connections

TEST(StoreTest, OpenReaderDelaysNobody) {
  const std::vector<std::pair<const char*, const char*>> readers = {
      {"a connection that has read once", ""},
      {"a read transaction", "BEGIN; SELECT count(*) FROM lease"},
      {"an open SELECT", "SELECT id FROM lease"},
  };
  for (const auto& [name, sql] : readers) {
    SCOPED_TRACE(name);
    const Home home;
    add(home, lease_of(address("10.0.0.1"), "a"));
    add(home, lease_of(address("10.0.0.2"), "b"));
    Shell shell(home.database());
    ASSERT_EQ(shell.number("SELECT count(*) FROM lease"), 2);
    std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> open(nullptr, &sqlite3_finalize);
    if (std::string_view(sql).starts_with("BEGIN")) {
      shell.run(sql);
    } else if (*sql != '\0') {
      open = shell.start(sql);
    }
    const auto start = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < 100; ++i) {
      add(home, lease_of(Address::v4(0x0a000100 + i), std::to_string(i)));
    }
    {
      std::optional<Store> store = Store::open_for_release(home.options());
      Transaction transaction = store->begin();
      LeaseTable(transaction)
          .end(LeaseTable(transaction).of("a", "eth0").at(0), moment(), Ending::kDel);
      transaction.commit();
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, 5 * kNotLong) << "lock time-out is 30 s";
    open.reset();
    if (std::string_view(sql).starts_with("BEGIN")) {
      EXPECT_EQ(shell.number("SELECT count(*) FROM lease"), 2) << "a snapshot stays as it was";
      shell.run("COMMIT");
    }
    EXPECT_EQ(shell.number("SELECT count(*) FROM lease"), 101);
    EXPECT_EQ(shell.number("PRAGMA wal_checkpoint(PASSIVE)", 1), notes_of(home).frames);
    // Nobody reads an old state any more: the log is folded although the shell is open.
    for (std::uint32_t i = 0; i < 3; ++i) {
      add(home, lease_of(Address::v4(0x0a000200 + i), "later-" + std::to_string(i)));
    }
    EXPECT_LE(notes_of(home).frames, kLongestLog + kLargestTransaction);
  }
}

TEST(StoreTest, ReaderOfAnotherProcessDelaysNobody) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  Child reader([&](const Child& self) {
    Shell shell(home.database());
    const auto open = shell.start("SELECT id FROM lease");
    self.say('r');
    pause();
  });
  ASSERT_EQ(reader.hear(), 'r');
  const auto start = std::chrono::steady_clock::now();
  add(home, lease_of(address("10.0.0.2"), "b"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, kNotLong);
  reader.kill_now();
  add(home, lease_of(address("10.0.0.3"), "c"));
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1", "10.0.0.2", "10.0.0.3"));
}

TEST(StoreTest, ShellThatLeavesTakesTheLogAlong) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  static_cast<void>(Shell(home.database()).number("SELECT count(*) FROM lease"));
  ASSERT_FALSE(fs::exists(home.log()));
  add(home, lease_of(address("10.0.0.2"), "b"));
  struct stat log {};
  ASSERT_EQ(stat(home.log().c_str(), &log), 0);
  EXPECT_EQ(notes_of(home).inode, log.st_ino);
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1", "10.0.0.2"));
}

TEST(StoreTest, ForeignWriterMakesTheStoreBusy) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  Shell shell(home.database());
  shell.run("BEGIN IMMEDIATE");
  const auto start = std::chrono::steady_clock::now();
  const std::optional<Error> error = error_of([&] {
    Store store = Store::open(home.options(Milliseconds(300)));
    static_cast<void>(store.begin());
  });
  const auto passed = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind(), ErrorKind::kBusy) << error->what();
  EXPECT_THAT(error->what(), HasSubstr(home.database().string()));
  EXPECT_THAT(error->details(), HasSubstr("sqlite3"));
  EXPECT_GE(passed, Milliseconds(250));
  EXPECT_LT(passed, kNotLong);
  shell.run("ROLLBACK");
  add(home, lease_of(address("10.0.0.2"), "b"));
  EXPECT_EQ(shell.number("SELECT count(*) FROM lease"), 2);
}

TEST(StoreTest, ForeignConnectionFindsTheStoreBusyWhileItIsOpen) {
  const Home home;
  Child foreign([&](const Child& self) {
    self.wait_for_go();
    static_cast<void>(Shell(home.database()).number("SELECT count(*) FROM lease"));
  });
  const Store store = home.open();
  foreign.go();
  EXPECT_EQ(foreign.wait(), 1);
}

// A time-out is at most a hundred years, which do not fit SQLite's count of milliseconds.
TEST(StoreTest, LongestTimeOutStillWaits) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  Child waiter([&](const Child& self) {
    self.wait_for_go();
    Store store = Store::open(home.options(std::chrono::hours(24 * 365 * 99)));
    Transaction transaction = store.begin();
    add(transaction, lease_of(address("10.0.0.2"), "b"));
    transaction.commit();
  });
  Shell shell(home.database());
  shell.run("BEGIN IMMEDIATE");
  waiter.go();
  std::this_thread::sleep_for(Milliseconds(300));
  shell.run("ROLLBACK");
  EXPECT_EQ(waiter.wait(), 0);
}

// --- the log

TEST(StoreTest, LogStaysShortWhenNobodyReads) {
  const Home home;
  std::int64_t highest = 0;
  int restarts = 0;
  std::int64_t before = 0;
  constexpr std::uint32_t kCount = 600;
  for (std::uint32_t i = 0; i < kCount; ++i) {
    add(home, lease_of(Address::v4(0x0a000000 + 3 * i), std::to_string(i)));
    const Notes notes = notes_of(home);
    highest = std::max(highest, size_in_frames(home));
    ASSERT_LE(notes.frames, kLongestLog + kLargestTransaction) << i;
    if (notes.frames < before) {
      EXPECT_GE(before, kLongestLog) << i << ": folded too early";
      ++restarts;
    } else {
      EXPECT_LT(before, kLongestLog) << i << ": folded too late";
    }
    before = notes.frames;
  }
  EXPECT_GT(restarts, 3);
  EXPECT_LE(highest, kLongestLog + kLargestTransaction);
  EXPECT_GE(highest, kLongestLog);
  Shell shell(home.database());
  EXPECT_EQ(shell.number("SELECT count(*) FROM lease"), kCount);
  EXPECT_EQ(shell.number("PRAGMA wal_checkpoint(PASSIVE)", 1), before);
}

TEST(StoreTest, LogIsFoldedByTheFirstChangeOfACallAndKeepsItsSpace) {
  const Home home;
  const int count = lengthen_log(home);
  const std::string file = contents(home.database());
  const std::string log = contents(home.log());
  const auto size = fs::file_size(home.log());
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(static_cast<std::size_t>(count)));
    transaction.commit();
  }
  EXPECT_TRUE(contents(home.database()) == file) << "a call that changes nothing has folded it";
  EXPECT_TRUE(contents(home.log()) == log);
  add(home, lease_of(address("10.1.0.1"), "next"));
  EXPECT_FALSE(contents(home.database()) == file) << "not folded";
  EXPECT_LT(notes_of(home).frames, kLongestLog);
  EXPECT_EQ(fs::file_size(home.log()), size) << "space the log once got is kept";
  const std::string folded = contents(home.database());
  add(home, lease_of(address("10.1.0.2"), "after"));
  EXPECT_TRUE(contents(home.database()) == folded) << "a short log is left alone";
  EXPECT_THAT(leased(home), SizeIs(static_cast<std::size_t>(count) + 2));
}

TEST(StoreTest, LongTransactionThatBeginsWithAFoldIsWhole) {
  const Home home;
  const int count = lengthen_log(home);
  Store store = home.open();
  Transaction transaction = store.begin();
  for (const Lease& lease : LeaseTable(transaction).all()) {
    LeaseTable(transaction).end(lease, moment(), Ending::kDel);
  }
  transaction.commit();
  store.close();
  EXPECT_GT(count, 0);
  EXPECT_THAT(leased(home), IsEmpty());
}

TEST(StoreTest, WhatWasRolledBackAfterAFoldIsGone) {
  const Home home;
  const int count = lengthen_log(home);
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    add(transaction, lease_of(address("10.1.0.1"), "next"));
    transaction.roll_back();
  }
  EXPECT_THAT(leased(home), SizeIs(static_cast<std::size_t>(count)));
  add(home, lease_of(address("10.1.0.2"), "after"));
  EXPECT_THAT(leased(home), SizeIs(static_cast<std::size_t>(count) + 1));
}

TEST(StoreTest, CommitCostsOneSync) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  if (notes_of(home).birth == 0) {
    GTEST_SKIP() << "this file system does not know when a file was made";
  }
  syncs = 0;
  add(home, lease_of(address("10.0.0.2"), "b"));
  EXPECT_EQ(syncs, 1) << "ADD";
  syncs = 0;
  {
    std::optional<Store> store = Store::open_for_release(home.options());
    Transaction transaction = store->begin();
    LeaseTable(transaction)
        .end(LeaseTable(transaction).of("a", "eth0").at(0), moment(), Ending::kDel);
    transaction.commit();
  }
  EXPECT_EQ(syncs, 1) << "DEL";
  syncs = 0;
  static_cast<void>(leased(home));
  EXPECT_EQ(syncs, 0) << "CHECK";
  fs::remove(home.folder() / "lock");
  syncs = 0;
  add(home, lease_of(address("10.0.0.3"), "c"));
  EXPECT_EQ(syncs, 2) << "nobody vouches for the log: the folder too";
  fold_log(home);
  fs::remove(home.log());
  syncs = 0;
  add(home, lease_of(address("10.0.0.4"), "d"));
  EXPECT_GE(syncs, 2) << "a new log: the folder too";
}

TEST(StoreTest, CommitWithoutChangeWritesNothing) {
  const Home home;
  const Lease lease = lease_of(address("10.0.0.1"), "a");
  add(home, lease);
  const std::string file = contents(home.database());
  const std::string log = contents(home.log());
  const std::string lock = contents(home.folder() / "lock");
  syncs = 0;
  for (int i = 0; i < 3; ++i) {
    Store store = home.open();
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    EXPECT_TRUE(LeaseTable(transaction).at(network, lease.address.address()).has_value());
    EXPECT_FALSE(AddressTable(transaction)
                     .oldest_freed(network, Family::kIpv4, set_of({"10.0.0.0/24"}), {})
                     .has_value());
    transaction.commit();
  }
  EXPECT_EQ(syncs, 0);
  EXPECT_TRUE(contents(home.database()) == file);
  EXPECT_TRUE(contents(home.log()) == log);
  EXPECT_EQ(contents(home.folder() / "lock"), lock);
}

TEST(StoreTest, CommitWhoseSyncFailsLeavesNothingBehind) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    add(transaction, lease_of(address("10.0.0.2"), "b"));
    LeaseTable(transaction)
        .end(LeaseTable(transaction).of("a", "eth0").at(0), moment(), Ending::kDel);
    syncs_fail = true;
    EXPECT_EQ(kind_of([&] { transaction.commit(); }), ErrorKind::kIo);
    syncs_fail = false;
  }
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1"));
  add(home, lease_of(address("10.0.0.2"), "b"));
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1", "10.0.0.2"));
  Store store = home.open();
  EXPECT_NO_THROW(verify(store.begin()));
}

// RLIMIT_FSIZE stands in for the full disk: no file grows beyond the log's present size. Whatever
// the length of the log is then, one try or the next one ends the lease.
TEST(StoreTest, LeaseEndsOnAFullDiskAtTheSecondTryAtTheLatest) {
  const Home home;
  int first_tries = 0;
  int second_tries = 0;
  lengthen_log(home);
  for (std::uint32_t i = 0; i < 40; ++i) {
    SCOPED_TRACE(i);
    const std::string container = "full-" + std::to_string(i);
    add(home, lease_of(Address::v4(0x0a010000 + 2 * i), container));
    Child full([&](const Child& self) {
      static_cast<void>(signal(SIGXFSZ, SIG_IGN));
      const auto size = std::max(fs::file_size(home.log()), fs::file_size(home.database()));
      const rlimit limit{.rlim_cur = size, .rlim_max = RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limit);
      for (const char attempt : {'1', '2'}) {
        const std::optional<Error> error = error_of([&] {
          std::optional<Store> store = Store::open_for_release(home.options());
          Transaction transaction = store->begin();
          LeaseTable(transaction)
              .end(LeaseTable(transaction).of(container, "eth0").at(0), moment(), Ending::kDel);
          transaction.commit();
        });
        if (!error) {
          self.say(attempt);
          return;
        }
        if (error->kind() != ErrorKind::kIo) {
          throw Error(*error);
        }
      }
      throw std::runtime_error("neither try ended the lease");
    });
    const std::optional<char> heard = full.hear();
    ASSERT_EQ(full.wait(), 0);
    (heard == '1' ? first_tries : second_tries) += 1;
    Store store = home.open();
    Transaction transaction = store.begin();
    EXPECT_THAT(LeaseTable(transaction).of(container, "eth0"), IsEmpty());
    verify(transaction);
  }
  RecordProperty("first_tries", first_tries);
  RecordProperty("second_tries", second_tries);
  EXPECT_GT(first_tries, second_tries);
}

// --- transactions

TEST(StoreTest, TransactionThatIsNotCommittedIsRolledBack) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  {
    Store store = home.open();
    {
      Transaction transaction = store.begin();
      add(transaction, lease_of(address("10.0.0.2"), "b"));
      LeaseTable(transaction)
          .end(LeaseTable(transaction).of("a", "eth0").at(0), moment(), Ending::kDel);
      HostLocalTable(transaction)
          .set_folder(*NetworkTable(transaction).find("net"), {.folder = "/f", .stamp = "s"});
    }
    Transaction moved = store.begin();
    EXPECT_THAT(addresses_of(LeaseTable(moved).all()), ElementsAre("10.0.0.1"));
    add(moved, lease_of(address("10.0.0.3"), "c"));
    const Transaction taken = std::move(moved);
  }
  EXPECT_THAT(leased(home), ElementsAre("10.0.0.1"));
  Store store = home.open();
  Transaction transaction = store.begin();
  EXPECT_THAT(HostLocalTable(transaction).folders(*NetworkTable(transaction).find("net")),
              IsEmpty());
  verify(transaction);
}

TEST(StoreTest, MisuseIsAnErrorAndChangesNothing) {
  const Home home;
  const Lease lease = lease_of(address("10.0.0.1"), "a");
  add(home, lease);
  Lease elsewhere = lease;
  elsewhere.key.network = "nowhere";
  const std::vector<std::pair<const char*, std::function<void(Transaction&)>>> misuses = {
      {"leased twice", [&](Transaction& t) { add(t, lease); }},
      {"leased to another",
       [&](Transaction& t) { add(t, lease_of(lease.address.address(), "b")); }},
      {"ended twice",
       [&](Transaction& t) {
         LeaseTable(t).end(lease, moment(), Ending::kDel);
         LeaseTable(t).end(lease, moment(), Ending::kDel);
       }},
      {"never leased",
       [&](Transaction& t) {
         LeaseTable(t).end(lease_of(address("10.0.0.9"), "a"), moment(), Ending::kDel);
       }},
      {"another's",
       [&](Transaction& t) {
         LeaseTable(t).end(lease_of(address("10.0.0.1"), "b"), moment(), Ending::kDel);
       }},
      {"another interface's",
       [&](Transaction& t) {
         LeaseTable(t).end(lease_of(address("10.0.0.1"), "a", "eth1"), moment(), Ending::kDel);
       }},
      {"an unknown network",
       [&](Transaction& t) { LeaseTable(t).end(elsewhere, moment(), Ending::kDel); }},
  };
  for (const auto& misuse : misuses) {
    SCOPED_TRACE(misuse.first);
    {
      Store store = home.open();
      Transaction transaction = store.begin();
      EXPECT_TRUE(kind_of([&] { misuse.second(transaction); }).has_value());
    }
    Store store = home.open();
    Transaction transaction = store.begin();
    verify(transaction);
    EXPECT_THAT(addresses_of(LeaseTable(transaction).all()), ElementsAre("10.0.0.1"));
    EXPECT_FALSE(AddressTable(transaction)
                     .freed_at(*NetworkTable(transaction).find("net"), address("10.0.0.1"))
                     .has_value());
  }
}

TEST(StoreTest, VerifyFindsWhatIsInTwoPlacesOrInNone) {
  for (const char* const sql :
       {"DELETE FROM touched", "DELETE FROM lease", "DELETE FROM freed",
        "UPDATE touched SET last = x'040a0000ff'",
        "INSERT INTO touched VALUES(1, x'040a000002', x'040a000002')",
        "INSERT INTO freed VALUES(1, x'040a000001', 4, 99, 0, 0, '', '', '')"}) {
    const Home home;
    add(home, lease_of(address("10.0.0.1"), "a"));
    add(home, lease_of(address("10.0.0.2"), "b"));
    {
      Store store = home.open();
      Transaction transaction = store.begin();
      LeaseTable(transaction)
          .end(LeaseTable(transaction).of("b", "eth0").at(0), moment(), Ending::kDel);
      EXPECT_NO_THROW(verify(transaction));
      transaction.commit();
    }
    Shell(home.database()).run(sql);
    Store store = home.open();
    EXPECT_EQ(kind_of([&] { verify(store.begin()); }), ErrorKind::kOther) << sql;
  }
}

// --- networks, leases, adoption

TEST(StoreTest, NetworksKeepHintsAndHandover) {
  const Home home;
  const std::vector<Address> hints = {address("10.0.0.0"), address("255.255.255.255"),
                                      address("::"), address("fd00::a:0:4")};
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    EXPECT_FALSE(NetworkTable(transaction).find("b").has_value());
    Network network = NetworkTable(transaction).ensure("b");
    EXPECT_EQ(network.name, "b");
    EXPECT_THAT(network.hints, IsEmpty());
    EXPECT_EQ(network.handover, Handover::kOwned);
    NetworkTable(transaction).set_hints(network, hints);
    NetworkTable(transaction).set_handover(network, Handover::kShared);
    EXPECT_EQ(network.hints, hints);
    EXPECT_EQ(NetworkTable(transaction).ensure("b").id, network.id);
    static_cast<void>(NetworkTable(transaction).ensure("a"));
    transaction.commit();
  }
  Store store = home.open();
  Transaction transaction = store.begin();
  const std::vector<Network> networks = NetworkTable(transaction).all();
  ASSERT_THAT(networks, SizeIs(2));
  EXPECT_EQ(networks[0].name, "a");
  EXPECT_EQ(networks[1].name, "b");
  EXPECT_EQ(networks[1].hints, hints);
  EXPECT_EQ(networks[1].handover, Handover::kShared);
  Network network = networks[1];
  NetworkTable(transaction).set_hints(network, {});
  NetworkTable(transaction).set_handover(network, Handover::kOwned);
  EXPECT_THAT(NetworkTable(transaction).find("b")->hints, IsEmpty());
  EXPECT_EQ(NetworkTable(transaction).find("b")->handover, Handover::kOwned);
}

auto fields(const Lease& lease) {
  return std::tuple(
      lease.key.network, lease.key.container_id, lease.key.ifname, lease.address.to_string(),
      lease.gateway ? lease.gateway->to_string() : std::string("none"), lease.range_set,
      lease.pod.name_space, lease.pod.name, lease.pod.uid, lease.presence.boot_id,
      lease.presence.netns, lease.presence.netns_device, lease.presence.netns_inode,
      lease.created.time_since_epoch().count(), lease.source);
}

std::vector<std::string> odd_strings() {
  using namespace std::string_literals;
  return {"",
          "plain",
          "it's \"quoted\"",
          "'); DROP TABLE lease; --",
          "ümläut 网络 🐧",
          "\0"s,
          "nul\0inside"s,
          "\xff\xfe\x80"s,
          " spaces\t\r\n",
          "12",
          "1e3",
          std::string(10'000, 'x'),
          "%_*?",
          "NULL",
          "x'00'"};
}

TEST(StoreTest, LeaseKeepsEveryField) {
  constexpr auto kMost64 = std::numeric_limits<std::uint64_t>::max();
  const Home home;
  std::vector<Lease> leases;
  const std::vector<std::string> strings = odd_strings();
  const auto odd = [&](std::size_t i) { return strings[i % strings.size()]; };
  for (std::size_t i = 0; i < strings.size(); ++i) {
    for (const Address at : {Address::v4(static_cast<std::uint32_t>(i * 7)),
                             Address::v6(~net::Uint128{0} - net::Uint128{5} * i)}) {
      leases.push_back({.key = {"net " + odd(i), odd(i + 1), odd(i + 2)},
                        .address = *Prefix::make(at, at.is_v4() ? static_cast<int>(i * 2)
                                                                : 128 - static_cast<int>(i * 8)),
                        .gateway = i % 3 == 0   ? std::nullopt
                                   : i % 3 == 1 ? std::optional(address("0.0.0.0"))
                                                : std::optional(address("fe80::1")),
                        .range_set = static_cast<int>(i) - 1,
                        .pod = {odd(i + 3), odd(i + 4), odd(i + 5)},
                        .presence = {.boot_id = odd(i + 6),
                                     .netns = odd(i + 7),
                                     .netns_device = i % 2 == 0 ? kMost64 : i,
                                     .netns_inode = i % 2 == 0 ? i : kMost64 - 1},
                        .created = std::chrono::sys_time<Milliseconds>(
                            Milliseconds(static_cast<std::int64_t>(i) * 1'000'000'000'007 - 5)),
                        .source = odd(i + 8)});
    }
  }
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    for (const Lease& lease : leases) {
      add(transaction, lease);
    }
    verify(transaction);
    transaction.commit();
  }
  Store store = home.open();
  Transaction transaction = store.begin();
  EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(leases.size()));
  for (const Lease& lease : leases) {
    SCOPED_TRACE(testing::PrintToString(lease.key.container_id));
    const Network network = NetworkTable(transaction).find(lease.key.network).value();
    const std::optional<Lease> at = LeaseTable(transaction).at(network, lease.address.address());
    ASSERT_TRUE(at.has_value()) << lease.address.to_string();
    EXPECT_EQ(fields(*at), fields(lease));
    const auto same = LeaseTable(transaction).of(network, lease.key.container_id, lease.key.ifname);
    EXPECT_TRUE(std::any_of(same.begin(), same.end(), [&](const Lease& one) {
      return fields(one) == fields(lease);
    })) << lease.address.to_string();
    Presence presence = lease.presence;
    std::swap(presence.boot_id, presence.netns);
    std::swap(presence.netns_device, presence.netns_inode);
    Lease refreshed = lease;
    refreshed.presence = presence;
    LeaseTable(transaction).refresh(lease, refreshed);
    EXPECT_EQ(LeaseTable(transaction).at(network, lease.address.address())->presence, presence);
    LeaseTable(transaction).end(lease, moment(), Ending::kDel);
    EXPECT_FALSE(LeaseTable(transaction).at(network, lease.address.address()).has_value());
  }
  EXPECT_THAT(LeaseTable(transaction).all(), IsEmpty());
  verify(transaction);
}

TEST(StoreTest, EmptyIfnameMatchesAny) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  LeaseTable(transaction).insert(network, lease_of(address("10.0.0.1"), "a", ""));
  LeaseTable(transaction).insert(network, lease_of(address("10.0.0.2"), "a", "eth0"));
  LeaseTable(transaction).insert(network, lease_of(address("10.0.0.3"), "a", "eth1"));
  LeaseTable(transaction).insert(network, lease_of(address("10.0.0.4"), "b", "eth0"));
  const std::vector<std::tuple<const char*, const char*, std::vector<std::string>>> rows = {
      {"a", "eth0", {"10.0.0.1", "10.0.0.2"}},
      {"a", "eth1", {"10.0.0.1", "10.0.0.3"}},
      {"a", "eth9", {"10.0.0.1"}},
      {"a", "", {"10.0.0.1"}},
      {"b", "eth0", {"10.0.0.4"}},
      {"b", "eth1", {}},
      {"", "eth0", {}},
  };
  for (const auto& [container, ifname, expected] : rows) {
    EXPECT_EQ(addresses_of(LeaseTable(transaction).of(network, container, ifname)), expected)
        << container << ' ' << ifname;
    EXPECT_EQ(LeaseTable(transaction).has_any(network, container, ifname), !expected.empty())
        << container << ' ' << ifname;
    EXPECT_EQ(addresses_of(LeaseTable(transaction).of(container, ifname)), expected)
        << container << ' ' << ifname;
  }
}

TEST(StoreTest, LeasesOfAnAttachmentComeInRangeSetOrder) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  for (const auto& [text, range_set] :
       std::vector<std::pair<const char*, int>>{{"10.0.0.1", 2}, {"fd00::1", 0}, {"10.0.0.9", 1}}) {
    Lease lease = lease_of(address(text), "a");
    lease.range_set = range_set;
    add(transaction, lease);
  }
  EXPECT_THAT(addresses_of(LeaseTable(transaction).of("a", "eth0")),
              ElementsAre("fd00::1", "10.0.0.9", "10.0.0.1"));
  EXPECT_THAT(addresses_of(LeaseTable(transaction).all()),
              ElementsAre("10.0.0.1", "10.0.0.9", "fd00::1"));
}

TEST(StoreTest, NetworksDoNotShareAddresses) {
  const Home home;
  Store store = home.open();
  Transaction transaction = store.begin();
  const Network one = NetworkTable(transaction).ensure("one");
  const Network two = NetworkTable(transaction).ensure("two");
  const IntervalSet usable = set_of({"10.0.0.1-10.0.0.2", "fd00::1-fd00::2"});
  for (const char* const text : {"10.0.0.1", "fd00::1"}) {
    for (const Network& network : {one, two}) {
      Lease lease = lease_of(address(text), "c");
      lease.key.network = network.name;
      LeaseTable(transaction).insert(network, lease);
    }
  }
  verify(transaction);
  EXPECT_THAT(LeaseTable(transaction).all(), SizeIs(4));
  EXPECT_THAT(LeaseTable(transaction).all(one), SizeIs(2));
  EXPECT_THAT(LeaseTable(transaction).of(two, "c", "eth0"), SizeIs(2));
  EXPECT_THAT(LeaseTable(transaction).of("c", "eth0"), SizeIs(4));
  for (const Lease& lease : LeaseTable(transaction).all(one)) {
    LeaseTable(transaction).end(lease, moment(5), Ending::kDel);
  }
  verify(transaction);
  EXPECT_THAT(addresses_of(LeaseTable(transaction).all()), ElementsAre("10.0.0.1", "fd00::1"));
  EXPECT_EQ(LeaseTable(transaction).all().front().key.network, "two");
  EXPECT_TRUE(AddressTable(transaction).freed_at(one, address("10.0.0.1")).has_value());
  EXPECT_FALSE(AddressTable(transaction).freed_at(two, address("10.0.0.1")).has_value());
  EXPECT_FALSE(AddressTable(transaction).oldest_freed(two, Family::kIpv4, usable, {}).has_value());
  const std::optional<Freed> freed =
      AddressTable(transaction).oldest_freed(one, Family::kIpv6, usable, {});
  ASSERT_TRUE(freed.has_value());
  EXPECT_EQ(freed->address, address("fd00::1"));
  EXPECT_EQ(freed->at, moment(5).at.wall);
  EXPECT_EQ(freed->since_boot, Milliseconds(5));
  EXPECT_EQ(freed->boot_id, "boot");
  const Usage usage = AddressTable(transaction).usage(two, usable);
  EXPECT_EQ(usage.leased, 2U);
  EXPECT_EQ(usage.freed, 0U);
  EXPECT_EQ(usage.untouched, net::Uint128{2});
}

TEST(StoreTest, SourcesAndAdoptedFilesAreReplaced) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  const Network other = NetworkTable(transaction).ensure("other");
  HostLocalTable(transaction).set_folder(network, {.folder = "/b", .stamp = "1"});
  HostLocalTable(transaction).set_folder(network, {.folder = "/a", .stamp = ""});
  HostLocalTable(transaction).set_folder(network, {.folder = "/b", .stamp = "2"});
  const std::vector<WatchedFolder> sources = HostLocalTable(transaction).folders(network);
  ASSERT_THAT(sources, SizeIs(2));
  EXPECT_EQ(sources[0].folder, "/a");
  EXPECT_EQ(sources[0].stamp, "");
  EXPECT_EQ(sources[1].stamp, "2");
  EXPECT_THAT(HostLocalTable(transaction).folders(other), IsEmpty());

  const AdoptedFile first{address("10.0.0.1"), "c", "eth0"};
  const AdoptedFile second{address("fd00::1"), "c", ""};
  HostLocalTable(transaction).set_files(network, "/a", {second, first});
  HostLocalTable(transaction).set_files(network, "/b", {second});
  EXPECT_THAT(HostLocalTable(transaction).files(network, "/a"), ElementsAre(first, second));
  HostLocalTable(transaction).set_files(network, "/a", {second});
  EXPECT_THAT(HostLocalTable(transaction).files(network, "/a"), ElementsAre(second));
  HostLocalTable(transaction).set_files(network, "/a", {});
  EXPECT_THAT(HostLocalTable(transaction).files(network, "/a"), IsEmpty());
  EXPECT_THAT(HostLocalTable(transaction).files(network, "/b"), ElementsAre(second));
  EXPECT_THAT(HostLocalTable(transaction).files(other, "/b"), IsEmpty());
}

TEST(StoreTest, AdoptedFoldersMayLieInOneAnother) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  const std::vector<std::string> folders = {"/a",  "/a/b", "/a/b/c", "/a/-", "/a/10.0.0.1",
                                            "/a0", "/a.",  "/",      "/A",   "/a b"};
  std::uint32_t number = 0;
  for (const std::string& folder : folders) {
    HostLocalTable(transaction).set_files(network, folder, {{Address::v4(++number), "first", ""}});
  }
  for (const std::string& folder : folders) {
    HostLocalTable(transaction)
        .set_files(network, folder, {{Address::v4(++number), folder + "\n", "eth0"}});
  }
  number -= static_cast<std::uint32_t>(folders.size());
  for (const std::string& folder : folders) {
    EXPECT_THAT(HostLocalTable(transaction).files(network, folder),
                ElementsAre(AdoptedFile{Address::v4(++number), folder + "\n", "eth0"}))
        << folder;
  }
}

TEST(StoreTest, EndedAttachmentsAreRemembered) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const auto at = [](int seconds) { return HostLocalTable::Time(std::chrono::seconds(seconds)); };
  HostLocalTable(transaction).note_ended({"net", "a", "eth0"}, at(1));
  HostLocalTable(transaction).note_ended({"net", "a", "eth0"}, at(7));
  HostLocalTable(transaction).note_ended({"", "b", "eth0"}, at(7));
  const std::vector<std::pair<AttachmentKey, bool>> rows = {
      {{"net", "a", "eth0"}, true},  {{"net", "a", "eth1"}, false}, {{"net", "a", ""}, true},
      {{"oth", "a", "eth0"}, false}, {{"net", "b", "eth0"}, true},  {{"oth", "b", "eth0"}, true},
      {{"oth", "b", "eth1"}, false}, {{"net", "c", "eth0"}, false},
  };
  for (const auto& [key, expected] : rows) {
    EXPECT_EQ(HostLocalTable(transaction).has_ended(key, {}), expected)
        << key.network << ' ' << key.container_id << ' ' << key.ifname;
    EXPECT_EQ(HostLocalTable(transaction).has_ended(key, at(7)), expected);
    EXPECT_FALSE(HostLocalTable(transaction).has_ended(key, at(8))) << "it started again";
  }
  HostLocalTable(transaction).forget_ended("net");
  EXPECT_FALSE(HostLocalTable(transaction).has_ended({"net", "a", "eth0"}, {}));
  EXPECT_TRUE(HostLocalTable(transaction).has_ended({"net", "b", "eth0"}, {}));
}

// SQLite's memory is the store's own affair (sqlite_setup.h).
TEST(StoreTest, SqliteMemoryIsHandedOutOnce) {
  constexpr unsigned kSeed = 5;
  constexpr int kSteps = 20'000;
  const Store store = Store::in_memory();
  struct Block {
    char* memory;
    int size;
    char mark;
  };
  std::mt19937 random(kSeed);
  std::vector<Block> blocks;
  const auto some_size = [&] {
    // Mostly small, as SQLite's are; some beyond the largest the arena cuts.
    const int bits = std::uniform_int_distribution<int>(0, 15)(random);
    return std::uniform_int_distribution<int>(1, 1 << bits)(random);
  };
  const auto is_whole = [](const Block& block, int size) {
    return std::all_of(block.memory, block.memory + size,
                       [&](char byte) { return byte == block.mark; });
  };
  for (int step = 0; step < kSteps; ++step) {
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", step " + std::to_string(step));
    const auto mark = static_cast<char>(step % 251);
    const auto which = std::uniform_int_distribution<std::size_t>(0, 200)(random);
    if (which >= blocks.size()) {
      const int size = some_size();
      blocks.push_back({static_cast<char*>(sqlite3_malloc(size)), size, mark});
      ASSERT_NE(blocks.back().memory, nullptr);
      ASSERT_EQ(std::bit_cast<std::uintptr_t>(blocks.back().memory) % 8, 0U);
      std::fill_n(blocks.back().memory, size, mark);
      continue;
    }
    Block& block = blocks[which];
    ASSERT_TRUE(is_whole(block, block.size));
    ASSERT_GE(sqlite3_msize(block.memory), static_cast<sqlite3_uint64>(block.size));
    if (step % 2 == 0) {
      sqlite3_free(block.memory);
      block = blocks.back();
      blocks.pop_back();
      continue;
    }
    const int size = some_size();
    block.memory = static_cast<char*>(sqlite3_realloc(block.memory, size));
    ASSERT_NE(block.memory, nullptr);
    ASSERT_TRUE(is_whole(block, std::min(size, block.size)));
    block.size = size;
    block.mark = mark;
    std::fill_n(block.memory, size, mark);
  }
  for (const Block& block : blocks) {
    EXPECT_TRUE(is_whole(block, block.size));
    sqlite3_free(block.memory);
  }
}

// --- what is remembered of pods, suspects and the past

TEST(StoreTest, APodsAddressesAreItsUntilSomebodyElseGetsThem) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  const auto remembered = [&](const std::string& uid, const std::string& ifname = "eth0") {
    return PodTable(transaction).addresses(network, uid, ifname);
  };
  const std::vector<Address> both{address("10.0.0.1"), address("fd00::1")};
  const auto lease_pod = [&](Address at, const std::string& container, const std::string& uid) {
    Lease lease = lease_of(at, container);
    lease.pod.uid = uid;
    LeaseTable(transaction).insert(network, lease);
    return lease;
  };
  for (const Address at : both) {
    static_cast<void>(lease_pod(at, "a", "u"));
  }
  EXPECT_THAT(remembered("u"), IsEmpty()) << "it must be told";
  PodTable(transaction).set_addresses(network, "u", "eth0", both);
  EXPECT_EQ(remembered("u"), both);
  EXPECT_THAT(remembered("u", "eth1"), IsEmpty());
  for (const Lease& lease : LeaseTable(transaction).all(network)) {
    LeaseTable(transaction).end(lease, moment(), Ending::kDel);
  }
  EXPECT_EQ(remembered("u"), both);
  LeaseTable(transaction).end(lease_pod(both[0], "b", "u"), moment(), Ending::kDel);
  EXPECT_EQ(remembered("u"), both) << "its own next sandbox";
  static_cast<void>(lease_pod(both[0], "c", ""));
  EXPECT_EQ(remembered("u"), std::vector<Address>{both[1]});
  static_cast<void>(lease_pod(both[1], "d", "other"));
  EXPECT_THAT(remembered("u"), IsEmpty());
}

TEST(StoreTest, ASuspicionIsOfOneLeaseAsItIs) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  Lease lease = lease_of(address("10.0.0.1"), "a");
  lease.presence = {.boot_id = "boot", .netns = "/n", .netns_device = 4, .netns_inode = 77};
  LeaseTable(transaction).insert(network, lease);
  EXPECT_FALSE(SuspicionTable(transaction).of(network, lease).has_value());
  SuspicionTable(transaction)
      .set(network, lease, {.boot_id = "boot", .since_boot = Milliseconds(5)});
  const std::optional<Suspicion> suspicion = SuspicionTable(transaction).of(network, lease);
  ASSERT_TRUE(suspicion.has_value());
  EXPECT_EQ(suspicion->boot_id, "boot");
  EXPECT_EQ(suspicion->since_boot, Milliseconds(5));
  Lease refreshed = lease;
  refreshed.presence.netns_inode = 78;
  EXPECT_FALSE(SuspicionTable(transaction).of(network, refreshed).has_value());
  Lease another = lease;
  another.created += Milliseconds(1);
  EXPECT_FALSE(SuspicionTable(transaction).of(network, another).has_value());
}

TEST(StoreTest, WhatEndedForItsHoldersDeathIsCoolAndFirst) {
  for (const Ending why : {Ending::kReclaim, Ending::kReboot}) {
    Store store = Store::in_memory();
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    for (const char* const at : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) {
      LeaseTable(transaction).insert(network, lease_of(address(at), at));
    }
    const IntervalSet all({Range::make(address("10.0.0.1"), address("10.0.0.9")).value()});
    LeaseTable(transaction)
        .end(LeaseTable(transaction).at(network, address("10.0.0.1")).value(), moment(7),
             Ending::kDel);
    for (const char* const at : {"10.0.0.3", "10.0.0.2"}) {
      LeaseTable(transaction)
          .end(LeaseTable(transaction).at(network, address(at)).value(), moment(8), why);
      const std::optional<Freed> first =
          AddressTable(transaction).oldest_freed(network, Family::kIpv4, all, {});
      ASSERT_TRUE(first.has_value());
      EXPECT_EQ(first->address, address(at));
      EXPECT_NE(first->boot_id, "boot");
      EXPECT_EQ(first->at.time_since_epoch(), Milliseconds(0));
    }
    verify(transaction);
  }
}

TEST(StoreTest, HistoryTellsWhoHadWhatAndIsBounded) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  constexpr int kLeases = 5'000;
  for (int i = 1; i <= kLeases; ++i) {
    Lease lease = lease_of(address("10.0.0.1"), "c" + std::to_string(i));
    lease.created = std::chrono::sys_time<Milliseconds>(Milliseconds(i));
    lease.pod = {.name_space = "shop", .name = "web\x1f", .uid = "u"};
    LeaseTable(transaction).insert(network, lease);
    LeaseTable(transaction).end(lease, moment(i + 1), i % 2 == 0 ? Ending::kDel : Ending::kGc);
  }
  const std::vector<PastLease> history = HistoryTable(transaction).all();
  EXPECT_EQ(history.size(), 4096U);
  const PastLease& last = history.front();
  EXPECT_EQ(last.key.network, "net");
  EXPECT_EQ(last.key.container_id, "c5000");
  EXPECT_EQ(last.key.ifname, "eth0");
  EXPECT_EQ(last.address, address("10.0.0.1"));
  EXPECT_EQ(last.pod.name, "web?") << "what separates fields is no part of one";
  EXPECT_EQ(last.why, "del");
  EXPECT_EQ(last.created.time_since_epoch(), Milliseconds(5000));
  EXPECT_EQ(last.ended.time_since_epoch(), Milliseconds(5001));
  EXPECT_EQ(history.back().key.container_id, "c905");
  EXPECT_EQ(history.back().why, "gc");
}

// --- choosing an address

TEST(StoreTest, FirstUntouchedSkipsWhatWasEverLeased) {
  struct Row {
    std::vector<std::string> usable;
    std::vector<std::string> touched;
    const char* from;
    const char* expected;  // empty: none
  };
  const std::vector<Row> rows = {
      {{}, {}, "0.0.0.0", ""},
      {{"0.0.0.0/0"}, {}, "0.0.0.0", "0.0.0.0"},
      {{"0.0.0.0/0"}, {"0.0.0.0", "0.0.0.1"}, "0.0.0.0", "0.0.0.2"},
      {{"0.0.0.0/0"}, {"0.0.0.1", "0.0.0.0"}, "0.0.0.1", "0.0.0.2"},
      {{"0.0.0.0/0"}, {"255.255.255.254"}, "255.255.255.254", "255.255.255.255"},
      {{"0.0.0.0/0"}, {"255.255.255.255", "255.255.255.254"}, "255.255.255.254", ""},
      {{"0.0.0.0/0", "::/0"}, {"255.255.255.255"}, "255.255.255.255", ""},
      {{"::/0"}, {}, "::", "::"},
      {{"::/0"}, {"::"}, "::", "::1"},
      {{"0.0.0.0/0", "::/0"}, {"255.255.255.255", "::", "::1"}, "::", "::2"},
      {{"::/0"},
       {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"},
      {{"::/0"},
       {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
       ""},
      {{"10.0.0.0/30", "10.0.1.0/30"}, {}, "10.0.0.4", "10.0.1.0"},
      {{"10.0.0.0/30", "10.0.1.0/30"}, {"10.0.0.3", "10.0.1.0"}, "10.0.0.3", "10.0.1.1"},
      {{"10.0.0.0/30"}, {}, "10.0.0.4", ""},
      {{"10.0.0.0/30"}, {}, "fd00::", ""},
      {{"fd00::/126"}, {}, "10.0.0.0", ""},
      // One touched interval, made in an order that joins it from both sides, over three usable.
      {{"10.0.0.0", "10.0.0.2", "10.0.0.4-10.0.0.9"},
       {"10.0.0.0", "10.0.0.4", "10.0.0.2", "10.0.0.1", "10.0.0.3"},
       "10.0.0.0",
       "10.0.0.5"},
  };
  for (const Row& row : rows) {
    std::string name = std::string(row.from) + " of";
    for (const std::string& range : row.usable) {
      name += " " + range;
    }
    name += " less";
    Store store = Store::in_memory();
    Transaction transaction = store.begin();
    const Network network = NetworkTable(transaction).ensure("net");
    for (const std::string& text : row.touched) {
      const Lease lease = lease_of(address(text), text);
      LeaseTable(transaction).insert(network, lease);
      if (text.back() % 2 == 0) {
        LeaseTable(transaction).end(lease, moment(), Ending::kDel);
      }
      name += " " + text;
    }
    verify(transaction);
    const std::optional<Address> found =
        AddressTable(transaction).first_untouched(network, set_of(row.usable), address(row.from));
    EXPECT_EQ(found ? found->to_string() : "", row.expected) << name;
  }
}

TEST(StoreTest, OldestFreedComesFirstAndPassesOver) {
  Store store = Store::in_memory();
  Transaction transaction = store.begin();
  const Network network = NetworkTable(transaction).ensure("net");
  for (const char* const text : {"10.0.0.3", "fd00::1", "10.0.0.1", "10.0.0.2"}) {
    const Lease lease = lease_of(address(text), text);
    LeaseTable(transaction).insert(network, lease);
    LeaseTable(transaction).end(lease, moment(), Ending::kDel);
  }
  const auto oldest = [&](const std::vector<std::string>& usable,
                          const std::vector<std::string>& passed_over) {
    const auto found =
        AddressTable(transaction)
            .oldest_freed(network, Family::kIpv4, set_of(usable), set_of(passed_over));
    return found ? found->address.to_string() : "none";
  };
  EXPECT_EQ(oldest({"10.0.0.0/24"}, {}), "10.0.0.3");
  EXPECT_EQ(oldest({"10.0.0.0/24"}, {"10.0.0.3"}), "10.0.0.1");
  EXPECT_EQ(oldest({"10.0.0.0-10.0.0.2"}, {"10.0.0.1"}), "10.0.0.2");
  EXPECT_EQ(oldest({"10.0.0.0/24"}, {"10.0.0.0/24"}), "none");
  EXPECT_EQ(oldest({"10.0.1.0/24"}, {}), "none");
  EXPECT_EQ(oldest({"fd00::/64"}, {}), "none");
  EXPECT_EQ(AddressTable(transaction).freed(network, set_of({"10.0.0.0/24", "fd00::/64"})).size(),
            4U);
  EXPECT_EQ(AddressTable(transaction).freed_count(network), 4U);
  // Leased and freed again it is the youngest.
  const Lease again = lease_of(address("10.0.0.3"), "again");
  LeaseTable(transaction).insert(network, again);
  LeaseTable(transaction).end(again, moment(), Ending::kDel);
  EXPECT_EQ(oldest({"10.0.0.0/24"}, {}), "10.0.0.1");
  verify(transaction);
}

TEST(StoreTest, WalkOverUnusableRowsIsRememberedForEachSet) {
  constexpr std::uint32_t kBase = 0x0a000000;
  constexpr std::uint32_t kRows = 300;
  const Home home;
  const auto oldest = [&](const IntervalSet& usable) {
    Store store = home.open();
    Transaction transaction = store.begin();
    const auto found =
        AddressTable(transaction)
            .oldest_freed(NetworkTable(transaction).ensure("net"), Family::kIpv4, usable, {});
    transaction.commit();
    return found ? std::optional(found->address) : std::nullopt;
  };
  const auto skipped = [&](const char* sql) {
    Shell shell(home.database());
    shell.leave_log_alone();
    return shell.number(std::string("SELECT ") + sql + " FROM note WHERE kind = 'skipped'");
  };
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    for (std::uint32_t i = 0; i < kRows; ++i) {
      const Lease lease = lease_of(Address::v4(kBase + i), std::to_string(i));
      add(transaction, lease);
      LeaseTable(transaction).end(lease, moment(), Ending::kDel);
    }
    transaction.commit();
  }
  const auto from_row = [&](std::uint32_t row) {
    return IntervalSet({*Range::make(Address::v4(kBase + row), Address::v4(kBase + 0xffff))});
  };
  EXPECT_EQ(oldest(from_row(63)), Address::v4(kBase + 63));
  EXPECT_EQ(skipped("count(*)"), 0) << "a short walk is not worth a note";
  EXPECT_EQ(oldest(from_row(250)), Address::v4(kBase + 250));
  EXPECT_EQ(skipped("max(value)"), 250) << "positions count from 1";
  EXPECT_EQ(oldest(from_row(250)), Address::v4(kBase + 250));
  EXPECT_EQ(skipped("count(*)"), 1);

  // What was skipped comes back: leased, and freed once more, it is at the end.
  {
    Store store = home.open();
    Transaction transaction = store.begin();
    const Lease lease = lease_of(Address::v4(kBase + 10), "again");
    add(transaction, lease);
    LeaseTable(transaction).end(lease, moment(), Ending::kDel);
    transaction.commit();
  }
  EXPECT_EQ(oldest(IntervalSet({Range::single(Address::v4(kBase + 10))})), Address::v4(kBase + 10));
  EXPECT_EQ(oldest(from_row(0)), Address::v4(kBase));
  EXPECT_EQ(oldest(from_row(250)), Address::v4(kBase + 250));

  // Of many sets a handful is kept, and the one just walked always is.
  for (std::uint32_t row = 299; row >= 200; --row) {
    EXPECT_EQ(oldest(from_row(row)), Address::v4(kBase + row));
    EXPECT_EQ(skipped(("count(*) FILTER (WHERE value = " + std::to_string(row) + ")").c_str()), 1)
        << row;
  }
  EXPECT_LE(skipped("count(*)"), 33);
}

// --- against a model

// The addresses of one network, walked from end to end.
struct Model {
  std::map<Address, std::string> leased;  // to the container
  std::deque<Address> freed;              // oldest first
  std::set<Address> touched;

  void insert(Address at, const std::string& container) {
    leased[at] = container;
    std::erase(freed, at);
    touched.insert(at);
  }
  void release(Address at) {
    leased.erase(at);
    freed.push_back(at);
  }
  [[nodiscard]] std::optional<Address> first_untouched(const std::set<Address>& usable,
                                                       Address from) const {
    for (const Address at : usable) {
      if (at.family() == from.family() && at >= from && !touched.contains(at)) {
        return at;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Address> oldest_freed(Family family, const std::set<Address>& usable,
                                                    const std::set<Address>& passed_over) const {
    for (const Address at : freed) {
      if (at.family() == family && usable.contains(at) && !passed_over.contains(at)) {
        return at;
      }
    }
    return std::nullopt;
  }
};

struct Usable {
  std::set<Address> addresses;
  IntervalSet intervals;
};

Usable usable_of(const std::set<Address>& addresses) {
  std::vector<Range> ranges;
  ranges.reserve(addresses.size());
  for (const Address at : addresses) {
    ranges.push_back(Range::single(at));
  }
  return {.addresses = addresses, .intervals = IntervalSet(std::move(ranges))};
}

class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed), store_(home_.open()) {
    for (const auto& [text, count] : std::vector<std::pair<const char*, int>>{
             {"0.0.0.0", 60},
             {"10.0.0.200", 120},
             {"255.255.255.216", 40},
             {"::", 60},
             {"fd00::fff0", 120},
             {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffd8", 40}}) {
      std::optional<Address> at = address(text);
      for (int i = 0; i < count; ++i, at = at->next()) {
        universe_.push_back(at.value());
      }
    }
    for (std::size_t i = 0; i < 6; ++i) {
      sets_.push_back(some_set());
    }
    Transaction transaction = store_->begin();
    for (std::size_t i = 0; i < models_.size(); ++i) {
      networks_[i] = NetworkTable(transaction).ensure("net " + std::to_string(i));
    }
    transaction.commit();
  }

  void step() {
    // Times of growth and of decline take turns, so that the queue becomes long and short again.
    if (one_in(150)) {
      releases_ = one_in(2) ? 15 : 75;
    }
    if (one_in(40)) {
      store_.reset();
      store_ = home_.open();
    }
    if (one_in(12)) {
      edit_sets();
    }
    const std::size_t which = below(models_.size());
    const Model before = models_[which];
    Transaction transaction = store_->begin();
    change(transaction, networks_[which], models_[which]);
    compare(transaction, networks_[which], models_[which]);
    verify(transaction);
    if (one_in(8)) {
      models_[which] = before;  // rolled back
    } else {
      transaction.commit();
    }
  }

  // Leases all there is, and counts.
  void drain() {
    const Usable all = usable_of({universe_.begin(), universe_.end()});
    for (std::size_t which = 0; which < models_.size(); ++which) {
      const Network& network = networks_[which];
      Model& model = models_[which];
      Transaction transaction = store_->begin();
      for (const Family family : {Family::kIpv4, Family::kIpv6}) {
        const Address lowest = Address::from_bits(family, 0);
        while (true) {
          std::optional<Address> at =
              AddressTable(transaction).first_untouched(network, all.intervals, lowest);
          EXPECT_EQ(at, model.first_untouched(all.addresses, lowest));
          if (!at) {
            const auto freed =
                AddressTable(transaction).oldest_freed(network, family, all.intervals, {});
            at = freed ? std::optional(freed->address) : std::nullopt;
            EXPECT_EQ(at, model.oldest_freed(family, all.addresses, {}));
          }
          if (!at) {
            break;
          }
          insert(transaction, network, model, *at, LeaseTable::Before::kUnknown);
        }
      }
      verify(transaction);
      const Usage usage = AddressTable(transaction).usage(network, all.intervals);
      EXPECT_EQ(usage.leased, universe_.size());
      EXPECT_EQ(usage.freed, 0U);
      EXPECT_EQ(usage.untouched, net::Uint128{0});
      EXPECT_THAT(LeaseTable(transaction).all(network), SizeIs(universe_.size()));
      transaction.commit();
    }
  }

  // How many sets the store remembers walks for.
  [[nodiscard]] std::int64_t remembered() {
    store_.reset();
    return Shell(home_.database()).number("SELECT count(*) FROM note WHERE kind = 'skipped'");
  }

 private:
  [[nodiscard]] std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }
  [[nodiscard]] bool one_in(std::size_t bound) { return below(bound) == 0; }
  [[nodiscard]] Address some_address() { return universe_[below(universe_.size())]; }

  [[nodiscard]] Usable some_set() {
    std::set<Address> addresses;
    const std::size_t kind = below(6);
    const std::size_t from = below(universe_.size());
    const std::size_t count = 1 + below(universe_.size() / (kind == 0 ? 20 : 2));
    for (std::size_t i = 0; i < universe_.size(); ++i) {
      const bool inside = i >= from && i < from + count;
      const std::array<bool, 6> taken = {
          inside, !inside, i % 2 == 0, one_in(3), i % 7 != 0 && inside, true};
      if (taken[kind]) {
        addresses.insert(universe_[i]);
      }
    }
    return usable_of(addresses);
  }

  // A new set, a small edit of one, or one that was in use before.
  void edit_sets() {
    const std::size_t which = below(sets_.size());
    former_.push_back(sets_[which]);
    switch (below(4)) {
      case 0:
        sets_[which] = some_set();
        break;
      case 1:
        sets_[which] = former_[below(former_.size())];
        break;
      default: {
        std::set<Address> addresses = sets_[which].addresses;
        const Address at = some_address();
        if (addresses.erase(at) == 0) {
          addresses.insert(at);
        }
        sets_[which] = usable_of(addresses);
      }
    }
  }

  void insert(Transaction& transaction, const Network& network, Model& model, Address at,
              LeaseTable::Before before) {
    Lease lease = lease_of(at, "container " + std::to_string(++count_));
    lease.key.network = network.name;
    LeaseTable(transaction).insert(network, lease, before);
    model.insert(at, lease.key.container_id);
  }

  void change(Transaction& transaction, const Network& network, Model& model) {
    const std::size_t rounds = one_in(10) ? 40 : 1;
    for (std::size_t round = 0; round < rounds; ++round) {
      if (below(100) < releases_) {
        if (!model.leased.empty()) {
          const auto lease = std::next(model.leased.begin(),
                                       static_cast<std::ptrdiff_t>(below(model.leased.size())));
          const Address at = lease->first;
          const std::optional<Lease> found = LeaseTable(transaction).at(network, at);
          ASSERT_TRUE(found.has_value()) << at;
          EXPECT_EQ(found->key.container_id, lease->second);
          LeaseTable(transaction)
              .end(*found, moment(static_cast<std::int64_t>(++count_)), Ending::kDel);
          model.release(at);
        }
      } else if (one_in(4)) {
        const Address requested = some_address();
        if (!model.leased.contains(requested)) {
          insert(transaction, network, model, requested, LeaseTable::Before::kUnknown);
        }
      } else {
        choose(transaction, network, model);
      }
    }
  }

  void choose(Transaction& transaction, const Network& network, Model& model) {
    const Usable& usable = sets_[below(sets_.size())];
    const Address from = some_address();
    std::optional<Address> chosen =
        AddressTable(transaction).first_untouched(network, usable.intervals, from);
    EXPECT_EQ(chosen, model.first_untouched(usable.addresses, from)) << "from " << from;
    auto before = LeaseTable::Before::kUntouched;
    if (!chosen) {
      const auto freed =
          AddressTable(transaction).oldest_freed(network, from.family(), usable.intervals, {});
      chosen = freed ? std::optional(freed->address) : std::nullopt;
      EXPECT_EQ(chosen, model.oldest_freed(from.family(), usable.addresses, {}));
      before = LeaseTable::Before::kUnknown;
    }
    if (chosen) {
      insert(transaction, network, model, *chosen, before);
    }
  }

  // Every question there is, whatever was changed.
  void compare(Transaction& transaction, const Network& network, const Model& model) {
    const Usable& usable = sets_[below(sets_.size())];
    const Usable passed_over = one_in(2) ? Usable{} : some_set();
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto freed =
          AddressTable(transaction)
              .oldest_freed(network, family, usable.intervals, passed_over.intervals);
      EXPECT_EQ(freed ? std::optional(freed->address) : std::nullopt,
                model.oldest_freed(family, usable.addresses, passed_over.addresses));
    }
    const Address at = some_address();
    EXPECT_EQ(LeaseTable(transaction).at(network, at).has_value(), model.leased.contains(at)) << at;
    EXPECT_EQ(AddressTable(transaction).freed_at(network, at).has_value(),
              std::find(model.freed.begin(), model.freed.end(), at) != model.freed.end())
        << at;
    EXPECT_EQ(AddressTable(transaction).first_untouched(network, usable.intervals, at),
              model.first_untouched(usable.addresses, at))
        << "from " << at;
    if (!one_in(10)) {
      return;
    }
    std::vector<Address> freed;
    for (const Freed& row : AddressTable(transaction).freed(network, usable.intervals)) {
      freed.push_back(row.address);
    }
    std::vector<Address> expected;
    std::copy_if(model.freed.begin(), model.freed.end(), std::back_inserter(expected),
                 [&](Address row) { return usable.addresses.contains(row); });
    EXPECT_EQ(freed, expected);
    const Usage usage = AddressTable(transaction).usage(network, usable.intervals);
    EXPECT_EQ(usage.freed, expected.size());
    EXPECT_EQ(usage.leased + usage.freed + static_cast<std::uint64_t>(usage.untouched),
              usable.addresses.size());
    EXPECT_THAT(LeaseTable(transaction).all(network), SizeIs(model.leased.size()));
  }

  Home home_;
  std::mt19937 random_;
  std::optional<Store> store_;
  std::vector<Address> universe_;
  std::vector<Usable> sets_;
  std::vector<Usable> former_;
  std::array<Network, 2> networks_;
  std::array<Model, 2> models_;
  std::size_t releases_ = 30;  // of a hundred changes
  std::size_t count_ = 0;
};

TEST(StoreTest, AnswersAsTheModelDoesAndLosesNothing) {
  constexpr int kSteps = 1200;
  std::int64_t remembered = 0;
  for (const unsigned seed : {1U, 20261123U, 77U, 4711U, 123456789U}) {
    Walk walk(seed);
    for (int i = 0; i < kSteps; ++i) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(i));
      walk.step();
      if (HasFailure()) {
        return;
      }
    }
    SCOPED_TRACE("seed " + std::to_string(seed) + ", at the end");
    walk.drain();
    remembered += walk.remembered();
  }
  EXPECT_GT(remembered, 20) << "long walks were rare: too little was tried";
}

// --- registry

TEST(RegistryTest, KeepsFoldersInOrderOnce) {
  const Home home;
  const fs::path root = home.registry().parent_path();
  const Registry registry(home.registry());
  EXPECT_THAT(registry.folders(), IsEmpty());
  for (const char* const folder : {"b", "a a", "b", "ü", "a a"}) {
    fs::create_directories(root / folder);
    registry.add(root / folder);
  }
  EXPECT_THAT(Registry(home.registry()).folders(),
              ElementsAre(root / "b", root / "a a", root / "ü"));
  EXPECT_EQ(contents(home.registry()), (root / "b").string() + "\n" + (root / "a a").string() +
                                           "\n" + (root / "ü").string() + "\n");
}

TEST(RegistryTest, AFolderThatIsGoneIsNoStore) {
  const Home home;
  const fs::path root = home.registry().parent_path();
  const Registry registry(home.registry());
  for (const char* const folder : {"a", "b"}) {
    fs::create_directories(root / folder);
    registry.add(root / folder);
  }
  fs::remove(root / "a");
  EXPECT_THAT(registry.folders(), ElementsAre(root / "b"));
  fs::create_directories(root / "a");
  EXPECT_THAT(registry.folders(), ElementsAre(root / "a", root / "b")) << "it is listed still";
}

TEST(RegistryTest, ListsEveryNewStoreAndOnlyNewOnes) {
  const Home home;
  add(home, lease_of(address("10.0.0.1"), "a"));
  EXPECT_THAT(Registry(home.registry()).folders(), ElementsAre(home.folder()));
  fs::remove(home.registry());
  static_cast<void>(home.open());
  EXPECT_FALSE(fs::exists(home.registry()));
}

TEST(RegistryTest, StoreIsNotMadeUnlessItCanBeListed) {
  const Home home;
  fs::create_directories(home.registry());
  EXPECT_EQ(kind_of([&] { static_cast<void>(home.open()); }), ErrorKind::kIo);
  EXPECT_FALSE(fs::exists(home.database()));
}

TEST(RegistryTest, TakesManyProcessesAtOnce) {
  constexpr int kProcesses = 8;
  constexpr int kEach = 25;
  const Home home;
  std::deque<Child> children;
  const fs::path shared = home.database().parent_path() / "shared";
  const auto folder_of = [&](int process, int number) {
    return home.database().parent_path() / std::to_string(process) / std::to_string(number);
  };
  std::set<fs::path> expected = {shared};
  fs::create_directories(shared);
  for (int i = 0; i < kProcesses; ++i) {
    for (int k = 0; k < kEach; ++k) {
      fs::create_directories(folder_of(i, k));
      expected.insert(folder_of(i, k));
    }
    children.emplace_back([&](const Child&) {
      for (int k = 0; k < kEach; ++k) {
        Registry(home.registry()).add(folder_of(i, k));
        Registry(home.registry()).add(shared);
      }
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.wait(), 0);
  }
  std::istringstream lines(contents(home.registry()));
  std::multiset<fs::path> listed;
  for (std::string line; std::getline(lines, line);) {
    listed.insert(line);
  }
  EXPECT_EQ(std::set<fs::path>(listed.begin(), listed.end()), expected);
  EXPECT_EQ(listed.size(), expected.size()) << "each once";
}

TEST(RegistryTest, UnreadableListCountsAsEmpty) {
  const Home home;
  fs::create_directories(home.registry());
  EXPECT_THAT(Registry(home.registry()).folders(), IsEmpty());
  EXPECT_EQ(kind_of([&] { Registry(home.registry()).add("/a"); }), ErrorKind::kIo);
  fs::remove(home.registry());
  write(home.registry(), std::string(std::size_t{2} << 20, '/'));
  EXPECT_THAT(Registry(home.registry()).folders(), IsEmpty());
  write(home.registry().parent_path() / "file", "");
  const Registry below_file(home.registry().parent_path() / "file" / "stores");
  EXPECT_THAT(below_file.folders(), IsEmpty());
  EXPECT_EQ(kind_of([&] { below_file.add("/a"); }), ErrorKind::kIo);
}

TEST(RegistryTest, HalfALineSpoilsNoOther) {
  const Home home;
  const fs::path root = home.registry().parent_path();
  const Registry registry(home.registry());
  for (const char* const folder : {"a", "half a li", "b", "c"}) {
    fs::create_directories(root / folder);
  }
  registry.add(root / "a");
  std::ofstream(home.registry(), std::ios::app) << (root / "half a li").string();
  registry.add(root / "b");
  EXPECT_THAT(registry.folders(), ElementsAre(root / "a", root / "half a li", root / "b"));
  write(home.registry(), "\n\nnot a path\n" + (root / "c").string() + "\n\n");
  EXPECT_THAT(registry.folders(), ElementsAre(root / "c"));
}

}  // namespace
}  // namespace podlease::store
