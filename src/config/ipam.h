#ifndef PODLEASE_SRC_CONFIG_IPAM_H_
#define PODLEASE_SRC_CONFIG_IPAM_H_

#include "podlease/config/net_conf.h"
#include "value.h"

namespace podlease::config {

// Reads the `ipam` object into `conf`, all but the ranges, which may depend on this node, and what
// `Essentials` has of it. `runtime_ranges` is runtimeConfig.ipRanges. Throws kConfig, and
// kUnsupportedField for a mode of a later version.
void read_ipam(const Value& ipam, const Value& runtime_ranges, NetConf& conf);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_IPAM_H_
