// The rule for vectors of 16 floats on x86.
#if defined(__x86_64__)
#include "units.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif

#define WIDTH 16
#define ROWS 8
#define COLUMNS 2

namespace avx512 {
#include "vectors.h"
#include "worker.h"
#include "passes.h"
} // namespace avx512

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
