#!/bin/sh
# Compiles the GPU kernels for CUDA, without a GPU.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd -P)
root=${scripts%/*}
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
task='the check of the kernels for CUDA'

usage() {
	cat <<'EOT'
usage: sh scripts/cuda_check.sh [--help | FILE...]

Compiles the kernels with NVRTC, as MLX does where there is an NVIDIA GPU, for the
first architecture that they run on and for an H100, and prints their registers,
memory and time: every kernel of many configurations, or the given FILEs.
It fails if one does not compile, or keeps variables in memory for want of
registers with K and V up to 128 and chunks up to 32. Without FILEs it also runs
their tests in the emulator with the lane map of CUDA's tensor cores.

NVRTC stays in the cache folder; the first check downloads 90 MB.

Environment:
  DELTATAPE_CACHE  the cache folder, instead of the system's
EOT
}

case ${1:-} in
--help | -h) usage && exit ;;
-*) usage >&2 && exit 2 ;;
esac

platform
[ "$goos" = linux ] || die "it needs Linux"
cache_root
nvrtc=$cache/nvrtc-$(key "$scripts/cuda_check/install.sh" "$scripts/requirements/nvrtc.txt")
install "$nvrtc" sh "$scripts/cuda_check/install.sh" "$goarch"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# shellcheck source=scripts/tools.sh
. "$scripts/tools.sh" # with which python is found
need_python
check_needs

given=$#
if [ "$given" = 0 ]; then
	printf '{"Replace": {"%s": "%s"}}\n' "$root/ops/metal/cuda_check_test.go" "$scripts/cuda_check/write.go.txt" >"$work/overlay"
	# A test of package metal writes the texts: they are its own.
	(cd "$root" && CUDA_CHECK="$work" go test -overlay "$work/overlay" -count=1 -run '^TestCUDACheckWrite$' ./ops/metal) >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		die "the texts of the kernels can't be had"
	}
	set -- "$work"/*.cu
fi
"$python" "$scripts/cuda_check/compile.py" "$nvrtc" "$@" || die "a kernel above does not compile, or takes more than registers"
say "$# kernels compile for CUDA"
[ "$given" != 0 ] || (cd "$root" && CGO_CXXFLAGS='-O2 -DEMULATOR_CUDA_LANES' go test -count=1 ./internal/emulator ./ops/metal)
