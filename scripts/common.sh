# What setup.sh and build.sh share; read in by both.
# shellcheck shell=sh disable=SC2034 # used there

export LC_ALL=C # the same order of file names, and one language, everywhere

# The pair of releases that belong together.
mlx=0.32.2
mlxc=0.7.0

say() { echo "deltatape: $*" >&2; }

die() {
	say "set-up failed: $*"
	exit 1
}

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-64
}
