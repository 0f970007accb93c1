#!/bin/sh
# Tests cuda_check.sh with kernels that are wrong on purpose. The compiler is the
# real one, from the cache.
set -u
scripts=$(cd "$(dirname "$0")" && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
failures=0

fail() {
	failures=$((failures + 1))
	echo "FAIL: $*" >&2
	sed 's/^/    /' "$work/out" >&2
}

right() { # NAME; the text comes from standard input
	cat >"$work/$1.cu"
	sh "$scripts/cuda_check.sh" "$work/$1.cu" >"$work/out" 2>&1 || fail "$1 is refused"
}

wrong() { # NAME, and what must be said
	cat >"$work/$1.cu"
	if sh "$scripts/cuda_check.sh" "$work/$1.cu" >"$work/out" 2>&1; then fail "$1 is accepted"; fi
	grep -q "$2" "$work/out" || fail "$1: nothing about $2"
}

# many writes a kernel with 64 numbers in the 32 registers that its threads have.
many() {
	cat <<-'END'
		__global__ void __launch_bounds__(1024, 2) many(const float* x, float* y) {
		  float e[64];
		#pragma unroll
		  for (int i = 0; i < 64; ++i) e[i] = x[threadIdx.x + i];
		  __syncthreads();
		#pragma unroll
		  for (int i = 0; i < 64; ++i) y[64 * threadIdx.x + i] = e[i] * e[63 - i];
		}
	END
}

right one <<'EOT'
// in registers
__global__ void one(float* x) { x[threadIdx.x] = 1; }
EOT
many | right spilling_allowed
{ echo '// in registers' && many; } | wrong spilling FAILED
echo '__global__ void broken(float* x) { x[0] = y; }' | wrong broken 'identifier "y" is undefined'
echo 'int nothing;' | wrong nothing FAILED

if sh "$scripts/cuda_check.sh" --no-such >"$work/out" 2>&1; then fail 'unknown flags are taken'; fi
if [ $failures -gt 0 ]; then
	echo "check of the kernels for CUDA: $failures checks failed" >&2
	exit 1
fi
echo 'check of the kernels for CUDA: ok'
