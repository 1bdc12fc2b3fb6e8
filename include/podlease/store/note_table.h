#ifndef PODLEASE_STORE_NOTE_TABLE_H_
#define PODLEASE_STORE_NOTE_TABLE_H_

#include <optional>
#include <string>

#include "podlease/store/transaction.h"

namespace podlease::store {

// Short texts that other areas keep in the store, one of each kind for each network. They mean
// nothing to the store. An older podlease leaves them alone.
class NoteTable {
 public:
  enum class Kind {
    kHeldByHost,  // what the host itself has of the network's ranges, and when that was looked up
    kMovedTo,     // the network went on in another store of this node
    kExhausted,   // what the last ADD was told that found no address, and in which state of the
                  // store
    kMachine,     // whose store it is; of no network
  };

  explicit NoteTable(const Transaction& transaction) : database_(&transaction.database()) {}

  // `network` is a name, and need not be one that the store knows.
  [[nodiscard]] std::optional<std::string> find(Kind kind, const std::string& network) const;
  void set(Kind kind, const std::string& network, const std::string& text) const;
  void forget(Kind kind, const std::string& network) const;

 private:
  Database* database_;
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_NOTE_TABLE_H_
