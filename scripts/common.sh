# What the scripts share: versions, places, the lock of the cache folder.
# shellcheck shell=sh disable=SC2034,SC2154 # the readers use these, and set scripts

export LC_ALL=C # the same order of file names, and one language, everywhere

# The pair of releases that belong together.
mlx=0.32.2
mlxc=0.7.0

task=set-up # what a failure is said to be of

say() { echo "deltatape: $*" >&2; }

die() {
	say "$task failed: $*"
	exit 1
}

sha256() {
	if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-64
}

# platform sets goos, goarch (Go's words) and lib, the suffix of shared libraries.
platform() {
	lib=so
	case $(uname -sm) in
	'Linux x86_64') goos=linux goarch=amd64 ;;
	'Linux aarch64' | 'Linux arm64') goos=linux goarch=arm64 ;;
	'Darwin arm64') goos=darwin goarch=arm64 lib=dylib ;;
	'Darwin x86_64')
		if [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" = 1 ]; then
			die "this shell runs under Rosetta; use a native one: arch -arm64 make …"
		fi
		die "MLX needs a Mac with Apple silicon; this one has an Intel processor"
		;;
	*) die "no MLX for $(uname -sm): Linux (x86-64, arm64) and macOS (Apple silicon) are supported" ;;
	esac
}

# cache_root sets cache as the Go loader does: os.UserCacheDir() + "/deltatape".
cache_root() {
	if [ -n "${DELTATAPE_CACHE:-}" ]; then
		cache=$DELTATAPE_CACHE
	elif [ "$goos" = linux ] && [ -n "${XDG_CACHE_HOME:-}" ]; then
		cache=$XDG_CACHE_HOME/deltatape
	elif [ -z "${HOME:-}" ]; then
		die "neither HOME nor DELTATAPE_CACHE is set"
	elif [ "$goos" = linux ]; then
		cache=$HOME/.cache/deltatape
	else
		cache=$HOME/Library/Caches/deltatape
	fi
	case $cache in
	/*) ;;
	*) cache=$PWD/$cache ;;
	esac
}

# check_sources makes sure that the sources which the user names, if any, are of
# the right version.
check_sources() {
	if [ -z "${DELTATAPE_MLXC_SRC:-}" ]; then return; fi
	grep -qF "set(MLX_C_VERSION $mlxc)" "$DELTATAPE_MLXC_SRC/CMakeLists.txt" 2>/dev/null ||
		die "DELTATAPE_MLXC_SRC=$DELTATAPE_MLXC_SRC doesn't hold the sources of mlx-c $mlxc"
}

# own_sources writes the text of these sources.
own_sources() {
	if [ -z "${DELTATAPE_MLXC_SRC:-}" ]; then return; fi
	cat "$DELTATAPE_MLXC_SRC"/mlx/c/*.* "$DELTATAPE_MLXC_SRC"/mlx/c/private/*.h
}

# whole tells whether the folder $1 was finished: build-info is written last.
whole() { [ -f "$1/build-info" ]; }

# lock waits until no other set-up works in this cache. The kernel releases the
# lock when this shell ends, however it ends.
lock() {
	exec 9>"$cache/.deltatape.lock"
	if take_lock -n; then return; fi
	say "waiting for another set-up to finish"
	take_lock
}

take_lock() { # [-n]: don't wait
	if command -v flock >/dev/null; then
		flock "$@" 9
	else # macOS has no flock(1), but perl
		perl -MFcntl=:flock -e 'open(my $lock, ">&=", 9) or die; exit !flock($lock, LOCK_EX | (@ARGV ? LOCK_NB : 0))' -- "$@"
	fi
}

# install makes the folder $1 of the cache, unless it is whole. The command that
# follows gets a work folder as its last argument and leaves install/ there.
install() {
	if whole "$1"; then return; fi
	if ! mkdir -p "$cache" 2>/dev/null || ! true >>"$cache/.deltatape.lock" 2>/dev/null; then
		die "can't write to $cache: make it writable, or name another folder in DELTATAPE_CACHE"
	fi
	lock
	if ! whole "$1"; then build_install "$@"; fi # or another set-up was faster
	exec 9>&-
}

build_install() {
	# Work folders are made under the lock only: any that lies here is of the dead.
	rm -rf "$cache"/deltatape-tmp.* "$1"
	tmp=$(mktemp -d "$cache/deltatape-tmp.XXXXXX") || die "can't make a folder in $cache"
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	to=$1
	shift
	# The build must not hold the lock: it may outlive this shell.
	TMPDIR=$tmp "$@" "$tmp" 9>&- || exit
	mv "$tmp/install" "$to"
	rm -rf "$tmp"
}

# key names a folder of the cache by the text of what decides its contents.
key() {
	{
		cat "$scripts/common.sh" "$scripts/tools.sh" "$@"
		own_sources
	} | sha256 | cut -c 1-16
}

# need_zig sets zig to the folder of the compiler that checks for Macs run on Linux.
need_zig() {
	[ "$goos" = linux ] || die "it needs Linux; on a Mac, make test proves more"
	command -v go >/dev/null || die "missing: go
  install with: the instructions of https://go.dev/doc/install"
	zig=$cache/zig-$(key "$scripts/build_zig.sh" "$scripts/requirements/zig.txt")
	install "$zig" sh "$scripts/build_zig.sh" "$goarch"
}
