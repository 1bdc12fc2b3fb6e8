#include <algorithm>
#include <array>
#include <iterator>
#include <system_error>

#include "life.h"

// What happens to the node, and to podlease's view of it.
namespace podlease::sim {
namespace {

using net::Address;

constexpr Milliseconds kDay{86'400'000};

}  // namespace

void Life::ask_status() {
  const std::size_t book = book_of(random_.below(networks_.size()));
  Sandbox nobody;
  nobody.view = random_.below(host_.views.size());
  const Call call = make_call("STATUS", nobody, book, "");
  const Answer answer = caller_.call(call);
  note(call, book, "", answer);
  model_.status_told(book, answer);
}

void Life::collect() {
  const std::size_t book = random_.below(networks_.size() * Network::kNames);
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
      for (const std::size_t one : pod->sandbox->books) {
        if (one == book) {
          valid->insert(pod->sandbox->container);
          list += (list.empty() ? "" : ",");
          list += R"({"containerID":")" + pod->sandbox->container + R"(","ifname":")" +
                  network_of(book).ifname() + "\"}";
        }
      }
    }
    extra = '"' + key + R"(":[)" + list + "],";
    how = partial ? "partial" : "full";
  }
  Sandbox nobody;
  nobody.view = random_.one_in(2) ? 0 : random_.below(host_.views.size());
  const Call call = make_call("GC", nobody, book, extra);
  Answer answer;
  if (random_.below(100) < phase_->chaos) {
    const Crash crash = make_crash();
    answer = caller_.call_and_crash(call, crash);
    // A disk that is full may stop it, and then nothing happened.
    answer.crashed = answer.crashed || answer.code() == 5;
  } else {
    answer = caller_.call(call);
  }
  note(call, book, how, answer);
  model_.collected(book, nobody.view, valid, answer);
  unplug_ended();
}

void Life::sweep() {
  const std::size_t view = random_.below(host_.views.size());
  note("podlease gc from " + host_.views[view].what);
  model_.swept(view, caller_.sweep(view));
  unplug_ended();
}

void Life::reboot() {
  ++reboots_;
  for (const PodPtr& pod : pods_) {
    if (pod->sandbox) {
      retire(*pod->sandbox);
      pod->sandbox.reset();
    }
  }
  lingering_.clear();
  host_.reboot();
  const Milliseconds off(random_.between(2'000, random_.one_in(2) ? 60'000 : 3'600'000));
  const Milliseconds step = random_.one_in(3)
                                ? Milliseconds(random_.between(-kDay.count(), kDay.count()))
                                : Milliseconds(0);
  std::string how;
  if (has_clock_) {
    clock_.reboot(off, step);
  } else {
    clock_.reboot_in_1970(off);
    how += ", in 1970";
  }
  const bool other_machine = random_.one_in(12);
  if (other_machine || has_fickle_machine_id_) {
    const std::string number = std::to_string(reboots_ + 1);
    host_.own_names.machine_id = "machine-" + number;
    host_.own_names.system_uuid = other_machine && !has_fickle_machine_id_ ? "uuid-" + number : "";
    how += other_machine ? ", as another machine" : ", with another machine id";
  }
  if (random_.one_in(8)) {
    host_.kernel_has_cookies = !host_.kernel_has_cookies;
    how += host_.kernel_has_cookies ? ", with cookies" : ", without cookies";
  }
  note("reboot" + how);
  for (Viewpoint& view : host_.views) {
    view.visibility = {};
    view.reads_all_processes = true;
    view.enters = true;
  }
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
  if (!has_clock_ && random_.one_in(2)) {
    note("the clock on the wall is set right");
    clock_.correct_wall();
    return;
  }
  const std::int64_t far = random_.one_in(2) ? kDay.count() : 90'000;
  const Milliseconds step(random_.between(-far, far));
  note("the clock on the wall is set by " + std::to_string(step.count()) + " ms");
  clock_.set_wall(step);
}

void Life::suspend() {
  const Milliseconds duration(random_.between(1'000, std::int64_t{8} * 3'600'000));
  note("the machine sleeps for " + std::to_string(duration.count()) + " ms");
  clock_.suspend(duration);
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

void Life::edit_network() {
  note(networks_[random_.below(networks_.size())].edit(random_));
}

void Life::rename_network() {
  note(networks_[random_.below(networks_.size())].rename());
}

void Life::change_sight() {
  const std::size_t which = random_.below(host_.views.size());
  Viewpoint& view = host_.views[which];
  const std::size_t kind = random_.below(8);
  if (kind == 0) {
    view.reads_all_processes = !view.reads_all_processes;
  } else if (kind == 1) {
    view.enters = !view.enters;
  } else {
    Visibility& visibility =
        view.visibility.at(static_cast<std::size_t>(folders_.at(random_.below(folders_.size()))));
    constexpr std::array kChoices{Visibility::kSeen, Visibility::kSeen, Visibility::kDenied,
                                  Visibility::kHidden};
    visibility = kChoices.at(random_.below(kChoices.size()));
  }
  std::string text = view.what + (view.reads_all_processes ? " reads all" : " misses") +
                     (view.enters ? " processes, enters" : " processes, does not enter") +
                     " namespaces; folders";
  for (const Visibility visibility : view.visibility) {
    text += " " + std::to_string(static_cast<int>(visibility));
  }
  note(text + " (0 seen, 1 denied, 2 hidden)");
  model_.sight_changed();
}

// Addresses that the host itself takes into use, and gives up.
void Life::change_host() {
  if (host_.held.size() > 2 || (!host_.held.empty() && random_.one_in(2))) {
    auto held = host_.held.begin();
    std::advance(held, static_cast<std::ptrdiff_t>(random_.below(host_.held.size())));
    note("the host gives up " + held->to_string());
    host_.give_up(*held);
    return;
  }
  const std::size_t network = random_.below(networks_.size());
  const std::optional<Address> address = pick_request(network);
  if (address && !model_.is_leased(network, *address) &&
      std::none_of(networks_.begin(), networks_.end(), [&](const Network& one) {
        return one.is_routing() && one.is_gateway(*address);
      })) {
    note("the host takes " + address->to_string());
    host_.held.insert(*address);
  }
}

// A process of a pod comes or goes, its neighbours learn of it or forget it. It goes on.
void Life::change_namespace() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  const NamespacePtr netns = pod->sandbox->netns;
  std::string what;
  switch (random_.below(4)) {
    case 0:
      host_.add_process(netns, pod->view);
      what = "a process joins ";
      break;
    case 1:
      if ((netns->names.empty() && netns->processes.size() < 2) || !host_.end_process(*netns)) {
        return;
      }
      what = "a process leaves ";
      break;
    case 2:
      netns->talks = netns->talks || !netns->processes.empty() || !netns->names.empty();
      what = "neighbours know ";
      break;
    default:
      // Nobody else may know that a descriptor is all that holds it.
      if (netns->names.empty() && netns->processes.empty()) {
        return;
      }
      netns->talks = !netns->talks;
      what = netns->talks ? "neighbours know " : "neighbours forget ";
      break;
  }
  note(what + std::to_string(netns->cookie) + " " + netns->path + " of " + pod->sandbox->container);
}

// Of a pod that goes on: `ip netns del` while a process is inside, or the first process of a pod
// whose namespace is known by /proc/PID dies before the others.
void Life::lose_name() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  const NamespacePtr netns = pod->sandbox->netns;
  if (pod->folder == Folder::kProc || netns->processes.empty()) {
    host_.add_process(netns, pod->view);
  }
  if (host_.at(netns->path, pod->view) == netns && host_.remove_name(*netns)) {
    note(std::to_string(netns->cookie) + " " + netns->path + " of " + pod->sandbox->container +
         " loses its name, a process lives on");
  }
}

void Life::end_lingering() {
  if (lingering_.empty()) {
    return;
  }
  const std::size_t which = random_.below(lingering_.size());
  const NamespacePtr netns = lingering_[which];
  lingering_.erase(lingering_.begin() + static_cast<std::ptrdiff_t>(which));
  host_.end(*netns, false);
  note("what lived in " + std::to_string(netns->cookie) + " " + netns->path + " ends");
}

void Life::remove_files() {
  if (past_.empty()) {
    return;
  }
  const Sandbox& sandbox = past_[random_.below(past_.size())];
  if (sandbox.netns) {
    host_.remove_file(*sandbox.netns);
  }
}

void Life::restart_container() {
  const std::size_t view = random_.below(host_.views.size());
  if (host_.views[view].pid_namespace == 0) {
    return;
  }
  note(host_.views[view].what + " starts anew");
  host_.restart_container(view);
  model_.sight_changed();
  for (const PodPtr& pod : pods_) {
    if (!pod->sandbox || pod->view != view) {
      continue;
    }
    // Its runtime cleans up what it finds, and once in a while it does not.
    stop_sandbox(*pod, random_.one_in(8) ? Farewell::kLost : Farewell::kDelAfter);
  }
}

// Another machine, on which nothing of this one runs, uses the very same store while this one goes
// on: a folder on a network.
void Life::write_from_abroad() {
  caller_.stamp_files();
  const std::size_t book = book_of(random_.below(networks_.size()));
  // Nobody can tell who wrote the store if that has no names, nor when, if the clock was set back.
  if (model_.lease_count() == 0 || host_.own_names.machine_id.empty() ||
      caller_.last_written() > clock_.wall()) {
    return;
  }
  Sandbox foreign;
  foreign.container = "abroad-" + std::to_string(++next_container_);
  foreign.netns = std::make_shared<Namespace>();
  foreign.netns->path = "/run/netns/abroad";
  host_.abroad = {
      .boot_id = "boot-abroad",
      .names = {.host_name = "node", .machine_id = "machine-abroad", .system_uuid = "uuid-abroad"},
      .booted_at = std::chrono::sys_time<Milliseconds>(-3'650 * kDay)};
  const Call call = make_call("ADD", foreign, book, "");
  const Answer answer = caller_.call(call);
  note(call, book, "on another machine", answer);
  const Call farewell = make_call("DEL", foreign, book, "");
  const Answer left = caller_.call(farewell);
  note(farewell, book, "on another machine", left);
  host_.abroad.reset();
  if (answer.code() != 7 || !left.succeeded()) {
    throw Violation(Check::kCodes, "another machine, up since long, was answered " +
                                       answer.in_short() + " to ADD, " + left.in_short() +
                                       " to DEL");
  }
  model_.audit();
}

// The store's copy is used on a machine that was booted since: a disk image that was cloned.
void Life::copy_abroad() {
  const std::size_t book = book_of(random_.below(networks_.size()));
  const std::filesystem::path copy = folder_ / "copy";
  std::error_code failed;
  std::filesystem::copy(caller_.data_dir(), copy, std::filesystem::copy_options::recursive, failed);
  if (failed) {
    return;
  }
  Sandbox foreign;
  foreign.container = "copied-" + std::to_string(++next_container_);
  foreign.netns = std::make_shared<Namespace>();
  foreign.netns->path = "/run/netns/copied";
  host_.abroad = {
      .boot_id = "boot-copied",
      .names = {.host_name = "node", .machine_id = "machine-copied", .system_uuid = "uuid-copied"},
      .booted_at = std::chrono::sys_time<Milliseconds>(36'500 * kDay)};
  Call call = make_call("ADD", foreign, book, "");
  call.input = network_of(book).document(book % Network::kNames, "1.1.0", "", "", copy.string());
  const Answer answer = caller_.call(call);
  note(call, book, "with a copy on another machine", answer);
  host_.abroad.reset();
  std::filesystem::remove_all(copy, failed);
  // Leases of a container-node may not be told from those of one that goes on.
  const bool is_right =
      answer.succeeded() || answer.code() == 7 || (host_.views.size() > 1 && answer.code() == 100);
  if (!is_right || answer.output.find("machine") != std::string::npos) {
    throw Violation(Check::kCodes,
                    "with a copy of the store another machine was answered " + answer.in_short());
  }
  model_.audit();
}

}  // namespace podlease::sim
