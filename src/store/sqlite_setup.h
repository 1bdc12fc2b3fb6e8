#ifndef PODLEASE_SRC_STORE_SQLITE_SETUP_H_
#define PODLEASE_SRC_STORE_SQLITE_SETUP_H_

namespace podlease::store {

// Fits SQLite to a process with one thread that lives for a millisecond: no mutexes, no statistics,
// and memory from an arena. Together a third of what an ADD would cost otherwise. Has no effect
// once SQLite is in use, or under a sanitizer (PODLEASE_PLAIN_MALLOC), which shall see each
// allocation.
void set_up_sqlite();

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_SQLITE_SETUP_H_
