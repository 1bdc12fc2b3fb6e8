#include "known_keys.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "podlease/base/text.h"

namespace podlease::config {
namespace {

constexpr std::size_t kShortestJudged = 6;

std::string without_separators(std::string_view text) {
  std::string result;
  std::copy_if(text.begin(), text.end(), std::back_inserter(result),
               [](char c) { return c != '_' && c != '-'; });
  return result;
}

// Reports whether one edit turns one text into the other: a letter that is added, left out,
// replaced or swapped with its neighbour.
bool one_edit_apart(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) {
    std::swap(a, b);
  }
  if (b.size() - a.size() > 1) {
    return false;
  }
  const std::size_t same =
      static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  const std::string_view rest_a = a.substr(same);
  const std::string_view rest_b = b.substr(same);
  if (rest_a.size() < rest_b.size()) {
    return rest_a == rest_b.substr(1);
  }
  if (rest_a.empty()) {
    return false;
  }
  const bool replaced = rest_a.substr(1) == rest_b.substr(1);
  const bool swapped = rest_a.size() >= 2 && rest_a[0] == rest_b[1] && rest_a[1] == rest_b[0] &&
                       rest_a.substr(2) == rest_b.substr(2);
  return replaced || swapped;
}

bool is_typing_error(const std::string& key, std::string_view known) {
  const std::string a = to_lower(key);
  const std::string b = to_lower(known);
  return b.size() >= kShortestJudged && (one_edit_apart(a, b) || without_separators(a) == b);
}

// A key of another IPAM plugin that says which addresses to lease.
struct PeerKey {
  std::string_view key;
  std::string_view plugin;
};

constexpr std::array<PeerKey, 7> kPeerKeys{
    {{.key = "ipRanges", .plugin = "whereabouts"},
     {.key = "range", .plugin = "whereabouts"},
     {.key = "addresses", .plugin = "static"},
     {.key = "ipv4_pools", .plugin = "calico-ipam"},
     {.key = "ipv6_pools", .plugin = "calico-ipam"},
     {.key = "default_ipv4_ippool", .plugin = "spiderpool"},
     {.key = "default_ipv6_ippool", .plugin = "spiderpool"}}};

const PeerKey* find_peer_key(std::string_view key) {
  const auto* const found =
      std::find_if(kPeerKeys.begin(), kPeerKeys.end(),
                   [&](const PeerKey& peer) { return equals_ignoring_case(peer.key, key); });
  return found == kPeerKeys.end() ? nullptr : found;
}

std::string place_of(const Value& object) {
  return object.path().empty() ? "the configuration" : object.path();
}

constexpr std::string_view kHowToGiveRanges =
    "to lease from a range of your own, write \"ranges\": [[{\"subnet\": \"10.1.0.0/16\"}]]";

Error typing_error(const Value& object, const std::string& key, std::string_view meant) {
  std::string details = "rename the key, or remove it if it means something else";
  if (const PeerKey* const peer = find_peer_key(key)) {
    details = in_quotes(key) + " is a key of " + std::string(peer->plugin) +
              ", which podlease does not read; " + std::string(kHowToGiveRanges);
  }
  return Error(
      ErrorKind::kConfig,
      place_of(object) + " has key " + in_quotes(key) + "; is " + in_quotes(meant) + " meant?",
      std::move(details));
}

}  // namespace

std::vector<std::string> unknown_keys(const Value& object,
                                      std::span<const std::string_view> known) {
  std::vector<std::string> unknown;
  for (std::string& key : object.keys()) {
    if (std::any_of(known.begin(), known.end(),
                    [&](std::string_view k) { return equals_ignoring_case(key, k); })) {
      continue;
    }
    const auto meant = std::find_if(known.begin(), known.end(),
                                    [&](std::string_view k) { return is_typing_error(key, k); });
    if (meant != known.end()) {
      throw typing_error(object, key, *meant);
    }
    unknown.push_back(std::move(key));
  }
  return unknown;
}

std::string ignored_key_warning(const Value& object, std::string_view key) {
  return place_of(object) + " has key " + in_quotes(key) +
         ", which podlease does not know and ignores";
}

std::string ignored_ipam_key_warning(std::string_view key, std::string_view origin) {
  const std::string start = "ipam has key " + in_quotes(key);
  const PeerKey* const peer = find_peer_key(key);
  if (peer == nullptr) {
    return start + ", which podlease does not know and ignores";
  }
  return start + " of " + std::string(peer->plugin) +
         ", which podlease ignores: " + std::string(origin) + "; " + std::string(kHowToGiveRanges);
}

}  // namespace podlease::config
