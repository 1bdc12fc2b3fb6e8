#ifndef PODLEASE_CNI_ANSWER_H_
#define PODLEASE_CNI_ANSWER_H_

#include <optional>
#include <string>
#include <vector>

#include "podlease/base/error.h"
#include "podlease/cni/version.h"
#include "podlease/net/address.h"
#include "podlease/net/prefix.h"
#include "podlease/net/route.h"

namespace podlease::cni {

struct IpConfig {
  net::Prefix address;  // the pod's address with the mask of its subnet
  std::optional<net::Address> gateway;
};

struct Dns {
  std::vector<std::string> nameservers;
  std::string domain;
  std::vector<std::string> search;
  std::vector<std::string> options;
};

// What an IPAM plugin answers to ADD (specification 1.1.0, "Delegated plugins (IPAM)"): no
// interfaces.
struct Result {
  std::vector<IpConfig> ips;
  std::vector<net::Route> routes;
  Dns dns;
};

// `result` in the shape of `version`, a JSON document that ends in a newline. 0.1.0 and 0.2.0 hold
// one address a family: the first counts. Throws kOther if that leaves none.
[[nodiscard]] std::string result_json(const Result& result, Version version);

// The CNI error codes (specification 1.1.0, "Error", and DESIGN: 100 exhausted, 101 address taken).
[[nodiscard]] int error_code(ErrorKind kind);

// An error document that ends in a newline. Never throws for odd bytes in a message: they are
// replaced.
[[nodiscard]] std::string error_json(const Error& error, Version version);

}  // namespace podlease::cni

#endif  // PODLEASE_CNI_ANSWER_H_
