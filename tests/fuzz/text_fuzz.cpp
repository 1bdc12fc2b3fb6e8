// Feeds one text to every parser of text there is: addresses, prefixes and ranges, durations,
// CNI_ARGS, resolv.conf, the files of host-local's folder and those of libcni's cache. What is
// accepted must print to something that reads back as the same.

#include <arpa/inet.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"
#include "podlease/cni/request.h"
#include "podlease/host/cni_cache.h"
#include "podlease/host/host_local.h"
#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "resolv_conf.h"
#include "scratch.h"

namespace podlease {
namespace {

namespace fs = std::filesystem;

void demand(bool holds, std::string_view what, std::string_view text) {
  if (!holds) {
    std::cerr << "text_fuzz: " << what << ": " << in_quotes(text) << '\n';
    std::abort();
  }
}

template <typename Value>
void check_round_trip(std::string_view text) {
  const std::optional<Value> value = Value::parse(text);
  if (value) {
    demand(Value::parse(value->to_string()) == value, "does not read back", text);
  }
}

// The C library as the oracle: it reads an IPv6 address as we do, and refuses leading zeros in
// IPv4 ones too. It cannot be asked about a text with a NUL.
void check_against_libc(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) {
    return;
  }
  const std::string copy(text);
  std::array<unsigned char, 16> bytes{};
  const bool is_v4 = inet_pton(AF_INET, copy.c_str(), bytes.data()) == 1;
  const bool is_v6 = !is_v4 && inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1;
  const std::optional<net::Address> address = net::Address::parse(text);
  demand(address.has_value() == (is_v4 || is_v6), "the C library disagrees", text);
  if (address) {
    net::Uint128 bits = 0;
    for (std::size_t i = 0; i < (is_v4 ? 4U : 16U); ++i) {
      bits = bits << 8U | bytes.at(i);
    }
    demand(address->is_v4() == is_v4 && address->bits() == bits, "another address", text);
  }
}

void check_duration(std::string_view text) {
  if (const auto duration = parse_duration(text)) {
    demand(duration->count() >= 0, "is negative", text);
    const auto again = parse_duration(format_duration(*duration));
    // Printed to the second, from a second on.
    const auto expected =
        *duration < std::chrono::seconds(1)
            ? *duration
            : std::chrono::milliseconds(std::chrono::floor<std::chrono::seconds>(*duration));
    demand(again == expected || again == duration, "does not read back", text);
  }
}

void check_args(std::string_view text) {
  try {
    static_cast<void>(cni::parse_args(text));
  } catch (const Error& error) {
    demand(error.kind() == ErrorKind::kEnvironment, "another kind of error", text);
  }
}

void check_resolv_conf(std::string_view text) {
  const cni::Dns dns = plugin::parse_resolv_conf(text);
  for (const std::vector<std::string>* list : {&dns.nameservers, &dns.search, &dns.options}) {
    for (const std::string& word : *list) {
      demand(!word.empty() && words(word).size() == 1, "holds a word that is none", text);
    }
  }
}

void check_words(std::string_view text) {
  std::size_t size = 0;
  for (const std::string_view part : split(text, '/')) {
    size += part.size() + 1;
  }
  demand(size == text.size() + 1, "split loses something", text);
  demand(to_lower(text).size() == text.size() && equals_ignoring_case(text, to_lower(text)),
         "differs in more than case", text);
}

// Insertions and removals of the ranges in the text, held against single look-ups.
void check_intervals(std::string_view text) {
  net::IntervalSet set;
  std::vector<std::pair<net::Range, bool>> steps;
  for (const std::string_view word : words(text)) {
    const bool removes = word.starts_with('!');
    if (const auto range = net::Range::parse(removes ? word.substr(1) : word)) {
      steps.emplace_back(*range, !removes);
      if (removes) {
        set.erase(*range);
      } else {
        set.insert(*range);
      }
    }
  }
  const auto expected = [&](net::Address address) {
    bool inside = false;
    for (const auto& [range, inserted] : steps) {
      inside = range.contains(address) ? inserted : inside;
    }
    return inside;
  };
  for (const auto& [range, inserted] : steps) {
    for (const std::optional<net::Address> address :
         {std::optional(range.first()), std::optional(range.last()), range.first().previous(),
          range.last().next()}) {
      demand(!address || set.contains(*address) == expected(*address), "is not the set", text);
    }
  }
}

// What is read, written and read again stays.
void check_host_local_folder(const fs::path& path, std::string_view text) {
  const host::HostLocalFolder host_local(path);
  try {
    const host::HostLocalState state = host_local.read();
    host_local.write(state);
    demand(host_local.read() == state, "host-local's folder does not read back", text);
  } catch (const Error& error) {
    demand(error.kind() == ErrorKind::kIo || error.kind() == ErrorKind::kDecode,
           "another kind of error", text);
  }
}

// Lines NAME=BODY become files, `\n` in a body a line break.
void check_host_local(std::string_view text) {
  constexpr std::size_t kMostFiles = 16;
  constexpr std::size_t kLongestName = 200;
  static const ScratchFolder folder;
  const fs::path path = folder.path() / "net";
  fs::remove_all(path);
  fs::create_directory(path);
  std::size_t files = 0;
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t equals = line.find('=');
    const std::string_view name = line.substr(0, equals);
    if (equals == std::string_view::npos || name.empty() || name == "." || name == ".." ||
        name.size() > kLongestName || name.find('/') != std::string_view::npos ||
        name.find('\0') != std::string_view::npos || ++files > kMostFiles) {
      continue;
    }
    std::string body(line.substr(equals + 1));
    for (std::size_t at = 0; (at = body.find("\\n", at)) != std::string::npos;) {
      body.replace(at, 2, "\r\n");
    }
    std::ofstream(path / name, std::ios::binary) << body;
  }
  check_host_local_folder(path, text);
}

// All bytes, whatever they are, as an entry and as a cursor: lines cannot hold every one.
void check_host_local_bodies(std::string_view text) {
  static const ScratchFolder folder;
  for (const auto* name : {"10.1.0.2", "last_reserved_ip.0"}) {
    std::ofstream(folder.path() / name, std::ios::binary) << text;
  }
  check_host_local_folder(folder.path(), text);
}

// A file of libcni's cache is an attachment with a whole key, or skipped for a reason of one line;
// without its last byte it must be taken for half written.
void check_cni_cache(std::string_view text) {
  static const ScratchFolder folder;
  const auto read = [&](std::string_view body) {
    std::ofstream(folder.path() / "lab-c1-eth0", std::ios::binary) << body;
    return host::read_cni_cache({folder.path()});
  };
  const host::CniCache cache = read(text);
  demand(cache.attachments.size() + cache.skipped.size() == 1, "is not one file", text);
  for (const host::SkippedFile& skipped : cache.skipped) {
    demand(!skipped.why.empty() && in_one_line(skipped.why, skipped.why.size()) == skipped.why,
           "is skipped for no reason of one line", text);
  }
  for (const host::CachedAttachment& item : cache.attachments) {
    demand(!item.key.network.empty() && !item.key.container_id.empty() && !item.key.ifname.empty(),
           "has half a key", text);
    for (const net::Prefix& address : item.addresses) {
      check_round_trip<net::Prefix>(address.to_string());
    }
    const std::string_view whole = trimmed(text);
    demand(read(whole.substr(0, whole.size() - 1)).attachments.empty(), "is read in part", text);
  }
}

void check(std::string_view text) {
  check_round_trip<net::Address>(text);
  check_round_trip<net::Prefix>(text);
  check_round_trip<net::Range>(text);
  check_against_libc(text);
  check_duration(text);
  check_args(text);
  check_resolv_conf(text);
  check_words(text);
  check_intervals(text);
  if (text.find('=') != std::string_view::npos) {
    check_host_local(text);
    check_host_local_bodies(text);
  }
  if (text.starts_with('{')) {
    check_cni_cache(text);
  }
}

}  // namespace
}  // namespace podlease

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes are bytes
  podlease::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
