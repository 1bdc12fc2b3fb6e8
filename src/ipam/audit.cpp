// What the command `podlease audit` finds in one store.

#include <algorithm>

#include "auditor.h"
#include "podlease/base/error.h"
#include "podlease/ipam/leases.h"
#include "podlease/ipam/networks.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease_table.h"
#include "podlease/store/registry.h"
#include "podlease/store/verify.h"

namespace podlease::ipam {
namespace {

// A copy.
std::vector<AuditedNetwork> networks_in(store::Transaction& transaction,
                                        const std::filesystem::path& folder) {
  std::vector<AuditedNetwork> networks;
  for (const store::Network& network : networks_of(transaction)) {
    const store::HostLocalTable host_local(transaction);
    networks.push_back({.store = folder,
                        .network = network,
                        .leases = store::LeaseTable(transaction).all(network),
                        .folders = host_local.folders(network),
                        .files = {}});
    std::vector<store::AdoptedFile>& files = networks.back().files;
    for (const store::WatchedFolder& watched : networks.back().folders) {
      const std::vector<store::AdoptedFile> known = host_local.files(network, watched.folder);
      files.insert(files.end(), known.begin(), known.end());
    }
    std::sort(files.begin(), files.end());
  }
  return networks;
}

}  // namespace

std::vector<Finding> Leases::audit() const {
  std::vector<AuditedNetwork> networks;
  {
    std::optional<store::Store> store = store::Store::open_existing(options(data_dir_));
    if (!store) {
      return {};
    }
    store::Transaction transaction = store->begin();
    store::verify(transaction);
    networks = networks_in(transaction, data_dir_);
  }
  std::vector<AuditedNetwork> others;
  for (const std::filesystem::path& folder : store::Registry(places_.registry).folders()) {
    // Each pair of stores is compared once: by the audit of the first of the two.
    if (folder <= data_dir_) {
      continue;
    }
    try {
      if (std::optional<store::Store> store = store::Store::open_existing(options(folder))) {
        store::Transaction transaction = store->begin();
        std::vector<AuditedNetwork> theirs = networks_in(transaction, folder);
        std::move(theirs.begin(), theirs.end(), std::back_inserter(others));
      }
    } catch (const Error& error) {
      // Its own audit says what is wrong with it.
      log_->write(LogLevel::kWarning, "audit: " + std::string(error.what()));
    }
  }
  return Auditor(*host_, places_.cni_caches, std::move(networks), std::move(others), moment())
      .run();
}

}  // namespace podlease::ipam
