#ifndef PODLEASE_HOST_CNI_CACHE_H_
#define PODLEASE_HOST_CNI_CACHE_H_

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "podlease/base/attachment.h"
#include "podlease/base/clock.h"
#include "podlease/host/skipped_file.h"
#include "podlease/net/prefix.h"

namespace podlease::host {

// An attachment as libcni remembers it from its ADD until its DEL.
struct CachedAttachment {
  std::filesystem::path file;
  AttachmentKey key;
  std::string netns;          // path; may be empty
  std::string pod_namespace;  // these three from CNI_ARGS; each may be empty
  std::string pod_name;
  std::string pod_uid;
  std::vector<net::Prefix> addresses;  // of the result: all plugins of the list had their say
  // When the file was last written, by the wall clock of then.
  std::chrono::sys_time<Milliseconds> written;

  [[nodiscard]] bool has(net::Address address) const {
    return std::any_of(addresses.begin(), addresses.end(),
                       [&](const net::Prefix& prefix) { return prefix.address() == address; });
  }

  friend bool operator==(const CachedAttachment&, const CachedAttachment&) = default;
};

struct CniCache {
  std::vector<CachedAttachment> attachments;  // by file name
  std::vector<SkippedFile> skipped;           // by file name
};

// libcni's result cache: a file of kind cniCacheV1 for each attachment, named
// NETWORK-CONTAINERID-IFNAME, which libcni writes without a lock once an ADD is done, and removes
// after its DEL. The names inside the file count, not the file's. There may be several such
// folders, for Multus keeps its own; one that is named twice is read once. A folder that is not
// there, or cannot be read, is an empty cache. Never throws.
//
// With the name of a network only its attachments are returned, and of files whose names cannot be
// theirs only the names are read.
[[nodiscard]] CniCache read_cni_cache(const std::vector<std::filesystem::path>& folders,
                                      const std::string& network = {});

// When the last file was written that has the name libcni gives to an attachment's, whatever is in
// it; nothing if no folder has one. Never throws.
[[nodiscard]] std::optional<std::chrono::sys_time<Milliseconds>> cached_at(
    const std::vector<std::filesystem::path>& folders, const AttachmentKey& key);

}  // namespace podlease::host

#endif  // PODLEASE_HOST_CNI_CACHE_H_
