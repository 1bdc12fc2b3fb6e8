#include "delegates.h"

#include <utility>
#include <vector>

namespace podlease::config {
namespace {

bool uses_podlease(const Value& plugin) {
  return plugin.member("ipam").member("type").string() == "podlease";
}

// `multus`, or `multus-shim` of the thick edition.
bool is_multus(const Value& plugin) {
  return plugin.member("type").string().value_or("").starts_with("multus");
}

// As libcni makes the configuration of one plugin of a list.
Json with_names_of(const Value& list, Json plugin) {
  for (const char* const key : {"cniVersion", "name"}) {
    if (const std::optional<std::string> value = list.member(key).string()) {
      plugin[key] = *value;
    }
  }
  return plugin;
}

// In one network, without a look into Multus: what Multus delegates to is not Multus again.
std::optional<Json> find_in_network(const Value& network) {
  for (const Value& plugin : network.member("plugins").list()) {
    if (uses_podlease(plugin)) {
      return with_names_of(network, plugin.json());
    }
  }
  const bool is_list = network.member("plugins").present();
  return !is_list && uses_podlease(network) ? std::optional<Json>(network.json()) : std::nullopt;
}

// The networks that Multus reads from elsewhere, in its order. Empty if it has `delegates` instead.
std::vector<std::string> named_networks(const Value& multus) {
  std::vector<std::string> names;
  names.push_back(multus.member("clusterNetwork").string().value_or(""));
  if (names.front().empty()) {
    return {};
  }
  for (const Value& name : multus.member("defaultNetworks").list()) {
    names.push_back(name.string().value_or(""));
  }
  return names;
}

std::optional<Json> find_in_multus(const Value& multus, const ReadNetwork& read_network) {
  const std::vector<std::string> names = named_networks(multus);
  const std::string conf_dir = multus.member("confDir").string().value_or("");
  for (const std::string& name : names) {
    const std::optional<Json> network = read_network ? read_network(name, conf_dir) : std::nullopt;
    std::optional<Json> found = network ? find_in_network(Value(&*network, "")) : std::nullopt;
    if (found) {
      return found;
    }
  }
  if (!names.empty()) {
    return std::nullopt;  // Multus ignores `delegates` beside `clusterNetwork`
  }
  for (const Value& delegate : multus.member("delegates").list()) {
    if (std::optional<Json> found = find_in_network(delegate)) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Json> find_podlease(const Value& root, const ReadNetwork& read_network) {
  if (std::optional<Json> found = find_in_network(root)) {
    return found;
  }
  if (is_multus(root)) {
    return find_in_multus(root, read_network);
  }
  for (const Value& plugin : root.member("plugins").list()) {
    if (is_multus(plugin)) {
      return find_in_multus(plugin, read_network);
    }
  }
  return std::nullopt;
}

}  // namespace podlease::config
