#include "podlease/store/block_table.h"

#include <algorithm>
#include <array>
#include <span>
#include <tuple>
#include <utility>

#include "codec.h"
#include "database.h"
#include "notes.h"
#include "podlease/base/error.h"
#include "podlease/base/text.h"

namespace podlease::store {
namespace {

// Notes of kind `block`: network and CIDR in a line each. Those of a network are from NETWORK\n on
// to NETWORK\v, which no other network's are among.
std::string block_key(const std::string& network, const net::Prefix& cidr) {
  return network + "\n" + cidr.to_string();
}

constexpr std::array<std::pair<Block::State, std::string_view>, 4> kBlockStates{
    {{Block::State::kClaiming, "claiming"},
     {Block::State::kOwned, "owned"},
     {Block::State::kReleasing, "releasing"},
     {Block::State::kLost, "lost"}}};

std::string block_value(const Block& block) {
  return field(block.pool) + field(std::string(to_string(block.state))) + field(block.claim_id) +
         field(block.uid) + field(block.ending ? "1" : "0") + field(block.unexplored ? "1" : "0") +
         field(std::to_string(block.reap_grace.count())) + moment_fields(block.claimed) +
         moment_fields(block.verified) + moment_fields(block.attempted) + field(block.failure);
}

Block read_block(const std::string& key, const std::string& value, const std::string& store) {
  const std::size_t line = key.find('\n');
  const std::optional<net::Prefix> cidr =
      line == std::string::npos ? std::nullopt
                                : net::Prefix::parse(std::string_view(key).substr(line + 1));
  const std::vector<std::string_view> fields = split(value, kSeparator);
  constexpr std::size_t kFields = 17;
  if (!cidr || fields.size() < kFields) {
    throw Error(ErrorKind::kIo,
                "store " + store + " holds a note of block " + in_quotes(key) + " that is none");
  }
  const std::span<const std::string_view> all(fields);
  const auto state = std::find_if(kBlockStates.begin(), kBlockStates.end(),
                                  [&](const auto& pair) { return pair.second == all[1]; });
  return {.network = key.substr(0, line),
          .cidr = *cidr,
          .pool = std::string(all[0]),
          // One of a newer podlease: whatever it is, nothing may be leased from it.
          .state = state == kBlockStates.end() ? Block::State::kLost : state->first,
          .claim_id = std::string(all[2]),
          .uid = std::string(all[3]),
          .ending = all[4] == "1",
          .unexplored = all[5] == "1",
          .reap_grace = Milliseconds(to_number(all[6])),
          .claimed = to_moment(all.subspan(7, 3)),
          .verified = to_moment(all.subspan(10, 3)),
          .attempted = to_moment(all.subspan(13, 3)),
          .failure = std::string(all[16])};
}

std::vector<Block> read_blocks(Query& rows, const std::string& store) {
  std::vector<Block> blocks;
  while (rows.next()) {
    const std::string key = rows.text();
    blocks.push_back(read_block(key, rows.text(), store));
  }
  std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) {
    return std::tie(a.network, a.cidr) < std::tie(b.network, b.cidr);
  });
  return blocks;
}

}  // namespace

std::string_view to_string(Block::State state) {
  for (const auto& [known, word] : kBlockStates) {
    if (known == state) {
      return word;
    }
  }
  return "unknown";
}

std::vector<Block> BlockTable::of(const std::string& network) const {
  Query rows(*database_,
             "SELECT key, value FROM note WHERE kind = 'block' AND network = 0 AND key BETWEEN ? "
             "AND ?");
  rows.bind(network + "\n", network + "\v");
  return read_blocks(rows, database_->path());
}

std::vector<Block> BlockTable::all() const {
  Query rows(*database_, "SELECT key, value FROM note WHERE kind = 'block' AND network = 0");
  return read_blocks(rows, database_->path());
}

std::optional<Block> BlockTable::find(const std::string& network, const net::Prefix& cidr) const {
  const std::string key = block_key(network, cidr);
  const std::optional<std::string> note = find_note(*database_, "block", kNoNetwork, key);
  return note ? std::optional(read_block(key, *note, database_->path())) : std::nullopt;
}

void BlockTable::set(const Block& block) const {
  set_note(*database_, "block", kNoNetwork, block_key(block.network, block.cidr),
           block_value(block));
}

void BlockTable::forget(const Block& block) const {
  forget_note(*database_, "block", kNoNetwork, block_key(block.network, block.cidr));
}

}  // namespace podlease::store
