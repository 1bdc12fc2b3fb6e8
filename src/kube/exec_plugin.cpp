#include "exec_plugin.h"

#include <unistd.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base64.h"
#include "podlease/base/error.h"
#include "podlease/base/rfc3339.h"
#include "podlease/base/text.h"
#include "process.h"
#include "token.h"

namespace podlease::kube {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kInfoVariable = "KUBERNETES_EXEC_INFO";

Error wrong(const std::string& what) {
  return Error(ErrorKind::kDecode, what);
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What the plugin is told: an ExecCredential without a status.
std::string info_for(const ExecPlugin& plugin, const Server& server) {
  Json spec{{"interactive", false}};
  if (plugin.provide_cluster_info) {
    Json cluster{{"server", server.url}};
    if (!server.tls_server_name.empty()) {
      cluster["tls-server-name"] = server.tls_server_name;
    }
    if (!server.authorities.empty()) {
      cluster["certificate-authority-data"] = encode_base64(server.authorities);
    }
    if (server.skip_verification) {
      cluster["insecure-skip-tls-verify"] = true;
    }
    cluster["config"] = nullptr;
    spec["cluster"] = cluster;
  }
  return dump({{"apiVersion", plugin.api_version}, {"kind", "ExecCredential"}, {"spec", spec}});
}

// Ours, with the plugin's own in place of those of the same name.
std::vector<std::string> environment_for(const ExecPlugin& plugin, const Server& server) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : plugin.env) {
    variables.push_back(join({name, value}, "="));
  }
  variables.push_back(std::string(kInfoVariable) + "=" + info_for(plugin, server));
  const auto is_replaced = [&](std::string_view inherited) {
    const std::string_view name = inherited.substr(0, inherited.find('='));
    return name == kInfoVariable ||
           std::any_of(plugin.env.begin(), plugin.env.end(),
                       [&](const auto& variable) { return variable.first == name; });
  };
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!is_replaced(*variable)) {
      variables.emplace_back(*variable);
    }
  }
  return variables;
}

std::string string_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) {
    return {};
  }
  if (!found->is_string()) {
    throw wrong(std::string("its ") + name + " is not a string");
  }
  return found->get<std::string>();
}

void check_kind(const Json& object, const std::string& api_version) {
  if (string_in(object, "kind") != "ExecCredential") {
    throw wrong("it is no ExecCredential");
  }
  if (const std::string version = string_in(object, "apiVersion"); version != api_version) {
    throw wrong("its apiVersion is " + in_quotes(version) + ", not " + api_version);
  }
}

std::optional<std::int64_t> end_in(const Json& status) {
  const std::string text = string_in(status, "expirationTimestamp");
  const std::optional<std::int64_t> end = parse_rfc3339(text);
  if (!end && !text.empty()) {
    throw wrong("its status.expirationTimestamp is no time: " + in_quotes(text));
  }
  return end;
}

}  // namespace

Credential parse_exec_credential(std::string_view text, const std::string& api_version) {
  constexpr bool kThrows = false;
  const Json object = Json::parse(text, nullptr, kThrows);
  if (!object.is_object()) {
    throw wrong("it is not JSON, or no object");
  }
  check_kind(object, api_version);
  const Json status = object.value("status", Json());
  if (!status.is_object()) {
    throw wrong("it has no status");
  }
  Credential credential{.token = string_in(status, "token"),
                        .certificate = string_in(status, "clientCertificateData"),
                        .key = string_in(status, "clientKeyData"),
                        .ends = end_in(status)};
  if (credential.certificate.empty() != credential.key.empty()) {
    throw wrong("it has only one of clientCertificateData and clientKeyData");
  }
  if (credential.token.empty() && credential.certificate.empty()) {
    throw wrong("it has neither a token nor a certificate");
  }
  if (!is_token(credential.token)) {
    throw wrong("its token holds white space");
  }
  return credential;
}

Credential run_plugin(const ExecPlugin& plugin, const Server& server, Deadline deadline) {
  const std::string name = "exec plugin " + in_quotes(plugin.command);
  try {
    const Outcome outcome = run({.program = plugin.command,
                                 .args = plugin.args,
                                 .environment = environment_for(plugin, server)},
                                deadline);
    if (!outcome.exit.empty()) {
      throw ApiError(ApiError::Cause::kIdentity, "ended with " + outcome.exit,
                     "it said: " + in_one_line(trimmed(outcome.messages), kLargestMessages));
    }
    return parse_exec_credential(outcome.output, plugin.api_version);
  } catch (const ApiError& error) {
    throw ApiError(error.cause(), name + " " + error.what(), error.details());
  } catch (const Error& error) {
    throw ApiError(ApiError::Cause::kIdentity,
                   name + " printed no credential: " + std::string(error.what()),
                   "see what it prints by hand, with " + std::string(kInfoVariable) + " set");
  }
}

}  // namespace podlease::kube
