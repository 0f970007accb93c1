// (I + A)^-1 for strictly lower triangular A, in two ways. The arrays are
// [N, C, HV, C]: rows of one matrix are HV * C apart, so that nothing is transposed
// or copied for the tokens' order. A threadgroup takes matrix x of head y.

GD_FN long solve_place(Thread me) { return (long(me.x) * C * HV + me.y) * C; }

// kkt_solve gives a column of the result to each thread, by substitution:
//
//	X_ij = δ_ij − Σ_d A_id X_dj,  j <= d < i
//
// A thread reads and writes its own column alone, so there is no barrier. The
// columns are in threadgroup memory, where they may be indexed at run time.
GD_FN void kkt_solve(GD_GLOBAL(const float) a, GD_GLOBAL(float) x, GD_SHARED(float) shared, Thread me) {
  const int j = thread_of(me);
  if (j >= C) return;
  a = a + solve_place(me);
  x = x + solve_place(me);
  for (int i = 0; i < j; ++i) x[i * HV * C + j] = 0;
  for (int i = j; i < C; ++i) {
    float sum = i == j ? 1.0f : 0.0f;
    for (int d = j; d < i; ++d) sum -= a[i * HV * C + d] * shared[d * C + j];
    shared[i * C + j] = sum;
    x[i * HV * C + j] = sum;
  }
}

// solve_blocks inverts 16 x 16 blocks on the diagonal by substitution and merges
// neighbours, doubling them until one is left:
//
//	X21 = −(X22 A21) X11
//
// Powers of A never appear: they overflow where keys are alike. One simdgroup works
// on rows of C + 4 in threadgroup memory, in place.
#define SOLVE_PITCH (C + 4)

GD_FN void solve_blocks(GD_GLOBAL(const float) a, GD_GLOBAL(float) x, GD_SHARED(float) shared, Thread me) {
  a = a + solve_place(me);
  x = x + solve_place(me);
  for (int at = me.lane; at < C * C; at += 32) {
    const int i = at / C, j = rest(at, C);
    shared[i * SOLVE_PITCH + j] = j < i ? a[i * HV * C + j] : 0.0f;
  }

  // Row i of all blocks at a time; a lane has column j of its block, or two lanes'.
  // Row 0 reads nothing of A, so its barrier is that for the loads above.
  for (int i = 0; i < 16; ++i) {
    float sums[(C + 31) / 32];
    GD_UNROLL
    for (int m = 0; m < (C + 31) / 32; ++m) {
      const int j = me.lane + 32 * m, block = j / 16 * 16;
      sums[m] = j - block == i ? 1.0f : 0.0f;
      if (j < C)
        for (int d = block; d < block + i; ++d) sums[m] -= shared[(block + i) * SOLVE_PITCH + d] * shared[d * SOLVE_PITCH + j];
    }
    GD_SIMD_BARRIER(); // all lanes have read row i of A
    GD_UNROLL
    for (int m = 0; m < (C + 31) / 32; ++m) {
      const int j = me.lane + 32 * m, block = j / 16 * 16;
      if (j < C) shared[(block + i) * SOLVE_PITCH + j] = j - block <= i ? sums[m] : 0.0f;
    }
  }

  GD_UNROLL
  for (int size = 16; size < C; size *= 2) {
    for (int low = 0; low < C; low += 2 * size) {
      const int high = low + size;
      // X22 is triangular: the last strip of X21 takes all of A21, in whose place it
      // goes, the others only what is above.
      for (int strip = size - GD_ROWS; strip >= 0; strip -= GD_ROWS) {
        GD_SIMD_BARRIER();
        Mat y[C / 16];
        GD_UNROLL
        for (int n = 0; n < C / 16; ++n) {
          y[n] = zero_mat();
          if (8 * n < size)
            for (int k = 0; k < strip + GD_ROWS; k += GD_STEP)
              mma(y[n], left_rows<false>(shared + ((high + strip) * SOLVE_PITCH + high + k), SOLVE_PITCH, GD_ROWS, me),
                  right_rows<false>(shared + ((high + k) * SOLVE_PITCH + low + 8 * n), SOLVE_PITCH, me));
        }
        Mat z[C / 16];
        GD_UNROLL
        for (int n = 0; n < C / 16; ++n) {
          z[n] = zero_mat();
          GD_UNROLL
          for (int k = 0; k < C / 16; ++k)
            if (8 * n < size && 8 * k < size)
              mma(z[n], y[k], right_rows<false>(shared + ((low + 8 * k) * SOLVE_PITCH + low + 8 * n), SOLVE_PITCH, me));
        }
        // All lanes have read the strip of A21. By Metal's lane map each has read what it
        // writes here, by CUDA's others have.
        GD_SIMD_BARRIER();
        GD_UNROLL
        for (int n = 0; n < C / 16; ++n) {
          if (8 * n < size) {
            GD_UNROLL
            for (int i = 0; i < 4; ++i)
              shared[(high + strip + row_of(me, i)) * SOLVE_PITCH + low + 8 * n + column_of(me, i)] = -z[n].e[i];
          }
        }
      }
    }
  }
  GD_SIMD_BARRIER();
  for (int at = me.lane; at < C * C; at += 32) {
    const int i = at / C, j = rest(at, C);
    x[i * HV * C + j] = shared[i * SOLVE_PITCH + j];
  }
}
