#include "podlease/net/special_block.h"

#include <array>
#include <cstdint>
#include <string_view>

#include "podlease/net/address.h"
#include "podlease/net/prefix.h"

namespace podlease::net {
namespace {

struct SpecialBlock {
  Prefix prefix;
  std::string_view use;
};

constexpr SpecialBlock v4(std::uint32_t bits, int length, std::string_view use) {
  return {.prefix = *Prefix::make(Address::v4(bits), length), .use = use};
}

constexpr SpecialBlock v6(Uint128 bits, int length, std::string_view use) {
  return {.prefix = *Prefix::make(Address::v6(bits), length), .use = use};
}

constexpr std::array<SpecialBlock, 7> kSpecialBlocks{
    v4(0, 8, "unspecified"),
    v4(0x7f000000, 8, "loopback"),
    v4(0xe0000000, 4, "multicast"),
    v4(0xffffffff, 32, "broadcast"),
    v6(0, 128, "unspecified"),
    v6(1, 128, "loopback"),
    v6(Uint128{0xff} << 120, 8, "multicast"),
};

}  // namespace

std::optional<std::string> overlap_with_special_block(const Range& range) {
  for (const SpecialBlock& block : kSpecialBlocks) {
    if (block.prefix.range().overlaps(range)) {
      return "overlaps " + block.prefix.to_string() + " (" + std::string(block.use) +
             "), where no pod can have an address";
    }
  }
  return std::nullopt;
}

}  // namespace podlease::net
