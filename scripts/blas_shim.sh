#!/bin/sh
# Puts OpenBLAS in the place of the reference BLAS that a private copy of an
# MLX wheel carries.
# usage: blas_shim.sh LIBMLX LIBS_FOLDER LIBSCIPY_OPENBLAS
set -eu
libmlx=$1 libs=$2 openblas=$3
here=$(cd "$(dirname "$0")" && pwd)

set -- "$libs"/libblas-*.so.*
if [ $# -ne 1 ] || [ ! -f "$1" ]; then
	echo "expected one libblas in $libs" >&2
	exit 1
fi
blas=${1##*/}

tmp=$(mktemp -d "$libs/shim.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

symbols() { nm -D "$@" | awk '{ sub(/@.*/, "", $NF); print $NF }' | LC_ALL=C sort -u; }
{
	symbols --undefined-only "$libmlx"
	symbols --undefined-only "$libs"/liblapack-*.so.*
} | LC_ALL=C sort -u >"$tmp/wanted"
symbols --defined-only "$libs/$blas" >"$tmp/offered"
LC_ALL=C comm -12 "$tmp/wanted" "$tmp/offered" | sed 's/.*/JUMP(&)/' >"$tmp/blas_jumps.h"
if ! [ -s "$tmp/blas_jumps.h" ]; then
	echo "libmlx takes no function from $blas" >&2
	exit 1
fi

cp "$openblas" "$tmp/libscipy_openblas.so"
# The loader looks libblas up by its hashed file name.
# shellcheck disable=SC2086,SC2016 # CC may hold options; $ORIGIN is the loader's
${CC:-cc} -O1 -fPIC -shared -I "$tmp" -o "$tmp/$blas" "$here/blas_shim.c" -L "$tmp" -l:libscipy_openblas.so \
	-Wl,-rpath,'$ORIGIN' -Wl,-soname,"$blas" -Wl,-z,defs
mv "$tmp/libscipy_openblas.so" "$libs/"
mv "$tmp/$blas" "$libs/$blas"
