#include "yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <cstddef>
#include <sstream>
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

Error wrong(const std::string& what, const YAML::Mark& mark) {
  return Error(ErrorKind::kConfig, what + ", line " + std::to_string(mark.line + 1));
}

// Builds the tree as the parser walks through the text. The collections that are still open hold
// their key, if they are maps, and are put into the one above when they end.
class TreeBuilder final : public YAML::EventHandler {
 public:
  [[nodiscard]] Json take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    add(mark, nullptr);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    throw wrong("has a YAML alias", mark);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    add(mark, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value /*style*/) override {
    refuse_anchor(mark, anchor);
    open(mark, Json::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& /*tag*/, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value /*style*/) override {
    refuse_anchor(mark, anchor);
    open(mark, Json::object());
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    Json value;
    YAML::Mark mark;
    std::string key;
    bool has_key = false;
  };

  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      throw wrong("has a YAML anchor", mark);
    }
  }

  void open(const YAML::Mark& mark, Json empty) {
    if (open_.size() == kDeepest) {
      throw wrong("is nested deeper than " + std::to_string(kDeepest), mark);
    }
    open_.push_back({.value = std::move(empty), .mark = mark});
  }

  void close() {
    Open ended = std::move(open_.back());
    open_.pop_back();
    add(ended.mark, std::move(ended.value));
  }

  void add(const YAML::Mark& mark, Json value) {
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
  std::istringstream stream{std::string(text)};
  TreeBuilder builder;
  try {
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
  } catch (const YAML::Exception& error) {
    throw wrong("is not YAML: " + in_one_line(error.msg, kLongestMessage), error.mark);
  }
  return builder.take();
}

}  // namespace podlease::kube
