#ifndef PODLEASE_SRC_IPAM_AUDITOR_H_
#define PODLEASE_SRC_IPAM_AUDITOR_H_

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "liveness.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host.h"
#include "podlease/ipam/leases.h"
#include "podlease/store/host_local_table.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"
#include "podlease/store/network_table.h"

namespace podlease::ipam {

// A network of a store, copied: the audit compares with the store closed.
struct AuditedNetwork {
  std::filesystem::path store;  // its folder
  store::Network network;
  std::vector<store::Lease> leases;           // by address
  std::vector<store::WatchedFolder> folders;  // of host-local
  std::vector<store::AdoptedFile> files;      // that stood in them when an ADD looked last, sorted

  [[nodiscard]] const store::Lease* lease_at(net::Address address) const;
};

// Compares the networks of a store with each other, with those of the node's other stores and with
// the machine, in both directions.
class Auditor {
 public:
  // `others`: networks of other stores. What `host` shows is read here.
  Auditor(const host::Host& host, const std::vector<std::filesystem::path>& cni_caches,
          std::vector<AuditedNetwork> networks, std::vector<AuditedNetwork> others,
          const store::Moment& now);

  [[nodiscard]] std::vector<Finding> run();

 private:
  // An address inside a namespace.
  struct Inside {
    host::NamedNetns netns;
    std::string interface;
  };

  void look_into(const host::NamedNetns& netns, bool only_of_this_host);
  void note(Finding::Level level, std::string kind, const AuditedNetwork* network,
            const std::string& address, std::string subject, std::string evidence,
            std::string remedy);

  // From the store to the machine.
  void check_leases(const AuditedNetwork& network);
  void check_lease(const AuditedNetwork& network, const store::Lease& lease,
                   const Judgement& judgement);
  [[nodiscard]] bool has_address(const store::Lease& lease) const;
  // From the namespaces to the store: who uses an address of this network without a lease.
  void check_namespaces(const AuditedNetwork& network);
  void check_users(const AuditedNetwork& network, net::Address address);
  // Two networks may have the same addresses.
  [[nodiscard]] bool is_of_another(const AuditedNetwork& network, net::Address address,
                                   const Inside& inside) const;
  // From libcni's cache to the store.
  void check_cache(const AuditedNetwork& network);
  void check_host_local(const AuditedNetwork& network, const std::string& path);
  // A file of host-local whose address this network does not lease, and leases alone. One outside
  // its ranges is of another network that host-local calls so.
  void check_unleased_file(const AuditedNetwork& network, const host::HostLocalEntry& entry,
                           const std::string& file);
  // Two networks that have leased one address on one wire, or give out one subnet on two.
  void check_against(const AuditedNetwork& network, const AuditedNetwork& other);

  const host::Host* host_;
  store::Moment now_;
  std::vector<AuditedNetwork> networks_;
  std::vector<AuditedNetwork> others_;
  Walk walk_;
  Judge judge_;
  host::CniCache cache_;
  std::multimap<net::Address, Inside> inside_;
  std::set<host::NetnsId> entered_;
  std::vector<Finding> findings_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_AUDITOR_H_
