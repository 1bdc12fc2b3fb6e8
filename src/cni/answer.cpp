#include "podlease/cni/answer.h"

#include <nlohmann/json.hpp>

#include "podlease/base/text.h"

namespace podlease::cni {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kIndent = 4;

// What a message quotes may be as long as the configuration; nobody reads that much.
constexpr std::size_t kLongestMessage = 1000;

// `dump` alone throws on invalid UTF-8, so that reporting an error could itself fail.
std::string print(const Json& document) {
  return document.dump(kIndent, ' ', false, Json::error_handler_t::replace) + "\n";
}

Json to_json(const Dns& dns) {
  Json json = Json::object();
  if (!dns.nameservers.empty()) {
    json["nameservers"] = dns.nameservers;
  }
  if (!dns.domain.empty()) {
    json["domain"] = dns.domain;
  }
  if (!dns.search.empty()) {
    json["search"] = dns.search;
  }
  if (!dns.options.empty()) {
    json["options"] = dns.options;
  }
  return json;
}

Json to_json(const net::Route& route) {
  Json json{{"dst", route.destination.to_string()}};
  if (route.gateway) {
    json["gw"] = route.gateway->to_string();
  }
  const auto put = [&](const char* key, std::int64_t value) {
    if (value != 0) {
      json[key] = value;
    }
  };
  put("mtu", route.mtu);
  put("advmss", route.advertised_mss);
  put("priority", route.priority);
  if (route.table) {
    json["table"] = *route.table;
  }
  if (route.scope) {
    json["scope"] = *route.scope;
  }
  return json;
}

// 0.3.0 and newer: a list of addresses of any family.
Json list_shaped(const Result& result, Version version) {
  const bool has_ip_version = version < *Version::parse("1.0.0");
  Json json{{"cniVersion", version.to_string()}};
  for (const IpConfig& ip : result.ips) {
    Json entry = Json::object();
    if (has_ip_version) {
      entry["version"] = ip.address.family() == net::Family::kIpv4 ? "4" : "6";
    }
    entry["address"] = ip.address.to_string();
    if (ip.gateway) {
      entry["gateway"] = ip.gateway->to_string();
    }
    json["ips"].push_back(std::move(entry));
  }
  for (const net::Route& route : result.routes) {
    json["routes"].push_back(to_json(route));
  }
  Json dns = to_json(result.dns);
  if (has_ip_version || !dns.empty()) {
    json["dns"] = std::move(dns);
  }
  return json;
}

// 0.1.0 and 0.2.0: one address a family, each with its own routes.
Json family_shaped(const Result& result, Version version) {
  Json json{{"cniVersion", version.to_string()}};
  for (const IpConfig& ip : result.ips) {
    const char* const key = ip.address.family() == net::Family::kIpv4 ? "ip4" : "ip6";
    if (json.contains(key)) {
      continue;
    }
    Json entry{{"ip", ip.address.to_string()}};
    if (ip.gateway) {
      entry["gateway"] = ip.gateway->to_string();
    }
    for (const net::Route& route : result.routes) {
      if (route.destination.family() == ip.address.family()) {
        Json short_route{{"dst", route.destination.to_string()}};
        if (route.gateway) {
          short_route["gw"] = route.gateway->to_string();
        }
        entry["routes"].push_back(std::move(short_route));
      }
    }
    json[key] = std::move(entry);
  }
  json["dns"] = to_json(result.dns);
  return json;
}

}  // namespace

std::string result_json(const Result& result, Version version) {
  if (result.ips.empty()) {
    throw Error(ErrorKind::kOther, "the result holds no address");
  }
  return print(version < *Version::parse("0.3.0") ? family_shaped(result, version)
                                                  : list_shaped(result, version));
}

int error_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kVersion:
      return 1;
    case ErrorKind::kUnsupportedField:
      return 2;
    case ErrorKind::kUnknownContainer:
      return 3;
    case ErrorKind::kEnvironment:
      return 4;
    case ErrorKind::kIo:
      return 5;
    case ErrorKind::kDecode:
      return 6;
    case ErrorKind::kConfig:
      return 7;
    case ErrorKind::kBusy:
      return 11;
    case ErrorKind::kUnavailable:
      return 50;
    case ErrorKind::kExhausted:
      return 100;
    case ErrorKind::kAddressTaken:
      return 101;
    case ErrorKind::kOther:
      return 999;
  }
  return 999;
}

std::string error_json(const Error& error, Version version) {
  Json json{{"cniVersion", version.to_string()},
            {"code", error_code(error.kind())},
            {"msg", in_one_line(error.what(), kLongestMessage)}};
  if (!error.details().empty()) {
    json["details"] = in_one_line(error.details(), kLongestMessage);
  }
  return print(json);
}

}  // namespace podlease::cni
