#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <utility>

#include "life.h"
#include "podlease/base/file.h"
#include "podlease/net/range.h"

// What happens to pods.
namespace podlease::sim {
namespace {

using net::Address;

constexpr std::size_t kPast = 64;  // ended sandboxes whose DEL may come again

}  // namespace

// ---- Sandboxes

NamespacePtr Life::start_namespace(Pod& pod, bool same_name) {
  // Names are new each time, but for a runtime that derives them from the container, and for
  // people who use the same ones again.
  std::string name = "n" + std::to_string(++next_container_);
  if (same_name) {
    name = pod.last_name;
  } else if (random_.one_in(4)) {
    name = "again" + std::to_string(random_.below(4));
    const NamespacePtr there = host_.at(path_of(pod.folder, name), pod.view);
    if (there) {
      name = "n" + std::to_string(next_container_);
    }
  }
  NamespacePtr netns = host_.start(pod.folder, name, pod.view);
  netns->talks = !random_.one_in(8);
  netns->shows_addresses = !random_.one_in(8);
  if (random_.one_in(3)) {
    host_.add_process(netns, pod.view);
  }
  pod.last_name = name;
  return netns;
}

bool Life::start_sandbox(Pod& pod) {
  Sandbox sandbox;
  const bool same = pod.keeps_container && !pod.last_container.empty();
  sandbox.container = same ? pod.last_container : "c" + std::to_string(++next_container_);
  sandbox.uid = pod.uid;
  sandbox.pod = pod.name;
  sandbox.view = pod.view;
  sandbox.requested = pod.requested;
  sandbox.netns = start_namespace(pod, same && random_.one_in(2));
  pod.last_container = sandbox.container;

  const std::size_t danger = asleep_ ? 0 : phase_->chaos;  // one thing at a time
  Manner manner = Manner::kWhole;
  if (random_.below(400) < danger) {
    manner = Manner::kCrash;
  } else if (random_.below(100) < danger) {
    constexpr std::array kManners{Manner::kUnread, Manner::kUnwritable, Manner::kVanish};
    manner = kManners.at(random_.below(kManners.size()));
  }
  bool failed = false;
  for (const std::size_t network : pod.networks) {
    const std::size_t book = book_of(network);
    Answer answer = add(sandbox, book, manner);
    if (!answer.succeeded() && manner != Manner::kWhole && sandbox.netns->alive() &&
        random_.one_in(3)) {  // the runtime tries the very same again
      answer = add(sandbox, book, Manner::kWhole);
    }
    if (answer.succeeded() && !answer.addresses().empty()) {
      sandbox.books.push_back(book);
      manner = Manner::kWhole;
      continue;
    }
    failed = true;
    break;
  }
  if (sandbox.netns->alive() && !random_.one_in(16)) {
    host_.add_process(sandbox.netns, pod.view);
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

void Life::end_namespace(const Sandbox& sandbox) {
  Namespace& netns = *sandbox.netns;
  if (!netns.alive()) {
    return;
  }
  const std::string what =
      "namespace " + std::to_string(netns.cookie) + " " + netns.path + " of " + sandbox.container;
  // Something goes on in it: a process that did not die with the others, or whoever has it open.
  if (!netns.names.empty() && !netns.processes.empty() && random_.one_in(10)) {
    static_cast<void>(host_.remove_name(netns));
    lingering_.push_back(sandbox.netns);
    note(what + " loses its name, a process lives on");
    return;
  }
  if (random_.one_in(24)) {
    ++netns.descriptors;
    while (host_.end_process(netns)) {
    }
    static_cast<void>(host_.remove_name(netns));
    lingering_.push_back(sandbox.netns);
    note(what + " lives on in a descriptor");
    return;
  }
  const bool leave_file = !netns.names.empty() && random_.one_in(12);
  host_.end(netns, leave_file);
  note(what + " ends" + (leave_file ? ", its file stays" : ""));
}

void Life::stop_sandbox(Pod& pod, Farewell farewell) {
  const Sandbox sandbox = *pod.sandbox;
  pod.sandbox.reset();
  if (farewell != Farewell::kDelFirst) {
    end_namespace(sandbox);
  }
  if (farewell != Farewell::kLost) {
    // Also where ADD failed or never came; under the name that a network had, or has.
    for (const std::size_t network : pod.networks) {
      std::size_t book = book_of(network);
      for (const std::size_t one : sandbox.books) {
        const bool by_new_name = !sandbox.uid.empty() && random_.one_in(2);
        book = one / Network::kNames == network && !by_new_name ? one : book;
      }
      del(sandbox, book, !asleep_ && random_.below(2000) < phase_->chaos);
    }
  }
  if (farewell == Farewell::kDelFirst) {
    end_namespace(sandbox);
  }
  retire(sandbox);
}

void Life::retire(const Sandbox& sandbox) {
  past_.push_back(sandbox);
  if (past_.size() > kPast) {
    past_.pop_front();
  }
}

// ---- Events

void Life::start_pod() {
  auto pod = std::make_unique<Pod>();
  pod->name = "pod-" + std::to_string(++next_pod_);
  pod->uid = tells_uids_ && !random_.one_in(20) ? "u" + std::to_string(next_pod_) : "";
  pod->folder = folders_.at(random_.below(folders_.size()));
  pod->view = random_.one_in(2) ? 0 : random_.below(host_.views.size());
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
  if (range.empty() || !networks_[network].has_set(set)) {
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
    const Sandbox old = *pod->sandbox;
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

// The same container gets another namespace without a DEL, perhaps by the same name.
void Life::renew_namespace() {
  Pod* const pod = pick(true);
  if (pod == nullptr || pod->sandbox->books.empty()) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  end_namespace(sandbox);
  const bool same_name = pod->folder != Folder::kProc && random_.one_in(2);
  sandbox.netns = start_namespace(*pod, same_name);
  note(sandbox.container + " has the new namespace " + std::to_string(sandbox.netns->cookie) + " " +
       sandbox.netns->path);
  std::vector<std::size_t> served;
  for (const std::size_t book : sandbox.books) {
    const Answer answer = add(sandbox, book, Manner::kWhole);
    if (answer.succeeded() && !answer.addresses().empty()) {
      served.push_back(book);
    }
  }
  host_.add_process(sandbox.netns, pod->view);
  if (served.size() != sandbox.books.size()) {
    stop_sandbox(*pod, Farewell::kDelFirst);
  }
}

void Life::repeat_add() {
  Pod* const pod = pick(true);
  if (pod == nullptr) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  if (sandbox.books.empty()) {
    return;
  }
  const std::size_t book = sandbox.books[random_.below(sandbox.books.size())];
  if (!model_.holds_in(book, sandbox.container, *sandbox.netns)) {
    stop_sandbox(*pod, Farewell::kDelFirst);  // a GC ended it
    return;
  }
  // The number of its process may be another's by now, and then no runtime would say that.
  const NamespacePtr there = host_.at(sandbox.netns->path, sandbox.view);
  if (there != sandbox.netns && (there || !random_.one_in(4))) {
    return;
  }
  Manner manner = Manner::kWhole;
  if (random_.below(100) < phase_->chaos) {
    manner = random_.one_in(2) ? Manner::kUnread : Manner::kUnwritable;
  }
  static_cast<void>(add(sandbox, book, manner));
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
  del(sandbox, random_.below(networks_.size() * Network::kNames), false);
}

void Life::delete_unknown() {
  Sandbox unknown;
  unknown.container = "never-" + std::to_string(random_.below(5));
  del(unknown, random_.below(networks_.size() * Network::kNames), false);
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
  const std::size_t book = sandbox->books.empty()
                               ? book_of(random_.below(networks_.size()))
                               : sandbox->books[random_.below(sandbox->books.size())];
  std::vector<Address> previous = model_.held(book, sandbox->container);
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
  const Call call = make_call("CHECK", *sandbox, book, extra);
  const Answer answer = caller_.call(call);
  note(call, book, "", answer);
  model_.checked(book, sandbox->container, previous, answer);
}

// A live attachment asks for another address than it has.
void Life::request_elsewhere() {
  Pod* const pod = pick(true);
  if (pod == nullptr || pod->sandbox->books.empty() ||
      pod->sandbox->books.front() >= Network::kNames) {
    return;
  }
  const std::size_t book = pod->sandbox->books.front();
  Sandbox other = *pod->sandbox;
  const std::vector<Address> held = model_.held(book, other.container);
  other.requested = pick_request(0);
  if (held.empty() || !other.requested || host_.at(other.netns->path, other.view) != other.netns ||
      std::find(held.begin(), held.end(), *other.requested) != held.end()) {
    return;
  }
  static_cast<void>(add(other, book, Manner::kWhole));
}

// Of a call to a pod that runs already; start_sandbox has its own.
void Life::crash_somewhere() {
  Pod* const pod = pick(true);
  if (pod == nullptr || pod->sandbox->books.empty()) {
    return;
  }
  Sandbox& sandbox = *pod->sandbox;
  const std::size_t book = sandbox.books[random_.below(sandbox.books.size())];
  if (model_.held(book, sandbox.container).empty()) {
    stop_sandbox(*pod, Farewell::kDelFirst);
    return;
  }
  if (random_.one_in(2) && host_.at(sandbox.netns->path, sandbox.view) == sandbox.netns) {
    static_cast<void>(add(sandbox, book, Manner::kCrash));
    return;
  }
  del(sandbox, book, true);
  stop_sandbox(*pod, random_.one_in(3) ? Farewell::kLost : Farewell::kDelFirst);
}

// Somebody keeps the store's lock.
void Life::lock_up() {
  Pod* const pod = pick(true);
  const UniqueFd lock(open((caller_.data_dir() / "lock").c_str(), O_RDWR | O_CLOEXEC));
  if (pod == nullptr || !lock || pod->sandbox->books.empty() ||
      flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return;
  }
  const Sandbox& sandbox = *pod->sandbox;
  const std::size_t book = sandbox.books.front();
  for (const std::string_view verb : {"ADD", "DEL", "STATUS"}) {
    const Call call = make_call(verb, verb == "STATUS" ? Sandbox() : sandbox, book, "", "3ms");
    const Answer answer = caller_.call(call);
    note(call, book, "(locked)", answer);
    const bool is_right = verb == "STATUS"
                              ? answer.succeeded() || answer.code() == 50 || answer.code() == 7
                              : answer.code() == 11 || answer.code() == 7;
    if (!is_right) {
      throw Violation(Check::kCodes, "with a held lock " + std::string(verb) + " was answered " +
                                         answer.in_short());
    }
  }
}

}  // namespace podlease::sim
