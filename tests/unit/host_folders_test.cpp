// The folders of host-local, libcni and Multus, where somebody has put something odd into them, or
// very much.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host_lab.h"
#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host_local.h"
#include "support.h"

namespace podlease::host {
namespace {

namespace fs = std::filesystem;

using lab::address;
using lab::body_of;
using lab::names_in;
using lab::put;
using lab::Thrown;
using lab::thrown_by;
using support::TempFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --- host-local's folder ---

void make_unix_socket(const fs::path& path) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  ASSERT_LT(path.native().size(), sizeof name.sun_path);
  path.native().copy(&name.sun_path[0], sizeof name.sun_path - 1);
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0)
      << std::strerror(errno);
}

// A folder with two entries and a cursor, and with one of each kind that is not a plain file.
void make_odd_folder(const fs::path& folder) {
  put(folder / "10.1.0.2", "c1\r\neth0");
  put(folder / "10.1.0.30", "c2\r\neth0");
  put(folder / "last_reserved_ip.0", "10.1.0.2");
  put(folder / "outside", "c9\r\neth0");
  fs::create_directory(folder / "10.1.0.10");
  ASSERT_EQ(mkfifo((folder / "10.1.0.11").c_str(), 0600), 0);
  fs::create_symlink("nowhere", folder / "10.1.0.12");
  fs::create_symlink("outside", folder / "10.1.0.13");
  fs::create_symlink("10.1.0.14", folder / "10.1.0.14");
  fs::create_symlink("/dev/zero", folder / "10.1.0.15");
  make_unix_socket(folder / "10.1.0.16");
  ASSERT_EQ(mkfifo((folder / "fd00::17").c_str(), 0600), 0);
  fs::create_directory(folder / "last_reserved_ip.1");
  fs::create_symlink("outside", folder / "last_reserved_ip.2");
  fs::create_directory(folder / "backup");
  ASSERT_EQ(mkfifo((folder / "notes").c_str(), 0600), 0);
}

std::vector<std::string> skipped_in(const std::vector<SkippedFile>& files) {
  std::vector<std::string> lines;
  lines.reserve(files.size());
  for (const SkippedFile& file : files) {
    lines.push_back(file.file.filename().string() + " " + file.why);
  }
  return lines;
}

TEST(HostLocalOddFilesTest, ArePassedOverAndTold) {
  const TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(make_odd_folder(folder.path()));
  const HostLocalState state = HostLocalFolder(folder.path()).read();
  ASSERT_EQ(state.entries.size(), 2U);
  EXPECT_EQ(state.entries.front().container_id, "c1");
  EXPECT_EQ(state.entries.back().container_id, "c2");
  ASSERT_EQ(state.cursors.size(), 1U);
  EXPECT_EQ(state.cursors.front().last_reserved, address("10.1.0.2"));
  EXPECT_THAT(
      skipped_in(state.skipped),
      ElementsAre("10.1.0.10 is a folder", "10.1.0.11 is a FIFO", "10.1.0.12 is a symbolic link",
                  "10.1.0.13 is a symbolic link", "10.1.0.14 is a symbolic link",
                  "10.1.0.15 is a symbolic link", "10.1.0.16 is not a plain file",
                  "fd00::17 is a FIFO", "last_reserved_ip.1 is a folder",
                  "last_reserved_ip.2 is a symbolic link"));
  EXPECT_EQ(state.skipped.front().file, folder.path() / "10.1.0.10");
}

TEST(HostLocalOddFilesTest, WereNeverWritten) {
  const TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(make_odd_folder(folder.path()));
  const HostLocalFolder host_local(folder.path());
  EXPECT_TRUE(host_local.written_at(address("10.1.0.2")));
  for (const auto* text : {"10.1.0.10", "10.1.0.11", "10.1.0.12", "10.1.0.13", "10.1.0.14",
                           "10.1.0.15", "10.1.0.16", "fd00::17"}) {
    EXPECT_EQ(host_local.written_at(address(text)), std::nullopt) << text;
  }
}

TEST(HostLocalOddFilesTest, GoWithAnExportButFolders) {
  const TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(make_odd_folder(folder.path()));
  fs::create_symlink("outside", folder.path() / ".podlease-new");
  const HostLocalFolder host_local(folder.path());
  // One of the odd names is among those written.
  host_local.write(
      {.entries = {{address("10.1.0.13"), "c3", "eth0"}}, .cursors = {}, .skipped = {}});
  EXPECT_THAT(names_in(folder.path()), ElementsAre("10.1.0.10", "10.1.0.13", "backup",
                                                   "last_reserved_ip.1", "notes", "outside"));
  EXPECT_EQ(body_of(folder.path() / "10.1.0.13"), "c3\r\neth0");
  EXPECT_FALSE(fs::is_symlink(folder.path() / "10.1.0.13"));
  EXPECT_EQ(body_of(folder.path() / "outside"), "c9\r\neth0") << "written through a link";
}

TEST(HostLocalOddFilesTest, IsNoLockThatLeadsElsewhere) {
  const TempFolder folder;
  const fs::path outside = folder.path() / "outside";
  const HostLocalFolder host_local(folder.path() / "net");
  fs::create_directory(host_local.path());
  fs::create_symlink(outside, host_local.path() / "lock");
  for (const auto& action : {std::function<void()>([&] { host_local.prepare(); }),
                             {[&] { (void)host_local.lock(Milliseconds(20)); }},
                             {[&] { (void)host_local.try_lock(); }}}) {
    const Thrown thrown = thrown_by(action);
    EXPECT_EQ(thrown.kind, ErrorKind::kIo);
    EXPECT_THAT(thrown.message, HasSubstr((host_local.path() / "lock").string()));
  }
  EXPECT_FALSE(fs::exists(outside)) << "made through a link";
  put(outside, "");
  EXPECT_EQ(thrown_by([&] { (void)host_local.lock(Milliseconds(20)); }).kind, ErrorKind::kIo);
}

TEST(HostLocalOddFilesTest, AreNotOpened) {
  const TempFolder folder;
  ASSERT_NO_FATAL_FAILURE(make_odd_folder(folder.path()));
  const UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  for (const auto* name : {"10.1.0.11", "10.1.0.13", "10.1.0.16", "outside"}) {
    ASSERT_GE(inotify_add_watch(watch.get(), (folder.path() / name).c_str(), IN_OPEN), 0) << name;
  }
  EXPECT_EQ(HostLocalFolder(folder.path()).read().entries.size(), 2U);
  std::array<char, 256> event{};
  EXPECT_EQ(read(watch.get(), event.data(), event.size()), -1) << "one was opened";
}

// --- libcni's result cache ---

std::string cached(std::string_view network, std::string_view id) {
  return R"({"kind":"cniCacheV1","containerId":")" + std::string(id) +
         R"(","config":"e30=","ifName":"eth0","networkName":")" + std::string(network) +
         R"(","result":{"ips":[{"address":"10.90.0.2/24"}]}})";
}

void put_cached(const fs::path& folder, const std::string& network, const std::string& id) {
  put(folder / (network + "-" + id + "-eth0"), cached(network, id));
}

// "FOLDER/NAME" of each attachment and each skipped file.
std::vector<std::string> files_of(const CniCache& cache) {
  std::vector<std::string> names;
  const auto add = [&](const fs::path& file) {
    names.push_back(file.parent_path().filename().string() + "/" + file.filename().string());
  };
  for (const CachedAttachment& item : cache.attachments) {
    add(item.file);
  }
  for (const SkippedFile& item : cache.skipped) {
    add(item.file);
  }
  return names;
}

TEST(CniCacheFoldersTest, AreReadOneAfterTheOther) {
  const TempFolder folder;
  const fs::path libcni = folder.path() / "a";
  const fs::path multus = folder.path() / "b";
  fs::create_directory(libcni);
  fs::create_directory(multus);
  put_cached(libcni, "lab", "c2");
  put_cached(multus, "lab", "c1");
  put_cached(multus, "lab", "c2");
  put(multus / "half", "{");
  const std::vector<std::string> all{"a/lab-c2-eth0", "b/lab-c1-eth0", "b/lab-c2-eth0", "b/half"};
  EXPECT_EQ(files_of(read_cni_cache({libcni, multus})), all);
  EXPECT_EQ(files_of(read_cni_cache({multus, folder.path() / "none", libcni})), all);
  EXPECT_THAT(files_of(read_cni_cache({libcni, folder.path() / "b"}, "other")), IsEmpty());
  EXPECT_THAT(files_of(read_cni_cache({})), IsEmpty());
  EXPECT_THAT(files_of(read_cni_cache({libcni})), ElementsAre("a/lab-c2-eth0"));
}

TEST(CniCacheFoldersTest, AreReadOnceByHoweverManyNames) {
  const TempFolder folder;
  const fs::path results = folder.path() / "results";
  fs::create_directory(results);
  put_cached(results, "lab", "c1");
  fs::create_directory_symlink("results", folder.path() / "link");
  const auto once = ElementsAre("results/lab-c1-eth0");
  EXPECT_THAT(files_of(read_cni_cache({results, results})), once);
  EXPECT_THAT(files_of(read_cni_cache({results, folder.path() / "link"})), once);
  EXPECT_THAT(files_of(read_cni_cache({results, folder.path() / "none", results / "."})), once);
}

TEST(CniCacheNetworkTest, HasItsOwnAttachmentsOnly) {
  const TempFolder folder;
  fs::create_directory(folder.path() / "r");
  const fs::path results = folder.path() / "r";
  for (const auto* network : {"a", "a-b", "ab", "b"}) {
    put_cached(results, network, "c1");
  }
  put(results / "a-half-eth0", "{");
  put(results / "b-half-eth0", "{");
  put(results / "half-a", "{");
  EXPECT_THAT(files_of(read_cni_cache({results}, "a")), ElementsAre("r/a-c1-eth0", "r/a-half-eth0"))
      << "whatever may be of it is told, too";
  EXPECT_THAT(files_of(read_cni_cache({results}, "a-b")), ElementsAre("r/a-b-c1-eth0"));
  EXPECT_THAT(files_of(read_cni_cache({results}, "b")),
              ElementsAre("r/b-c1-eth0", "r/b-half-eth0"));
  EXPECT_THAT(files_of(read_cni_cache({results}, "c")), IsEmpty());
  EXPECT_EQ(files_of(read_cni_cache({results})).size(), 7U);
}

TEST(CniCacheNetworkTest, DoesNotOpenTheFilesOfThousandsOfOthers) {
  constexpr int kFiles = 8000;
  const TempFolder folder;
  for (int i = 0; i < kFiles; ++i) {
    put_cached(folder.path(), i % 4000 == 7 ? "lab" : "other", std::to_string(i));
  }
  const UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(inotify_add_watch(watch.get(), folder.path().c_str(), IN_OPEN), 0);
  EXPECT_EQ(read_cni_cache({folder.path()}, "lab").attachments.size(), 2U);
  std::vector<std::string> opened;
  std::array<char, 65536> buffer{};
  const ssize_t size = read(watch.get(), buffer.data(), buffer.size());
  ASSERT_GT(size, 0);
  for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
    inotify_event event{};
    std::memcpy(&event, &buffer.at(at), sizeof event);
    if (event.len > 0) {
      opened.emplace_back(&buffer.at(at + sizeof event));
    }
    at += sizeof event + event.len;
  }
  std::sort(opened.begin(), opened.end());
  EXPECT_THAT(opened, ElementsAre("lab-4007-eth0", "lab-7-eth0"));
}

TEST(CniCacheFileTest, KnowsWhenItWasWritten) {
  const TempFolder folder;
  put_cached(folder.path(), "lab", "c1");
  for (const time_t seconds : {0L, 1'700'000'000L, 4'000'000'000L}) {
    const timespec time{.tv_sec = seconds, .tv_nsec = 123'999'999};
    const std::array<timespec, 2> times{timespec{.tv_sec = 5, .tv_nsec = 0}, time};
    ASSERT_EQ(utimensat(AT_FDCWD, (folder.path() / "lab-c1-eth0").c_str(), times.data(), 0), 0);
    const CniCache cache = read_cni_cache({folder.path()});
    ASSERT_EQ(cache.attachments.size(), 1U);
    EXPECT_EQ(cache.attachments.front().written.time_since_epoch(),
              std::chrono::seconds(seconds) + Milliseconds(123));
  }
}

}  // namespace
}  // namespace podlease::host
