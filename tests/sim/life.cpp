#include "life.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
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
constexpr std::size_t kPast = 64;        // ended sandboxes whose DEL may come again

std::vector<Network> make_networks(Random& random, const std::filesystem::path& data_dir) {
  std::vector<Network> networks;
  networks.emplace_back("net0", "eth0", data_dir, random);
  if (random.one_in(3)) {
    networks.emplace_back("net1", "net1", data_dir, random);
  }
  for (Network& network : networks) {
    network.status_fails_when_exhausted = random.one_in(3);
  }
  return networks;
}

}  // namespace

// How often what happens, for some hundred events.
struct Life::Phase {
  std::string_view name;
  std::size_t fill;  // running pods, in percent of the smallest range set
  std::size_t start, restart, stop, lose, retry, repeat_add, repeat_del, check, collect;
  std::size_t time, chaos;
};

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
  folders_.push_back(random_.percent(70) ? Folder::kRunNetns : pick_folder());
  if (random_.one_in(3)) {
    folders_.push_back(pick_folder());
  }
}

std::string Life::describe() const {
  std::string text = tells_uids_ ? "pods with UIDs" : "pods without UIDs";
  text += podman_ ? ", container ids that stay; folders" : "; folders";
  for (const Folder folder : folders_) {
    text += " " + path_of(folder, "NAME");
  }
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

void Life::note(const Call& call, std::size_t network, const std::string& more,
                const Answer& answer) {
  note(call.verb + " " + networks_[network].name() + " " + call.container +
       (call.verb == "DEL" && call.input.find("cooldown") == std::string::npos
            ? " with " + call.input
            : "") +
       (call.netns.empty() ? "" : " " + call.netns) + (more.empty() ? "" : " " + more) + " -> " +
       answer.in_short());
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
      Choice{phase.chaos, &Life::edit_ranges},
      Choice{phase.chaos, &Life::change_sight},
      Choice{phase.chaos, &Life::change_host},
      Choice{phase.chaos, &Life::step_clock},
      Choice{2, &Life::orphan_namespace},
      Choice{2, &Life::remove_files},
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

Call Life::make_call(std::string_view verb, const Sandbox& sandbox, std::size_t network,
                     std::string_view extra, std::string_view lock_timeout) {
  Call call;
  call.verb = verb;
  call.container = sandbox.container;
  call.ifname = networks_[network].ifname();
  call.netns = sandbox.netns ? sandbox.netns->path : "";
  if (!sandbox.uid.empty()) {
    call.args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + sandbox.pod +
                ";K8S_POD_INFRA_CONTAINER_ID=" + sandbox.container + ";K8S_POD_UID=" + sandbox.uid;
  }
  const bool newest = verb == "GC" || verb == "STATUS";
  call.input = networks_[network].document(
      newest ? "1.1.0" : kVersions.at(random_.below(kVersions.size())), extra, lock_timeout);
  ++calls_;
  return call;
}

// DEL must not need much.
Call Life::make_del(const Sandbox& sandbox, std::size_t network) {
  Call call = make_call("DEL", sandbox, network, "");
  const std::string name = R"("name":")" + networks_[network].name() + "\"";
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
      const std::vector<net::IntervalSet>& usable = networks_[network].usable(0);
      if (!usable.front().empty()) {
        call = make_call("DEL", sandbox, network,
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

Attempt Life::make_attempt(const Sandbox& sandbox, std::size_t network) const {
  return {.network = network,
          .container = sandbox.container,
          .uid = sandbox.uid,
          .netns = sandbox.netns,
          .requested = network == 0 ? sandbox.requested : std::nullopt,
          .start = clock_.true_time(),
          .own = host_.sight(sandbox.netns->path)};
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

Answer Life::add(Pod& pod, Sandbox& sandbox, std::size_t network, Manner manner) {
  std::string extra;
  std::string args_ip;
  if (network == 0 && sandbox.requested) {
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
  Call call = make_call("ADD", sandbox, network, extra);
  if (!args_ip.empty()) {
    call.args += (call.args.empty() ? "" : ";") + args_ip;
  }
  Attempt attempt = make_attempt(sandbox, network);
  ++adds_;

  // While it waits for an address to cool, another pod may come.
  bool nested = false;
  const bool outermost = !asleep_;
  if (outermost && manner == Manner::kWhole && random_.one_in(3)) {
    clock_.on_sleep = [&] {
      if (!asleep_) {
        asleep_ = nested = true;
        note("meanwhile:");
        start_pod();
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
  attempt.contested = nested;
  if (sandbox.requested && network == 0) {
    how += " asks for " + sandbox.requested->to_string();
  }
  note(call, network, "uid " + sandbox.uid + (how.empty() ? "" : " " + how), answer);
  exhausted_ += answer.code() == 100 ? 1U : 0U;
  if (!answer.crashed && calls_ % 64 == 0 && !answer.output.empty()) {
    if (!nlohmann::json::accept(answer.output)) {
      throw Violation(Check::kCodes, "no JSON: " + answer.output);
    }
  }
  model_.added(attempt, answer);
  static_cast<void>(pod);
  return answer;
}

void Life::del(const Sandbox& sandbox, std::size_t network, bool crash) {
  const Call call = make_del(sandbox, network);
  if (!crash) {
    const Answer answer = caller_.call(call);
    note(call, network, "", answer);
    model_.deleted(network, sandbox.container, answer, false);
    return;
  }
  const Crash how = make_crash();
  const Answer answer = caller_.call_and_crash(call, how);
  note(call, network, "(crash of kind " + std::to_string(static_cast<int>(how.kind)) + ")", answer);
  model_.deleted(network, sandbox.container, answer, how.kind == Crash::Kind::kDiskFull);
}

// Sandboxes.

bool Life::start_sandbox(Pod& pod) {
  Sandbox sandbox;
  const bool same = pod.keeps_container && !pod.last_container.empty();
  sandbox.container = same ? pod.last_container : "c" + std::to_string(++next_container_);
  sandbox.uid = pod.uid;
  sandbox.pod = pod.name;
  sandbox.requested = pod.requested;
  // Names are new each time, but for a runtime that derives them from the container.
  const std::string name = pod.folder == Folder::kProc ? std::to_string(1000 + ++next_container_)
                           : same && random_.one_in(2) ? pod.last_name
                                                       : "n" + std::to_string(++next_container_);
  sandbox.netns = host_.start(pod.folder, name, random_.one_in(10));
  pod.last_container = sandbox.container;
  pod.last_name = name;

  const std::size_t danger = phase_->chaos;
  Manner manner = Manner::kWhole;
  if (random_.below(400) < danger) {
    manner = Manner::kCrash;
  } else if (random_.below(100) < danger) {
    constexpr std::array kManners{Manner::kUnread, Manner::kUnwritable, Manner::kVanish};
    manner = kManners.at(random_.below(kManners.size()));
  }
  bool failed = false;
  for (const std::size_t network : pod.networks) {
    Answer answer = add(pod, sandbox, network, manner);
    if (!answer.succeeded() && manner != Manner::kWhole && sandbox.netns->alive &&
        random_.one_in(3)) {  // the runtime tries the very same again
      answer = add(pod, sandbox, network, Manner::kWhole);
    }
    if (answer.succeeded() && !answer.addresses().empty()) {
      sandbox.networks.push_back(network);
      manner = Manner::kWhole;
      continue;
    }
    failed = true;
    break;
  }
  // A chained plugin after ours fails; sometimes its DEL fails too, and ours is never called.
  failed = failed || random_.below(100) < 3 + danger;
  pod.sandbox = sandbox;
  if (failed) {
    constexpr std::array kFarewells{Farewell::kDelFirst, Farewell::kDelAfter, Farewell::kDelFirst,
                                    Farewell::kLost};
    stop_sandbox(pod, kFarewells.at(random_.below(kFarewells.size())));
  }
  return !failed;
}

void Life::end_namespace(Sandbox& sandbox) {
  if (sandbox.netns->alive) {
    const bool leave_file = sandbox.netns->folder != Folder::kProc && random_.one_in(12);
    host_.end(*sandbox.netns, leave_file);
    note("namespace " + sandbox.netns->path + " of " + sandbox.container + " ends" +
         (leave_file ? ", its file stays" : ""));
  }
}

void Life::stop_sandbox(Pod& pod, Farewell farewell) {
  Sandbox sandbox = *pod.sandbox;
  pod.sandbox.reset();
  if (farewell != Farewell::kDelFirst) {
    end_namespace(sandbox);
  }
  if (farewell != Farewell::kLost) {
    // Also where ADD failed or never came.
    for (const std::size_t network : pod.networks) {
      del(sandbox, network, random_.below(2000) < phase_->chaos);
    }
  }
  end_namespace(sandbox);
  retire(sandbox);
}

void Life::retire(const Sandbox& sandbox) {
  past_.push_back(sandbox);
  if (past_.size() > kPast) {
    past_.pop_front();
  }
}

// Events.

void Life::start_pod() {
  auto pod = std::make_unique<Pod>();
  pod->name = "pod-" + std::to_string(++next_pod_);
  pod->uid = tells_uids_ && !random_.one_in(20) ? "u" + std::to_string(next_pod_) : "";
  pod->folder = folders_.at(random_.below(folders_.size()));
  pod->keeps_container = podman_ && random_.one_in(2);
  pod->networks.push_back(0);
  if (networks_.size() > 1) {
    if (random_.one_in(2)) {
      pod->networks.push_back(1);
    } else if (random_.one_in(2)) {
      pod->networks.front() = 1;
    }
  }
  if (pod->networks.front() == 0 && random_.one_in(10)) {
    pod->requested = pick_request(0);
  }
  pods_.push_back(std::move(pod));
  Pod& started = *pods_.back();
  if (!start_sandbox(started) && (started.uid.empty() || random_.one_in(2))) {
    std::erase_if(pods_, [&](const PodPtr& one) { return one.get() == &started; });
  }
}

std::optional<Address> Life::pick_request(std::size_t network) {
  const std::size_t set = random_.below(networks_[network].set_count());
  const std::vector<net::IntervalSet>& usable = networks_[network].usable(set);
  const net::IntervalSet& range = usable.at(random_.below(usable.size()));
  if (range.empty()) {
    return std::nullopt;
  }
  // Around the first stretch: the gateway and what is excluded too.
  const net::Range& stretch = range.ranges()[random_.below(range.ranges().size())];
  const std::size_t size = static_cast<std::size_t>(stretch.size());
  return Address::from_bits(stretch.family(), stretch.first().bits() + random_.below(size + 1) -
                                                  (random_.one_in(8) ? 1 : 0));
}

void Life::restart_pod() {
  Pod* const pod = pick(false);
  if (pod == nullptr) {
    start_pod();
    return;
  }
  start_sandbox(*pod);
}

void Life::stop_pod() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  stop_sandbox(*pod, random_.one_in(2) ? Farewell::kDelFirst : Farewell::kDelAfter);
  if (!random_.one_in(4)) {  // for good
    std::erase_if(pods_, [&](const PodPtr& one) { return one.get() == pod; });
  }
}

void Life::lose_pod() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  stop_sandbox(*pod, Farewell::kLost);
  if (!random_.one_in(3)) {
    std::erase_if(pods_, [&](const PodPtr& one) { return one.get() == pod; });
  }
}

void Life::retry_sandbox() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  const std::size_t how = random_.below(8);
  if (how == 0) {
    // The old one lives on for a while, as when its runtime hangs; then it just ends.
    Sandbox old = *pod->sandbox;
    const bool keeps = std::exchange(pod->keeps_container, false);
    pod->sandbox.reset();
    start_sandbox(*pod);
    pod->keeps_container = keeps;
    end_namespace(old);
    retire(old);
    return;
  }
  stop_sandbox(*pod, how < 4   ? Farewell::kDelFirst
                     : how < 6 ? Farewell::kDelAfter
                               : Farewell::kLost);
  start_sandbox(*pod);
}

void Life::repeat_add() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  if (sandbox.networks.empty()) {
    return;
  }
  const std::size_t network = sandbox.networks[random_.below(sandbox.networks.size())];
  if (model_.held(network, sandbox.container).empty()) {
    stop_sandbox(*pod, Farewell::kDelFirst);  // a GC ended it
    return;
  }
  Manner manner = Manner::kWhole;
  if (random_.below(100) < phase_->chaos) {
    manner = random_.one_in(2) ? Manner::kUnread : Manner::kUnwritable;
  }
  static_cast<void>(add(*pod, sandbox, network, manner));
}

void Life::repeat_del() {
  if (past_.empty()) {
    return;
  }
  const Sandbox& sandbox = past_[random_.below(past_.size())];
  // Not one whose container is back.
  for (const PodPtr& pod : pods_) {
    if (pod->sandbox && pod->sandbox->container == sandbox.container) {
      return;
    }
  }
  del(sandbox, random_.below(networks_.size()), false);
}

void Life::delete_unknown() {
  Sandbox unknown;
  unknown.container = "never-" + std::to_string(random_.below(5));
  del(unknown, random_.below(networks_.size()), false);
}

void Life::check() {
  const Sandbox* sandbox = nullptr;
  if (Pod* const pod = pick(true); pod != nullptr && !random_.one_in(8)) {
    sandbox = &*pod->sandbox;
  } else if (!past_.empty()) {
    sandbox = &past_[random_.below(past_.size())];
  }
  if (sandbox == nullptr) {
    return;
  }
  const std::size_t network = random_.below(networks_.size());
  std::vector<Address> previous = model_.held(network, sandbox->container);
  if (random_.one_in(10) || previous.empty()) {
    previous = {*Address::parse("192.0.2.77")};
  }
  std::string extra = R"("prevResult":{"cniVersion":"1.0.0","ips":[)";
  for (const Address address : previous) {
    extra += (address == previous.front() ? "" : ",");
    extra += R"({"version":")" + std::string(address.is_v4() ? "4" : "6") + R"(","address":")" +
             address.to_string() + (address.is_v4() ? "/24" : "/64") + "\"}";
  }
  extra += "]},";
  const Call call = make_call("CHECK", *sandbox, network, extra);
  const Answer answer = caller_.call(call);
  note(call, network, "", answer);
  model_.checked(network, sandbox->container, previous, answer);
}

void Life::ask_status() {
  const std::size_t network = random_.below(networks_.size());
  Call call = make_call("STATUS", {}, network, "");
  const Answer answer = caller_.call(call);
  note(call, network, "", answer);
  model_.status_told(network, answer);
}

void Life::collect() {
  const std::size_t network = random_.below(networks_.size());
  const std::string key = random_.one_in(3) ? "cni.dev/attachments" : "cni.dev/valid-attachments";
  std::optional<std::set<std::string>> valid;
  std::string extra;
  std::string how = "without a list";
  const std::size_t kind = random_.below(10);
  if (kind == 0) {
    valid.emplace();
    extra = '"' + key + R"(":null,)";
    how = "null";
  } else if (kind == 1) {
    valid.emplace();
    extra = '"' + key + R"(":[],)";
    how = "empty";
  } else if (kind > 2) {
    const bool partial = kind < 5;
    valid.emplace();
    std::string list;
    for (const PodPtr& pod : pods_) {
      if (!pod->sandbox || (partial && random_.one_in(3))) {
        continue;
      }
      for (const std::size_t one : pod->sandbox->networks) {
        if (one == network) {
          valid->insert(pod->sandbox->container);
          list += (list.empty() ? "" : ",");
          list += R"({"containerID":")" + pod->sandbox->container + R"(","ifname":")" +
                  networks_[network].ifname() + "\"}";
        }
      }
    }
    extra = '"' + key + R"(":[)" + list + "],";
    how = partial ? "partial" : "full";
  }
  const Call call = make_call("GC", {}, network, extra);
  Answer answer;
  if (random_.below(100) < phase_->chaos) {
    const Crash crash = make_crash();
    answer = caller_.call_and_crash(call, crash);
    // A disk that is full may stop it, and then nothing happened.
    answer.crashed = answer.crashed || answer.code() == 5;
  } else {
    answer = caller_.call(call);
  }
  note(call, network, how, answer);
  model_.collected(network, valid, answer);
}

void Life::reboot() {
  ++reboots_;
  note("reboot");
  for (const PodPtr& pod : pods_) {
    if (pod->sandbox) {
      pod->sandbox->netns->alive = false;
      retire(*pod->sandbox);
      pod->sandbox.reset();
    }
  }
  host_.reboot();
  const Milliseconds step =
      random_.one_in(3) ? Milliseconds(random_.between(-86'400'000, 86'400'000)) : Milliseconds(0);
  clock_.reboot(Milliseconds(random_.between(2'000, random_.one_in(2) ? 60'000 : 3'600'000)), step);
  for (Visibility& visibility : host_.visibility) {
    visibility = Visibility::kSeen;
  }
  host_.sees_processes = true;
  model_.sight_changed();
  // Some never come back.
  std::erase_if(pods_, [&](const PodPtr&) { return random_.one_in(3); });
  const std::size_t back = random_.below(pods_.size() + 1);
  for (std::size_t i = 0; i < back; ++i) {
    if (Pod* const pod = pick(false); pod != nullptr) {
      clock_.pass(Milliseconds(random_.between(1, 500)));
      start_sandbox(*pod);
    }
  }
}

void Life::step_clock() {
  const std::int64_t far = random_.one_in(2) ? 86'400'000 : 90'000;
  const Milliseconds step(random_.between(-far, far));
  note("the clock on the wall is set by " + std::to_string(step.count()) + " ms");
  clock_.set_wall(step);
}

void Life::pass_time() {
  const std::size_t kind = random_.below(100);
  const std::int64_t longest = kind < 40   ? 1'500
                               : kind < 70 ? 20'000
                               : kind < 95 ? 90'000
                                           : 7'200'000;
  clock_.pass(Milliseconds(random_.between(1, longest)));
  note("time passes");
}

void Life::edit_ranges() {
  note(networks_[random_.below(networks_.size())].edit(random_));
}

void Life::change_sight() {
  if (random_.one_in(4)) {
    host_.sees_processes = !host_.sees_processes;
    note(host_.sees_processes ? "all processes can be seen" : "some processes cannot be seen");
  } else {
    Visibility& visibility =
        host_.visibility.at(static_cast<std::size_t>(folders_.at(random_.below(folders_.size()))));
    constexpr std::array kChoices{Visibility::kSeen, Visibility::kSeen, Visibility::kDenied,
                                  Visibility::kEmpty};
    visibility = kChoices.at(random_.below(kChoices.size()));
    note("visibility of the folders: " + std::to_string(static_cast<int>(host_.visibility[0])) +
         std::to_string(static_cast<int>(host_.visibility[1])) +
         std::to_string(static_cast<int>(host_.visibility[2])) +
         std::to_string(static_cast<int>(host_.visibility[3])) + " (0 seen, 1 denied, 2 empty)");
  }
  model_.sight_changed();
}

// Addresses that the host itself takes into use, and gives up.
void Life::change_host() {
  if (host_.held.size() > 2 || (!host_.held.empty() && random_.one_in(2))) {
    auto held = host_.held.begin();
    std::advance(held, static_cast<std::ptrdiff_t>(random_.below(host_.held.size())));
    note("the host gives up " + held->to_string());
    host_.held.erase(held);
    return;
  }
  const std::size_t network = random_.below(networks_.size());
  const std::optional<Address> address = pick_request(network);
  if (address && !model_.is_leased(network, *address)) {
    note("the host takes " + address->to_string());
    host_.held.insert(*address);
  }
}

// The pause process of a pod whose namespace is known by /proc/PID dies before the others.
void Life::orphan_namespace() {
  Pod* const pod = pick(true);
  if (pod == nullptr || pod->sandbox->netns->folder != Folder::kProc) {
    return;
  }
  host_.orphan(*pod->sandbox->netns);
  note("the process of " + pod->sandbox->netns->path + " ends, others of " +
       pod->sandbox->container + " live on");
}

void Life::remove_files() {
  if (past_.empty()) {
    return;
  }
  const Sandbox& sandbox = past_[random_.below(past_.size())];
  if (sandbox.netns) {
    host_.remove_file(sandbox.netns->path);
  }
}

// Of a call to a pod that runs already; start_sandbox has its own.
void Life::crash_somewhere() {
  Pod* const pod = pick(true);
  if (pod == nullptr || pod->sandbox->networks.empty()) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  const std::size_t network = sandbox.networks[random_.below(sandbox.networks.size())];
  if (model_.held(network, sandbox.container).empty()) {
    stop_sandbox(*pod, Farewell::kDelFirst);
    return;
  }
  if (random_.one_in(2)) {
    static_cast<void>(add(*pod, sandbox, network, Manner::kCrash));
    return;
  }
  del(sandbox, network, true);
  stop_sandbox(*pod, random_.one_in(3) ? Farewell::kLost : Farewell::kDelFirst);
}

// Somebody keeps the store's lock.
void Life::lock_up() {
  Pod* const pod = pick(true);
  const UniqueFd lock(open((caller_.data_dir() / "lock").c_str(), O_RDWR | O_CLOEXEC));
  if (pod == nullptr || !lock || pod->sandbox->networks.empty() ||
      flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  const std::size_t network = sandbox.networks.front();
  Attempt attempt = make_attempt(sandbox, network);
  attempt.locked = true;
  Call call = make_call("ADD", sandbox, network, "", "3ms");
  Answer answer = caller_.call(call);
  note(call, network, "(locked)", answer);
  if (answer.code() != 11) {
    throw Violation(Check::kCodes, "with a held lock ADD was answered " + answer.in_short());
  }
  call = make_call("DEL", sandbox, network, "", "3ms");
  answer = caller_.call(call);
  note(call, network, "(locked)", answer);
  if (answer.code() != 11) {
    throw Violation(Check::kCodes, "with a held lock DEL was answered " + answer.in_short());
  }
  call = make_call("STATUS", {}, network, "", "3ms");
  answer = caller_.call(call);
  note(call, network, "(locked)", answer);
  if (!answer.succeeded() && answer.code() != 50) {
    throw Violation(Check::kCodes, "with a held lock STATUS was answered " + answer.in_short());
  }
}

// A live attachment asks for another address than it has.
void Life::request_elsewhere() {
  Pod* const pod = pick(true);
  if (pod == nullptr || std::find(pod->sandbox->networks.begin(), pod->sandbox->networks.end(),
                                  0U) == pod->sandbox->networks.end()) {
    return;
  }
  Sandbox other = *pod->sandbox;
  const std::vector<Address> held = model_.held(0, other.container);
  other.requested = pick_request(0);
  if (held.empty() || !other.requested ||
      std::find(held.begin(), held.end(), *other.requested) != held.end()) {
    return;
  }
  static_cast<void>(add(*pod, other, 0, Manner::kWhole));
}

}  // namespace podlease::sim
