#include "yaml.h"

#include <yaml.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::kube {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kDeepest = 32;
constexpr std::size_t kLongestMessage = 120;

Error wrong(const std::string& what, const yaml_mark_t& mark) {
  return Error(ErrorKind::kConfig, what + ", line " + std::to_string(mark.line + 1));
}

std::string to_text(const yaml_char_t* begin, std::size_t length) {
  return {reinterpret_cast<const char*>(begin), length};
}

// libyaml's parser, and the event it came to last.
class Events {
 public:
  explicit Events(std::string_view text) {
    if (yaml_parser_initialize(&parser_) == 0) {
      throw Error(ErrorKind::kIo, "no memory to read YAML");
    }
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  ~Events() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  // As long as the parser lives and is not asked for the next one. Throws kConfig.
  const yaml_event_t& next() {
    yaml_event_delete(&event_);
    if (yaml_parser_parse(&parser_, &event_) == 0) {
      const char* const problem = parser_.problem;
      throw wrong("is not YAML: " +
                      in_one_line(problem == nullptr ? "cannot be read" : problem, kLongestMessage),
                  parser_.problem_mark);
    }
    return event_;
  }

 private:
  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

// Builds the tree as the parser walks through the text. The collections that are still open hold
// their key, if they are maps, and are put into the one above when they end.
class TreeBuilder {
 public:
  void take_in(const yaml_event_t& event) {
    const yaml_mark_t& mark = event.start_mark;
    switch (event.type) {
      case YAML_ALIAS_EVENT:
        throw wrong("has a YAML alias", mark);
      case YAML_SCALAR_EVENT:
        refuse_anchor(mark, event.data.scalar.anchor);
        add(mark, value_of(event));
        return;
      case YAML_SEQUENCE_START_EVENT:
        refuse_anchor(mark, event.data.sequence_start.anchor);
        open(mark, Json::array());
        return;
      case YAML_MAPPING_START_EVENT:
        refuse_anchor(mark, event.data.mapping_start.anchor);
        open(mark, Json::object());
        return;
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        close();
        return;
      case YAML_NO_EVENT:
      case YAML_STREAM_START_EVENT:
      case YAML_STREAM_END_EVENT:
      case YAML_DOCUMENT_START_EVENT:
      case YAML_DOCUMENT_END_EVENT:
        return;
    }
  }

  [[nodiscard]] Json take() { return std::move(root_); }

 private:
  struct Open {
    Json value;
    yaml_mark_t mark;
    std::string key;
    bool has_key = false;
  };

  static void refuse_anchor(const yaml_mark_t& mark, const yaml_char_t* anchor) {
    if (anchor != nullptr) {
      throw wrong("has a YAML anchor", mark);
    }
  }

  [[nodiscard]] static Json value_of(const yaml_event_t& event) {
    constexpr std::array<std::string_view, 5> kNulls{"", "~", "null", "Null", "NULL"};
    const auto& scalar = event.data.scalar;
    std::string text = to_text(scalar.value, scalar.length);
    const bool is_null = scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.tag == nullptr &&
                         std::find(kNulls.begin(), kNulls.end(), text) != kNulls.end();
    return is_null ? Json() : Json(std::move(text));
  }

  void open(const yaml_mark_t& mark, Json empty) {
    if (open_.size() == kDeepest) {
      throw wrong("is nested deeper than " + std::to_string(kDeepest), mark);
    }
    open_.push_back({.value = std::move(empty), .mark = mark, .key = {}});
  }

  void close() {
    Open ended = std::move(open_.back());
    open_.pop_back();
    add(ended.mark, std::move(ended.value));
  }

  void add(const yaml_mark_t& mark, Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& above = open_.back();
    if (above.value.is_array()) {
      above.value.push_back(std::move(value));
    } else if (above.has_key) {
      above.value[above.key] = std::move(value);
      above.has_key = false;
    } else if (value.is_string()) {
      above.key = value.get<std::string>();
      above.has_key = true;
    } else {
      throw wrong("has a key that is no string", mark);
    }
  }

  std::vector<Open> open_;
  Json root_;
};

}  // namespace

Json parse_yaml(std::string_view text) {
  Events events(text);
  TreeBuilder builder;
  yaml_event_type_t type = YAML_NO_EVENT;
  while (type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
    const yaml_event_t& event = events.next();
    type = event.type;
    builder.take_in(event);
  }
  return builder.take();
}

}  // namespace podlease::kube
