#include "table.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

namespace podlease::cmd {

void Table::print() const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const std::vector<std::string>& row : rows_) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  const bool colour = isatty(STDOUT_FILENO) != 0;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += row[column];
      if (column + 1 < row.size()) {
        line.append(widths[column] - row[column].size() + 2, ' ');
      }
    }
    const bool is_head = &row == &rows_.front();
    std::cout << (is_head && colour ? "\033[1m" + line + "\033[0m" : line) << '\n';
  }
}

}  // namespace podlease::cmd
