#include "kubernetes.h"

#include <algorithm>
#include <string>
#include <vector>

#include "podlease/base/text.h"
#include "scalars.h"

namespace podlease::config {
namespace {

CidrSource read_source(const Value& value) {
  const std::string text = value.string().value_or("");
  for (const CidrSource source :
       {CidrSource::kSpec, CidrSource::kAnnotation, CidrSource::kCiliumNode}) {
    if (equals_ignoring_case(text, to_string(source))) {
      return source;
    }
  }
  throw value.error("must be spec, annotation or ciliumnode");
}

std::vector<CidrSource> read_sources(const Value& value) {
  std::vector<CidrSource> sources;
  for (const Value& element : value.list()) {
    const CidrSource source = read_source(element);
    if (std::find(sources.begin(), sources.end(), source) != sources.end()) {
      throw element.error("is listed twice");
    }
    sources.push_back(source);
  }
  if (sources.empty()) {
    throw value.error("is empty", "list spec, annotation or ciliumnode, or leave it out");
  }
  return sources;
}

}  // namespace

std::string_view to_string(CidrSource source) {
  switch (source) {
    case CidrSource::kSpec:
      return "spec";
    case CidrSource::kAnnotation:
      return "annotation";
    case CidrSource::kCiliumNode:
      return "ciliumnode";
  }
  return "";
}

KubernetesConf read_kubernetes(const Value& value) {
  KubernetesConf conf{.kubeconfig = read_absolute_path(value.member("kubeconfig"))};
  conf.node_name = read_object_name(value.member("nodeName"), "", "Node");
  const Value timeout = value.member("timeout");
  conf.timeout = read_duration(timeout, conf.timeout);
  if (conf.timeout == Milliseconds(0)) {
    throw timeout.error("must be longer than 0s: it is the time for all requests to the API");
  }
  conf.refresh = read_duration(value.member("refresh"), conf.refresh);
  const Value sources = value.member("sources");
  if (sources.present()) {
    conf.sources = read_sources(sources);
  }
  return conf;
}

}  // namespace podlease::config
