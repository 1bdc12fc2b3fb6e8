#ifndef PODLEASE_SRC_STORE_LOG_READER_H_
#define PODLEASE_SRC_STORE_LOG_READER_H_

namespace podlease::store {

// While one of these lives, SQLite reads the frames of a write-ahead log from a copy of the next
// few dozen, which one system call fetches. Whoever opens a store reads its whole log, which SQLite
// does frame by frame: with some hundreds that took as long as the rest of an ADD. The log must not
// be written meanwhile, so it is for the holder of the store's lock, until the database is open.
class LogReader {
 public:
  LogReader();
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;
  ~LogReader();
};

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_LOG_READER_H_
