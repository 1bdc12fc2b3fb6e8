#include <exception>
#include <optional>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/cni/answer.h"
#include "podlease/plugin/plugin.h"
#include "verbs.h"

namespace podlease::plugin {
namespace {

// Far above what any runtime sends, far below what would hurt.
constexpr std::size_t kLargestInput = 16 << 20;

int fail(const World& world, const Error& error, cni::Version version) {
  static_cast<void>(
      write_all(world.output, cni::error_json(error, version)));  // nowhere else to say it
  return 1;
}

config::Essentials with_data_dir(config::Essentials essentials, const World& world) {
  if (!essentials.data_dir_given) {
    essentials.data_dir = world.data_dir;
  }
  return essentials;
}

// Nothing that is wrong with its configuration may keep a DEL from ending the lease.
void serve_del(const World& world, const cni::Request& request, cni::Version& answer_version) {
  std::optional<config::Document> document;
  try {
    document = config::Document::parse(read_all(world.input, kLargestInput));
  } catch (const Error&) {
    // Then container id and interface must do.
  }
  const config::Essentials essentials =
      with_data_dir(document ? document->lenient_essentials() : config::Essentials{}, world);
  answer_version = cni::negotiate(essentials.cni_version, request.verb);
  Log log(*world.clock);
  log.open(essentials.log.file, essentials.log.level);
  del({.world = &world,
       .request = &request,
       .document = document ? &*document : nullptr,
       .essentials = &essentials,
       .version = answer_version,
       .log = &log});
}

void serve(const World& world, const cni::Request& request, cni::Version& answer_version) {
  const config::Document document = config::Document::parse(read_all(world.input, kLargestInput));
  answer_version =
      cni::Version::parse(document.lenient_essentials().cni_version).value_or(answer_version);
  const config::Essentials essentials = with_data_dir(document.essentials(), world);
  Log log(*world.clock);
  log.open(essentials.log.file, essentials.log.level);
  const Call call{.world = &world,
                  .request = &request,
                  .document = &document,
                  .essentials = &essentials,
                  .version = cni::negotiate(essentials.cni_version, request.verb),
                  .log = &log};
  switch (request.verb) {
    case cni::Verb::kAdd:
      return add(call);
    case cni::Verb::kCheck:
      return check(call);
    case cni::Verb::kGc:
      return gc(call);
    case cni::Verb::kStatus:
      return status(call);
    case cni::Verb::kDel:
    case cni::Verb::kVersion:
      return;  // served elsewhere
  }
}

}  // namespace

int run(const World& world) {
  cni::Version version = cni::Version::newest();
  try {
    const cni::Request request = cni::read_request(world.getenv);
    if (request.verb == cni::Verb::kVersion) {
      return write_all(world.output, cni::version_answer()) == 0 ? 0 : 1;
    }
    if (request.verb == cni::Verb::kDel) {
      serve_del(world, request, version);
    } else {
      serve(world, request, version);
    }
    return 0;
  } catch (const Error& error) {
    return fail(world, error, version);
  } catch (const std::exception& exception) {
    return fail(world, Error(ErrorKind::kOther, exception.what()), version);
  } catch (...) {
    return fail(world, Error(ErrorKind::kOther, "an unknown failure"), version);
  }
}

}  // namespace podlease::plugin
