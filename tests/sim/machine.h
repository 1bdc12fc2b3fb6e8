#ifndef PODLEASE_TESTS_SIM_MACHINE_H_
#define PODLEASE_TESTS_SIM_MACHINE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clock.h"
#include "podlease/base/clock.h"
#include "podlease/host/host.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

// A made-up node: its network namespaces, processes, mounts and interfaces, and what of them
// podlease can see. It knows both the truth and what shows of it.
//
// Facts of a host that are modelled:
// - A network namespace lives while a name, a process or a descriptor holds it. Any number of each
//   may. It has a cookie, which never comes again within a boot, and an inode, which is the lowest
//   free one. A kernel may have no cookies, and a view may not be allowed to enter namespaces.
// - A name is an entry of a folder (/run/netns, which is also /var/run/netns, docker's and a
//   rootless user's), or the number of a process below /proc. Names are removed while the namespace
//   lives on, and given to another one. Where a namespace was, a plain file may stay. Numbers of
//   processes come again.
// - A folder has a device and an inode of its own. Another mount namespace has other folders by the
//   same paths. A folder may be hidden by a mount, may be missing, or may not be readable.
// - A PID namespace shows its own processes, by numbers of its own; the initial one shows all. A
//   walk over /proc may not be allowed to read every process.
// - Inside a namespace are addresses on interfaces, whose other ends are interfaces of the host. A
//   namespace may show nothing of them (gVisor). Its neighbours know it, or do not, even where only
//   a descriptor holds it.
// - A wire joins the pods of several networks, or of one only: bridges, a macvlan's master, the
//   routing table behind ptp and behind a bridge with a gateway, and main plugins that nobody
//   knows. For a living pod behind ptp the host has a route.
// - The host has an uplink, bridges, addresses of services on a dummy interface, and routes to
//   single addresses, which come and go.
// - Clocks: the wall's is set back and forth, stands in 1970 after a boot until somebody sets it,
//   and the computed time of a boot moves with suspends.
// - A boot has an id. A machine has a machine id and a UUID, both of which may be missing, or be
//   new at each boot. Another machine may come by a copy of the store, or by the store itself.
//
// Facts that are not modelled: files of host-local and of libcni's cache (tests/unit has them), a
// store that is lost or moved, VRFs and VLANs, several mounts of one folder, file systems that do
// not lock, threads whose process has ended, a process of an outer PID namespace in the network
// namespace of a pod of an inner one, boot ids that a container makes up for itself, and whatever
// asks the API server.
namespace podlease::sim {

inline constexpr std::uint64_t kInitialPidNamespace = 0xEFFFFFFCU;
inline constexpr host::NetnsId kHostNetns{.device = 4, .inode = 4'026'531'840};

// Where a runtime keeps its namespaces by name.
enum class Folder { kRunNetns, kVarRunNetns, kDocker, kRootless, kProc };
inline constexpr std::array kFolders{Folder::kRunNetns, Folder::kVarRunNetns, Folder::kDocker,
                                     Folder::kRootless, Folder::kProc};

enum class Visibility {
  kSeen,
  kDenied,  // EACCES, or the folder is not there
  kHidden,  // another folder is mounted over it
};

struct Namespace;
using NamespacePtr = std::shared_ptr<Namespace>;

struct Process {
  std::size_t pid_namespace = 0;  // index
  int number = 0;                 // there
  NamespacePtr netns;
};

// How an interface of a pod is connected.
struct Link {
  std::string device;                 // the bridge or the master; empty: none, as with ptp
  std::set<std::string> wires;        // on which its addresses are used
  std::vector<net::Prefix> gateways;  // the host's own addresses there
  bool has_host_routes = false;       // the host has a route to each of its addresses
  friend bool operator==(const Link&, const Link&) = default;
};

struct InPod {
  std::string interface;
  std::string container;
  std::string uid;
  std::vector<net::Prefix> addresses;
  Link link;
  unsigned peer = 0;  // index of the host's end
};

// A network namespace, as it truly is.
struct Namespace {
  std::uint64_t cookie = 0;
  host::NetnsId id;
  // As its runtime calls it.
  Folder folder = Folder::kRunNetns;
  std::string path;
  std::size_t view = 0;

  std::set<std::pair<host::NetnsId, std::string>> names;  // folder and name
  std::set<int> processes;                                // by their numbers in the first one
  int descriptors = 0;
  bool talks = true;            // its neighbours know it
  bool shows_addresses = true;  // to whoever enters it
  std::map<std::string, InPod> interfaces;

  [[nodiscard]] bool alive() const {
    return !names.empty() || !processes.empty() || descriptors > 0;
  }
};

// From where a process looks at the machine.
struct Viewpoint {
  std::string what;               // for people
  std::size_t pid_namespace = 0;  // index; 0: the initial one
  std::size_t mounts = 0;         // index of the mount namespace
  std::array<Visibility, kFolders.size()> visibility{};
  bool reads_all_processes = true;
  bool enters = true;  // namespaces of others
};

class SimHost final : public host::Host {
 public:
  SimHost(const Hook& hook, const SimClock& clock);

  [[nodiscard]] std::string boot_id() const override;
  [[nodiscard]] host::Names names() const override;
  [[nodiscard]] host::View view() const override;
  [[nodiscard]] bool has_mounts_of_init() const override;
  [[nodiscard]] std::optional<host::NetnsId> folder_of(
      const std::filesystem::path& netns) const override;
  [[nodiscard]] host::NetnsAt netns_at(const std::filesystem::path& netns) const override;
  [[nodiscard]] std::uint64_t cookie_at(const std::string& path,
                                        const host::NetnsId& netns) const override;
  [[nodiscard]] std::vector<host::NamedNetns> named_namespaces(
      const std::vector<std::string>& beside) const override;
  [[nodiscard]] std::optional<std::vector<host::PodAddress>> addresses_in(
      const host::NamedNetns& netns) const override;
  [[nodiscard]] host::Occupied occupied() const override;
  [[nodiscard]] std::chrono::sys_time<Milliseconds> booted_at() const override;
  [[nodiscard]] std::optional<host::AddressHolder> holder_of(net::Address address) const override;
  [[nodiscard]] host::HostNetworks networks() const override;
  [[nodiscard]] bool is_reachable_neighbour(net::Address address,
                                            const std::string& interface) const override;

  // The truth, and how it changes.

  // A new namespace, called `name` in a folder as `view` sees it. Below /proc the name is the
  // number of a process that is started in it; `name` counts for nothing.
  NamespacePtr start(Folder folder, const std::string& name, std::size_t view);
  // A process comes to live in it, or one leaves. Returns false if none was there.
  void add_process(const NamespacePtr& netns, std::size_t view);
  bool end_process(Namespace& netns);
  // Its own name; false if it has none any more. Below /proc, the process with that number ends.
  bool remove_name(Namespace& netns);
  // It ends; `leave_file`: its name stays behind as a plain file.
  void end(Namespace& netns, bool leave_file);
  void remove_file(const Namespace& netns);
  // An attachment's addresses as its main plugin assigns them, and takes them away.
  void plug(const NamespacePtr& netns, const InPod& interface);
  void unplug(Namespace& netns, const std::string& interface);
  // The same container has these addresses in another namespace now, or the same pod has, and its
  // former namespace is one that nobody can see: what is left of that is nobody's concern. Nor is
  // what the same container had in one that nobody can see.
  void supersede(const NamespacePtr& next, const InPod& interface);
  [[nodiscard]] std::vector<NamespacePtr> living() const;
  // Nothing of it lives.
  void reboot();
  // A container-node with its own PID and mount namespace starts anew: other processes, other
  // folders.
  void restart_container(std::size_t view);

  // Returns its index.
  std::size_t add_view(Viewpoint viewpoint);
  // From where the next questions are asked.
  void look_from(std::size_t view) { current_ = view; }
  [[nodiscard]] std::size_t current_view() const { return current_; }
  // The next questions are asked on another machine, on which nothing runs; nothing: on this one.
  struct Abroad {
    std::string boot_id;
    host::Names names;
    std::chrono::sys_time<Milliseconds> booted_at;
  };
  std::optional<Abroad> abroad;

  // What podlease would see from a view, without being asked.
  [[nodiscard]] host::NetnsAt sight(const std::string& path, std::size_t view) const;
  [[nodiscard]] std::optional<host::NetnsId> folder_seen(const std::string& path,
                                                         std::size_t view) const;
  [[nodiscard]] NamespacePtr at(const std::string& path, std::size_t view) const;
  [[nodiscard]] std::uint64_t pid_namespace_id(std::size_t view) const;
  // Some process of it is among those that the view shows.
  [[nodiscard]] bool occupied_as_seen(const Namespace& netns, std::size_t view) const;
  // Some living namespace has that number.
  [[nodiscard]] NamespacePtr numbered(const host::NetnsId& id) const;
  // Somebody can prove that it lives: it is at its own path, a process is in it, or its neighbours
  // know it.
  [[nodiscard]] bool lives_provably(const Namespace& netns) const;
  // The host itself has it, or a route to it.
  [[nodiscard]] bool is_held(net::Address address) const;
  // Or had it a minute ago: so long podlease may believe what it knows of the host. With it counts
  // what is connected by another device than the one of the pods.
  [[nodiscard]] bool was_held_lately(net::Address address, const std::string& device) const;
  void give_up(net::Address address);
  // Another container's living namespace that has the address on one of the wires.
  [[nodiscard]] NamespacePtr other_with(net::Address address, const std::set<std::string>& wires,
                                        const std::string& container) const;
  [[nodiscard]] int boots() const { return boots_; }
  [[nodiscard]] bool has_cookies(std::size_t view) const {
    return kernel_has_cookies && views[view].enters;
  }

  std::vector<Viewpoint> views;  // the first one is the host's own
  bool kernel_has_cookies = true;
  host::Names own_names;
  std::set<net::Address> held;  // by the host itself

 private:
  struct Entry {
    bool plain_file = false;
    NamespacePtr netns;
  };
  struct FolderAt {  // a folder in the view, and what of its path is left
    const Visibility* visibility;
    std::size_t instance;
    std::string name;
  };

  [[nodiscard]] std::size_t instance_of(Folder folder, std::size_t mounts) const;
  [[nodiscard]] std::optional<FolderAt> resolve(const std::string& path, std::size_t view) const;
  [[nodiscard]] int number_of(int process, std::size_t pid_namespace) const;
  // Whether a walk from there may look into it.
  [[nodiscard]] static bool is_read(int process, const Viewpoint& from);
  [[nodiscard]] const Process* process_at(const std::string& path, std::size_t view) const;
  int spawn(const NamespacePtr& netns, std::size_t pid_namespace);
  void kill(int process);
  void bury(Namespace& netns);
  host::NetnsId next_id();

  struct FolderInstance {
    host::NetnsId id;
    std::map<std::string, Entry> entries;
  };

  const Hook* hook_;
  const SimClock* clock_;
  std::size_t current_ = 0;
  std::vector<FolderInstance> folders_;  // of mount namespace m from m * kPerMount on
  std::map<int, Process> processes_;     // by their numbers in the initial PID namespace
  std::map<std::size_t, std::uint64_t> pid_namespaces_;  // ids, of index
  std::map<std::pair<std::size_t, int>, int> inner_;     // from number in an inner one
  std::map<host::NetnsId, NamespacePtr> alive_;
  std::multimap<net::Address, std::pair<NamespacePtr, std::string>> plugged_;
  std::set<std::string> bridges_;  // that are there
  // What the host has on a device, because so many pods are connected there. Of none: on the other
  // end of each.
  std::map<std::pair<std::string, net::Prefix>, int> gateways_;
  [[nodiscard]] bool is_routed(net::Address address) const;
  std::map<net::Address, Milliseconds> given_up_;  // when the host last had it
  std::map<std::pair<std::string, net::Prefix>, Milliseconds> disconnected_;  // by device
  std::uint64_t next_cookie_ = 4'096;
  std::uint64_t next_folder_ = 900;
  std::uint64_t next_pid_namespace_ = 4'026'533'000;
  unsigned next_index_ = 100;
  int next_process_ = 300;
  int boots_ = 1;
};

// Two networks on one of these wires have a wire in common; an unknown one ("?") may be any.
[[nodiscard]] bool have_common_wire(const std::set<std::string>& some,
                                    const std::set<std::string>& others);

[[nodiscard]] std::string path_of(Folder folder, const std::string& name);

}  // namespace podlease::sim

#endif  // PODLEASE_TESTS_SIM_MACHINE_H_
