// An attachment that is added again (FACTS, section 2): rows 16 and 36, families that it lacks, and
// container ids that are used anew. And what a full range costs (section 4).

#include "ipam_node.h"

namespace podlease::ipam {
namespace {

class RenewalTest : public LeasesTest {};

TEST_F(RenewalTest, InAnotherNamespaceTodaysConfigurationCounts) {
  const struct {
    const char* what;
    std::function<void(Node&)> happens;
  } ends[] = {
      {"the machine was booted",
       [](Node& node) {
         node.host.reboot();
         node.clock.reboot();
       }},
      {"the namespace was made anew", [](Node& node) { node.host.end(node.netns_of("a")); }},
      {"row 36: it has the path and the number of the one before",
       [](Node& node) {
         node.host.start_as(node.netns_of("a"), node.host.id_of(node.netns_of("a")));
       }},
  };
  const struct {
    const char* ipam;
    std::vector<std::string> requested;
    const char* answer;
  } changes[] = {
      {kSmall, {}, "10.1.0.2/29 returned"},
      {kSmall, {"10.1.0.5"}, "10.1.0.5/29 requested"},
      {kSmall, {"10.1.0.2"}, "10.1.0.2/29 requested"},
      {R"("subnet": "10.7.0.0/24")", {}, "10.7.0.2/24 untouched"},
      {R"("subnet": "10.1.0.0/28")", {}, "10.1.0.2/28 returned"},
      {R"("subnet": "10.1.0.0/29", "exclude": ["10.1.0.2"])", {}, "10.1.0.4/29 untouched"},
      {R"("subnet": "10.1.0.0/29", "gateway": "10.1.0.2")", {}, "10.1.0.1/29 untouched"},
      {R"("subnet": "10.1.0.0/29", "rangeStart": "10.1.0.4")", {}, "10.1.0.4/29 untouched"},
      {R"("subnet": "fd00::/64")", {}, "fd00::2/64 untouched"},
      {kDual, {}, "10.1.0.2/29 returned, fd00::2/125 untouched"},
  };
  for (const auto& end : ends) {
    for (const auto& change : changes) {
      Node node;
      ASSERT_EQ(node.add("a"), "10.1.0.2/29 untouched");
      ASSERT_EQ(node.add("b"), "10.1.0.3/29 untouched");
      end.happens(node);
      node.offer = offer_of(change.ipam);
      EXPECT_EQ(node.add("a", change.requested), change.answer)
          << end.what << ": " << change.ipam << " " << join(change.requested, " ");
      EXPECT_THAT(node.endings(), Contains("10.1.0.2 a takeover"));
    }
  }
}

TEST_F(RenewalTest, ThePresenceIsThatOfTheNewNamespace) {
  add("a");
  host.start_as(netns_of("a"), host.id_of(netns_of("a")));
  EXPECT_EQ(add("a"), "10.1.0.2/29 returned");
  EXPECT_EQ(all_leases().front().presence.netns_cookie, host.cookies.at(host.id_of(netns_of("a"))));
  EXPECT_EQ(add("a"), "10.1.0.2/29 held");
}

TEST_F(RenewalTest, InDoubtItKeepsWhatItHolds) {
  add("a");
  host.sees_processes = false;
  host.end(netns_of("a"));
  offer = offer_of(R"("subnet": "10.7.0.0/24")");
  AddRequest again = request("a");
  again.netns = "/run/netns/another";
  EXPECT_EQ(text_of(grant(again)), "10.1.0.2/29 held");
}

TEST_F(RenewalTest, ALivingAttachmentGetsTheFamilyThatItLacksWhereThereIsOne) {
  add("a");
  add("b");
  offer = offer_of(R"("ranges": [[{"subnet": "10.1.0.0/29"}],
      [{"subnet": "fd00::/125", "rangeStart": "fd00::2", "rangeEnd": "fd00::2"}]])");
  EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/125 untouched");
  EXPECT_EQ(add("b"), "10.1.0.3/29 held") << "there is no more";
  EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/125 held");
  EXPECT_THAT(del("a"), SizeIs(2));
}

TEST_F(RenewalTest, ALackingFamilyMayBeAskedForByAddress) {
  add("a");
  offer = offer_of(kDual);
  EXPECT_EQ(add("a", {"fd00::5"}), "10.1.0.2/29 held, fd00::5/125 requested");
  EXPECT_EQ(refusal("a", {"fd00::6"}).kind, ErrorKind::kAddressTaken);
}

TEST_F(RenewalTest, ALivingAttachmentKeepsItsFamilyThatTheConfigurationLost) {
  offer = offer_of(kDual);
  add("a");
  offer = offer_of(kSmall);
  EXPECT_EQ(add("a"), "10.1.0.2/29 held, fd00::2/125 held");
}

// A container id that is used again while somebody lives in its former namespace.

TEST_F(RenewalTest, WhoLivesInTheFormerNamespaceKeepsItsAddress) {
  add("a");
  host.inhabited.insert(host.id_of(netns_of("a")));
  host.start(netns_of("a"));
  const Thrown refused = refusal("a");
  EXPECT_EQ(refused.kind, ErrorKind::kAddressTaken);
  EXPECT_THAT(refused.message, AllOf(HasSubstr("container a eth0"), HasSubstr("10.1.0.2"),
                                     HasSubstr("process 1000 is in it")));
  EXPECT_THAT(refused.details, HasSubstr("DEL"));
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29"));
  // Once that process has ended it is as if the namespace was made anew.
  host.inhabited.clear();
  EXPECT_EQ(add("a"), "10.1.0.2/29 returned");
}

TEST_F(RenewalTest, ANamespaceThatStillHasItsNameKeepsItsAddress) {
  add("a");
  AddRequest other = request("a");
  other.netns = "/run/netns/other";
  const Thrown refused = thrown_by([&] { grant(other); });
  EXPECT_EQ(refused.kind, ErrorKind::kAddressTaken);
  EXPECT_THAT(refused.message, HasSubstr("another network namespace, /run/netns/a"));
  EXPECT_THAT(del("a"), SizeIs(1));
  EXPECT_EQ(text_of(grant(other)), "10.1.0.3/29 untouched");
}

// Row 35: a number is no identity.

TEST_F(RenewalTest, ANamespaceWithTheNumberOfOneThatEndedIsAnother) {
  add("x");
  const host::NetnsId number = host.id_of(netns_of("x"));
  host.end(netns_of("x"));
  host.start_as(netns_of("y"), number);
  host.inhabited.insert(number);
  EXPECT_EQ(add("y"), "10.1.0.3/29 untouched");
  ASSERT_THAT(sweep(), SizeIs(1));
  clock.pass(60s);
  ASSERT_THAT(sweep(), SizeIs(1));
  EXPECT_THAT(all(), ElementsAre("y/eth0 10.1.0.3/29"));
}

TEST_F(RenewalTest, WithoutCookiesANumberAloneIsNoAdoptedHolder) {
  for (const bool has_cookies : {true, false}) {
    Node node;
    node.host.start(netns_of("x"));
    node.host.inside[netns_of("x")] = {{.address = prefix("10.1.0.4/29"), .interface = "eth0"}};
    if (!has_cookies) {
      node.host.cookies.clear();
    }
    ASSERT_EQ(node.add("a"), "10.1.0.2/29 untouched");
    const host::NetnsId number = node.host.id_of(netns_of("x"));
    const auto is_held = [&] { return node.add("x") == "10.1.0.4/29 held"; };
    if (has_cookies) {
      EXPECT_TRUE(is_held());
      continue;
    }
    node.host.end(netns_of("x"));
    node.host.start_as(netns_of("y"), number);
    node.host.cookies.clear();
    EXPECT_EQ(node.add("y"), "10.1.0.3/29 untouched");
    node.host.end(netns_of("y"));
    node.host.start_as(netns_of("x"), number);
    node.host.cookies.clear();
    EXPECT_TRUE(is_held()) << "by its name, as far as anybody can tell";
  }
}

// Its namespace may be known by a process besides, as after an adoption under another name.
TEST_F(RenewalTest, WithoutCookiesAProcessIsNoLaterNameOfTheNumber) {
  const std::string process = "/proc/77/ns/net";
  host.start(netns_of("x"));
  host.cookies.clear();
  add("x");
  const host::NetnsId number = host.id_of(netns_of("x"));
  host.inhabited.insert(number);
  host.end(netns_of("x"));
  host.start_as(process, number);
  host.cookies.clear();
  clock.pass(1s);
  AddRequest other = request("y");
  other.netns = process;
  ASSERT_EQ(text_of(grant(other)), "10.1.0.3/29 untouched");
  for (int i = 0; i < 3; ++i) {
    clock.pass(60s);
    static_cast<void>(sweep());
  }
  EXPECT_THAT(all(), ElementsAre("x/eth0 10.1.0.2/29", "y/eth0 10.1.0.3/29"));
}

// What an earlier ADD saw is not forgotten by one that does not see it.
TEST_F(RenewalTest, AnAddThatDoesNotSeeTheNamespaceKeepsWhatIsKnownOfIt) {
  add("a");
  const store::Presence known = all_leases().front().presence;
  ASSERT_NE(known.netns_inode, 0U);
  host.hide(netns_of("a"));
  EXPECT_EQ(add("a"), "10.1.0.2/29 held");
  EXPECT_EQ(all_leases().front().presence, known);
  // Another path may be another namespace, and the former one's end would not be its end.
  AddRequest unseen = request("a");
  unseen.netns = "/run/netns/unseen";
  host.hide(unseen.netns);
  EXPECT_EQ(text_of(grant(unseen)), "10.1.0.2/29 held");
  EXPECT_EQ(all_leases().front().presence.netns, unseen.netns);
  EXPECT_EQ(all_leases().front().presence.netns_inode, 0U);
}

// Exhaustion: retries within a second cost no walk.

class ExhaustedTest : public LeasesTest {
 protected:
  // Full of pods whose names are gone and whose processes are not.
  void SetUp() override {
    ASSERT_EQ(fill(), 5);
    for (int i = 1; i <= 5; ++i) {
      const std::string netns = netns_of("c" + std::to_string(i));
      host.inhabited.insert(host.id_of(netns));
      host.end(netns);
    }
    clock.pass(2s);
    ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);  // from here on they are suspects
    clock.pass(60s);
  }
};

TEST_F(ExhaustedTest, RetriesWithinASecondAreAnsweredFromANote) {
  const int before = host.walks;
  const Thrown first = refusal("x");
  EXPECT_EQ(first.kind, ErrorKind::kExhausted);
  const int walks = host.walks;
  EXPECT_EQ(walks - before, 1) << "one walk tells of all of them";
  for (int i = 0; i < 20; ++i) {
    clock.pass(40ms);
    const Thrown again = refusal("y" + std::to_string(i));
    EXPECT_EQ(again.kind, ErrorKind::kExhausted);
    EXPECT_EQ(again.message, first.message);
    EXPECT_EQ(again.details, first.details);
  }
  EXPECT_EQ(host.walks, walks);
  clock.pass(1s);
  EXPECT_EQ(refusal("z").kind, ErrorKind::kExhausted);
}

TEST_F(ExhaustedTest, AProcessThatWasFoundIsLookedAtAgainWithoutAWalk) {
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  int process = 1000;  // as the made-up walk numbers them
  for (const host::NetnsId& netns : host.inhabited) {
    host.namespaces["/proc/" + std::to_string(process++) + "/ns/net"] = {
        .state = host::NetnsState::kAlive, .id = netns};
  }
  const int walks = host.walks;
  for (int i = 0; i < 5; ++i) {
    clock.pass(2min);
    EXPECT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  }
  EXPECT_EQ(host.walks, walks);
}

TEST_F(ExhaustedTest, TheNoteCountsOnlyWhileTheStoreIsUnchanged) {
  cooldown = 0s;
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  ASSERT_THAT(del("c2"), SizeIs(1));
  EXPECT_EQ(add("x"), "10.1.0.3/29 cooled");
  EXPECT_EQ(refusal("y").kind, ErrorKind::kExhausted);
}

TEST_F(ExhaustedTest, TheNoteIsOfItsRangesOnly) {
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  offer = offer_of(R"("subnet": "10.1.0.0/28")");
  EXPECT_EQ(add("x"), "10.1.0.7/28 untouched");
}

// What sees less must not keep what sees more from looking.
TEST_F(ExhaustedTest, TheNoteIsOfItsViewOnly) {
  const host::View sees_all = host.own_view;
  host.own_view = {.pid_namespace = 7, .is_initial = false};
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  host.own_view = sees_all;
  const int walks = host.walks;
  EXPECT_EQ(refusal("y").kind, ErrorKind::kExhausted);
  EXPECT_GT(host.walks, walks);
}

TEST_F(ExhaustedTest, AlsoWhereNeitherSeesItsOwnNamespace) {
  const host::View sees_all = host.own_view;
  host.own_view = {.pid_namespace = 7, .is_initial = false};
  host.hide(netns_of("x"));
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  host.own_view = sees_all;
  host.hide(netns_of("y"));
  const int walks = host.walks;
  EXPECT_EQ(refusal("y").kind, ErrorKind::kExhausted);
  EXPECT_GT(host.walks, walks);
}

TEST_F(ExhaustedTest, ABootMakesItVoid) {
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  host.reboot();
  EXPECT_THAT(add("x"), HasSubstr("cooled"));
}

TEST_F(ExhaustedTest, ARequestedAddressIsAnsweredAllTheSame) {
  ASSERT_EQ(refusal("x").kind, ErrorKind::kExhausted);
  EXPECT_EQ(refusal("x", {"10.1.0.3"}).kind, ErrorKind::kAddressTaken);
  EXPECT_EQ(refusal("x", {"192.0.2.1"}).kind, ErrorKind::kExhausted) << "its set has nothing";
}

}  // namespace
}  // namespace podlease::ipam
