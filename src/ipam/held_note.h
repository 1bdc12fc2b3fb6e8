#ifndef PODLEASE_SRC_IPAM_HELD_NOTE_H_
#define PODLEASE_SRC_IPAM_HELD_NOTE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "held_by_host.h"
#include "podlease/ipam/wiring.h"
#include "podlease/pools/source.h"

// The list of what the host holds as a note of the store, so that not every ADD has to read all
// interfaces and routes.
namespace podlease::ipam {

// A line with the version and the number of ranges, then one line for each: the range and, after a
// blank, the text. A line break in a text becomes a blank.
[[nodiscard]] std::string encode(const std::vector<HeldRange>& held);
// Nothing if the text is malformed or of another version.
[[nodiscard]] std::optional<std::vector<HeldRange>> decode(std::string_view text);

// Another text whenever the wiring, or a range, an exclusion, a gateway or a known address of the
// offer changes: a list that was made for another one says nothing. 16 hexadecimal digits, the same
// on every machine.
[[nodiscard]] std::string fingerprint(const Wiring& wiring, const pools::Offer& offer);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_HELD_NOTE_H_
