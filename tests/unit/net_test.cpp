// Beside tables, three oracles: the C library for texts, a bit-by-bit prefix for masks, and a
// std::set for interval sets. Random tests draw from fixed seeds, so that a failure repeats; each
// prints the seed and the input at fault.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "podlease/net/address.h"
#include "podlease/net/interval_set.h"
#include "podlease/net/prefix.h"
#include "podlease/net/range.h"
#include "podlease/net/special_block.h"

namespace podlease::net {

// GoogleTest finds these by argument-dependent look-up, which does not reach into an unnamed
// namespace.
static std::ostream& operator<<(std::ostream& out, const Address& address) {
  return out << address.to_string();
}
static std::ostream& operator<<(std::ostream& out, const Range& range) {
  return out << range.to_string();
}
static std::ostream& operator<<(std::ostream& out, const Prefix& prefix) {
  return out << prefix.to_string();
}
static std::ostream& operator<<(std::ostream& out, const IntervalSet& set) {
  out << '{';
  for (const Range& range : set.ranges()) {
    out << ' ' << range;
  }
  return out << " }";
}

namespace {

using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;

constexpr Uint128 kOnes = ~Uint128{0};
constexpr Address kLowV4 = Address::v4(0);
constexpr Address kHighV4 = Address::v4(0xffffffff);
constexpr Address kLowV6 = Address::v6(0);
constexpr Address kHighV6 = Address::v6(kOnes);
constexpr Range kAllV4 = *Range::make(kLowV4, kHighV4);
constexpr Range kAllV6 = *Range::make(kLowV6, kHighV6);

// A bad literal in a test ends it with std::bad_optional_access, which GoogleTest reports.
Address address(std::string_view text) {
  return Address::parse(text).value();
}
Range range(std::string_view text) {
  return Range::parse(text).value();
}
Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}
IntervalSet set_of(const std::vector<std::string_view>& texts) {
  std::vector<Range> ranges;
  std::transform(texts.begin(), texts.end(), std::back_inserter(ranges), range);
  return IntervalSet(std::move(ranges));
}

constexpr Uint128 wide(std::uint64_t high, std::uint64_t low) {
  return Uint128{high} << 64 | low;
}

// What the compiler can check needs no run.

static_assert(std::is_trivially_copyable_v<Address>);
static_assert(std::is_trivially_copyable_v<Range>);
static_assert(std::is_trivially_copyable_v<Prefix>);
static_assert(!std::is_default_constructible_v<Address>);
static_assert(!std::is_default_constructible_v<Range>);
static_assert(!std::is_default_constructible_v<Prefix>);
static_assert(!std::is_convertible_v<std::vector<Range>, IntervalSet>);

static_assert(bit_width(Family::kIpv4) == 32);
static_assert(bit_width(Family::kIpv6) == 128);
static_assert(Address::max_bits(Family::kIpv4) == 0xffffffff);
static_assert(Address::max_bits(Family::kIpv6) == kOnes);
static_assert(Address::from_bits(Family::kIpv4, kOnes) == kHighV4);
static_assert(Address::from_bits(Family::kIpv6, kOnes) == kHighV6);

// Neither family runs past its ends: it does not wrap, and IPv4 does not go on into IPv6.
static_assert(!kHighV4.next());
static_assert(!kHighV6.next());
static_assert(!kLowV4.previous());
static_assert(!kLowV6.previous());
static_assert(kHighV4.previous() == Address::v4(0xfffffffe));
static_assert(kHighV6.previous() == Address::v6(kOnes - 1));
static_assert(kLowV4.next() == Address::v4(1));
static_assert(kLowV6.next() == Address::v6(1));
static_assert(Address::v6(0xffffffff).next() == Address::v6(Uint128{1} << 32));
static_assert(Address::v6(wide(1, 0)).previous() == Address::v6(wide(0, ~std::uint64_t{0})));

static_assert(kLowV4 < kHighV4 && kHighV4 < kLowV6 && kLowV6 < kHighV6);
static_assert(kLowV4 != kLowV6);
static_assert(Address::v6(wide(1, 0)) > Address::v6(wide(0, ~std::uint64_t{0})));

static_assert(Address::v6(0xffff'0a00'0001).is_v4_mapped());
static_assert(Address::v6(0xffff'0a00'0001).unmapped() == Address::v4(0x0a000001));
static_assert(!Address::v6(0x1'ffff'0a00'0001).is_v4_mapped());
static_assert(!Address::v6(0x0a000001).is_v4_mapped());
static_assert(!Address::v4(0x0a000001).is_v4_mapped());
static_assert(Address::v6(wide(0xfe80'0000'0000'0000, 1)).is_link_local_v6());
static_assert(Address::v6(wide(0xfebf'ffff'ffff'ffff, 1)).is_link_local_v6());
static_assert(!Address::v6(wide(0xfec0'0000'0000'0000, 1)).is_link_local_v6());
static_assert(!Address::v6(wide(0xfe7f'ffff'ffff'ffff, 1)).is_link_local_v6());
static_assert(!Address::v4(0xfe800000).is_link_local_v6());

static_assert(!Range::make(kHighV4, kLowV4));
static_assert(!Range::make(kLowV4, kLowV6));
static_assert(!Range::make(kLowV6, kHighV4));
static_assert(Range::single(kHighV6).size() == 1);
static_assert(kAllV4.size() == Uint128{1} << 32);
static_assert(kAllV6.size() == kOnes, "2^128 does not fit");
static_assert(Range::make(Address::v6(1), kHighV6)->size() == kOnes, "2^128 - 1 does");
static_assert(Range::make(kLowV6, Address::v6(kOnes - 1))->size() == kOnes);
static_assert(!kAllV4.contains(kLowV6) && !kAllV6.contains(kHighV4));
static_assert(!kAllV4.overlaps(kAllV6) && !kAllV6.overlaps(kAllV4));
static_assert(!kAllV4.intersection(kAllV6) && !kAllV6.intersection(kAllV4));

static_assert(!Prefix::make(kLowV4, -1) && !Prefix::make(kLowV4, 33));
static_assert(!Prefix::make(kLowV6, -1) && !Prefix::make(kLowV6, 129));
static_assert(Prefix::make(kHighV4, 0)->range() == kAllV4);
static_assert(Prefix::make(kHighV6, 0)->range() == kAllV6);
static_assert(Prefix::host(kHighV4).range() == Range::single(kHighV4));
static_assert(Prefix::host(kLowV6).range() == Range::single(kLowV6));

// Bit by bit, most significant first: what `Address` and `Prefix` do with words and masks.
using Bits = std::array<bool, 128>;

std::size_t width_of(const Address& a) {
  return a.is_v4() ? 32 : 128;
}

Bits bits_of(const Address& a) {
  Bits bits{};
  const std::size_t width = width_of(a);
  for (std::size_t i = 0; i < width; ++i) {
    bits.at(i) = (a.bits() >> (width - 1 - i) & 1) != 0;
  }
  return bits;
}

Address address_of(Family family, const Bits& bits) {
  Uint128 number = 0;
  for (std::size_t i = 0; i < (family == Family::kIpv4 ? 32U : 128U); ++i) {
    number = number * 2 + (bits.at(i) ? 1 : 0);
  }
  return Address::from_bits(family, number);
}

// Random input.

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) {
  return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
}

template <typename Container>
auto pick(Random& random, const Container& container) {
  return container[below(random, std::size(container))];
}

// Every group is often 0 or another value with a text of its own, so that runs of zeros and
// v4-mapped addresses turn up.
Address random_v6(Random& random) {
  constexpr std::array<unsigned, 8> kGroups = {0, 0, 0, 0, 1, 0xffff, 0x80, 0xa00};
  Uint128 bits = 0;
  for (int group = 0; group < 8; ++group) {
    bits = bits << 16 | (below(random, 4) == 0 ? below(random, 0x10000) : pick(random, kGroups));
  }
  if (below(random, 4) == 0) {  // ::/96 and ::ffff:0:0/96
    bits = (bits & 0xffffffff) | (below(random, 2) == 0 ? Uint128{0xffff} << 32 : 0);
  }
  return Address::v6(bits);
}

Address random_v4(Random& random) {
  constexpr std::array<unsigned, 8> kOctets = {0, 0, 1, 9, 10, 99, 100, 255};
  std::uint32_t bits = 0;
  for (int octet = 0; octet < 4; ++octet) {
    bits = bits << 8 | (below(random, 2) == 0 ? static_cast<unsigned>(below(random, 256))
                                              : pick(random, kOctets));
  }
  return Address::v4(bits);
}

Address random_address(Random& random) {
  return below(random, 2) == 0 ? random_v4(random) : random_v6(random);
}

// A text that has the grammar's parts, in a number and an order that are often right.
std::string random_quad(Random& random) {
  constexpr std::array<std::string_view, 4> kOddOctets = {"00", "256", "", "0x1"};
  constexpr std::array<std::size_t, 8> kCounts = {4, 4, 4, 4, 4, 4, 3, 5};
  std::string text;
  const std::size_t count = pick(random, kCounts);
  for (std::size_t i = 0; i < count; ++i) {
    text += i == 0 ? "" : ".";
    text += below(random, 30) == 0 ? std::string(pick(random, kOddOctets))
                                   : std::to_string(below(random, 256));
  }
  return text;
}

std::string random_groups(Random& random, std::size_t count) {
  constexpr std::array<std::string_view, 9> kGroups = {"0",    "1",   "00",   "ffff", "FfFf",
                                                       "0db8", "a00", "1234", "fe80"};
  constexpr std::array<std::string_view, 4> kOddGroups = {"", "00000", "12345", "g"};
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += i == 0 ? "" : ":";
    text += below(random, 60) == 0 ? pick(random, kOddGroups) : pick(random, kGroups);
  }
  return text;
}

std::string random_structured_text(Random& random) {
  if (below(random, 4) == 0) {
    return random_quad(random);
  }
  std::string text;
  if (below(random, 3) == 0) {
    text = random_groups(random, 5 + below(random, 5));
  } else {
    text = random_groups(random, below(random, 6)) + "::" + random_groups(random, below(random, 5));
  }
  if (below(random, 4) == 0) {
    text += (text.ends_with(':') ? "" : ":") + random_quad(random);
  }
  return text;
}

constexpr std::string_view kAlphabet = "0123456789abcdefABCDEF::::....gxX%/+- ";

std::string random_text(Random& random) {
  std::string text(below(random, 24), ' ');
  std::generate(text.begin(), text.end(), [&] { return pick(random, kAlphabet); });
  return text;
}

std::string mutated(Random& random, std::string text) {
  for (std::size_t edits = 1 + below(random, 3); edits > 0 && !text.empty(); --edits) {
    const std::size_t at = below(random, text.size());
    switch (below(random, 5)) {
      case 0:
        text.erase(at, 1 + below(random, 4));
        break;
      case 1:
        text.insert(at, 1, pick(random, kAlphabet));
        break;
      case 2:
        text[at] = pick(random, kAlphabet);
        break;
      case 3:
        text.insert(at, text.substr(at, 1 + below(random, 4)));
        break;
      default:
        text += pick(random, kAlphabet);
        break;
    }
  }
  return text;
}

// The C library as an oracle.

std::optional<Address> library_parse(const std::string& text) {
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return Address::v4(ntohl(v4.s_addr));
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    Uint128 bits = 0;
    for (const unsigned char byte : v6.s6_addr) {
      bits = bits << 8 | byte;
    }
    return Address::v6(bits);
  }
  return std::nullopt;
}

std::string library_print(const Address& a) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (a.is_v4()) {
    const in_addr v4{htonl(static_cast<std::uint32_t>(a.bits()))};
    return inet_ntop(AF_INET, &v4, text.data(), text.size());
  }
  in6_addr v6{};
  for (std::size_t i = 0; i < 16; ++i) {
    v6.s6_addr[i] = static_cast<unsigned char>(a.bits() >> (120 - 8 * i) & 0xff);
  }
  return inet_ntop(AF_INET6, &v6, text.data(), text.size());
}

// The one place where we leave the C library: it prints ::/96 as ::1.2.3.4, from the days of
// v4-compatible addresses, which RFC 4291 (section 2.5.5.1) deprecates. RFC 5952 (section 5) asks
// for dotted quads only where a well-known prefix announces them, and Go agrees. In ::/112 the
// library prints hexadecimal too.
bool is_v4_compatible(const Address& a) {
  return a.is_v6() && a.bits() >> 32 == 0 && a.bits() >> 16 != 0;
}

std::string v4_compatible_text(const Address& a) {
  const auto low = static_cast<std::uint32_t>(a.bits());
  std::array<char, 16> text{};
  const int length = std::snprintf(text.data(), text.size(), "::%x:%x", low >> 16, low & 0xffff);
  return {text.data(), static_cast<std::size_t>(length)};
}

TEST(FamilyTest, IsNamedAsConfigurationsSpellIt) {
  EXPECT_EQ(name(Family::kIpv4), "ipv4");
  EXPECT_EQ(name(Family::kIpv6), "ipv6");
}

TEST(AddressTest, ParsesToBitsAndPrintsCanonicalText) {
  struct Row {
    std::string_view text;
    Address address;
    std::string_view canonical;
  };
  const std::vector<Row> rows = {
      {"0.0.0.0", kLowV4, "0.0.0.0"},
      {"10.0.0.1", Address::v4(0x0a000001), "10.0.0.1"},
      {"192.168.140.255", Address::v4(0xc0a88cff), "192.168.140.255"},
      {"255.255.255.255", kHighV4, "255.255.255.255"},
      {"::", kLowV6, "::"},
      {"::1", Address::v6(1), "::1"},
      {"1::", Address::v6(wide(0x0001'0000'0000'0000, 0)), "1::"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", kHighV6,
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      // The dotted quad as the last field, with and without "::".
      {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", kHighV6,
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"64:ff9b::192.0.2.33", Address::v6(wide(0x0064'ff9b'0000'0000, 0xc0000221)),
       "64:ff9b::c000:221"},
      // v4-mapped is dotted, v4-compatible is not.
      {"::ffff:10.0.0.1", Address::v6(0xffff'0a00'0001), "::ffff:10.0.0.1"},
      {"::FFFF:a00:1", Address::v6(0xffff'0a00'0001), "::ffff:10.0.0.1"},
      {"::ffff:0:0", Address::v6(0xffff'0000'0000), "::ffff:0.0.0.0"},
      {"0:0:0:0:0:ffff:255.255.255.255", Address::v6(0xffff'ffff'ffff), "::ffff:255.255.255.255"},
      {"::10.0.0.1", Address::v6(0x0a000001), "::a00:1"},
      {"::ffff:0:10.0.0.1", Address::v6(wide(0, 0xffff'0000'0a00'0001)), "::ffff:0:a00:1"},
      // RFC 5952, section 4.1: no leading zeros.
      {"2001:0db8::0001", Address::v6(wide(0x2001'0db8'0000'0000, 1)), "2001:db8::1"},
      // Section 4.2.1: as short as possible.
      {"2001:db8::0:1", Address::v6(wide(0x2001'0db8'0000'0000, 1)), "2001:db8::1"},
      // Section 4.2.2: no "::" for a single group, wherever it is, though it may be read.
      {"2001:db8::1:1:1:1:1", Address::v6(wide(0x2001'0db8'0000'0001, 0x0001'0001'0001'0001)),
       "2001:db8:0:1:1:1:1:1"},
      {"::2:3:4:5:6:7:8", Address::v6(wide(0x0000'0002'0003'0004, 0x0005'0006'0007'0008)),
       "0:2:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:7::", Address::v6(wide(0x0001'0002'0003'0004, 0x0005'0006'0007'0000)),
       "1:2:3:4:5:6:7:0"},
      // Section 4.2.3: the longest run, the first of equals.
      {"2001:0:0:1:0:0:0:1", Address::v6(wide(0x2001'0000'0000'0001, 1)), "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", Address::v6(wide(0x2001'0db8'0000'0000, 0x0001'0000'0000'0001)),
       "2001:db8::1:0:0:1"},
      {"0:0:1:1:1:1:0:0", Address::v6(wide(0x0000'0000'0001'0001, 0x0001'0001'0000'0000)),
       "::1:1:1:1:0:0"},
      // Section 4.3: lower case.
      {"2001:DB8::ABCD:eF", Address::v6(wide(0x2001'0db8'0000'0000, 0xabcd'00ef)),
       "2001:db8::abcd:ef"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    EXPECT_THAT(Address::parse(row.text), Optional(row.address));
    EXPECT_EQ(row.address.to_string(), row.canonical);
    EXPECT_THAT(Address::parse(row.canonical), Optional(row.address));
  }
}

TEST(AddressTest, RejectsLeadingZeroOctet) {
  for (const std::string_view text :
       {"010.0.0.1", "10.00.0.1", "10.0.0.01", "10.0.0.001", "00.0.0.0", "::ffff:10.0.0.01"}) {
    EXPECT_EQ(Address::parse(text), std::nullopt) << text;
  }
}

TEST(AddressTest, RejectsWhatIsNoAddress) {
  const std::vector<std::string_view> texts = {
      // Nothing, and things around an address.
      "", " ", "localhost", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1\n", "::1 ", " ::1", "[::1]",
      // Parts missing, in excess or empty.
      ".", "...", "10", "10.0.0", "10.0.0.", ".10.0.0.1", "10.0..1", "10.0.0.1.", "10.0.0.1.2",
      // Octets that other readers take.
      "256.0.0.1", "10.0.0.256", "10.0.0.1000", "4294967296.0.0.1", "18446744073709551617.0.0.1",
      "+1.0.0.1", "-1.0.0.1", "0x0a.0.0.1", "a.0.0.1", "10.0.0.1e", "167772161",
      // Other digits than ASCII.
      "1\xef\xbc\x90.0.0.1", "\xd9\xa1.0.0.1",
      // Colons.
      ":", ":::", "::::", ":1", "1:", "1::2::3", "::1::", "1:::2", ":1:2:3:4:5:6:7:8",
      "1:2:3:4:5:6:7:8:", ":1::2", "1::2:",
      // Too few groups, too many, and "::" that would stand for none.
      "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8",
      "1:2:3:4::5:6:7:8", "1::2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:9::",
      // Groups.
      "12345::", "::00001", "::g", "::+1", "::-1", "::0x1", "::1 2",
      // A dotted quad with too little or too much before it, or not at the end.
      "1:2:3:4:5:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::1:2:3:4:5:6:1.2.3.4",
      "1.2.3.4::", "1.2.3.4:1::", "::1.2.3.4:1", "::1.2.3.4:1.2.3.4", ":1.2.3.4",
      "1.2.3.4:", "::1.2.3", "::1.2.3.4.5", "::1.2.3.256", "::1.2.3.", "::.1.2.3", "::a.2.3.4",
      // Zones, prefix lengths, ports.
      "fe80::1%eth0", "fe80::1%", "10.0.0.1%eth0", "10.0.0.1/24", "::1/64", "10.0.0.1:80"};
  for (const std::string_view text : texts) {
    EXPECT_EQ(Address::parse(text), std::nullopt) << '"' << text << '"';
    EXPECT_EQ(library_parse(std::string(text)), std::nullopt) << '"' << text << '"';
  }
}

// Not to be asked of inet_pton, which stops at the NUL and would take what stands before it.
TEST(AddressTest, RejectsEmbeddedNul) {
  using namespace std::string_view_literals;
  for (const std::string_view text : {"10.0.0.1\0"sv, "10.0.0.1\0.2"sv, "::1\0"sv, "\0::1"sv}) {
    EXPECT_EQ(Address::parse(text), std::nullopt);
  }
}

TEST(AddressTest, ReadsNoFurtherThanTheView) {
  const std::string_view text = "10.0.0.123";
  EXPECT_THAT(Address::parse(text.substr(0, 8)), Optional(Address::v4(0x0a000001)));
  EXPECT_THAT(Address::parse(std::string_view("2001:db8::12").substr(0, 11)),
              Optional(Address::v6(wide(0x2001'0db8'0000'0000, 1))));
  EXPECT_EQ(Address::parse(std::string_view()), std::nullopt);
}

TEST(AddressTest, KeepsMappedAndPlainApart) {
  const Address plain = address("10.0.0.1");
  const Address mapped = address("::ffff:10.0.0.1");
  const Address compatible = address("::10.0.0.1");
  EXPECT_NE(plain, mapped);
  EXPECT_EQ(mapped.unmapped(), plain);
  EXPECT_EQ(plain.unmapped(), plain);
  EXPECT_EQ(compatible.unmapped(), compatible);
}

TEST(AddressTest, OrdersByFamilyThenByNumber) {
  const std::vector<std::string_view> ascending = {
      "0.0.0.0", "9.255.255.255",   "10.0.0.0",    "128.0.0.0",  "255.255.255.255", "::",
      "::1",     "::ffff:10.0.0.1", "::1:0:0:0:0", "2001:db8::", "8000::",          "ffff::"};
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(address(ascending[i]) <=> address(ascending[j]), i <=> j)
          << ascending[i] << " and " << ascending[j];
    }
  }
}

TEST(AddressTest, StepsToNeighboursAcrossGroups) {
  for (const auto& [low, high] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"10.0.0.255", "10.0.1.0"},
           {"127.255.255.255", "128.0.0.0"},
           {"::ffff", "::1:0"},
           {"::ffff:ffff:ffff:ffff", "0:0:0:1::"},
           {"::ffff:255.255.255.255", "::1:0:0:0"}}) {
    EXPECT_THAT(address(low).next(), Optional(address(high))) << low;
    EXPECT_THAT(address(high).previous(), Optional(address(low))) << high;
  }
}

// Checks one text against inet_pton and, if it is an address, that print and parse give it back.
bool check_against_library(const std::string& text) {
  const auto parsed = Address::parse(text);
  EXPECT_EQ(parsed, library_parse(text)) << '"' << text << '"';
  if (!parsed) {
    return false;
  }
  EXPECT_EQ(Address::parse(parsed->to_string()), parsed) << '"' << text << '"';
  return true;
}

TEST(AddressTest, ParsesRandomTextsAsTheLibraryDoes) {
  constexpr int kTexts = 20000;
  constexpr std::uint64_t kSeed = 1;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  int structured_valid = 0;
  int mutated_valid = 0;
  for (int i = 0; i < kTexts && !HasFailure(); ++i) {
    check_against_library(random_text(random));
    const std::string structured = random_structured_text(random);
    structured_valid += check_against_library(structured) ? 1 : 0;
    check_against_library(mutated(random, structured));
    const std::string valid = random_address(random).to_string();
    mutated_valid += check_against_library(mutated(random, valid)) ? 1 : 0;
  }
  // Both sides of the border must have been tried for the comparison to mean anything.
  for (const int valid : {structured_valid, mutated_valid}) {
    EXPECT_GT(valid, kTexts / 10);
    EXPECT_LT(valid, kTexts - kTexts / 10);
  }
}

TEST(AddressTest, PrintsRandomAddressesAsTheLibraryDoes) {
  constexpr std::uint64_t kSeed = 2;
  SCOPED_TRACE(kSeed);
  Random random(kSeed);
  int mapped = 0;
  int compatible = 0;
  for (int i = 0; i < 50000 && !HasFailure(); ++i) {
    const Address a = random_address(random);
    mapped += a.is_v4_mapped() ? 1 : 0;
    compatible += is_v4_compatible(a) ? 1 : 0;
    const std::string text = a.to_string();
    EXPECT_EQ(text, is_v4_compatible(a) ? v4_compatible_text(a) : library_print(a));
    EXPECT_THAT(Address::parse(text), Optional(a)) << text;
    EXPECT_THAT(library_parse(text), Optional(a)) << text;
  }
  EXPECT_GT(mapped, 1000);
  EXPECT_GT(compatible, 1000);
}

TEST(AddressTest, PrintsEveryPatternOfZeroGroupsAsTheLibraryDoes) {
  for (unsigned pattern = 0; pattern < 256; ++pattern) {
    Uint128 bits = 0;
    for (unsigned group = 0; group < 8; ++group) {
      bits = bits << 16 | ((pattern >> group & 1) != 0 ? 0xabcU : 0U);
    }
    const Address a = Address::v6(bits);
    EXPECT_EQ(a.to_string(), is_v4_compatible(a) ? v4_compatible_text(a) : library_print(a));
  }
}

TEST(AddressTest, HashesEqualValuesAlikeAndNeighboursApart) {
  const std::hash<Address> hash;
  EXPECT_EQ(hash(address("2001:db8::1")), hash(address("2001:0db8:0::1")));
  EXPECT_NE(hash(address("10.0.0.1")), hash(address("::10.0.0.1")));
  EXPECT_NE(hash(address("10.0.0.1")), hash(address("::ffff:10.0.0.1")));

  // Pools are runs of addresses, and pods of one node differ in the low bits, those of two nodes in
  // the high ones.
  std::unordered_set<std::size_t> hashes;
  for (std::uint32_t i = 0; i < 0x4000; ++i) {
    hashes.insert(hash(Address::v4(0x0a000000 + i)));
    hashes.insert(hash(Address::v6(wide(0xfd00'0000'0000'0000, i))));
    hashes.insert(hash(Address::v6(wide(0xfd01'0000'0000'0000 + i, 1))));
  }
  EXPECT_GT(hashes.size(), 3U * 0x4000 * 99 / 100);

  std::unordered_set<Address> addresses = {kLowV4, kLowV6, address("::ffff:0.0.0.0")};
  EXPECT_EQ(addresses.size(), 3U);
  EXPECT_FALSE(addresses.insert(address("0:0::0")).second);
}

TEST(PrefixTest, ParsesAndKeepsHostBits) {
  struct Row {
    std::string_view text;
    std::string_view canonical;
    std::string_view masked;
    std::string_view range;
  };
  const std::vector<Row> rows = {
      {"10.1.2.3/24", "10.1.2.3/24", "10.1.2.0/24", "10.1.2.0-10.1.2.255"},
      {"10.1.2.3/0", "10.1.2.3/0", "0.0.0.0/0", "0.0.0.0-255.255.255.255"},
      {"10.1.2.3/31", "10.1.2.3/31", "10.1.2.2/31", "10.1.2.2-10.1.2.3"},
      {"10.1.2.3/32", "10.1.2.3/32", "10.1.2.3/32", "10.1.2.3"},
      {"2001:DB8::1/64", "2001:db8::1/64", "2001:db8::/64",
       "2001:db8::-2001:db8::ffff:ffff:ffff:ffff"},
      {"2001:db8::1/0", "2001:db8::1/0", "::/0", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"2001:db8::1/127", "2001:db8::1/127", "2001:db8::/127", "2001:db8::-2001:db8::1"},
      {"2001:db8::1/128", "2001:db8::1/128", "2001:db8::1/128", "2001:db8::1"},
      {"::ffff:10.1.2.3/104", "::ffff:10.1.2.3/104", "::ffff:10.0.0.0/104",
       "::ffff:10.0.0.0-::ffff:10.255.255.255"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const auto parsed = Prefix::parse(row.text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->to_string(), row.canonical);
    EXPECT_EQ(parsed->masked().to_string(), row.masked);
    EXPECT_EQ(parsed->range().to_string(), row.range);
    EXPECT_EQ(parsed->has_host_bits(), row.canonical != row.masked);
    EXPECT_FALSE(parsed->masked().has_host_bits());
  }
}

TEST(PrefixTest, RejectsWhatIsNoPrefix) {
  const std::vector<std::string_view> texts = {
      // Parts missing or in excess.
      "", "/", "/24", "10.0.0.0", "10.0.0.0/", "10.0.0.0//24", "10.0.0.0/24/24", "10.0.0/24",
      "::", "10.0.0.0/24-10.0.0.0/24",
      // Lengths beyond the family, also where a narrower integer would wrap to one within it.
      "10.0.0.0/33", "::/129", "::/1280", "10.0.0.0/4294967320", "10.0.0.0/18446744073709551640",
      // Lengths not in plain decimal.
      "10.0.0.0/024", "10.0.0.0/00", "10.0.0.0/+24", "10.0.0.0/-1", "10.0.0.0/-0", "10.0.0.0/0x18",
      "10.0.0.0/255.255.255.0",
      // White space and zones.
      "10.0.0.0/ 24", "10.0.0.0/24 ", "10.0.0.0 /24", "fe80::%eth0/64", "fe80::/64%eth0"};
  for (const std::string_view text : texts) {
    EXPECT_EQ(Prefix::parse(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(PrefixTest, AcceptsEveryLengthOfTheFamilyAndNoOther) {
  for (const auto& [text, width] :
       std::vector<std::pair<std::string, int>>{{"10.0.0.1", 32}, {"fd00::1", 128}}) {
    for (int length = -2; length <= 300; ++length) {
      const auto parsed = Prefix::parse(text + "/" + std::to_string(length));
      EXPECT_EQ(parsed, Prefix::make(address(text), length)) << text << '/' << length;
      EXPECT_EQ(parsed.has_value(), 0 <= length && length <= width) << text << '/' << length;
    }
  }
}

TEST(PrefixTest, NeverHoldsTheOtherFamily) {
  const Prefix all_v4 = prefix("0.0.0.0/0");
  const Prefix all_v6 = prefix("::/0");
  EXPECT_FALSE(all_v4.contains(address("::1")));
  EXPECT_FALSE(all_v6.contains(address("10.0.0.1")));
  EXPECT_FALSE(prefix("::ffff:0:0/96").contains(address("10.0.0.1")));
  EXPECT_FALSE(all_v4.contains(kAllV6));
  EXPECT_FALSE(all_v4.overlaps(all_v6));
  EXPECT_FALSE(all_v6.overlaps(all_v4));
}

TEST(PrefixTest, ComparesAddressThenLength) {
  EXPECT_NE(prefix("10.0.0.1/24"), prefix("10.0.0.0/24"));
  EXPECT_LT(prefix("10.0.0.0/8"), prefix("10.0.0.0/24"));
  EXPECT_LT(prefix("10.0.0.0/24"), prefix("10.0.1.0/8"));
  EXPECT_LT(prefix("255.0.0.0/8"), prefix("::/0"));
}

TEST(PrefixTest, AgreesWithBitByBitArithmetic) {
  for (std::uint64_t seed = 0; seed < 40 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Address a = random_address(random);
    const Bits bits = bits_of(a);
    for (std::size_t length = 0; length <= width_of(a); ++length) {
      const Prefix p = Prefix::make(a, static_cast<int>(length)).value();
      SCOPED_TRACE(p.to_string());
      Bits first = bits;
      Bits last = bits;
      for (std::size_t i = length; i < width_of(a); ++i) {
        first.at(i) = false;
        last.at(i) = true;
      }
      EXPECT_EQ(p.first(), address_of(a.family(), first));
      EXPECT_EQ(p.last(), address_of(a.family(), last));
      EXPECT_EQ(p.masked(), Prefix::make(p.first(), p.length()));
      EXPECT_EQ(p.has_host_bits(), first != bits);
      EXPECT_EQ(Prefix::parse(p.to_string()), p);
      EXPECT_EQ(Range::parse(p.masked().to_string()), p.range());

      // Others that share all but one bit, or nothing in particular.
      const auto shared = [&](const Address& other, std::size_t count) {
        const Bits other_bits = bits_of(other);
        const auto to = bits.begin() + static_cast<std::ptrdiff_t>(count);
        return other.family() == a.family() && std::equal(bits.begin(), to, other_bits.begin());
      };
      Bits flipped = bits;
      flipped.at(below(random, width_of(a))) ^= true;
      for (const Address& other : {address_of(a.family(), flipped), random_address(random)}) {
        EXPECT_EQ(p.contains(other), shared(other, length)) << other;
        const std::size_t other_length = below(random, width_of(other) + 1);
        const Prefix q = Prefix::make(other, static_cast<int>(other_length)).value();
        EXPECT_EQ(p.overlaps(q), shared(other, std::min(length, other_length))) << q;
        EXPECT_EQ(q.overlaps(p), p.overlaps(q)) << q;
        EXPECT_EQ(p.contains(q.range()), other_length >= length && shared(other, length)) << q;
      }
    }
  }
}

TEST(RangeTest, ParsesAddressPrefixAndPair) {
  struct Row {
    std::string_view text;
    std::string_view first;
    std::string_view last;
    std::string_view canonical;
  };
  const std::vector<Row> rows = {
      {"10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5"},
      {"10.0.0.5/32", "10.0.0.5", "10.0.0.5", "10.0.0.5"},
      {"10.0.0.5-10.0.0.5", "10.0.0.5", "10.0.0.5", "10.0.0.5"},
      {"10.0.0.0/30", "10.0.0.0", "10.0.0.3", "10.0.0.0-10.0.0.3"},
      {"10.0.0.9-10.0.1.2", "10.0.0.9", "10.0.1.2", "10.0.0.9-10.0.1.2"},
      {"0.0.0.0/0", "0.0.0.0", "255.255.255.255", "0.0.0.0-255.255.255.255"},
      {"FD00::A", "fd00::a", "fd00::a", "fd00::a"},
      {"fd00::/126", "fd00::", "fd00::3", "fd00::-fd00::3"},
      {"::-::ffff:1.2.3.4", "::", "::ffff:1.2.3.4", "::-::ffff:1.2.3.4"},
      {"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
       "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    const auto parsed = Range::parse(row.text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->first(), address(row.first));
    EXPECT_EQ(parsed->last(), address(row.last));
    EXPECT_EQ(parsed->to_string(), row.canonical);
    EXPECT_EQ(Range::parse(row.canonical), parsed);
  }
}

TEST(RangeTest, RejectsWhatIsNoRange) {
  const std::vector<std::string_view> texts = {
      // Ends missing, in excess, in the wrong order or of two families.
      "", "-", "10.0.0.1-", "-10.0.0.1", "10.0.0.1--10.0.0.2", "10.0.0.1-10.0.0.2-10.0.0.3",
      "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "::1-10.0.0.1",
      // Prefixes with host bits, or as an end.
      "10.0.0.5/24", "fd00::1/64", "10.0.0.0/24-10.0.1.0/24", "10.0.0.1-10.0.0.0/24", "10.0.0.0/33",
      "10.0.0.0/-8",
      // Notations of others, and white space.
      "10.0.0.1-2", "10.0.0.*", "10.0.0.1,10.0.0.2", "10.0.0.1 - 10.0.0.2", "10.0.0.1\n"};
  for (const std::string_view text : texts) {
    EXPECT_EQ(Range::parse(text), std::nullopt) << '"' << text << '"';
  }
}

TEST(RangeTest, RelatesToOtherRangesWithEndsIncluded) {
  struct Row {
    std::string_view other;
    bool contained;
    std::string_view intersection;  // empty if there is none
  };
  const Range r = range("10.0.0.10-10.0.0.20");
  const std::vector<Row> rows = {
      {"10.0.0.0-10.0.0.9", false, ""},
      {"10.0.0.0-10.0.0.10", false, "10.0.0.10"},
      {"10.0.0.0-10.0.0.15", false, "10.0.0.10-10.0.0.15"},
      {"10.0.0.0-10.0.0.20", false, "10.0.0.10-10.0.0.20"},
      {"10.0.0.0-10.0.0.30", false, "10.0.0.10-10.0.0.20"},
      {"10.0.0.10", true, "10.0.0.10"},
      {"10.0.0.10-10.0.0.20", true, "10.0.0.10-10.0.0.20"},
      {"10.0.0.11-10.0.0.19", true, "10.0.0.11-10.0.0.19"},
      {"10.0.0.20", true, "10.0.0.20"},
      {"10.0.0.20-10.0.0.21", false, "10.0.0.20"},
      {"10.0.0.21-10.0.0.30", false, ""},
      {"::a00:a-::a00:14", false, ""},
      {"::ffff:10.0.0.10-::ffff:10.0.0.20", false, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.other);
    const Range other = range(row.other);
    const auto expected = Range::parse(row.intersection);
    EXPECT_EQ(r.contains(other), row.contained);
    EXPECT_EQ(r.overlaps(other), expected.has_value());
    EXPECT_EQ(other.overlaps(r), expected.has_value());
    EXPECT_EQ(r.intersection(other), expected);
    EXPECT_EQ(other.intersection(r), expected);
    if (other.size() == 1) {
      EXPECT_EQ(r.contains(other.first()), row.contained);
    }
  }
}

TEST(RangeTest, CountsUpToTheLargestNumber) {
  EXPECT_EQ(range("10.0.0.1").size(), 1);
  EXPECT_EQ(range("10.0.0.0/24").size(), 256);
  EXPECT_EQ(range("10.0.0.1-10.0.1.0").size(), 256);
  EXPECT_EQ(range("fd00::/64").size(), Uint128{1} << 64);
  EXPECT_EQ(range("8000::/1").size(), Uint128{1} << 127);
  EXPECT_EQ(range("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").size(), kOnes);
  EXPECT_EQ(range("::/0").size(), kOnes);
}

TEST(IntervalSetTest, StartsEmpty) {
  const IntervalSet set;
  EXPECT_TRUE(set.empty());
  EXPECT_EQ(set.size(), 0);
  EXPECT_THAT(set.ranges(), IsEmpty());
  EXPECT_FALSE(set.contains(kLowV4));
  EXPECT_FALSE(set.overlaps(kAllV6));
  EXPECT_EQ(set.first_at_or_after(kLowV4), std::nullopt);
  EXPECT_EQ(set.within(kAllV4), set);
  EXPECT_EQ(set, IntervalSet(std::vector<Range>{}));
}

TEST(IntervalSetTest, MergesWhatTouchesButNotAcrossFamilies) {
  EXPECT_THAT(set_of({"10.0.0.4", "10.0.0.2", "10.0.0.3", "10.0.0.6"}).ranges(),
              ElementsAre(range("10.0.0.2-10.0.0.4"), range("10.0.0.6")));
  EXPECT_THAT(set_of({"::/0", "0.0.0.0/0"}).ranges(), ElementsAre(kAllV4, kAllV6));

  IntervalSet set = set_of({"255.255.255.255"});
  set.insert(range("::"));
  EXPECT_THAT(set.ranges(), ElementsAre(range("255.255.255.255"), range("::")));
  set.insert(range("::1"));
  set.insert(range("255.255.255.254"));
  EXPECT_THAT(set.ranges(), ElementsAre(range("255.255.255.254/31"), range("::/127")));
}

TEST(IntervalSetTest, InsertSwallowsAllItSpans) {
  IntervalSet set = set_of({"10.0.0.1", "10.0.0.3", "10.0.0.5-10.0.0.9", "10.0.0.12", "fd00::1"});
  set.insert(range("10.0.0.3-10.0.0.11"));
  EXPECT_THAT(set.ranges(),
              ElementsAre(range("10.0.0.1"), range("10.0.0.3-10.0.0.12"), range("fd00::1")));
}

TEST(IntervalSetTest, EraseSplitsARange) {
  IntervalSet set = set_of({"10.0.0.0/24"});
  set.erase(range("10.0.0.128"));
  EXPECT_EQ(set, set_of({"10.0.0.0-10.0.0.127", "10.0.0.129-10.0.0.255"}));
  EXPECT_EQ(set.size(), 255);
}

TEST(IntervalSetTest, EraseOfASetCutsOneHoleThroughManyRangesAndManyHolesInOne) {
  IntervalSet set = set_of({"10.0.0.0-10.0.0.9", "10.0.0.20-10.0.0.29", "10.0.0.40-10.0.0.49"});
  set.erase(set_of({"10.0.0.2", "10.0.0.4", "10.0.0.8-10.0.0.41", "10.0.0.45", "fd00::/8"}));
  EXPECT_EQ(set, set_of({"10.0.0.0-10.0.0.1", "10.0.0.3", "10.0.0.5-10.0.0.7",
                         "10.0.0.42-10.0.0.44", "10.0.0.46-10.0.0.49"}));
}

TEST(IntervalSetTest, EraseOfItselfLeavesNothing) {
  IntervalSet set = set_of({"10.0.0.1", "10.0.0.3", "fd00::/64"});
  const IntervalSet& same = set;
  set.erase(same);
  EXPECT_TRUE(set.empty()) << set;
}

TEST(IntervalSetTest, FindsTheFirstOfTheSameFamilyOnly) {
  const IntervalSet set = set_of({"10.0.0.1-10.0.0.3", "10.0.0.7", "fd00::1"});
  EXPECT_THAT(set.first_at_or_after(kLowV4), Optional(address("10.0.0.1")));
  EXPECT_THAT(set.first_at_or_after(address("10.0.0.2")), Optional(address("10.0.0.2")));
  EXPECT_THAT(set.first_at_or_after(address("10.0.0.4")), Optional(address("10.0.0.7")));
  EXPECT_EQ(set.first_at_or_after(address("10.0.0.8")), std::nullopt);
  EXPECT_THAT(set.first_at_or_after(kLowV6), Optional(address("fd00::1")));
  EXPECT_EQ(set.first_at_or_after(kHighV6), std::nullopt);
}

TEST(IntervalSetTest, SizeStopsAtTheLargestNumber) {
  EXPECT_EQ(set_of({"0.0.0.0/0", "10.0.0.1", "::/1"}).size(),
            (Uint128{1} << 127) + (Uint128{1} << 32));
  EXPECT_EQ(set_of({"::/0"}).size(), kOnes);
  EXPECT_EQ(set_of({"0.0.0.0/0", "::/0"}).size(), kOnes);
  // 2^32 + 2^128 - 2^32 - 1 is the last sum that fits; one more is one too many.
  EXPECT_EQ(set_of({"0.0.0.0/0", "::1:0:1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}).size(), kOnes);
  EXPECT_EQ(set_of({"0.0.0.0/0", "::1:0:2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}).size(),
            kOnes - 1);
  EXPECT_EQ(set_of({"0.0.0.0/0", "::1:0:0-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}).size(), kOnes);
}

// The model: a std::set of slots. Both families are cut into 33 slots each, 16 single addresses at
// the low end, all that is between as one slot, and 16 single addresses at the high end. So ranges
// of slots touch and cross the ends of both families and the whole space, while the model stays
// small.
using Slots = std::set<unsigned>;

constexpr unsigned kEdge = 16;
constexpr unsigned kFamilySlots = 2 * kEdge + 1;
constexpr unsigned kSlots = 2 * kFamilySlots;

Family slot_family(unsigned slot) {
  return slot < kFamilySlots ? Family::kIpv4 : Family::kIpv6;
}

Range slot_range(unsigned slot) {
  const Family family = slot_family(slot);
  const unsigned at = slot % kFamilySlots;
  const Uint128 max = Address::max_bits(family);
  const auto in_family = [&](Uint128 bits) { return Address::from_bits(family, bits); };
  if (at < kEdge) {
    return Range::single(in_family(at));
  }
  if (at == kEdge) {
    return Range::make(in_family(kEdge), in_family(max - kEdge)).value();
  }
  return Range::single(in_family(max - (kFamilySlots - 1 - at)));
}

// A run of slots within one family.
struct SlotRun {
  unsigned first;
  unsigned last;

  [[nodiscard]] Range range() const {
    return Range::make(slot_range(first).first(), slot_range(last).last()).value();
  }
  void insert_into(Slots& slots) const {
    for (unsigned slot = first; slot <= last; ++slot) {
      slots.insert(slot);
    }
  }
  void erase_from(Slots& slots) const {
    slots.erase(slots.lower_bound(first), slots.upper_bound(last));
  }
};

SlotRun random_run(Random& random) {
  const auto family = static_cast<unsigned>(below(random, 2));
  const auto a = static_cast<unsigned>(below(random, kFamilySlots));
  // Mostly short, so that sets are of many ranges.
  const auto length =
      static_cast<unsigned>(below(random, below(random, 5) == 0 ? kFamilySlots : 4));
  const unsigned b = std::min(a + length, kFamilySlots - 1);
  return {family * kFamilySlots + a, family * kFamilySlots + b};
}

std::vector<Range> expected_ranges(const Slots& slots) {
  std::vector<SlotRun> runs;
  for (const unsigned slot : slots) {
    if (!runs.empty() && runs.back().last + 1 == slot && slot != kFamilySlots) {
      runs.back().last = slot;
    } else {
      runs.push_back({slot, slot});
    }
  }
  std::vector<Range> ranges;
  std::transform(runs.begin(), runs.end(), std::back_inserter(ranges),
                 std::mem_fn(&SlotRun::range));
  return ranges;
}

IntervalSet expected_set(const Slots& slots) {
  IntervalSet set;
  for (const Range& r : expected_ranges(slots)) {
    set.insert(r);
  }
  return set;
}

void check_against_model(const IntervalSet& set, const Slots& slots, const SlotRun& probe) {
  const std::vector<Range> expected = expected_ranges(slots);
  ASSERT_TRUE(std::ranges::equal(set.ranges(), expected))
      << set << ", not " << ::testing::PrintToString(expected);
  EXPECT_EQ(set.empty(), slots.empty());

  Uint128 size = 0;
  for (const unsigned slot : slots) {
    const Uint128 sum = size + slot_range(slot).size();
    size = sum < size ? kOnes : sum;
  }
  EXPECT_EQ(set.size(), size);

  for (unsigned slot = 0; slot < kSlots; ++slot) {
    const bool held = slots.contains(slot);
    const Range whole = slot_range(slot);
    const auto next = slots.upper_bound(slot);
    const bool has_next = next != slots.end() && slot_family(*next) == slot_family(slot);
    for (const Address& a : {whole.first(), whole.last()}) {
      EXPECT_EQ(set.contains(a), held) << a << " in " << set;
      const auto found = held       ? std::optional(a)
                         : has_next ? std::optional(slot_range(*next).first())
                                    : std::nullopt;
      EXPECT_EQ(set.first_at_or_after(a), found) << a << " in " << set;
    }
  }

  Slots within;
  std::copy(slots.lower_bound(probe.first), slots.upper_bound(probe.last),
            std::inserter(within, within.end()));
  EXPECT_EQ(set.within(probe.range()), expected_set(within)) << probe.range() << " in " << set;
  EXPECT_EQ(set.overlaps(probe.range()), !within.empty()) << probe.range() << " in " << set;
}

TEST(IntervalSetTest, BehavesAsASetOfItsElements) {
  for (std::uint64_t seed = 0; seed < 150 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    IntervalSet set;
    Slots slots;
    for (int step = 0; step < 60 && !HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      const SlotRun run = random_run(random);
      switch (below(random, 5)) {
        case 0:
        case 1: {
          SCOPED_TRACE("insert " + run.range().to_string());
          set.insert(run.range());
          run.insert_into(slots);
          check_against_model(set, slots, random_run(random));
          break;
        }
        case 2: {
          SCOPED_TRACE("erase " + run.range().to_string());
          set.erase(run.range());
          run.erase_from(slots);
          check_against_model(set, slots, random_run(random));
          break;
        }
        case 3: {
          // From ranges in any order, many of which overlap or touch.
          std::vector<Range> ranges;
          slots.clear();
          for (std::size_t count = below(random, 20); count > 0; --count) {
            const SlotRun member = random_run(random);
            ranges.push_back(member.range());
            member.insert_into(slots);
          }
          SCOPED_TRACE("from " + ::testing::PrintToString(ranges));
          set = IntervalSet(std::move(ranges));
          check_against_model(set, slots, random_run(random));
          break;
        }
        default: {
          IntervalSet other;
          for (std::size_t count = below(random, 8); count > 0; --count) {
            const SlotRun hole = random_run(random);
            other.insert(hole.range());
            hole.erase_from(slots);
          }
          SCOPED_TRACE("erase " + ::testing::PrintToString(other));
          set.erase(other);
          check_against_model(set, slots, random_run(random));
          break;
        }
      }
    }
  }
}

TEST(IntervalSetTest, TwoWaysToTheSameElementsAreEqual) {
  for (std::uint64_t seed = 0; seed < 200 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    std::vector<Range> ranges(1 + below(random, 12), kAllV4);
    std::generate(ranges.begin(), ranges.end(), [&] { return random_run(random).range(); });
    const IntervalSet at_once(ranges);
    std::shuffle(ranges.begin(), ranges.end(), random);
    IntervalSet one_by_one;
    for (const Range& r : ranges) {
      one_by_one.insert(r);
    }
    EXPECT_EQ(at_once, one_by_one);

    // The complement twice over is the set itself.
    IntervalSet complement(std::vector<Range>{kAllV4, kAllV6});
    complement.erase(at_once);
    for (const Range& r : ranges) {
      EXPECT_FALSE(complement.overlaps(r)) << r;
    }
    IntervalSet twice(std::vector<Range>{kAllV4, kAllV6});
    twice.erase(complement);
    EXPECT_EQ(twice, at_once);
  }
}

TEST(SpecialBlockTest, NamesTheBlockThatARangeOverlaps) {
  struct Row {
    std::string_view range;
    std::string_view mention;  // empty: there is none
  };
  const std::vector<Row> rows = {
      {"0.0.0.0", "0.0.0.0/8 (unspecified)"},
      {"0.255.255.255", "0.0.0.0/8 (unspecified)"},
      {"0.255.255.255-1.0.0.9", "0.0.0.0/8 (unspecified)"},
      {"1.0.0.0-126.255.255.255", ""},
      {"126.0.0.0-127.0.0.0", "127.0.0.0/8 (loopback)"},
      {"127.0.0.1", "127.0.0.0/8 (loopback)"},
      {"100.0.0.0-200.0.0.0", "127.0.0.0/8 (loopback)"},
      {"128.0.0.0-223.255.255.255", ""},
      {"224.0.0.0/4", "224.0.0.0/4 (multicast)"},
      {"239.255.255.255", "224.0.0.0/4 (multicast)"},
      {"240.0.0.0-255.255.255.254", ""},
      {"255.255.255.254-255.255.255.255", "255.255.255.255/32 (broadcast)"},
      {"0.0.0.0/0", "0.0.0.0/8 (unspecified)"},
      {"::", "::/128 (unspecified)"},
      {"::1", "::1/128 (loopback)"},
      {"::/64", "::/128 (unspecified)"},
      {"::1-::9", "::1/128 (loopback)"},
      {"::2-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
      {"fe80::/64", ""},
      {"fe00::/7", "ff00::/8 (multicast)"},
      {"ff02::1", "ff00::/8 (multicast)"},
      {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ff00::/8 (multicast)"},
  };
  for (const Row& row : rows) {
    const auto overlap = overlap_with_special_block(Range::parse(row.range).value());
    EXPECT_EQ(overlap.has_value(), !row.mention.empty()) << row.range;
    EXPECT_THAT(overlap.value_or(""), HasSubstr(std::string(row.mention))) << row.range;
  }
}

}  // namespace

}  // namespace podlease::net
