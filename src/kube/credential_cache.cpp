#include "credential_cache.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <string_view>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "base64.h"
#include "openssl.h"
#include "podlease/base/error.h"
#include "podlease/base/file.h"
#include "regular_file.h"

namespace podlease::kube {
namespace {

namespace fs = std::filesystem;

using Json = nlohmann::json;

constexpr std::int64_t kMargin = 10;  // seconds; clocks differ, and a request takes its time

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string hash_of(std::string_view text) {
  start_openssl();
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return encode_base64(std::string(digest.begin(), digest.begin() + size));
}

std::string key_of(const Kubeconfig& kubeconfig) {
  if (!kubeconfig.user.exec) {
    return {};
  }
  const ExecPlugin& plugin = *kubeconfig.user.exec;
  return hash_of(
      dump({kubeconfig.path.string(), kubeconfig.context, kubeconfig.server.url, plugin.api_version,
            plugin.command, plugin.args, plugin.env, plugin.provide_cluster_info}));
}

bool write_new(const fs::path& path, std::string_view text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  return fd && write_all(fd.get(), text) == 0;
}

}  // namespace

CredentialCache::CredentialCache(fs::path path, const Kubeconfig& kubeconfig)
    : path_(std::move(path)), key_(path_.empty() ? std::string() : key_of(kubeconfig)) {}

std::optional<Credential> CredentialCache::load() const {
  if (path_.empty()) {
    return std::nullopt;
  }
  try {
    const Json kept = Json::parse(read_regular_file(path_));
    Credential credential{.token = kept.at("token"),
                          .certificate = kept.at("certificate"),
                          .key = kept.at("key"),
                          .ends = kept.at("ends").get<std::int64_t>()};
    if (kept.at("of") == key_ && std::time(nullptr) + kMargin < *credential.ends) {
      return credential;
    }
  } catch (const Error&) {            // NOLINT(bugprone-empty-catch): there is nothing in it
  } catch (const Json::exception&) {  // NOLINT(bugprone-empty-catch)
  }
  return std::nullopt;
}

void CredentialCache::save(const Credential& credential) const {
  if (path_.empty() || !credential.ends) {
    return;
  }
  const std::string text = dump({{"of", key_},
                                 {"token", credential.token},
                                 {"certificate", credential.certificate},
                                 {"key", credential.key},
                                 {"ends", *credential.ends}});
  const fs::path temporary = path_.string() + "." + std::to_string(getpid());
  std::error_code ignored;
  fs::remove(temporary, ignored);
  if (write_new(temporary, text)) {
    fs::rename(temporary, path_, ignored);
  }
  fs::remove(temporary, ignored);
}

void CredentialCache::drop() const {
  std::error_code ignored;
  fs::remove(path_, ignored);
}

}  // namespace podlease::kube
