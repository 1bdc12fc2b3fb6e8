#include "report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <tuple>

#include <nlohmann/json.hpp>

namespace podlease::bench {
namespace {

using Json = nlohmann::ordered_json;
using Row = std::array<std::string, 8>;

std::string with_digits(double number, int digits) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(digits) << number;
  return text.str();
}

// Three or four digits that count, with commas between thousands.
std::string to_text(double number) {
  if (number < 1000) {
    const bool is_whole = number == std::floor(number);
    return with_digits(number, is_whole ? 0 : number < 10 ? 3 : number < 100 ? 2 : 1);
  }
  std::string text = with_digits(number, 0);
  for (std::size_t at = text.size(); at > 3;) {
    at -= 3;
    text.insert(at, 1, ',');
  }
  return text;
}

std::string symbol(Floor::Kind kind) {
  switch (kind) {
    case Floor::Kind::kAtMost:
      return "<=";
    case Floor::Kind::kAtLeast:
      return ">=";
    case Floor::Kind::kExactly:
      return "=";
  }
  return "?";
}

std::string verdict(const Figure& figure) {
  const std::optional<bool> held = holds(figure);
  return !held ? "" : *held ? "ok" : "BELOW";
}

Row row_of(const Figure& figure) {
  return {figure.what,
          to_text(figure.value) + " " + figure.unit,
          figure.against,
          figure.other ? to_text(*figure.other) + " " + figure.unit : "",
          figure.ratio ? with_digits(*figure.ratio, *figure.ratio < 10 ? 2 : 1) + " x" : "",
          figure.floor ? symbol(figure.floor->kind) + " " + to_text(figure.floor->bound) : "",
          verdict(figure),
          figure.disk_latency ? with_digits(*figure.disk_latency, 2) + " ms" : ""};
}

template <typename Value>
Json or_null(const std::optional<Value>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) {
    throw std::logic_error("the median of nothing");
  }
  std::sort(samples.begin(), samples.end());
  const std::size_t middle = samples.size() / 2;
  return samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
}

std::optional<bool> holds(const Figure& figure) {
  if (!figure.floor) {
    return std::nullopt;
  }
  const double measured = figure.ratio.value_or(figure.value);
  switch (figure.floor->kind) {
    case Floor::Kind::kAtMost:
      return measured <= figure.floor->bound;
    case Floor::Kind::kAtLeast:
      return measured >= figure.floor->bound;
    case Floor::Kind::kExactly:
      return measured == figure.floor->bound;
  }
  return std::nullopt;
}

void print_table(const Report& report, std::ostream& out) {
  for (const auto& [name, value] : report.circumstances) {
    out << name << ": " << value << "\n";
  }
  const Row head{"", "podlease", "against", "", "ratio", "floor", "", "fdatasync"};
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  const auto widen = [&](const Row& row) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths.at(column) = std::max(widths.at(column), row.at(column).size());
    }
  };
  widen(head);
  for (const Section& section : report.sections) {
    for (const Figure& figure : section.figures) {
      widen(row_of(figure));
    }
  }
  const auto print = [&](const Row& row) {
    std::ostringstream line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      const bool is_word = column == 0 || column == 2 || column == 6;
      line << (is_word ? std::left : std::right) << std::setw(static_cast<int>(widths.at(column)))
           << row.at(column) << "  ";
    }
    std::string text = line.str();
    text.erase(text.find_last_not_of(' ') + 1);
    out << "  " << text << "\n";
  };
  for (const Section& section : report.sections) {
    out << "\n" << section.title << "\n";
    print(head);
    for (const Figure& figure : section.figures) {
      print(row_of(figure));
    }
  }
}

void print_json(const Report& report, std::ostream& out) {
  Json circumstances = Json::object();
  for (const auto& [name, value] : report.circumstances) {
    circumstances[name] = value;
  }
  Json sections = Json::array();
  for (const Section& section : report.sections) {
    Json figures = Json::array();
    for (const Figure& figure : section.figures) {
      Json entry{{"what", figure.what}, {"value", figure.value}, {"unit", figure.unit}};
      entry["against"] = figure.against.empty() ? Json() : Json(figure.against);
      entry["other"] = or_null(figure.other);
      entry["ratio"] = or_null(figure.ratio);
      entry["floor"] =
          figure.floor ? Json{{"is", symbol(figure.floor->kind)}, {"bound", figure.floor->bound}}
                       : Json();
      entry["holds"] = or_null(holds(figure));
      entry["fdatasyncMs"] = or_null(figure.disk_latency);
      figures.push_back(std::move(entry));
    }
    sections.push_back({{"title", section.title}, {"figures", std::move(figures)}});
  }
  out << Json{{"circumstances", std::move(circumstances)}, {"sections", std::move(sections)}}.dump(
             2, ' ', false, Json::error_handler_t::replace)
      << "\n";
}

}  // namespace podlease::bench
