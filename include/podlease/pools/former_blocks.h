#ifndef PODLEASE_POOLS_FORMER_BLOCKS_H_
#define PODLEASE_POOLS_FORMER_BLOCKS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "podlease/pools/blocks.h"
#include "podlease/pools/source.h"

namespace podlease::pools {

// Another source of a network that may have blocks of a pool from before: they drain, and are given
// back as they empty.
class FormerBlocks final : public Source {
 public:
  // `blocks` must outlive it.
  FormerBlocks(std::unique_ptr<Source> source, std::string network, Milliseconds cooldown,
               Milliseconds refresh, Blocks& blocks)
      : source_(std::move(source)),
        network_(std::move(network)),
        cooldown_(cooldown),
        refresh_(refresh),
        blocks_(&blocks) {}

  [[nodiscard]] std::vector<net::Family> families() const override { return source_->families(); }
  [[nodiscard]] Knowledge consult(store::Transaction& transaction,
                                  const store::Moment& now) const override;
  void refresh(bool urgent) override { source_->refresh(urgent); }
  void tidy() override;

 private:
  std::unique_ptr<Source> source_;
  std::string network_;
  Milliseconds cooldown_;
  Milliseconds refresh_;
  Blocks* blocks_;
  mutable bool untidy_ = false;  // as of the last answer of `consult`
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_FORMER_BLOCKS_H_
