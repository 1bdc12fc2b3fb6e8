#include "token.h"

#include <algorithm>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base64.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "podlease/base/text.h"
#include "podlease/kube/client.h"
#include "regular_file.h"

namespace podlease::kube {
namespace {

using Json = nlohmann::json;

std::string read_token_file(const std::filesystem::path& path) {
  try {
    return std::string(trimmed(read_regular_file(path)));
  } catch (const Error& error) {
    throw ApiError(ApiError::Cause::kIdentity,
                   "tokenFile " + path.string() + " cannot be read: " + error.what(),
                   "whoever issues the token must write it there");
  }
}

}  // namespace

std::string read_token(const User& user) {
  if (user.token_file.empty()) {
    if (!is_token(user.token)) {
      throw ApiError(ApiError::Cause::kIdentity, "the token is none: it holds white space",
                     "write it in one line");
    }
    return user.token;
  }
  std::string token = read_token_file(user.token_file);
  if (token.empty() || !is_token(token)) {
    throw ApiError(ApiError::Cause::kIdentity,
                   "tokenFile " + user.token_file.string() + " holds no token",
                   "it should be one line, and nothing else");
  }
  return token;
}

bool is_token(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

std::string node_of_token(std::string_view token) {
  constexpr std::size_t kParts = 3;  // header, payload, signature
  const std::vector<std::string_view> parts = split(token, '.');
  const std::optional<std::string> payload =
      parts.size() == kParts ? decode_base64url(parts[1]) : std::nullopt;
  if (!payload) {
    return {};
  }
  constexpr bool kThrows = false;
  const Json claims = Json::parse(*payload, nullptr, kThrows);
  const Json::json_pointer name("/kubernetes.io/node/name");
  const bool has_name = claims.is_object() && claims.contains(name) && claims[name].is_string();
  return has_name ? claims[name].get<std::string>() : std::string();
}

}  // namespace podlease::kube
