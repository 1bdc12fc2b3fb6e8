#ifndef PODLEASE_SRC_CONFIG_MAIN_PLUGIN_H_
#define PODLEASE_SRC_CONFIG_MAIN_PLUGIN_H_

#include "podlease/config/main_plugin.h"
#include "podlease/config/net_conf.h"
#include "value.h"

namespace podlease::config {

// Reads the main plugin's keys. A value of the wrong type is the main plugin's to refuse and counts
// as not given here, so nothing is thrown.
[[nodiscard]] MainPlugin read_main_plugin(const Value& root);

// Refuses ranges that the main plugin would break pods with, or use for two interfaces at once: all
// were tried with bridge and ptp 1.9.1. Adds to the warnings of `conf` what may go wrong later.
// Throws kConfig.
void check_main_plugin(NetConf& conf);

// The same for blocks of a pool. A node may have several of them, so they are judged before the
// first pod. Throws kConfig.
void check_main_plugin_of_blocks(const Value& ipam, const NetConf& conf);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_MAIN_PLUGIN_H_
