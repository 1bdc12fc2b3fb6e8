// A store knows its machine (FACTS, section 3): rows 32 and 39, and clocks that are wrong.

#include "ipam_node.h"
#include "machine_note.h"
#include "podlease/store/note_table.h"

namespace podlease::ipam {
namespace {

using Time = std::chrono::sys_time<Milliseconds>;

class MachineTest : public LeasesTest {
 protected:
  void SetUp() override {
    host.own_names = {.host_name = "n", .machine_id = "m1", .system_uuid = "u1"};
    host.booted = clock.now().wall - 1000s;
    ASSERT_EQ(add("a"), "10.1.0.2/29 untouched");
  }

  // The call comes from a machine, or a boot, with these ids.
  void become(const std::string& boot, const std::string& machine_id,
              const std::string& system_uuid) {
    host.reboot();
    host.boot = boot;
    host.own_names = {.host_name = "n", .machine_id = machine_id, .system_uuid = system_uuid};
  }
  // Somebody wrote the store then, last.
  void set_written(Time time) const {
    for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
      if (fs::exists(data_dir / name)) {
        fakes::set_written(data_dir / name, time);
      }
    }
  }
  [[nodiscard]] std::string taken_from() const {
    std::optional<store::Store> store = open();
    store::Transaction transaction = store.value().begin();
    return former_machine(transaction).value_or("nobody");
  }
};

TEST_F(MachineTest, TheSameBootIsTheSameMachine) {
  host.own_names = {.host_name = "x", .machine_id = "m2", .system_uuid = "u2"};
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(taken_from(), "nobody");
}

TEST_F(MachineTest, AnotherMachineThatWritesMeanwhileIsRefused) {
  become("boot-x", "m2", "u2");
  host.booted = clock.now().wall - 500s;
  const Thrown refused = refusal("b");
  EXPECT_EQ(refused.kind, ErrorKind::kConfig);
  EXPECT_THAT(refused.message, AllOf(HasSubstr("another machine"), HasSubstr(data_dir.string())));
  EXPECT_THAT(refused.details, HasSubstr("dataDir"));
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29"));
  // Whoever's it is, a DEL is not refused, and makes nobody its owner.
  EXPECT_THAT(del("nobody"), IsEmpty());
  EXPECT_THAT(del("a"), SizeIs(1));
  EXPECT_EQ(refusal("b").kind, ErrorKind::kConfig);
  EXPECT_EQ(taken_from(), "nobody");
}

TEST_F(MachineTest, ACopyOfAStoreIsServedAndItsLeasesAreOfAnEarlierBoot) {
  const store::Lease copied = all_leases().front();
  become("boot-x", "m2", "u2");
  host.booted = clock.now().wall - 500s;
  set_written(clock.now().wall - 600s);
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(taken_from(), "m1");
  EXPECT_EQ(life_of(copied), Presumed::Life::kEarlierBoot);
  EXPECT_EQ(add("c"), "10.1.0.4/29 untouched") << "it is its own from then on";
  EXPECT_EQ(taken_from(), "m1");
}

TEST_F(MachineTest, AMachineIsKnownByAnyOfItsIds) {
  const struct {
    const char* what;
    const char* machine_id;
    const char* system_uuid;
    bool serves;
  } cases[] = {
      {"all is as before", "m1", "u1", true},
      {"a new machine-id, as an image without one makes at each boot", "m2", "u1", true},
      {"new firmware, or a virtual machine that moved", "m1", "u2", true},
      {"nothing can be read", "", "", true},
      {"the machine-id alone, and it is the same", "m1", "", true},
      {"the UUID alone, and it is the same", "", "u1", true},
      {"the machine-id alone, and it differs", "m2", "", false},
      {"the UUID alone, and it differs", "", "u2", false},
      {"both differ", "m2", "u2", false},
  };
  for (const auto& one : cases) {
    Node node;
    node.host.own_names = {.host_name = "n", .machine_id = "m1", .system_uuid = "u1"};
    node.host.booted = node.clock.now().wall - 1000s;
    node.add("a");
    node.host.reboot();
    node.host.own_names = {
        .host_name = "n", .machine_id = one.machine_id, .system_uuid = one.system_uuid};
    EXPECT_EQ(node.refusal("b").kind == std::nullopt, one.serves) << one.what;
  }
}

TEST_F(MachineTest, WithoutFirmwareAndWithANewMachineIdAtEachBootItServes) {
  for (int boot = 2; boot < 5; ++boot) {
    const std::string number = std::to_string(boot);
    become("boot-" + number, "m" + number, "");
    clock.reboot(600s);
    host.booted = clock.now().wall - 20s;
    set_written(clock.now().wall - 60s);
    EXPECT_EQ(refusal("c" + number).kind, std::nullopt) << number;
    EXPECT_EQ(refusal("d" + number).kind, std::nullopt) << number;
  }
}

TEST_F(MachineTest, WithClocksIn1970ItServes) {
  // The clock stands still between boots, until something sets it.
  become("boot-2", "m2", "");
  host.booted = Time{};
  clock.set_wall(-clock.now().wall.time_since_epoch() + 40s);
  set_written(Time{} + 30s);  // in the boot before, by such a clock
  EXPECT_EQ(refusal("b").kind, ErrorKind::kConfig) << "it looks as if written since";
  set_written(Time{} + 3s);
  EXPECT_EQ(refusal("b").kind, std::nullopt);
}

TEST_F(MachineTest, FilesFromTheFutureTellOnlyThatTheClockWasSetBack) {
  become("boot-2", "m2", "u2");
  clock.set_wall(-24h);
  host.booted = clock.now().wall - 20s;
  EXPECT_EQ(add("b"), "10.1.0.3/29 untouched");
  EXPECT_EQ(taken_from(), "m1");
}

TEST_F(MachineTest, AnotherMachinesClockMayBeAhead) {
  become("boot-x", "m2", "u2");
  set_written(clock.now().wall + 600s);
  EXPECT_EQ(refusal("b").kind, ErrorKind::kConfig);
  EXPECT_THAT(all(), ElementsAre("a/eth0 10.1.0.2/29"));
}

TEST_F(MachineTest, AStoreOfBeforeHasNoMachineYet) {
  {
    std::optional<store::Store> store = open();
    store::Transaction transaction = store.value().begin();
    store::NoteTable(transaction).forget(store::NoteTable::Kind::kMachine, "");
    transaction.commit();
  }
  become("boot-x", "m2", "u2");
  EXPECT_EQ(refusal("b").kind, std::nullopt);
  EXPECT_EQ(taken_from(), "nobody");
}

TEST_F(MachineTest, ARehearsalTakesNoStoreOver) {
  become("boot-x", "m2", "u2");
  set_written(host.booted - 60s);
  EXPECT_EQ(text_of(leases().rehearse(request("b"), *fixed(offer))), "10.1.0.3/29 untouched");
  EXPECT_EQ(taken_from(), "nobody");
}

}  // namespace
}  // namespace podlease::ipam
