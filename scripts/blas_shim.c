// Gives OpenBLAS, whose symbols carry the prefix scipy_, the names of a plain
// BLAS. blas_jumps.h, written by blas_shim.sh, lists the functions: JUMP(sgemm_).
#include <stdlib.h>

// The no-op landing pads (endbr64, bti c) keep the jumps valid where the
// toolchain marks the library for branch protection.
#if defined(__x86_64__)
#define BRANCH(f) "endbr64\n\tjmp scipy_" #f "@PLT\n"
#elif defined(__aarch64__)
#define BRANCH(f) "hint #34\n\tb scipy_" #f "\n"
#else
#error "no jump instruction known for this processor"
#endif

#define JUMP(f)                                 \
  __asm__(".pushsection .text\n\t"              \
          ".globl " #f "\n\t"                   \
          ".type " #f ", %function\n" #f ":\n\t" \
          BRANCH(f)                             \
          "\t.popsection\n");

#include "blas_jumps.h"

void scipy_openblas_set_num_threads(int);

// One thread unless asked: MLX calls BLAS from one worker thread, and spinning
// threads lose badly on busy cores.
__attribute__((constructor)) static void one_thread(void) {
  if (!getenv("OPENBLAS_NUM_THREADS") && !getenv("OMP_NUM_THREADS"))
    scipy_openblas_set_num_threads(1);
}
