#include "podlease/pools/pool.h"

#include <algorithm>

#include "podlease/base/duration.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::pools {
namespace {

using net::Address;
using net::Family;
using net::Prefix;
using net::Range;

Error wrong(const kube::PodPool& object, const std::string& what) {
  return Error(ErrorKind::kConfig, "PodPool " + object.name + " " + what,
               "the definitions that podlease crds prints would have refused it: install those");
}

PoolCidr read_cidr(const kube::PodPool& object, const kube::PodPool::Cidr& entry) {
  const std::optional<Prefix> cidr = Prefix::parse(entry.cidr);
  if (!cidr || cidr->has_host_bits() || cidr->address().is_v4_mapped()) {
    throw wrong(object, "spec.cidrs " + in_quotes(entry.cidr) + " is no CIDR");
  }
  std::vector<Range> reserved;
  for (const std::string& text : entry.reserved) {
    const std::optional<Range> range = Range::parse(text);
    if (!range) {
      throw wrong(object,
                  "spec.cidrs " + entry.cidr + " reserved " + in_quotes(text) + " is no address");
    }
    reserved.push_back(*range);
  }
  return {
      .cidr = *cidr, .draining = entry.draining, .reserved = net::IntervalSet(std::move(reserved))};
}

// The smallest range of whole blocks around a range.
Range widened(const Range& range, int block_length) {
  const auto block_of = [&](Address address) { return *Prefix::make(address, block_length); };
  return *Range::make(block_of(range.first()).first(), block_of(range.last()).last());
}

}  // namespace

std::vector<Family> Pool::families() const {
  std::vector<Family> families;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (std::any_of(cidrs.begin(), cidrs.end(),
                    [&](const PoolCidr& entry) { return entry.cidr.family() == family; })) {
      families.push_back(family);
    }
  }
  return families;
}

const PoolCidr* Pool::cidr_of(const Prefix& block) const {
  const auto found = std::find_if(cidrs.begin(), cidrs.end(), [&](const PoolCidr& entry) {
    return entry.cidr.contains(block.range());
  });
  return found == cidrs.end() ? nullptr : &*found;
}

bool Pool::is_active(const Prefix& block) const {
  const PoolCidr* const entry = cidr_of(block);
  return entry != nullptr && !entry->draining;
}

net::IntervalSet Pool::claimable(Family family, const net::IntervalSet& never) const {
  std::vector<Range> whole;
  for (const PoolCidr& entry : cidrs) {
    if (entry.draining || entry.cidr.family() != family) {
      continue;
    }
    net::IntervalSet open({entry.cidr.range()});
    open.erase(entry.reserved);
    open.erase(never);
    for (const Range& range : open.ranges()) {
      whole.push_back(widened(range, block_length(family)));
    }
  }
  return net::IntervalSet(std::move(whole));
}

std::optional<Milliseconds> reap_grace_of(const kube::PodPool& object) {
  return object.reap_grace.empty() ? kReapGrace : parse_duration(object.reap_grace);
}

Pool read_pool(const kube::PodPool& object) {
  Pool pool{.name = object.name,
            .ipv4_block = object.ipv4_block,
            .ipv6_block = object.ipv6_block,
            .reap_grace = {},
            .paused = object.paused,
            .node_selector = object.node_selector};
  const std::optional<Milliseconds> grace = reap_grace_of(object);
  if (!grace) {
    throw wrong(object, "spec.reapGrace " + in_quotes(object.reap_grace) + " is no duration");
  }
  pool.reap_grace = *grace;
  for (const kube::PodPool::Cidr& entry : object.cidrs) {
    pool.cidrs.push_back(read_cidr(object, entry));
    const Prefix& cidr = pool.cidrs.back().cidr;
    const int length = pool.block_length(cidr.family());
    if (length < cidr.length() || length > net::bit_width(cidr.family()) - 2) {
      throw wrong(object, "spec.blockSize." + std::string(name(cidr.family())) + " " +
                              std::to_string(length) + " makes no blocks of " + cidr.to_string());
    }
  }
  return pool;
}

net::Uint128 count_blocks(const net::IntervalSet& set, Family family, int block_length) {
  return set.size() >> (net::bit_width(family) - block_length);
}

net::Uint128 capacity_of(const Pool& pool, const PoolCidr& entry) {
  const Family family = entry.cidr.family();
  Pool alone = pool;
  alone.cidrs = {entry};
  alone.cidrs.front().draining = false;
  return count_blocks(alone.claimable(family, {}), family, pool.block_length(family));
}

std::string block_name(const Prefix& cidr) {
  std::string text = cidr.to_string();
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == ':' || c == '/'; }, '-');
  return text;
}

std::optional<Prefix> cidr_of_block(std::string_view name) {
  std::string text(name);
  const std::size_t slash = text.rfind('-');
  if (slash == std::string::npos) {
    return std::nullopt;
  }
  std::replace(text.begin(), text.end(), '-', ':');
  text[slash] = '/';
  const std::optional<Prefix> cidr = Prefix::parse(text);
  return cidr && block_name(*cidr) == name ? cidr : std::nullopt;
}

}  // namespace podlease::pools
