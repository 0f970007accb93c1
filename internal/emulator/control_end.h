// The end of what control.h began.
#undef if
#undef for
#undef while
#undef simd_total
#undef row_sums
