#include "podlease/pools/former_blocks.h"

#include "podlease/store/block_table.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

namespace podlease::pools {

Knowledge FormerBlocks::consult(store::Transaction& transaction, const store::Moment& now) const {
  Knowledge knowledge = source_->consult(transaction, now);
  const std::vector<store::Block> blocks = store::BlockTable(transaction).of(network_);
  for (const store::Block& block : blocks) {
    knowledge.looks.push_back({.place = "block " + block.cidr.to_string(),
                               .value = "PodPool " + block.pool,
                               .outcome = "drains: the network draws from something else now"});
  }
  untidy_ = Blocks::any_to_give_back(transaction, blocks, {.pool = nullptr, .cooldown = cooldown_},
                                     now, refresh_);
  return knowledge;
}

void FormerBlocks::tidy() {
  if (untidy_) {
    blocks_->give_back({{network_, {.pool = nullptr, .cooldown = cooldown_}}});
  }
}

}  // namespace podlease::pools
