#ifndef PODLEASE_SRC_POOLS_TURN_H_
#define PODLEASE_SRC_POOLS_TURN_H_

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/base/error.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

namespace podlease::pools {

// Work that many processes of this node may want at the same moment, and that is worth doing once.
struct Turn {
  std::filesystem::path lock;          // a file; it also keeps what came of it last
  std::string work;                    // what is to be done, in one line
  Milliseconds patience;               // for whoever does it already
  store::Moment asked;                 // what was done since then is as good
  std::function<store::Moment()> now;  // the clock
};

struct Outcome {
  bool by_other = false;         // somebody else did it after we had asked
  std::optional<Error> failure;  // what it ended with
};

// Does `work`, one process at a time; those that waited while another did the same take what came
// of that. Nothing: the other took longer than the patience. Throws kIo, and what `work` throws.
[[nodiscard]] std::optional<Outcome> take_turn(const Turn& turn,
                                               const std::function<std::optional<Error>()>& work);

}  // namespace podlease::pools

#endif  // PODLEASE_SRC_POOLS_TURN_H_
