// The judge of life, row by row of what FACTS section 1 says may be concluded.

#include "liveness.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "fakes.h"

namespace podlease::ipam {
namespace {

using fakes::FakeHost;
using store::Presence;

constexpr const char* kPath = "/run/netns/a";

std::string text_of(Liveness liveness) {
  switch (liveness) {
    case Liveness::kAlive:
      return "alive";
    case Liveness::kMissing:
      return "missing";
    case Liveness::kGone:
      return "gone";
    case Liveness::kDoubt:
      return "doubt";
    case Liveness::kEarlierBoot:
      return "earlier boot";
  }
  return "?";
}

// A lease of that holder, made a moment ago.
store::Holder of(const Presence& presence) {
  return {.address = fakes::address("10.1.0.2"),
          .presence = presence,
          .created = SystemClock().now().wall};
}

// What the judge makes of a presence by name, and after a walk.
std::pair<std::string, std::string> judged(const FakeHost& host, const Presence& presence) {
  const std::string by_name = text_of(Judge(host, host.boot_id()).by_name(of(presence)).liveness);
  const Walk walk(host);
  return {by_name, text_of(Judge(host, host.boot_id()).with(&walk, of(presence)).liveness)};
}

TEST(LivenessTest, ConcludesWhatTheFactsAllowAndNoMore) {
  const struct {
    const char* what;
    std::string path;
    std::function<void(FakeHost&, Presence&)> happens;
    const char* by_name;
    const char* after_walk;
  } cases[] = {
      {"nothing happens", kPath, [](FakeHost&, Presence&) {}, "alive", "alive"},
      {"the name goes", kPath, [](FakeHost& host, Presence&) { host.end(kPath); }, "missing",
       "gone"},
      {"the name goes, a process stays", kPath,
       [](FakeHost& host, Presence&) {
         host.inhabited.insert(host.id_of(kPath));
         host.end(kPath);
       },
       "missing", "alive"},
      {"the name is made again for another namespace", kPath,
       [](FakeHost& host, Presence&) { host.start(kPath); }, "missing", "gone"},
      {"the name is made again, and the kernel gives the same number", kPath,
       [](FakeHost& host, Presence&) { host.start_as(kPath, host.id_of(kPath)); }, "missing",
       "gone"},
      {"another namespace with a process has the number", kPath,
       [](FakeHost& host, Presence&) {
         const host::NetnsId id = host.id_of(kPath);
         host.end(kPath);
         host.start_as("/run/netns/b", id);
         host.inhabited.insert(id);
       },
       "missing", "gone"},
      {"a plain file has the name", kPath, [](FakeHost& host, Presence&) { host.hide(kPath); },
       "doubt", "doubt"},
      {"the folder cannot be seen", kPath,
       [](FakeHost& host, Presence&) { host.hidden_folders.insert("/run/netns"); }, "doubt",
       "doubt"},
      {"the folder cannot be seen, a process stays", kPath,
       [](FakeHost& host, Presence&) {
         host.inhabited.insert(host.id_of(kPath));
         host.hidden_folders.insert("/run/netns");
       },
       "doubt", "alive"},
      {"another folder is mounted there", kPath,
       [](FakeHost& host, Presence&) {
         host.end(kPath);
         host.folders["/run/netns"] = {.device = 99, .inode = 1};
       },
       "doubt", "doubt"},
      {"the judge sees other processes", kPath,
       [](FakeHost& host, Presence&) {
         host.end(kPath);
         host.own_view = {.pid_namespace = 4026532999, .is_initial = false};
       },
       "doubt", "doubt"},
      {"the judge's procfs shows no PID namespace", kPath,
       [](FakeHost& host, Presence&) {
         host.end(kPath);
         host.own_view = {};
       },
       "doubt", "doubt"},
      {"not every process can be read", kPath,
       [](FakeHost& host, Presence&) {
         host.end(kPath);
         host.sees_processes = false;
       },
       "missing", "doubt"},
      {"the recorder saw fewer processes than the judge, who sees all", kPath,
       [](FakeHost& host, Presence& presence) {
         host.end(kPath);
         presence.view.pid_namespace = 4026532999;
       },
       "missing", "gone"},
      {"no namespace was recorded", kPath,
       [](FakeHost&, Presence& presence) { presence = {.boot_id = presence.boot_id}; }, "doubt",
       "doubt"},
      {"nothing was recorded", kPath, [](FakeHost&, Presence& presence) { presence = {}; }, "doubt",
       "doubt"},
      {"it could not be seen at its ADD, and is there", kPath,
       [](FakeHost&, Presence& presence) {
         presence = {.boot_id = presence.boot_id, .netns = kPath};
       },
       "alive", "alive"},
      {"an earlier boot", kPath, [](FakeHost& host, Presence&) { host.reboot(); }, "earlier boot",
       "earlier boot"},
      {"a container with a boot id of its own recorded it", kPath,
       [](FakeHost&, Presence& presence) {
         presence.boot_id = "made-up";
         presence.view.pid_namespace = 4026532999;
       },
       "doubt", "doubt"},
      {"and before this kernel was up", kPath,
       [](FakeHost& host, Presence& presence) {
         presence.boot_id = "made-up";
         presence.view.pid_namespace = 4026532999;
         host.booted = SystemClock().now().wall + Milliseconds(60'000);
       },
       "earlier boot", "earlier boot"},
      {"the process behind a path below /proc ends", "/proc/7/ns/net",
       [](FakeHost& host, Presence&) { host.end("/proc/7/ns/net"); }, "missing", "gone"},
      {"it ends, and another one stays in the namespace", "/proc/7/ns/net",
       [](FakeHost& host, Presence&) {
         host.inhabited.insert(host.id_of("/proc/7/ns/net"));
         host.end("/proc/7/ns/net");
       },
       "missing", "alive"},
      {"a path below /proc, seen from another PID namespace", "/proc/7/ns/net",
       [](FakeHost& host, Presence&) {
         host.end("/proc/7/ns/net");
         host.own_view = {.pid_namespace = 4026532999, .is_initial = false};
       },
       "doubt", "doubt"},
      {"an old kernel has no cookies: the number must do", kPath,
       [](FakeHost& host, Presence& presence) {
         presence.netns_cookie = 0;
         host.start_as(kPath, host.id_of(kPath));
       },
       "alive", "alive"},
  };
  for (const auto& one : cases) {
    FakeHost host;
    host.start(one.path);
    Presence presence = presence_of(host, one.path);
    ASSERT_NE(presence.netns_cookie, 0U);
    one.happens(host, presence);
    EXPECT_EQ(judged(host, presence),
              std::make_pair(std::string(one.by_name), std::string(one.after_walk)))
        << one.what;
  }
}

// Outside the machine's first PID namespace a procfs may show none of the pods' processes.
class WitnessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    host.own_view = {.pid_namespace = 4026532999, .is_initial = false};
    host.start(kPath);
    host.start("/run/netns/b");
    gone = presence_of(host, kPath);
    other = presence_of(host, "/run/netns/b");
    host.end(kPath);
  }
  // Of `gone`, among both leases.
  [[nodiscard]] Judgement judge_among_both() const {
    const Walk walk(host);
    const std::vector<store::Holder> holders{of(gone), of(other)};
    return Judge(host, host.boot_id()).all(holders, &walk).front();
  }

  FakeHost host;
  Presence gone;
  Presence other;
};

TEST_F(WitnessTest, EmptinessIsProvenByAProcessOfAnotherLeaseOnly) {
  EXPECT_EQ(judge_among_both().liveness, Liveness::kDoubt);
  EXPECT_EQ(judge_among_both().doubt, Doubt::kProcessesUnproven);
  host.inhabited.insert(host.id_of("/run/netns/b"));
  EXPECT_EQ(judge_among_both().liveness, Liveness::kGone);
}

TEST_F(WitnessTest, TheProcessOfALeaseThatHasLostItsNameCountsToo) {
  host.inhabited.insert(host.id_of("/run/netns/b"));
  host.end("/run/netns/b");
  EXPECT_EQ(judge_among_both().liveness, Liveness::kGone);
}

TEST_F(WitnessTest, ALeaseOfAnotherViewProvesNothing) {
  host.inhabited.insert(host.id_of("/run/netns/b"));
  other.view.pid_namespace = 4026532000;
  EXPECT_EQ(judge_among_both().liveness, Liveness::kDoubt);
}

TEST_F(WitnessTest, TheCallersNamespaceProvesIt) {
  host.inhabited.insert(host.id_of("/run/netns/b"));
  const Walk walk(host);
  Judge judge(host, host.boot_id());
  judge.trust(other);
  EXPECT_EQ(judge.with(&walk, of(gone)).liveness, Liveness::kGone);
}

TEST(LivenessTest, ANumberWithoutACookieIsTheLaterLeases) {
  FakeHost host;
  host.start("/run/netns/old");
  Presence old = presence_of(host, "/run/netns/old");
  old.netns_cookie = 0;
  const host::NetnsId id = host.id_of("/run/netns/old");
  host.end("/run/netns/old");
  host.start_as("/run/netns/new", id);
  host.inhabited.insert(id);
  std::vector<store::Holder> holders{of(old), of(presence_of(host, "/run/netns/new"))};
  holders[1].created += Milliseconds(1000);
  const Walk walk(host);
  EXPECT_EQ(Judge(host, host.boot_id()).all(holders, &walk).front().liveness, Liveness::kGone);
  holders.pop_back();
  EXPECT_EQ(Judge(host, host.boot_id()).all(holders, &walk).front().liveness, Liveness::kAlive)
      << "alone, it may be the one";
}

TEST(LivenessTest, OfStoresOfBeforeAFolderCountsWhereAnotherHolderInItLives) {
  FakeHost host;
  host.start(kPath);
  host.start("/run/netns/b");
  Presence gone = presence_of(host, kPath);
  Presence other = presence_of(host, "/run/netns/b");
  gone.view = {};
  other.view = {};
  host.end(kPath);
  const Walk walk(host);
  Judge judge(host, host.boot_id());
  EXPECT_EQ(judge.with(&walk, of(gone)).liveness, Liveness::kDoubt);
  EXPECT_EQ(judge.with(&walk, of(other)).liveness, Liveness::kAlive);
  EXPECT_EQ(judge.with(&walk, of(gone)).liveness, Liveness::kGone);
}

TEST(LivenessTest, EachDoubtSaysWhatSettlesIt) {
  for (const Doubt doubt :
       {Doubt::kNothingRecorded, Doubt::kOtherView, Doubt::kFolderUnseen, Doubt::kNotANamespace,
        Doubt::kProcessesUnread, Doubt::kProcessesUnproven}) {
    EXPECT_NE(what_settles(doubt), "");
  }
}

TEST(LivenessTest, TwoRecordsAreOfOneNamespaceByBootNumberAndCookie) {
  FakeHost host;
  host.start(kPath);
  const Presence a = presence_of(host, kPath);
  Presence b = a;
  EXPECT_EQ(same_namespace(a, b), Same::kYes);
  b.netns = "/var/run/netns/a";
  EXPECT_EQ(same_namespace(a, b), Same::kYes) << "a name is no identity";
  b.netns_cookie = 0;
  EXPECT_EQ(same_namespace(a, b), Same::kYes);
  b.netns_cookie = a.netns_cookie + 1;
  EXPECT_EQ(same_namespace(a, b), Same::kNo);
  b = a;
  b.boot_id = "boot-2";
  EXPECT_EQ(same_namespace(a, b), Same::kNo);
  b = {.boot_id = a.boot_id, .netns = a.netns};
  EXPECT_EQ(same_namespace(a, b), Same::kUnknown);
}

}  // namespace
}  // namespace podlease::ipam
