#!/bin/sh
# Tests macos_check.sh: stubs stand in for Go and for the tools that download and
# compile, so that it takes seconds and needs no network. One test uses the real pip.
set -u
scripts=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=scripts/test_common.sh
. "$scripts/test_common.sh"

stub python3 <<'EOF'
case "$2 $3" in
'pip --version') ;;
'pip download')
	echo "pip $*" >>"$CALLS"
	[ -z "${STUB_OFFLINE:-}" ] || { echo 'pip: no network' && exit 1; }
	case $* in *requirements/zig.txt*) wheel=ziglang ;; *) wheel=mlx_metal ;; esac
	while [ "$1" != -d ]; do shift; done
	mkdir "$2" && touch "$2/$wheel-1-py3-none-any.whl"
	;;
'zipfile -e')
	mkdir -p "$5/ziglang" "$5/mlx/lib" "$5/mlx/include"
	touch "$5/mlx/lib/libmlx.dylib" "$5/mlx/lib/mlx.metallib"
	cp "$STUB_ZIG" "$5/ziglang/zig"
	;;
*) exit 1 ;;
esac
EOF
export STUB_ZIG="$work/zig"
cat >"$STUB_ZIG" <<'EOF'
#!/bin/sh
case " $* " in
*' -### '*) ;; # Go's question, at which Zig leaves an object all the same
*) echo "zig $*" >>"$CALLS" && sleep "${STUB_SLOW:-0}" ;;
esac
while [ $# -gt 1 ]; do
	if [ "$1" = -o ]; then touch "$2"; fi
	if [ "$1" = -c ]; then touch "./${2%.cpp}.o"; fi
	shift
done
EOF
stub go <<'EOF'
echo "go $1 ${GOOS:-host} ${CC:-none} $*" >>"$CALLS"
if [ -n "${CC:-}" ]; then "$CC" -### -x c -c -; fi
[ "$1" != "${STUB_GO_FAILS:-}" ] || { echo "stub: go $1 failed" >&2 && exit 1; }
EOF

macos() { sh "$work/clone/scripts/macos_check.sh" "$@" >"$work/out" 2>&1; }
fails() { ! macos "$@"; }
contents() { ls -aR "$work/clone"; }
parts() { # the number of finished parts
	set -- "$DELTATAPE_CACHE"/zig-*/build-info "$DELTATAPE_CACHE"/macos-*/build-info
	n=0
	for info in "$@"; do if [ -f "$info" ]; then n=$((n + 1)); fi; done
	echo $n
}

fresh 'first and second check'
before=$(contents)
check succeeds macos
check 'leaves nothing in the clone' same "$(contents)" "$before"
check 'says so' says 'deltatape builds for macOS'
check 'keeps two parts' [ "$(parts)" -eq 2 ]
check 'left no work folder' no_temp
check 'takes the wheel of the oldest macOS' grep -q 'platform macosx_14_0_arm64 .*requirements/metal.txt' "$CALLS"
check 'compiles mlx-c for it' grep -q '^zig c++ -target aarch64-macos.14.0 .*-c unit' "$CALLS"
check 'links as set-up does' grep -q '^zig c++ .*-install_name @rpath/libmlxc.dylib .*-rpath,@loader_path/../mlx/lib' "$CALLS"
check 'compares the functions with a tool of this system' grep -q '^go run host none run .*/lib/libmlxc.dylib internal/mlxc/functions.txt$' "$CALLS"
for step in build vet list; do
	check "runs go $step for macOS" grep -q "^go $step darwin macos-cc $step .*\./\.\.\.$" "$CALLS"
done
: >"$CALLS"
check 'succeeds again' with STUB_OFFLINE=1 macos
check 'downloads and builds nothing' calls '(pip|cargo|git|zig)' 0
check 'asks Go again' calls go 4
rm "$DELTATAPE_CACHE"/macos-*/build-info
check 'repairs a broken part' macos
check 'and no other' calls pip 1
check 'has both' [ "$(parts)" -eq 2 ]
echo '# changed' >>"$work/clone/scripts/requirements/zig.txt"
check 'succeeds with another compiler' macos
check 'which lies beside the first' [ "$(parts)" -eq 3 ]
cp "$scripts/requirements/zig.txt" "$work/clone/scripts/requirements/zig.txt"

fresh failures
for step in run build vet list; do
	check "go $step" with STUB_GO_FAILS="$step" fails
	check 'shows what Go says' says "stub: go $step failed"
	check 'does not say that all is well' not says 'deltatape builds for macOS'
done

fresh 'killed in the middle'
STUB_SLOW=2 sh "$work/clone/scripts/macos_check.sh" >"$work/out" 2>&1 &
wait_for 'zig c++'
{ kill -9 $! && wait $!; } 2>/dev/null
check 'half a library is not taken for whole' [ "$(parts)" -eq 1 ]
check 'runs again' macos
check 'has both parts' [ "$(parts)" -eq 2 ]
check 'left no work folder' no_temp

fresh 'terminated in the middle'
STUB_SLOW=1 sh "$work/clone/scripts/macos_check.sh" >"$work/out" 2>&1 &
wait_for 'zig c++'
kill -TERM $!
wait $!
check 'exits with 143' same $? 143
check 'left no work folder' no_temp

fresh 'two at a time'
STUB_SLOW=1 sh "$work/clone/scripts/macos_check.sh" >"$work/out.first" 2>&1 &
first=$!
wait_for pip
check 'the second succeeds' macos
check 'and had to wait' says 'waiting for another set-up'
check 'the first succeeds' wait $first
check 'each part was fetched once' calls pip 2

fresh 'missing tools'
for tool in python3 git cargo go; do mv "$work/bin/$tool" "$work/bin/.$tool"; done
check fails fails
check 'names Go' says 'missing: go'
mv "$work/bin/.go" "$work/bin/go"
check fails fails
check 'names python3 and pip' says 'missing: python3, pip for python3'
check 'says how to get them' says 'install with: '
mv "$work/bin/.python3" "$work/bin/python3"
check fails fails
check 'names git' says 'missing: git (or cargo)'
for tool in git cargo; do mv "$work/bin/.$tool" "$work/bin/$tool"; done

fresh 'no network'
check fails with STUB_OFFLINE=1 fails
check 'shows what pip says' says 'pip: no network'
check 'says what to do' says 'run this again'
check 'left no work folder' no_temp

fresh 'tampered wheel'
mkdir "$work/cache-wheels"
echo tampered >"$work/cache-wheels/ziglang-0.17.1-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
mv "$work/bin/python3" "$work/bin/.python3"
check fails with PATH="$work/bin:$real_path" PIP_NO_INDEX=1 PIP_FIND_LINKS="file://$work/cache-wheels" fails
check 'pip refuses it' says 'DO NOT MATCH THE HASHES'
check 'no part' [ "$(parts)" -eq 0 ]
mv "$work/bin/.python3" "$work/bin/python3"

fresh 'full disk'
check fails with STUB_FREE=100 fails
check 'says how much is needed' says '700 MB needed in '

fresh elsewhere
check 'refuses a Mac' with STUB_UNAME="Darwin arm64" fails
check 'says what to type there' says 'make test'
check 'refuses arguments' fails --no-such
check 'shows its usage' says 'usage: '

finish 'macOS check'
