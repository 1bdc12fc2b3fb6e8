#ifndef PODLEASE_SRC_STORE_FOLDER_CHECK_H_
#define PODLEASE_SRC_STORE_FOLDER_CHECK_H_

#include <filesystem>

// Whether a folder can be trusted with a store (FACTS, section 3).
namespace podlease::store {

// For whoever leases: a folder that is there belongs to the caller, and nobody else may write it.
// Throws kIo, saying what is wrong and what mends it.
void refuse_unsafe_folder(const std::filesystem::path& folder);

// For everybody: the lock and the database, where they are there, are plain files; what is not the
// caller's own is not followed either. Throws kIo.
void refuse_unsafe_files(const std::filesystem::path& folder);

// Before a store is made: not on a file system that other machines share, or that has no locks.
// One that is there already goes on being served. Throws kIo, naming the way out.
void refuse_shared_file_system(const std::filesystem::path& folder);

}  // namespace podlease::store

#endif  // PODLEASE_SRC_STORE_FOLDER_CHECK_H_
