#ifndef PODLEASE_SRC_CONFIG_DELEGATES_H_
#define PODLEASE_SRC_CONFIG_DELEGATES_H_

#include <functional>
#include <optional>
#include <string>

#include "value.h"

namespace podlease::config {

// Reads the network configuration that Multus' `clusterNetwork` or `defaultNetworks` name, by a
// path or by the name of a network. `conf_dir` is Multus' `confDir`, or empty. Returns nothing if
// there is none.
using ReadNetwork =
    std::function<std::optional<Json>(const std::string& network, const std::string& conf_dir)>;

// What a file of /etc/cni/net.d calls podlease with; nothing if it does not. Of a configuration
// list it is the first plugin that uses podlease, with name and cniVersion of the list, as libcni
// puts them in. If Multus is called, thick or thin, it is the first such one among what Multus
// delegates to. Multus puts no name and no cniVersion into a delegate. Throws kConfig.
[[nodiscard]] std::optional<Json> find_podlease(const Value& root, const ReadNetwork& read_network);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_DELEGATES_H_
