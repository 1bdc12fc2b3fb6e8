// What the commands make of a cluster's objects, before they print it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cluster_view.h"

namespace podlease::cmd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using State = BlockView::State;

constexpr std::int64_t kNow = 1'795'000'000;  // 2026-11-18T11:06:40Z
constexpr const char* kJustNow = "2026-11-18T11:06:00Z";

kube::PodPool pool_object(std::vector<kube::PodPool::Cidr> cidrs) {
  return {.name = "default",
          .cidrs = std::move(cidrs),
          .ipv4_block = 26,
          .ipv6_block = 122,
          .reap_grace = "6h"};
}

kube::PodBlock block_object(const std::string& cidr, std::int64_t used = 0) {
  return {.name = cidr,
          .cidr = cidr,
          .pool = "default",
          .node_name = "node1",
          .node_uid = "uid-1",
          .machine_id = "machine-1",
          .used = used,
          .verified_at = kJustNow};
}

const pools::Nodes kNodes =
    pools::by_name({{.name = "node1", .uid = "uid-1", .machine_id = "machine-1"},
                    {.name = "node2", .uid = "uid-2", .machine_id = "machine-2"}});

BlockView judge(const kube::PodBlock& block, const pools::Nodes* nodes = &kNodes,
                std::int64_t now = kNow) {
  const Pools pools = read_pools(
      {pool_object({{.cidr = "172.20.0.0/16"}, {.cidr = "172.21.0.0/16", .draining = true}})});
  return *view_of(block, pools, nodes, now);
}

TEST(BlockViewTest, IsInUseWhileItsNodeVerifiesIt) {
  EXPECT_EQ(judge(block_object("172.20.0.0/26")).state, State::kInUse);
  EXPECT_EQ(judge(block_object("172.20.0.0/26")).size(), 64U);
  EXPECT_THAT(judge(block_object("172.20.0.0/26")).why, IsEmpty());
}

TEST(BlockViewTest, IsUnverifiedAfterHalfOfReapGrace) {
  constexpr std::int64_t kHalf = std::int64_t{3} * 3600;
  kube::PodBlock block = block_object("172.20.0.0/26");
  const std::int64_t verified = kNow - *judge(block).verified;
  EXPECT_EQ(judge(block, &kNodes, verified + kHalf).state, State::kInUse);
  EXPECT_EQ(judge(block, &kNodes, verified + kHalf + 1).state, State::kUnverified);
  block.verified_at.clear();
  EXPECT_EQ(judge(block).state, State::kUnverified);
  block.created = kJustNow;
  EXPECT_EQ(judge(block).state, State::kInUse) << "a claim is as good as a verification";
}

TEST(BlockViewTest, DrainsWithItsCidrItsPoolOrByItself) {
  EXPECT_THAT(judge(block_object("172.21.0.0/26")).why, HasSubstr("172.21.0.0/16"));
  EXPECT_FALSE(judge(block_object("172.21.0.0/26")).orphaned);
  EXPECT_TRUE(judge(block_object("172.30.0.0/26")).orphaned);
  kube::PodBlock block = block_object("172.20.0.0/26");
  block.deleted = kJustNow;
  EXPECT_EQ(judge(block).state, State::kDraining);
  block.pool = "gone";
  EXPECT_THAT(judge(block).why, HasSubstr("PodPool gone is gone"));
}

TEST(BlockViewTest, OutlivesItsNodeAsTheReaperSeesIt) {
  kube::PodBlock block = block_object("172.20.0.0/26");
  block.node_uid = "uid-2";
  EXPECT_EQ(judge(block).state, State::kInUse) << "the same machine, registered anew";
  block.machine_id = "machine-2";
  EXPECT_EQ(judge(block).state, State::kNodeGone) << "that machine is node2's by now";
  EXPECT_EQ(judge(block, nullptr).state, State::kInUse) << "nobody knows which nodes there are";
  block.machine_id.clear();
  EXPECT_EQ(judge(block).state, State::kInUse) << "an unknown machine is spared";
  block.node_name = "node3";
  EXPECT_EQ(judge(block).state, State::kNodeGone);
}

TEST(CidrUseTest, CountsEachCidrByTheBlocksOfItsPool) {
  const Pools pools = read_pools(
      {pool_object({{.cidr = "172.20.0.0/24", .reserved = {"172.20.0.0/26", "172.20.0.64"}},
                    {.cidr = "fd00:10::/48", .draining = true}})});
  kube::PodBlock foreign = block_object("172.20.0.192/26", 9);
  foreign.pool = "other";
  const std::vector<CidrUse> uses =
      count_use(pools.at("default"),
                {block_object("172.20.0.64/26", 5), foreign, block_object("172.20.0.128/26", -1)});
  ASSERT_EQ(uses.size(), 2U);
  EXPECT_EQ(uses[0].capacity, 3U) << "a block that is reserved whole is none";
  EXPECT_EQ(uses[0].blocks, 2U);
  EXPECT_EQ(uses[0].used, 5U);
  EXPECT_THAT(uses[0].nodes, ElementsAre("node1"));
  EXPECT_EQ(count_text(uses[1].capacity), "2^74");
}

TEST(SpaceTest, NamesBothSidesOfAnOverlap) {
  std::vector<Space> spaces;
  add_spaces(spaces,
             kube::Node{.name = "n", .pod_cidr = "10.1.0.0/24", .internal_ips = {"10.9.0.1"}});
  add_spaces(spaces,
             kube::CiliumNode{.name = "n", .pod_cidrs = {"nonsense"}, .pool = {{"10.7.0.1", ""}}});
  ASSERT_EQ(spaces.size(), 3U) << "what is no address is left out";
  EXPECT_EQ(describe_overlap("p", *net::Prefix::parse("10.1.0.0/16"), spaces[0]),
            "PodPool p spec.cidrs 10.1.0.0/16 overlaps Node n spec.podCIDR 10.1.0.0/24");
  EXPECT_EQ(spaces[1].field, "status.addresses");
  EXPECT_EQ(spaces[2].text, "10.7.0.1");
}

TEST(WorkloadTest, SeesTheDeploymentBehindAReplicaSet) {
  const std::vector<std::pair<std::string, std::string>> owners{
      {"ReplicaSet/web-5d78c9869d", "Deployment/web"},
      {"ReplicaSet/my-web-7c5ddbdf54", "Deployment/my-web"},
      {"ReplicaSet/web-blue", "ReplicaSet/web-blue"},      // a word, not a hash
      {"ReplicaSet/web-v2", "ReplicaSet/web-v2"},          // too short for one
      {"ReplicaSet/5d78c9869d", "ReplicaSet/5d78c9869d"},  // of nothing
      {"StatefulSet/db-5d78c9869d", "StatefulSet/db-5d78c9869d"},
      {"", "Pod/web-x"}};
  for (const auto& [owner, workload] : owners) {
    EXPECT_EQ(workload_of({.name = "web-x", .owner = owner}), workload);
  }
}

TEST(WorkloadTest, SaysHowItIsRestarted) {
  EXPECT_EQ(restart_command("a", "StatefulSet/db"), "kubectl -n a rollout restart statefulset/db");
  EXPECT_THAT(restart_command("a", "Pod/x"), HasSubstr("kubectl -n a delete pod x"));
  EXPECT_THAT(restart_command("a", "Job/x"), HasSubstr("job/x"));
  EXPECT_THAT(restart_command("a", "Node/n"), HasSubstr("static pod"));
  EXPECT_THAT(restart_command("a", "Rollout/x"), HasSubstr("Rollout/x"));
}

TEST(BlocksNeededTest, CountsWholeBlocksOnEachNode) {
  std::vector<kube::Pod> pods(65, {.node_name = "a", .addresses = {"10.0.0.1"}});
  pods.push_back({.node_name = "b", .addresses = {"10.0.0.2"}});
  pods.push_back({.node_name = "c", .host_network = true, .addresses = {"10.0.0.3"}});
  pods.push_back({.node_name = "d", .ended = true, .addresses = {"10.0.0.4"}});
  pods.push_back({.node_name = "e"});
  EXPECT_THAT(blocks_needed(pods, net::Family::kIpv4, 26), ElementsAre(Pair("a", 2), Pair("b", 1)));
  EXPECT_THAT(blocks_needed(pods, net::Family::kIpv6, 64), ElementsAre(Pair("a", 1), Pair("b", 1)));
}

TEST(NumbersTest, StayShortAndTrue) {
  const net::Uint128 large = net::Uint128{1} << 74;
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(1024), "1024");
  EXPECT_EQ(count_text(large), "2^74");
  EXPECT_EQ(count_text(large + 1), "over 2^74");
  EXPECT_EQ(clipped(5), 5);
  EXPECT_EQ(clipped(large), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(percent(0, 0), 0U);
  EXPECT_EQ(percent(0, large), 0U);
  EXPECT_EQ(percent(1, 1024), 1U) << "only nothing is 0 %";
  EXPECT_EQ(percent(1024, 1024), 100U);
  EXPECT_EQ(percent(5, 1), 100U);
  EXPECT_EQ(percent(~net::Uint128{0} / 2, ~net::Uint128{0}), 50U);
  EXPECT_EQ(percent(1, ~net::Uint128{0}), 1U);
}

TEST(BarTest, IsTenColumnsWide) {
  EXPECT_EQ(bar(0, 64), "          ");
  EXPECT_EQ(bar(32, 64), "█████     ");
  EXPECT_EQ(bar(64, 64), "██████████");
  EXPECT_EQ(bar(1, 64), "▎         ");
}

}  // namespace
}  // namespace podlease::cmd
