#ifndef PODLEASE_STORE_HOST_LOCAL_TABLE_H_
#define PODLEASE_STORE_HOST_LOCAL_TABLE_H_

#include <chrono>
#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/net/address.h"
#include "podlease/store/network_table.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// A folder of host-local that was adopted, and is looked at again whenever it has changed.
struct WatchedFolder {
  std::string folder;
  std::string stamp;  // empty: not vouched for, look again
};

struct AdoptedFile {
  net::Address address;
  std::string container_id;
  std::string ifname;  // empty: any

  friend auto operator<=>(const AdoptedFile&, const AdoptedFile&) = default;
};

// What is known of host-local's folders for a network.
class HostLocalTable {
 public:
  using Time = std::chrono::sys_time<Milliseconds>;

  explicit HostLocalTable(const Transaction& transaction) : database_(&transaction.database()) {}

  // By path.
  [[nodiscard]] std::vector<WatchedFolder> folders(const Network& network) const;
  void set_folder(const Network& network, const WatchedFolder& folder) const;
  // The files that stood in it when it was last looked at.
  [[nodiscard]] std::vector<AdoptedFile> files(const Network& network,
                                               const std::string& folder) const;
  void set_files(const Network& network, const std::string& folder,
                 const std::vector<AdoptedFile>& files) const;
  // DELs that came before their network was adopted, and when. An empty network name stands for
  // any.
  void note_ended(const AttachmentKey& key, Time at) const;
  // Reports whether a DEL came after what was `written`, by the wall clock too, was; nothing: any.
  [[nodiscard]] bool has_ended(const AttachmentKey& key, std::optional<Time> written) const;
  void forget_ended(const std::string& network) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_HOST_LOCAL_TABLE_H_
