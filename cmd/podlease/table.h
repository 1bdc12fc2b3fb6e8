#ifndef PODLEASE_CMD_TABLE_H_
#define PODLEASE_CMD_TABLE_H_

#include <string>
#include <vector>

namespace podlease::cmd {

// A table for people: a head line, columns as wide as their widest cell, two blanks between them.
class Table {
 public:
  explicit Table(std::vector<std::string> head) : rows_{std::move(head)} {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // The head is bold on a terminal.
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace podlease::cmd

#endif  // PODLEASE_CMD_TABLE_H_
