#ifndef PODLEASE_POOLS_API_BUDGET_H_
#define PODLEASE_POOLS_API_BUDGET_H_

#include <algorithm>
#include <chrono>

#include "podlease/base/clock.h"
#include "podlease/kube/client.h"

namespace podlease::pools {

// The time that all work with the Kubernetes API may take in one call, in however many parts
// (kubernetes.timeout). Waiting for another process that does the work does not count.
class ApiBudget {
 public:
  explicit ApiBudget(Milliseconds total) : left_(total) {}

  // A part of the work, for as long as it lives; one at a time. The budget must outlive it.
  class Part {
   public:
    explicit Part(ApiBudget& budget) : budget_(&budget) {}
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    ~Part() {
      const auto taken = std::chrono::steady_clock::now() - begin_;
      budget_->left_ = std::max(budget_->left_ - std::chrono::duration_cast<Milliseconds>(taken),
                                Milliseconds(0));
    }

    [[nodiscard]] kube::Deadline deadline() const { return begin_ + budget_->left_; }

   private:
    ApiBudget* budget_;
    std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };

 private:
  Milliseconds left_;
};

}  // namespace podlease::pools

#endif  // PODLEASE_POOLS_API_BUDGET_H_
