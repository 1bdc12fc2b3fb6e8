// Configurations are written as people write them. What a range becomes is compared as one line of
// text (see `described`), which a failure prints beside the JSON it came from.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/error.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/net/route.h"
#include "support.h"

namespace podlease::config {
namespace {

using namespace std::chrono_literals;

using std::string_view_literals::operator""sv;
using support::all_of;
using support::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

// What stands in `ipam`, as a whole configuration.
std::string with_ipam(std::string_view ipam) {
  return R"({"cniVersion": "1.0.0", "name": "net", "type": "macvlan", "ipam": )" +
         std::string(ipam) + "}";
}

// With members beside an `ipam` that is in order; `members` ends with a comma.
std::string with_members(std::string_view members) {
  return "{" + std::string(members) +
         R"("cniVersion": "1.0.0", "name": "net", "ipam": {"subnet": "10.1.0.0/16"}})";
}

NetConf conf_of(std::string_view text, std::string_view args_ip = {}) {
  return Document::parse(text).net_conf(args_ip);
}

std::optional<Error> refusal_of(std::string_view text, std::string_view args_ip = {}) {
  return error_of([&] { static_cast<void>(conf_of(text, args_ip)); });
}

// Refused as kConfig, in one line that says each of `mentions`.
void expect_refused(std::string_view text, const std::vector<std::string>& mentions,
                    std::string_view args_ip = {}) {
  SCOPED_TRACE(text);
  const auto error = refusal_of(text, args_ip);
  ASSERT_TRUE(error) << "accepted";
  EXPECT_EQ(error->kind(), ErrorKind::kConfig) << all_of(*error);
  EXPECT_THAT(error->what(), Not(HasSubstr("\n")));
  for (const std::string& mention : mentions) {
    EXPECT_THAT(error->what(), HasSubstr(mention)) << error->details();
  }
}

// PATH SUBNET FIRST-LAST GATEWAY /ANSWER; `=` before a gateway that was given, `-` for none.
std::string described(const AddressRange& range) {
  std::string gateway = "-";
  if (range.gateway) {
    gateway = (range.gateway_given ? "=" : "") + range.gateway->to_string();
  }
  return range.path + " " + range.subnet.to_string() + " " + range.range.to_string() + " " +
         gateway + " /" + std::to_string(range.answer_length);
}

// The ranges of each set, sets apart by null lines.
std::vector<std::string> described(const NetConf& conf) {
  std::vector<std::string> lines;
  for (const RangeSet& set : conf.range_sets) {
    if (!lines.empty()) {
      lines.emplace_back();
    }
    std::transform(set.ranges.begin(), set.ranges.end(), std::back_inserter(lines),
                   [](const AddressRange& range) { return described(range); });
  }
  return lines;
}

std::vector<std::string> described(const std::vector<RequestedAddress>& requested) {
  std::vector<std::string> lines;
  lines.reserve(requested.size());
  for (const RequestedAddress& request : requested) {
    lines.push_back(request.path + " " + request.address.to_string());
  }
  return lines;
}

std::vector<std::string> texts_of(const std::vector<net::Address>& addresses) {
  std::vector<std::string> texts;
  texts.reserve(addresses.size());
  for (const net::Address& address : addresses) {
    texts.push_back(address.to_string());
  }
  return texts;
}

std::vector<std::string> texts_of(const net::IntervalSet& set) {
  std::vector<std::string> texts;
  for (const net::Range& range : set.ranges()) {
    texts.push_back(range.to_string());
  }
  return texts;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

// Uses every key there is, in a way that is accepted.
constexpr std::string_view kEverything = R"({
  "cniVersion": "1.1.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "net", "type": "bridge", "isGateway": false,
  "ipMasq": true, "capabilities": {"ips": true, "ipRanges": true},
  "args": {"cni": {"ips": ["10.1.0.7"]}, "other": 1},
  "runtimeConfig": {"ipRanges": [[{"subnet": "10.3.0.0/24"}]], "ips": ["fd00::7", "10.2.0.7/24"]},
  "prevResult": {"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.7/16", "gateway": "10.1.0.1", "interface": 0}]},
  "cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}],
  "cni.dev/attachments": [{"containerID": "a", "ifname": "eth0"}],
  "ipam": {
    "type": "podlease", "mode": "static", "subnet": "10.1.0.0/16", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.250",
    "gateway": "10.1.0.1",
    "ranges": [[{"subnet": "fd00::/64", "gateway": "fd00::1"}, {"subnet": "fd00:1::/64", "rangeStart": "fd00:1::5"}],
               [{"subnet": "10.2.0.0/24", "rangeEnd": "10.2.0.9"}]],
    "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.0.0.0/8", "gw": "10.1.0.1", "mtu": 1400, "advmss": 1360,
                "priority": 10, "table": 7, "scope": 253}],
    "dataDir": "/tmp/x", "resolvConf": "/etc/resolv.conf", "exclude": ["10.1.0.9", "10.1.0.16/28", "10.1.0.40-10.1.0.50"],
    "prefix": "subnet", "families": ["ipv4", "ipv6"], "cooldown": "1m", "lockTimeout": "10s",
    "statusFailsWhenExhausted": true, "log": {"file": "/tmp/log", "level": "debug"}, "pool": "default",
    "kubernetes": {"kubeconfig": "/k", "nodeName": "n", "timeout": "2s", "refresh": "60s", "sources": ["spec"]}
  }})";

TEST(DocumentTest, RejectsWhatIsNotAnObject) {
  for (const std::string_view text : {""sv,
                                      " "sv,
                                      "null"sv,
                                      "[]"sv,
                                      "5"sv,
                                      "\"x\""sv,
                                      "true"sv,
                                      "{]"sv,
                                      "{'a': 1}"sv,
                                      "{\"a\": 1,}"sv,
                                      "{} x"sv,
                                      "{}{}"sv,
                                      "// c\n{}"sv,
                                      "{\"a\"}"sv,
                                      "\0"sv,
                                      "{}\0"sv,
                                      "{\"a\": \"\xff\"}"sv,
                                      "{\"a\": \"\\ud800\"}"sv,
                                      "{\"a\": \"\n\"}"sv,
                                      "{\"a\": 1e999}"sv,
                                      "{\"a\": 01}"sv,
                                      "{\"a\": NaN}"sv,
                                      "\xff\xfe{"sv}) {
    const auto error = error_of([&] { static_cast<void>(Document::parse(text)); });
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->kind(), ErrorKind::kDecode) << text;
    EXPECT_THAT(error->what(), Not(HasSubstr("\n"))) << text;
  }
}

TEST(DocumentTest, RejectsEveryShorterPart) {
  for (std::size_t size = 0; size < kEverything.size(); ++size) {
    const auto error =
        error_of([&] { static_cast<void>(Document::parse(kEverything.substr(0, size))); });
    ASSERT_TRUE(error) << size;
    ASSERT_EQ(error->kind(), ErrorKind::kDecode) << size;
  }
  static_cast<void>(Document::parse(kEverything));
}

TEST(DocumentTest, NamesThePlaceAtFault) {
  const auto error =
      error_of([] { static_cast<void>(Document::parse(R"({"name": "x" "y": 1})")); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("line 1, column 16")) << all_of(*error);
}

// All a reader may throw is Error, whatever stands in the document.
void expect_only_errors(std::string_view text) {
  try {
    const Document document = Document::parse(text);
    EXPECT_NO_THROW(static_cast<void>(document.lenient_essentials())) << text;
    static_cast<void>(error_of([&] { static_cast<void>(document.essentials()); }));
    static_cast<void>(error_of([&] { static_cast<void>(document.net_conf("10.1.0.5")); }));
    static_cast<void>(error_of([&] { static_cast<void>(document.previous_addresses()); }));
    static_cast<void>(error_of([&] { static_cast<void>(document.valid_attachments()); }));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kDecode) << text;
  } catch (const std::exception& other) {
    ADD_FAILURE() << other.what() << " for " << text;
  }
}

TEST(DocumentTest, NestsAsDeepAsGoAllowsAndBracketsInTextsDoNotCount) {
  const auto nested = [](std::size_t depth) {
    return R"({"name": "net", "x": )" + std::string(depth, '[') + std::string(depth, ']') + "}";
  };
  EXPECT_EQ(Document::parse(nested(9'999)).essentials().name, "net");
  const auto error = error_of([&] { static_cast<void>(Document::parse(nested(10'001))); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kDecode);
  const std::string brackets(20'000, '[');
  for (const std::string_view before : {"", "\\\"", "\\\\", "\\\\\\\""}) {
    EXPECT_EQ(
        Document::parse(R"({"x": ")" + std::string(before) + brackets + R"(", "name": "net"})")
            .essentials()
            .name,
        "net")
        << before;
  }
}

TEST(DocumentTest, RefusesObjectsOfTooManyKeysAtOnce) {
  const auto object_of = [](int keys) {
    std::string text = "{\"key\": [1, 2, \"a, b\"]";
    for (int i = 1; i < keys; ++i) {
      text += ", \"key-" + std::to_string(i) + "\": {}";
    }
    return text + "}";
  };
  EXPECT_NO_THROW(static_cast<void>(Document::parse(object_of(10'000))));
  EXPECT_NO_THROW(static_cast<void>(
      Document::parse("{\"a\": [" + object_of(6'000) + ", " + object_of(6'000) + "]}")));
  for (const std::string& text : {object_of(10'001), "{\"a\": [[" + object_of(1'000'000) + "]]}"}) {
    const auto error = error_of([&] { static_cast<void>(Document::parse(text)); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kDecode);
    EXPECT_THAT(error->what(), HasSubstr("more than 10000 keys"));
  }
}

TEST(DocumentTest, SurvivesDeepNesting) {
  constexpr std::size_t kDepth = 200'000;
  const std::string lists = std::string(kDepth, '[') + std::string(kDepth, ']');
  std::string objects;
  for (std::size_t i = 0; i < kDepth; ++i) {
    objects += R"({"a":)";
  }
  objects += "1" + std::string(kDepth, '}');
  for (const std::string& deep : {lists, objects}) {
    SCOPED_TRACE(deep.substr(0, 10));
    for (const std::string& text :
         {with_members(R"("unknown": )" + deep + ","),
          with_members(R"("prevResult": )" + deep + ","), with_members(R"("name": )" + deep + ","),
          with_ipam(deep), with_ipam(R"({"dataDir": )" + deep + "}"),
          with_ipam(R"({"ranges": )" + deep + "}"), with_ipam(R"({"exclude": )" + deep + "}"),
          with_ipam(R"({"subnet": "10.1.0.0/16", "unknown": )" + deep + "}"),
          "{\"a\": " + deep.substr(0, kDepth)}) {
      try {
        const Document document = Document::parse(text);
        EXPECT_NO_THROW(static_cast<void>(document.lenient_essentials()));
        static_cast<void>(error_of([&] { static_cast<void>(document.essentials()); }));
        const auto error = error_of([&] { static_cast<void>(document.net_conf({})); });
        if (error) {
          EXPECT_LT(all_of(*error).size(), 2000U);
        }
        static_cast<void>(error_of([&] { static_cast<void>(document.previous_addresses()); }));
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kDecode);
      }
    }
  }
}

TEST(DocumentTest, ThrowsNothingButErrors) {
  expect_only_errors(kEverything);
  const std::vector<std::string_view> pieces = {"null",     "{}",
                                                "[]",       "[null]",
                                                "[[]]",     "[{}]",
                                                "[[{}]]",   "\"\"",
                                                "0",        "-1",
                                                "1e300",    "18446744073709551615",
                                                "true",     "\"10.1.0.1\"",
                                                "\"::/0\"", "\"\\u0000\"",
                                                "{\"a\":",  ",",
                                                "\"",       "}",
                                                "]",        "\\",
                                                "\xff",     "\xc3\xa4"};
  for (unsigned seed = 0; seed < 4000 && !testing::Test::HasFailure(); ++seed) {
    std::mt19937 random(seed);
    std::string text(kEverything);
    for (auto edits = 1 + random() % 3; edits > 0; --edits) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        // A whole value or name in place of another.
        const std::size_t end = std::min(text.find_first_of(",]}:", at), text.size());
        const std::size_t before = text.find_last_of(",[{: ", at);
        const std::size_t start = before == std::string::npos ? 0 : std::min(before + 1, end);
        text.replace(start, end - start, pieces[random() % pieces.size()]);
      }
    }
    SCOPED_TRACE(seed);
    expect_only_errors(text);
  }
}

TEST(EssentialsTest, HaveDefaults) {
  for (const std::string_view text :
       {R"({"name": "net"})"sv, R"({"name": "net", "ipam": {}})"sv,
        R"({"name": "net", "ipam": null, "cniVersion": null})"sv,
        R"({"name": "net", "ipam": {"dataDir": "", "lockTimeout": null}})"sv,
        R"({"name": "net", "ipam": {"dataDir": null}})"sv}) {
    for (const bool lenient : {false, true}) {
      const Document document = Document::parse(text);
      const Essentials essentials = lenient ? document.lenient_essentials() : document.essentials();
      EXPECT_EQ(essentials.cni_version, "") << text;
      EXPECT_EQ(essentials.name, "net") << text;
      EXPECT_EQ(essentials.data_dir, "/var/lib/podlease") << text;
      EXPECT_FALSE(essentials.data_dir_given) << text;
      EXPECT_EQ(essentials.lock_timeout, 30s) << text;
    }
  }
}

TEST(EssentialsTest, AreReadInAnyCase) {
  for (
      const std::string_view text :
      {R"({"cniVersion": "1.0.0", "name": "net", "ipam": {"dataDir": "/x/y", "lockTimeout": "1m30s"}})"sv,
       R"({"CNIVERSION": "1.0.0", "Name": "net", "IPAM": {"datadir": "/x/y", "LockTimeout": "1m30s"}})"sv}) {
    for (const bool lenient : {false, true}) {
      const Document document = Document::parse(text);
      const Essentials essentials = lenient ? document.lenient_essentials() : document.essentials();
      EXPECT_EQ(essentials.cni_version, "1.0.0") << text;
      EXPECT_EQ(essentials.name, "net") << text;
      EXPECT_EQ(essentials.data_dir, "/x/y") << text;
      EXPECT_TRUE(essentials.data_dir_given) << text;
      EXPECT_EQ(essentials.lock_timeout, 90s) << text;
    }
    const Essentials of_conf = Document::parse(kEverything).net_conf({}).essentials;
    EXPECT_EQ(of_conf.cni_version, "1.1.0");
    EXPECT_EQ(of_conf.data_dir, "/tmp/x");
    EXPECT_EQ(of_conf.lock_timeout, 10s);
  }
}

TEST(EssentialsTest, LenientOnesReadTheLogIfTheyCan) {
  const auto log_of = [](std::string_view log) {
    return Document::parse(with_ipam(R"({"subnet": 5, "log": )" + std::string(log) + "}"))
        .lenient_essentials()
        .log;
  };
  EXPECT_EQ(log_of(R"({"file": "/x", "level": "error"})").file, "/x");
  EXPECT_EQ(log_of(R"({"file": "/x", "level": "error"})").level, LogLevel::kError);
  for (const std::string_view log : {R"("/x")", R"({"file": 5})", R"({"file": "x"})", "[]"}) {
    EXPECT_TRUE(log_of(log).file.empty()) << log;
  }
}

TEST(EssentialsTest, TheLaterOfTwoKeysCounts) {
  EXPECT_EQ(Document::parse(R"({"name": "a", "NAME": "b"})").essentials().name, "b");
  EXPECT_EQ(Document::parse(R"({"NAME": "a", "name": "b"})").essentials().name, "b");
  EXPECT_EQ(Document::parse(R"({"name": "a", "name": "b"})").essentials().name, "b");
}

TEST(EssentialsTest, RefuseWhatIsWrong) {
  struct Row {
    std::string_view text;
    ErrorKind kind;
    std::string_view mention;
  };
  const std::vector<Row> rows = {
      {"{}", ErrorKind::kConfig, "name"},
      {R"({"name": ""})", ErrorKind::kConfig, "name"},
      {R"({"name": null})", ErrorKind::kConfig, "name"},
      {R"({"name": 5})", ErrorKind::kConfig, "name"},
      {R"({"name": ["net"]})", ErrorKind::kConfig, "name"},
      {R"({"name": "a/b"})", ErrorKind::kConfig, "a/b"},
      {R"({"name": ".."})", ErrorKind::kConfig, "name"},
      {R"({"name": "a b"})", ErrorKind::kConfig, "a b"},
      {R"({"name": "a\u0000"})", ErrorKind::kConfig, "name"},
      {R"({"name": "net", "cniVersion": 1})", ErrorKind::kDecode, "cniVersion"},
      {R"({"name": "net", "cniVersion": ["1.0.0"]})", ErrorKind::kDecode, "cniVersion"},
      {R"({"name": "net", "ipam": []})", ErrorKind::kConfig, "ipam"},
      {R"({"name": "net", "ipam": "podlease"})", ErrorKind::kConfig, "ipam"},
      {R"({"name": "net", "ipam": {"dataDir": 5}})", ErrorKind::kConfig, "ipam.dataDir"},
      {R"({"name": "net", "ipam": {"dataDir": ["/x"]}})", ErrorKind::kConfig, "ipam.dataDir"},
      // Where would it be? Runtimes start plugins in whichever folder they like.
      {R"({"name": "net", "ipam": {"dataDir": "x"}})", ErrorKind::kConfig, "ipam.dataDir"},
      {R"({"name": "net", "ipam": {"dataDir": "/x\u0000y"}})", ErrorKind::kConfig, "ipam.dataDir"},
      {R"({"name": "net", "ipam": {"dataDir": "/x\ny"}})", ErrorKind::kConfig, "ipam.dataDir"},
      {R"({"name": "net", "ipam": {"lockTimeout": 30}})", ErrorKind::kConfig, "ipam.lockTimeout"},
      {R"({"name": "net", "ipam": {"lockTimeout": "soon"}})", ErrorKind::kConfig, "soon"},
      {R"({"name": "net", "ipam": {"lockTimeout": "-1s"}})", ErrorKind::kConfig, "-1s"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const Document document = Document::parse(row.text);
    const auto error = error_of([&] { static_cast<void>(document.essentials()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), row.kind);
    EXPECT_THAT(error->what(), HasSubstr(std::string(row.mention)));
    EXPECT_NO_THROW(static_cast<void>(document.lenient_essentials()));
  }
}

TEST(EssentialsTest, LenientOnesKeepWhatIsSound) {
  struct Row {
    std::string_view text;
    std::string_view cni_version;
    std::string_view name;
    std::string_view data_dir;
    Milliseconds lock_timeout;
  };
  const std::vector<Row> rows = {
      {"{}", "", "", kDefaultDataDir, 30s},
      {R"({"name": 5, "cniVersion": "1.0.0", "ipam": {"dataDir": "/x"}})", "1.0.0", "", "/x", 30s},
      {R"({"name": "a/b", "ipam": {"lockTimeout": "5s"}})", "", "", kDefaultDataDir, 5s},
      {R"({"name": "net", "cniVersion": {}, "ipam": []})", "", "net", kDefaultDataDir, 30s},
      {R"({"name": "net", "cniVersion": "9.9.9", "ipam": "x"})", "9.9.9", "net", kDefaultDataDir,
       30s},
      {R"({"name": "net", "ipam": {"dataDir": 5, "lockTimeout": "7s"}})", "", "net",
       kDefaultDataDir, 7s},
      {R"({"name": "net", "ipam": {"dataDir": "/x", "lockTimeout": 7}})", "", "net", "/x", 30s},
      {R"({"name": "net", "ipam": {"dataDir": "/x", "lockTimeout": "-7s"}})", "", "net", "/x", 30s},
      // Ranges of yesterday, or of nobody, and typing errors.
      {R"({"name": "net", "ipam": {"dataDir": "/x", "subnet": "nonsense", "ranges": 5}})", "",
       "net", "/x", 30s},
      {R"({"name": "net", "ipam": {"dataDir": "/x", "rangestrt": 1, "range_start": 1}})", "", "net",
       "/x", 30s},
      {R"({"name": "net", "type": "ptp", "ipam": {"dataDir": "/x", "gateway": "none"}})", "", "net",
       "/x", 30s},
      {R"({"name": "net", "prevResult": 5, "args": 5, "runtimeConfig": 5, "cni.dev/attachments": 5})",
       "", "net", kDefaultDataDir, 30s},
  };
  for (const Row& row : rows) {
    const Essentials essentials = Document::parse(row.text).lenient_essentials();
    EXPECT_EQ(essentials.cni_version, row.cni_version) << row.text;
    EXPECT_EQ(essentials.name, row.name) << row.text;
    EXPECT_EQ(essentials.data_dir, row.data_dir) << row.text;
    EXPECT_EQ(essentials.data_dir_given, row.data_dir != kDefaultDataDir) << row.text;
    EXPECT_EQ(essentials.lock_timeout, row.lock_timeout) << row.text;
  }
}

TEST(NetConfTest, HasDefaults) {
  const NetConf conf = conf_of(with_ipam(R"({"type": "podlease", "subnet": "10.1.0.0/16"})"));
  EXPECT_THAT(described(conf), ElementsAre("ipam 10.1.0.0/16 10.1.0.1-10.1.255.254 10.1.0.1 /16"));
  EXPECT_EQ(conf.essentials.name, "net");
  EXPECT_TRUE(conf.exclude.empty());
  EXPECT_EQ(conf.cooldown, 30s);
  EXPECT_THAT(conf.routes, IsEmpty());
  EXPECT_TRUE(conf.resolv_conf.empty());
  EXPECT_FALSE(conf.status_fails_when_exhausted);
  EXPECT_TRUE(conf.essentials.log.file.empty());
  EXPECT_EQ(conf.essentials.log.level, LogLevel::kInfo);
  EXPECT_THAT(conf.requested, IsEmpty());
  EXPECT_THAT(conf.warnings, IsEmpty()) << joined(conf.warnings);
}

TEST(NetConfTest, ReadsEveryKey) {
  const NetConf conf = conf_of(kEverything, "10.3.0.7");
  EXPECT_THAT(
      described(conf),
      ElementsAre("runtimeConfig.ipRanges[0][0] 10.3.0.0/24 10.3.0.1-10.3.0.254 10.3.0.1 /24", "",
                  "ipam 10.1.0.0/16 10.1.0.5-10.1.0.250 =10.1.0.1 /16", "",
                  "ipam.ranges[1][0] 10.2.0.0/24 10.2.0.1-10.2.0.9 10.2.0.1 /24", "",
                  "ipam.ranges[0][0] fd00::/64 fd00::1-fd00::ffff:ffff:ffff:ffff =fd00::1 /64",
                  "ipam.ranges[0][1] fd00:1::/64 fd00:1::5-fd00:1::ffff:ffff:ffff:ffff "
                  "fd00:1::1 /64"));
  EXPECT_THAT(described(conf.requested),
              ElementsAre("CNI_ARGS IP 10.3.0.7", "args.cni.ips[0] 10.1.0.7",
                          "runtimeConfig.ips[0] fd00::7", "runtimeConfig.ips[1] 10.2.0.7"));
  EXPECT_THAT(texts_of(conf.exclude),
              ElementsAre("10.1.0.9", "10.1.0.16-10.1.0.31", "10.1.0.40-10.1.0.50"));
  EXPECT_EQ(conf.cooldown, 60s);
  EXPECT_EQ(conf.resolv_conf, "/etc/resolv.conf");
  EXPECT_TRUE(conf.status_fails_when_exhausted);
  EXPECT_EQ(conf.essentials.log.file, "/tmp/log");
  EXPECT_EQ(conf.essentials.log.level, LogLevel::kDebug);
  ASSERT_THAT(conf.routes, SizeIs(2));
  EXPECT_EQ(conf.routes[0].destination.to_string(), "0.0.0.0/0");
  EXPECT_FALSE(conf.routes[0].gateway);
  EXPECT_EQ(conf.routes[0].mtu, 0);
  EXPECT_FALSE(conf.routes[0].table);
  EXPECT_FALSE(conf.routes[0].scope);
  EXPECT_EQ(conf.routes[1].destination.to_string(), "10.0.0.0/8");
  EXPECT_EQ(conf.routes[1].gateway, net::Address::parse("10.1.0.1"));
  EXPECT_EQ(conf.routes[1].mtu, 1400);
  EXPECT_EQ(conf.routes[1].advertised_mss, 1360);
  EXPECT_EQ(conf.routes[1].priority, 10);
  EXPECT_EQ(conf.routes[1].table, 7);
  EXPECT_EQ(conf.routes[1].scope, 253);
}

TEST(NetConfTest, NoRangesIsAnErrorThatSaysSo) {
  for (const std::string_view ipam :
       {R"({"mode": "static"})"sv, R"({"mode": "static", "ranges": []})"sv,
        R"({"mode": "static", "ranges": null})"sv,
        R"({"mode": "static", "rangeStart": "10.1.0.5"})"sv,
        R"({"mode": "static", "subnet": null})"sv}) {
    expect_refused(with_ipam(ipam), {});
  }
  // There is no silent default range, ever.
  for (const std::string_view text : {R"({"name": "net"})"sv, R"({"name": "net", "ipam": null})"sv,
                                      R"({"name": "net", "subnet": "10.1.0.0/16"})"sv}) {
    EXPECT_TRUE(refusal_of(text)) << text;
  }
  expect_refused(R"({"name": "net"})", {"ipam"});
}

TEST(NodeModeTest, IsTheModeWhereNoRangesAreGiven) {
  for (const std::string_view ipam :
       {R"({})"sv, R"({"type": "podlease"})"sv, R"({"mode": "Kubernetes"})"sv,
        R"({"ranges": []})"sv, R"({"rangeStart": "10.1.0.5"})"sv}) {
    const NetConf conf = conf_of(with_ipam(ipam));
    EXPECT_EQ(conf.mode, Mode::kKubernetes) << ipam;
    EXPECT_TRUE(conf.needs_node()) << ipam;
    EXPECT_THAT(conf.range_sets, IsEmpty()) << ipam;
  }
  EXPECT_EQ(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16"})")).mode, Mode::kStatic);
  EXPECT_EQ(conf_of(with_ipam(R"({"mode": "crd"})")).mode, Mode::kCrd);
  expect_refused(with_ipam(R"({"mode": "kubernetes", "subnet": "10.1.0.0/16"})"),
                 {"ipam.mode", "kubernetes", "ranges"});
  expect_refused(with_ipam(R"({"mode": "docker"})"), {"ipam.mode", "docker"});
}

TEST(NodeModeTest, ReadsHowTheApiIsAsked) {
  const KubernetesConf usual = conf_of(with_ipam("{}")).kubernetes;
  EXPECT_EQ(usual.timeout, 2s);
  EXPECT_EQ(usual.refresh, 60s);
  EXPECT_THAT(usual.sources, ElementsAre(CidrSource::kSpec, CidrSource::kAnnotation));
  const KubernetesConf conf = conf_of(with_ipam(R"({"kubernetes": {
      "kubeconfig": "/etc/k", "nodeName": "worker-1.example", "timeout": "500ms", "refresh": "5m",
      "sources": ["ciliumnode", "Spec"]}})"))
                                  .kubernetes;
  EXPECT_EQ(conf.kubeconfig, "/etc/k");
  EXPECT_EQ(conf.node_name, "worker-1.example");
  EXPECT_EQ(conf.timeout, 500ms);
  EXPECT_EQ(conf.refresh, 5min);
  EXPECT_THAT(conf.sources, ElementsAre(CidrSource::kCiliumNode, CidrSource::kSpec));

  const auto refused = [](const std::string& inside, const std::vector<std::string>& mentions) {
    expect_refused(with_ipam(R"({"kubernetes": {)" + inside + "}}"), mentions);
  };
  refused(R"("kubeconfig": "etc/k")", {"ipam.kubernetes.kubeconfig", "absolute"});
  refused(R"("nodeName": "a/b")", {"ipam.kubernetes.nodeName", "a/b"});
  refused(R"("nodeName": "Worker")", {"ipam.kubernetes.nodeName"});
  refused(R"("timeout": "0s")", {"ipam.kubernetes.timeout"});
  refused(R"("refresh": "often")", {"ipam.kubernetes.refresh", "often"});
  refused(R"("sources": ["spec", "spec"])", {"ipam.kubernetes.sources[1]", "twice"});
  refused(R"("sources": ["podCIDR"])", {"ipam.kubernetes.sources[0]", "podCIDR"});
  refused(R"("sources": [])", {"ipam.kubernetes.sources"});
}

// What a configuration makes of the CIDRs 10.244.1.0/24 and fd00:1::/64.
std::vector<std::string> resolved(std::string_view ipam) {
  const Document document = Document::parse(with_ipam(ipam));
  NetConf conf = document.net_conf("");
  document.resolve(conf, {{.cidr = *net::Prefix::parse("10.244.1.0/24"), .origin = "v4"},
                          {.cidr = *net::Prefix::parse("fd00:1::/64"), .origin = "v6"}});
  return described(conf);
}

TEST(NodeModeTest, MakesARangeSetOfEachCidr) {
  EXPECT_THAT(resolved("{}"),
              ElementsAre("v4 10.244.1.0/24 10.244.1.1-10.244.1.254 10.244.1.1 /24", "",
                          "v6 fd00:1::/64 fd00:1::1-fd00:1::ffff:ffff:ffff:ffff fd00:1::1 /64"));
  EXPECT_THAT(resolved(R"({"families": ["ipv4"], "gateway": "10.244.1.9"})"),
              ElementsAre("v4 10.244.1.0/24 10.244.1.1-10.244.1.254 =10.244.1.9 /24"));
  EXPECT_THAT(resolved(R"({"families": ["ipv6"], "gateway": "10.244.1.9"})"),
              ElementsAre("v6 fd00:1::/64 fd00:1::1-fd00:1::ffff:ffff:ffff:ffff fd00:1::1 /64"));
  EXPECT_THAT(resolved(R"({"families": ["ipv4"], "prefix": "host"})"),
              ElementsAre("v4 10.244.1.0/24 10.244.1.0-10.244.1.255 - /32"));
  EXPECT_THAT(resolved(R"({"families": ["ipv4"], "gateway": "none"})").front(),
              HasSubstr(" - /24"));
}

TEST(NodeModeTest, UsePodCidrIsTheNodesCidrInsideStaticRanges) {
  const NetConf conf = conf_of(
      with_ipam(R"({"ranges": [[{"subnet": "usePodCidr"}], [{"subnet": "USEPODCIDRIPV6"}]]})"));
  EXPECT_EQ(conf.mode, Mode::kStatic);
  EXPECT_THAT(conf.node_families, ElementsAre(net::Family::kIpv4, net::Family::kIpv6));
  EXPECT_THAT(resolved(R"({"ranges": [[{"subnet": "usePodCidr", "rangeStart": "10.244.1.20"},
                                       {"subnet": "10.9.0.0/24"}]]})"),
              ElementsAre("ipam.ranges[0][0] 10.244.1.0/24 10.244.1.20-10.244.1.254 10.244.1.1 /24",
                          "ipam.ranges[0][1] 10.9.0.0/24 10.9.0.1-10.9.0.254 10.9.0.1 /24"));
  EXPECT_THAT(resolved(R"({"subnet": "usePodCidrIPv6"})").front(), HasSubstr("fd00:1::/64"));
  const Document document = Document::parse(with_ipam(R"({"subnet": "usePodCidr"})"));
  NetConf unknown = document.net_conf("");
  const std::optional<Error> error = error_of([&] { document.resolve(unknown, {}); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("ipam.subnet \"usePodCidr\""));
}

TEST(RangeTest, FillsInTheDefaults) {
  struct Row {
    std::string_view ipam;
    std::string_view range;  // without its path
  };
  const std::vector<Row> rows = {
      {R"({"subnet": "10.1.0.0/30"})", "10.1.0.0/30 10.1.0.1-10.1.0.2 10.1.0.1 /30"},
      {R"({"subnet": "255.255.255.252/30"})",
       "255.255.255.252/30 255.255.255.253-255.255.255.254 255.255.255.253 /30"},
      {R"({"subnet": "128.0.0.0/2"})", "128.0.0.0/2 128.0.0.1-191.255.255.254 128.0.0.1 /2"},
      {R"({"subnet": "fd00::/126"})", "fd00::/126 fd00::1-fd00::3 fd00::1 /126"},
      {R"({"subnet": "8000::/2"})",
       "8000::/2 8000::1-bfff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 8000::1 /2"},
      // Of a subnet that holds such addresses, a range without them.
      {R"({"subnet": "0.0.0.0/0", "rangeStart": "10.1.0.5", "rangeEnd": "10.1.0.9", "gateway": "10.1.0.1"})",
       "0.0.0.0/0 10.1.0.5-10.1.0.9 =10.1.0.1 /0"},
      {R"({"subnet": "::/64", "rangeStart": "::5", "rangeEnd": "::9", "gateway": "::2"})",
       "::/64 ::5-::9 =::2 /64"},
      // Half of a range given.
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.100"})",
       "10.1.0.0/24 10.1.0.100-10.1.0.254 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.100"})",
       "10.1.0.0/24 10.1.0.1-10.1.0.100 10.1.0.1 /24"},
      {R"({"subnet": "fd00::/64", "rangeEnd": "fd00::ff"})",
       "fd00::/64 fd00::1-fd00::ff fd00::1 /64"},
      // Network and broadcast address, when asked for.
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.0", "rangeEnd": "10.1.0.255"})",
       "10.1.0.0/24 10.1.0.0-10.1.0.255 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.0", "rangeEnd": "10.1.0.0"})",
       "10.1.0.0/24 10.1.0.0 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.255", "rangeEnd": "10.1.0.255"})",
       "10.1.0.0/24 10.1.0.255 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.7", "rangeEnd": "10.1.0.7"})",
       "10.1.0.0/24 10.1.0.7 10.1.0.1 /24"},
      // Gateways.
      {R"({"subnet": "10.1.0.0/24", "gateway": "10.1.0.254"})",
       "10.1.0.0/24 10.1.0.1-10.1.0.254 =10.1.0.254 /24"},
      {R"({"subnet": "10.1.0.0/24", "gateway": "none"})", "10.1.0.0/24 10.1.0.1-10.1.0.254 - /24"},
      {R"({"subnet": "fd00::/64", "gateway": "fe80::1"})",
       "fd00::/64 fd00::1-fd00::ffff:ffff:ffff:ffff =fe80::1 /64"},
      // Empty, null, and any case.
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "", "rangeEnd": "", "gateway": ""})",
       "10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "rangeStart": null, "rangeEnd": null, "gateway": null})",
       "10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"},
      {R"({"SUBNET": "10.1.0.0/24", "rangestart": "10.1.0.5", "RangeEnd": "10.1.0.6", "gateWay": "10.1.0.9"})",
       "10.1.0.0/24 10.1.0.5-10.1.0.6 =10.1.0.9 /24"},
      // The text of Go's net.IP.
      {R"({"subnet": "10.1.0.0/24", "rangeStart": "::ffff:10.1.0.5", "rangeEnd": "::FFFF:a01:6", "gateway": "::ffff:10.1.0.9"})",
       "10.1.0.0/24 10.1.0.5-10.1.0.6 =10.1.0.9 /24"},
      {R"({"subnet": "FD00:0::/64", "rangeStart": "fd00:0:0::A"})",
       "fd00::/64 fd00::a-fd00::ffff:ffff:ffff:ffff fd00::1 /64"},
      // What an answer says.
      {R"({"subnet": "10.1.0.0/24", "prefix": "subnet"})",
       "10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "prefix": "pool"})",
       "10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"},
      {R"({"subnet": "10.1.0.0/24", "prefix": "host"})", "10.1.0.0/24 10.1.0.0-10.1.0.255 - /32"},
      {R"({"subnet": "fd00::/64", "prefix": "host"})",
       "fd00::/64 fd00::-fd00::ffff:ffff:ffff:ffff - /128"},
      {R"({"subnet": "10.1.0.0/24", "prefix": "host", "gateway": "10.1.0.1", "rangeStart": "10.1.0.9"})",
       "10.1.0.0/24 10.1.0.9-10.1.0.255 =10.1.0.1 /32"},
      {R"({"subnet": "10.1.0.0/24", "prefix": "host", "gateway": "none"})",
       "10.1.0.0/24 10.1.0.0-10.1.0.255 - /32"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.ipam);
    const auto error = refusal_of(with_ipam(row.ipam));
    ASSERT_FALSE(error) << all_of(*error);
    EXPECT_THAT(described(conf_of(with_ipam(row.ipam))),
                ElementsAre("ipam " + std::string(row.range)));
  }
}

TEST(RangeTest, RefusesWhatCannotWorkAndNamesIt) {
  struct Row {
    std::string_view ipam;
    std::vector<std::string> mentions;
  };
  const std::vector<Row> rows = {
      // Not a subnet.
      {R"({"subnet": "10.1.0.0"})", {"ipam.subnet", "10.1.0.0"}},
      {R"({"subnet": "10.1.0.0/33"})", {"ipam.subnet", "10.1.0.0/33"}},
      {R"({"subnet": "10.1.0.0/-1"})", {"ipam.subnet"}},
      {R"({"subnet": "10.1.0.0/255.255.0.0"})", {"ipam.subnet"}},
      {R"({"subnet": "10.01.0.0/16"})", {"ipam.subnet", "10.01.0.0/16"}},
      {R"({"subnet": " 10.1.0.0/16"})", {"ipam.subnet"}},
      {R"({"subnet": "nonsense"})", {"ipam.subnet", "nonsense"}},
      {R"({"subnet": "fd00::/129"})", {"ipam.subnet"}},
      {R"({"subnet": "::ffff:10.1.0.0/112"})", {"ipam.subnet"}},
      {R"({"ranges": [[{}]]})", {"ipam.ranges[0][0]"}},
      {R"({"ranges": [[{"rangeStart": "10.1.0.5"}]]})", {"ipam.ranges[0][0]"}},
      {R"({"ranges": [[{"subnet": null}]]})", {"ipam.ranges[0][0]"}},
      {R"({"ranges": [[{"subnet": ""}]]})", {"ipam.ranges[0][0]"}},
      // Host bits.
      {R"({"subnet": "10.1.2.3/16"})", {"ipam.subnet", "10.1.2.3/16"}},
      {R"({"subnet": "fd00::1/64"})", {"ipam.subnet", "fd00::1/64"}},
      // Too small, unless asked for.
      {R"({"subnet": "10.1.0.0/31"})", {"ipam.subnet", "10.1.0.0/31"}},
      {R"({"subnet": "10.1.0.0/32"})", {"ipam.subnet", "10.1.0.0/32"}},
      {R"({"subnet": "fd00::/127"})", {"ipam.subnet", "fd00::/127"}},
      {R"({"subnet": "fd00::/128"})", {"ipam.subnet", "fd00::/128"}},
      {R"({"subnet": "10.1.0.0/31", "rangeStart": "10.1.0.0"})", {"10.1.0.0/31"}},
      {R"({"subnet": "10.1.0.0/31", "rangeEnd": "10.1.0.1"})", {"10.1.0.0/31"}},
      {R"({"subnet": "10.1.0.0/31", "gateway": "none"})", {"10.1.0.0/31"}},
      {R"({"subnet": "10.1.0.0/31", "prefix": "pool"})", {"10.1.0.0/31"}},
      // Not an address.
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.1.0"})", {"ipam.rangeStart", "10.1.0"}},
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.1.0.05"})", {"ipam.rangeStart", "10.1.0.05"}},
      {R"({"subnet": "10.1.0.0/16", "rangeEnd": "10.1.0.9/16"})", {"ipam.rangeEnd", "10.1.0.9/16"}},
      {R"({"subnet": "10.1.0.0/16", "gateway": "router"})", {"ipam.gateway", "router"}},
      {R"({"subnet": "fd00::/64", "gateway": "fe80::1%eth0"})", {"ipam.gateway"}},
      // Not of the subnet.
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.2.0.0"})",
       {"ipam.rangeStart", "10.2.0.0", "10.1.0.0/16"}},
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.0.255.255"})",
       {"ipam.rangeStart", "10.0.255.255"}},
      {R"({"subnet": "10.1.0.0/16", "rangeEnd": "10.2.0.0"})",
       {"ipam.rangeEnd", "10.2.0.0", "10.1.0.0/16"}},
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "fd00::5"})", {"ipam.rangeStart", "fd00::5"}},
      {R"({"subnet": "fd00::/64", "rangeEnd": "10.1.0.5"})", {"ipam.rangeEnd", "10.1.0.5"}},
      {R"({"subnet": "fd00::/64", "rangeStart": "::ffff:10.1.0.5"})", {"ipam.rangeStart"}},
      {R"({"subnet": "10.1.0.0/16", "gateway": "fd00::1"})", {"ipam.gateway", "fd00::1"}},
      {R"({"subnet": "fd00::/64", "gateway": "10.1.0.1"})", {"ipam.gateway", "10.1.0.1"}},
      {R"({"subnet": "fd00::/64", "gateway": "::ffff:10.1.0.1"})", {"ipam.gateway"}},
      // The wrong way round, also with one end by default.
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"})",
       {"10.1.0.9", "10.1.0.8"}},
      {R"({"subnet": "fd00::/64", "rangeStart": "fd00::9", "rangeEnd": "fd00::8"})",
       {"fd00::9", "fd00::8"}},
      {R"({"subnet": "10.1.0.0/16", "rangeEnd": "10.1.0.0"})", {"10.1.0.0"}},
      {R"({"subnet": "10.1.0.0/16", "rangeStart": "10.1.255.255"})", {"10.1.255.255"}},
      {R"({"subnet": "fd00::/64", "rangeEnd": "fd00::"})", {"fd00::"}},
      // In the second range of the third set.
      {R"({"ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "10.2.0.0/16"}],
                      [{"subnet": "10.3.0.0/16"}, {"subnet": "10.4.0.0/16", "rangeStart": "10.5.0.0"}]]})",
       {"ipam.ranges[2][1].rangeStart", "10.5.0.0"}},
      // Sets.
      {R"({"ranges": [[]]})", {"ipam.ranges[0]"}},
      {R"({"ranges": [null]})", {"ipam.ranges[0]"}},
      {R"({"ranges": [[null]]})", {"ipam.ranges[0][0]"}},
      {R"({"subnet": "10.1.0.0/16", "ranges": [[]]})", {"ipam.ranges[0]"}},
      {R"({"ranges": [[{"subnet": "10.1.0.0/16"}, {"subnet": "fd00::/64"}]]})", {"ipam.ranges[0]"}},
      // Our own keys.
      {R"({"subnet": "10.1.0.0/16", "prefix": "hosts"})", {"ipam.prefix", "hosts"}},
      {R"({"subnet": "10.1.0.0/16", "mode": "statik"})", {"ipam.mode", "statik"}},
      {R"({"subnet": "10.1.0.0/16", "families": ["ipv5"]})", {"ipam.families[0]", "ipv5"}},
      {R"({"subnet": "10.1.0.0/16", "families": ["ipv4", null]})", {"ipam.families[1]"}},
      {R"({"subnet": "10.1.0.0/16", "families": ["ipv6"]})", {"ipam.families"}},
      {R"({"subnet": "10.1.0.0/16", "cooldown": "soon"})", {"ipam.cooldown", "soon"}},
      {R"({"subnet": "10.1.0.0/16", "cooldown": "-1s"})", {"ipam.cooldown", "-1s"}},
      {R"({"subnet": "10.1.0.0/16", "lockTimeout": "1"})", {"ipam.lockTimeout"}},
      {R"({"subnet": "10.1.0.0/16", "log": {"file": "/x", "level": "loud"}})",
       {"ipam.log.level", "loud"}},
      {R"({"subnet": "10.1.0.0/16", "exclude": ["10.1.0.1", "nonsense"]})",
       {"ipam.exclude[1]", "nonsense"}},
      {R"({"subnet": "10.1.0.0/16", "exclude": ["10.1.0.5/24"]})",
       {"ipam.exclude[0]", "10.1.0.5/24"}},
      {R"({"subnet": "10.1.0.0/16", "exclude": ["10.1.0.9-10.1.0.5"]})", {"ipam.exclude[0]"}},
      {R"({"subnet": "10.1.0.0/16", "exclude": [null]})", {"ipam.exclude[0]"}},
      {R"({"subnet": "10.1.0.0/16", "exclude": [""]})", {"ipam.exclude[0]"}},
      // Routes.
      {R"({"subnet": "10.1.0.0/16", "routes": [{}]})", {"ipam.routes[0]", "dst"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [null]})", {"ipam.routes[0]"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"gw": "10.1.0.1"}]})", {"ipam.routes[0]", "dst"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": null}]})", {"ipam.routes[0]", "dst"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": ""}]})", {"ipam.routes[0]", "dst"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": "default"}]})",
       {"ipam.routes[0].dst", "default"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": "10.0.0.1"}]})",
       {"ipam.routes[0].dst", "10.0.0.1"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": "0.0.0.0/0", "gw": "x"}]})",
       {"ipam.routes[0].gw", "x"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": "0.0.0.0/0", "mtu": 1.5}]})",
       {"ipam.routes[0].mtu"}},
      {R"({"subnet": "10.1.0.0/16", "routes": [{"dst": "0.0.0.0/0", "mtu": 18446744073709551615}]})",
       {"ipam.routes[0].mtu"}},
  };
  for (const Row& row : rows) {
    expect_refused(with_ipam(row.ipam), row.mentions);
  }
}

TEST(RangeTest, SmallSubnetsAreUsableWhenAskedFor) {
  struct Row {
    std::string_view ipam;
    std::string_view range;
    int answer_length;
  };
  const std::vector<Row> rows = {
      {R"({"subnet": "10.1.0.0/31", "rangeStart": "10.1.0.0", "rangeEnd": "10.1.0.1"})",
       "10.1.0.0-10.1.0.1", 31},
      {R"({"subnet": "10.1.0.6/32", "rangeStart": "10.1.0.6", "rangeEnd": "10.1.0.6"})", "10.1.0.6",
       32},
      {R"({"subnet": "fd00::/127", "rangeStart": "fd00::", "rangeEnd": "fd00::1"})",
       "fd00::-fd00::1", 127},
      {R"({"subnet": "fd00::6/128", "rangeStart": "fd00::6", "rangeEnd": "fd00::6"})", "fd00::6",
       128},
      {R"({"subnet": "255.255.255.254/32", "rangeStart": "255.255.255.254", "rangeEnd": "255.255.255.254"})",
       "255.255.255.254", 32},
      {R"({"subnet": "10.1.0.0/31", "prefix": "host"})", "10.1.0.0-10.1.0.1", 32},
      {R"({"subnet": "10.1.0.6/32", "prefix": "host"})", "10.1.0.6", 32},
      {R"({"subnet": "fd00::/127", "prefix": "host"})", "fd00::-fd00::1", 128},
      {R"({"subnet": "fd00::6/128", "prefix": "host"})", "fd00::6", 128},
      {R"({"subnet": "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "prefix": "host"})",
       "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.ipam);
    const auto error = refusal_of(with_ipam(row.ipam));
    ASSERT_FALSE(error) << all_of(*error);
    const NetConf conf = conf_of(with_ipam(row.ipam));
    const AddressRange& range = conf.range_sets.at(0).ranges.at(0);
    EXPECT_EQ(range.range.to_string(), row.range);
    EXPECT_EQ(range.answer_length, row.answer_length);
    // A default gateway is never invented outside the subnet.
    EXPECT_TRUE(!range.gateway || range.subnet.contains(*range.gateway))
        << range.gateway->to_string();
    EXPECT_FALSE(range.gateway_given);
  }
}

TEST(RangeTest, AGatewayOutsideTheSubnetIsAWarningForIpv4) {
  const NetConf odd = conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "gateway": "10.2.0.1"})"));
  EXPECT_THAT(described(odd), ElementsAre("ipam 10.1.0.0/16 10.1.0.1-10.1.255.254 =10.2.0.1 /16"));
  ASSERT_THAT(odd.warnings, SizeIs(1));
  EXPECT_THAT(odd.warnings[0], AllOf(HasSubstr("ipam.gateway"), HasSubstr("10.2.0.1")));
  EXPECT_THAT(conf_of(with_ipam(R"({"subnet": "fd00::/64", "gateway": "fe80::1"})")).warnings,
              IsEmpty());
}

TEST(RangeTest, SetsComeInTheOrderOfHostLocal) {
  const NetConf conf = conf_of(R"({"cniVersion": "0.3.0", "name": "net", "ipam": {
      "ranges": [[{"subnet": "10.4.0.0/24"}, {"subnet": "10.5.0.0/24"}], [{"subnet": "fd00::/64"}]],
      "subnet": "10.3.0.0/24"},
    "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]}})");
  std::vector<std::string> paths;
  std::vector<net::Family> families;
  for (const RangeSet& set : conf.range_sets) {
    families.push_back(set.family());
    for (const AddressRange& range : set.ranges) {
      paths.push_back(range.path);
    }
  }
  EXPECT_THAT(paths,
              ElementsAre("runtimeConfig.ipRanges[0][0]", "runtimeConfig.ipRanges[1][0]", "ipam",
                          "ipam.ranges[0][0]", "ipam.ranges[0][1]", "ipam.ranges[1][0]"));
  EXPECT_THAT(families, ElementsAre(net::Family::kIpv4, net::Family::kIpv4, net::Family::kIpv4,
                                    net::Family::kIpv4, net::Family::kIpv6));
}

TEST(RangeTest, OneSourceIsEnough) {
  EXPECT_THAT(
      described(conf_of(R"({"name": "net", "ipam": {},
                                    "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}})")),
      ElementsAre("runtimeConfig.ipRanges[0][0] 10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"));
  EXPECT_THAT(
      described(conf_of(R"({"name": "net", "ipam": {"ranges": [[{"subnet": "10.1.0.0/24"}]]},
                                    "runtimeConfig": {"ipRanges": null, "ips": null}, "args": {"cni": null}})")),
      ElementsAre("ipam.ranges[0][0] 10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"));
  EXPECT_THAT(
      described(conf_of(R"({"name": "net", "IPAM": {"RANGES": [[{"SubNet": "10.1.0.0/24"}]]},
                                    "runtimeConfig": null, "args": null})")),
      ElementsAre("ipam.ranges[0][0] 10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"));
}

TEST(RangeTest, OverlapsAreRefusedNamingBoth) {
  struct Row {
    std::string_view ranges;
    std::string_view one;
    std::string_view other;
  };
  const std::vector<Row> rows = {
      // Within a set, and across sets.
      {R"([[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/24"}]])", "ipam.ranges[0][0]",
       "ipam.ranges[0][1]"},
      {R"([[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/24"}]])", "ipam.ranges[0][0]",
       "ipam.ranges[1][0]"},
      {R"([[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/16"}]])", "ipam.ranges[0][0]",
       "ipam.ranges[1][0]"},
      {R"([[{"subnet": "10.1.0.0/16"}], [{"subnet": "10.1.7.0/24"}]])", "ipam.ranges[0][0]",
       "ipam.ranges[1][0]"},
      // By a single address, at either end.
      {R"([[{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9"}],
           [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}]])",
       "ipam.ranges[0][0]", "ipam.ranges[1][0]"},
      {R"([[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}],
           [{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9"}]])",
       "ipam.ranges[0][0]", "ipam.ranges[1][0]"},
      // Not only neighbours; a wide range hides between narrow ones.
      {R"([[{"subnet": "10.0.0.0/8", "rangeStart": "10.0.0.1", "rangeEnd": "10.200.0.0"}], [{"subnet": "fd00::/64"}],
           [{"subnet": "11.0.0.0/24"}, {"subnet": "10.199.0.0/24"}]])",
       "ipam.ranges[0][0]", "ipam.ranges[2][1]"},
      {R"([[{"subnet": "fd00::/64"}], [{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/112"}]])",
       "ipam.ranges[0][0]", "ipam.ranges[2][0]"},
  };
  for (const Row& row : rows) {
    expect_refused(with_ipam(R"({"ranges": )" + std::string(row.ranges) + "}"),
                   {std::string(row.one), std::string(row.other)});
  }
  // From two sources, but not the same.
  expect_refused(
      R"({"name": "net", "ipam": {"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.1.0.0/25"}]]}})",
      {"ipam.ranges[0][0]"});
  expect_refused(R"({"name": "net", "ipam": {"subnet": "10.1.0.0/24"},
                     "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.2"}]]}})",
                 {"runtimeConfig.ipRanges[0][0]", "ipam"});
  expect_refused(R"({"name": "net", "ipam": {"subnet": "10.1.0.0/24"},
                     "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24", "gateway": "10.1.0.9"}]]}})",
                 {"runtimeConfig.ipRanges[0][0]", "ipam"});
  expect_refused(
      R"({"name": "net", "ipam": {"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]]},
                     "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}})",
      {"runtimeConfig.ipRanges[0][0]", "ipam.ranges[0][0]"});
  // Twice in one source is an accident, also when another source has it too.
  expect_refused(
      R"({"name": "net", "ipam": {"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/24"}]]},
                     "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}})",
      {"ipam.ranges[1][0]"});
}

TEST(RangeTest, NeighboursDoNotOverlap) {
  EXPECT_THAT(
      described(conf_of(with_ipam(R"({"ranges": [[{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.9"},
                                                          {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.10"}],
                                                         [{"subnet": "10.1.1.0/24"}], [{"subnet": "8000::/2"}]]})"))),
      SizeIs(6));
}

TEST(RangeTest, IdenticalSetsFromTwoSourcesAreOne) {
  EXPECT_THAT(
      described(conf_of(R"({"name": "net", "ipam": {"subnet": "10.1.0.0/24"},
                                    "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}]]}})")),
      ElementsAre("runtimeConfig.ipRanges[0][0] 10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"));
  EXPECT_THAT(
      described(conf_of(
          R"({"name": "net", "ipam": {"subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.1.0.0/24"}],
                                                                                                [{"subnet": "fd00::/64"}]]},
                                    "runtimeConfig": {"ipRanges": [[{"subnet": "fd00::/64"}], [{"subnet": "10.1.0.0/24"}]]}})")),
      ElementsAre(
          "runtimeConfig.ipRanges[0][0] fd00::/64 fd00::1-fd00::ffff:ffff:ffff:ffff fd00::1 /64",
          "", "runtimeConfig.ipRanges[1][0] 10.1.0.0/24 10.1.0.1-10.1.0.254 10.1.0.1 /24"));
  // Spelled out or by default is the same.
  EXPECT_THAT(described(conf_of(R"({"name": "net",
      "ipam": {"ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.254"},
                           {"subnet": "10.2.0.0/24"}]]},
      "runtimeConfig": {"ipRanges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]]}})")),
              SizeIs(2));
}

TEST(RangeTest, TenThousandOfThem) {
  constexpr int kCount = 10'000;
  const auto subnet = [](int i) {
    return R"({"subnet": "10.)" + std::to_string(i / 256) + "." + std::to_string(i % 256) +
           R"(.0/24"})";
  };
  for (const std::string_view between : {", "sv, "], ["sv}) {
    std::string ranges = "[[" + subnet(0);
    for (int i = 1; i < kCount; ++i) {
      ranges.append(between).append(subnet(i));
    }
    const NetConf conf = conf_of(with_ipam(R"({"ranges": )" + ranges + "]]}"));
    std::size_t count = 0;
    for (const RangeSet& set : conf.range_sets) {
      count += set.ranges.size();
    }
    EXPECT_EQ(count, kCount);
    EXPECT_EQ(conf.range_sets.back().ranges.back().subnet.to_string(), "10.39.15.0/24");

    const std::string last = between == ", " ? "ipam.ranges[0][10000]" : "ipam.ranges[10000][0]";
    expect_refused(with_ipam(R"({"ranges": )" + ranges + std::string(between) + subnet(0) + "]]}"),
                   {"ipam.ranges[0][0]", last});
  }
}

TEST(FamiliesTest, ChooseAndOrderTheSets) {
  struct Row {
    std::string_view families;
    std::vector<std::string> subnets;
  };
  const std::vector<Row> rows = {
      {"null", {"10.1.0.0/16", "fd00::/64", "10.2.0.0/16"}},
      {R"(["ipv4"])", {"10.1.0.0/16", "10.2.0.0/16"}},
      {R"(["ipv6"])", {"fd00::/64"}},
      {R"(["ipv4", "ipv6"])", {"10.1.0.0/16", "10.2.0.0/16", "fd00::/64"}},
      {R"(["ipv6", "ipv4"])", {"fd00::/64", "10.1.0.0/16", "10.2.0.0/16"}},
  };
  for (const Row& row : rows) {
    const NetConf conf =
        conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "ranges": [[{"subnet": "fd00::/64"}],
        [{"subnet": "10.2.0.0/16"}]], "families": )" +
                          std::string(row.families) + "}"));
    std::vector<std::string> subnets;
    for (const RangeSet& set : conf.range_sets) {
      subnets.push_back(set.ranges.front().subnet.to_string());
    }
    EXPECT_EQ(subnets, row.subnets) << row.families;
  }
  // One that no range has: an attachment without it would be a surprise.
  expect_refused(with_ipam(R"({"subnet": "10.1.0.0/16", "families": ["ipv4", "ipv6"]})"),
                 {"ipam.families", "ipv6"});
  expect_refused(with_ipam(R"({"subnet": "10.1.0.0/16", "families": []})"), {"ipam.families"});
  // Twice would be two addresses of one range set.
  expect_refused(with_ipam(R"({"subnet": "10.1.0.0/16", "families": ["ipv4", "IPv4"]})"),
                 {"ipam.families[1]"});
}

TEST(FamiliesTest, OldVersionsHaveRoomForOneAddressEach) {
  for (const std::string_view version : {""sv, "0.1.0"sv, "0.2.0"sv, "0.3.0"sv, "1.1.0"sv}) {
    SCOPED_TRACE(version);
    const auto conf = [&](std::string_view ipam) {
      return R"({"name": "net", "cniVersion": ")" + std::string(version) + R"(", "ipam": )" +
             std::string(ipam) + "}";
    };
    const std::string two = conf(R"({"ranges": [[{"subnet": "10.1.0.0/16"}],
                                                [{"subnet": "10.2.0.0/16"}]]})");
    if (version.size() < 5 || version < "0.3.0") {
      expect_refused(two, {"cniVersion", "ipv4"});
    } else {
      EXPECT_FALSE(refusal_of(two));
    }
    EXPECT_FALSE(refusal_of(conf(R"({"ranges": [[{"subnet": "10.1.0.0/16"}],
        [{"subnet": "fd00::/64"}, {"subnet": "fd01::/64"}]]})")));
    EXPECT_FALSE(refusal_of(conf(R"({"families": ["ipv6"], "ranges": [[{"subnet": "10.1.0.0/16"}],
        [{"subnet": "10.2.0.0/16"}], [{"subnet": "fd00::/64"}]]})")));
  }
}

TEST(NetConfTest, ReadsDurations) {
  struct Row {
    std::string_view text;
    Milliseconds duration;
  };
  for (const Row& row : {Row{"\"0s\"", 0s}, Row{"\"0\"", 0s}, Row{"\"2m\"", 2min},
                         Row{"\"1h30m\"", 90min}, Row{"\"250ms\"", 250ms}, Row{"null", 30s}}) {
    const NetConf conf =
        conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "cooldown": )" + std::string(row.text) +
                          R"(, "lockTimeout": )" + std::string(row.text) + "}"));
    EXPECT_EQ(conf.cooldown, row.duration) << row.text;
    EXPECT_EQ(conf.essentials.lock_timeout, row.duration) << row.text;
  }
}

TEST(NetConfTest, ReadsLogLevels) {
  struct Row {
    std::string_view text;
    LogLevel level;
  };
  for (const Row& row : {Row{"debug", LogLevel::kDebug}, Row{"info", LogLevel::kInfo},
                         Row{"warning", LogLevel::kWarning}, Row{"error", LogLevel::kError}}) {
    const NetConf conf =
        conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "log": {"file": "/x", "level": ")" +
                          std::string(row.text) + "\"}}"));
    EXPECT_EQ(conf.essentials.log.level, row.level) << row.text;
    EXPECT_EQ(conf.essentials.log.file, "/x");
  }
  EXPECT_TRUE(
      conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "log": null})")).essentials.log.file.empty());
  EXPECT_TRUE(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "log": {"file": ""}})"))
                  .essentials.log.file.empty());
}

TEST(NetConfTest, ExcludesOfAnyFamilyAndAnywhere) {
  const NetConf conf = conf_of(with_ipam(R"({"subnet": "10.1.0.0/16",
      "exclude": ["10.1.0.7", "10.1.0.6", "fd00::/64", "192.168.0.0/16", "10.1.0.7-10.1.0.9", "fd01::1-fd01::2"]})"));
  EXPECT_THAT(texts_of(conf.exclude),
              ElementsAre("10.1.0.6-10.1.0.9", "192.168.0.0-192.168.255.255",
                          "fd00::-fd00::ffff:ffff:ffff:ffff", "fd01::1-fd01::2"));
  EXPECT_THAT(texts_of(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16",
                  "exclude": ["::ffff:10.1.0.7", "::ffff:10.1.0.16/124", "::/64"]})"))
                           .exclude),
              ElementsAre("10.1.0.7", "10.1.0.16-10.1.0.31", "::-::ffff:ffff:ffff:ffff"));
  EXPECT_TRUE(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "exclude": []})")).exclude.empty());
  EXPECT_TRUE(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "exclude": null})")).exclude.empty());
}

TEST(RouteTest, IsHandedOnAsItStands) {
  const NetConf conf = conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "routes": [
      {"dst": "192.168.1.7/16", "gw": ""}, {"DST": "::/0", "GW": "fe80::1", "MTU": 1280, "AdvMSS": 1220},
      {"dst": "10.0.0.0/8", "gw": "::ffff:10.1.0.1", "table": 0, "scope": 0, "priority": 0},
      {"dst": "10.0.0.0/8", "gw": null, "mtu": null, "table": null, "scope": null}]})"));
  ASSERT_THAT(conf.routes, SizeIs(4));
  EXPECT_EQ(conf.routes[0].destination.to_string(), "192.168.1.7/16");
  EXPECT_FALSE(conf.routes[0].gateway);
  EXPECT_EQ(conf.routes[1].destination.to_string(), "::/0");
  EXPECT_EQ(conf.routes[1].gateway, net::Address::parse("fe80::1"));
  EXPECT_EQ(conf.routes[1].mtu, 1280);
  EXPECT_EQ(conf.routes[1].advertised_mss, 1220);
  EXPECT_EQ(conf.routes[2].gateway, net::Address::parse("10.1.0.1"));
  EXPECT_EQ(conf.routes[2].table, 0);
  EXPECT_EQ(conf.routes[2].scope, 0);
  EXPECT_FALSE(conf.routes[3].gateway);
  EXPECT_FALSE(conf.routes[3].table);
  EXPECT_FALSE(conf.routes[3].scope);
  EXPECT_THAT(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "routes": null})")).routes, IsEmpty());
  EXPECT_THAT(conf_of(with_ipam(R"({"subnet": "10.1.0.0/16", "routes": []})")).routes, IsEmpty());
}

TEST(RequestedTest, AreOfAllSourcesInOrderAndOnce) {
  struct Row {
    std::string_view members;
    std::string_view args_ip;
    std::vector<std::string> requested;
  };
  const std::vector<Row> rows = {
      {"", "", {}},
      {"", "10.1.0.5", {"CNI_ARGS IP 10.1.0.5"}},
      {"", "10.1.0.5/24", {"CNI_ARGS IP 10.1.0.5"}},
      {"", "::ffff:10.1.0.5", {"CNI_ARGS IP 10.1.0.5"}},
      {"", "fd00::5", {"CNI_ARGS IP fd00::5"}},
      {R"("args": {"cni": {"ips": ["10.1.0.6", "10.1.0.5"]}}, "runtimeConfig": {"ips": ["10.1.0.7/16", "10.1.0.6/24"]},)",
       "10.1.0.5",
       {"CNI_ARGS IP 10.1.0.5", "args.cni.ips[0] 10.1.0.6", "runtimeConfig.ips[0] 10.1.0.7"}},
      {R"("args": {"cni": {"ips": ["::ffff:10.1.0.5", "10.1.0.5"]}},)",
       "",
       {"args.cni.ips[0] 10.1.0.5"}},
      {R"("ARGS": {"CNI": {"IPs": ["10.1.0.5"]}}, "RUNTIMECONFIG": {"IPS": ["10.1.0.6"]},)",
       "",
       {"args.cni.ips[0] 10.1.0.5", "runtimeConfig.ips[0] 10.1.0.6"}},
      {R"("args": {"cni": {"ips": []}}, "runtimeConfig": {"ips": []},)", "", {}},
      {R"("args": {"cni": {"ips": null}}, "runtimeConfig": {"ips": null},)", "", {}},
      {R"("args": {"cni": {}}, "runtimeConfig": {},)", "", {}},
      {R"("args": {},)", "", {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.members) + " " + std::string(row.args_ip));
    const auto error = refusal_of(with_members(row.members), row.args_ip);
    ASSERT_FALSE(error) << all_of(*error);
    EXPECT_EQ(described(conf_of(with_members(row.members), row.args_ip).requested), row.requested);
  }
}

TEST(RequestedTest, AreRefusedWhenNoAddress) {
  // CNI_ARGS is of the environment.
  for (const std::string_view ip : {"nonsense", "10.1.0.05", "10.1.0.5/33", "10.1.0.5/", "/16",
                                    "10.1.0.5/x", " 10.1.0.5", "10.1.0.5,10.1.0.6", "\xff"}) {
    const auto error = refusal_of(with_members(""), ip);
    ASSERT_TRUE(error) << ip;
    EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << ip;
    EXPECT_THAT(error->what(), AllOf(HasSubstr("CNI_ARGS IP"), HasSubstr(std::string(ip))));
  }
  expect_refused(with_members(R"("args": {"cni": {"ips": ["10.1.0.5", "nonsense"]}},)"),
                 {"args.cni.ips[1]", "nonsense"});
  expect_refused(with_members(R"("args": {"cni": {"ips": [null]}},)"), {"args.cni.ips[0]"});
  expect_refused(with_members(R"("args": {"cni": {"ips": ["10.1.0.5", 7]}},)"),
                 {"args.cni.ips[1]", "7"});
  expect_refused(with_members(R"("runtimeConfig": {"ips": [null]},)"), {"runtimeConfig.ips[0]"});
  expect_refused(with_members(R"("runtimeConfig": {"ips": ["10.1.0.5/x"]},)"),
                 {"runtimeConfig.ips[0]", "10.1.0.5/x"});
}

TEST(KeysTest, TypingErrorsAreRefusedNamingBoth) {
  struct Row {
    std::string_view typed;
    std::string_view known;
  };
  const std::vector<Row> rows = {
      // A letter left out, too many, or another.
      {"rangeStar", "rangeStart"},
      {"angeStart", "rangeStart"},
      {"rangStart", "rangeStart"},
      {"rangeStartt", "rangeStart"},
      {"xrangeStart", "rangeStart"},
      {"rangeSturt", "rangeStart"},
      {"rangeEnds", "rangeEnd"},
      {"gatway", "gateway"},
      {"subnets", "subnet"},
      {"subent", "subnet"},
      {"range", "ranges"},
      {"route", "routes"},
      {"excludes", "exclude"},
      {"coldown", "cooldown"},
      {"dataDirs", "dataDir"},
      {"resolveConf", "resolvConf"},
      {"lockTimeouts", "lockTimeout"},
      {"famlies", "families"},
      {"prefx", "prefix"},
      {"kubernets", "kubernetes"},
      {"statusFailWhenExhausted", "statusFailsWhenExhausted"},
      // The habits of other formats, in any case.
      {"range_start", "rangeStart"},
      {"range-start", "rangeStart"},
      {"RANGE_START", "rangeStart"},
      {"range_end", "rangeEnd"},
      {"data_dir", "dataDir"},
      {"data-dir", "dataDir"},
      {"resolv_conf", "resolvConf"},
      {"lock_timeout", "lockTimeout"},
      {"cool-down", "cooldown"},
      {"cool_down", "cooldown"},
      {"status_fails_when_exhausted", "statusFailsWhenExhausted"},
      {"Status-Fails-When-Exhausted", "statusFailsWhenExhausted"},
      {"RANGESTAR", "rangeStart"},
  };
  for (const Row& row : rows) {
    expect_refused(
        with_ipam(R"({"subnet": "10.1.0.0/16", ")" + std::string(row.typed) + R"(": "x"})"),
        {std::string(row.typed), std::string(row.known)});
  }
  expect_refused(
      with_ipam(
          R"({"ranges": [[{"subnet": "10.1.0.0/16"}, {"subnet": "10.2.0.0/16", "rangeSart": "10.2.0.5"}]]})"),
      {"ipam.ranges[0][1]", "rangeSart", "rangeStart"});
  expect_refused(with_ipam(R"({"subnet": "10.1.0.0/16", "kubernetes": {"node_name": "x"}})"),
                 {"node_name", "nodeName"});
}

TEST(KeysTest, OtherUnknownOnesOnlyWarn) {
  struct Row {
    std::string_view ipam;
    std::string_view key;
  };
  const std::vector<Row> rows = {
      {R"({"subnet": "10.1.0.0/16", "unheardOf": {"deep": [1]}})", "unheardOf"},
      // Two edits.
      {R"({"subnet": "10.1.0.0/16", "rangeBeg": "x"})", "rangeBeg"},
      {R"({"subnet": "10.1.0.0/16", "prefixes": []})", "prefixes"},
      // Known ones of less than six letters have too many neighbours.
      {R"({"subnet": "10.1.0.0/16", "modes": "x"})", "modes"},
      {R"({"subnet": "10.1.0.0/16", "pools": "x"})", "pools"},
      {R"({"subnet": "10.1.0.0/16", "lag": "x"})", "lag"},
      {R"({"subnet": "10.1.0.0/16", "types": "x"})", "types"},
      {R"({"subnet": "10.1.0.0/16", "": "x"})", "ipam"},
      {R"({"ranges": [[{"subnet": "10.1.0.0/16", "vlan": 7}]]})", "vlan"},
      {R"({"subnet": "10.1.0.0/16", "log": {"files": "/x"}})", "files"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.ipam);
    const auto error = refusal_of(with_ipam(row.ipam));
    ASSERT_FALSE(error) << all_of(*error);
    const std::vector<std::string> warnings = conf_of(with_ipam(row.ipam)).warnings;
    ASSERT_THAT(warnings, SizeIs(1));
    EXPECT_THAT(warnings[0], HasSubstr(std::string(row.key)));
  }
}

TEST(KeysTest, KnownOnesDoNotWarn) {
  const std::vector<std::string> warnings = conf_of(kEverything).warnings;
  EXPECT_THAT(warnings, IsEmpty()) << joined(warnings);
}

// They are the main plugin's, the runtime's, or of a version to come: cniVersions is one letter
// from cniVersion.
TEST(KeysTest, OutsideIpamAreNotOurs) {
  const NetConf conf = conf_of(with_members(
      R"("cniVersions": ["1.0.0"], "disableGC": true, "runtime_config": 1, "prevResults": 1, "mtu": 1500, "vlan": 5,
         "runtimeConfig": {"portMappings": [], "dns": {}, "ip": 1, "io.kubernetes.cri.pod-annotations": {}},
         "args": {"cni": {"labels": [], "ip": "x"}, "cn": 1},)"));
  EXPECT_THAT(conf.warnings, IsEmpty()) << joined(conf.warnings);
}

TEST(TypesTest, WrongOnesAreRefusedWithTheirPath) {
  struct Row {
    std::string_view text;  // under ipam, after a subnet
    std::string_view path;
  };
  const std::vector<Row> rows = {
      {R"("subnet": 7)", "ipam.subnet"},
      {R"("subnet": ["10.1.0.0/16"])", "ipam.subnet"},
      {R"("rangeStart": 5)", "ipam.rangeStart"},
      {R"("rangeEnd": {})", "ipam.rangeEnd"},
      {R"("gateway": false)", "ipam.gateway"},
      {R"("ranges": {})", "ipam.ranges"},
      {R"("ranges": "10.2.0.0/16")", "ipam.ranges"},
      {R"("ranges": [{"subnet": "10.2.0.0/16"}])", "ipam.ranges[0]"},
      {R"("ranges": ["10.2.0.0/16"])", "ipam.ranges[0]"},
      {R"("ranges": [["10.2.0.0/16"]])", "ipam.ranges[0][0]"},
      {R"("ranges": [[{"subnet": "10.2.0.0/16"}, 5]])", "ipam.ranges[0][1]"},
      {R"("ranges": [[{"subnet": true}]])", "ipam.ranges[0][0].subnet"},
      {R"("ranges": [[{"subnet": "10.2.0.0/16", "rangeStart": 1}]])",
       "ipam.ranges[0][0].rangeStart"},
      {R"("ranges": [[{"subnet": "10.2.0.0/16", "gateway": []}]])", "ipam.ranges[0][0].gateway"},
      {R"("routes": {})", "ipam.routes"},
      {R"("routes": ["0.0.0.0/0"])", "ipam.routes[0]"},
      {R"("routes": [{"dst": 5}])", "ipam.routes[0].dst"},
      {R"("routes": [{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": []}])", "ipam.routes[1].gw"},
      {R"("routes": [{"dst": "0.0.0.0/0", "mtu": "1500"}])", "ipam.routes[0].mtu"},
      {R"("routes": [{"dst": "0.0.0.0/0", "advmss": true}])", "ipam.routes[0].advmss"},
      {R"("routes": [{"dst": "0.0.0.0/0", "priority": []}])", "ipam.routes[0].priority"},
      {R"("routes": [{"dst": "0.0.0.0/0", "table": "main"}])", "ipam.routes[0].table"},
      {R"("routes": [{"dst": "0.0.0.0/0", "scope": {}}])", "ipam.routes[0].scope"},
      {R"("routes": [{"dst": "0.0.0.0/0", "scope": 99999999999999999999}])",
       "ipam.routes[0].scope"},
      {R"("dataDir": 5)", "ipam.dataDir"},
      {R"("resolvConf": {})", "ipam.resolvConf"},
      {R"("mode": 5)", "ipam.mode"},
      {R"("exclude": "10.1.0.5")", "ipam.exclude"},
      {R"("exclude": [5])", "ipam.exclude[0]"},
      {R"("exclude": {"10.1.0.5": true})", "ipam.exclude"},
      {R"("prefix": 24)", "ipam.prefix"},
      {R"("families": "ipv4")", "ipam.families"},
      {R"("families": [4])", "ipam.families[0]"},
      {R"("cooldown": 30)", "ipam.cooldown"},
      {R"("lockTimeout": 30)", "ipam.lockTimeout"},
      {R"("statusFailsWhenExhausted": "true")", "ipam.statusFailsWhenExhausted"},
      {R"("statusFailsWhenExhausted": 1)", "ipam.statusFailsWhenExhausted"},
      {R"("log": "/var/log/podlease")", "ipam.log"},
      {R"("log": {"file": 5})", "ipam.log.file"},
      {R"("log": {"file": "/x", "level": 3})", "ipam.log.level"},
  };
  for (const Row& row : rows) {
    // Of two keys the later one counts, thus the subnet before does not mend the one in the row.
    expect_refused(with_ipam(R"({"subnet": "10.1.0.0/16", )" + std::string(row.text) + "}"),
                   {std::string(row.path)});
  }
  const std::vector<Row> beside = {
      {R"("runtimeConfig": [],)", "runtimeConfig"},
      {R"("runtimeConfig": {"ipRanges": {}},)", "runtimeConfig.ipRanges"},
      {R"("runtimeConfig": {"ipRanges": [{}]},)", "runtimeConfig.ipRanges[0]"},
      {R"("runtimeConfig": {"ipRanges": [[5]]},)", "runtimeConfig.ipRanges[0][0]"},
      {R"("runtimeConfig": {"ips": "10.1.0.5"},)", "runtimeConfig.ips"},
      {R"("runtimeConfig": {"ips": [5]},)", "runtimeConfig.ips[0]"},
      {R"("args": [],)", "args"},
      {R"("args": {"cni": []},)", "args.cni"},
      {R"("args": {"cni": {"ips": "10.1.0.5"}},)", "args.cni.ips"},
      {R"("args": {"cni": {"ips": [{}]}},)", "args.cni.ips[0]"},
  };
  for (const Row& row : beside) {
    expect_refused(with_members(row.text), {std::string(row.path)});
  }
}

TEST(TypesTest, ALongValueIsCutInTheMessage) {
  const auto error = refusal_of(with_ipam(R"({"subnet": ")" + std::string(1'000'000, 'x') + "\"}"));
  ASSERT_TRUE(error);
  EXPECT_LT(all_of(*error).size(), 1000U);
  const auto list = refusal_of(with_ipam(R"({"subnet": ["1")" + [] {
    std::string rest;
    for (int i = 0; i < 100'000; ++i) {
      rest += R"(, "2")";
    }
    return rest;
  }() + "]}"));
  ASSERT_TRUE(list);
  EXPECT_LT(all_of(*list).size(), 1000U);
}

TEST(MainPluginTest, AccidentsAreRefused) {
  struct Row {
    std::string_view members;
    std::string_view ipam;
    bool refused;
  };
  constexpr std::string_view kWith = R"({"subnet": "10.1.0.0/16"})";
  constexpr std::string_view kWithout = R"({"subnet": "10.1.0.0/16", "gateway": "none"})";
  constexpr std::string_view kHost = R"({"subnet": "10.1.0.0/16", "prefix": "host"})";
  constexpr std::string_view kHostGiven =
      R"({"subnet": "10.1.0.0/16", "prefix": "host", "gateway": "10.1.0.1"})";
  constexpr std::string_view kHalf =
      R"({"ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}, {"subnet": "fd01::/64", "gateway": "none"}]]})";
  const std::vector<Row> rows = {
      {R"("type": "bridge", "isGateway": true)", kWithout, true},
      {R"("type": "bridge", "isGateway": true)", kHost, true},
      {R"("type": "bridge", "isGateway": true)", kHalf, true},
      {R"("type": "bridge", "isDefaultGateway": true)", kWithout, true},
      {R"("type": "bridge", "isDefaultGateway": true, "isGateway": false)", kWithout, true},
      {R"("TYPE": "bridge", "ISGATEWAY": true)", kWithout, true},
      {R"("type": "ptp")", kWithout, true},
      {R"("type": "ptp")", kHost, true},
      {R"("type": "ptp")", kHalf, true},
      {R"("type": "bridge", "isGateway": true)", kWith, false},
      {R"("type": "bridge", "isGateway": true)", kHostGiven, false},
      {R"("type": "bridge", "isDefaultGateway": true)", kWith, false},
      {R"("type": "bridge")", kWithout, false},
      {R"("type": "bridge")", kHost, false},
      {R"("type": "bridge", "isGateway": false, "isDefaultGateway": false)", kWithout, false},
      {R"("type": "bridge", "isGateway": null)", kWithout, false},
      {R"("type": "ptp")", kWith, false},
      {R"("type": "ptp")", kHostGiven, false},
      {R"("type": "macvlan", "isGateway": true)", kWithout, false},
      {R"("mtu": 1500)", kWithout, false},
      {R"("type": null)", kWithout, false},
  };
  for (const Row& row : rows) {
    const std::string text = R"({"name": "net", )" + std::string(row.members) + R"(, "ipam": )" +
                             std::string(row.ipam) + "}";
    SCOPED_TRACE(text);
    const auto error = refusal_of(text);
    ASSERT_EQ(error.has_value(), row.refused) << (error ? all_of(*error) : "");
    if (error) {
      EXPECT_EQ(error->kind(), ErrorKind::kConfig);
      EXPECT_THAT(all_of(*error), HasSubstr("gateway"));
      EXPECT_THAT(error->details(), Not(IsEmpty())) << "the remedy is not said";
      EXPECT_NO_THROW(static_cast<void>(Document::parse(text).lenient_essentials()));
      EXPECT_NO_THROW(static_cast<void>(Document::parse(text).essentials()));
    }
  }
}

TEST(MainPluginTest, ASecondSubnetOfAFamilyOnABridgeGatewayIsAWarning) {
  const auto warnings_of = [](std::string_view members, std::string_view ranges) {
    return conf_of(R"({"name": "net", "cniVersion": "1.0.0", )" + std::string(members) +
                   R"(, "ipam": {"ranges": )" + std::string(ranges) + "}}")
        .warnings;
  };
  constexpr std::string_view kGateway = R"("type": "bridge", "isGateway": true)";
  constexpr std::string_view kOneSet =
      R"([[{"subnet": "10.1.0.0/16"}, {"subnet": "10.2.0.0/16"}]])";
  constexpr std::string_view kTwoSets =
      R"([[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}], [{"subnet": "10.2.0.0/16"}]])";
  EXPECT_THAT(warnings_of(kGateway, kOneSet),
              ElementsAre(AllOf(HasSubstr("ipam.ranges[0][1]"), HasSubstr("ipam.ranges[0][0]"))));
  EXPECT_THAT(warnings_of(kGateway, kTwoSets),
              ElementsAre(AllOf(HasSubstr("ipam.ranges[2][0]"), HasSubstr("ipam.ranges[0][0]"))));
  EXPECT_THAT(warnings_of(R"("type": "bridge")", kOneSet), IsEmpty());
  EXPECT_THAT(warnings_of(R"("type": "ptp")", kTwoSets), IsEmpty());
  EXPECT_THAT(warnings_of(kGateway, R"([[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}]])"),
              IsEmpty());
}

TEST(PreviousAddressesTest, AreReadFromEveryShape) {
  struct Row {
    std::string_view previous;
    std::vector<std::string> addresses;
  };
  const std::vector<Row> rows = {
      {R"({"cniVersion": "1.0.0", "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 2},
                                          {"address": "fd00::5/64"}], "dns": {}})",
       {"10.1.0.5", "fd00::5"}},
      {R"({"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.0.5/16"}], "dns": {}})",
       {"10.1.0.5"}},
      {R"({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": []},
           "ip6": {"ip": "fd00::5/64"}, "dns": {}})",
       {"10.1.0.5", "fd00::5"}},
      {R"({"ip6": {"ip": "fd00::5/64"}})", {"fd00::5"}},
      {R"({"ip4": null, "ip6": {"ip": "fd00::5/64"}})", {"fd00::5"}},
      {R"({"IPs": [{"Address": "10.1.0.5/16"}]})", {"10.1.0.5"}},
      {R"({"ips": [{"address": "10.1.0.5/32"}]})", {"10.1.0.5"}},
      {R"({"ips": null})", {}},
      {R"({"ips": []})", {}},
      {R"({"interfaces": [{"name": "eth0"}]})", {}},
      {"{}", {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.previous);
    const std::string text = R"({"name": "net", "prevResult": )" + std::string(row.previous) + "}";
    const auto addresses = Document::parse(text).previous_addresses();
    ASSERT_TRUE(addresses);
    EXPECT_EQ(texts_of(*addresses), row.addresses);
  }
  EXPECT_EQ(Document::parse(R"({"name": "net"})").previous_addresses(), std::nullopt);
  EXPECT_EQ(Document::parse(R"({"name": "net", "prevResult": null})").previous_addresses(),
            std::nullopt);
  EXPECT_TRUE(Document::parse(R"({"name": "net", "PREVRESULT": {}})").previous_addresses());
}

TEST(PreviousAddressesTest, NameWhatIsWrong) {
  struct Row {
    std::string_view previous;
    std::string_view path;
  };
  const std::vector<Row> rows = {
      {"[]", "prevResult"},
      {"\"x\"", "prevResult"},
      {R"({"ips": {}})", "prevResult.ips"},
      {R"({"ips": ["10.1.0.5/16"]})", "prevResult.ips[0]"},
      {R"({"ips": [{"address": "10.1.0.5/33"}]})", "prevResult.ips[0].address"},
      {R"({"ips": [{"address": "10.1.0.5/16"}, {"address": 5}]})", "prevResult.ips[1].address"},
      {R"({"ips": [{"address": "nonsense"}]})", "prevResult.ips[0].address"},
      {R"({"ip4": "10.1.0.5/16"})", "prevResult.ip4"},
      {R"({"ip4": {"ip": "nonsense"}})", "prevResult.ip4.ip"},
      {R"({"ip6": {"ip": 5}})", "prevResult.ip6.ip"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.previous);
    const Document document =
        Document::parse(R"({"name": "net", "prevResult": )" + std::string(row.previous) + "}");
    const auto error = error_of([&] { static_cast<void>(document.previous_addresses()); });
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::kConfig);
    EXPECT_THAT(error->what(), HasSubstr(std::string(row.path)));
  }
}

TEST(ValidAttachmentsTest, TellNothingFromNone) {
  struct Row {
    std::string_view members;
    bool given;
    std::vector<AttachmentKey> attachments;
  };
  const AttachmentKey a{"net", "a", "eth0"};
  const AttachmentKey b{"net", "b", "net1"};
  const std::vector<Row> rows = {
      {"", false, {}},
      {R"("other": [],)", false, {}},
      {R"("cni.dev/valid-attachments": null,)", true, {}},
      {R"("cni.dev/attachments": null,)", true, {}},
      {R"("cni.dev/valid-attachments": null, "cni.dev/attachments": null,)", true, {}},
      {R"("cni.dev/valid-attachments": [],)", true, {}},
      {R"("cni.dev/attachments": [],)", true, {}},
      {R"("cni.dev/valid-attachments": [{"containerID": "a", "ifname": "eth0"}, {"containerID": "b", "ifname": "net1"}],)",
       true,
       {a, b}},
      {R"("cni.dev/attachments": [{"containerID": "a", "ifname": "eth0"}],)", true, {a}},
      {R"("cni.dev/attachments": [{"containerID": "a", "ifname": "eth0"}],
          "cni.dev/valid-attachments": [{"containerID": "b", "ifname": "net1"}],)",
       true,
       {b}},
      {R"("cni.dev/attachments": [{"containerID": "a", "ifname": "eth0"}], "cni.dev/valid-attachments": [],)",
       true,
       {}},
      {R"("CNI.dev/Valid-Attachments": [{"containerid": "a", "IfName": "eth0", "more": 1}],)",
       true,
       {a}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.members);
    const ValidAttachments valid =
        Document::parse("{" + std::string(row.members) + R"("name": "net"})").valid_attachments();
    EXPECT_EQ(valid.given, row.given);
    EXPECT_TRUE(valid.attachments == row.attachments) << valid.attachments.size();
  }
}

// An entry that cannot be understood must not count as "not valid": its lease would be freed.
TEST(ValidAttachmentsTest, RefuseWhatTheyCannotUnderstand) {
  for (const std::string_view list :
       {R"({})"sv, R"("all")"sv, R"(["a"])"sv, R"([null])"sv, R"([{}])"sv,
        R"([{"containerID": "a"}])"sv, R"([{"ifname": "eth0"}])"sv,
        R"([{"containerID": 5, "ifname": "eth0"}])"sv,
        R"([{"containerID": "a", "ifname": null}])"sv,
        R"([{"containerID": "", "ifname": "eth0"}])"sv, R"(true)"sv}) {
    for (const std::string_view key : {"cni.dev/valid-attachments"sv, "cni.dev/attachments"sv}) {
      SCOPED_TRACE(std::string(key) + ": " + std::string(list));
      const Document document = Document::parse(R"({"name": "net", ")" + std::string(key) +
                                                "\": " + std::string(list) + "}");
      const auto error = error_of([&] { static_cast<void>(document.valid_attachments()); });
      ASSERT_TRUE(error);
      EXPECT_EQ(error->kind(), ErrorKind::kConfig);
      EXPECT_THAT(error->what(), HasSubstr(std::string(key)));
    }
  }
}

TEST(ParseFileTest, TakesOurPluginOfAList) {
  const Document document = Document::parse_file(R"({"cniVersion": "1.0.0", "name": "net",
      "plugins": [{"type": "loopback"}, {"type": "bridge", "ipam": {"type": "host-local"}},
                  {"type": "ptp", "ipam": {"type": "podlease", "subnet": "10.1.0.0/16"}},
                  {"type": "ptp", "ipam": {"type": "podlease", "subnet": "10.2.0.0/16"}}]})");
  const NetConf conf = document.net_conf({});
  EXPECT_EQ(conf.essentials.name, "net");
  EXPECT_EQ(conf.essentials.cni_version, "1.0.0");
  EXPECT_THAT(described(conf), ElementsAre("ipam 10.1.0.0/16 10.1.0.1-10.1.255.254 10.1.0.1 /16"));
}

TEST(ParseFileTest, TakesASinglePluginAsItIs) {
  EXPECT_THAT(described(Document::parse_file(kEverything).net_conf({})),
              ::testing::ContainerEq(described(conf_of(kEverything))));
}

TEST(ParseFileTest, SaysWhatAListLacks) {
  for (const std::string_view plugins :
       {"[]", "{}", "[5]", R"([{"type": "podlease"}])", R"([{"ipam": {"type": "host-local"}}])"}) {
    const auto error = error_of([&] {
      static_cast<void>(
          Document::parse_file(R"({"name": "net", "plugins": )" + std::string(plugins) + "}"));
    });
    ASSERT_TRUE(error) << plugins;
    EXPECT_EQ(error->kind(), ErrorKind::kConfig) << plugins;
    EXPECT_THAT(error->what(), HasSubstr("plugins")) << plugins;
  }
}

TEST(DocumentTest, CanBeMoved) {
  Document one = Document::parse(R"({"name": "one"})");
  Document two = Document::parse(R"({"name": "two"})");
  two = std::move(one);
  EXPECT_EQ(two.essentials().name, "one");
  const Document three(std::move(two));
  EXPECT_EQ(three.essentials().name, "one");
}

}  // namespace
}  // namespace podlease::config
