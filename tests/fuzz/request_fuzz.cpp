// Feeds whole requests to the plugin, in-process: environment and standard input in, exit status
// and standard output back. The machine and the clock are made up; the store is a real one, in a
// folder that each input finds empty.
//
// An input is a few requests, one after another on that one store, with a line `%%` between them.
// Each is lines NAME=VALUE for the environment, an empty line, and then standard input. Instead of
// a request there may be `FILE=NAME`, an empty line and the body of a file that host-local left in
// its folder for network `net`.
//
// No input reaches anything outside that folder: whatever a configuration names as dataDir, log
// file or resolvConf is replaced by a place of ours before the plugin sees it.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/plugin/plugin.h"
#include "podlease/store/store.h"
#include "podlease/store/verify.h"
#include "scratch.h"

namespace podlease {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kNextRequest = "\n%%\n";
constexpr std::size_t kMostRequests = 8;
// Under sanitizers, on a busy machine, and with a store made anew: what takes longer is stuck.
constexpr std::chrono::seconds kLongest{25};

[[noreturn]] void fail(const std::string& what) {
  std::cerr << "request_fuzz: " << what << '\n';
  std::abort();
}

void demand(bool holds, const std::string& what) {
  if (!holds) {
    fail(what);
  }
}

// A machine on 10.9.0.1/24, whose namespaces live or not by the end of their names.
class MadeUpHost final : public host::Host {
 public:
  [[nodiscard]] std::string boot_id() const override { return "boot"; }
  [[nodiscard]] host::Names names() const override { return {}; }

  [[nodiscard]] host::View view() const override {
    return {.pid_namespace = 4026531836, .is_initial = true};
  }
  [[nodiscard]] bool has_mounts_of_init() const override { return true; }
  [[nodiscard]] std::optional<host::NetnsId> folder_of(const fs::path& netns) const override {
    const std::string folder = netns.parent_path().string();
    return folder.starts_with("/proc/") || folder.ends_with('?')
               ? std::nullopt
               : std::optional(host::NetnsId{.device = 25, .inode = number_of(folder)});
  }

  [[nodiscard]] host::NetnsAt netns_at(const fs::path& netns) const override {
    const std::string name = netns.string();
    if (name.ends_with('!')) {
      return {.state = host::NetnsState::kAbsent, .id = {}};
    }
    if (name.ends_with('?') || name.empty()) {
      return {.state = host::NetnsState::kDoubt, .id = {}};
    }
    const host::NetnsId id{.device = 4, .inode = number_of(name)};
    if (id.inode % 3 == 0) {
      occupied_.insert(id);
    }
    return {.state = host::NetnsState::kAlive, .id = id};
  }

  [[nodiscard]] std::uint64_t cookie_at(const std::string& /*path*/,
                                        const host::NetnsId& netns) const override {
    return netns.inode % 5 == 0 ? 0 : netns.inode >> 1U | 1U;
  }

  // One with a name, in which every address is one that the corpus asks for.
  [[nodiscard]] std::vector<host::NamedNetns> named_namespaces(
      const std::vector<std::string>& /*beside*/) const override {
    const fs::path path = "/run/netns/pod";
    return {{.path = path, .id = netns_at(path).id}};
  }

  [[nodiscard]] std::optional<std::vector<host::PodAddress>> addresses_in(
      const host::NamedNetns& /*netns*/) const override {
    std::vector<host::PodAddress> addresses;
    for (const auto* text : {"10.1.0.2/30", "fd00::2/126"}) {
      addresses.push_back({.address = *net::Prefix::parse(text), .interface = "eth0"});
    }
    return addresses;
  }

  // Processes are in one of three namespaces; every third walk cannot read all of them.
  [[nodiscard]] host::Occupied occupied() const override {
    host::Occupied occupied{.processes = {}, .complete = ++walks_ % 3 != 0};
    for (const host::NetnsId& netns : occupied_) {
      occupied.processes.emplace(netns, 1000 + static_cast<int>(occupied.processes.size()));
    }
    return occupied;
  }

  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override {
    return {};  // MadeUpClock's, at its start
  }

  [[nodiscard]] std::optional<host::AddressHolder> holder_of(net::Address address) const override {
    if (address.bits() % 16 != 9) {
      return std::nullopt;
    }
    return host::AddressHolder{.kind = host::AddressHolder::Kind::kInterface, .interface = "cni0"};
  }

  [[nodiscard]] host::HostNetworks networks() const override {
    const host::NextHop link{.gateway = {}, .interface = 2};
    const host::NextHop router{.gateway = net::Address::parse("10.9.0.254"), .interface = 2};
    return {.interfaces = {{.index = 2, .name = "eth0", .kind = {}}},
            .addresses = {{.address = *net::Prefix::parse("10.9.0.1/24"), .interface = 2}},
            .routes = {{.destination = *net::Prefix::parse("10.9.0.0/24"),
                        .table = 254,
                        .is_connected = true,
                        .next_hops = {link}},
                       {.destination = *net::Prefix::parse("0.0.0.0/0"),
                        .table = 254,
                        .is_connected = false,
                        .next_hops = {router}}}};
  }

  [[nodiscard]] bool is_reachable_neighbour(net::Address address,
                                            const std::string& /*interface*/) const override {
    return address.bits() % 16 == 5;
  }

 private:
  static std::uint64_t number_of(const std::string& name) {
    return std::hash<std::string>{}(name) | 1U;
  }

  mutable std::set<host::NetnsId> occupied_;
  mutable int walks_ = 0;
};

// Goes on by itself, and by the whole of each sleep at once.
class MadeUpClock final : public Clock {
 public:
  [[nodiscard]] ClockReading now() const override {
    now_ += Milliseconds(7);
    return {.wall = std::chrono::sys_time<Milliseconds>(now_), .since_boot = now_};
  }
  void sleep(Milliseconds duration) const override { now_ += duration; }

 private:
  mutable Milliseconds now_{1'700'000'000'000};
};

struct Message {
  std::map<std::string, std::string> environment;
  std::string input;
};

Message parse_message(std::string_view text) {
  Message message;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      break;
    }
    const std::size_t equals = line.find('=');
    if (equals != std::string_view::npos) {
      // The environment of a process holds no NUL.
      const std::string_view value = line.substr(equals + 1);
      message.environment[std::string(line.substr(0, equals))] = value.substr(0, value.find('\0'));
    }
  }
  message.input = text;
  return message;
}

std::vector<Message> parse_messages(std::string_view text) {
  std::vector<Message> messages;
  while (messages.size() < kMostRequests) {
    const std::size_t end = text.find(kNextRequest);
    messages.push_back(parse_message(text.substr(0, end)));
    if (end == std::string_view::npos) {
      break;
    }
    text.remove_prefix(end + kNextRequest.size());
  }
  return messages;
}

// The folders of one input; gone when it ends.
class Scene {
 public:
  Scene() : root_(base() / "input") {
    fs::remove_all(root_);
    fs::create_directories(host_local() / "net");
    std::ofstream(root_ / "resolv.conf") << "nameserver 192.0.2.1\nsearch a b\n";
  }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  ~Scene() { fs::remove_all(root_); }

  [[nodiscard]] fs::path host_local() const { return root_ / "networks"; }
  [[nodiscard]] fs::path data_dir() const { return root_ / "store"; }
  [[nodiscard]] fs::path registry() const { return root_ / "stores"; }

  // What a configuration may name, instead of what it does name.
  void confine(std::string& input) const {
    Json document;
    try {
      document = Json::parse(input);
    } catch (const Json::exception&) {
      return;  // nor will the plugin make anything of it
    }
    bool changed = false;
    for_members(document, "ipam", [&](Json& ipam) {
      changed |= replace(ipam, "dataDir", root_ / "other");
      changed |= replace(ipam, "resolvConf", root_ / "resolv.conf");
      for_members(ipam, "log", [&](Json& log) { changed |= replace(log, "file", root_ / "log"); });
    });
    if (changed) {
      input = document.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  }

  void leave_file(const std::string& name, const std::string& body) const {
    constexpr std::size_t kLongestName = 100;
    if (!name.empty() && name.front() != '.' && name.size() <= kLongestName &&
        name.find('/') == std::string::npos) {
      std::ofstream(host_local() / "net" / name) << body;
    }
  }

 private:
  static const fs::path& base() {
    static const ScratchFolder folder;
    return folder.path();
  }

  template <typename Visit>
  static void for_members(Json& object, std::string_view key, const Visit& visit) {
    if (object.is_object()) {
      for (auto& [name, value] : object.get_ref<Json::object_t&>()) {
        if (equals_ignoring_case(name, key)) {
          visit(value);
        }
      }
    }
  }

  // Relative and empty paths, numbers and so on stay: they are to be refused.
  static bool replace(Json& object, std::string_view key, const fs::path& path) {
    bool replaced = false;
    for_members(object, key, [&](Json& value) {
      if (value.is_string() && value.get_ref<const std::string&>().find('/') != std::string::npos) {
        value = path.string();
        replaced = true;
      }
    });
    return replaced;
  }

  fs::path root_;
};

// Ends the process where a request does not end, with the input kept: libFuzzer's own timer is
// SIGALRM, which the plugin uses for itself.
class Watchdog {
 public:
  Watchdog() {
    std::thread([this] {
      while (true) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        const std::int64_t started = started_;
        if (started != 0 && now() - started > std::chrono::seconds(kLongest).count()) {
          fail("a request takes longer than " + std::to_string(kLongest.count()) + " s");
        }
      }
    }).detach();
  }
  void start() { started_ = now(); }
  void stop() { started_ = 0; }

 private:
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  std::atomic<std::int64_t> started_ = 0;
};

UniqueFd memory_file(std::string_view content) {
  UniqueFd fd(memfd_create("request_fuzz", MFD_CLOEXEC));
  demand(static_cast<bool>(fd) && write_all(fd.get(), content) == 0, "no memory file");
  lseek(fd.get(), 0, SEEK_SET);
  return fd;
}

struct Answer {
  int status;
  std::string output;
};

Answer serve(const Scene& scene, const MadeUpHost& host, const MadeUpClock& clock,
             const Message& message) {
  const UniqueFd input = memory_file(message.input);
  const UniqueFd output = memory_file("");
  const plugin::World world{
      .getenv = [&](const char* name) -> std::optional<std::string> {
        const auto found = message.environment.find(name);
        return found == message.environment.end() ? std::nullopt : std::optional(found->second);
      },
      .input = input.get(),
      .output = output.get(),
      .host = &host,
      .clock = &clock,
      .places = {.registry = scene.registry(),
                 .host_local = scene.host_local(),
                 .cni_caches = {scene.host_local() / "cache"}},
      .data_dir = scene.data_dir()};
  const int status = plugin::run(world);
  lseek(output.get(), 0, SEEK_SET);
  return {.status = status, .output = read_all(output.get(), 64U << 20U)};
}

Json parse_answer(const Answer& answer) {
  try {
    Json document = Json::parse(answer.output);
    demand(document.is_object(), "the output is no object: " + answer.output);
    return document;
  } catch (const Json::exception&) {
    fail("the output is not one JSON document: " + answer.output);
  }
}

void check_error(const Json& error, const std::string& command) {
  constexpr std::array kCodes{1, 2, 3, 4, 5, 6, 7, 11, 50, 100, 101, 999};
  const std::string text = error.dump(-1, ' ', false, Json::error_handler_t::replace);
  demand(error.contains("cniVersion") && error["cniVersion"].is_string(), "no version: " + text);
  demand(error.contains("code") && error["code"].is_number_integer() &&
             std::find(kCodes.begin(), kCodes.end(), error["code"].get<int>()) != kCodes.end(),
         "an odd code: " + text);
  demand(error.contains("msg") && error["msg"].is_string(), "no message: " + text);
  const auto& message = error["msg"].get_ref<const std::string&>();
  demand(!message.empty() && message.find('\n') == std::string::npos, "not one line: " + text);
  if (command == "DEL") {
    demand(error["code"] == 4, "a DEL failed: " + text);
  }
}

void check_result(const Json& result) {
  const std::string text = result.dump(-1, ' ', false, Json::error_handler_t::replace);
  demand(result.contains("cniVersion"), "a result without version: " + text);
  demand(result.contains("ips") || result.contains("ip4") || result.contains("ip6"),
         "a result without address: " + text);
  demand(!result.contains("code"), "a result with a code: " + text);
}

void check_answer(const Answer& answer, const std::string& command) {
  demand(answer.status == 0 || answer.status == 1, "status " + std::to_string(answer.status));
  if (answer.status == 1) {
    check_error(parse_answer(answer), command);
  } else if (command == "ADD") {
    check_result(parse_answer(answer));
  } else if (command == "VERSION") {
    demand(parse_answer(answer).contains("supportedVersions"), "no versions: " + answer.output);
  } else {
    demand(answer.output.empty(), command + " printed " + answer.output);
  }
}

void check_stores(const Scene& scene) {
  for (const fs::path& folder : {scene.data_dir(), scene.data_dir().parent_path() / "other"}) {
    std::optional<store::Store> store =
        store::Store::open_existing({.folder = folder, .registry = scene.registry()});
    if (store) {
      store::verify(store->begin());
    }
  }
}

// What was leased is leased again to whoever asks again, and free after a DEL.
void check_repetition(const Scene& scene, const MadeUpHost& host, const MadeUpClock& clock,
                      Message message, const std::string& first_output) {
  const Answer again = serve(scene, host, clock, message);
  demand(again.status == 0 && again.output == first_output,
         "ADD answered " + first_output + " and then " + again.output);
  message.environment["CNI_COMMAND"] = "DEL";
  const Answer ended = serve(scene, host, clock, message);
  demand(ended.status == 0 && ended.output.empty(), "DEL after ADD said " + ended.output);
}

void play(std::string_view text) {
  const Scene scene;
  const MadeUpHost host;
  const MadeUpClock clock;
  std::optional<Message> last_add;
  std::string last_output;
  for (Message& message : parse_messages(text)) {
    last_add.reset();
    if (const auto file = message.environment.find("FILE"); file != message.environment.end()) {
      scene.leave_file(file->second, message.input);
      continue;
    }
    scene.confine(message.input);
    const std::string command = message.environment["CNI_COMMAND"];
    const Answer answer = serve(scene, host, clock, message);
    check_answer(answer, command);
    if (command == "ADD" && answer.status == 0) {
      last_add = message;
      last_output = answer.output;
    }
  }
  if (last_add) {
    check_repetition(scene, host, clock, *last_add, last_output);
  }
  check_stores(scene);
}

}  // namespace
}  // namespace podlease

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static podlease::Watchdog watchdog;
  watchdog.start();
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
  podlease::play({reinterpret_cast<const char*>(data), size});
  watchdog.stop();
  return 0;
}
