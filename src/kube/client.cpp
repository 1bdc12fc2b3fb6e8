#include "podlease/kube/client.h"

#include <algorithm>
#include <ctime>
#include <map>
#include <string_view>
#include <utility>

#include "api_json.h"
#include "lists.h"
#include "podlease/base/text.h"
#include "refusal.h"
#include "session.h"

namespace podlease::kube {
namespace {

using Cause = ApiError::Cause;

constexpr std::size_t kLongestName = 253;  // of any object

// A kind of object that can be asked for.
struct Resource {
  enum class Group { kCore, kOptional, kPodlease };
  const char* kind;
  const char* path;
  Group group;
};

constexpr Resource kNode{.kind = "Node", .path = "/api/v1/nodes", .group = Resource::Group::kCore};
constexpr Resource kPod{.kind = "Pod", .path = "/api/v1/pods", .group = Resource::Group::kCore};
constexpr Resource kCronJob{
    .kind = "CronJob", .path = "/apis/batch/v1/cronjobs", .group = Resource::Group::kOptional};
constexpr Resource kServiceCidr{.kind = "ServiceCIDR",
                                .path = "/apis/networking.k8s.io/v1/servicecidrs",
                                .group = Resource::Group::kOptional};
constexpr Resource kCiliumNode{.kind = "CiliumNode",
                               .path = "/apis/cilium.io/v2/ciliumnodes",
                               .group = Resource::Group::kOptional};
constexpr Resource kPodPool{.kind = "PodPool",
                            .path = "/apis/podlease.io/v1alpha1/podpools",
                            .group = Resource::Group::kPodlease};
constexpr Resource kPodBlock{.kind = "PodBlock",
                             .path = "/apis/podlease.io/v1alpha1/podblocks",
                             .group = Resource::Group::kPodlease};

constexpr const char* kMergePatch = "application/merge-patch+json";

// RFC 3986, section 2.1: as it stands in a path.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (kPlain.find(c) != std::string_view::npos) {
      result += c;
    } else {
      result.append("%").append({kHex[byte >> 4U], kHex[byte & 0xfU]});
    }
  }
  return result;
}

// RFC 9110, section 5.6.7: Mon, 23 Nov 2026 03:27:45 GMT.
std::optional<std::int64_t> parse_http_date(const std::string& text) {
  std::tm parts{};
  const char* const end = strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return end != nullptr && *end == '\0' ? std::optional<std::int64_t>(timegm(&parts))
                                        : std::nullopt;
}

ApiError not_installed(const Resource& resource) {
  return {Cause::kNotInstalled,
          std::string("the cluster does not know the kind ").append(resource.kind),
          "install it: podlease crds | kubectl apply -f -"};
}

// Reads the rows of a meta/v1 Table one by one, so that the whole is never held at once.
class BriefReader {
 public:
  [[nodiscard]] std::vector<BlockBrief> read(std::string_view json) {
    constexpr bool kThrows = false;
    const Json rest = Json::parse(
        json,
        [&](int depth, Json::parse_event_t event, const Json& value) {
          return take(depth, event, value);
        },
        kThrows);
    if (rest.is_discarded() || string_in(rest, "kind") != "Table" || columns_.empty()) {
      throw wrong("Table", "no JSON, or not all of it, or of another kind");
    }
    return std::move(briefs_);
  }

 private:
  // Returns false for what need not be kept.
  bool take(int depth, Json::parse_event_t event, const Json& value) {
    constexpr int kTop = 1;
    constexpr int kRow = 2;
    constexpr int kCells = 3;
    if (event == Json::parse_event_t::key && depth == kTop) {
      in_ = value.get<std::string>();
    } else if (in_ == "columnDefinitions" && event == Json::parse_event_t::object_end) {
      columns_.push_back(string_in(value, "name"));
      return false;
    } else if (in_ == "rows" && event == Json::parse_event_t::array_end && depth == kCells) {
      add(value);
      return false;
    } else if (in_ == "rows" && event == Json::parse_event_t::object_end && depth == kRow) {
      return false;
    }
    return true;
  }

  void add(const Json& cells) {
    BlockBrief brief;
    const std::map<std::string_view, std::string*> wanted{
        {"Name", &brief.name}, {"Pool", &brief.pool}, {"Node", &brief.node}, {"Used", &brief.used}};
    for (std::size_t i = 0; i < std::min(cells.size(), columns_.size()); ++i) {
      const auto field = wanted.find(columns_[i]);
      if (field != wanted.end()) {
        *field->second = cells[i].is_string() ? cells[i].get<std::string>() : cells[i].dump();
      }
    }
    briefs_.push_back(std::move(brief));
  }

  std::string in_;
  std::vector<std::string> columns_;
  std::vector<BlockBrief> briefs_;
};

Json cidrs_to_json(const std::vector<PodPool::Cidr>& cidrs) {
  return Json::parse(to_json(PodPool{.cidrs = cidrs}))["spec"]["cidrs"];
}

}  // namespace

struct Client::Impl {
  Impl(Kubeconfig kubeconfig, Options options)
      : dry_run(options.dry_run), session(std::move(kubeconfig), std::move(options)) {}

  Answer ask(Question question) {
    if (dry_run && question.method != "GET") {
      question.target += "?dryRun=All";  // a DELETE with a body says it there instead
    }
    Answer answer = session.ask(std::move(question));
    if (const auto time = parse_http_date(answer.date)) {
      server_time = time;
    }
    return answer;
  }

  // `name` may be empty: the kind as a whole.
  [[nodiscard]] static std::string target(const Resource& resource, const std::string& name) {
    if (name == "." || name == "..") {
      throw ApiError(Cause::kRejected, in_quotes(name) + " is no name of an object");
    }
    return name.empty() ? std::string(resource.path)
                        : std::string(resource.path).append("/").append(percent_encoded(name));
  }

  [[nodiscard]] ApiError refusal(const Answer& answer, const Resource& resource) const {
    if (resource.group != Resource::Group::kPodlease) {
      return refusal_in(answer, session.kubeconfig());
    }
    if (is_unknown_path(answer)) {
      return not_installed(resource);
    }
    ApiError error = refusal_in(answer, session.kubeconfig());
    if (error.cause() == Cause::kForbidden) {
      return {
          error.cause(), error.what(),
          "conf/kubernetes/rbac.yaml allows what podlease needs; the kinds themselves: podlease "
          "crds"};
    }
    // Gone, or not found where something is created: of a server that starts, or was restored.
    if (answer.status == kNotFound || answer.status == kGone) {
      return {Cause::kConflict, error.what(), "the API server may be starting: try again"};
    }
    if (error.cause() == Cause::kRejected) {
      return {error.cause(), error.what()};
    }
    return error;
  }

  // Does `work`; whatever it throws is told with what was asked of whom.
  template <typename Work>
  auto doing(const std::string& verb, const Resource& resource, const std::string& name,
             const Work& work) {
    const auto subject = [&] {
      return verb + " " + resource.kind + (name.empty() ? "" : " ") +
             in_one_line(name, kLongestName) + (verb == "GET" ? " from " : " at ") +
             session.kubeconfig().server.url + ": ";
    };
    try {
      return work();
    } catch (const ApiError& error) {
      throw ApiError(error.cause(), subject() + error.what(), error.details());
    } catch (const Error& error) {
      throw ApiError(Cause::kBadAnswer, subject() + "the answer is " + error.what(),
                     error.details());
    }
  }

  // Nothing: there is no such object.
  template <typename Parse>
  auto read(const Resource& resource, const std::string& name, Parse parse)
      -> std::optional<decltype(parse(std::string_view()))> {
    return doing("GET", resource, name,
                 [&]() -> std::optional<decltype(parse(std::string_view()))> {
                   if (name.empty()) {
                     throw ApiError(Cause::kRejected, in_quotes(name) + " is no name of an object");
                   }
                   const Answer answer = ask({.target = target(resource, name)});
                   if (is_missing(answer, resource.group == Resource::Group::kOptional)) {
                     return std::nullopt;
                   }
                   if (answer.status != kOk) {
                     throw refusal(answer, resource);
                   }
                   auto object = parse(answer.body);
                   if (object.name != name) {
                     throw ApiError(Cause::kBadAnswer,
                                    "the answer is another object, " + in_quotes(object.name));
                   }
                   return object;
                 });
  }

  template <typename Item>
  auto list(const Resource& resource, Item item) -> std::vector<decltype(item(Json()))> {
    return doing("GET", resource, "list", [&] {
      constexpr const char* kPage = "?limit=250";
      std::vector<decltype(item(Json()))> all;
      std::string next;
      do {
        const Answer answer =
            ask({.target = target(resource, "") + kPage + (next.empty() ? "" : "&continue=") +
                           percent_encoded(next)});
        if (resource.group == Resource::Group::kOptional && answer.status == kNotFound) {
          return all;
        }
        if (answer.status != kOk) {
          throw refusal(answer, resource);
        }
        const Json page = parse_object(answer.body, std::string(resource.kind) + "List");
        const Json& items = member(page, "items");
        if (!items.is_array()) {
          throw wrong(std::string(resource.kind) + "List", "it has no items");
        }
        for (const Json& object : items) {
          all.push_back(item(object));
        }
        next = string_in(member(page, "metadata"), "continue");
      } while (!next.empty());
      return all;
    });
  }

  // Nothing: there is one of that name.
  template <typename Object, typename Parse>
  std::optional<Object> create(const Resource& resource, const Object& object, Parse parse) {
    return doing("CREATE", resource, object.name, [&]() -> std::optional<Object> {
      const Answer answer = ask({.method = "POST",
                                 .target = target(resource, ""),
                                 .body = to_json(object),
                                 .content_type = "application/json"});
      if (answer.status == kCreated) {
        return parse(answer.body);
      }
      if (answer.status == kConflict) {
        return std::nullopt;
      }
      const ApiError error = refusal(answer, resource);
      if (session.was_in_doubt()) {
        throw ApiError(Cause::kServer, error.what(), error.details());
      }
      throw ApiError(error);
    });
  }

  // Nothing: there is no such object, or it is another one by now.
  template <typename Object, typename Parse>
  std::optional<Object> patch(const Resource& resource, const Object& object,
                              const std::string& subresource, const Json& change, Parse parse) {
    return doing("PATCH", resource, object.name, [&]() -> std::optional<Object> {
      Json body = change;
      put(body["metadata"], "uid", object.uid);
      put(body["metadata"], "resourceVersion", object.resource_version);
      const Answer answer = ask({.method = "PATCH",
                                 .target = target(resource, object.name) + subresource,
                                 .body = dump(body),
                                 .content_type = kMergePatch});
      if (answer.status == kOk) {
        return parse(answer.body);
      }
      return give_way<Object>(answer, resource, object, parse);
    });
  }

  // A change of an object that was refused: nothing if it is not there any more, or another one is.
  template <typename Object, typename Parse>
  std::optional<Object> give_way(const Answer& answer, const Resource& resource,
                                 const Object& object, Parse parse) {
    if (is_missing(answer, false)) {
      return std::nullopt;
    }
    const ApiError error = refusal(answer, resource);
    if (answer.status == kConflict || answer.status == kUnprocessable) {
      const Answer there = ask({.target = target(resource, object.name)});
      if (is_missing(there, false) ||
          (there.status == kOk && parse(there.body).uid != object.uid)) {
        return std::nullopt;
      }
    }
    throw ApiError(error);
  }

  template <typename Object, typename Parse>
  void remove(const Resource& resource, const Object& object, Parse parse) {
    doing("DELETE", resource, object.name, [&] {
      Json preconditions{{"uid", object.uid}};
      put(preconditions, "resourceVersion", object.resource_version);
      Json options{
          {"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"preconditions", preconditions}};
      if (dry_run) {
        options["dryRun"] = {"All"};
      }
      const Answer answer = ask({.method = "DELETE",
                                 .target = target(resource, object.name),
                                 .body = dump(options),
                                 .content_type = "application/json"});
      if (answer.status != kOk && answer.status != kAccepted) {
        static_cast<void>(give_way<Object>(answer, resource, object, parse));
      }
    });
  }

  bool dry_run;
  Session session;
  std::optional<std::int64_t> server_time;
};

Client::Client(Kubeconfig kubeconfig, Options options)
    : impl_(std::make_unique<Impl>(std::move(kubeconfig), std::move(options))) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

std::optional<Node> Client::node(const std::string& name) {
  return impl_->read(kNode, name, parse_node);
}

std::optional<CiliumNode> Client::cilium_node(const std::string& name) {
  return impl_->read(kCiliumNode, name, parse_cilium_node);
}

std::optional<PodPool> Client::pod_pool(const std::string& name) {
  return impl_->read(kPodPool, name, parse_pod_pool);
}

std::optional<PodBlock> Client::pod_block(const std::string& name) {
  return impl_->read(kPodBlock, name, parse_pod_block);
}

std::vector<Node> Client::nodes() {
  return impl_->list(kNode, node_in);
}

std::vector<CiliumNode> Client::cilium_nodes() {
  return impl_->list(kCiliumNode, cilium_node_in);
}

std::vector<ServiceCidr> Client::service_cidrs() {
  return impl_->list(kServiceCidr, service_cidr_in);
}

std::vector<Pod> Client::pods() {
  return impl_->list(kPod, pod_in);
}

std::vector<std::string> Client::cron_jobs() {
  return impl_->list(kCronJob,
                     [](const Json& job) { return string_in(member(job, "metadata"), "name"); });
}

std::vector<PodPool> Client::pod_pools() {
  return impl_->list(kPodPool, pod_pool_in);
}

std::vector<PodBlock> Client::pod_blocks() {
  return impl_->list(kPodBlock, pod_block_in);
}

std::vector<BlockBrief> Client::block_briefs(bool may_be_old) {
  return impl_->doing("GET", kPodBlock, "list", [&] {
    const Answer answer =
        impl_->ask({.target = std::string(kPodBlock.path) + "?includeObject=None" +
                              (may_be_old ? "&resourceVersion=0" : ""),
                    .accept = "application/json;as=Table;v=v1;g=meta.k8s.io"});
    if (answer.status != kOk) {
      throw impl_->refusal(answer, kPodBlock);
    }
    return BriefReader().read(answer.body);
  });
}

std::optional<PodBlock> Client::create(const PodBlock& block) {
  return impl_->create(kPodBlock, block, parse_pod_block);
}

std::optional<PodPool> Client::create(const PodPool& pool) {
  return impl_->create(kPodPool, pool, parse_pod_pool);
}

std::optional<PodBlock> Client::write_status(const PodBlock& block) {
  const Json written = Json::parse(to_json(block));
  return impl_->patch(kPodBlock, block, "",
                      Json{{"status", written["status"]},
                           {"metadata", {{"annotations", {{kNodeGoneSince, nullptr}}}}}},
                      parse_pod_block);
}

void Client::remove(const PodBlock& block) {
  impl_->remove(kPodBlock, block, parse_pod_block);
}

void Client::let_go(const PodBlock& block) {
  static_cast<void>(impl_->patch(kPodBlock, block, "",
                                 Json{{"metadata", {{"finalizers", nullptr}}}}, parse_pod_block));
}

void Client::mark(const PodBlock& block, const std::string& node_gone_since) {
  const Json value = node_gone_since.empty() ? Json() : Json(node_gone_since);
  static_cast<void>(impl_->patch(kPodBlock, block, "",
                                 Json{{"metadata", {{"annotations", {{kNodeGoneSince, value}}}}}},
                                 parse_pod_block));
}

PodPool Client::change(const PodPool& pool, const PoolChange& change) {
  Json spec = Json::object();
  if (change.cidrs) {
    spec["cidrs"] = cidrs_to_json(*change.cidrs);
  }
  if (change.paused) {
    spec["paused"] = *change.paused;
  }
  std::optional<PodPool> changed =
      impl_->patch(kPodPool, pool, "", Json{{"spec", spec}}, parse_pod_pool);
  if (!changed) {
    throw ApiError(Cause::kConflict, "PodPool " + pool.name + " is not there any more");
  }
  return *std::move(changed);
}

void Client::write_status(const PodPool& pool) {
  const Json written = Json::parse(to_json(pool));
  PodPool unversioned = pool;
  unversioned.resource_version.clear();
  static_cast<void>(impl_->patch(kPodPool, unversioned, "/status",
                                 Json{{"status", written["status"]}}, parse_pod_pool));
}

void Client::remove(const PodPool& pool) {
  impl_->remove(kPodPool, pool, parse_pod_pool);
}

std::optional<std::int64_t> Client::server_time() const {
  return impl_->server_time;
}

}  // namespace podlease::kube
