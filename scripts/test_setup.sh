#!/bin/sh
# Tests setup.sh: stubs stand in for the tools that download and compile, so
# that it takes seconds and needs no network. One test uses the real pip.
set -u
scripts=$(cd "$(dirname "$0")" && pwd -P)
# shellcheck source=scripts/test_common.sh
. "$scripts/test_common.sh"

stub sw_vers <<'EOF'
echo 15.3.1
EOF
stub xcode-select <<'EOF'
exit "${STUB_NO_XCODE:-0}"
EOF
stub python3 <<'EOF'
case "$2 $3" in
'pip --version') ;;
'pip download')
	echo "pip $*" >>"$CALLS"
	[ -z "${STUB_OFFLINE:-}" ] || { echo 'pip: no network' && exit 1; }
	while [ "$1" != -d ]; do shift; done
	mkdir "$2" && touch "$2/mlx_stub-1-py3-none-any.whl" "$2/scipy_openblas32-1-py3-none-any.whl"
	;;
'zipfile -e')
	case $4 in
	*/scipy_*) mkdir -p "$5/scipy_openblas32/lib" && touch "$5/scipy_openblas32/lib/libscipy_openblas.so" ;;
	*)
		mkdir -p "$5/mlx/lib" "$5/mlx/include" "$5/mlx_cpu.libs"
		touch "$5/mlx/lib/libmlx.so" "$5/mlx/lib/mlx.metallib" "$5/mlx_cpu.libs/libblas-0.so.3" "$5/mlx_cpu.libs/liblapack-0.so.3"
		;;
	esac
	;;
*) exit 1 ;;
esac
EOF
stub c++ <<'EOF'
echo "c++ $*" >>"$CALLS"
sleep "${STUB_SLOW:-0}"
while [ $# -gt 1 ]; do
	if [ "$1" = -o ]; then touch "$2"; fi
	if [ "$1" = -c ]; then sed 's/^/compiles /' "$2" >>"$CALLS" && touch "${2%.cpp}.o"; fi
	shift
done
EOF
stub cc <<'EOF'
while [ $# -gt 1 ]; do
	if [ "$1" = -o ]; then printf '#!/bin/sh\n%s\n' "${STUB_LOAD:-exit 0}" >"$2" && chmod +x "$2"; fi
	shift
done
EOF
stub nm <<'EOF'
echo ' T sgemm_'
EOF

setup() { sh "$work/clone/scripts/setup.sh" "$@" >"$work/out" 2>&1; }
fails() { ! setup "$@"; }
whole() { [ -f "$1/build-info" ] && [ -e "$1/lib/libmlxc.so" ] && [ -e "$1/include/mlx/c/a.h" ]; }

fresh 'first and second run'
check succeeds setup
check 'says that it is ready' says 'MLX 0.32.2 (cpu) ready in '
install=$(sh "$work/clone/scripts/setup.sh" --print 2>&1)
check 'is whole' whole "$install"
check '.deps leads there' same "$(readlink "$work/clone/.deps")" "$install"
check 'the cache link leads there' same "$(readlink "$DELTATAPE_CACHE/mlx-0.32.2-mlxc-0.7.0-linux-amd64")" "$install"
for line in mlx=0.32.2 mlxc=0.7.0 backend=cpu blas=openblas-0.3.34 patched=1; do
	check "build-info has $line" grep -qx "$line" "$install/build-info"
done
check 'left no work folder' no_temp
check 'adds to mlx-c' calls 'compiles #include "host_op.cpp"' 1
: >"$CALLS"
start=$(date +%s)
for _ in 1 2 3 4 5; do check 'succeeds again' with STUB_OFFLINE=1 setup; done
check 'is quick when done' [ $(($(date +%s) - start)) -lt 15 ]
check 'calls no tool when done' [ ! -s "$CALLS" ]
rm "$install/build-info"
check 'repairs a broken install' setup
check 'is whole again' whole "$install"
mkdir "$work/clone2" && cp -R "$scripts" "$work/clone2/scripts" && : >"$CALLS"
check 'a second clone is ready at once' sh "$work/clone2/scripts/setup.sh" --print >"$work/out"
check 'without a build' [ ! -s "$CALLS" ]
check 'with its own link' same "$(readlink "$work/clone2/.deps")" "$install"
echo '// changed' >>"$work/clone2/scripts/host_op.cpp"
check 'takes a changed addition' sh "$work/clone2/scripts/setup.sh" --print >"$work/out" 2>&1
check 'and builds it' not same "$(readlink "$work/clone2/.deps")" "$install" 2>/dev/null

fresh 'killed in the middle'
STUB_SLOW=2 sh "$work/clone/scripts/setup.sh" >"$work/out" 2>&1 &
wait_for c++
{ kill -9 $! && wait $!; } 2>/dev/null
check 'no install yet' not test -e "$work/clone/.deps"
check 'runs again' setup
check 'does not wait for what the dead left running' not says 'waiting'
check 'is whole' whole "$work/clone/.deps"
check 'left no work folder' no_temp

fresh 'terminated in the middle'
STUB_SLOW=1 sh "$work/clone/scripts/setup.sh" >"$work/out" 2>&1 &
wait_for c++
kill -TERM $!
wait $!
check 'exits with 143' same $? 143
check 'left no work folder' no_temp

fresh 'two at a time'
STUB_SLOW=1 sh "$work/clone/scripts/setup.sh" >"$work/out" 2>&1 &
first=$!
wait_for pip
check 'the second succeeds' setup
check 'and had to wait' says 'waiting for another set-up'
check 'the first succeeds' wait $first
check 'there was one build' calls pip 1

fresh 'read-only sources'
cp -R "$scripts" "$work/cache-ro" && mkdir "$work/cache-mod" && mv "$work/cache-ro" "$work/cache-mod/scripts"
chmod -R a-w "$work/cache-mod"
check succeeds sh "$work/cache-mod/scripts/setup.sh" >"$work/out" 2>&1
check 'leaves them alone' not test -e "$work/cache-mod/.deps"
check 'the cache link leads to the install' whole "$DELTATAPE_CACHE/mlx-0.32.2-mlxc-0.7.0-linux-amd64"

fresh 'missing tools'
for tool in python3 c++ nm git cargo; do mv "$work/bin/$tool" "$work/bin/.$tool"; done
check fails fails
for tool in 'python3, ' 'pip for python3, ' 'a C++ compiler (c++), ' 'nm, ' 'git (or cargo)' 'install with: '; do
	check "names $tool" says "$tool"
done
for tool in python3 c++ nm git cargo; do mv "$work/bin/.$tool" "$work/bin/$tool"; done

fresh 'no network'
check 'fails' with STUB_OFFLINE=1 fails
check 'shows what pip says' says 'pip: no network'
check 'says what to do' says 'run this again'
check 'left no work folder' no_temp
check 'works later' setup

fresh 'tampered crate'
check 'turns to git' setup
check 'at the pinned commit' grep -q '^git fetch .* a341b4925024b88b2c593468f16e12f5e17315da$' "$CALLS"
mv "$work/bin/git" "$work/bin/.git" && rm -rf "$work"/cache*
check 'fails without git' fails
check 'says why' says 'is not as published'
mv "$work/bin/.git" "$work/bin/git"

fresh 'tampered wheels'
mkdir "$work/cache-wheels"
for wheel in mlx_cpu-0.32.2-py3-none-manylinux_2_35_x86_64 scipy_openblas32-0.3.34.481.3-py3-none-manylinux_2_28_x86_64; do
	echo tampered >"$work/cache-wheels/$wheel.whl"
done
mv "$work/bin/python3" "$work/bin/.python3"
check 'fails' with PATH="$work/bin:$real_path" PIP_NO_INDEX=1 PIP_FIND_LINKS="file://$work/cache-wheels" fails
check 'pip refuses them' says 'DO NOT MATCH THE HASHES'
check 'no install' not test -e "$work/clone/.deps"
mv "$work/bin/.python3" "$work/bin/python3"

fresh 'full disk'
check fails with STUB_FREE=1024 fails
check 'says how much is needed' says '300 MB needed in '
check 'left no work folder' no_temp

fresh 'libmlxc does not load'
check fails with STUB_LOAD="echo no such symbol; exit 1" fails
check 'says why' says 'no such symbol'
check 'no install' not test -e "$work/clone/.deps"

fresh 'local sources'
export DELTATAPE_MLXC_SRC="$MLXC"
check succeeds setup
check 'fetches none' calls '(cargo|git)' 0
first=$(readlink "$work/clone/.deps")
echo '// changed' >>"$MLXC/mlx/c/a.cpp"
check 'succeeds after a change' setup
check 'builds the change' not same "$first" "$(readlink "$work/clone/.deps")" 2>/dev/null
DELTATAPE_MLXC_SRC=$work
check 'refuses another folder' fails
check 'says why' says "doesn't hold the sources of mlx-c 0.7.0"
unset DELTATAPE_MLXC_SRC

fresh 'backends'
check 'refuses an unknown one' with MLX_BACKEND=metal fails
check 'names the known ones' says 'cpu, cuda12 and cuda13'
check 'takes CUDA without a driver' with MLX_BACKEND=cuda13 STUB_LOAD="echo libcuda.so.1: not found; exit 1" setup
check 'asks for its wheels' grep -q 'requirements/cuda13.txt' "$CALLS"
check 'keeps it' setup
check 'says so' says '(cuda13) ready'
check 'goes back' with MLX_BACKEND=cpu setup
check 'says so' says '(cpu) ready'

fresh 'bad places'
check 'refuses a cache that is no folder' with DELTATAPE_CACHE="$CALLS/cache" fails
check 'names it' says "can't write to $CALLS/cache"
mkdir "$work/clone/.deps"
check 'goes round a folder named .deps' setup
check 'keeps it' test -d "$work/clone/.deps" -a ! -L "$work/clone/.deps"

fresh 'an install of your own'
mkdir -p "$work/own/lib" && touch "$work/own/lib/libmlxc.so"
for own in "$work/own" "$work/own/lib/libmlxc.so"; do
	check 'is taken' with DELTATAPE_MLX="$own" setup
	check 'says so' says "DELTATAPE_MLX names $own: nothing to set up"
	check 'is printed' same "$(DELTATAPE_MLX=$own sh "$work/clone/scripts/setup.sh" --print)" "$own"
done
for none in /nope "$work/own/lib"; do
	check 'is missed where there is none' with DELTATAPE_MLX="$none" fails
	check 'says where' says "DELTATAPE_MLX names no library: there is neither a file $none"
	check 'says what to do' says 'unset DELTATAPE_MLX'
	check 'prints none' with DELTATAPE_MLX="$none" fails --print
done
check 'a Linux library serves no Mac' with DELTATAPE_MLX="$work/own" STUB_UNAME='Darwin arm64' fails
check 'any system may have one' with DELTATAPE_MLX="$work/own" STUB_UNAME='Linux riscv64' setup
check 'builds nothing' [ ! -s "$CALLS" ]

fresh 'systems without MLX'
for system in 'Darwin x86_64' 'Linux riscv64' 'FreeBSD amd64'; do
	check "refuses $system" with STUB_UNAME="$system" fails
done
check 'refuses an old glibc' with STUB_LIBC="glibc 2.31" fails
check 'says why' says 'glibc 2.35 or later'

fresh macOS
export STUB_UNAME='Darwin arm64'
rm -f "$work/base/flock"
check succeeds setup
check 'asks for the wheel of its version' grep -q 'platform macosx_15_0_arm64 .*requirements/metal.txt' "$CALLS"
check 'keeps the GPU code beside MLX' test -e "$work/clone/.deps/mlx/lib/mlx.metallib"
check 'links relative to the library' grep -q -- '-rpath,@loader_path/../mlx/lib .*libmlxc.dylib' "$CALLS"
check 'the cache link leads to it' grep -qx backend=metal "$DELTATAPE_CACHE/mlx-0.32.2-mlxc-0.7.0-darwin-arm64/build-info"

fresh 'a Mac without developer tools'
for tool in python3 c++ git cargo; do mv "$work/bin/$tool" "$work/bin/.$tool"; done
check 'fails' with PATH="$PATH:/usr/bin" STUB_NO_XCODE=1 fails # what is in /usr/bin then is hollow
for tool in 'python3, ' 'a C++ compiler (c++), ' 'git (or cargo)' 'install with: xcode-select --install'; do
	check "names $tool" says "$tool"
done
for tool in python3 c++ git cargo; do mv "$work/bin/.$tool" "$work/bin/$tool"; done

fresh Homebrew
for formula in mlx-c/0.7.0_1 mlx/0.32.2; do
	mkdir -p "$work/cache-brew/Cellar/$formula/lib" "$work/cache-brew/Cellar/$formula/include/mlx/c" "$work/cache-brew/opt"
	ln -s "../Cellar/$formula" "$work/cache-brew/opt/${formula%/*}"
done
touch "$work/cache-brew/Cellar/mlx-c/0.7.0_1/lib/libmlxc.dylib"
export HOMEBREW_PREFIX="$work/cache-brew"
mv "$work/bin/c++" "$work/bin/.c++"
check 'serves a Mac without a compiler' setup
check 'is marked as not patched' grep -qx patched=0 "$work/clone/.deps/build-info"
check 'has the library' test -e "$work/clone/.deps/lib/libmlxc.dylib"
mv "$work/cache-brew/Cellar/mlx/0.32.2" "$work/cache-brew/Cellar/mlx/0.33.0"
ln -sfn ../Cellar/mlx/0.33.0 "$work/cache-brew/opt/mlx"
rm "$work/clone/.deps/build-info"
check 'refuses another pair' fails
check 'says which' says 'Homebrew has mlx 0.33.0'
mv "$work/bin/.c++" "$work/bin/c++"

finish set-up
