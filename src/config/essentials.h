#ifndef PODLEASE_SRC_CONFIG_ESSENTIALS_H_
#define PODLEASE_SRC_CONFIG_ESSENTIALS_H_

#include "podlease/config/net_conf.h"
#include "value.h"

namespace podlease::config {

// Throws kConfig, or kDecode for a cniVersion that is not a string.
[[nodiscard]] Essentials read_essentials(const Value& root);

// Never throws Error: what cannot be read keeps its default, so that DEL goes on without it.
[[nodiscard]] Essentials read_essentials_leniently(const Value& root);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_ESSENTIALS_H_
