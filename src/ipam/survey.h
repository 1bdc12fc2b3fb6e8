#ifndef PODLEASE_SRC_IPAM_SURVEY_H_
#define PODLEASE_SRC_IPAM_SURVEY_H_

#include <filesystem>
#include <optional>
#include <vector>

#include "inventory.h"
#include "other_stores.h"
#include "podlease/base/clock.h"
#include "podlease/base/file.h"

namespace podlease::ipam {

struct Opening;

// Held by whoever looks through the machine on the first use of a network, until what was found is
// committed: of many calls that come at once one does it. flock(2) on `<dataDir>/survey.lock`.
class SurveyLock {
 public:
  // Waits at most `timeout`. Throws kBusy or kIo.
  SurveyLock(const std::filesystem::path& data_dir, Milliseconds timeout);

 private:
  UniqueFd fd_;
};

// What a survey is made for.
struct Wanted {
  pools::Offer offer;
  std::optional<Moved> moved;  // the network went on in that other store
  bool is_first_use = false;
  // The store is new, or what it knows of the network is doubted as a whole: attachments of
  // networks that are called otherwise count too.
  bool is_store_doubted = false;
  bool is_widened = false;  // the network has ranges that it was never surveyed for

  // Reports whether a survey for `other` serves as well.
  [[nodiscard]] bool is_met_by(const Wanted& other) const;
};

// All that the machine knows of a network's addresses, read before the store's lock is taken:
// libcni's caches, the namespaces, and the other stores of this node.
class Survey {
 public:
  // Throws kBusy.
  Survey(const Opening& opening, const Wanted& wanted);

  [[nodiscard]] const Wanted& made_for() const { return made_for_; }
  [[nodiscard]] const Inventory& inventory() const { return inventory_; }
  [[nodiscard]] const std::vector<StoreCopy>& copies() const { return copies_; }

 private:
  Wanted made_for_;
  Inventory inventory_;
  std::vector<StoreCopy> copies_;
};

}  // namespace podlease::ipam

#endif  // PODLEASE_SRC_IPAM_SURVEY_H_
