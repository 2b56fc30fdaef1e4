// Memory for vectors.
#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "index.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace conv3d {

constexpr std::size_t line = 64;  // bytes: vectors of the widest set are aligned, and no two threads share a line
constexpr std::size_t huge = 2 << 20;

// What is to be asked for: memory of more than a quarter of a huge page is handed over in whole ones, as the small pages
// of a rest would take longer than all others.
inline Index in_pages(Index bytes) {
    constexpr Index page = static_cast<Index>(huge);
    return bytes > page / 4 ? (bytes + page - 1) / page * page : bytes;
}

struct Free {
    void operator()(void* p) const { std::free(p); }
};

// Large memory is asked for in huge pages where the system grants them: far fewer addresses have to be translated, and
// far fewer pages are handed over one by one.
inline std::unique_ptr<void, Free> allocate(Index count) {
    const std::size_t bytes = static_cast<std::size_t>(count);
    void* memory = nullptr;
    if (count < 0 || posix_memalign(&memory, bytes < huge ? line : huge, bytes) != 0) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
    if (bytes >= huge) madvise(memory, bytes / huge * huge, MADV_HUGEPAGE);
#endif
    return std::unique_ptr<void, Free>(memory);
}

}  // namespace conv3d
