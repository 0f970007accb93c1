#!/bin/sh
# Tests bench_peers.sh and its comparison: stubs stand in for pip, the peers and
# this project's program, so that it takes seconds and needs no network.
# shellcheck disable=SC2016 # the stubs expand
set -u
scripts=$(cd "$(dirname "$0")" && pwd -P)
# Its own path, as there may be a wrapper that needs what is not on the stubs' PATH.
REAL_PYTHON=$(python3 -c 'import sys; print(sys.executable)') || exit
export REAL_PYTHON
# shellcheck source=scripts/test_common.sh
. "$scripts/test_common.sh"

# The environment's interpreter: pip is noted, the comparison is run, and a
# worker answers with the milliseconds of its threads, mode and length.
stub .interpreter <<'EOF'
case $1 in
-m)
	echo "pip $*" >>"$CALLS"
	[ -z "${STUB_OFFLINE:-}" ] || { echo 'pip: no network' && exit 1; }
	;;
*/compare.py) exec "$REAL_PYTHON" "$@" ;;
*/worker.py)
	while read -r question; do
		ms=40
		case $question in
		*compile*2048*) sleep 9 ;;
		*compile*1024*) echo '{"error": "Unsupported: a stub"}' && continue ;;
		*compile*) ms=30 ;;
		*512*) exit 1 ;;
		esac
		echo "worker $2 $question" >>"$CALLS"
		echo "{\"ms\": [$((ms / $2)), 99]}"
	done
	;;
esac
EOF
stub python3 <<'EOF'
[ "$1 $2" = '-m venv' ] || exit 1
mkdir -p "$3/bin" && cp "${0%/*}/.interpreter" "$3/bin/python"
EOF
stub go <<'EOF'
while [ "$1" != -o ]; do shift; done
cp "${0%/*}/.program" "$2"
EOF
# 10 ms, or what the test says; twice that by the op graph.
stub .program <<'EOF'
echo "bench $*" >>"$CALLS"
[ -z "${STUB_BENCH_FAILS:-}" ] || { echo 'bench: out of order' >&2 && exit 1; }
case $* in
*-json*'-impl chunk'*) echo "{\"ms_min\": $((2 * ${STUB_MS:-10}))}" ;;
*-json*'-impl auto'*) echo "{\"ms_min\": ${STUB_MS:-10}}" ;;
*) printf 'A stub, 2 cores\nsgemm peak 1\n' ;;
esac
EOF
peers() { sh "$work/clone/scripts/bench_peers.sh" "$@" >"$work/out" 2>&1; }
exits() { # CODE ARGUMENTS...
	code=$1
	shift
	peers "$@"
	same $? "$code"
}

fresh 'a comparison'
check 'all targets are met' exits 0 --rounds 2 --shape 4,128,2,4,32,32
check 'installs pinned versions' calls 'pip -m pip install .*requirements.txt' 1
check 'names the machine' says 'A stub, 2 cores'
check 'has a column for each' grep -Eq 'deltatape +\| +op graph +\| +eager, 1 thread +\| +eager, 2 threads +\| +torch.compile, 1 thread +\| +torch.compile, 2 threads +\| +best peer +\| +ratio' "$work/out"
check 'counts tokens and takes the best peer' grep -Eq '4,128,2,4,32,32 +\| fwd +\| +51,200 +\| +25,600 +\| +12,800 +\| +25,600 +\| +17,067 +\| +34,133 +\| +34,133 +\| +1.50' "$work/out"
check 'compares forward with eager PyTorch' says '4,128,2,4,32,32 fwd: 2.00 times eager PyTorch, target 1: met'
check 'compares both passes with the best' says '4,128,2,4,32,32 fwdbwd: 1.50 times the best peer, target 1.2: met'
check 'goes by rounds' calls 'bench .*-json -impl auto .*-pass fwd ' 2
check 'of all' calls 'bench .*-json -impl chunk .*-pass fwd ' 2
check 'repeats what is quick' calls 'bench .*-impl auto .*-runs 10' 2
check 'asks in the right words' grep -q 'worker 2 {"mode": "compile", "shape": \[4, 128, 2, 4, 32, 32\], "pass": "fwdbwd", "runs": ' "$CALLS"
check 'installs once' exits 0 --rounds 1 --shape 4,128,2,4,32,32 --no-compile
check 'without pip' calls pip 1
check 'without torch.compile' grep -qv compile "$work/out"
rm "$DELTATAPE_CACHE"/peers-*/build-info
check 'finishes an installation that was cut' exits 0 --rounds 1 --shape 4,128,2,4,32,32 --no-compile --pass fwd
check 'with pip' calls pip 2
check 'takes one pass' grep -qv fwdbwd "$work/out"

fresh 'a missed target'
export STUB_MS=19
check 'is not the case at 1.05 times' exits 0 --rounds 1 --shape 4,128,2,4,32,32 --pass fwd
export STUB_MS=16
check 'is told by the exit code' exits 1 --rounds 1 --shape 4,128,2,4,32,32
check 'and by name' says 'fwdbwd: 0.94 times the best peer, target 1.2: MISSED'
unset STUB_MS

fresh 'peers that fail'
check 'are no reason to stop' exits 1 --rounds 1 --limit 1 --shape 1,2048,8,32,128,128 --shape 1,1024,4,8,64,64 --pass fwdbwd
check 'long compiling is given up' says 'torch.compile, 2 threads, 1,2048,8,32,128,128 fwdbwd: no answer in 1 s'
check 'errors are shown' says 'torch.compile, 1 thread, 1,1024,4,8,64,64 fwdbwd: Unsupported: a stub'
check 'the others count' grep -Eq '1,1024,4,8,64,64 +\| fwdbwd +\| +102,400 +\| +51,200 +\| +25,600 +\| +51,200 +\| +- +\| +- +\| +51,200 +\| +2.00' "$work/out"
check 'long sequences have a target of their own' says '1,2048,8,32,128,128 fwdbwd: 2.00 times the best peer, target 5: MISSED'
check 'wide shapes, too' exits 1 --rounds 1 --no-compile --shape 1,256,8,32,128,128
check 'forward' says '1,256,8,32,128,128 fwd: 2.00 times the best peer, target 2.5: MISSED'
check 'and both ways' says '1,256,8,32,128,128 fwdbwd: 2.00 times the best peer, target 2.5: MISSED'
check 'nothing to compare with is no success' exits 1 --rounds 1 --no-compile --shape 1,512,8,32,128,128 --pass fwd
check 'a process that ends is noticed' says 'eager, 1 thread, 1,512,8,32,128,128 fwd: the process ended'

fresh 'failures'
export STUB_OFFLINE=1
check 'no network' exits 1 --rounds 1
unset STUB_OFFLINE
check 'pip has its say' says 'pip: no network'
check 'the way out is named' says 'run this again'
check 'nothing half installed is left' no_temp
export STUB_BENCH_FAILS=1
check 'the program fails' exits 1 --rounds 1 --shape 4,128,2,4,32,32
check 'and is quoted' says 'bench: out of order'
unset STUB_BENCH_FAILS
check 'an unknown flag' exits 2 --nonsense
check 'a bad shape' exits 2 --shape 1,2
check 'and is named' says '--shape is 1,2, want B,T,Hk,Hv,K,V'
check 'help' exits 0 --help
check 'explains itself' says 'usage: sh scripts/bench_peers.sh'

test=worker.py
check 'is Python' "$REAL_PYTHON" -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$scripts/bench_peers/worker.py"

finish 'bench_peers'
