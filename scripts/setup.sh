#!/bin/sh
# Makes MLX and mlx-c ready for deltatape. Idempotent, and quick when done.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd -P)
root=${scripts%/*}
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"

usage() {
	cat <<'EOF'
usage: sh scripts/setup.sh [--print | --help]

Installs MLX and mlx-c, the engine behind deltatape, into the user's cache
folder. The versions are pinned, and nothing is written outside that folder
but a link, .deps, in a clone that can be written to. A second run, or a
second clone, finds everything done.

  --print  write the path of the install to standard output, and nothing else
  --help   write this text

Environment:
  DELTATAPE_CACHE     the cache folder, instead of the system's
  DELTATAPE_MLX       an install of your own: there is nothing to set up then
  DELTATAPE_MLXC_SRC  a local copy of the mlx-c sources to build
  MLX_BACKEND         cpu, cuda12 or cuda13 on Linux, metal on macOS; remembered
                      until another one is named
  CC, CXX             the C and C++ compilers
EOF
}

# backend_of writes the backend of the finished install $1, if it is one.
backend_of() {
	[ -f "$1/build-info" ] || return 0
	while IFS='=' read -r name value; do
		[ "$name" != backend ] || echo "$value"
	done <"$1/build-info"
}

choose_backend() {
	backend=${MLX_BACKEND:-}
	if [ "$goos" = darwin ]; then
		case $backend in
		'' | metal) backend=metal ;;
		*) die "MLX_BACKEND=$backend: on macOS there is metal, which serves the CPU too" ;;
		esac
		return
	fi
	[ -n "$backend" ] || backend=$(backend_of "$root/.deps")
	[ -n "$backend" ] || backend=$(backend_of "$stable")
	case $backend in
	'') backend=cpu ;;
	cpu | cuda12 | cuda13) ;;
	*) die "MLX_BACKEND=$backend: on Linux there are cpu, cuda12 and cuda13" ;;
	esac
}

# content_key names an install by everything that decides what is in it.
content_key() {
	{
		cat "$scripts"/common.sh "$scripts"/tools.sh "$scripts"/setup.sh "$scripts"/build.sh "$scripts"/blas_shim.* \
			"$scripts"/*_compat.h "$scripts"/host_op.* "$scripts/load_check.c" "$scripts/requirements/$backend.txt" "$scripts/requirements/openblas.txt"
		own_sources
		if [ "$goos" = darwin ]; then sw_vers -productVersion; fi
		echo "$goos $goarch $backend"
	} | sha256 | cut -c 1-16
}

whole() { [ -f "$1/build-info" ] && [ -e "$1/lib/libmlxc.$lib" ]; }

# point makes the link $1 lead to the install, in one step.
point() {
	[ "$(readlink "$1")" != "$final" ] || return 0
	rm -f "$1.new.$$"
	ln -s "$final" "$1.new.$$"
	if [ "$goos" = darwin ]; then
		perl -e 'rename $ARGV[0], $ARGV[1] or die "$ARGV[1]: $!\n"' "$1.new.$$" "$1" # no mv -T there
	else
		mv -fT "$1.new.$$" "$1"
	fi
}

# point_clone links the clone to the install. Go's module cache stays as it is:
# there, and in any other folder that must not change, the cache link serves.
point_clone() {
	link=$root/.deps
	if [ "$(readlink "$link")" = "$final" ]; then return; fi
	# To root any folder looks writable: its mode tells what is meant.
	case $(ls -ld "$root") in d?w*) ;; *) return ;; esac
	if ! [ -w "$root" ]; then return; fi
	if [ -e "$link" ] && ! [ -L "$link" ]; then
		say "$link is a folder, not a link to the install, and stays as it is"
		return
	fi
	point "$link"
}

print=
case "$#${1:-}" in
0) ;;
1--print) print=1 ;;
1--help | 1-h) usage && exit ;;
*) usage >&2 && exit 2 ;;
esac

if [ -n "${DELTATAPE_MLX:-}" ]; then
	case $(uname -sm) in Darwin*) lib=dylib ;; *) lib=so ;; esac
	[ -f "$DELTATAPE_MLX" ] || [ -f "$DELTATAPE_MLX/lib/libmlxc.$lib" ] ||
		die "DELTATAPE_MLX names no library: there is neither a file $DELTATAPE_MLX nor lib/libmlxc.$lib in it; unset DELTATAPE_MLX, or let it name an install"
	if [ -n "$print" ]; then echo "$DELTATAPE_MLX"; else echo "deltatape: DELTATAPE_MLX names $DELTATAPE_MLX: nothing to set up"; fi
	exit
fi

platform
cache_root
stable=$cache/mlx-$mlx-mlxc-$mlxc-$goos-$goarch
choose_backend
check_sources
final=$cache/$(content_key)
install "$final" sh "$scripts/build.sh" "$goos" "$goarch" "$backend"
point "$stable"
point_clone
if [ -n "$print" ]; then echo "$final"; else echo "deltatape: MLX $mlx ($backend) ready in $final"; fi
