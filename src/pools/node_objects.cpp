#include "podlease/pools/node_objects.h"

#include <algorithm>
#include <utility>

#include "podlease/store/moment.h"
#include "podlease/store/object_table.h"
#include "podlease/store/transaction.h"
#include "turn.h"

namespace podlease::pools {
namespace {

using store::Moment;
using store::RemoteObject;

// For so long an answer is not asked for again, however little it helped: the next one of many pods
// that start together.
constexpr Milliseconds kRecent{1'000};
// What the one who asks takes beside the time that asking may take.
constexpr Milliseconds kSlack{1'000};

std::string node_key(const std::string& key) {
  return "Node " + key;
}

std::string cilium_node_key(const std::string& key) {
  return "CiliumNode " + key;
}

std::string pool_key(const NodeObjects::Options& options) {
  return "PodPool " + options.key + " " + options.pool;
}

// How long ago; of another boot, or where there is none, nobody knows: longer than anything.
Milliseconds age(const std::optional<RemoteObject>& record, const Moment& now) {
  if (!record || record->attempted.boot_id != now.boot_id) {
    return Milliseconds::max();
  }
  return std::max(now.at.since_boot - record->attempted.at.since_boot, Milliseconds(0));
}

template <typename Object>
Remembered<Object> remembered(const std::optional<RemoteObject>& record,
                              Object (*parse)(std::string_view)) {
  Remembered<Object> result{.record = record};
  if (record && !record->body.empty()) {
    try {
      result.object = parse(record->body);
    } catch (const Error&) {
      // Of another podlease; it is read again soon enough.
    }
  }
  return result;
}

// What is known after a reading, given what was known before.
template <typename Object>
RemoteObject updated(const std::optional<RemoteObject>& before, const Reading<Object>& reading,
                     const std::string& server, const Moment& now) {
  RemoteObject after = before.value_or(RemoteObject{});
  after.attempted = now;
  after.failure.clear();
  after.advice.clear();
  after.hopeless = false;
  if (reading.object) {
    after.server = server;
    after.body = kube::to_json(*reading.object);
    after.read = now.at.wall;
  } else if (reading.failure) {
    after.failure = reading.failure->what();
    after.advice = reading.failure->details();
    after.hopeless = reading.failure->kind() == ErrorKind::kConfig;
  }
  after.gone = reading.gone;
  if (reading.gone) {
    after.body.clear();
  }
  return after;
}

}  // namespace

NodeObjects::NodeObjects(Options options, const NodeReader& reader, const Clock& clock,
                         const Log& log, std::function<std::string()> boot_id)
    : options_(std::move(options)),
      reader_(&reader),
      clock_(&clock),
      log_(&log),
      boot_id_(std::move(boot_id)) {}

NodeObjects::View NodeObjects::view(store::Transaction& transaction, const Moment& now) const {
  const auto record = [&](const std::optional<RemoteObject>& read, const std::string& key) {
    return read ? read : store::ObjectTable(transaction).find(key);
  };
  View view{.node = remembered(record(node_, node_key(options_.key)), kube::parse_node)};
  std::vector<const std::optional<RemoteObject>*> records{&view.node.record};
  if (options_.with_cilium_node) {
    view.cilium_node =
        remembered(record(cilium_node_, cilium_node_key(options_.key)), kube::parse_cilium_node);
    records.push_back(&view.cilium_node.record);
  }
  if (!options_.pool.empty()) {
    view.pool = remembered(record(pool_, pool_key(options_)), kube::parse_pod_pool);
    records.push_back(&view.pool.record);
  }
  view.recent = true;
  for (const std::optional<RemoteObject>* const each : records) {
    const Milliseconds old = age(*each, now);
    view.stale = view.stale || old >= options_.refresh;
    view.recent = view.recent && old < kRecent;
  }
  return view;
}

void NodeObjects::refresh(bool urgent) {
  if (!options_.recording) {
    read_and_record();
    return;
  }
  // Also where something is remembered: of pods that start together, all shall go by the same.
  const std::optional<Outcome> outcome =
      take_turn({.lock = options_.store.folder / "refresh.lock",
                 .work = options_.key + " " + options_.pool +
                         (options_.with_cilium_node ? " CiliumNode" : ""),
                 .patience = options_.timeout + kSlack,
                 .asked = moment(),
                 .now = [this] { return moment(); }},
                [this]() -> std::optional<Error> {
                  read_and_record();
                  return std::nullopt;
                });
  if (!outcome && urgent) {
    throw Error(ErrorKind::kBusy, "another process asks the Kubernetes API for this node's CIDR",
                "it has not come back with an answer: try again");
  }
}

Moment NodeObjects::moment() const {
  return {.at = clock_->now(), .boot_id = boot_id_()};
}

void NodeObjects::read_and_record() {
  const Readings readings =
      reader_->read({.cilium_node = options_.with_cilium_node, .pool = options_.pool});
  for (const std::optional<Error>* const failure :
       {&readings.node.failure, &readings.cilium_node.failure, &readings.pool.failure}) {
    if (*failure) {
      log_->write(LogLevel::kWarning, "Kubernetes API: " + std::string((*failure)->what()));
    }
  }
  const Moment now = moment();
  store::Store store = options_.recording ? store::Store::open(options_.store)
                                          : store::Store::open_existing_or_empty(options_.store);
  store::Transaction transaction = store.begin();
  const auto record = [&](const std::string& key, const auto& reading) {
    RemoteObject after =
        updated(store::ObjectTable(transaction).find(key), reading, readings.server, now);
    if (options_.recording) {
      store::ObjectTable(transaction).set(key, after);
    }
    return after;
  };
  node_ = record(node_key(options_.key), readings.node);
  if (options_.with_cilium_node) {
    cilium_node_ = record(cilium_node_key(options_.key), readings.cilium_node);
  }
  if (!options_.pool.empty()) {
    pool_ = record(pool_key(options_), readings.pool);
  }
  if (options_.recording) {
    transaction.commit();
  }
}

}  // namespace podlease::pools
