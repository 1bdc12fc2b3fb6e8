#ifndef PODLEASE_SRC_KUBE_BASE64_H_
#define PODLEASE_SRC_KUBE_BASE64_H_

#include <optional>
#include <string>
#include <string_view>

// RFC 4648.
namespace podlease::kube {

// Section 4, padded; line breaks are skipped, as Go does, and nothing else.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);
[[nodiscard]] std::string encode_base64(std::string_view bytes);

// Section 5, without padding: the parts of a JWT.
[[nodiscard]] std::optional<std::string> decode_base64url(std::string_view text);

}  // namespace podlease::kube

#endif  // PODLEASE_SRC_KUBE_BASE64_H_
