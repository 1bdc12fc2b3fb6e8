// Feeds one text to a reader of area kube, which the first byte picks: a kubeconfig, a Node, a
// CiliumNode, a PodPool or a PodBlock. Only podlease's own errors may come of it, and what is kept
// of an object must read back as the same.

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string_view>

#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/kube/kubeconfig.h"
#include "podlease/kube/objects.h"
#include "podlease/kube/pool_objects.h"
#include "scratch.h"

namespace podlease::kube {
namespace {

void demand(bool holds, std::string_view what, std::string_view text) {
  if (!holds) {
    std::cerr << "kube_fuzz: " << what << ": " << in_quotes(text) << '\n';
    std::abort();
  }
}

void demand_error(const Error& error, ErrorKind kind, std::string_view text) {
  const std::string_view message = error.what();
  demand(error.kind() == kind, "another kind of error", text);
  demand(in_one_line(message, message.size()) == message, "an error of several lines", text);
}

// A file the text names is looked for among files that are not there, or are there for all.
void check_kubeconfig(std::string_view text) {
  static const ScratchFolder folder;
  const std::filesystem::path path = folder.path() / "config";
  std::ofstream(path, std::ios::binary) << text;
  try {
    const Kubeconfig kubeconfig = read_kubeconfig(path);
    demand(!kubeconfig.server.host.empty() && kubeconfig.server.port != 0, "no server", text);
    static_cast<void>(identity_of(kubeconfig));
  } catch (const Error& error) {
    demand_error(error, ErrorKind::kConfig, text);
  }
}

template <typename Parse>
void check_object(std::string_view text, Parse parse) {
  try {
    // What is not kept is gone after the first time; the rest must stay.
    const auto kept = parse(to_json(parse(text)));
    demand(!kept.name.empty(), "no name", text);
    demand(parse(to_json(kept)) == kept, "does not read back", text);
  } catch (const Error& error) {
    demand_error(error, ErrorKind::kDecode, text);
  }
}

void check(std::string_view text) {
  if (text.empty()) {
    return;
  }
  const char reader = text.front();
  text.remove_prefix(1);
  switch (reader) {
    case 'n':
      check_object(text, parse_node);
      break;
    case 'c':
      check_object(text, parse_cilium_node);
      break;
    case 'p':
      check_object(text, parse_pod_pool);
      break;
    case 'b':
      check_object(text, parse_pod_block);
      break;
    default:
      check_kubeconfig(text);
      break;
  }
}

}  // namespace
}  // namespace podlease::kube

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
  podlease::kube::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
