#include "table.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace podlease::cmd {
namespace {

// Counts the columns of a terminal. The text may have UTF-8 characters of one column each, and
// sequences that set colours.
std::size_t width_of(const std::string& cell) {
  std::size_t width = 0;
  bool in_sequence = false;
  for (const char c : cell) {
    if (in_sequence || c == '\033') {
      in_sequence = c != 'm';
    } else {
      width += (static_cast<unsigned char>(c) & 0xc0U) == 0x80U ? 0U : 1U;
    }
  }
  return width;
}

}  // namespace

void Table::print() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const std::vector<std::string>& row : rows_) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], width_of(row[column]));
    }
  }
  const bool colour = isatty(STDOUT_FILENO) != 0;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += row[column];
      if (column + 1 < row.size()) {
        line.append(widths[column] - width_of(row[column]) + 2, ' ');
      }
    }
    const bool is_head = &row == &rows_.front();
    std::cout << (is_head && colour ? "\033[1m" + line + "\033[0m" : line) << '\n';
  }
}

}  // namespace podlease::cmd
