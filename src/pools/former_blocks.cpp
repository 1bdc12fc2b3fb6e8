#include "podlease/pools/former_blocks.h"

#include <algorithm>

namespace podlease::pools {

Knowledge FormerBlocks::consult(store::Transaction& transaction, const store::Moment& now) const {
  Knowledge knowledge = source_->consult(transaction, now);
  const std::vector<store::Block> blocks = transaction.blocks(network_);
  for (const store::Block& block : blocks) {
    knowledge.looks.push_back({.place = "block " + block.cidr.to_string(),
                               .value = "PodPool " + block.pool,
                               .outcome = "drains: the network draws from something else now"});
  }
  const std::vector<store::Block> spare =
      blocks.empty()
          ? std::vector<store::Block>{}
          : Blocks::spare(transaction, blocks, {.pool = nullptr, .cooldown = cooldown_}, now);
  untidy_ = std::any_of(spare.begin(), spare.end(), [&](const store::Block& block) {
    return Blocks::may_ask(block, now, refresh_);
  });
  return knowledge;
}

void FormerBlocks::tidy() {
  if (untidy_) {
    blocks_->give_back({{network_, {.pool = nullptr, .cooldown = cooldown_}}});
  }
}

}  // namespace podlease::pools
