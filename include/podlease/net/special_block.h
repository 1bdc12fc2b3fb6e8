#ifndef PODLEASE_NET_SPECIAL_BLOCK_H_
#define PODLEASE_NET_SPECIAL_BLOCK_H_

#include <optional>
#include <string>

#include "podlease/net/range.h"

namespace podlease::net {

// Addresses that no pod can have: loopback, multicast, unspecified and broadcast ones (RFC 6890,
// RFC 5771, RFC 4291). If `range` holds any of them, says so for a message, as in "overlaps
// 127.0.0.0/8 (loopback), where no pod can have an address".
[[nodiscard]] std::optional<std::string> overlap_with_special_block(const Range& range);

}  // namespace podlease::net

#endif  // PODLEASE_NET_SPECIAL_BLOCK_H_
