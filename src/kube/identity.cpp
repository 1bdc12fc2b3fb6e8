#include <openssl/asn1.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

#include <string>
#include <string_view>

#include "openssl.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/kube/kubeconfig.h"
#include "token.h"

namespace podlease::kube {
namespace {

// The Node authorizer's rule for the names of kubelets.
constexpr std::string_view kNodeUser = "system:node:";

std::string common_name_of(const X509& certificate) {
  const X509_NAME* const subject = X509_get_subject_name(&certificate);
  const int index = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (index < 0) {
    return {};
  }
  const ASN1_STRING* const name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, index));
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, name);
  if (size < 0) {
    return {};
  }
  std::string result(text, text + size);
  OPENSSL_free(text);
  return result;
}

KeyPair key_pair_of(const Kubeconfig& kubeconfig) {
  try {
    return read_key_pair(kubeconfig.user.certificate, kubeconfig.user.key);
  } catch (const Error& error) {
    throw Error(error.kind(),
                kubeconfig.path.string() + ": client-certificate of the user of context " +
                    in_quotes(kubeconfig.context) + ": " + error.what(),
                "client-certificate and client-key must be PEM, and a pair");
  }
}

}  // namespace

Identity identity_of(const Kubeconfig& kubeconfig) {
  Identity identity;
  if (!kubeconfig.user.certificate.empty()) {
    const KeyPair pair = key_pair_of(kubeconfig);
    identity.common_name = common_name_of(*pair.chain.front());
    identity.certificate_ends = end_of(*pair.chain.front());
  }
  if (identity.common_name.starts_with(kNodeUser)) {
    identity.node_name = identity.common_name.substr(kNodeUser.size());
  } else {
    identity.node_name = node_of_token(read_token(kubeconfig.user));
  }
  return identity;
}

}  // namespace podlease::kube
