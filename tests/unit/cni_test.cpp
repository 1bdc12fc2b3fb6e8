#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <compare>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/cni/answer.h"
#include "podlease/cni/request.h"
#include "podlease/cni/verb.h"
#include "podlease/cni/version.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/net/route.h"
#include "support.h"

namespace podlease::cni {
namespace {

using nlohmann::json;
using std::string_view_literals::operator""sv;
using support::all_of;
using support::error_of;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::array kVerbs{Verb::kAdd, Verb::kDel,    Verb::kCheck,
                            Verb::kGc,  Verb::kStatus, Verb::kVersion};

// In the order of their numbers.
struct KindAndCode {
  ErrorKind kind;
  int code;
};
constexpr std::array<KindAndCode, 12> kCodes{{{ErrorKind::kVersion, 1},
                                              {ErrorKind::kUnsupportedField, 2},
                                              {ErrorKind::kUnknownContainer, 3},
                                              {ErrorKind::kEnvironment, 4},
                                              {ErrorKind::kIo, 5},
                                              {ErrorKind::kDecode, 6},
                                              {ErrorKind::kConfig, 7},
                                              {ErrorKind::kBusy, 11},
                                              {ErrorKind::kUnavailable, 50},
                                              {ErrorKind::kExhausted, 100},
                                              {ErrorKind::kAddressTaken, 101},
                                              {ErrorKind::kOther, 999}}};

Version version(std::string_view text) {
  return Version::parse(text).value();
}

using Environment = std::map<std::string, std::string>;

Request read(const Environment& environment) {
  return read_request([&](const char* name) -> std::optional<std::string> {
    const auto found = environment.find(name);
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  });
}

const Environment kFull{{"CNI_COMMAND", "ADD"},
                        {"CNI_CONTAINERID", "4c2a.f-8_b"},
                        {"CNI_NETNS", "/var/run/netns/x y"},
                        {"CNI_IFNAME", "eth0"},
                        {"CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=web"},
                        {"CNI_PATH", "/opt/cni/bin"}};

Environment with(Environment environment, const std::string& name, std::string value) {
  environment[name] = std::move(value);
  return environment;
}

TEST(VerbTest, IsSpelledAsInTheSpecification) {
  std::set<std::string_view> names;
  for (const Verb verb : kVerbs) {
    EXPECT_EQ(parse_verb(name(verb)), verb) << name(verb);
    names.insert(name(verb));
  }
  EXPECT_EQ(names, (std::set{"ADD"sv, "DEL"sv, "CHECK"sv, "GC"sv, "STATUS"sv, "VERSION"sv}));
  for (const std::string_view text : {""sv, "add"sv, "Add"sv, "ADD "sv, " ADD"sv, "ADDS"sv, "AD"sv,
                                      "UPDATE"sv, "ADD\0"sv, "DELETE"sv}) {
    EXPECT_EQ(parse_verb(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(VersionTest, SpeaksSevenInOrder) {
  const std::vector<std::string_view> texts = {"0.1.0", "0.2.0", "0.3.0", "0.3.1",
                                               "0.4.0", "1.0.0", "1.1.0"};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(version(texts[i]).to_string(), texts[i]);
    for (std::size_t j = 0; j < texts.size(); ++j) {
      EXPECT_EQ(version(texts[i]) <=> version(texts[j]), i <=> j)
          << texts[i] << " and " << texts[j];
    }
  }
  EXPECT_EQ(Version::newest(), version("1.1.0"));
}

TEST(VersionTest, AnEmptyTextIsTheOldest) {
  EXPECT_EQ(version(""), version("0.1.0"));
}

TEST(VersionTest, RejectsWhatItDoesNotSpeak) {
  for (const std::string_view text :
       {"1.2.0"sv, "1.0.1"sv, "0.5.0"sv, "0.0.0"sv, "2.0.0"sv, "1"sv, "1.1"sv, "1.1.0.0"sv,
        "v1.1.0"sv, "1.1.0 "sv, " 1.1.0"sv, "1.1.0-rc1"sv, "01.1.0"sv, "1.1.00"sv, "1.1.0\0"sv,
        "current"sv}) {
    EXPECT_EQ(Version::parse(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(VersionTest, EachVerbHasAFirst) {
  EXPECT_EQ(Version::first_with(Verb::kAdd), version("0.1.0"));
  EXPECT_EQ(Version::first_with(Verb::kDel), version("0.1.0"));
  EXPECT_EQ(Version::first_with(Verb::kCheck), version("0.4.0"));
  EXPECT_EQ(Version::first_with(Verb::kGc), version("1.1.0"));
  EXPECT_EQ(Version::first_with(Verb::kStatus), version("1.1.0"));
}

TEST(NegotiateTest, RefusesAVerbOlderVersionsLack) {
  for (const std::string_view text : Version::kSpoken) {
    for (const Verb verb : kVerbs) {
      SCOPED_TRACE(std::string(name(verb)) + " of " + std::string(text));
      const auto error = error_of([&] { EXPECT_EQ(negotiate(text, verb), version(text)); });
      const Version first = verb == Verb::kCheck                         ? version("0.4.0")
                            : verb == Verb::kGc || verb == Verb::kStatus ? version("1.1.0")
                                                                         : version("0.1.0");
      ASSERT_EQ(error.has_value(), version(text) < first);
      if (error) {
        EXPECT_EQ(error->kind(), ErrorKind::kVersion);
        EXPECT_THAT(error->what(),
                    AllOf(HasSubstr(std::string(text)), HasSubstr(std::string(name(verb)))));
        EXPECT_THAT(all_of(*error), HasSubstr(std::string(first.to_string())));
      }
    }
  }
}

TEST(NegotiateTest, AnEmptyVersionIsTheOldest) {
  EXPECT_EQ(negotiate("", Verb::kAdd), version("0.1.0"));
  EXPECT_EQ(negotiate("", Verb::kDel), version("0.1.0"));
  EXPECT_TRUE(error_of([] { static_cast<void>(negotiate("", Verb::kCheck)); }));
  EXPECT_TRUE(error_of([] { static_cast<void>(negotiate("", Verb::kStatus)); }));
}

TEST(NegotiateTest, OnlyDelTakesAVersionItDoesNotSpeak) {
  for (const std::string_view text : {"9.9.9"sv, "1.2.0"sv, "nonsense"sv, "\xff\n"sv}) {
    for (const Verb verb : {Verb::kAdd, Verb::kCheck, Verb::kGc, Verb::kStatus}) {
      const auto error = error_of([&] { static_cast<void>(negotiate(text, verb)); });
      ASSERT_TRUE(error) << name(verb) << " of " << text;
      EXPECT_EQ(error->kind(), ErrorKind::kVersion);
      EXPECT_THAT(all_of(*error), AllOf(HasSubstr("0.1.0"), HasSubstr("1.1.0")))
          << "what would do is not said";
      EXPECT_THAT(error->what(), Not(HasSubstr("\n")));
    }
    EXPECT_EQ(negotiate(text, Verb::kDel), Version::newest()) << text;
  }
  const auto error = error_of([] { static_cast<void>(negotiate("9.9.9", Verb::kAdd)); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("9.9.9"));
}

TEST(VersionAnswerTest, ListsAllSpoken) {
  const std::string answer = version_answer();
  EXPECT_EQ(json::parse(answer), json::parse(R"({"cniVersion": "1.1.0",
                            "supportedVersions": ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]})"));
  EXPECT_THAT(answer, EndsWith("\n"));
}

TEST(RequestTest, ReadsAllVariables) {
  const Request request = read(kFull);
  EXPECT_EQ(request.verb, Verb::kAdd);
  EXPECT_EQ(request.container_id, "4c2a.f-8_b");
  EXPECT_EQ(request.netns, "/var/run/netns/x y");
  EXPECT_EQ(request.ifname, "eth0");
  EXPECT_EQ(request.args, "IgnoreUnknown=1;K8S_POD_NAME=web");
}

// As the reference skeleton has it, CNI_PATH included, although the specification asks for that
// with GC only.
TEST(RequestTest, EachVerbNeedsItsVariables) {
  const std::set<std::string> all = {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS",
                                     "CNI_PATH"};
  const std::map<Verb, std::set<std::string>> needed = {
      {Verb::kAdd, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
      {Verb::kDel, {"CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"}},
      {Verb::kCheck, {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"}},
      {Verb::kGc, {"CNI_PATH"}},
      {Verb::kStatus, {"CNI_PATH"}},
      {Verb::kVersion, {}}};
  for (const auto& row : needed) {
    const Verb verb = row.first;
    const std::set<std::string>& names = row.second;
    const Environment full = with(kFull, "CNI_COMMAND", std::string(name(verb)));
    EXPECT_EQ(read(full).verb, verb);
    for (const std::string& left_out : all) {
      SCOPED_TRACE(std::string(name(verb)) + " without " + left_out);
      Environment unset = full;
      unset.erase(left_out);
      // Set to nothing is as good as not set.
      for (const Environment& environment : {unset, with(full, left_out, "")}) {
        const auto error = error_of([&] { EXPECT_EQ(read(environment).verb, verb); });
        ASSERT_EQ(error.has_value(), names.contains(left_out));
        if (error) {
          EXPECT_EQ(error->kind(), ErrorKind::kEnvironment);
          EXPECT_THAT(error->what(), HasSubstr(left_out));
        }
      }
    }

    SCOPED_TRACE(std::string(name(verb)) + " with nothing else");
    const auto error = error_of([&, command = std::string(name(verb))] {
      static_cast<void>(read({{"CNI_COMMAND", command}}));
    });
    ASSERT_EQ(error.has_value(), !names.empty());
    for (const std::string& variable : all) {
      if (error) {
        EXPECT_EQ(std::string_view(error->what()).find(variable) != std::string_view::npos,
                  names.contains(variable))
            << variable << " in " << error->what();
      }
    }
  }
}

TEST(RequestTest, NamesTheUnknownCommand) {
  for (const std::string_view command : {"add"sv, "UPDATE"sv, "ADD "sv}) {
    const auto error = error_of(
        [&] { static_cast<void>(read(with(kFull, "CNI_COMMAND", std::string(command)))); });
    ASSERT_TRUE(error) << command;
    EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << command;
    EXPECT_THAT(error->what(), AllOf(HasSubstr("CNI_COMMAND"), HasSubstr(std::string(command))));
  }
  const auto error = error_of([] { static_cast<void>(read({})); });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::kEnvironment);
  EXPECT_THAT(error->what(), HasSubstr("CNI_COMMAND"));
}

TEST(RequestTest, ChecksTheContainerId) {
  for (const Verb verb : {Verb::kAdd, Verb::kDel, Verb::kCheck}) {
    const Environment full = with(kFull, "CNI_COMMAND", std::string(name(verb)));
    for (const std::string_view id :
         {"-a"sv, ".."sv, "a/b"sv, "../a"sv, "a b"sv, "a\n"sv, "\xc3\xa4"sv, "a:b"sv}) {
      const auto error = error_of(
          [&] { static_cast<void>(read(with(full, "CNI_CONTAINERID", std::string(id)))); });
      ASSERT_TRUE(error) << name(verb) << " of " << id;
      EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << id;
      EXPECT_THAT(error->what(), AllOf(HasSubstr("CNI_CONTAINERID"), Not(HasSubstr("\n")))) << id;
    }
    EXPECT_EQ(read(with(full, "CNI_CONTAINERID", std::string(300, 'a'))).container_id,
              std::string(300, 'a'));
  }
}

TEST(RequestTest, ChecksTheInterfaceName) {
  for (const Verb verb : {Verb::kAdd, Verb::kDel, Verb::kCheck}) {
    const Environment full = with(kFull, "CNI_COMMAND", std::string(name(verb)));
    for (const std::string_view ifname : {"."sv, ".."sv, "a/b"sv, "eth0:1"sv, "a b"sv, " eth0"sv,
                                          "eth0\t"sv, "eth0\n"sv, "\v"sv, "abcdefghijklmnop"sv}) {
      const auto error =
          error_of([&] { static_cast<void>(read(with(full, "CNI_IFNAME", std::string(ifname)))); });
      ASSERT_TRUE(error) << name(verb) << " of " << ifname;
      EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << ifname;
      EXPECT_THAT(error->what(), AllOf(HasSubstr("CNI_IFNAME"), Not(HasSubstr("\n")))) << ifname;
    }
    // The kernel allows all else.
    for (const std::string_view ifname : {"e"sv, "..."sv, ".a"sv, "-"sv, "abcdefghijklmno"sv,
                                          "eth0.100"sv, "a@b"sv, "\xc3\xa4"sv}) {
      EXPECT_EQ(read(with(full, "CNI_IFNAME", std::string(ifname))).ifname, ifname) << name(verb);
    }
  }
}

// What Go's unicode.IsSpace says, as libcni does: everything of it, in front, inside and behind.
TEST(RequestTest, RefusesEverySpaceOfUnicodeInTheInterfaceName) {
  for (const Verb verb : {Verb::kAdd, Verb::kDel, Verb::kCheck}) {
    const Environment full = with(kFull, "CNI_COMMAND", std::string(name(verb)));
    const auto refusal = [&](const std::string& ifname) {
      return error_of([&] { static_cast<void>(read(with(full, "CNI_IFNAME", ifname))); });
    };
    for (const std::string_view space : {"\t"sv,           "\n"sv,           "\v"sv,
                                         "\f"sv,           "\r"sv,           " "sv,
                                         "\xc2\x85"sv,     "\xc2\xa0"sv,     "\xe1\x9a\x80"sv,
                                         "\xe2\x80\x80"sv, "\xe2\x80\x81"sv, "\xe2\x80\x82"sv,
                                         "\xe2\x80\x83"sv, "\xe2\x80\x84"sv, "\xe2\x80\x85"sv,
                                         "\xe2\x80\x86"sv, "\xe2\x80\x87"sv, "\xe2\x80\x88"sv,
                                         "\xe2\x80\x89"sv, "\xe2\x80\x8a"sv, "\xe2\x80\xa8"sv,
                                         "\xe2\x80\xa9"sv, "\xe2\x80\xaf"sv, "\xe2\x81\x9f"sv,
                                         "\xe3\x80\x80"sv}) {
      for (const std::string& ifname :
           {std::string(space), "eth" + std::string(space) + "0", std::string(space) + "eth0",
            "eth0" + std::string(space), "\xc3" + std::string(space)}) {
        const auto error = refusal(ifname);
        ASSERT_TRUE(error) << name(verb) << " of " << ifname;
        EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << ifname;
        EXPECT_THAT(error->what(), HasSubstr("white space")) << ifname;
      }
    }
    // Neighbours of those, characters that share bytes with them, and bytes that are not UTF-8.
    for (const std::string_view ifname :
         {"\xc2\x84"sv, "\xc2\x86"sv, "\xc2\xa1"sv, "\xc3\xa0"sv, "\xe1\xa0\x8e"sv,
          "\xe2\x80\x8b"sv, "\xe2\x80\xaa"sv, "\xe3\x80\x81"sv, "\xef\xbb\xbf"sv, "a\x85"sv,
          "a\xa0"sv, "\x80\x80"sv}) {
      EXPECT_FALSE(refusal(std::string(ifname))) << name(verb) << " of " << ifname;
    }
  }
}

// Runtimes may have more set than the verb needs; what is not needed is not judged.
TEST(RequestTest, JudgesOnlyWhatTheVerbNeeds) {
  for (const Verb verb : {Verb::kGc, Verb::kStatus, Verb::kVersion}) {
    Environment odd = with(kFull, "CNI_COMMAND", std::string(name(verb)));
    odd["CNI_CONTAINERID"] = "../x";
    odd["CNI_IFNAME"] = "a/b";
    EXPECT_EQ(read(odd).verb, verb) << name(verb);
  }
}

TEST(ArgsTest, ReadsWhatRuntimesSay) {
  const Args none = parse_args("");
  EXPECT_EQ(none.ip, "");
  EXPECT_EQ(none.pod_uid, "");

  // As containerd and CRI-O send it.
  const Args args = parse_args(
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID="
      "4c2a;"
      "K8S_POD_UID=0a-1b;IP=10.1.0.5");
  EXPECT_EQ(args.ip, "10.1.0.5");
  EXPECT_EQ(args.pod_namespace, "default");
  EXPECT_EQ(args.pod_name, "web-0");
  EXPECT_EQ(args.pod_uid, "0a-1b");
}

TEST(ArgsTest, AcceptsAllOfKubernetesWithoutIgnoreUnknown) {
  const Args args = parse_args("K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=4c2a;K8S_POD_UID=u");
  EXPECT_EQ(args.pod_name, "web");
}

TEST(ArgsTest, AnEmptyValueIsNone) {
  const Args args = parse_args("IP=;K8S_POD_NAME=");
  EXPECT_EQ(args.ip, "");
  EXPECT_EQ(args.pod_name, "");
}

TEST(ArgsTest, LeavesTheAddressAsItIsWritten) {
  for (const std::string text : {"fd00::5", "10.1.0.5/16", "::ffff:10.1.0.5", "nonsense"}) {
    EXPECT_EQ(parse_args("IP=" + text).ip, text);
  }
}

TEST(ArgsTest, RefusesWhatIsNoPair) {
  for (const std::string_view text :
       {"IP"sv, "IP=10.0.0.1;"sv, ";IP=10.0.0.1"sv, ";"sv, "IP=10.0.0.1;;IgnoreUnknown=1"sv,
        "IP=a=b"sv, "IgnoreUnknown=1;broken"sv, "=="sv, "IgnoreUnknown=1;A=b=c"sv}) {
    const auto error = error_of([&] { static_cast<void>(parse_args(text)); });
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << text;
    EXPECT_THAT(error->what(), HasSubstr("CNI_ARGS")) << text;
  }
  const auto error =
      error_of([] { static_cast<void>(parse_args("IgnoreUnknown=1;broken;IP=1.2.3.4")); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), HasSubstr("broken"));
}

TEST(ArgsTest, RefusesTheUnknownUnlessToldToIgnoreIt) {
  // Names are case-sensitive, as in the reference: ip is not IP.
  for (const std::string unknown :
       {"FOO=bar", "ip=10.0.0.1", "k8s_pod_name=x", "=x", "IP =1.2.3.4", "K8SPOD=x"}) {
    for (const std::string flag :
         {"", ";IgnoreUnknown=0", ";IgnoreUnknown=false", ";IgnoreUnknown=FALSE"}) {
      const auto error = error_of([&] { static_cast<void>(parse_args(unknown + flag)); });
      ASSERT_TRUE(error) << unknown << flag;
      EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << unknown;
      EXPECT_THAT(error->what(), HasSubstr(unknown)) << unknown;
    }
    for (const std::string flag : {"IgnoreUnknown=1", "IgnoreUnknown=true", "IgnoreUnknown=TRUE"}) {
      // In either order.
      EXPECT_EQ(parse_args(join({flag, unknown}, ";")).ip, "") << unknown;
      EXPECT_EQ(parse_args(join({unknown, flag}, ";")).ip, "") << unknown;
    }
  }
  const auto error =
      error_of([] { static_cast<void>(parse_args("FOO=1;BAR=2;K8S_POD_NAME=web")); });
  ASSERT_TRUE(error);
  EXPECT_THAT(error->what(), AllOf(HasSubstr("FOO=1"), HasSubstr("BAR=2"), Not(HasSubstr("web"))));
}

TEST(ArgsTest, IgnoreUnknownIsTrueOrFalse) {
  for (const std::string value : {"", "yes", "2", "on", "tru", " 1"}) {
    const auto error = error_of([&] { static_cast<void>(parse_args("IgnoreUnknown=" + value)); });
    ASSERT_TRUE(error) << value;
    EXPECT_EQ(error->kind(), ErrorKind::kEnvironment) << value;
    EXPECT_THAT(error->what(), HasSubstr("IgnoreUnknown")) << value;
  }
}

Result dual_stack() {
  Result result;
  result.ips = {{net::Prefix::parse("10.1.0.5/16").value(), net::Address::parse("10.1.0.1")},
                {net::Prefix::parse("fd00::5/64").value(), net::Address::parse("fd00::1")},
                {net::Prefix::parse("10.2.0.7/24").value(), std::nullopt}};
  result.routes = {{.destination = net::Prefix::parse("0.0.0.0/0").value()},
                   {.destination = net::Prefix::parse("192.168.1.7/16").value(),
                    .gateway = net::Address::parse("10.1.0.9"),
                    .mtu = 1400,
                    .advertised_mss = 1360,
                    .priority = 100,
                    .table = 50,
                    .scope = 253},
                   {.destination = net::Prefix::parse("::/0").value(),
                    .gateway = net::Address::parse("fe80::1")}};
  result.dns = {.nameservers = {"10.96.0.10", "fd00::53"},
                .domain = "cluster.local",
                .search = {"svc.cluster.local"},
                .options = {"ndots:5"}};
  return result;
}

TEST(ResultTest, IsAListSinceVersion03) {
  const json dns =
      json::parse(R"({"nameservers": ["10.96.0.10", "fd00::53"], "domain": "cluster.local",
                                   "search": ["svc.cluster.local"], "options": ["ndots:5"]})");
  const json routes = json::parse(R"([{"dst": "0.0.0.0/0"},
                                      {"dst": "192.168.1.7/16", "gw": "10.1.0.9", "mtu": 1400, "advmss": 1360,
                                       "priority": 100, "table": 50, "scope": 253},
                                      {"dst": "::/0", "gw": "fe80::1"}])");
  const json plain_ips = json::parse(R"([{"address": "10.1.0.5/16", "gateway": "10.1.0.1"},
                                         {"address": "fd00::5/64", "gateway": "fd00::1"},
                                         {"address": "10.2.0.7/24"}])");
  json marked_ips = plain_ips;
  marked_ips[0]["version"] = "4";
  marked_ips[1]["version"] = "6";
  marked_ips[2]["version"] = "4";
  for (const std::string_view text : {"0.3.0"sv, "0.3.1"sv, "0.4.0"sv, "1.0.0"sv, "1.1.0"sv}) {
    const json expected{{"cniVersion", text},
                        {"ips", version(text) < version("1.0.0") ? marked_ips : plain_ips},
                        {"routes", routes},
                        {"dns", dns}};
    const std::string answer = result_json(dual_stack(), version(text));
    EXPECT_EQ(json::parse(answer), expected)
        << text << ": " << json::diff(expected, json::parse(answer));
    EXPECT_THAT(answer, EndsWith("}\n")) << text;
  }
}

TEST(ResultTest, HoldsOneAddressAFamilyBefore03) {
  for (const std::string_view text : {"0.1.0"sv, "0.2.0"sv}) {
    json expected = json::parse(R"({
      "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1",
              "routes": [{"dst": "0.0.0.0/0"}, {"dst": "192.168.1.7/16", "gw": "10.1.0.9"}]},
      "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "::/0", "gw": "fe80::1"}]},
      "dns": {"nameservers": ["10.96.0.10", "fd00::53"], "domain": "cluster.local",
              "search": ["svc.cluster.local"], "options": ["ndots:5"]}})");
    expected["cniVersion"] = text;
    const json answer = json::parse(result_json(dual_stack(), version(text)));
    EXPECT_EQ(answer, expected) << text << ": " << json::diff(expected, answer);
  }
}

TEST(ResultTest, LeavesOutWhatIsNotThere) {
  Result result;
  result.ips = {{net::Prefix::parse("fd00::5/128").value(), std::nullopt}};
  const std::map<std::string_view, std::string_view> expected = {
      {"0.1.0", R"({"cniVersion": "0.1.0", "ip6": {"ip": "fd00::5/128"}, "dns": {}})"},
      {"0.2.0", R"({"cniVersion": "0.2.0", "ip6": {"ip": "fd00::5/128"}, "dns": {}})"},
      {"0.3.0",
       R"({"cniVersion": "0.3.0", "ips": [{"version": "6", "address": "fd00::5/128"}], "dns": {}})"},
      {"0.3.1",
       R"({"cniVersion": "0.3.1", "ips": [{"version": "6", "address": "fd00::5/128"}], "dns": {}})"},
      {"0.4.0",
       R"({"cniVersion": "0.4.0", "ips": [{"version": "6", "address": "fd00::5/128"}], "dns": {}})"},
      {"1.0.0", R"({"cniVersion": "1.0.0", "ips": [{"address": "fd00::5/128"}]})"},
      {"1.1.0", R"({"cniVersion": "1.1.0", "ips": [{"address": "fd00::5/128"}]})"}};
  ASSERT_EQ(expected.size(), Version::kSpoken.size());
  for (const auto& [text, document] : expected) {
    EXPECT_EQ(json::parse(result_json(result, version(text))), json::parse(document)) << text;
  }
}

TEST(ResultTest, TableAndScopeZeroAreNotAbsent) {
  Result result = dual_stack();
  result.routes = {
      {.destination = net::Prefix::parse("0.0.0.0/0").value(), .table = 0, .scope = 0}};
  const json answer = json::parse(result_json(result, Version::newest()));
  EXPECT_EQ(answer["routes"], json::parse(R"([{"dst": "0.0.0.0/0", "table": 0, "scope": 0}])"));
}

TEST(ResultTest, RoutesOfAFamilyWithoutAnAddressHaveNoPlaceBefore03) {
  Result result = dual_stack();
  result.ips.erase(result.ips.begin() + 1);
  const json answer = json::parse(result_json(result, version("0.2.0")));
  EXPECT_FALSE(answer.contains("ip6"));
  EXPECT_EQ(answer["ip4"]["routes"].size(), 2U);
}

TEST(ResultTest, WithoutAnAddressIsNone) {
  Result result = dual_stack();
  result.ips.clear();
  for (const std::string_view text : {"0.1.0"sv, "0.2.0"sv}) {
    const auto error = error_of([&] { static_cast<void>(result_json(result, version(text))); });
    ASSERT_TRUE(error) << text;
    EXPECT_EQ(error->kind(), ErrorKind::kOther) << text;
  }
}

// resolv.conf is not of our making.
TEST(ResultTest, OddBytesInDnsDoNotBreakIt) {
  Result result = dual_stack();
  result.dns.domain = "a\xff\"b\n";
  result.dns.search = {"\xc3"};
  for (const std::string_view text : Version::kSpoken) {
    const json answer = json::parse(result_json(result, version(text)));
    EXPECT_EQ(answer["dns"]["domain"], "a\xef\xbf\xbd\"b\n") << text;
  }
}

TEST(ErrorCodeTest, EachKindHasItsOwn) {
  std::set<int> codes;
  for (const auto& [kind, code] : kCodes) {
    EXPECT_EQ(error_code(kind), code);
    codes.insert(code);
  }
  EXPECT_EQ(codes.size(), kCodes.size());
}

TEST(ErrorJsonTest, SaysVersionCodeMessageAndDetails) {
  for (const std::string_view text : Version::kSpoken) {
    for (const auto& [kind, code] : kCodes) {
      const std::string document = error_json(Error(kind, "what \"x\"", "why"), version(text));
      EXPECT_EQ(
          json::parse(document),
          (json{{"cniVersion", text}, {"code", code}, {"msg", "what \"x\""}, {"details", "why"}}));
      EXPECT_THAT(document, EndsWith("}\n"));
    }
  }
}

TEST(ErrorJsonTest, LeavesOutEmptyDetails) {
  const json document = json::parse(error_json(Error(ErrorKind::kIo, "what"), Version::newest()));
  EXPECT_FALSE(document.contains("details"));
}

TEST(ErrorJsonTest, NeverFailsForOddBytes) {
  const std::vector<std::string> odd = {"\xff",
                                        "\xc3",
                                        "a\xc3(b",
                                        "\xed\xa0\x80",
                                        "\xf8\x88\x80\x80\x80",
                                        "\xe2\x82",
                                        std::string("a\0b", 3),
                                        "\x01\x1f\x7f\n\t",
                                        std::string(1'000'000, '\xfe')};
  for (const std::string& text : odd) {
    const std::string document =
        error_json(Error(ErrorKind::kConfig, text, text), Version::newest());
    const json parsed = json::parse(document);  // throws if it is no JSON, or not UTF-8
    EXPECT_EQ(parsed["code"], 7);
    EXPECT_TRUE(parsed["msg"].is_string());
    for (const char* const key : {"msg", "details"}) {
      EXPECT_EQ(parsed[key].get<std::string>().find('\n'), std::string::npos) << key;
      EXPECT_LT(parsed[key].get<std::string>().size(), 5000U) << key;
    }
  }
  // What is sound around them stays.
  const json parsed =
      json::parse(error_json(Error(ErrorKind::kConfig, "name \"\xff\" is bad"), Version::newest()));
  EXPECT_EQ(parsed["msg"], "name \"\xef\xbf\xbd\" is bad");
}

}  // namespace
}  // namespace podlease::cni
