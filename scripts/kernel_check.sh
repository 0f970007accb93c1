#!/bin/sh
# Checks the texts of the GPU kernels as a Metal compiler would, without one.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd -P)
root=${scripts%/*}
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
task='the check of the kernels'

usage() {
	cat <<'EOT'
usage: sh scripts/kernel_check.sh [--help | FILE...]

Compiles the Metal kernels with clang, up to LLVM's intermediate code, of which
Metal's compiler makes its own too:

  - with address spaces for device, threadgroup and constant: a pointer that is
    passed to another one, or that names none, is an error, as with Metal;
  - no variable of a thread may stay in memory, as arrays do that are indexed at run
    time: registers can't be.

The texts are those that MLX would compile on a Mac, of every kernel for many
configurations; or those of the given FILEs, which may include the headers of
ops/metal/kernels.

The compiler (Zig) stays in the cache folder; the first check downloads 100 MB.

Environment:
  DELTATAPE_CACHE  the cache folder, instead of the system's
EOT
}

case ${1:-} in
--help | -h) usage && exit ;;
-*) usage >&2 && exit 2 ;;
esac

platform
cache_root
need_zig
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# write_kernels has a test of package metal write the texts: they are its own.
write_kernels() {
	printf '{"Replace": {"%s": "%s"}}\n' "$root/ops/metal/kernel_check_test.go" "$scripts/kernel_check/write.go.txt" >"$work/overlay"
	(cd "$root" && KERNEL_CHECK="$work" go test -overlay "$work/overlay" -count=1 -run '^TestKernelCheckWrite$' ./ops/metal) >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		die "the texts of the kernels can't be had"
	}
}

emitted=
if [ $# = 0 ]; then
	write_kernels
	set -- "$work"/*.metal
else # functions of theirs that nothing calls are compiled too
	emitted='-Dinline=inline __attribute__((used))'
fi
mkdir "$work/code"
for file; do
	shift
	case $file in /*) ;; *) file=$PWD/$file ;; esac
	set -- "$@" "$file"
done
# As Metal 3.1 is, the language of macOS 14, this is C++14. All functions are inlined,
# as GPUs have it.
(
	cd "$work/code"
	export ZIG_GLOBAL_CACHE_DIR="$zig/cache" ZIG_LOCAL_CACHE_DIR="$work"
	printf '%s\0' "$@" | xargs -0 -n 16 -P "$(getconf _NPROCESSORS_ONLN)" \
		"$zig/ziglang/zig" clang -x c++ -std=c++14 -S -emit-llvm -nostdinc -include metal_stdlib \
		-I "$scripts/kernel_check" -I "$root/ops/metal/kernels" "${emitted:--DMETAL}" \
		-O2 -mllvm -inline-threshold=1000000 -fno-vectorize -fno-slp-vectorize -fno-exceptions -fno-discard-value-names \
		-Wall -Wextra -Werror -Wno-unknown-attributes -Wno-unused-function -Wno-unused-parameter
) || die "the above would not compile on a Mac, or not as meant"
# refuse fails with the lines that come from standard input, if there are any.
refuse() { # WHAT
	lines=$(head -n 5)
	[ -z "$lines" ] || die "$1:
$lines"
}

# clang takes a bare pointer for one to a thread's variables; Metal wants a word.
grep -HnE '[[:alnum:]_>][*&]+ +[[:alpha:]_]| [*&][[:alpha:]_]' "$@" | grep -vE '(device|threadgroup|thread|constant) [^*&]*[*&]' |
	refuse "a pointer or reference without an address space"
grep -Hn ' = alloca ' "$work"/code/*.ll | refuse "a thread's variable in memory: an array that is indexed at run time, or copied within itself"
grep -Hn % "$@" | refuse "a '%' in the source: compilers quote it, and a stock mlx-c takes their messages for formats"
say "$# kernels have their pointers in the right address spaces, and their variables in registers"
