#!/bin/sh
# Tests kernel_check.sh with kernels that are wrong on purpose. The compiler is
# the real one, from the cache.
set -u
scripts=$(cd "$(dirname "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failures=0

# kernel writes a body on the macro layer; its text comes from standard input.
kernel() {
	{
		printf '#include <metal_simdgroup_matrix>\n#include "metal.h"\n#include "tile.h"\n'
		cat
	} >"$work/$1.metal"
}

fail() {
	failures=$((failures + 1))
	echo "FAIL: $*" >&2
	sed 's/^/    /' "$work/out" >&2
}

right() { # NAME
	kernel "$1"
	sh "$scripts/kernel_check.sh" "$work/$1.metal" >"$work/out" 2>&1 || fail "$1 is refused"
}

wrong() { # NAME, and what the compiler has to say
	kernel "$1"
	if sh "$scripts/kernel_check.sh" "$work/$1.metal" >"$work/out" 2>&1; then fail "$1 is accepted"; fi
	grep -q "$2" "$work/out" || fail "$1: nothing about $2"
}

right 'every pointer in its place' <<'EOF'
GD_FN float sum(GD_GLOBAL(const float) x, GD_SHARED(float) s, GD_REF(Mat) m) {
  s[0] = x[1] + m.e[0];
  GD_BARRIER();
  return s[0] + GD_SHUFFLE_XOR(x[0], 1);
}
template <typename P>
GD_FN Mat rows(P p, Thread me) {
  return Mat{{float(p[row_of(me, 0)]), float(p[row_of(me, 1)]), float(p[row_of(me, 2)]), float(p[row_of(me, 3)])}};
}
GD_FN float call(GD_GLOBAL(float) x, GD_SHARED(float) s, Thread me) {
  Mat m = rows(x + 8, me);
  mma(m, rows(s, me), Right{{x[0], s[0]}});
  x[0] = s[1];
  return sum(x, s + 4, m);
}
EOF
space='address[ _]space\|candidate function not viable'
wrong 'a global pointer for a shared one' "$space" <<'EOF'
GD_FN float first(GD_SHARED(const float) s) { return s[0]; }
GD_FN float call(GD_GLOBAL(const float) x) { return first(x); }
EOF
wrong 'a shared pointer for a global one' "$space" <<'EOF'
GD_FN float first(GD_GLOBAL(const float) x) { return x[0]; }
GD_FN float call(GD_SHARED(const float) s) { return first(s); }
EOF
wrong 'an array of a thread for a shared one' "$space" <<'EOF'
GD_FN float first(GD_SHARED(const float) s) { return s[0]; }
GD_FN float call() { float x[2] = {1, 2}; return first(x); }
EOF
wrong 'a shared element for a variable of a thread' "$space\|cannot bind" <<'EOF'
GD_FN void set(GD_REF(float) x) { x = 1; }
GD_FN void call(GD_SHARED(float) s) { set(s[0]); }
EOF
wrong 'a global pointer kept without its space' "$space" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x) { const float* p = x; return p[0]; }
EOF
wrong 'a short input, which MLX passes as constant' "$space" <<'EOF'
GD_FN float first(GD_GLOBAL(const float) x) { return x[0]; }
GD_FN float call(const constant float* x) { return first(x); }
EOF
wrong 'a choice between two spaces' 'incompatible\|address space' <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, GD_SHARED(const float) s, bool shared) { return (shared ? s : x)[0]; }
EOF
wrong 'a pointer without a space' 'without an address space' <<'EOF'
GD_FN float call() { float x[2] = {1, 2}; const float* p = x; return p[0]; }
EOF
wrong 'a reference without a space' 'without an address space' <<'EOF'
GD_FN void set(Mat& m) { m.e[0] = 1; }
EOF
wrong 'a cast between spaces' "$space" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x) { return static_cast<GD_SHARED(const float)>(x)[0]; }
EOF
wrong 'a pointer in a template' "$space" <<'EOF'
GD_FN float first(GD_SHARED(const float) s) { return s[0]; }
template <typename P>
GD_FN float through(P p) { return first(p); }
GD_FN float call(GD_GLOBAL(const float) x) { return through(x); }
EOF
right 'arrays in registers' <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, int n) {
  float a[8], sum = 0;
  Mat c = zero_mat();
  GD_UNROLL
  for (int i = 0; i < 8; ++i) a[i] = x[i];
  for (int t = 0; t < n; ++t) {
    GD_UNROLL
    for (int i = 0; i < 8; ++i) a[i] += a[7 - i] * GD_SHUFFLE_XOR(x[t], 1);
    mma(c, Mat{{a[0], a[1], a[2], a[3]}}, Right{{a[4], a[5]}});
  }
  GD_UNROLL
  for (int i = 0; i < 8; ++i) sum += a[i];
  return sum + c.e[3];
}
EOF
memory="a thread's variable in memory"
wrong 'an array indexed at run time' "$memory" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, int n, Thread me) {
  float a[64], sum = 0;
  for (int i = 0; i < n; ++i) a[i & 63] = x[i];
  for (int i = 0; i < n; ++i) sum += a[(i * 7 + me.lane) & 63];
  return sum;
}
EOF
wrong 'an array indexed by the lane' "$memory" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, Thread me) {
  Mat a = left_rows<false>(x, 8, 16, me);
  return a.e[me.lane & 3];
}
EOF
wrong 'matrices held and indexed at run time' "$memory" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, int n, Thread me) {
  Held<4> h = new_held<4>(me);
  for (int i = 0; i < n; ++i) hold(h, i & 3, left_rows<false>(x + 128 * i, 8, 16, me));
  return held(h, n & 3).e[0];
}
EOF
wrong 'an array moved in place' "$memory" <<'EOF'
GD_FN float call(GD_GLOBAL(const float) x, int n) {
  float a[8];
  GD_UNROLL
  for (int i = 0; i < 8; ++i) a[i] = x[i];
  for (int t = 0; t < n; ++t) {
    GD_UNROLL
    for (int i = 7; i > 0; --i) a[i] = a[i - 1];
    a[0] = x[t] * a[7];
  }
  return a[7];
}
EOF
wrong 'double, which Metal has not' poisoned <<'EOF'
GD_FN float call(float x) { return float(double(x) * 2); }
EOF
wrong 'a remainder' "a '%' in the source" <<'EOF'
GD_FN int call(int x) { return x % 8; }
EOF
wrong 'C++17' 'C++17' <<'EOF'
template <typename X>
GD_FN X call(X x) { if constexpr (sizeof(X) == 4) return x; return -x; }
EOF

if sh "$scripts/kernel_check.sh" --no-such >"$work/out" 2>&1; then fail 'unknown flags are taken'; fi
if [ $failures -gt 0 ]; then
	echo "check of the kernels: $failures checks failed" >&2
	exit 1
fi
echo 'check of the kernels: ok'
