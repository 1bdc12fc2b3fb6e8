#include "command_line.h"

#include <iostream>
#include <string>

#include "command.h"
#include "commands.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::cmd {
namespace {

constexpr const char* kAbout = R"(podlease leases IP addresses to pods.

With CNI_COMMAND set it is a CNI IPAM plugin, which the container runtime starts: put
"ipam": {"type": "podlease", ...} into a network configuration. Without CNI_COMMAND it shows
and repairs what was leased on this node.)";

constexpr const char* kDetails = R"(
Exit status: 0 if the command succeeded, 1 if it failed, 2 if it succeeded and something needs
attention. To debug an attachment by hand: podlease explain < /etc/cni/net.d/10-podnet.conflist)";

void declare_common_options(Command& root, Context& context, std::string& output) {
  root.details(kDetails);
  root.option("--data-dir", context.data_dir,
              "Use only the store in this folder (default: every store ever used on this node)")
      .value_name("DIR");
  root.choice("-o,--output", output, {"table", "json"},
              "Print tables for people, or json for programs (default: table)");
  root.option("--lock-timeout", context.lock_timeout,
              "Wait at most this long for a store's lock (default: 30s)");
}

void declare_commands(Command& root) {
  for (const auto declare :
       {declare_list, declare_show, declare_history, declare_audit, declare_status, declare_doctor,
        declare_explain, declare_crds, declare_version, declare_release, declare_gc, declare_node,
        declare_adopt, declare_export, declare_pools, declare_blocks, declare_pool, declare_migrate,
        declare_routes}) {
    declare(root);
  }
}

void warn_of_no_store(const std::filesystem::path& data_dir) {
  std::error_code unknown;
  if (!data_dir.empty() && !std::filesystem::exists(data_dir / "podlease.db", unknown)) {
    std::cerr << "podlease: there is no store in " << printable(data_dir.string()) << '\n';
  }
}

int run(const Action& action, const Context& context) {
  try {
    const int exit_status = action(context);
    std::cout.flush();
    return std::cout ? exit_status : kFailed;
  } catch (const Error& error) {
    std::cerr << "podlease: " << printable(error.what()) << '\n';
    if (!error.details().empty()) {
      std::cerr << "  " << printable(error.details()) << '\n';
    }
  } catch (const std::exception& exception) {
    std::cerr << "podlease: " << exception.what() << '\n';
  }
  return kFailed;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  Context context;
  std::string output = "table";
  CommandLine line("podlease", kAbout);
  line.version("podlease " PODLEASE_VERSION);
  Command root = line.root();
  declare_common_options(root, context, output);
  declare_commands(root);
  line.add_to_details("It also takes --output, --data-dir and --lock-timeout: see podlease --help");
  const auto parsed = line.parse(argc, argv);
  if (const int* const exit_status = std::get_if<int>(&parsed)) {
    return *exit_status;
  }
  context.json = output == "json";
  warn_of_no_store(context.data_dir);
  return run(std::get<Action>(parsed), context);
}

}  // namespace podlease::cmd
