#ifndef PODLEASE_CMD_NODE_BLOCKS_H_
#define PODLEASE_CMD_NODE_BLOCKS_H_

#include <filesystem>
#include <vector>

#include "command.h"
#include "podlease/pools/blocks.h"
#include "podlease/store/transaction.h"

// The blocks of this node, for the commands that keep them and give them back.
namespace podlease::cmd {

// The blocks that a store knows of. Nothing if there is no store.
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
