#ifndef PODLEASE_SRC_PLUGIN_VERBS_H_
#define PODLEASE_SRC_PLUGIN_VERBS_H_

#include <optional>

#include "podlease/cni/request.h"
#include "podlease/cni/version.h"
#include "podlease/config/net_conf.h"
#include "podlease/plugin/plugin.h"

namespace podlease::plugin {

// What a verb works on. `document` is missing where DEL was given something that is not JSON.
struct Call {
  const World* world;
  const cni::Request* request;
  const config::Document* document;
  const config::Essentials* essentials;
  cni::Version version;
  const Log* log;

  [[nodiscard]] ipam::Leases leases() const {
    return {*world->host,  *world->clock,        *log,
            world->places, essentials->data_dir, essentials->lock_timeout};
  }
};

// Each does what the section of specification 1.1.0 with its name says, and throws Error where it
// cannot.
void add(const Call& call);
void del(const Call& call);
void check(const Call& call);
void gc(const Call& call);
void status(const Call& call);

}  // namespace podlease::plugin

#endif  // PODLEASE_SRC_PLUGIN_VERBS_H_
