#!/bin/sh
# Checks on Linux that deltatape builds for macOS (Apple silicon).
set -eu
scripts=$(cd "$(dirname "$0")" && pwd -P)
root=${scripts%/*}
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
task='the macOS check'

usage() {
	cat <<'EOT'
usage: sh scripts/macos_check.sh [--help]

Checks on Linux that deltatape builds for macOS (Apple silicon):

  - MLX's wheel for macOS and mlx-c become a libmlxc.dylib, as in setup.sh;
  - it exports every function that internal/mlxc calls;
  - every package and every test compiles, and every program and test links.

Nothing is run: there is no Mac here. The compiler (Zig) and libmlxc.dylib stay
in the cache folder by version: the first check downloads 150 MB and takes a few
minutes, the next one seconds.

Environment:
  DELTATAPE_CACHE     the cache folder, instead of the system's
  DELTATAPE_MLXC_SRC  a local copy of the mlx-c sources to build
EOT
}

case "$#${1:-}" in
0) ;;
1--help | 1-h) usage && exit ;;
*) usage >&2 && exit 2 ;;
esac

platform
cache_root
check_sources

need_zig
PATH=$zig/bin:$PATH
mlx_for_mac=$cache/macos-$(key "$scripts/build.sh" "$scripts"/*_compat.h "$scripts"/host_op.* "$scripts/requirements/metal.txt")
CC=macos-cc CXX=macos-c++
export CC CXX
install "$mlx_for_mac" sh "$scripts/build.sh" darwin arm64 metal

cd "$root"
say "comparing internal/mlxc/functions.txt with libmlxc.dylib"
env -u CC -u CXX go run ./internal/mlxc/exports "$mlx_for_mac/lib/libmlxc.dylib" internal/mlxc/functions.txt ||
	die "libmlxc.dylib lacks what is named above"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
unset CGO_CPPFLAGS CGO_CFLAGS CGO_CXXFLAGS CGO_LDFLAGS GOFLAGS
export CGO_ENABLED=1 GOOS=darwin GOARCH=arm64 ZIG_LOCAL_CACHE_DIR="$work"
say "compiling packages and tests for macOS, linking programs"
# -s -w: without them the linker runs strip, and this system's knows ELF only.
go build -buildvcs=false -ldflags '-s -w' ./...
go vet ./...
go list -test -export ./... >/dev/null # compiles the tests too
say "deltatape builds for macOS"
