// The plugin as a runtime sees it: environment and stdin in, one document and an exit status out.
// It runs in this process, on a made-up machine.

#include "podlease/plugin/plugin.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "fakes.h"
#include "podlease/base/file.h"
#include "podlease/base/log.h"
#include "podlease/cni/version.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"
#include "podlease/store/verify.h"
#include "support.h"

namespace podlease::plugin {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

using fakes::body_of;
using fakes::put;
using Json = nlohmann::ordered_json;
using support::Pipe;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

struct Answer {
  int status = -1;
  std::string output;

  [[nodiscard]] Json json() const { return Json::parse(output, nullptr, false); }
  // The CNI error code; 0 if there was no error document.
  [[nodiscard]] int code() const {
    const Json document = json();
    return document.is_object() ? document.value("code", 0) : 0;
  }
  [[nodiscard]] std::string message() const { return json().value("msg", ""); }
};

class PluginTest : public ::testing::Test {
 protected:
  PluginTest() {
    static_cast<void>(signal(SIGPIPE, SIG_IGN));  // as `main` does
    host.start("/run/netns/a");
    host.start("/run/netns/b");
    environment["CNI_PATH"] = "/opt/cni/bin";
  }

  // A configuration with `ipam` keys, which end in a comma if there are any before the rest.
  [[nodiscard]] std::string conf(const std::string& ipam, std::string_view version = "1.1.0",
                                 const std::string& more = "") const {
    return R"({"cniVersion":")" + std::string(version) + R"(","name":"net","type":"bridge",)" +
           more + R"("ipam":{"type":"podlease","dataDir":")" + data_dir.string() + "\"," + ipam +
           "}}";
  }
  // Five addresses: 10.1.0.2 to 10.1.0.6.
  [[nodiscard]] std::string small(std::string_view version = "1.1.0",
                                  const std::string& more = "") const {
    return conf(R"("subnet":"10.1.0.0/29")", version, more);
  }

  // What a runtime puts into the environment for container `container`.
  void attach(const std::string& container) {
    environment["CNI_CONTAINERID"] = container;
    environment["CNI_NETNS"] = "/run/netns/" + container;
    environment["CNI_IFNAME"] = "eth0";
    environment["CNI_PATH"] = "/opt/cni/bin";
  }

  [[nodiscard]] World world(int input, int output) const {
    return {.getenv =
                [this](const char* name) {
                  const auto found = environment.find(name);
                  return found == environment.end() ? std::nullopt : std::optional(found->second);
                },
            .input = input,
            .output = output,
            .host = &host,
            .clock = &clock,
            .places = places,
            .data_dir = default_data_dir};
  }
  // Writes to `output`, whatever it is.
  int run_into(int output, const std::string& verb, const std::string& input) {
    environment["CNI_COMMAND"] = verb;
    put(folder.path() / "stdin", input);
    const UniqueFd fd(open((folder.path() / "stdin").c_str(), O_RDONLY | O_CLOEXEC));
    return run(world(fd.get(), output));
  }
  Answer ask(const std::string& verb, const std::string& input) {
    Pipe out;
    Answer answer{.status = run_into(out.write_end.get(), verb, input), .output = {}};
    out.write_end.reset();
    answer.output = read_all(out.read_end.get(), 1 << 20);
    return answer;
  }
  Answer ask_for(const std::string& container, const std::string& verb, const std::string& input) {
    attach(container);
    return ask(verb, input);
  }

  // CONTAINER ADDRESS of each lease.
  [[nodiscard]] std::vector<std::string> leases() const { return leases_in(data_dir); }
  [[nodiscard]] std::vector<std::string> leases_in(const fs::path& store_folder) const {
    std::vector<std::string> texts;
    std::optional<store::Store> store = store::Store::open_existing(
        {.folder = store_folder, .registry = places.registry, .lock_timeout = 10s});
    if (store) {
      store::Transaction transaction = store->begin();
      store::verify(transaction);
      for (const store::Lease& lease : store::LeaseTable(transaction).all()) {
        texts.push_back(lease.key.container_id + " " + lease.address.address().to_string());
      }
    }
    return texts;
  }

  fakes::TempFolder folder;
  fakes::FakeHost host;
  fakes::FakeClock clock;
  fs::path data_dir = folder.path() / "data";
  fs::path default_data_dir = folder.path() / "default";
  ipam::Places places{.registry = folder.path() / "stores",
                      .host_local = folder.path() / "networks",
                      .cni_caches = {folder.path() / "cache"}};
  std::map<std::string, std::string> environment;
};

// VERSION and what is wrong before any verb.

TEST_F(PluginTest, VersionNeedsNothingButItsName) {
  const Answer answer = ask("VERSION", "not even JSON");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.json(), Json::parse(R"({"cniVersion":"1.1.0","supportedVersions":
      ["0.1.0","0.2.0","0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]})"));
  EXPECT_EQ(run_into(-1, "VERSION", ""), 1);
}

TEST_F(PluginTest, SaysWhatIsWrongWithTheEnvironment) {
  const Answer unknown = ask("SUB", small());
  EXPECT_EQ(unknown.status, 1);
  EXPECT_EQ(unknown.code(), 4);
  EXPECT_THAT(unknown.message(), HasSubstr("SUB"));
  for (const char* const verb : {"ADD", "DEL", "CHECK"}) {
    for (const char* const name : {"CNI_CONTAINERID", "CNI_IFNAME"}) {
      attach("a");
      environment.erase(name);
      const Answer answer = ask(verb, small());
      EXPECT_EQ(answer.status, 1) << verb << " " << name;
      EXPECT_EQ(answer.code(), 4) << verb << " " << name;
      EXPECT_THAT(answer.message(), HasSubstr(name));
      EXPECT_EQ(answer.json().value("cniVersion", ""), "1.1.0");
    }
  }
  attach("../a");
  EXPECT_EQ(ask("ADD", small()).code(), 4);
  EXPECT_FALSE(fs::exists(data_dir));
}

// ADD.

TEST_F(PluginTest, AnswersAnAddInTheShapeOfEveryVersion) {
  const std::string ipam = R"("ranges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]],
      "routes":[{"dst":"0.0.0.0/0"},{"dst":"fd01::/16","gw":"fd00::9"}])";
  const Json by_family = Json::parse(R"({
      "ip4":{"ip":"10.1.0.2/24","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0"}]},
      "ip6":{"ip":"fd00::2/64","gateway":"fd00::1","routes":[{"dst":"fd01::/16","gw":"fd00::9"}]},
      "dns":{}})");
  const Json with_family = Json::parse(R"({
      "ips":[{"version":"4","address":"10.1.0.2/24","gateway":"10.1.0.1"},
             {"version":"6","address":"fd00::2/64","gateway":"fd00::1"}],
      "routes":[{"dst":"0.0.0.0/0"},{"dst":"fd01::/16","gw":"fd00::9"}],"dns":{}})");
  const Json plain = Json::parse(R"({
      "ips":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"},
             {"address":"fd00::2/64","gateway":"fd00::1"}],
      "routes":[{"dst":"0.0.0.0/0"},{"dst":"fd01::/16","gw":"fd00::9"}]})");
  const std::map<std::string_view, Json> shapes{
      {"0.1.0", by_family},   {"0.2.0", by_family}, {"0.3.0", with_family}, {"0.3.1", with_family},
      {"0.4.0", with_family}, {"1.0.0", plain},     {"1.1.0", plain}};
  for (const std::string_view version : cni::Version::kSpoken) {
    const Answer answer = ask_for("a", "ADD", conf(ipam, version));
    EXPECT_EQ(answer.status, 0) << version;
    Json expected{{"cniVersion", version}};
    expected.update(shapes.at(version));
    EXPECT_EQ(nlohmann::json(answer.json()), nlohmann::json(expected)) << version;
  }
  EXPECT_THAT(leases(), ElementsAre("a 10.1.0.2", "a fd00::2"));
}

TEST_F(PluginTest, EveryVerbOfEveryVersionKeepsTheProtocol) {
  for (const std::string_view version : cni::Version::kSpoken) {
    ASSERT_EQ(ask_for("a", "ADD", small(version)).status, 0) << version;
    for (const char* const verb : {"CHECK", "GC", "STATUS", "DEL"}) {
      const bool known =
          std::string_view(verb) == "DEL" ||
          (std::string_view(verb) == "CHECK" ? version >= "0.4.0" : version >= "1.1.0");
      const Answer answer =
          ask_for("a", verb, small(version, R"("cni.dev/valid-attachments":null,)"));
      if (known) {
        EXPECT_EQ(answer.status, 0) << verb << " " << version << answer.output;
        EXPECT_EQ(answer.output, "") << verb << " " << version;
      } else {
        EXPECT_EQ(answer.status, 1) << verb << " " << version;
        EXPECT_EQ(answer.code(), 1) << verb << " " << version;
        EXPECT_EQ(answer.json().value("cniVersion", ""), version) << verb;
      }
    }
    EXPECT_THAT(leases(), IsEmpty()) << version;
    clock.pass(1min);
  }
}

TEST_F(PluginTest, ErrorsAreDocumentsOfTheConfigurationsVersion) {
  ASSERT_EQ(ask_for("b", "ADD", small("1.1.0", R"("runtimeConfig":{"ips":["10.1.0.3"]},)")).status,
            0);
  put(folder.path() / "file", "");
  const struct {
    std::string input;
    int code;
    std::string says;
    std::string version = "1.0.0";
  } cases[] = {
      {"", 6, "standard input", "1.1.0"},
      {"{", 6, "JSON", "1.1.0"},
      {"[]", 6, "object", "1.1.0"},
      {R"({"cniVersion":"1.0.0","name":"net"})", 7, "ipam"},
      {R"({"cniVersion":"1.0.0","ipam":{"subnet":"10.1.0.0/29"}})", 7, "name"},
      {R"({"cniVersion":"1.0.0","name":"a b","ipam":{"subnet":"10.1.0.0/29"}})", 7, "a b"},
      {R"({"cniVersion":3,"name":"net","ipam":{"subnet":"10.1.0.0/29"}})", 6, "cniVersion",
       "0.1.0"},
      {R"({"cniVersion":"9.9.9","name":"net","ipam":{"subnet":"10.1.0.0/29"}})", 1, "9.9.9",
       "1.1.0"},
      {conf(R"("ranges":[])", "1.0.0"), 7, "no IP ranges specified"},
      {conf(R"("ranges":[[{"subnet":7}]])", "1.0.0"), 7, "ipam.ranges[0][0].subnet"},
      {conf(R"("mode":"multi-pool")", "1.0.0"), 2, "multi-pool"},
      {conf(R"("subnet":"10.1.0.0/29","resolvConf":"/nowhere/resolv.conf")", "1.0.0"), 5,
       "/nowhere/resolv.conf"},
      {small("1.0.0", R"("runtimeConfig":{"ips":["10.1.0.3"]},)"), 101, "10.1.0.3"},
      {small("1.0.0", R"("runtimeConfig":{"ips":["10.1.0.1"]},)"), 7, "gateway"},
      {small("1.0.0", R"("args":{"cni":{"ips":["10.9.0.1"]}},)"), 7, "10.9.0.1"},
      {small("1.0.0", R"("args":{"cni":{"ips":[null]}},)"), 7, "args.cni.ips[0]"},
      // Only the address of the lease above is left.
      {conf(R"("subnet":"10.1.0.0/29","exclude":["10.1.0.2","10.1.0.4-10.1.0.7"])", "1.0.0"), 100,
       "no IP addresses available in range set: 10.1.0.1-10.1.0.6"},
      {conf(R"("subnet":"10.1.0.0/29","exclude":["10.1.0.0/29"])", "1.0.0"), 7,
       "ipam (10.1.0.1-10.1.0.6) has no address left to lease"},
      {conf(R"("subnet":"127.1.0.0/29")", "1.0.0"), 7, "127.0.0.0/8 (loopback)"},
      {R"({"cniVersion":"1.0.0","name":"net","ipam":{"subnet":"10.1.0.0/29","dataDir":")" +
           (folder.path() / "file" / "data").string() + "\"}}",
       5, "file", "1.0.0"},
  };
  for (const auto& one : cases) {
    const Answer answer = ask_for("a", "ADD", one.input);
    EXPECT_EQ(answer.status, 1) << one.input;
    EXPECT_EQ(answer.code(), one.code) << one.input << answer.output;
    EXPECT_THAT(answer.message(), HasSubstr(one.says)) << one.input;
    EXPECT_THAT(answer.message(), Not(HasSubstr("\n"))) << one.input;
    EXPECT_EQ(answer.json().value("cniVersion", ""), one.version) << one.input;
    EXPECT_THAT(leases(), ElementsAre("b 10.1.0.3")) << one.input;
  }
}

TEST_F(PluginTest, ReadsThePodAndARequestFromCniArgs) {
  environment["CNI_ARGS"] = "IP=10.1.0.5;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=u-1";
  EXPECT_EQ(ask_for("a", "ADD", small()).json()["ips"][0]["address"], "10.1.0.5/29");
  std::optional<store::Store> store = store::Store::open_existing(
      {.folder = data_dir, .registry = places.registry, .lock_timeout = 10s});
  const std::vector<store::Lease> held = store::LeaseTable(store.value().begin()).all();
  store.reset();
  ASSERT_THAT(held, SizeIs(1));
  EXPECT_EQ(held[0].pod, (store::Pod{.name_space = "shop", .name = "web-0", .uid = "u-1"}));
  environment["CNI_ARGS"] = "IP=10.1.0.999";
  EXPECT_EQ(ask_for("b", "ADD", small()).code(), 4);
  environment["CNI_ARGS"] = "nonsense";
  EXPECT_EQ(ask_for("b", "ADD", small()).code(), 4);
  EXPECT_EQ(ask_for("a", "DEL", small()).status, 0) << "a DEL does not care";
  EXPECT_THAT(leases(), IsEmpty());
}

TEST_F(PluginTest, HandsOnWhatResolvConfSays) {
  put(folder.path() / "resolv.conf",
      "# nameserver 192.0.2.9\n; search none\nnameserver 192.0.2.1\n  nameserver\t192.0.2.2 \n"
      "domain first.example\ndomain last.example\nsearch a.example b.example\nsearch c.example\n"
      "options ndots:5 rotate\nnameserver\nsortlist 10.0.0.0\n");
  const std::string ipam =
      R"("subnet":"10.1.0.0/29","resolvConf":")" + (folder.path() / "resolv.conf").string() + "\"";
  const Json expected = Json::parse(R"({"nameservers":["192.0.2.1","192.0.2.2"],
      "domain":"last.example","search":["a.example","b.example","c.example"],
      "options":["ndots:5","rotate"]})");
  for (const char* const version : {"0.2.0", "0.4.0", "1.0.0"}) {
    EXPECT_EQ(ask_for("a", "ADD", conf(ipam, version)).json()["dns"], expected) << version;
  }
  put(folder.path() / "resolv.conf", "");
  EXPECT_FALSE(ask_for("a", "ADD", conf(ipam)).json().contains("dns"));
}

TEST_F(PluginTest, FreesTheLeaseWhoseResultCannotBeWritten) {
  attach("a");
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  EXPECT_EQ(run_into(full.get(), "ADD", small()), 1);
  EXPECT_THAT(leases(), IsEmpty());
}

TEST_F(PluginTest, KeepsNoLeaseWheneverTheReaderLeaves) {
  attach("a");
  // At each of the times that a namespace is looked at; the last one is just before the commit.
  for (int last = 1;; ++last) {
    Pipe out;
    int looks = 0;
    host.on_look = [&](const fs::path& /*netns*/) {
      if (++looks == last) {
        out.read_end.reset();
      }
    };
    const int status = run_into(out.write_end.get(), "ADD", small());
    host.on_look = nullptr;
    if (looks < last) {
      EXPECT_EQ(status, 0);
      EXPECT_GE(last, 3);
      return;
    }
    EXPECT_EQ(status, 1) << last;
    EXPECT_THAT(leases(), IsEmpty()) << last;
  }
}

TEST_F(PluginTest, KeepsTheLeaseOfAnEarlierAddWhoseRepetitionCannotBeWritten) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_EQ(run_into(full.get(), "ADD", small()), 1);
  EXPECT_THAT(leases(), ElementsAre("a 10.1.0.2"));
}

// A family more, and first: what the pod has been using does not go with it.
TEST_F(PluginTest, KeepsWhatWasHeldBesideWhatCannotBeTold) {
  ASSERT_EQ(ask_for("a", "ADD", conf(R"("ranges":[[{"subnet":"10.1.0.0/29"}]])")).status, 0);
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const std::string both = R"("ranges":[[{"subnet":"fd00:1::/125"}],[{"subnet":"10.1.0.0/29"}]])";
  EXPECT_EQ(run_into(full.get(), "ADD", conf(both)), 1);
  EXPECT_THAT(leases(), testing::Contains("a 10.1.0.2"));
}

TEST_F(PluginTest, LeasesNothingWhenNobodyReads) {
  attach("a");
  Pipe out;
  out.read_end.reset();
  EXPECT_EQ(run_into(out.write_end.get(), "ADD", small()), 1);
  EXPECT_THAT(leases(), IsEmpty());
  EXPECT_EQ(ask_for("b", "ADD", small()).json()["ips"][0]["address"], "10.1.0.2/29")
      << "it was never leased";
}

TEST_F(PluginTest, LeasesNothingForANamespaceThatVanished) {
  attach("a");
  // After it was recorded, and before the answer.
  host.on_look = [&](const fs::path& netns) {
    if (fs::exists(data_dir / "podlease.db") && netns == "/run/netns/a") {
      host.end(netns.string());
    }
  };
  const Answer answer = ask("ADD", small());
  host.on_look = nullptr;
  EXPECT_EQ(answer.status, 1);
  EXPECT_EQ(answer.code(), 999);
  EXPECT_THAT(leases(), IsEmpty());
}

TEST_F(PluginTest, LeasesForANamespaceItNeverSaw) {
  // Docker's sandbox paths, or a namespace in a mount namespace of its own.
  for (const char* const container : {"unseen", "hidden"}) {
    if (std::string_view(container) == "hidden") {
      host.hide("/run/netns/hidden");
    }
    EXPECT_EQ(ask_for(container, "ADD", small()).status, 0) << container;
  }
  EXPECT_THAT(leases(), SizeIs(2));
}

TEST_F(PluginTest, WritesTheLogItWasTold) {
  const fs::path log = folder.path() / "podlease.log";
  const auto with_log = [&](const fs::path& file) {
    return conf(R"("subnet":"10.1.0.0/29","log":{"file":")" + file.string() + "\"}");
  };
  ASSERT_EQ(ask_for("a", "ADD", with_log(log)).status, 0);
  ASSERT_EQ(ask_for("a", "DEL", with_log(log)).status, 0);
  EXPECT_THAT(body_of(log), AllOf(HasSubstr("info"), HasSubstr("ADD net a eth0: 10.1.0.2/29"),
                                  HasSubstr("DEL net a eth0: 10.1.0.2/29")));
  const Answer unwritable = ask_for("a", "ADD", with_log(folder.path() / "no" / "such" / "log"));
  EXPECT_EQ(unwritable.status, 0) << "a log never fails the work";
}

// DEL.

TEST_F(PluginTest, ADelSucceedsWhateverItsConfigurationSays) {
  const std::string big = "{\"name\":\"net\",\"x\":\"" + std::string(17 << 20, 'x') + "\"}";
  const std::string data = R"("dataDir":")" + default_data_dir.string() + "\"";
  const std::string add =
      R"({"cniVersion":"1.1.0","name":"net","ipam":{)" + data + R"(,"subnet":"10.1.0.0/29"}})";
  const std::string inputs[] = {
      "",
      "garbage",
      "[]",
      "null",
      "{}",
      std::string("\xff\xfe{\0", 4),
      big,
      R"({"cniVersion":"99.0.0","name":"net","ipam":{}})",
      R"({"cniVersion":7,"name":"net"})",
      R"({"cniVersion":"1.1.0","name":["net"],"ipam":"nothing"})",
      R"({"cniVersion":"1.1.0","name":"no such name!"})",
      R"({"cniVersion":"1.1.0","name":"net","ipam":{"dataDir":"relative","subnet":7}})",
      R"({"cniVersion":"1.1.0","name":"net","ipam":{"lockTimeout":-3,"log":[],"mode":"x"}})",
      R"({"cniVersion":"1.1.0","name":"net","ipam":{"rangestrat":"10.1.0.2"}})",
      R"({"cniVersion":"1.1.0","name":"net","ipam":{"subnet":"10.99.0.0/16"},"prevResult":7})",
      R"({"cniVersion":"1.1.0","name":"net","ipam":{"dataDir":"/nowhere/at/all"}})",
      conf(R"("subnet":"10.1.0.0/29")"),  // another dataDir than the lease was made with
  };
  for (const std::string& input : inputs) {
    const std::string shown = input.substr(0, 80);
    ASSERT_EQ(ask_for("a", "ADD", add).status, 0);
    ASSERT_THAT(leases_in(default_data_dir), SizeIs(1));
    environment.erase("CNI_NETNS");
    const Answer answer = ask("DEL", input);
    EXPECT_EQ(answer.status, 0) << shown << answer.output;
    EXPECT_EQ(answer.output, "") << shown;
    EXPECT_THAT(leases_in(default_data_dir), IsEmpty()) << shown;
    EXPECT_EQ(ask("DEL", input).status, 0) << "again: " << shown;
    clock.pass(1min);
  }
}

TEST_F(PluginTest, ADelFreesNothingByThePreviousResult) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  EXPECT_EQ(
      ask_for("b", "DEL", small("1.1.0", R"("prevResult":{"ips":[{"address":"10.1.0.2/29"}]},)"))
          .status,
      0);
  EXPECT_THAT(leases(), ElementsAre("a 10.1.0.2"));
}

TEST_F(PluginTest, ADelOfANameTheStoreDoesNotHaveTouchesNoOtherNetwork) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  const std::string other =
      R"({"cniVersion":"1.1.0","name":"other","ipam":{"dataDir":")" + data_dir.string() + "\"}}";
  EXPECT_EQ(ask("DEL", other).status, 0);
  EXPECT_THAT(leases(), SizeIs(1));
}

TEST_F(PluginTest, ADelFailsWhereTheStoreCannotBeHad) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  {
    const UniqueFd held(open((data_dir / "lock").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
    const Answer busy = ask("DEL", conf(R"("subnet":"10.1.0.0/29","lockTimeout":"50ms")", "0.4.0"));
    EXPECT_EQ(busy.status, 1);
    EXPECT_EQ(busy.code(), 11);
    EXPECT_EQ(busy.json().value("cniVersion", ""), "0.4.0");
    EXPECT_THAT(busy.message(), HasSubstr(std::to_string(getpid())));
  }
  EXPECT_THAT(leases(), SizeIs(1));
  for (const char* const name : {"podlease.db", "podlease.db-wal"}) {
    fs::remove(data_dir / name);
  }
  put(data_dir / "podlease.db", std::string(4096, 'x'));
  EXPECT_EQ(ask("CHECK", small()).code(), 5);
  EXPECT_EQ(ask("DEL", small()).status, 0) << "moved aside, it holds nothing back";
}

// CHECK.

TEST_F(PluginTest, CheckComparesTheLeasesWithThePreviousResult) {
  const std::string ipam = R"("ranges":[[{"subnet":"10.1.0.0/29"}],[{"subnet":"fd00::/125"}]])";
  ASSERT_EQ(ask_for("a", "ADD", conf(ipam)).status, 0);
  const struct {
    std::string previous;
    int code;
  } cases[] = {
      {"", 0},
      {R"("prevResult":null,)", 0},
      {R"("prevResult":{"ips":[{"address":"10.1.0.2/29"},{"address":"fd00::2/125"}]},)", 0},
      {R"("prevResult":{"ips":[{"address":"fd00::2/64"},{"address":"10.1.0.2/8"},
          {"address":"192.0.2.7/24"}]},)",
       0},  // another plugin's too
      {R"("prevResult":{"ip4":{"ip":"10.1.0.2/29"},"ip6":{"ip":"fd00::2/125"}},)", 0},
      {R"("prevResult":{"ips":[{"address":"10.1.0.2/29"}]},)", 999},
      {R"("prevResult":{"ips":[{"address":"10.1.0.3/29"},{"address":"fd00::2/125"}]},)", 999},
      {R"("prevResult":{"ips":[]},)", 999},
      {R"("prevResult":{},)", 999},
      {R"("prevResult":{"ips":[{"address":"what"}]},)", 7},
  };
  for (const auto& one : cases) {
    const Answer answer = ask("CHECK", conf(ipam, "1.0.0", one.previous));
    EXPECT_EQ(answer.status, one.code == 0 ? 0 : 1) << one.previous << answer.output;
    EXPECT_EQ(answer.code(), one.code) << one.previous;
    if (one.code == 0) {
      EXPECT_EQ(answer.output, "") << one.previous;
    }
  }
  // Ranges are not consulted: they may have changed.
  EXPECT_EQ(ask("CHECK", conf(R"("subnet":"10.9.0.0/24")")).status, 0);
}

TEST_F(PluginTest, CheckOfAnUnknownContainerIsThree) {
  const Answer never = ask_for("a", "CHECK", small());
  EXPECT_EQ(never.status, 1);
  EXPECT_EQ(never.code(), 3);
  EXPECT_THAT(never.message(), AllOf(HasSubstr("net"), HasSubstr("a eth0")));
  EXPECT_FALSE(fs::exists(data_dir));
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  EXPECT_EQ(ask("CHECK", small()).status, 0);
  environment["CNI_IFNAME"] = "eth1";
  EXPECT_EQ(ask("CHECK", small()).code(), 3);
  ASSERT_EQ(ask_for("a", "DEL", small()).status, 0);
  EXPECT_EQ(ask("CHECK", small()).code(), 3);
}

TEST_F(PluginTest, CheckKnowsWhatHostLocalLeasedBeforeTheFirstAdd) {
  put(places.host_local / "net" / "lock", "");
  put(places.host_local / "net" / "10.1.0.4", "a\r\neth0");
  EXPECT_EQ(
      ask_for("a", "CHECK", small("1.0.0", R"("prevResult":{"ips":[{"address":"10.1.0.4/29"}]},)"))
          .status,
      0);
  EXPECT_EQ(
      ask_for("a", "CHECK", small("1.0.0", R"("prevResult":{"ips":[{"address":"10.1.0.5/29"}]},)"))
          .code(),
      999);
  EXPECT_EQ(ask_for("b", "CHECK", small()).code(), 3);
  EXPECT_FALSE(fs::exists(data_dir)) << "it changes nothing";
}

// GC.

TEST_F(PluginTest, GcEndsWhatIsNotValid) {
  const struct {
    std::string keys;
    std::vector<std::string> left;
  } cases[] = {
      {"", {"a 10.1.0.2", "b 10.1.0.3", "c 10.1.0.4"}},  // no information
      {R"("cni.dev/valid-attachments":null,)", {"a 10.1.0.2"}},
      {R"("cni.dev/valid-attachments":[],)", {"a 10.1.0.2"}},
      {R"("cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth0"}],)",
       {"a 10.1.0.2", "b 10.1.0.3"}},
      {R"("cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth1"}],)", {"a 10.1.0.2"}},
      {R"("cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}],)",
       {"a 10.1.0.2", "c 10.1.0.4"}},
      {R"("cni.dev/attachments":[{"containerID":"c","ifname":"eth0"}],
          "cni.dev/valid-attachments":[{"containerID":"b","ifname":"eth0"}],)",
       {"a 10.1.0.2", "b 10.1.0.3"}},
  };
  for (const auto& one : cases) {
    fs::remove_all(data_dir);
    for (const char* const container : {"a", "b", "c"}) {
      host.start("/run/netns/" + std::string(container));
      ASSERT_EQ(ask_for(container, "ADD", small()).status, 0);
    }
    host.end("/run/netns/b");
    host.end("/run/netns/c");
    for (const char* const name : {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"}) {
      environment.erase(name);
    }
    const Answer answer = ask("GC", small("1.1.0", one.keys));
    EXPECT_EQ(answer.status, 0) << one.keys << answer.output;
    EXPECT_EQ(answer.output, "") << one.keys;
    EXPECT_EQ(leases(), one.left) << one.keys;
  }
}

TEST_F(PluginTest, GcEndsNothingOnAListItCannotRead) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  host.end("/run/netns/a");
  for (const char* const keys :
       {R"("cni.dev/valid-attachments":"none",)", R"("cni.dev/valid-attachments":[{}],)",
        R"("cni.dev/valid-attachments":[{"containerID":"a"}],)",
        R"("cni.dev/valid-attachments":[null],)"}) {
    const Answer answer = ask("GC", small("1.1.0", keys));
    EXPECT_EQ(answer.status, 1) << keys;
    EXPECT_EQ(answer.code(), 7) << keys;
  }
  EXPECT_THAT(leases(), SizeIs(1));
}

TEST_F(PluginTest, GcLooksAtNothingButTheCallersNetwork) {
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  host.end("/run/netns/a");
  const std::string other = R"({"cniVersion":"1.1.0","name":"other","cni.dev/valid-attachments":[],
      "ipam":{"dataDir":")" +
                            data_dir.string() + "\"}}";
  EXPECT_EQ(ask("GC", other).status, 0);
  EXPECT_THAT(leases(), SizeIs(1));
}

// STATUS.

TEST_F(PluginTest, StatusIsHealthyAndTouchesNothing) {
  const Answer fresh = ask("STATUS", small());
  EXPECT_EQ(fresh.status, 0) << fresh.output;
  EXPECT_EQ(fresh.output, "");
  EXPECT_FALSE(fs::exists(data_dir));
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  const auto before = fakes::contents_of(folder.path() / "data");
  EXPECT_EQ(ask("STATUS", small()).status, 0);
  EXPECT_THAT(fakes::changes(before, fakes::contents_of(folder.path() / "data")), IsEmpty());
}

TEST_F(PluginTest, StatusTakesAHeldLockForHealth) {
  const std::string strict = conf(R"("subnet":"10.1.0.0/29","statusFailsWhenExhausted":true)");
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  const UniqueFd held(open((data_dir / "lock").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(held.get(), LOCK_EX), 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ask("STATUS", small()).status, 0);
  EXPECT_EQ(ask("STATUS", strict).status, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s) << "the kubelet waits for it";
}

TEST_F(PluginTest, StatusSaysThatAConfigurationIsInvalid) {
  EXPECT_EQ(ask("STATUS", conf(R"("subnet":"10.1.0.0/33")")).code(), 7);
  EXPECT_EQ(ask("STATUS", conf(R"("mode":"static","ranges":[])")).code(), 7);
  EXPECT_EQ(ask("STATUS", "{").code(), 6);
}

TEST_F(PluginTest, StatusSaysThatARangeIsExhaustedOnlyIfAsked) {
  const std::string strict = conf(R"("subnet":"10.1.0.0/29","statusFailsWhenExhausted":true)");
  for (const char* const container : {"a", "b", "c", "d", "e"}) {
    EXPECT_EQ(ask("STATUS", strict).status, 0) << container;
    ASSERT_EQ(ask_for(container, "ADD", small()).status, 0);
  }
  EXPECT_EQ(ask("STATUS", small()).status, 0);
  const Answer full = ask("STATUS", strict);
  EXPECT_EQ(full.status, 1);
  EXPECT_EQ(full.code(), 50);
  EXPECT_THAT(full.message(), HasSubstr("no IP addresses available in range set"));
  ASSERT_EQ(ask_for("c", "DEL", small()).status, 0);
  EXPECT_EQ(ask("STATUS", strict).status, 0) << "a cooling address will do";
}

TEST_F(PluginTest, StatusSaysThatTheStoreCannotBeWritten) {
  put(folder.path() / "file", "");
  const Answer below_a_file =
      ask("STATUS", R"({"cniVersion":"1.1.0","name":"net","ipam":{"subnet":"10.1.0.0/29",
          "dataDir":")" +
                        (folder.path() / "file" / "data").string() + "\"}}");
  EXPECT_EQ(below_a_file.status, 1);
  EXPECT_EQ(below_a_file.code(), 5);
  if (geteuid() != 0) {
    GTEST_SKIP() << "needs root, to become somebody else";
  }
  ASSERT_EQ(ask_for("a", "ADD", small()).status, 0);
  fs::permissions(folder.path(), fs::perms::all);
  // As somebody whom the folder of the store is not open to, and not its files.
  for (const fs::perms perms : {fs::perms::owner_all, fs::perms::all}) {
    fs::permissions(data_dir, perms);
    const pid_t child = fork();
    if (child == 0) {
      const bool changed =
          setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0;
      _exit(changed && ask("STATUS", small()).code() == 5 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fs::remove(folder.path() / "stdin");
  }
}

}  // namespace
}  // namespace podlease::plugin
