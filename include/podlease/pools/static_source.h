#ifndef PODLEASE_POOLS_STATIC_SOURCE_H_
#define PODLEASE_POOLS_STATIC_SOURCE_H_

#include "podlease/config/net_conf.h"
#include "podlease/pools/source.h"

namespace podlease::pools {

// Mode static: the ranges of the configuration, as they stand there.
class StaticSource final : public Source {
 public:
  // `conf` must outlive it.
  explicit StaticSource(const config::NetConf& conf) : conf_(&conf) {}

  [[nodiscard]] Offer offer() const;

  [[nodiscard]] std::vector<net::Family> families() const override;
  [[nodiscard]] Knowledge consult(store::Transaction& transaction,
                                  const store::Moment& now) const override;

 private:
  const config::NetConf* conf_;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_STATIC_SOURCE_H_
