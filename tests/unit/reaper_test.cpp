// The rules by which blocks of nodes that are gone are freed.

#include "podlease/pools/reaper.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace podlease::pools {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;
using std::chrono_literals::operator""s;

constexpr std::chrono::sys_seconds kNow{1'800'000'000s};

std::string at(std::chrono::sys_seconds time) {
  return to_rfc3339(time);
}

class ReaperTest : public ::testing::Test {
 protected:
  ReaperTest() {
    cluster.now = kNow;
    cluster.pools["default"] = {.name = "default", .reap_grace = 2h};
    cluster.nodes["worker"] = {.name = "worker", .uid = "uid", .machine_id = "machine"};
  }

  [[nodiscard]] Reaping judged() const { return judge(block, cluster); }
  void mark(std::chrono::seconds since, std::chrono::seconds until) {
    block.node_gone_since = at(kNow - since) + " " + at(kNow - until);
  }

  Cluster cluster;
  kube::PodBlock block{.name = "172.20.0.0-26",
                       .pool = "default",
                       .node_name = "worker",
                       .node_uid = "uid",
                       .machine_id = "machine"};
};

TEST_F(ReaperTest, SparesWhatHasItsNode) {
  EXPECT_EQ(judged(), Reaping::kNone);
  cluster.nodes["worker"].uid = "another";  // deleted, and back
  EXPECT_EQ(judged(), Reaping::kNone);
  cluster.nodes["worker"].machine_id.clear();  // nothing is known of it
  EXPECT_EQ(judged(), Reaping::kNone);
  cluster.nodes["worker"].machine_id = "machine";
  block.machine_id.clear();  // nor of whom it was made out to
  EXPECT_EQ(judged(), Reaping::kNone);
  block.deleted = at(kNow - 24h);  // by an administrator: it drains
  EXPECT_EQ(judged(), Reaping::kNone);
}

TEST_F(ReaperTest, DeletesWhatHasNone) {
  cluster.nodes["worker"].machine_id = "another";
  EXPECT_EQ(judged(), Reaping::kDelete);
  cluster.nodes.clear();
  cluster.nodes["clone"] = {.name = "clone", .uid = "uid", .machine_id = "machine"};
  EXPECT_EQ(judged(), Reaping::kDelete);
}

TEST_F(ReaperTest, CountsTheGraceFromItsOwnMark) {
  cluster.nodes.clear();
  block.deleted = at(kNow - 24h);
  EXPECT_EQ(judged(), Reaping::kMark);
  block.node_gone_since = "long ago";
  EXPECT_EQ(judged(), Reaping::kMark);
  mark(2h - 1s, 1min);
  EXPECT_EQ(judged(), Reaping::kRenew);
  mark(2h, 1min);
  EXPECT_EQ(judged(), Reaping::kLetGo);
  // Between looks that are far apart the node may have been back.
  mark(2h, 30min);
  EXPECT_EQ(judged(), Reaping::kLetGo);
  mark(2h, 30min + 1s);
  EXPECT_EQ(judged(), Reaping::kMark);
}

TEST_F(ReaperTest, TakesTheMarkAwayWhereTheNodeIsBack) {
  block.deleted = at(kNow - 24h);
  mark(10h, 0s);
  EXPECT_EQ(judged(), Reaping::kUnmark);
}

TEST_F(ReaperTest, LeavesAPausedPoolAloneAndKeepsToSixHoursWhereThereIsNone) {
  cluster.nodes.clear();
  cluster.pools["default"].paused = true;
  EXPECT_EQ(judged(), Reaping::kNone);
  cluster.pools.clear();
  EXPECT_EQ(judged(), Reaping::kDelete);
  block.deleted = at(kNow - 24h);
  mark(6h - 1s, 0s);
  EXPECT_EQ(judged(), Reaping::kRenew);
  mark(6h, 0s);
  EXPECT_EQ(judged(), Reaping::kLetGo);
}

TEST_F(ReaperTest, AMarkSaysSinceAndUntilWhen) {
  EXPECT_EQ(mark_of(block, Reaping::kMark, kNow), at(kNow) + " " + at(kNow));
  mark(1h, 5min);
  EXPECT_EQ(mark_of(block, Reaping::kRenew, kNow), at(kNow - 1h) + " " + at(kNow));
  EXPECT_EQ(mark_of(block, Reaping::kMark, kNow), at(kNow) + " " + at(kNow));
}

TEST_F(ReaperTest, CountsWhatAPoolHas) {
  const Pool pool = read_pool({.name = "default",
                               .cidrs = {{.cidr = "172.20.0.0/24"}, {.cidr = "fd00::/56"}},
                               .ipv4_block = 26,
                               .ipv6_block = 122});
  kube::PodBlock other = block;
  other.used = 7;
  kube::PodBlock foreign = block;
  foreign.pool = "another";
  const kube::PodPool::Status status = count(pool, {block, other, foreign}, kNow);
  EXPECT_EQ(status.blocks, 2);
  EXPECT_EQ(status.nodes, 1);
  EXPECT_EQ(status.used, 7);
  EXPECT_EQ(status.capacity, std::numeric_limits<std::int64_t>::max());  // 2^66 of IPv6
  EXPECT_EQ(status.updated_at, at(kNow));

  const Pool reserved =
      read_pool({.name = "default",
                 .cidrs = {{.cidr = "172.20.0.0/24", .reserved = {"172.20.0.0/26", "172.20.0.64"}},
                           {.cidr = "172.21.0.0/24", .draining = true}},
                 .ipv4_block = 26,
                 .ipv6_block = 122});
  EXPECT_EQ(count(reserved, {}, kNow).capacity, 7) << "a block that is reserved whole is none";
}

}  // namespace
}  // namespace podlease::pools
