#ifndef PODLEASE_CMD_COMMAND_H_
#define PODLEASE_CMD_COMMAND_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "command_options.h"
#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/plugin/source.h"
#include "podlease/store/lease.h"
#include "podlease/store/store.h"

namespace podlease::cmd {

using Json = nlohmann::ordered_json;

// Exit statuses of the command line.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kTrouble = 2;  // the command succeeded, and what it found needs attention

// What all commands share: the common options, and the machine.
struct Context {
  host::LinuxHost host;
  SystemClock clock;
  Log log{clock};
  ipam::Places places;
  std::filesystem::path data_dir;  // empty: every store ever used on this node
  Milliseconds lock_timeout{30'000};
  bool json = false;  // for programs; tables are for people

  // The stores to look at.
  [[nodiscard]] std::vector<std::filesystem::path> data_dirs() const;
  // The store of a network: --data-dir, or else what its configuration says. The result refers to
  // `conf` or to this context.
  [[nodiscard]] const std::filesystem::path& data_dir_of(const config::NetConf& conf) const {
    return data_dir.empty() ? conf.essentials.data_dir : data_dir;
  }
  [[nodiscard]] store::Store::Options store_options(const std::filesystem::path& folder) const;
  [[nodiscard]] ipam::Leases leases(const std::filesystem::path& folder) const;
  // The source that a configuration selects. It may ask the API server. It writes to the store only
  // if it is `recording`.
  [[nodiscard]] plugin::ConfiguredSource source(const config::Document& document,
                                                const config::NetConf& conf,
                                                const std::filesystem::path& folder,
                                                const std::string& pod = {},
                                                bool recording = false) const;
};

struct StoredLease {
  std::filesystem::path data_dir;
  store::Lease lease;
};

// A copy of all leases. Neither the store nor its lock is held when it returns.
[[nodiscard]] std::vector<StoredLease> read_leases(const Context& context);

// Those meant by a word an operator typed: an address, a pod (NAME or NAMESPACE/NAME), or the
// beginning of a container id, at least four characters of it.
[[nodiscard]] std::vector<StoredLease> find_leases(const Context& context, const std::string& word);
// Declares the argument that is such a word.
Option declare_word(Command& command, std::string& word);

[[nodiscard]] Json to_json(const StoredLease& stored);
// NAMESPACE/NAME, or - where the runtime named no pod.
[[nodiscard]] std::string pod_of(const store::Lease& lease);

void print(const Json& document);
// Prints a line for people. A file that prints nothing else needs no <iostream>, and each file that
// includes it adds a call before main to every process.
void say(const std::string& line);

// The address that a word an operator typed is, or begins with: 10.1.0.7, 10.1.0.7/24.
[[nodiscard]] std::optional<net::Address> address_in(const std::string& word);

// Each store that is there, one after another, open for no longer than `visit` looks at it.
void for_each_store(
    const Context& context,
    const std::function<void(const std::filesystem::path& data_dir, store::Transaction&)>& visit);

// Says on stderr that no store has a network of that name, where none has. Returns whether it did.
// An empty name means all networks.
bool warn_of_unknown_network(const Context& context, const std::string& network);

// Reports whether a word an operator typed, as find_leases takes it, means this one; an empty word
// means all.
[[nodiscard]] bool is_meant(const std::string& word, const net::Address& address,
                            const AttachmentKey& key, const store::Pod& pod);

// In bytes; no configuration is as large.
inline constexpr std::size_t kLargestInput = 16 << 20;

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMAND_H_
