# What the tests of the scripts share: a folder for the test, stubs in place of
# tools, checks that count failures.
# shellcheck shell=sh disable=SC2034,SC2154 # the variables of one are the other's
work=$(mktemp -d)
work=$(cd "$work" && pwd -P)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
unset DELTATAPE_MLX DELTATAPE_MLXC_SRC MLX_BACKEND CC CXX CARGO_HOME XDG_CACHE_HOME HOMEBREW_PREFIX
real_path=$PATH
failures=0

# The tools that set-up may count on everywhere, and a place for the stubs.
mkdir "$work/base" "$work/bin"
for tool in awk cat chmod comm cp cut date df dirname env flock getconf grep head id ln ls mkdir mktemp mv perl readlink \
	rm sed sh sha256sum shasum sleep sort tail tar tee touch tr true wc xargs; do
	if found=$(command -v "$tool"); then
		case $found in /*) ln -s "$found" "$work/base/$tool" ;; esac
	fi
done

stub() { # NAME, its text comes from standard input
	{
		echo '#!/bin/sh'
		cat
	} >"$work/bin/$1"
	chmod +x "$work/bin/$1"
}

stub uname <<'EOF'
system=${STUB_UNAME:-Linux x86_64}
if [ "$1" = -s ]; then system=${system%% *}; fi
echo "$system"
EOF
stub getconf <<'EOF'
case $1 in GNU_LIBC_VERSION) echo "${STUB_LIBC:-glibc 2.36}" ;; *) echo 2 ;; esac
EOF
stub sync </dev/null
stub df <<'EOF'
printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a disk 9 9 %s 9%% /a place\n' "${STUB_FREE:-99999999}"
EOF
if [ "$(uname -s)" = Darwin ]; then # its mv knows no -T
	stub mv <<'EOF'
if [ "$1" != -fT ]; then exec /bin/mv "$@"; fi
exec perl -e 'rename $ARGV[1], $ARGV[2] or die' "$@"
EOF
fi
stub cargo <<'EOF'
echo "cargo $*" >>"$CALLS"
crate=$CARGO_HOME/registry/src/stub/mlx-sys-0.7.0/src/mlx-c/mlx/c
mkdir -p "$crate/private" && echo tampered | tee "$crate/a.cpp" "$crate/a.h" "$crate/private/a.h"
EOF
stub git <<'EOF'
echo "git $*" >>"$CALLS"
case $1 in
init) mkdir "$3" ;;
fetch) [ -z "${STUB_OFFLINE:-}" ] ;;
archive) cd "$MLXC" && tar -cf - mlx/c ;;
esac
EOF

# A miniature mlx-c, and a miniature clone.
export MLXC="$work/mlx-c"
mkdir -p "$MLXC/mlx/c/private" "$work/clone"
echo 'set(MLX_C_VERSION 0.7.0)' >"$MLXC/CMakeLists.txt"
for file in a.cpp b.cpp a.h private/a.h; do echo "// $file" >"$MLXC/mlx/c/$file"; done
cp -R "$scripts" "$work/clone/scripts"

export CALLS="$work/calls" HOME="$work"
export PATH="$work/bin:$work/base"

# fresh starts a test: an empty cache with a difficult name, no calls so far.
fresh() {
	test=$1
	chmod -R u+w "$work"/cache* 2>/dev/null
	rm -rf "$work"/cache* "$work/clone/.deps"
	export DELTATAPE_CACHE="$work/cache 100%s"
	: >"$CALLS"
}

check() { # WHAT COMMAND...
	what=$1
	shift
	if "$@"; then return; fi
	failures=$((failures + 1))
	echo "FAIL: $test: $what" >&2
	sed 's/^/    /' "$work/out" >&2
}

says() { grep -qF -- "$1" "$work/out"; }
calls() { [ "$(grep -Ec "^$1" "$CALLS")" -eq "$2" ]; }
no_temp() { ! ls -d "$DELTATAPE_CACHE"/deltatape-tmp.* >/dev/null 2>&1; }
not() { ! "$@"; }

# with runs a function with variables of its own. In the shell of macOS those that
# stand before a function's name would stay.
with() ( # NAME=VALUE... COMMAND...
	while :; do
		case $1 in
		*=*) export "${1?}" && shift ;;
		*) break ;;
		esac
	done
	"$@"
)

same() { [ "$1" = "$2" ] || { echo "    $1 is not $2" >&2 && return 1; }; }
wait_for() { # CALL: until a background set-up has come that far
	tries=100
	until grep -q "^$1" "$CALLS" || [ $tries = 0 ]; do sleep 0.1 && tries=$((tries - 1)); done
}

# finish reports on what was tested.
finish() {
	if [ $failures -gt 0 ]; then
		echo "$1: $failures checks failed" >&2
		exit 1
	fi
	echo "$1: ok"
}
