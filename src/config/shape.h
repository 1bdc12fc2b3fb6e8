#ifndef PODLEASE_SRC_CONFIG_SHAPE_H_
#define PODLEASE_SRC_CONFIG_SHAPE_H_

#include <string_view>

namespace podlease::config {

// Refuses, before anything is parsed, a text that would take the parser too much stack or time:
// nested deeper than Go's decoder goes, or with an object of very many keys. If the text is not
// JSON, the count may be wrong, but then the parser refuses the text all the same. Throws kDecode.
void check_shape(std::string_view text);

}  // namespace podlease::config

#endif  // PODLEASE_SRC_CONFIG_SHAPE_H_
