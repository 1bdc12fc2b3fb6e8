#include "life.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iostream>
#include <utility>

#include <nlohmann/json.hpp>

#include "podlease/base/file.h"
#include "podlease/net/range.h"

namespace podlease::sim {
namespace {

using net::Address;

constexpr std::array<std::string_view, 3> kVersions{"0.4.0", "1.0.0", "1.1.0"};
constexpr std::size_t kRemembered = 50;  // lines of history

std::vector<Network> make_networks(Random& random, const std::filesystem::path& data_dir) {
  std::vector<Network> networks;
  networks.emplace_back("net0", "eth0", data_dir, nullptr, random);
  if (random.one_in(2)) {
    const Network first = networks.front();
    networks.emplace_back("net1", "net1", data_dir, &first, random);
  }
  for (Network& network : networks) {
    network.status_fails_when_exhausted = random.one_in(3);
  }
  return networks;
}

}  // namespace

Life::Life(const Options& options, const std::filesystem::path& folder)
    : options_(options),
      random_(options.seed),
      clock_(hook_),
      host_(hook_, clock_),
      caller_(folder, hook_, host_, clock_),
      networks_(make_networks(random_, caller_.data_dir())),
      model_(networks_, host_, clock_, caller_, options.ignored),
      folder_(folder) {
  tells_uids_ = !random_.one_in(5);
  podman_ = random_.one_in(5);
  folders_.push_back(random_.percent(60) ? Folder::kRunNetns : pick_folder());
  if (random_.one_in(3)) {
    folders_.push_back(pick_folder());
  }
  has_fickle_machine_id_ = random_.one_in(5);
  has_clock_ = !random_.one_in(5);
  host_.kernel_has_cookies = !random_.one_in(5);
  host_.own_names = {.host_name = "node",
                     .machine_id = random_.one_in(8) ? "" : "machine-1",
                     .system_uuid = has_fickle_machine_id_ || random_.one_in(4) ? "" : "uuid-1"};
  // `unshare -m`, `unshare -p --mount-proc`, and a node that is a container.
  const std::array others{
      Viewpoint{.what = "other mounts", .pid_namespace = 0, .mounts = 1},
      Viewpoint{.what = "other processes", .pid_namespace = 1, .mounts = 0},
      Viewpoint{.what = "a container-node", .pid_namespace = 2, .mounts = 2},
  };
  for (const Viewpoint& other : others) {
    if (random_.one_in(5)) {
      static_cast<void>(host_.add_view(other));
    }
  }
}

std::string Life::describe() const {
  std::string text = tells_uids_ ? "pods with UIDs" : "pods without UIDs";
  text += podman_ ? ", container ids that stay; folders" : "; folders";
  for (const Folder folder : folders_) {
    text += " " + path_of(folder, "NAME");
  }
  for (const Viewpoint& view : host_.views) {
    text += ", " + view.what;
  }
  text += host_.kernel_has_cookies ? "" : ", no cookies";
  text += has_fickle_machine_id_ ? ", a new machine id at each boot" : "";
  text += has_clock_ ? "" : ", 1970 at each boot";
  for (const Network& network : networks_) {
    text += "\n  " + network.describe();
  }
  return text;
}

std::string Life::counts() const {
  return std::to_string(event_) + " events, " + std::to_string(calls_) + " calls, " +
         std::to_string(adds_) + " ADDs, " + std::to_string(exhausted_) + " of them exhausted, " +
         std::to_string(reboots_) + " reboots, " + std::to_string(crashes_) + " crashes";
}

void Life::note(const std::string& text) {
  std::string line = "#" + std::to_string(event_) + " " +
                     std::to_string(clock_.true_time().count()) + " ms: " + text;
  if (options_.verbose) {
    std::cout << line << '\n';
  }
  history_.push_back(std::move(line));
  if (history_.size() > kRemembered) {
    history_.pop_front();
  }
}

void Life::note(const Call& call, std::size_t book, const std::string& more, const Answer& answer) {
  note(call.verb + " " + network_of(book).name(book % Network::kNames) + " " + call.container +
       (call.verb == "DEL" && call.input.find("cooldown") == std::string::npos
            ? " with " + call.input
            : "") +
       (call.netns.empty() ? "" : " " + call.netns) +
       (call.view == 0 ? "" : " from " + host_.views[call.view].what) +
       (more.empty() ? "" : " " + more) + " -> " + answer.in_short());
}

void Life::run() {
  while (event_ < options_.events) {
    step();
  }
  model_.audit();
}

void Life::step() {
  static constexpr std::array<Phase, 6> kTable{{
      // name    fill start restart stop lose retry radd rdel check gc time chaos
      {"calm", 60, 20, 10, 18, 1, 5, 10, 3, 10, 1, 20, 1},
      {"churn", 80, 30, 15, 25, 3, 10, 4, 4, 3, 1, 10, 2},
      {"full", 120, 40, 10, 12, 2, 5, 5, 3, 3, 1, 15, 2},
      {"lossy", 90, 30, 15, 5, 20, 10, 4, 5, 3, 1, 15, 2},
      {"dead", 110, 30, 10, 2, 25, 4, 3, 2, 3, 1, 12, 1},
      {"chaos", 90, 25, 15, 15, 10, 10, 5, 5, 5, 2, 15, 12},
  }};
  ++event_;
  if (phase_left_ == 0) {
    phase_ = &kTable.at(random_.below(kTable.size()));
    choose_phase();
  }
  --phase_left_;
  clock_.pass(Milliseconds(random_.between(0, 150)));
  const Phase& phase = *phase_;
  const std::size_t running = static_cast<std::size_t>(std::count_if(
      pods_.begin(), pods_.end(), [](const PodPtr& pod) { return pod->sandbox.has_value(); }));
  struct Choice {
    std::size_t weight;
    void (Life::*event)();
  };
  const bool room = running < target_;
  const std::array choices{
      Choice{room ? phase.start : 1, &Life::start_pod},
      Choice{room ? phase.restart : 2, &Life::restart_pod},
      Choice{phase.stop, &Life::stop_pod},
      Choice{phase.lose, &Life::lose_pod},
      Choice{phase.retry, &Life::retry_sandbox},
      Choice{phase.repeat_add, &Life::repeat_add},
      Choice{phase.repeat_del, &Life::repeat_del},
      Choice{1, &Life::delete_unknown},
      Choice{phase.check, &Life::check},
      Choice{2, &Life::ask_status},
      Choice{phase.collect, &Life::collect},
      Choice{phase.time, &Life::pass_time},
      Choice{phase.chaos, &Life::edit_network},
      Choice{random_.one_in(8) ? phase.chaos : 0U, &Life::rename_network},
      Choice{phase.chaos, &Life::change_sight},
      Choice{phase.chaos, &Life::change_host},
      Choice{phase.chaos, &Life::step_clock},
      Choice{3, &Life::change_namespace},
      Choice{2, &Life::lose_name},
      Choice{2, &Life::end_lingering},
      Choice{2, &Life::remove_files},
      Choice{1, &Life::sweep},
      Choice{1, &Life::renew_namespace},
      Choice{random_.one_in(4) ? 1U : 0U, &Life::suspend},
      Choice{random_.one_in(8) ? 1U : 0U, &Life::restart_container},
      Choice{random_.one_in(8) ? 1U : 0U, &Life::write_from_abroad},
      Choice{random_.one_in(16) ? 1U : 0U, &Life::copy_abroad},
      Choice{1, &Life::request_elsewhere},
      Choice{random_.one_in(4) ? phase.chaos : 0U, &Life::crash_somewhere},
      Choice{random_.one_in(10) ? 1U : 0U, &Life::lock_up},
      Choice{random_.one_in(8) ? 1U + phase.chaos / 4 : 0U, &Life::reboot},
  };
  std::size_t sum = 0;
  for (const Choice& choice : choices) {
    sum += choice.weight;
  }
  std::size_t drawn = random_.below(sum);
  for (const Choice& choice : choices) {
    if (drawn < choice.weight) {
      (this->*choice.event)();
      break;
    }
    drawn -= choice.weight;
  }
  drop_gone_pods();
  const std::size_t period =
      options_.audit != 0 ? options_.audit
                          : std::clamp(model_.lease_count(), std::size_t{8}, std::size_t{64});
  if (++since_audit_ >= period) {
    since_audit_ = 0;
    model_.audit();
  }
}

void Life::choose_phase() {
  phase_left_ = 200 + random_.below(1500);
  std::size_t smallest = 1000;
  for (const Network& network : networks_) {
    for (std::size_t set = 0; set < network.set_count(); ++set) {
      smallest = std::min(smallest, network.capacity(set));
    }
  }
  target_ = std::max<std::size_t>(2, smallest * phase_->fill / 100);
  note("phase " + std::string(phase_->name) + ", up to " + std::to_string(target_) + " pods");
}

Folder Life::pick_folder() {
  return kFolders.at(random_.below(kFolders.size()));
}

Life::Pod* Life::pick(bool running) {
  if (pods_.empty()) {
    return nullptr;
  }
  const std::size_t from = random_.below(pods_.size());
  for (std::size_t i = 0; i < pods_.size(); ++i) {
    Pod& pod = *pods_[(from + i) % pods_.size()];
    if (pod.sandbox.has_value() == running) {
      return &pod;
    }
  }
  return nullptr;
}

// A GC that was told too little may have ended leases of pods it could not see.
void Life::drop_gone_pods() {
  const std::size_t limit = target_ * 2 + 8;
  while (pods_.size() > limit) {
    Pod* const pod = pick(false);
    if (pod == nullptr) {
      return;
    }
    std::erase_if(pods_, [&](const PodPtr& one) { return one.get() == pod; });
  }
}

// Calls.

Call Life::make_call(std::string_view verb, const Sandbox& sandbox, std::size_t book,
                     std::string_view extra, std::string_view lock_timeout) {
  Call call;
  call.verb = verb;
  call.container = sandbox.container;
  call.ifname = network_of(book).ifname();
  call.view = sandbox.view;
  call.netns = sandbox.netns ? sandbox.netns->path : "";
  if (!sandbox.uid.empty()) {
    call.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + sandbox.pod +
                ";K8S_POD_INFRA_CONTAINER_ID=" + sandbox.container + ";K8S_POD_UID=" + sandbox.uid;
  }
  const bool newest = verb == "GC" || verb == "STATUS";
  call.input = network_of(book).document(
      book % Network::kNames, newest ? "1.1.0" : kVersions.at(random_.below(kVersions.size())),
      extra, lock_timeout);
  ++calls_;
  return call;
}

// DEL must not need much.
Call Life::make_del(const Sandbox& sandbox, std::size_t book) {
  Call call = make_call("DEL", sandbox, book, "");
  const std::string name = R"("name":")" + network_of(book).name(book % Network::kNames) + "\"";
  switch (random_.below(24)) {
    case 0:
      call.netns.clear();
      call.args.clear();
      break;
    case 1:
      call.input = R"({"cniVersion":"1.0.0",)" + name + "}";
      break;
    case 2:
      call.input = R"({"cniVersion":"1.0.0",)" + name +
                   R"(,"ipam":{"type":"podlease","dataDir":")" + caller_.data_dir().string() +
                   R"(","ranges":[[{"subnet":"nonsense"}]]}})";
      break;
    case 3:
      call.input = R"({"cniVersion":"7.7.7",)" + name +
                   R"(,"ipam":{"type":"podlease","dataDir":")" + (folder_ / "moved").string() +
                   R"(","subnet":"10.9.0.0/24"}})";
      break;
    case 4:
      call.input = R"({"ipam":{"type":"podlease"}})";
      break;
    case 5: {
      // A result that is somebody else's by now frees nothing.
      const std::vector<net::IntervalSet>& usable = network_of(book).usable(0);
      if (!usable.front().empty()) {
        call = make_call("DEL", sandbox, book,
                         R"("prevResult":{"cniVersion":"1.0.0","ips":[{"address":")" +
                             usable.front().ranges().front().first().to_string() + R"(/24"}]},)");
        --calls_;
      }
      break;
    }
    default:
      break;
  }
  return call;
}

Attempt Life::make_attempt(const Sandbox& sandbox, std::size_t book) const {
  Attempt attempt;
  attempt.book = book;
  attempt.container = sandbox.container;
  attempt.uid = sandbox.uid;
  attempt.netns = sandbox.netns;
  attempt.requested = book < Network::kNames ? sandbox.requested : std::nullopt;
  attempt.start = clock_.true_time();
  attempt.view = sandbox.view;
  if (!sandbox.netns) {
    return attempt;
  }
  const std::string& path = sandbox.netns->path;
  attempt.own.at = host_.sight(path, sandbox.view);
  if (attempt.own.at.state == host::NetnsState::kAlive) {
    attempt.own.cookie = host_.has_cookies(sandbox.view) ? sandbox.netns->cookie : 0;
    attempt.own.pid_namespace = host_.pid_namespace_id(sandbox.view);
    attempt.own.folder = host_.folder_seen(path, sandbox.view);
  }
  return attempt;
}

Crash Life::make_crash() {
  Crash crash;
  switch (random_.below(6)) {
    case 0:
    case 1:
      crash.kind = Crash::Kind::kAtQuestion;
      crash.n = 1 + random_.below(16);
      break;
    case 2:
    case 3:
      crash.kind = Crash::Kind::kAtWrite;
      crash.n = random_.below(caller_.log_size() + 8192);
      break;
    case 4:
      crash.kind = Crash::Kind::kAtAnswer;
      break;
    default:
      crash.kind = Crash::Kind::kDiskFull;
      crash.n = random_.below(caller_.log_size() + 4096);
      break;
  }
  ++crashes_;
  return crash;
}

Answer Life::add(Sandbox& sandbox, std::size_t book, Manner manner) {
  std::string extra;
  std::string args_ip;
  if (book < Network::kNames && sandbox.requested) {
    const std::string text = sandbox.requested->to_string();
    switch (random_.below(3)) {
      case 0:
        extra = R"("args":{"cni":{"ips":[")" + text + R"("]}},)";
        break;
      case 1:
        extra = R"("runtimeConfig":{"ips":[")" + text + R"("]},)";
        break;
      default:
        args_ip = "IP=" + text;
        break;
    }
  }
  Call call = make_call("ADD", sandbox, book, extra);
  if (!args_ip.empty()) {
    call.args += (call.args.empty() ? "" : ";") + args_ip;
  }
  Attempt attempt = make_attempt(sandbox, book);
  ++adds_;

  // While it waits for an address to cool, another pod may come.
  bool nested = false;
  std::exception_ptr wrong;  // podlease would take it for its own
  const bool outermost = !asleep_;
  if (outermost && manner == Manner::kWhole && random_.one_in(3)) {
    clock_.on_sleep = [&] {
      if (!asleep_) {
        asleep_ = nested = true;
        note("meanwhile:");
        model_.set_in_flight(true);
        try {
          start_pod();
        } catch (...) {
          wrong = std::current_exception();
        }
        model_.set_in_flight(false);
      }
    };
  }
  Answer answer;
  std::string how;
  switch (manner) {
    case Manner::kWhole:
      answer = caller_.call(call);
      break;
    case Manner::kUnread: {
      const std::size_t question = 1 + random_.below(24);
      how = "(its reader leaves at question " + std::to_string(question) + ")";
      attempt.disturbed = true;
      answer = caller_.call_unread(call, question);
      break;
    }
    case Manner::kUnwritable: {
      how = "(into /dev/full)";
      attempt.disturbed = true;
      const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
      answer = caller_.call_into(full.get(), call);
      break;
    }
    case Manner::kVanish: {
      const auto left = std::make_shared<std::size_t>(1 + random_.below(16));
      how = "(its namespace ends at question " + std::to_string(*left) + ")";
      attempt.disturbed = true;
      attempt.own = {};  // whether it is seen before
      hook_.on_question = [this, left, netns = sandbox.netns] {
        if (*left > 0 && --*left == 0) {
          host_.end(*netns, false);
        }
      };
      answer = caller_.call(call);
      hook_.on_question = nullptr;
      break;
    }
    case Manner::kCrash:
    case Manner::kDiskFull: {
      const Crash crash = make_crash();
      how = "(crash of kind " + std::to_string(static_cast<int>(crash.kind)) + " at " +
            std::to_string(crash.n) + ")";
      attempt.disturbed = crash.kind == Crash::Kind::kDiskFull;
      answer = caller_.call_and_crash(call, crash);
      break;
    }
  }
  if (outermost) {
    clock_.on_sleep = nullptr;
    asleep_ = false;
  }
  if (wrong) {
    std::rethrow_exception(wrong);
  }
  attempt.contested = nested || asleep_;
  if (sandbox.requested && book < Network::kNames) {
    how += " asks for " + sandbox.requested->to_string();
  }
  note(call, book, "uid " + sandbox.uid + (how.empty() ? "" : " " + how), answer);
  exhausted_ += answer.code() == 100 ? 1U : 0U;
  if (!answer.crashed && calls_ % 64 == 0 && !answer.output.empty()) {
    if (!nlohmann::json::accept(answer.output)) {
      throw Violation(Check::kCodes, "no JSON: " + answer.output);
    }
  }
  model_.added(attempt, answer);
  plug(sandbox, book, answer);
  return answer;
}

void Life::plug(const Sandbox& sandbox, std::size_t book, const Answer& answer) {
  const Network& network = network_of(book);
  if (!answer.succeeded() || !sandbox.netns->alive()) {
    return;
  }
  const InPod inside{.interface = network.ifname(),
                     .container = sandbox.container,
                     .uid = sandbox.uid,
                     .addresses = answer.addresses(),
                     .link = network.link()};
  host_.supersede(sandbox.netns, inside);
  for (const net::Prefix& address : inside.addresses) {
    const NamespacePtr other =
        host_.other_with(address.address(), network.link().wires, sandbox.container);
    if (other && !options_.ignored.contains(Check::kOwners)) {
      throw Violation(Check::kOwners, sandbox.container + " was given " + address.to_string() +
                                          ", which the living namespace " +
                                          std::to_string(other->cookie) + " " + other->path +
                                          " has on the same wire");
    }
  }
  if (!inside.addresses.empty()) {
    host_.plug(sandbox.netns, inside);
  }
}

void Life::unplug_ended() {
  for (const NamespacePtr& netns : host_.living()) {
    for (const Network& network : networks_) {
      if (netns->interfaces.contains(network.ifname()) &&
          !model_.has_holder(*netns, network.ifname())) {
        host_.unplug(*netns, network.ifname());
      }
    }
  }
}

void Life::del(const Sandbox& sandbox, std::size_t book, bool crash) {
  Call call = make_del(sandbox, book);
  if (random_.one_in(16)) {
    call.view = random_.below(host_.views.size());
  }
  if (sandbox.netns) {
    host_.unplug(*sandbox.netns, network_of(book).ifname());
  }
  Attempt attempt = make_attempt(sandbox, book);
  attempt.view = call.view;
  if (!crash) {
    const Answer answer = caller_.call(call);
    note(call, book, "", answer);
    model_.deleted(attempt, answer, false);
    if (!lingering_.empty() && !asleep_) {
      unplug_ended();  // its container may have had another namespace before
    }
    return;
  }
  const Crash how = make_crash();
  const Answer answer = caller_.call_and_crash(call, how);
  note(call, book, "(crash of kind " + std::to_string(static_cast<int>(how.kind)) + ")", answer);
  model_.deleted(attempt, answer, how.kind == Crash::Kind::kDiskFull);
}

}  // namespace podlease::sim
