#ifndef PODLEASE_CMD_MAIN_PLUGIN_CHECKS_H_
#define PODLEASE_CMD_MAIN_PLUGIN_CHECKS_H_

#include "checks.h"
#include "podlease/config/net_conf.h"
#include "podlease/host/host.h"
#include "podlease/pools/source.h"

namespace podlease::cmd {

// Whether the main plugin can connect a pod to this host: its program, the interface that it
// attaches pods to, and the addresses of its bridge. Its own configuration is its own business.
[[nodiscard]] Checks check_main_plugin(const config::NetConf& conf,
                                       const host::HostNetworks& networks,
                                       const pools::Offer* offer);

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_MAIN_PLUGIN_CHECKS_H_
