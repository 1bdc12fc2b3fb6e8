#include "podlease/store/object_table.h"

#include <string_view>
#include <vector>

#include "codec.h"
#include "database.h"
#include "notes.h"
#include "podlease/base/text.h"

namespace podlease::store {
std::optional<RemoteObject> ObjectTable::find(const std::string& key) const {
  const std::optional<std::string> note = find_note(*database_, "object", kNoNetwork, key);
  if (!note) {
    return std::nullopt;
  }
  const std::vector<std::string_view> fields = split(*note, kSeparator);
  constexpr std::size_t kFields = 10;
  if (fields.size() < kFields) {
    return std::nullopt;  // what cannot be made out is asked for again
  }
  const auto text = [&](std::size_t index) { return std::string(fields[index]); };
  return RemoteObject{.server = text(0),
                      .body = text(1),
                      .read = to_time(to_number(fields[2])),
                      .attempted = {.at = {.wall = to_time(to_number(fields[3])),
                                           .since_boot = Milliseconds(to_number(fields[4]))},
                                    .boot_id = text(5)},
                      .failure = text(6),
                      .advice = text(7),
                      .hopeless = fields[8] == "1",
                      .gone = fields[9] == "1"};
}

void ObjectTable::set(const std::string& key, const RemoteObject& object) const {
  const std::string value =
      field(object.server) + field(object.body) + field(std::to_string(to_integer(object.read))) +
      field(std::to_string(to_integer(object.attempted.at.wall))) +
      field(std::to_string(object.attempted.at.since_boot.count())) +
      field(object.attempted.boot_id) + field(object.failure) + field(object.advice) +
      field(object.hopeless ? "1" : "0") + field(object.gone ? "1" : "0");
  set_note(*database_, "object", kNoNetwork, key, value);
}

}  // namespace podlease::store
