#include "sqlite_setup.h"

#include <sqlite3.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace podlease::store {

#ifndef PODLEASE_PLAIN_MALLOC
namespace {

// Blocks of 32 bytes to 8 KiB in powers of two, cut from chunks that are never given back, and kept
// in a list for each size once freed: an allocation is a handful of instructions. SQLite frees and
// asks for the same few sizes again and again, so that a statement over a million rows needs no
// more than one over ten. Anything larger is malloc's.
constexpr std::size_t kSmallest = 32;
constexpr std::size_t kLargest = 8192;
constexpr std::size_t kChunk = std::size_t{64} * 1024;
constexpr std::size_t kClasses = 9;
static_assert(kSmallest << (kClasses - 1) == kLargest);

// Before each block; SQLite wants addresses that are multiples of 8.
struct Header {
  std::uint64_t capacity;
};

struct FreeBlock {
  FreeBlock* next;
};

std::array<FreeBlock*, kClasses> free_blocks{};
char* chunk_at = nullptr;
char* chunk_end = nullptr;

std::size_t class_of(std::size_t size) {
  return size <= kSmallest ? 0 : static_cast<std::size_t>(std::bit_width((size - 1) / kSmallest));
}

Header* header_of(void* block) {
  return static_cast<Header*>(block) - 1;
}

void* with_header(void* memory, std::size_t capacity) {
  if (memory == nullptr) {
    return nullptr;
  }
  auto* const header = static_cast<Header*>(memory);
  header->capacity = capacity;
  return header + 1;
}

void* cut_from_chunk(std::size_t capacity) {
  const std::size_t size = capacity + sizeof(Header);
  if (static_cast<std::size_t>(chunk_end - chunk_at) < size) {
    chunk_at = static_cast<char*>(std::malloc(kChunk));
    chunk_end = chunk_at == nullptr ? nullptr : chunk_at + kChunk;
    if (chunk_at == nullptr) {
      return nullptr;
    }
  }
  void* const memory = chunk_at;
  chunk_at += size;
  return with_header(memory, capacity);
}

void* allocate(int wanted) {
  const auto size = static_cast<std::size_t>(wanted);
  if (size > kLargest) {
    return with_header(std::malloc(size + sizeof(Header)), size);
  }
  const std::size_t index = class_of(size);
  if (FreeBlock* const block = free_blocks.at(index)) {
    free_blocks.at(index) = block->next;
    return block;
  }
  return cut_from_chunk(kSmallest << index);
}

void release(void* block) {
  if (block == nullptr) {
    return;
  }
  const std::size_t capacity = header_of(block)->capacity;
  if (capacity > kLargest) {
    std::free(header_of(block));
    return;
  }
  auto* const free_block = static_cast<FreeBlock*>(block);
  FreeBlock*& first = free_blocks.at(class_of(capacity));
  free_block->next = first;
  first = free_block;
}

int size_of(void* block) {
  return block == nullptr ? 0 : static_cast<int>(header_of(block)->capacity);
}

void* reallocate(void* block, int wanted) {
  const auto size = static_cast<std::size_t>(wanted);
  const std::size_t capacity = header_of(block)->capacity;
  if (size <= capacity && capacity <= kLargest) {
    return block;
  }
  void* const larger = allocate(wanted);
  if (larger != nullptr) {
    std::memcpy(larger, block, size < capacity ? size : capacity);
    release(block);
  }
  return larger;
}

int round_up(int size) {
  const auto wanted = static_cast<std::size_t>(size);
  return wanted > kLargest ? (size + 7) & ~7 : static_cast<int>(kSmallest << class_of(wanted));
}

int start(void* /*data*/) {
  return SQLITE_OK;
}

void stop(void* /*data*/) {}

}  // namespace
#endif

void set_up_sqlite() {
  static bool done = false;
  if (done) {
    return;
  }
  done = true;
#ifndef PODLEASE_PLAIN_MALLOC
  static constexpr sqlite3_mem_methods kArena{.xMalloc = allocate,
                                              .xFree = release,
                                              .xRealloc = reallocate,
                                              .xSize = size_of,
                                              .xRoundup = round_up,
                                              .xInit = start,
                                              .xShutdown = stop,
                                              .pAppData = nullptr};
  sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  // Pages one by one: a file is first taken to have pages of 4 KiB, and a supply of those, made in
  // advance, would be thrown away with the first look at it.
  sqlite3_config(SQLITE_CONFIG_PAGECACHE, nullptr, 0, 0);
  sqlite3_config(SQLITE_CONFIG_MALLOC, &kArena);
#endif
}

}  // namespace podlease::store
