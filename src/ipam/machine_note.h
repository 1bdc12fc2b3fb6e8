#ifndef PODLEASE_SRC_IPAM_MACHINE_NOTE_H_
#define PODLEASE_SRC_IPAM_MACHINE_NOTE_H_

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "podlease/base/clock.h"
#include "podlease/host/host.h"
#include "podlease/store/moment.h"
#include "podlease/store/transaction.h"

// A store knows its machine (FACTS, section 3). One that another machine writes at the same time
// would give out the other's addresses; one that was copied, or whose machine got new ids, is
// served on.
namespace podlease::ipam {

// When a store was last written, by its files; to be asked before it is opened, which may write it.
// Nothing if there is none.
[[nodiscard]] std::optional<std::chrono::sys_time<Milliseconds>> last_written(
    const std::filesystem::path& data_dir);

enum class Machine {
  kSame,     // ours
  kTaken,    // it was another one's, or ours with other ids, before this machine was booted
  kAnothers  // another machine has written it since this one was booted
};

// Whose store it is. What is taken over, or new, is noted in the transaction. The same boot is the
// same machine, whatever else differs; then this costs one statement.
[[nodiscard]] Machine settle_machine(store::Transaction& transaction, const host::Host& host,
                                     std::optional<std::chrono::sys_time<Milliseconds>> written,
                                     const store::Moment& now);

// Notes the same, and throws kConfig if the store is another machine's.
void refuse_another_machines(store::Transaction& transaction, const host::Host& host,
                             const std::filesystem::path& data_dir,
                             std::optional<std::chrono::sys_time<Milliseconds>> written,
                             const store::Moment& now);

// By whom the store was written that this machine has taken over, for people; nothing if it never
// was.
[[nodiscard]] std::optional<std::string> former_machine(store::Transaction& transaction);

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_MACHINE_NOTE_H_
