#include "subject.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "podlease/base/file.h"
#include "podlease/host/host.h"
#include "podlease/net/prefix.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"
#include "podlease/store/store.h"
#include "podlease/store/transaction.h"

namespace podlease::bench {
namespace {

constexpr const char* kNetwork = "bench";
constexpr const char* kInterface = "eth0";
// Leases in one transaction. More would only make for a log of gigabytes.
constexpr std::uint64_t kBatch = 100'000;

std::string hexadecimal(std::uint64_t number) {
  constexpr std::array<char, 17> kDigits{"0123456789abcdef"};
  std::string text;
  for (int shift = 60; shift >= 0; shift -= 4) {
    text += kDigits.at(number >> shift & 0xf);
  }
  return text;
}

// The addresses of a filling, in order: number `index` of `total`.
class Plan {
 public:
  explicit Plan(const Filling& filling)
      : prefix_(parse(filling.subnet)),
        freed_(filling.freed),
        total_(filling.leased + filling.freed) {}

  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] net::Prefix prefix() const { return prefix_; }
  [[nodiscard]] net::Address gateway() const { return at(1); }
  [[nodiscard]] net::Address address(std::uint64_t index) const { return at(index + 2); }
  [[nodiscard]] bool is_freed(std::uint64_t index) const {
    return (index + 1) * freed_ / total_ != index * freed_ / total_;
  }
  // Ascending, so that the index over them is written in order and soon; those measured later fall
  // anywhere in between.
  [[nodiscard]] std::string container_id(std::uint64_t index) const {
    const std::uint64_t spread = std::numeric_limits<std::uint64_t>::max() / total_ * index;
    return hexadecimal(spread) + std::string(48, '0');
  }

 private:
  static net::Prefix parse(const std::string& text) {
    const std::optional<net::Prefix> prefix = net::Prefix::parse(text);
    if (!prefix) {
      throw std::invalid_argument(text);
    }
    return *prefix;
  }
  [[nodiscard]] net::Address at(std::uint64_t offset) const {
    return net::Address::from_bits(prefix_.family(), prefix_.first().bits() + offset);
  }

  net::Prefix prefix_;
  std::uint64_t freed_;
  std::uint64_t total_;
};

// Where the addresses come from, as keys under `ipam`.
std::string ranges_in(const Filling& filling) {
  if (filling.kubeconfig.empty()) {
    return R"("ranges": [[{"subnet": ")" + filling.subnet + R"("}]])";
  }
  return R"("kubernetes": {"kubeconfig": ")" + filling.kubeconfig.string() +
         R"(", "nodeName": "bench", "refresh": ")" + filling.refresh + R"("})";
}

void flush(const std::filesystem::path& folder) {
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || syncfs(fd.get()) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot sync " + folder.string());
  }
}

}  // namespace

Subject::Subject(std::string name, Plugin plugin, std::filesystem::path program,
                 std::filesystem::path folder, const Filling& filling, std::filesystem::path netns,
                 std::filesystem::path answers)
    : name_(std::move(name)),
      plugin_(plugin),
      program_(std::move(program)),
      folder_(std::move(folder)),
      netns_(std::move(netns)),
      answers_(std::move(answers)) {
  std::filesystem::create_directories(folder_);
  const std::string type = plugin == Plugin::kPodlease ? "podlease" : "host-local";
  write_text(folder_ / "config.json",
             R"({"cniVersion": "1.1.0", "name": ")" + std::string(kNetwork) +
                 R"(", "type": "bridge", "ipam": {"type": ")" + type + R"(", "dataDir": ")" +
                 (folder_ / "data").string() + R"(", )" + ranges_in(filling) + "}}\n");
  if (filling.leased + filling.freed > 0) {
    if (plugin == Plugin::kPodlease) {
      fill_podlease(filling);
    } else {
      fill_host_local(filling);
    }
  }
  // Nothing that was written here shall still be on its way to the disk when others are measured.
  flush(folder_);
}

Subject::~Subject() {
  if (!folder_.empty()) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
}

Call Subject::call(const std::string& verb, const std::string& container_id) const {
  return {.command = {program_.string()},
          .environment = {"CNI_COMMAND=" + verb, "CNI_CONTAINERID=" + container_id,
                          "CNI_NETNS=" + netns_.string(), std::string("CNI_IFNAME=") + kInterface,
                          "CNI_PATH=" + program_.parent_path().string(),
                          "PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
          .input = folder_ / "config.json",
          .output = answers_ / "last"};
}

void Subject::fill_podlease(const Filling& filling) const {
  const Plan plan(filling);
  const host::LinuxHost host;
  const host::NetnsId netns = host.netns_at(netns_).id;
  const host::View view = host.view();
  const host::NetnsId netns_folder = host.folder_of(netns_).value_or(host::NetnsId());
  const ClockReading now = SystemClock().now();
  store::Lease lease{.key = {.network = kNetwork, .container_id = {}, .ifname = kInterface},
                     .address = plan.prefix(),
                     .gateway = plan.gateway(),
                     .presence = {.boot_id = host.boot_id(),
                                  .netns = netns_.string(),
                                  .netns_device = netns.device,
                                  .netns_inode = netns.inode,
                                  .netns_cookie = host.cookie_at(netns_, netns),
                                  .view = {.pid_namespace = view.pid_namespace,
                                           .folder_device = netns_folder.device,
                                           .folder_inode = netns_folder.inode}},
                     .created = now.wall,
                     .source = "static"};
  // Of another boot, so that wall time counts: this machine may not have been up for long.
  const store::Moment past{.at = {.wall = now.wall - std::chrono::hours(1), .since_boot = {}},
                           .boot_id = "earlier"};
  for (std::uint64_t done = 0; done < plan.total();) {
    store::Store store = store::Store::open({.folder = folder_ / "data", .registry = {}});
    store::Transaction transaction = store.begin();
    const store::Network network = store::NetworkTable(transaction).ensure(kNetwork);
    for (const std::uint64_t end = std::min(plan.total(), done + kBatch); done < end; ++done) {
      lease.key.container_id = plan.container_id(done);
      lease.address = net::Prefix::make(plan.address(done), plan.prefix().length()).value();
      store::LeaseTable(transaction).insert(network, lease);
      if (plan.is_freed(done)) {
        store::LeaseTable(transaction).end(lease, past, store::Ending::kDel);
      }
    }
    transaction.commit();
  }
}

void Subject::fill_host_local(const Filling& filling) const {
  const Plan plan(filling);
  const std::filesystem::path folder = folder_ / "data" / kNetwork;
  std::filesystem::create_directories(folder);
  for (std::uint64_t index = 0; index < plan.total(); ++index) {
    if (!plan.is_freed(index)) {
      write_text(folder / plan.address(index).to_string(),
                 plan.container_id(index) + "\r\n" + kInterface);
    }
  }
  // Where its round robin stands: behind the last lease, or in their midst if free addresses are
  // among them.
  const std::uint64_t cursor = filling.freed == 0 ? plan.total() - 1 : plan.total() / 2;
  write_text(folder / "last_reserved_ip.0", plan.address(cursor).to_string());
}

std::string next_container_id() {
  static std::mutex mutex;
  static std::mt19937_64 random;
  const std::lock_guard lock(mutex);
  std::string text;
  for (int words = 0; words < 4; ++words) {
    text += hexadecimal(random());
  }
  return text;
}

}  // namespace podlease::bench
