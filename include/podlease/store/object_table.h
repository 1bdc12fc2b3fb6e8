#ifndef PODLEASE_STORE_OBJECT_TABLE_H_
#define PODLEASE_STORE_OBJECT_TABLE_H_

#include <chrono>
#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

namespace podlease::store {

// An object of the cluster as it was last read, and how the last attempt to read it went.
struct RemoteObject {
  std::string server;                          // the host it was asked of
  std::string body;                            // JSON; empty: never read, or no longer valid
  std::chrono::sys_time<Milliseconds> read{};  // when `body` was
  Moment attempted;                            // the last time it was asked for
  std::string failure;                         // then; empty: it was had
  std::string advice;                          // what to do about the failure; may be empty
  bool hopeless = false;                       // trying again will not mend it
  bool gone = false;                           // what was known of it holds no longer
};

// What is known of objects of the cluster. The key is the caller's.
class ObjectTable {
 public:
  explicit ObjectTable(const Transaction& transaction) : database_(&transaction.database()) {}

  [[nodiscard]] std::optional<RemoteObject> find(const std::string& key) const;
  void set(const std::string& key, const RemoteObject& object) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_OBJECT_TABLE_H_
