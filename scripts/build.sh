#!/bin/sh
# Builds a whole install of MLX and mlx-c in WORK/install; called by setup.sh.
# usage: build.sh GOOS GOARCH BACKEND WORK
set -eu
goos=$1 goarch=$2 backend=$3 work=$4
scripts=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=scripts/common.sh
. "$scripts/common.sh"
# shellcheck source=scripts/tools.sh
. "$scripts/tools.sh"

mlxc_commit=a341b4925024b88b2c593468f16e12f5e17315da
mlxc_crate_sum=ea13df40ed5cffc2288c1a838203a3b49c6f3f3d1bb4037aa463985b2caa5053 # of mlx/c in it

site=$work/install
# macos_check.sh has the build for macOS made on Linux, to prove it.
cross=
if [ "$goos" = darwin ] && [ "$host" != Darwin ]; then cross=1; fi

check_libc() {
	libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc='another C library'
	echo "$libc" | awk '{ split($2, v, "."); exit !($1 == "glibc" && (v[1] > 2 || v[1] == 2 && v[2] >= 35)) }' ||
		die "MLX for Linux needs glibc 2.35 or later (Debian 12, Ubuntu 22.04); here is $libc"
}

check_tools() {
	need_python
	have "${CXX%% *}" || need "a C++ compiler ($CXX)" g++ gcc gcc-c++
	if [ "$goos" = linux ]; then
		have "${CC%% *}" || need "a C compiler ($CC)" gcc gcc gcc
		have nm || need nm binutils binutils binutils
	fi
	[ -n "${DELTATAPE_MLXC_SRC:-}" ] || have cargo || have git || need "git (or cargo)" git git git
	check_needs
}

# link_homebrew makes an install of links to Homebrew's libraries: for a Mac that
# can't build, if they are the right pair.
link_homebrew() {
	if find_python && have "${CXX%% *}"; then return 1; fi
	prefix=${HOMEBREW_PREFIX:-/opt/homebrew}
	brew_mlx=$(cd "$prefix/opt/mlx" 2>/dev/null && pwd -P) || return 1
	brew_mlxc=$(cd "$prefix/opt/mlx-c" 2>/dev/null && pwd -P) || return 1
	version=${brew_mlx##*/} version_c=${brew_mlxc##*/} # without a revision: 0.7.0_1
	if [ "${version%_*}" != $mlx ] || [ "${version_c%_*}" != $mlxc ]; then
		say "Homebrew has mlx $version and mlx-c $version_c, not the pair $mlx and $mlxc"
		return 1
	fi
	mkdir -p "$site/lib" "$site/include/mlx" "$site/mlx"
	ln -s "$brew_mlxc/lib/libmlxc.dylib" "$site/lib/"
	ln -s "$brew_mlxc/include/mlx/c" "$site/include/mlx/"
	ln -s "$brew_mlx/lib" "$brew_mlx/include" "$site/mlx/"
}

# wheel_platforms writes pip's names of what runs on the system built for.
wheel_platforms() {
	if [ "$goos" = linux ]; then
		manylinux "$goarch"
		return
	fi
	version=14.0
	if [ -z "$cross" ]; then version=$(sw_vers -productVersion); fi
	echo "$version" | awk -F. '{
		if ($1 > 26 || $1 == 26 && $2 >= 2) print "macosx_26_0_arm64"
		else if ($1 >= 15) print "macosx_15_0_arm64"
		else if ($1 == 14) print "macosx_14_0_arm64"
		else exit 1
	}' || die "MLX needs macOS 14 or later; here is $version"
}

fetch_mlx() {
	say "downloading MLX $mlx ($backend, $1)"
	platforms=$(wheel_platforms)
	# shellcheck disable=SC2086 # one word each
	fetch_wheels "$backend" $platforms
	for wheel in "$work"/wheels/*.whl; do
		case $wheel in
		*/scipy_openblas32-*) unpack_wheel "$wheel" "$work/blas" ;;
		*) unpack_wheel "$wheel" "$site" ;;
		esac
	done
	if [ -n "$cross" ]; then rm "$site/mlx/lib/mlx.metallib"; fi # 130 MB of no use here
}

# fetch_mlxc puts the folder mlx/c of mlx-c into $work/src.
fetch_mlxc() {
	mkdir -p "$work/src/mlx"
	if [ -n "${DELTATAPE_MLXC_SRC:-}" ]; then
		cp -R "$DELTATAPE_MLXC_SRC/mlx/c" "$work/src/mlx/"
		return
	fi
	say "fetching mlx-c $mlxc"
	: >"$log"
	if from_cargo || from_git; then return; fi
	tail -n 20 "$log" >&2
	die "can't get the sources of mlx-c $mlxc from crates.io or GitHub: check the network and run this again, or name a local copy in DELTATAPE_MLXC_SRC"
}

# from_cargo unpacks the crate that carries mlx-c, and nothing that it depends on.
from_cargo() {
	have cargo || return 1
	home=${CARGO_HOME:-${HOME:-/nonexistent}/.cargo}
	# A mirror or a registry's token is found in the user's own cargo folder only;
	# without any settings that folder needn't be touched.
	if ! [ -e "$home/config.toml" ] && ! [ -e "$home/config" ]; then home=$work/cargo; fi
	(cd "$work" && CARGO_HOME=$home cargo info -q mlx-sys@$mlxc) >"$log" 2>&1 || return 1
	for crate in "$home"/registry/src/*/"mlx-sys-$mlxc"/src/mlx-c; do
		[ -d "$crate/mlx/c" ] || continue
		sum=$(cd "$crate" && cat mlx/c/*.cpp mlx/c/*.h mlx/c/private/*.h | sha256)
		if [ "$sum" = "$mlxc_crate_sum" ]; then
			cp -R "$crate/mlx/c" "$work/src/mlx/"
			return
		fi
		echo "$crate is not as published" >>"$log"
	done
	return 1
}

from_git() {
	have git || return 1
	(
		unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE # a hook's, of the clone
		export GIT_TERMINAL_PROMPT=0
		git init -q "$work/git" && cd "$work/git" &&
			git fetch -q --depth 1 https://github.com/ml-explore/mlx-c $mlxc_commit &&
			git archive FETCH_HEAD mlx/c | tar -xf - -C "$work/src"
	) >>"$log" 2>&1
}

# build_mlxc compiles mlx-c, and what deltatape adds to it, in a few big units, which
# is five times as fast as file by file. Every path is relative, so that none of this
# machine's is in it.
build_mlxc() {
	say "building mlx-c $mlxc"
	units=$(getconf _NPROCESSORS_ONLN 2>/dev/null) || units=2
	[ "$units" -le 4 ] || units=4
	cd "$work/src"
	cp "$scripts"/*_compat.h "$scripts"/host_op.* .
	optimise=-O1
	if [ -n "$cross" ]; then optimise=-O0; fi
	# Conda sets a macOS that is older than std::format.
	unset MACOSX_DEPLOYMENT_TARGET
	wc -c host_op.cpp mlx/c/*.cpp | sort -rn | awk -v units="$units" '$2 != "total" {
		least = 1
		for (u = 2; u <= units; u++) if (size[u] < size[least]) least = u
		size[least] += $1
		print "#include \"" $2 "\"" > ("unit" least ".cpp")
	}'
	# xargs, not background jobs: those would not hear Ctrl-C.
	# shellcheck disable=SC2086 # CXX may hold options
	compile() { printf '%s\n' unit*.cpp | xargs -n 1 -P "$units" $CXX -std=c++20 $optimise -pipe -fPIC -I . -I ../install/mlx/include -include mlxc_compat.h -c; }
	attempt "can't compile mlx-c $mlxc with $CXX (above is what it says)" compile
	mkdir "$site/lib" "$site/include" "$site/include/mlx" "$site/include/mlx/c" # no -p: this folder may be gone
	if [ "$goos" = darwin ]; then
		lib=libmlxc.dylib
		set -- -dynamiclib -install_name @rpath/$lib -Wl,-rpath,@loader_path/../mlx/lib
	else
		lib=libmlxc.so
		# shellcheck disable=SC2016 # the loader expands $ORIGIN
		set -- -shared -Wl,-soname,$lib -Wl,-rpath,'$ORIGIN/../mlx/lib' -Wl,-z,defs
	fi
	# shellcheck disable=SC2086 # CXX may hold options
	attempt "can't link libmlxc" $CXX "$@" -o "$site/lib/$lib" unit*.o -L "$site/mlx/lib" -lmlx
	cp mlx/c/*.h "$site/include/mlx/c/"
	cd "$work"
}

# speed_blas sets blas to the name of what multiplies matrices on the CPU.
speed_blas() {
	if [ "$goos" = darwin ]; then
		blas=accelerate
		return
	fi
	blas=openblas-0.3.34
	libs=$(echo "$site"/mlx_c*.libs)
	attempt "can't put OpenBLAS behind MLX" sh "$scripts/blas_shim.sh" "$site/mlx/lib/libmlx.so" "$libs" "$work/blas/scipy_openblas32/lib/libscipy_openblas.so"
}

# check_load makes sure that the dynamic loader is content with what was built.
check_load() {
	if [ -n "$cross" ]; then return; fi
	# shellcheck disable=SC2086 # CC may hold options
	attempt "can't compile a C program with $CC" $CC -o "$work/load_check" "$scripts/load_check.c" -ldl
	set -- "$site/lib/$lib"
	if [ "$goos" = linux ]; then set -- "$@" "$libs"/libblas-*; fi
	if "$work/load_check" "$@" >"$log" 2>&1; then return; fi
	case $backend-$(cat "$log") in
	cuda*libcuda.so.1*) say "no NVIDIA driver here (libcuda.so.1): this install is of use only with one" ;;
	*)
		cat "$log" >&2
		die "libmlxc was built, but doesn't load"
		;;
	esac
}

CC=${CC:-cc} CXX=${CXX:-c++}
patched=1
if [ "$goos" = linux ]; then check_libc; fi
if [ "$host" = Darwin ] && link_homebrew; then
	blas=accelerate patched=0
else
	check_tools
	case $backend in
	cpu) download='18 MB' space=300 ;;
	metal) download='60 MB' space=500 ;;
	cuda*) download='2 GB' space=6000 ;;
	esac
	check_space "$space"
	fetch_mlx "$download"
	fetch_mlxc
	build_mlxc
	speed_blas
	check_load
fi
# Last, and only once all else is on the disk: this file says that the install is whole.
sync
cat >"$site/build-info" <<EOF
mlx=$mlx
mlxc=$mlxc
backend=$backend
blas=$blas
patched=$patched
EOF
