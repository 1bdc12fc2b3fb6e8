#ifndef PODLEASE_TESTS_UNIT_IPAM_NODE_H_
#define PODLEASE_TESTS_UNIT_IPAM_NODE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fakes.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/config/net_conf.h"
#include "podlease/ipam/leases.h"
#include "podlease/net/address.h"
#include "podlease/pools/source.h"
#include "podlease/pools/static_source.h"
#include "podlease/store/history_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/network_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"
#include "podlease/store/verify.h"

// What the tests of the rules of leasing share: a machine with one real store in a folder of its
// own. Only the machine and the time are made up.
namespace podlease::ipam {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

using fakes::address;
using fakes::body_of;
using fakes::prefix;
using fakes::put;
using fakes::Thrown;
using fakes::thrown_by;
using host::AddressHolder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// A source that knows what it was told.
class FixedSource final : public pools::Source {
 public:
  explicit FixedSource(pools::Offer offer) : offer_(std::move(offer)) {}
  [[nodiscard]] std::vector<net::Family> families() const override {
    return {net::Family::kIpv4, net::Family::kIpv6};
  }
  [[nodiscard]] pools::Knowledge consult(store::Transaction& /*transaction*/,
                                         const store::Moment& /*now*/) const override {
    return {.answer = offer_};
  }

 private:
  pools::Offer offer_;
};

inline std::unique_ptr<FixedSource> fixed(const pools::Offer& offer) {
  return std::make_unique<FixedSource>(offer);
}

// The offer of a static configuration; `ipam` is its JSON without the outer braces.
inline pools::Offer offer_of(const std::string& ipam) {
  const config::NetConf conf =
      config::Document::parse(R"({"cniVersion":"1.0.0","name":"net","ipam":{)" + ipam + "}}")
          .net_conf("");
  return pools::StaticSource(conf).offer();
}

// Five addresses: 10.1.0.2 to 10.1.0.6.
inline constexpr const char* kSmall = R"("subnet": "10.1.0.0/29")";
// Five and six: 10.1.0.2 to 10.1.0.6, fd00::2 to fd00::7.
inline constexpr const char* kDual =
    R"("ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00::/125"}]])";

inline std::string_view text_of(Reason reason) {
  switch (reason) {
    case Reason::kHeld:
      return "held";
    case Reason::kReturned:
      return "returned";
    case Reason::kRequested:
      return "requested";
    case Reason::kUntouched:
      return "untouched";
    case Reason::kCooled:
      return "cooled";
    case Reason::kPressed:
      return "pressed";
  }
  return "?";
}

// 10.1.0.2/29 untouched, fd00::2/125 held
inline std::string text_of(const std::vector<Granted>& granted) {
  std::vector<std::string> parts;
  parts.reserve(granted.size());
  for (const Granted& grant : granted) {
    parts.push_back(grant.lease.address.to_string() + " " + std::string(text_of(grant.reason)));
  }
  return join(parts, ", ");
}

// CONTAINER/IFNAME ADDRESS/LENGTH
inline std::string text_of(const store::Lease& lease) {
  return lease.key.container_id + "/" + lease.key.ifname + " " + lease.address.to_string();
}

inline bool always() {
  return true;
}

// As libcni keeps an attachment of the network "net".
inline std::string cached(const std::string& container, const std::string& netns,
                          const std::string& cidr) {
  return R"({"kind":"cniCacheV1","containerId":")" + container +
         R"(","ifName":"eth0","networkName":"net","netns":")" + netns +
         R"(","cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME",")" + container +
         R"(-pod"],["K8S_POD_UID","uid-)" + container +
         R"("]],"result":{"cniVersion":"1.0.0","ips":[{"address":")" + cidr + R"("}]}})";
}

// A machine with one store, and what it is asked.
class Node {
 public:
  Node() : Node(fs::temp_directory_path()) {}
  explicit Node(const fs::path& parent) : folder(parent) {
    log.open(folder.path() / "log", LogLevel::kDebug);
  }

  [[nodiscard]] Leases leases_in(const fs::path& store_folder) const {
    return {host, clock, log, places, store_folder, 10s};
  }
  [[nodiscard]] Leases leases() const { return leases_in(data_dir); }

  // Each network is on a bridge of its own, unless a test says which one.
  [[nodiscard]] Wiring wiring() const {
    return own_wiring.value_or(Wiring{.type = "bridge", .device = "br-" + network});
  }

  [[nodiscard]] static std::string netns_of(const std::string& container) {
    return "/run/netns/" + container;
  }

  [[nodiscard]] AddRequest request(const std::string& container,
                                   const std::vector<std::string>& requested = {}) const {
    AddRequest request{.key = {.network = network, .container_id = container, .ifname = "eth0"},
                       .netns = netns_of(container),
                       .cooldown = cooldown,
                       .wiring = wiring()};
    for (const std::string& text : requested) {
      request.requested.push_back({.address = address(text), .path = "runtimeConfig.ips[0]"});
    }
    return request;
  }

  // ADD in a network namespace that lives.
  std::vector<Granted> grant(const AddRequest& request) {
    if (!request.netns.empty() && !host.namespaces.contains(request.netns)) {
      host.start(request.netns);
    }
    return leases().add(request, *fixed(offer), always);
  }
  std::string add(const std::string& container, const std::vector<std::string>& requested = {}) {
    return text_of(grant(request(container, requested)));
  }
  Thrown refusal(const std::string& container, const std::vector<std::string>& requested = {}) {
    return thrown_by([&] { add(container, requested); });
  }

  // What DEL ended. The namespace goes first, as with many runtimes.
  std::vector<std::string> del(const std::string& container) {
    host.end(netns_of(container));
    std::vector<std::string> ended;
    for (const store::Lease& lease :
         leases().del({.key = {.network = network, .container_id = container, .ifname = "eth0"}})) {
      ended.push_back(lease.address.address().to_string());
    }
    return ended;
  }

  // NOLINTNEXTLINE(modernize-use-nodiscard): that it is adopted is what most tests want
  std::vector<Found> adopt(bool dry_run = false) const {
    return leases().adopt(network, wiring(), *fixed(offer), dry_run);
  }
  [[nodiscard]] std::vector<Examined> sweep(const SweepOptions& wanted = {}) const {
    return leases().sweep(wanted);
  }
  [[nodiscard]] Presumed::Life life_of(const store::Lease& lease) const {
    return leases().presume({lease}).front().life;
  }
  [[nodiscard]] bool is_alive(const store::Lease& lease) const {
    return life_of(lease) == Presumed::Life::kAlive;
  }

  // As somebody else does who writes to it.
  void touch_store() const {
    fs::permissions(data_dir / "podlease.db", fs::perms::owner_read | fs::perms::owner_write);
  }

  // What an attachment is called whose container nobody knows.
  [[nodiscard]] std::string id_by_netns(const std::string& netns) const {
    const host::NetnsId id = host.id_of(netns);
    return "netns:" + std::to_string(id.device) + ":" + std::to_string(id.inode);
  }

  // Fills `offer` with containers c1, c2, … and returns how many got an address.
  int fill() {
    int count = 0;
    while (!refusal("c" + std::to_string(count + 1)).kind) {
      ++count;
    }
    return count;
  }

  [[nodiscard]] std::vector<std::string> held_by(const std::string& container) const {
    std::vector<std::string> held;
    for (const store::Lease& lease :
         leases().held_by({.network = network, .container_id = container, .ifname = "eth0"})) {
      held.push_back(text_of(lease));
    }
    return held;
  }

  [[nodiscard]] std::optional<store::Store> open() const {
    return store::Store::open_existing(
        {.folder = data_dir, .registry = places.registry, .lock_timeout = 10s});
  }
  // All leases of the network by address; fails the test if the store is not whole.
  [[nodiscard]] std::vector<store::Lease> all_leases() const {
    std::optional<store::Store> store = open();
    if (!store) {
      return {};
    }
    store::Transaction transaction = store->begin();
    store::verify(transaction);
    const std::optional<store::Network> found = store::NetworkTable(transaction).find(network);
    return found ? store::LeaseTable(transaction).all(found) : std::vector<store::Lease>{};
  }
  [[nodiscard]] std::vector<std::string> all() const {
    std::vector<std::string> texts;
    for (const store::Lease& lease : all_leases()) {
      texts.push_back(text_of(lease));
    }
    return texts;
  }

  // All that has ended, in whichever network: ADDRESS CONTAINER WHY.
  [[nodiscard]] std::vector<std::string> endings() const {
    std::optional<store::Store> store = open();
    std::vector<std::string> endings;
    if (store) {
      store::Transaction transaction = store->begin();
      for (const store::PastLease& past : store::HistoryTable(transaction).all()) {
        endings.push_back(past.address.to_string() + " " + past.key.container_id + " " + past.why);
      }
    }
    return endings;
  }

  [[nodiscard]] fs::path host_local() const { return places.host_local / network; }
  // A file of host-local in its usual folder, which gets its lock file too.
  void host_local_file(const std::string& name, const std::string& body) const {
    put(host_local() / "lock", "");
    put(host_local() / name, body);
    fakes::set_written(host_local() / name, clock.now().wall);
  }

  // Files that came, went or changed.
  [[nodiscard]] std::vector<std::string> changed_since(
      const std::map<std::string, std::string>& before) const {
    return fakes::changes(before, fakes::contents_of(folder.path()));
  }

  [[nodiscard]] std::string log_text() const { return body_of(folder.path() / "log"); }

  fakes::TempFolder folder;
  fakes::FakeHost host;
  fakes::FakeClock clock;
  Log log{clock};
  Places places{.registry = folder.path() / "stores",
                .host_local = folder.path() / "networks",
                .cni_caches = {folder.path() / "cache"}};
  fs::path data_dir = folder.path() / "data";
  pools::Offer offer = offer_of(kSmall);
  Milliseconds cooldown = 30s;
  std::string network = "net";
  std::optional<Wiring> own_wiring;
};

class LeasesTest : public ::testing::Test, protected Node {};

}  // namespace podlease::ipam

#endif  // PODLEASE_TESTS_UNIT_IPAM_NODE_H_
