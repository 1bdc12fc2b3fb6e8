#include "verbs.h"

#include <poll.h>

#include <algorithm>

#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/cni/answer.h"
#include "podlease/plugin/source.h"
#include "resolv_conf.h"

namespace podlease::plugin {
namespace {

// STATUS must not make the kubelet wait for whoever holds the lock.
constexpr Milliseconds kStatusPatience{200};

// Reports whether somebody may still read what is written to `fd`.
bool has_reader(int fd) {
  pollfd poll_fd{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&poll_fd, 1, 0) < 0 || (poll_fd.revents & (POLLERR | POLLHUP | POLLNVAL)) == 0;
}

// `pod`: whom an address may be kept for, NAMESPACE/NAME.
ConfiguredSource source_of(const Call& call, const config::NetConf& conf,
                           const std::string& pod = {}) {
  return {*call.document,
          conf,
          {.host = call.world->host,
           .clock = call.world->clock,
           .log = call.log,
           .store = {.folder = call.essentials->data_dir,
                     .registry = call.world->places.registry,
                     .lock_timeout = call.essentials->lock_timeout},
           .node_name = call.world->getenv("NODE_NAME").value_or(""),
           .pod = pod}};
}

AttachmentKey key_of(const Call& call) {
  return {.network = call.essentials->name,
          .container_id = call.request->container_id,
          .ifname = call.request->ifname};
}

// As far as it is said: a DEL ends what it can.
std::string pod_uid_of(const cni::Request& request) {
  try {
    return cni::parse_args(request.args).pod_uid;
  } catch (const Error&) {
    return {};
  }
}

std::string texts_of(const std::vector<net::Address>& addresses) {
  std::vector<std::string> texts;
  texts.reserve(addresses.size());
  for (const net::Address address : addresses) {
    texts.push_back(address.to_string());
  }
  return texts.empty() ? "no address" : join(texts, ", ");
}

// Where it is not known what may be leased, only an ADD can learn it: then nothing is exhausted.
void refuse_if_exhausted(const ipam::Leases& leases, const config::NetConf& conf,
                         const pools::Source& source) {
  const pools::Knowledge knowledge = leases.consult(source);
  if (knowledge.offer() == nullptr) {
    return;
  }
  for (const pools::PoolRangeSet& set : knowledge.offer()->sets) {
    const std::optional<ipam::Standing> standing =
        leases.standing(conf.essentials.name, wiring_of(conf), set, conf.cooldown);
    if (standing && standing->untouched + standing->freed + standing->reclaimable == 0) {
      throw Error(ErrorKind::kUnavailable,
                  "network " + conf.essentials.name +
                      ": no IP addresses available in range set: " + set.to_string(),
                  std::to_string(standing->leased) + " leased: podlease list --network " +
                      conf.essentials.name);
    }
  }
}

}  // namespace

ipam::Wiring wiring_of(const config::NetConf& conf) {
  const config::MainPlugin& plugin = conf.main_plugin;
  return {.type = plugin.type,
          .device = plugin.device,
          .vlan = plugin.vlan,
          .is_gateway = plugin.is_gateway,
          .in_container = plugin.in_container,
          .from_node = conf.mode == config::Mode::kKubernetes};
}

ipam::AddRequest add_request(const cni::Request& request, const cni::Args& args,
                             const config::NetConf& conf) {
  ipam::AddRequest add{
      .key = {.network = conf.essentials.name,
              .container_id = request.container_id,
              .ifname = request.ifname},
      .netns = request.netns,
      .pod = {.name_space = args.pod_namespace, .name = args.pod_name, .uid = args.pod_uid},
      .cooldown = conf.cooldown,
      .wiring = wiring_of(conf)};
  for (const config::RequestedAddress& requested : conf.requested) {
    add.requested.push_back({.address = requested.address, .path = requested.path});
  }
  return add;
}

void add(const Call& call) {
  const cni::Args args = cni::parse_args(call.request->args);
  const config::NetConf conf = call.document->net_conf(args.ip);
  const ConfiguredSource source = source_of(call, conf, args.pod());
  const ipam::AddRequest request = add_request(*call.request, args, conf);
  const host::Host& host = *call.world->host;
  cni::Result result{.routes = conf.routes};
  if (!conf.resolv_conf.empty()) {
    result.dns = read_resolv_conf(conf.resolv_conf);  // may fail, so before anything is leased
  }

  // The runtime that gives up kills our parent and sends its DEL at once: a lease made after that
  // would stay for good.
  const bool had_netns = host.netns_at(request.netns).state == host::NetnsState::kAlive;
  const auto still_wanted = [&] {
    return has_reader(call.world->output) &&
           !(had_netns && host.netns_at(request.netns).state == host::NetnsState::kAbsent);
  };

  const ipam::Leases leases = call.leases();
  const std::vector<ipam::Granted> granted = leases.add(request, *source, still_wanted);
  for (const ipam::Granted& grant : granted) {
    result.ips.push_back({.address = grant.lease.address, .gateway = grant.lease.gateway});
  }
  const int failed = write_all(call.world->output, cni::result_json(result, call.version));
  if (failed != 0) {
    // What the attachment held before this ADD is still in use. What it got besides goes with that.
    if (std::none_of(granted.begin(), granted.end(), [](const ipam::Granted& grant) {
          return grant.reason == ipam::Reason::kHeld;
        })) {
      leases.del({.key = request.key, .netns = {}, .pod_uid = {}});
    }
    throw io_error("write the result", failed);
  }
  source->tidy();
}

void del(const Call& call) {
  call.leases().del(
      {.key = key_of(call), .netns = call.request->netns, .pod_uid = pod_uid_of(*call.request)});
}

void check(const Call& call) {
  const ipam::Leases leases = call.leases();
  const AttachmentKey key = key_of(call);
  std::vector<store::Lease> held = leases.held_by(key, call.request->netns);
  if (held.empty()) {
    const config::NetConf conf = call.document->net_conf("");
    held =
        leases.would_be_held_by(key, call.request->netns, wiring_of(conf), *source_of(call, conf));
  }
  if (held.empty()) {
    throw Error(
        ErrorKind::kUnknownContainer,
        "network " + key.network + ": container " + key.container_id + " " + key.ifname +
            " holds no lease",
        "its ADD never ended well, or its DEL came: podlease list --network " + key.network);
  }
  const std::optional<std::vector<net::Address>> previous = call.document->previous_addresses();
  if (!previous) {
    return;
  }
  for (const store::Lease& lease : held) {
    if (std::find(previous->begin(), previous->end(), lease.address.address()) == previous->end()) {
      throw Error(ErrorKind::kOther,
                  "network " + key.network + ": " + lease.address.address().to_string() +
                      ", leased to container " + key.container_id + " " + key.ifname +
                      ", is not in prevResult, which has " + texts_of(*previous));
    }
  }
}

void gc(const Call& call) {
  const config::ValidAttachments valid = call.document->valid_attachments();
  if (valid.given) {
    call.leases().gc(call.essentials->name, valid.attachments);
  }
}

void status(const Call& call) {
  const config::NetConf conf = call.document->net_conf("");
  store::probe_writable(call.essentials->data_dir);
  if (!conf.status_fails_when_exhausted) {
    return;
  }
  const ipam::Leases leases(*call.world->host, *call.world->clock, *call.log, call.world->places,
                            call.essentials->data_dir, kStatusPatience);
  try {
    refuse_if_exhausted(leases, conf, *source_of(call, conf));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kBusy) {
      throw;
    }
    // A held lock is healthy.
  }
}

}  // namespace podlease::plugin
