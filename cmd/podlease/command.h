#ifndef PODLEASE_CMD_COMMAND_H_
#define PODLEASE_CMD_COMMAND_H_

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "podlease/base/clock.h"
#include "podlease/base/log.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/lease.h"
#include "podlease/store/store.h"

namespace podlease::cmd {

using Json = nlohmann::ordered_json;

// Exit statuses of the command line.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kTrouble = 2;  // done, and what was found needs attention

// What all subcommands share: the options before or after the subcommand's name, and the machine.
class Context {
 public:
  // Adds --data-dir, --output and --lock-timeout to `app`.
  void add_options(CLI::App& app);

  [[nodiscard]] bool json() const { return output_ == "json"; }
  // The stores to look at: the one of --data-dir, else every store ever used on this node.
  [[nodiscard]] std::vector<std::filesystem::path> data_dirs() const;
  [[nodiscard]] store::Store::Options store_options(const std::filesystem::path& data_dir) const;
  [[nodiscard]] ipam::Leases leases(const std::filesystem::path& data_dir) const;
  [[nodiscard]] Milliseconds lock_timeout() const;

  host::LinuxHost host;
  SystemClock clock;
  Log log{clock};
  ipam::Places places;
  // Set by the subcommand that was named; returns the exit status.
  std::function<int()> run;

 private:
  std::filesystem::path data_dir_;
  std::string output_ = "table";
  std::string lock_timeout_ = "30s";
};

struct StoredLease {
  std::filesystem::path data_dir;
  store::Lease lease;
};

// A copy of all leases; store and lock are free again when it returns.
[[nodiscard]] std::vector<StoredLease> read_leases(const Context& context);

// Those meant by a word an operator typed: an address, a pod (NAME or NAMESPACE/NAME), or the
// beginning of a container id, at least four characters of it.
[[nodiscard]] std::vector<StoredLease> find_leases(const Context& context, const std::string& word);

[[nodiscard]] Json to_json(const StoredLease& stored);
// NAMESPACE/NAME, or - where the runtime told nothing.
[[nodiscard]] std::string pod_of(const store::Lease& lease);

void print(const Json& document);

// Each adds its subcommand to `app`.
void add_explain(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_list(CLI::App& app, Context& context);
void add_release(CLI::App& app, Context& context);
void add_show(CLI::App& app, Context& context);
void add_status(CLI::App& app, Context& context);
void add_version(CLI::App& app, Context& context);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_COMMAND_H_
