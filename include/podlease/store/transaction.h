#ifndef PODLEASE_STORE_TRANSACTION_H_
#define PODLEASE_STORE_TRANSACTION_H_

namespace podlease::store {

class Database;

// One transaction; rolled back unless committed. What is in the store is read and changed through
// tables (LeaseTable, AddressTable, …), each of which is a light value made from a transaction:
// `LeaseTable(transaction).at(network, address)`. Failures of SQLite are thrown as kIo, kBusy where
// a foreign connection keeps the store for longer than the lock's time-out. Unless it says
// otherwise each call of a table costs O(log n).
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  // Rolls back.
  ~Transaction();

  // Durable once it returns. Without a change it costs no sync.
  void commit();
  // Undoes all that was changed. Like `commit` it is the last thing that may be asked of it.
  void roll_back() noexcept;

  // For the tables.
  [[nodiscard]] Database& database() const { return *database_; }

 private:
  Database* database_;  // null once moved from, committed or rolled back
};

}  // namespace podlease::store

#endif  // PODLEASE_STORE_TRANSACTION_H_
