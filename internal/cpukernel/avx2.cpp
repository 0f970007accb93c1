// The rule for vectors of 8 floats on x86.
#if defined(__x86_64__)
#include "units.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define WIDTH 8
#define ROWS 4
#define COLUMNS 2

namespace avx2 {
#include "vectors.h"
#include "worker.h"
#include "passes.h"
} // namespace avx2

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
