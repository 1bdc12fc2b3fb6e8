#include "podlease/pools/node_source.h"

#include <algorithm>
#include <utility>

#include "node_cidrs.h"
#include "podlease/base/text.h"
#include "ranges.h"
#include "remembered.h"

namespace podlease::pools {
namespace {

using net::Family;

// What is said where the Node was read and has nothing that can be used.
Error no_cidr(const std::string& node, const std::optional<Family>& family,
              const std::vector<Look>& looks) {
  std::vector<std::string> places;
  places.reserve(looks.size());
  for (const Look& look : looks) {
    places.push_back(look.place + " (" + look.outcome + ")");
  }
  return Error(
      ErrorKind::kBusy,
      "Node " + node + " has no podCIDR" + (family ? " of " + std::string(name(*family)) : ""),
      "looked for it in this order: " + join(places, ", ") +
          ". kube-controller-manager assigns it if run with --allocate-node-cidrs=true and "
          "--cluster-cidr");
}

std::vector<config::NodeCidr> without_source(const std::vector<FoundCidr>& found) {
  std::vector<config::NodeCidr> cidrs;
  cidrs.reserve(found.size());
  for (const FoundCidr& each : found) {
    cidrs.push_back(each.cidr);
  }
  return cidrs;
}

// The first of `wanted` that is not among them; of none in particular where nothing was found.
std::optional<Family> first_missing(const std::vector<Family>& wanted,
                                    const std::vector<FoundCidr>& found) {
  for (const Family family : wanted) {
    if (std::none_of(found.begin(), found.end(),
                     [&](const FoundCidr& each) { return each.cidr.cidr.family() == family; })) {
      return family;
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<Family> NodeSource::families() const {
  return families_of(*conf_);
}

Knowledge NodeSource::consult(store::Transaction& transaction, const store::Moment& now) const {
  const NodeObjects::View view = objects_->view(transaction, now);
  const kube::Node* const node = view.node.object ? &*view.node.object : nullptr;
  const kube::CiliumNode* const cilium_node =
      view.cilium_node.object ? &*view.cilium_node.object : nullptr;
  NodeCidrs cidrs = find_node_cidrs(conf_->kubernetes.sources, conf_->pool, node, cilium_node);
  Knowledge knowledge{.answer = Offer{},
                      .stale = view.stale || !view.recent,  // until there is something to lease
                      .looks = std::move(cidrs.looks),
                      .warnings = std::move(cidrs.warnings)};
  if (objects_->options().telling) {
    tell_of(view, now, knowledge);
  }
  if (const std::optional<Error> obstacle = obstacle_in(view.node); obstacle) {
    if (view.node.record->gone || cidrs.found.empty()) {
      knowledge.answer = *obstacle;
      return knowledge;
    }
  }
  if (const std::optional<Error> obstacle = obstacle_in(view.cilium_node)) {
    knowledge.looks.push_back({.place = "CiliumNode", .outcome = obstacle->what()});
  }
  const std::vector<Family>& wanted =
      conf_->node_families.empty() ? conf_->families : conf_->node_families;
  const std::optional<Family> missing = first_missing(wanted, cidrs.found);
  if (missing || cidrs.found.empty()) {
    knowledge.answer =
        node == nullptr ? not_known_yet() : no_cidr(node->name, missing, knowledge.looks);
    return knowledge;
  }

  knowledge.stale = view.stale;
  offer_from(view, cidrs.found, knowledge);
  return knowledge;
}

void NodeSource::offer_from(const NodeObjects::View& view,
                            const std::vector<FoundCidr>& found_cidrs, Knowledge& knowledge) const {
  const kube::Node* const node = view.node.object ? &*view.node.object : nullptr;
  Offer offer;
  if (node != nullptr) {
    offer.taken = cilium_addresses(*node, knowledge.warnings);
  }
  if (const auto server = net::Address::parse(view.node.record ? view.node.record->server : "")) {
    offer.beyond.push_back({.address = *server, .what = "the Kubernetes API server"});
  }
  net::IntervalSet never = conf_->exclude;
  for (const Landmark& landmark : offer.taken) {
    never.insert(net::Range::single(landmark.address));
  }
  config::NetConf conf = *conf_;
  try {
    document_->resolve(conf, without_source(found_cidrs));
  } catch (const Error& error) {
    knowledge.answer = error;
    return;
  }
  knowledge.warnings.insert(
      knowledge.warnings.end(),
      conf.warnings.begin() + static_cast<std::ptrdiff_t>(conf_->warnings.size()),
      conf.warnings.end());
  offer.sets = offered_sets(conf.range_sets, std::move(never),
                            [&](const config::AddressRange& range) -> std::string {
                              for (const FoundCidr& found : found_cidrs) {
                                if (found.cidr.cidr == range.subnet) {
                                  return found.source;
                                }
                              }
                              return "static";
                            });
  knowledge.answer = std::move(offer);
}

}  // namespace podlease::pools
