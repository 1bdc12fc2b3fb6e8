#ifndef PODLEASE_TESTS_SIM_LIFE_H_
#define PODLEASE_TESTS_SIM_LIFE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "caller.h"
#include "machine.h"
#include "model.h"
#include "network.h"
#include "podlease/net/address.h"

namespace podlease::sim {

struct Options {
  std::uint64_t seed = 0;
  std::size_t events = 200'000;
  std::size_t audit = 0;  // read the whole store every so many events; 0: as it grows
  bool keep = false;      // the store
  bool verbose = false;
  std::set<Check> ignored;
};

// One node and all that happens to it: pods come, go, crash and come back, DELs are lost, the
// machine reboots, clocks jump, ranges are edited, networks are renamed, namespaces lose their
// names, and others look at the machine from elsewhere. All of it follows from the seed.
class Life {
 public:
  Life(const Options& options, const std::filesystem::path& folder);

  // Throws Violation.
  void run();

  [[nodiscard]] std::size_t event() const { return event_; }
  [[nodiscard]] std::size_t calls() const { return calls_; }
  [[nodiscard]] std::string describe() const;  // the node
  // The last ones, oldest first.
  [[nodiscard]] const std::deque<std::string>& history() const { return history_; }
  [[nodiscard]] std::string counts() const;

 private:
  struct Sandbox {
    std::string container;
    NamespacePtr netns;
    std::string uid;
    std::string pod;
    std::size_t view = 0;                   // from where its runtime looks at the machine
    std::vector<std::size_t> books;         // whose ADD was answered, and no DEL came
    std::optional<net::Address> requested;  // of the first network
  };
  struct Pod {
    std::string name;
    std::string uid;  // empty: the runtime does not tell
    Folder folder = Folder::kRunNetns;
    std::size_t view = 0;
    bool keeps_container = false;  // podman: the container id outlives the sandbox
    std::vector<std::size_t> networks;
    std::optional<net::Address> requested;
    std::optional<Sandbox> sandbox;  // nothing: waits for one
    std::string last_container;
    std::string last_name;  // of its namespace
  };
  using PodPtr = std::unique_ptr<Pod>;
  // How often what happens, for some hundred events.
  struct Phase {
    std::string_view name;
    std::size_t fill;  // running pods, in percent of the smallest range set
    std::size_t start, restart, stop, lose, retry, repeat_add, repeat_del, check, collect;
    std::size_t time, chaos;
  };

  void step();
  void choose_phase();

  // Events: of pods (life_pods.cpp).
  void start_pod();
  void restart_pod();
  void stop_pod();
  void lose_pod();
  void retry_sandbox();
  void renew_namespace();
  void repeat_add();
  void repeat_del();
  void delete_unknown();
  void check();
  void request_elsewhere();
  void crash_somewhere();
  void lock_up();
  // Of the node (life_world.cpp).
  void ask_status();
  void collect();
  void sweep();
  void reboot();
  void step_clock();
  void suspend();
  void pass_time();
  void edit_network();
  void rename_network();
  void change_sight();
  void change_host();
  void change_namespace();
  void lose_name();
  void end_lingering();
  void remove_files();
  void restart_container();
  void write_from_abroad();
  void copy_abroad();

  // A sandbox for `pod`; false if it failed.
  bool start_sandbox(Pod& pod);
  enum class Manner { kWhole, kUnread, kUnwritable, kVanish, kCrash, kDiskFull };
  Answer add(Sandbox& sandbox, std::size_t book, Manner manner);
  // What the main plugin does with the answer.
  void plug(const Sandbox& sandbox, std::size_t book, const Answer& answer);
  // What podlease ended, the runtime has taken from the pod too.
  void unplug_ended();
  void del(const Sandbox& sandbox, std::size_t book, bool crash);
  [[nodiscard]] NamespacePtr start_namespace(Pod& pod, bool same_name);
  void end_namespace(const Sandbox& sandbox);
  enum class Farewell { kDelFirst, kDelAfter, kLost };
  // The pod is left without a sandbox.
  void stop_sandbox(Pod& pod, Farewell farewell);
  void retire(const Sandbox& sandbox);

  [[nodiscard]] Call make_call(std::string_view verb, const Sandbox& sandbox, std::size_t book,
                               std::string_view extra, std::string_view lock_timeout = {});
  [[nodiscard]] Call make_del(const Sandbox& sandbox, std::size_t book);
  [[nodiscard]] Attempt make_attempt(const Sandbox& sandbox, std::size_t book) const;
  // Under the name that it has now.
  [[nodiscard]] std::size_t book_of(std::size_t network) const {
    return network * Network::kNames + networks_[network].current_name();
  }
  [[nodiscard]] const Network& network_of(std::size_t book) const {
    return networks_[book / Network::kNames];
  }
  [[nodiscard]] Crash make_crash();
  [[nodiscard]] std::optional<net::Address> pick_request(std::size_t network);
  [[nodiscard]] Pod* pick(bool running);
  [[nodiscard]] Folder pick_folder();
  void drop_gone_pods();
  void note(const std::string& text);
  void note(const Call& call, std::size_t book, const std::string& more, const Answer& answer);

  Options options_;
  Random random_;
  Hook hook_;
  SimClock clock_;
  SimHost host_;
  Caller caller_;
  std::vector<Network> networks_;
  Model model_;
  std::filesystem::path folder_;

  std::vector<PodPtr> pods_;
  std::deque<Sandbox> past_;             // ended, with or without a DEL
  std::vector<NamespacePtr> lingering_;  // in which something lives though its sandbox has ended
  std::vector<Folder> folders_;          // this node's runtimes
  bool tells_uids_ = true;
  bool podman_ = false;
  bool has_fickle_machine_id_ = false;  // another one at each boot
  bool has_clock_ = true;               // that runs while the machine is off
  const Phase* phase_ = nullptr;
  std::size_t phase_left_ = 0;
  std::size_t target_ = 0;  // of running pods
  bool asleep_ = false;     // an ADD sleeps while this one goes on
  std::size_t next_container_ = 0;
  std::size_t next_pod_ = 0;
  std::size_t event_ = 0;
  std::size_t calls_ = 0;
  std::size_t since_audit_ = 0;
  std::deque<std::string> history_;
  std::size_t adds_ = 0;
  std::size_t exhausted_ = 0;
  std::size_t reboots_ = 0;
  std::size_t crashes_ = 0;
};

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_LIFE_H_
