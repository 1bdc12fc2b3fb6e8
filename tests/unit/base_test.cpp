// Locks are tried against real processes and a real kernel: what may go wrong with them (an alarm
// too early, an owner killed, a signal in between) does not show within one process.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/flock.h"
#include "podlease/base/log.h"
#include "podlease/base/text.h"
#include "support.h"

namespace podlease {
namespace {

using namespace std::chrono_literals;

using support::error_of;
using support::Pipe;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Optional;
using ::testing::SizeIs;
using ::testing::StartsWith;

// A folder of its own for each test, gone at its end.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "podlease-base-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw io_error("mkdtemp " + name, errno);
    }
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string content_of(const std::filesystem::path& path) {
  std::ostringstream content;
  content << std::ifstream(path, std::ios::binary).rdbuf();
  return content.str();
}

// A child process that runs `body` and ends with its result. Killed, if it is still there, when
// this goes.
class Child {
 public:
  explicit Child(const std::function<int()>& body) : pid_(fork()) {
    if (pid_ < 0) {
      throw io_error("fork", errno);
    }
    if (pid_ == 0) {
      // Not exit: the tests' own state is the parent's to clean up.
      _exit(body());
    }
  }
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child() {
    if (pid_ > 0) {
      end_now();
    }
  }

  void end_now() {
    kill(pid_, SIGKILL);
    static_cast<void>(wait());
  }
  // Its exit status; -1 if a signal ended it.
  [[nodiscard]] int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
};

UniqueFd open_lock(const std::filesystem::path& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) {
    throw io_error("open " + path.string(), errno);
  }
  return fd;
}

// A child that holds the flock of `path` for `hold`. It holds it already when this returns.
Child holder_of(const std::filesystem::path& path, Milliseconds hold) {
  Pipe ready;
  Child child([&] {
    const UniqueFd fd = open_lock(path);
    if (flock(fd.get(), LOCK_EX) != 0 || write_all(ready.write_end.get(), "x") != 0) {
      return 1;
    }
    ready.write_end.reset();
    std::this_thread::sleep_for(hold);
    return 0;
  });
  ready.write_end.reset();
  if (read_all(ready.read_end.get(), 1) != "x") {
    throw Error(ErrorKind::kOther, "the child did not get the lock");
  }
  return child;
}

bool is_locked(const std::filesystem::path& path) {
  const UniqueFd fd = open_lock(path);
  return flock(fd.get(), LOCK_EX | LOCK_NB) != 0;
}

Milliseconds elapsed_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - start);
}

bool alarm_is_at_rest() {
  itimerval timer{};
  return getitimer(ITIMER_REAL, &timer) == 0 && timer.it_value.tv_sec == 0 &&
         timer.it_value.tv_usec == 0 && timer.it_interval.tv_sec == 0 &&
         timer.it_interval.tv_usec == 0;
}

bool alarm_is_blocked() {
  sigset_t mask{};
  sigprocmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, SIGALRM) == 1;
}

class FakeClock final : public Clock {
 public:
  explicit FakeClock(std::chrono::sys_time<Milliseconds> wall) : wall_(wall) {}
  [[nodiscard]] ClockReading now() const override { return {.wall = wall_, .since_boot = 0ms}; }
  void sleep(Milliseconds /*duration*/) const override {}

 private:
  std::chrono::sys_time<Milliseconds> wall_;
};

constexpr std::chrono::sys_time<Milliseconds> kNow{
    1'795'404'465'999ms};  // 2026-11-23T03:27:45.999Z
constexpr std::string_view kNowText = "2026-11-23T03:27:45Z";

static_assert(!std::is_copy_constructible_v<UniqueFd>);
static_assert(!std::is_convertible_v<int, UniqueFd>);
static_assert(std::is_base_of_v<std::runtime_error, Error>);

TEST(AttachmentTest, NamesFollowTheSpecification) {
  const std::vector<std::string_view> good = {
      "a",
      "Z",
      "0",
      "cbr0",
      "k8s-pod-network",
      "a.b",
      "a_b",
      "0-_.",
      "a--",
      "net.1.2.3",
      "4c2a4f8bd4dbd3e1a6ba5d4b8c6f3a3b4c2a4f8bd4dbd3e1a6ba5d4b8c6f3a3b"};
  for (const std::string_view name : good) {
    EXPECT_TRUE(is_valid_name(name)) << name;
  }
  EXPECT_TRUE(is_valid_name(std::string(5000, 'a')));

  using std::string_view_literals::operator""sv;
  const std::vector<std::string_view> bad = {
      "",    "-a",     ".a",   "_a",       ".",         "..",  "a b", "a/b", "../a", "a\n", "\na",
      "a:b", "a\0b"sv, "\0"sv, "\xc3\xa4", "a\xc3\xa4", "a@b", "[a",  "a`",  "a{",   "a/",  "*"};
  for (const std::string_view name : bad) {
    EXPECT_FALSE(is_valid_name(name)) << in_quotes(name);
  }
}

TEST(AttachmentTest, KeysDifferInEachPart) {
  const AttachmentKey key{"net", "id", "eth0"};
  EXPECT_EQ(key, (AttachmentKey{"net", "id", "eth0"}));
  EXPECT_THAT((std::set<AttachmentKey>{
                  key, {"net2", "id", "eth0"}, {"net", "id2", "eth0"}, {"net", "id", "eth1"}}),
              SizeIs(4));
  EXPECT_NE((AttachmentKey{"a", "bc", "d"}), (AttachmentKey{"ab", "c", "d"}));
}

TEST(PodTextTest, IsEmptyWithoutAName) {
  EXPECT_EQ(pod_text("lab", "web"), "lab/web");
  EXPECT_EQ(pod_text("lab", ""), "");
}

TEST(ClockTest, PrintsUtcWithoutFractions) {
  struct Row {
    Milliseconds since_epoch;
    std::string_view text;
  };
  const std::vector<Row> rows = {{0ms, "1970-01-01T00:00:00Z"},
                                 {999ms, "1970-01-01T00:00:00Z"},
                                 {-1ms, "1969-12-31T23:59:59Z"},
                                 {951'782'400'000ms, "2000-02-29T00:00:00Z"},
                                 {2'147'483'648'000ms, "2038-01-19T03:14:08Z"},
                                 {kNow.time_since_epoch(), kNowText}};
  // Whatever the zone of the machine.
  ASSERT_EQ(setenv("TZ", "Asia/Kolkata", 1), 0);
  tzset();
  for (const Row& row : rows) {
    EXPECT_EQ(to_rfc3339(std::chrono::sys_time<Milliseconds>(row.since_epoch)), row.text);
  }
  unsetenv("TZ");
  tzset();
}

TEST(ClockTest, TheSystemsAdvancesWithSleep) {
  const SystemClock clock;
  const ClockReading before = clock.now();
  clock.sleep(20ms);
  const ClockReading after = clock.now();
  EXPECT_GE(after.since_boot - before.since_boot, 19ms);
  EXPECT_GT(before.since_boot, 0ms);
  const auto wall = std::chrono::time_point_cast<Milliseconds>(std::chrono::system_clock::now());
  EXPECT_LT(std::chrono::abs(wall - after.wall), 60s);
  clock.sleep(0ms);
  clock.sleep(-5ms);
}

TEST(DurationTest, ReadsWhatGoWrites) {
  struct Row {
    std::string_view text;
    Milliseconds duration;
  };
  const std::vector<Row> rows = {
      {"0", 0ms},
      {"0s", 0ms},
      {"0h0m0s", 0ms},
      {"90s", 90s},
      {"2m", 2min},
      {"1h30m", 90min},
      {"1h0m0.25s", 1h + 250ms},
      {"250ms", 250ms},
      {"1m30s500ms", 90s + 500ms},
      {"1s1m", 61s},
      {"1m1m", 2min},
      {"1.5h", 90min},
      {".5s", 500ms},
      {"5.s", 5s},
      {"007s", 7s},
      {"1000000us", 1s},
      {"1500\xc2\xb5s", 1ms},
      {"999999ns", 0ms},
      {"1000000ns", 1ms},
      // Dropped is what is finer than a millisecond of the whole, not of each part.
      {"600us600us", 1ms},
      {"0.0000001h", 0ms},
      // Not one less because the fraction has no exact binary form.
      {"1.001s", 1001ms},
      {"0.29s", 290ms},
      {"4.35s", 4350ms},
      {"16.1ms", 16ms},
      {"1.1m", 66s},
      {"0.0011h", 3960ms},
      {"9.999999999999999999999999s", 9999ms},
      {"1.00000000000000000000000000000000000000000000000000000000000000000000000000s", 1s},
      {"876000h", 876000h},
      {"875999h59m59.999s", 876000h - 1ms},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(parse_duration(row.text), row.duration) << row.text;
  }
}

TEST(DurationTest, ReadsEachMillisecondOfASecond) {
  for (int i = 0; i < 1000; ++i) {
    const std::string fraction = std::to_string(1000 + i).substr(1);
    EXPECT_EQ(parse_duration("86399." + fraction + "s"), 86399s + Milliseconds(i)) << fraction;
  }
}

TEST(DurationTest, RejectsWhatIsNoDuration) {
  using std::string_view_literals::operator""sv;
  const std::vector<std::string_view> texts = {
      "", " ", "s", "ms", ".", ".s", "..5s", "1.2.3s",
      // Without a unit, or with one that is none.
      "1", "00", "0.0", "90", "1s30", "1d", "1w", "1H", "1S", "1 s", "1sec", "1min", "1\xc2s",
      "1m s",
      // Never negative.
      "-1s", "-0s", "1h-1m", "- 1s",
      // Notations of others, and white space.
      "1e3s", "0x10s", "infs", "inf", "nan", "nans", "1,5s", "1_000s", " 1s", "1s ", "1s\n",
      "1s\0"sv, "1\0s"sv, "PT1S", "1:30",
      // More than 100 years, in one step or many.
      "876000h1ms", "876001h", "900000h", "99999999999999999999h",
      "99999999999999999999999999999999999999s", "876000h876000h876000h",
      "9223372036854775808ns9223372036854775808ns"};
  for (const std::string_view text : texts) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << in_quotes(text);
  }
  EXPECT_EQ(parse_duration(std::string(10'000, '9') + "s"), std::nullopt);
}

TEST(DurationTest, WritesTheShortest) {
  struct Row {
    Milliseconds duration;
    std::string_view text;
  };
  const std::vector<Row> rows = {{0ms, "0s"},
                                 {1ms, "1ms"},
                                 {250ms, "250ms"},
                                 {999ms, "999ms"},
                                 {1s, "1s"},
                                 {45s, "45s"},
                                 {60s, "1m"},
                                 {61s, "1m1s"},
                                 {90min, "1h30m"},
                                 {1h, "1h"},
                                 {1h + 1s, "1h1s"},
                                 {100h, "100h"},
                                 {876000h, "876000h"},
                                 {1500ms, "1.5s"},
                                 {1001ms, "1.001s"},
                                 {1010ms, "1.01s"},
                                 {60'005ms, "1m0.005s"}};
  for (const Row& row : rows) {
    EXPECT_EQ(format_duration(row.duration), row.text) << row.duration.count() << " ms";
  }
}

TEST(DurationTest, ReadsBackWhatItWrote) {
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): a failure shall repeat
  for (int i = 0; i < 5000; ++i) {
    // Of all magnitudes alike.
    const auto count =
        static_cast<std::int64_t>(random() >> (20 + random() % 44)) % (876000LL * 3'600'000);
    const std::string text = format_duration(Milliseconds(count));
    EXPECT_EQ(parse_duration(text), Milliseconds(count)) << text << " of " << count << " ms";
  }
}

TEST(ErrorTest, CarriesKindMessageAndDetails) {
  const Error plain(ErrorKind::kBusy, "busy");
  EXPECT_EQ(plain.kind(), ErrorKind::kBusy);
  EXPECT_STREQ(plain.what(), "busy");
  EXPECT_EQ(plain.details(), "");
  const Error full(ErrorKind::kConfig, "bad", "why");
  EXPECT_EQ(full.details(), "why");
}

TEST(ErrorTest, OfTheKernelNamesWhatAndWhy) {
  const Error error = io_error("open /x/y", ENOSPC);
  EXPECT_EQ(error.kind(), ErrorKind::kIo);
  EXPECT_STREQ(error.what(), "open /x/y: No space left on device");
}

TEST(TextTest, LowersAsciiOnly) {
  EXPECT_EQ(to_lower(""), "");
  EXPECT_EQ(to_lower("AZaz09@[`{"), "azaz09@[`{");
  EXPECT_EQ(to_lower("\xc3\x84\xff"), "\xc3\x84\xff");
}

TEST(TextTest, ComparesIgnoringAsciiCase) {
  EXPECT_TRUE(equals_ignoring_case("", ""));
  EXPECT_TRUE(equals_ignoring_case("rangeStart", "RANGEsTART"));
  EXPECT_FALSE(equals_ignoring_case("range", "ranges"));
  EXPECT_FALSE(equals_ignoring_case("ranges", "range"));
  EXPECT_FALSE(equals_ignoring_case("", "a"));
  // 32 apart, and yet not the same letter.
  EXPECT_FALSE(equals_ignoring_case("@", "`"));
  EXPECT_FALSE(equals_ignoring_case("[", "{"));
  EXPECT_FALSE(equals_ignoring_case("\xc3\x84", "\xc3\xa4"));
  // U+212A, the Kelvin sign, folds to k in Unicode.
  EXPECT_FALSE(equals_ignoring_case("\xe2\x84\xaa", "k"));
}

TEST(TextTest, TrimsBothEnds) {
  EXPECT_EQ(trimmed(""), "");
  EXPECT_EQ(trimmed(" \t\r\n\v\f"), "");
  EXPECT_EQ(trimmed("\r\n a b \t"), "a b");
  EXPECT_EQ(trimmed("x"), "x");
  EXPECT_EQ(trimmed("\xc2\xa0x"), "\xc2\xa0x");
}

TEST(TextTest, SplitsAtEachSeparator) {
  EXPECT_THAT(split("", ';'), ElementsAre(""));
  EXPECT_THAT(split(";", ';'), ElementsAre("", ""));
  EXPECT_THAT(split("a", ';'), ElementsAre("a"));
  EXPECT_THAT(split("a;;b;", ';'), ElementsAre("a", "", "b", ""));
}

TEST(TextTest, FindsWords) {
  EXPECT_THAT(words(""), IsEmpty());
  EXPECT_THAT(words(" \t\n"), IsEmpty());
  EXPECT_THAT(words("a"), ElementsAre("a"));
  EXPECT_THAT(words("  nameserver\t10.0.0.1 \r\n"), ElementsAre("nameserver", "10.0.0.1"));
}

TEST(TextTest, CountsInTheSingularAndThePlural) {
  EXPECT_EQ(counted(0, "lease", "leases"), "0 leases");
  EXPECT_EQ(counted(1, "lease", "leases"), "1 lease");
  EXPECT_EQ(counted(2, "lease lies", "leases lie"), "2 leases lie");
}

TEST(TextTest, JoinsWithSeparatorsBetween) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({"a", "", "a"}, ", "), "a, , a");
  EXPECT_EQ(join({"", ""}, ","), ",");
}

TEST(TextTest, QuotesOnOneLine) {
  EXPECT_EQ(in_quotes(""), "\"\"");
  EXPECT_EQ(in_quotes("a b"), "\"a b\"");
  EXPECT_EQ(in_quotes("\xc3\xa4"), "\"\xc3\xa4\"");
  for (int byte = 0; byte < 256; ++byte) {
    const std::string quoted = in_quotes(std::string(1, static_cast<char>(byte)));
    ASSERT_GE(quoted.size(), 3U) << byte;
    EXPECT_THAT(quoted, AllOf(StartsWith("\""), EndsWith("\""))) << byte;
    for (const char c : quoted) {
      const auto value = static_cast<unsigned char>(c);
      EXPECT_TRUE(value >= 0x20 && value != 0x7f) << byte << " as " << quoted;
    }
  }
  // What is quoted cannot be taken for the end of the quotation, nor an escape for itself.
  EXPECT_EQ(in_quotes("\""), R"("\"")");
  EXPECT_NE(in_quotes("\n"), in_quotes(R"(\n)"));
  EXPECT_NE(in_quotes("\n"), in_quotes(R"(\x0a)"));
}

TEST(TextTest, PutsAMessageInOneLine) {
  EXPECT_EQ(in_one_line("", 5), "");
  EXPECT_EQ(in_one_line("a \"b\" \\", 20), "a \"b\" \\");
  EXPECT_EQ(in_one_line("a\r\nb\x7f", 20), "a\\x0d\\x0ab\\x7f");
  EXPECT_EQ(in_one_line("12345", 5), "12345");
  EXPECT_EQ(in_one_line("123456", 5), "12345…");
}

TEST(TextTest, CutsLongQuotations) {
  const std::string at_limit(120, 'x');
  EXPECT_EQ(in_quotes(at_limit), "\"" + at_limit + "\"");
  const std::string cut = in_quotes(at_limit + "y");
  EXPECT_THAT(cut, AllOf(StartsWith("\"" + at_limit), EndsWith("\""), Not(HasSubstr("y"))));
  EXPECT_NE(cut, "\"" + at_limit + "\"") << "the reader must see that there was more";
  EXPECT_LT(in_quotes(std::string(1'000'000, '\n')).size(), 1000U);
}

TEST(UniqueFdTest, ClosesOnce) {
  Pipe pipe;
  const int number = pipe.read_end.get();
  EXPECT_TRUE(pipe.read_end);
  UniqueFd moved(std::move(pipe.read_end));
  EXPECT_EQ(moved.get(), number);
  EXPECT_FALSE(pipe.read_end);  // NOLINT(bugprone-use-after-move): what is left is the point
  UniqueFd assigned;
  EXPECT_FALSE(assigned);
  assigned = std::move(moved);
  EXPECT_EQ(assigned.get(), number);
  UniqueFd& itself = assigned;
  assigned = std::move(itself);
  EXPECT_EQ(assigned.get(), number);
  EXPECT_NE(fcntl(number, F_GETFD), -1);
  assigned.reset();
  EXPECT_FALSE(assigned);
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

TEST(UniqueFdTest, AssignmentClosesWhatItHeld) {
  Pipe one;
  Pipe two;
  const int number = one.read_end.get();
  one.read_end = std::move(two.read_end);
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

TEST(FileTest, ReadsAFileOfAnySizeUpToTheLimit) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "file";
  // Around the sizes of pages and of likely buffers.
  for (const std::size_t size : {0U, 1U, 4095U, 4096U, 16383U, 16384U, 16385U, 100'000U}) {
    std::string content(size, 'x');
    for (std::size_t i = 0; i < size; ++i) {
      content[i] = static_cast<char>(i * 7);
    }
    write_file(path, content);
    EXPECT_EQ(read_file(path, size), content) << size;
    if (size > 0) {
      const auto error = error_of([&] { static_cast<void>(read_file(path, size - 1)); });
      ASSERT_TRUE(error) << size;
      EXPECT_EQ(error->kind(), ErrorKind::kDecode) << size;
      EXPECT_THAT(error->what(),
                  AllOf(HasSubstr(path.string()), HasSubstr(std::to_string(size - 1))));
    }
  }
}

TEST(FileTest, AnAbsentFileIsNotAnError) {
  const TempDir dir;
  EXPECT_EQ(read_file(dir.path() / "absent", 10), std::nullopt);
  EXPECT_EQ(read_file(dir.path() / "no" / "such" / "folder", 10), std::nullopt);
  std::filesystem::create_symlink("nowhere", dir.path() / "dangling");
  EXPECT_EQ(read_file(dir.path() / "dangling", 10), std::nullopt);
  EXPECT_EQ(read_file("", 10), std::nullopt);
}

TEST(FileTest, WhatCannotBeReadIsNamed) {
  const TempDir dir;
  const std::filesystem::path loop = dir.path() / "loop";
  std::filesystem::create_symlink(loop, loop);
  for (const std::filesystem::path& path : {dir.path(), loop, dir.path() / std::string(300, 'x')}) {
    const auto error = error_of([&] { static_cast<void>(read_file(path, 10)); });
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->kind(), ErrorKind::kIo) << path;
    EXPECT_THAT(error->what(), HasSubstr(path.string()));
  }
  const auto error = error_of([] { static_cast<void>(read_all(-1, 10)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kIo);
}

TEST(FileTest, AnEndlessSourceEndsAtTheLimit) {
  const auto error = error_of([] { static_cast<void>(read_file("/dev/zero", 1'000'000)); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kDecode);
}

TEST(FileTest, ReadsAPipeToItsEndHoweverItIsFilled) {
  Pipe pipe;
  const std::string data(300'000, 'x');  // more than a pipe holds
  std::thread writer([&] {
    EXPECT_EQ(write_all(pipe.write_end.get(), "a"), 0);
    std::this_thread::sleep_for(10ms);
    EXPECT_EQ(write_all(pipe.write_end.get(), data), 0);
    pipe.write_end.reset();
  });
  EXPECT_EQ(read_all(pipe.read_end.get(), 1'000'000), "a" + data);
  writer.join();
}

TEST(FileTest, WriteReturnsTheErrno) {
  ASSERT_NE(signal(SIGPIPE, SIG_IGN), SIG_ERR);
  Pipe pipe;
  EXPECT_EQ(write_all(pipe.write_end.get(), ""), 0);
  pipe.read_end.reset();
  EXPECT_EQ(write_all(pipe.write_end.get(), "x"), EPIPE);
  EXPECT_EQ(write_all(-1, "x"), EBADF);
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_EQ(write_all(full.get(), "x"), ENOSPC);
  ASSERT_NE(signal(SIGPIPE, SIG_DFL), SIG_ERR);
}

TEST(FlockTest, TakesAFreeLockAtOnceHoweverShortTheTime) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  for (const Milliseconds timeout : {-5ms, 0ms, 1ms, 10'000ms, Milliseconds(100h * 24 * 365)}) {
    const UniqueFd fd = open_lock(path);
    const auto start = std::chrono::steady_clock::now();
    EXPECT_TRUE(flock_within(fd.get(), timeout, path.string())) << timeout.count();
    EXPECT_LT(elapsed_since(start), 5s) << timeout.count();
    EXPECT_TRUE(is_locked(path)) << timeout.count();
    EXPECT_TRUE(alarm_is_at_rest()) << timeout.count();
  }
  EXPECT_FALSE(is_locked(path)) << "the lock must end with its descriptor";
}

TEST(FlockTest, TimesOutWhileAnotherProcessHoldsIt) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  Child holder = holder_of(path, 60s);
  const UniqueFd fd = open_lock(path);
  for (const Milliseconds timeout : {1ms, 30ms, 250ms}) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(flock_within(fd.get(), timeout, path.string())) << timeout.count();
    EXPECT_GE(elapsed_since(start), timeout);
    EXPECT_LT(elapsed_since(start), timeout + 10s);
    EXPECT_TRUE(alarm_is_at_rest()) << timeout.count();
  }
  // A wait in vain leaves nothing behind.
  holder.end_now();
  EXPECT_FALSE(is_locked(path));
  EXPECT_TRUE(flock_within(fd.get(), 10s, path.string()));
}

// With one alarm only, the shortest waits would now and then be endless: it fires before flock is
// entered.
TEST(FlockTest, AnAlarmBeforeFlockIsEnteredIsNotTheLast) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const Child holder = holder_of(path, 120s);
  const UniqueFd fd = open_lock(path);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 300; ++i) {
    ASSERT_FALSE(flock_within(fd.get(), Milliseconds(i % 2), path.string())) << i;
  }
  EXPECT_LT(elapsed_since(start), 60s);
}

TEST(FlockTest, GetsTheLockWhenItsHolderEnds) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const UniqueFd fd = open_lock(path);
  Child holder = holder_of(path, 100ms);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(flock_within(fd.get(), 60s, path.string()));
  EXPECT_LT(elapsed_since(start), 30s);
  EXPECT_EQ(holder.wait(), 0);
  EXPECT_TRUE(is_locked(path));
}

TEST(FlockTest, AKilledHolderHoldsNothing) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const UniqueFd fd = open_lock(path);
  Child holder = holder_of(path, 60s);
  std::thread killer([&] {
    // The alarm is for the thread that waits.
    sigset_t mask{};
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &mask, nullptr);
    std::this_thread::sleep_for(50ms);
    holder.end_now();
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(flock_within(fd.get(), 30s, path.string()));
  EXPECT_LT(elapsed_since(start), 20s);
  killer.join();
}

TEST(FlockTest, OtherSignalsDoNotEndTheWait) {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // no SA_RESTART
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const UniqueFd fd = open_lock(path);
  const Child holder = holder_of(path, 60s);
  const pid_t self = getpid();
  Child nuisance([self] {
    while (kill(self, SIGUSR1) == 0) {
      std::this_thread::sleep_for(5ms);
    }
    return 0;
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(flock_within(fd.get(), 200ms, path.string()));
  EXPECT_GE(elapsed_since(start), 200ms);
  nuisance.end_now();
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

TEST(FlockTest, WorksWithTheAlarmBlockedAndLeavesItSo) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const Child holder = holder_of(path, 60s);
  const UniqueFd fd = open_lock(path);
  sigset_t alarm_only{};
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  ASSERT_EQ(sigprocmask(SIG_BLOCK, &alarm_only, nullptr), 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(flock_within(fd.get(), 100ms, path.string()));
  EXPECT_GE(elapsed_since(start), 100ms);
  EXPECT_TRUE(alarm_is_blocked());

  // One that was pending already is nobody's time-out.
  ASSERT_EQ(raise(SIGALRM), 0);
  const auto again = std::chrono::steady_clock::now();
  EXPECT_FALSE(flock_within(fd.get(), 100ms, path.string()));
  EXPECT_GE(elapsed_since(again), 100ms);
  EXPECT_TRUE(alarm_is_blocked());
  ASSERT_EQ(sigprocmask(SIG_UNBLOCK, &alarm_only, nullptr), 0);
}

TEST(FlockTest, LeavesHandlerMaskAndTimerAsTheyWere) {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;  // NOLINT(cppcoreguidelines-pro-type-cstyle-cast): the macro's
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGALRM, &ignore, &before), 0);
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const UniqueFd fd = open_lock(path);
  const auto expect_unchanged = [] {
    struct sigaction now {};
    ASSERT_EQ(sigaction(SIGALRM, nullptr, &now), 0);
    EXPECT_TRUE(now.sa_handler ==
                SIG_IGN);  // NOLINT(cppcoreguidelines-pro-type-cstyle-cast): the macro's
    EXPECT_FALSE(alarm_is_blocked());
    EXPECT_TRUE(alarm_is_at_rest());
  };
  EXPECT_TRUE(flock_within(fd.get(), 10s, path.string()));
  expect_unchanged();
  EXPECT_EQ(flock(fd.get(), LOCK_UN), 0);
  const Child holder = holder_of(path, 60s);
  EXPECT_FALSE(flock_within(fd.get(), 10ms, path.string()));
  expect_unchanged();
  EXPECT_TRUE(error_of([] { static_cast<void>(flock_within(-1, 10ms, "x")); }));
  expect_unchanged();
  ASSERT_EQ(sigaction(SIGALRM, &before, nullptr), 0);
}

TEST(FlockTest, ASecondLockInVainLeavesTheFirst) {
  const TempDir dir;
  const std::filesystem::path outer_path = dir.path() / "outer";
  const std::filesystem::path inner_path = dir.path() / "inner";
  const UniqueFd outer = open_lock(outer_path);
  const UniqueFd inner = open_lock(inner_path);
  Child holder = holder_of(inner_path, 60s);
  ASSERT_TRUE(flock_within(outer.get(), 10s, outer_path.string()));
  EXPECT_FALSE(flock_within(inner.get(), 50ms, inner_path.string()));
  EXPECT_TRUE(is_locked(outer_path));
  holder.end_now();
  EXPECT_TRUE(flock_within(inner.get(), 10s, inner_path.string()));
  EXPECT_TRUE(is_locked(outer_path));
  EXPECT_TRUE(is_locked(inner_path));
  // Of the same open file it is no new lock.
  EXPECT_TRUE(flock_within(inner.get(), 0ms, inner_path.string()));
}

TEST(FlockTest, WhatCannotBeLockedIsNamed) {
  Pipe pipe;
  const int closed = pipe.read_end.get();
  pipe.read_end.reset();
  for (const int fd : {-1, closed}) {
    const auto error = error_of([fd] { static_cast<void>(flock_within(fd, 10s, "/some/lock")); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kIo);
    EXPECT_THAT(error->what(), AllOf(HasSubstr("/some/lock"), HasSubstr("Bad file descriptor")));
  }
}

TEST(FlockTest, ExcludesOneAnother) {
  constexpr int kChildren = 6;
  constexpr int kTurns = 40;
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "lock";
  const std::filesystem::path counter = dir.path() / "counter";
  write_file(counter, "0");
  std::vector<Child> children;
  children.reserve(kChildren);
  for (int i = 0; i < kChildren; ++i) {
    children.emplace_back([&] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const UniqueFd fd = open_lock(path);
        if (!flock_within(fd.get(), 60s, path.string())) {
          return 1;
        }
        const int count = std::stoi(content_of(counter));
        std::this_thread::yield();
        write_file(counter, std::to_string(count + 1));
      }
      return 0;
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.wait(), 0);
  }
  EXPECT_EQ(content_of(counter), std::to_string(kChildren * kTurns));
}

TEST(LogTest, WithoutAFileDropsAll) {
  const FakeClock clock(kNow);
  const Log log(clock);
  log.write(LogLevel::kError, "lost");
  Log closed(clock);
  closed.open("", LogLevel::kDebug);
  closed.write(LogLevel::kError, "lost");
}

TEST(LogTest, AppendsOneLineEach) {
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "log";
  write_file(path, "before\n");
  const FakeClock clock(kNow);
  Log log(clock);
  log.open(path, LogLevel::kDebug);
  log.write(LogLevel::kDebug, "first");
  log.write(LogLevel::kError, "");
  const std::string content = content_of(path);
  const auto lines = split(content, '\n');
  ASSERT_THAT(lines, SizeIs(4)) << content;
  EXPECT_EQ(lines[0], "before");
  EXPECT_THAT(lines[1], AllOf(StartsWith(kNowText), HasSubstr("debug"), EndsWith(" first")));
  EXPECT_THAT(lines[2], AllOf(StartsWith(kNowText), HasSubstr("error")));
  EXPECT_EQ(lines[3], "");
}

TEST(LogTest, DropsWhatIsBelowItsLevel) {
  const std::vector<LogLevel> levels = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning,
                                        LogLevel::kError};
  const FakeClock clock(kNow);
  for (std::size_t at = 0; at < levels.size(); ++at) {
    const TempDir dir;
    Log log(clock);
    log.open(dir.path() / "log", levels[at]);
    for (const LogLevel level : levels) {
      log.write(level, "line");
    }
    EXPECT_THAT(split(content_of(dir.path() / "log"), '\n'), SizeIs(levels.size() - at + 1)) << at;
  }
}

TEST(LogTest, ThatCannotBeWrittenFailsNothing) {
  const TempDir dir;
  const FakeClock clock(kNow);
  const std::filesystem::path fifo = dir.path() / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  for (const std::filesystem::path& path :
       {dir.path(), dir.path() / "no" / "folder", dir.path() / std::string(300, 'x'), fifo,
        std::filesystem::path("/dev/full")}) {
    SCOPED_TRACE(path);
    // A child, since a log that waits for a reader would never return.
    Child child([&] {
      Log log(clock);
      log.open(path, LogLevel::kDebug);
      alarm(20);
      log.write(LogLevel::kError, "lost");
      return 0;
    });
    EXPECT_EQ(child.wait(), 0);
  }
}

TEST(LogTest, OfManyProcessesKeepsItsLinesWhole) {
  constexpr int kChildren = 4;
  constexpr int kLines = 200;
  const TempDir dir;
  const std::filesystem::path path = dir.path() / "log";
  std::vector<Child> children;
  children.reserve(kChildren);
  for (int i = 0; i < kChildren; ++i) {
    children.emplace_back([&, i] {
      const FakeClock clock(kNow);
      Log log(clock);
      log.open(path, LogLevel::kInfo);
      for (int line = 0; line < kLines; ++line) {
        log.write(LogLevel::kInfo, std::string(3000, static_cast<char>('a' + i)));
      }
      return 0;
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.wait(), 0);
  }
  const std::string content = content_of(path);
  std::vector<std::string_view> lines = split(content, '\n');
  lines.pop_back();
  ASSERT_THAT(lines, SizeIs(kChildren * kLines));
  EXPECT_THAT(lines, Each(StartsWith(kNowText)));
  for (const std::string_view line : lines) {
    ASSERT_GT(line.size(), 3000U);
    const std::string_view message = line.substr(line.size() - 3000);
    ASSERT_EQ(message.find_first_not_of(message.front()), std::string_view::npos);
  }
}

}  // namespace
}  // namespace podlease
