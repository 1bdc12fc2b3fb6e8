#ifndef PODLEASE_NET_TEXT_H_
#define PODLEASE_NET_TEXT_H_

#include <optional>
#include <string>
#include <string_view>

#include "podlease/net/address.h"

namespace podlease::net {

// A number from 0 to `max` in decimal digits alone: no sign, no leading zero, nothing around it.
[[nodiscard]] std::optional<unsigned> parse_decimal(std::string_view text, unsigned max);

// Appends what `Address::to_string` returns, so that longer texts need no string of their own for
// each part.
void append_text(std::string& out, const Address& address);

}  // namespace podlease::net

#endif  // PODLEASE_NET_TEXT_H_
