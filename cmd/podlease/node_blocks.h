#ifndef PODLEASE_CMD_NODE_BLOCKS_H_
#define PODLEASE_CMD_NODE_BLOCKS_H_

#include <filesystem>
#include <vector>

#include "command.h"
#include "podlease/pools/blocks.h"
#include "podlease/store/block_table.h"
#include "podlease/store/transaction.h"

// The blocks of this node, for the commands that keep them and give them back.
namespace podlease::cmd {

// A network of a store, as it is configured today.
struct Configured {
  config::Document document;
  config::NetConf conf;
};

// The networks of one store.
struct Configurations {
  std::vector<Configured> networks;
  bool complete = true;  // none of the files was unreadable or wrong
};

[[nodiscard]] Configurations read_configurations(const Context& context,
                                                 const std::filesystem::path& data_dir,
                                                 const std::filesystem::path& conf_dir);
// Takes out a network whose configuration says how the API server is reached. If there is none, the
// result is the default configuration.
[[nodiscard]] Configured for_the_api(Configurations& configurations);
// This node, by the last answer of the API server. Throws kBusy if there never was one.
[[nodiscard]] pools::Owner owner_in(const plugin::ConfiguredSource& source,
                                    const store::Store::Options& options);

// The blocks in a store. Empty if there is no store.
[[nodiscard]] std::vector<store::Block> blocks_in(const Context& context,
                                                  const std::filesystem::path& data_dir);

// Reports whether a block, of the same network, is among these.
[[nodiscard]] bool is_among(const store::Block& block, const std::vector<store::Block>& blocks);

// What became of a block of this node. `verdict` is for programs, `what` for people.
[[nodiscard]] Json to_json(const store::Block& block, const std::string& verdict,
                           const std::string& what, bool dry_run);

// Verifies the blocks of a store, finds those that it has lost, and gives back those that are not
// needed by the networks in `conf_dir`. Returns what was given back. Throws what keeps it from
// that, after all else was tried. NOLINTNEXTLINE(modernize-use-nodiscard): that they are kept is
// what most callers want
std::vector<store::Block> keep_blocks(const Context& context, const std::filesystem::path& data_dir,
                                      const std::filesystem::path& conf_dir);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_NODE_BLOCKS_H_
