#include "podlease/base/rfc3339.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <system_error>

namespace podlease {
namespace {

constexpr std::string_view kDigits = "0123456789";

// Takes pieces of fixed width off the front of a text; once one does not fit, none does any more.
class Pieces {
 public:
  explicit Pieces(std::string_view text) : rest_(text) {}

  // A number of that many digits, below `limit`.
  int digits(std::size_t count, int limit) {
    int value = 0;
    const std::string_view piece = rest_.substr(0, count);
    if (piece.size() < count || piece.find_first_not_of(kDigits) != std::string_view::npos) {
      fits_ = false;
      return 0;
    }
    std::from_chars(piece.data(), piece.data() + piece.size(), value);
    fits_ = fits_ && value < limit;
    rest_.remove_prefix(count);
    return value;
  }

  bool skip(std::string_view any_of) {
    if (rest_.empty() || any_of.find(rest_.front()) == std::string_view::npos) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  void expect(std::string_view any_of) { fits_ = skip(any_of) && fits_; }

  void skip_digits() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kDigits), rest_.size()));
  }

  [[nodiscard]] bool begins_with(char c) const { return rest_.starts_with(c); }
  [[nodiscard]] bool fit_all() const { return fits_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool fits_ = true;
};

std::chrono::minutes take_offset(Pieces& pieces) {
  if (pieces.skip("Zz")) {
    return {};
  }
  const bool is_west = pieces.begins_with('-');
  pieces.expect("+-");
  const std::chrono::hours hours(pieces.digits(2, 24));
  pieces.expect(":");
  const std::chrono::minutes offset = hours + std::chrono::minutes(pieces.digits(2, 60));
  return is_west ? -offset : offset;
}

}  // namespace

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  Pieces pieces(text);
  const std::chrono::year year(pieces.digits(4, 10000));
  pieces.expect("-");
  const std::chrono::month month(static_cast<unsigned>(pieces.digits(2, 13)));
  pieces.expect("-");
  const std::chrono::day day(static_cast<unsigned>(pieces.digits(2, 32)));
  pieces.expect("Tt ");
  const std::chrono::hours hours(pieces.digits(2, 24));
  pieces.expect(":");
  const std::chrono::minutes minutes(pieces.digits(2, 60));
  pieces.expect(":");
  const std::chrono::seconds seconds(pieces.digits(2, 61));  // a leap second
  if (pieces.skip(".")) {
    pieces.digits(1, 10);
    pieces.skip_digits();
  }
  const std::chrono::minutes offset = take_offset(pieces);
  const std::chrono::year_month_day date(year, month, day);
  if (!pieces.fit_all() || !date.ok()) {
    return std::nullopt;
  }
  const auto time = std::chrono::sys_days(date) + hours + minutes + seconds - offset;
  return time.time_since_epoch().count();
}

}  // namespace podlease
