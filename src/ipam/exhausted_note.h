#ifndef PODLEASE_SRC_IPAM_EXHAUSTED_NOTE_H_
#define PODLEASE_SRC_IPAM_EXHAUSTED_NOTE_H_

#include <optional>
#include <string>

#include "podlease/base/error.h"
#include "podlease/store/lease.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

// What an ADD was told that looked at all holders of a range set and found no address. For a second
// the next ones with the same view are told the same, as long as no lease was made or ended: a full
// range with a hundred waiting pods costs one look (FACTS, section 4). Who sees other processes or
// another folder may find somebody dead whom the last one could not judge, and looks itself.
namespace podlease::ipam {

[[nodiscard]] std::optional<Error> noted_exhaustion(store::Transaction& transaction,
                                                    const std::string& network,
                                                    const std::string& range_set,
                                                    const store::View& view,
                                                    const store::Moment& now);
void note_exhaustion(store::Transaction& transaction, const std::string& network,
                     const std::string& range_set, const store::View& view,
                     const store::Moment& now, const Error& error);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_EXHAUSTED_NOTE_H_
